"""The command line application, and parts that its commands share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Quiet", "app", "echo_table", "echo_verdict"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Measure how many cells of a mesenchymal stem cell batch are pancreatic-progenitor-like: "
    "a fraction with its interval, detection limit, controls and verdict. For research use only: "
    "scdiff measures transcripts, not function or clinical benefit.",
)


Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print only errors, alerts and the verdict.")
]


@app.callback(invoke_without_command=True)
def _global(
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        from scdiff import __version__

        typer.echo(f"scdiff {__version__}")
        raise typer.Exit


def echo_verdict(adata: AnnData) -> dict[str, Any]:
    """Print the verdict and, to stderr, the alerts of a result; return the main row."""
    from scdiff.report.alerts import list_alerts
    from scdiff.report.verdict import main_row, verdict_sentence

    row = main_row(adata)
    typer.echo(verdict_sentence(row))
    for alert in list_alerts(adata):
        typer.echo(f"Alert: {alert}", err=True)
    return row


def echo_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
