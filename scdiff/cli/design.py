"""Commands that need no data: ``plan`` and ``simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scdiff.cli.app import app, echo_table

__all__ = ["plan", "simulate"]


@app.command()
def plan(
    lod: Annotated[
        float,
        typer.Option("--lod", help="Fraction to detect, 0-1: 0.001 is one cell in a thousand."),
    ] = 0.001,
    depth: Annotated[
        list[float] | None,
        typer.Option(
            "--depth",
            help="Median counts per cell, in addition to the depths of every plan; repeatable.",
        ),
    ] = None,
    program: Annotated[
        str, typer.Option("--program", help="Name of a programme, or path of its TOML file.")
    ] = "pancreatic_progenitor",
    contamination: Annotated[
        float, typer.Option("--contamination", help="Mean share of ambient RNA in the counts, 0-1.")
    ] = 0.05,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for plan.csv and plan.png.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the random generator.")] = 0,
) -> None:
    """Compute how many cells must be sequenced to detect and to quantify a fraction."""
    from scdiff.report.planning import DEPTHS, plan_sentence, plan_table, plan_view, write_plan

    depths = sorted({*(depth or []), *DEPTHS})
    table = plan_table(program, depths, fraction=lod, contamination=contamination, seed=seed)
    echo_table(plan_view(table))
    for value in depth or []:
        typer.echo(plan_sentence(table, value, fraction=lod))
    if out is not None:
        write_plan(table, out, fraction=lod)
        typer.echo(f"Written: {out / 'plan.csv'}, {out / 'plan.png'}")


@app.command()
def simulate(
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write, .h5ad.")] = Path(
        "simulated.h5ad"
    ),
    n_cells: Annotated[int, typer.Option("--cells", min=2, help="Number of cells.")] = 3000,
    fraction: Annotated[
        float, typer.Option(min=0, max=1, help="True fraction of positive cells.")
    ] = 0.04,
    depth: Annotated[float, typer.Option(min=1, help="Median counts per cell.")] = 4000.0,
    contamination: Annotated[
        float, typer.Option(min=0, max=0.9, help="Mean share of ambient RNA in the counts.")
    ] = 0.05,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random generator.")] = 0,
) -> None:
    """Simulate a batch with known truth, in obs columns truth_* and in uns["truth"]."""
    from scdiff.simulate import simulate as draw
    from scdiff.storage.atomic import replace_atomically
    from scdiff.storage.h5ad import write_h5ad

    adata = draw(
        n_cells=n_cells, fraction=fraction, depth=depth, contamination=contamination, seed=seed
    )
    with replace_atomically(out) as partial:
        write_h5ad(adata, partial)
    truth = float(adata.uns["truth"]["fraction"])
    shape = f"{adata.n_obs:,} cells x {adata.n_vars:,} genes"
    typer.echo(f"{out}: {shape}, true fraction {truth:.3%}.")
