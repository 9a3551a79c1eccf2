"""Command ``panel``, which learns a programme from labelled cells."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scdiff.cli.app import Quiet, app

__all__ = ["panel"]


@app.command()
def panel(
    references: Annotated[
        list[Path], typer.Argument(help="Files with raw counts and labelled cells, h5ad.")
    ],
    label: Annotated[str, typer.Option("--label", help="Column of obs with the labels.")],
    target: Annotated[str, typer.Option("--target", help="Label of the cells to measure.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the panel.")] = Path("panel"),
    background: Annotated[
        list[Path] | None,
        typer.Option(
            "--background",
            help="File with cells of the batches to measure, without target cells; repeatable.",
        ),
    ] = None,
    markers: Annotated[int, typer.Option("--markers", help="Number of markers, 1 to 6.")] = 3,
    require: Annotated[
        list[str] | None,
        typer.Option("--require", help="Marker that the panel must have; repeatable."),
    ] = None,
    donor: Annotated[
        str | None,
        typer.Option("--donor", help="Column of obs with the donors: whole donors are held out."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the random generators.")] = 0,
    *,
    quiet: Quiet = False,
) -> None:
    """Learn the markers of a cell type from labelled cells, and validate them on held-out cells."""
    from scdiff.panels.files import learn_from_files
    from scdiff.panels.output import write_panel

    learned = learn_from_files(
        references,
        background or (),
        label=label,
        target=target,
        donor=donor,
        markers=markers,
        require=require or (),
        seed=seed,
    )
    files = write_panel(learned, out)
    for sentence in learned.warnings:
        typer.echo(f"Warning: {sentence}", err=True)
    typer.echo(learned.sentence)
    if not quiet:
        typer.echo(learned.program.notes)
        typer.echo(f"Programme: {files['program']}")
        typer.echo(f"Page: {files['page']}")
