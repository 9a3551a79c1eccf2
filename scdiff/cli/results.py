"""Commands on a finished run: ``report`` and ``compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from scdiff.cli.app import app, echo_verdict
from scdiff.errors import InputError
from scdiff.run.settings import parse_report_options

__all__ = ["compare", "report"]

MOST_CHARACTERS = 200
"""Length of the reason that an error of a reader adds, characters. Chosen, not tuned."""


@app.command()
def report(
    result: Annotated[Path, typer.Argument(help="The result.h5ad of a run.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Folder for the report; default: the folder of the result."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Option of the report, e.g. --set report.weight_kg=70; repeatable."
        ),
    ] = None,
) -> None:
    """Write the report of a finished run again, for example with another dose."""
    from scdiff.report import report as write_report
    from scdiff.steps.dose import read_dose_options

    given = parse_report_options(settings)
    adata = _read_result(result)
    folder = out or result.parent
    write_report(adata, out=folder, **(read_dose_options(adata) | given))
    echo_verdict(adata)
    typer.echo(f"Report: {folder / 'report.html'}")


@app.command()
def compare(
    result: Annotated[
        Path, typer.Argument(help="The result.h5ad of a run on two groups of donors.")
    ],
    by: Annotated[
        str, typer.Option("--by", help="Column of obs with two groups, from the sample sheet.")
    ] = "condition",
    pairs: Annotated[
        str | None,
        typer.Option("--pairs", help="Column of obs that pairs the groups, e.g. --pairs donor."),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option("--margin", help="Largest difference that is irrelevant, percentage points."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Folder for the report; default: the folder of the result."
        ),
    ] = None,
) -> None:
    """Compare two groups of donors and write the report again, with tables/comparison.csv."""
    from scdiff.report import report as write_report
    from scdiff.report.sections.groups import comparison_sentence
    from scdiff.steps.compare import compare as compare_groups
    from scdiff.steps.dose import read_dose_options

    adata = _read_result(result)
    compare_groups(adata, by=by, pairs=pairs, margin=margin)
    folder = out or result.parent
    write_report(adata, out=folder, **read_dose_options(adata))
    typer.echo(comparison_sentence(adata))
    typer.echo(f"Table: {folder / 'tables' / 'comparison.csv'}")


def _read_result(path: Path) -> Any:
    """Read the result of a run.

    Raises
    ------
    InputError
        If the file cannot be read or is not the result of a run.
    """
    import anndata

    from scdiff.bounded import find_special_kind
    from scdiff.steps.load.readers.probe import probe

    if kind := find_special_kind(path):
        raise InputError(f"{path}: this is {kind}, not the result.h5ad of a run.")
    if path.is_file():
        probe(path)
    try:
        adata = anndata.read_h5ad(path)
    except (OSError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())[:MOST_CHARACTERS]
        raise InputError(
            f"{path}: cannot be read as the result.h5ad of a run ({reason}). "
            "Give OUT/result.h5ad of a finished run."
        ) from None
    if "fractions" not in adata.uns.get("scdiff", {}):
        raise InputError(
            f"{path}: has no fractions, so it is not the result.h5ad of a run. "
            "Give OUT/result.h5ad, or run `scdiff run` first."
        )
    return adata
