"""Show the history as tables: on the terminal, and as CSV files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scdiff.report.tables import write_table
from scdiff.report.text import percent
from scdiff.storage.atomic import replace_atomically

if TYPE_CHECKING:
    import pandas as pd

    from scdiff.batches.history import History

__all__ = ["MAIN", "format_readout", "list_rows", "write_export"]

MAIN = ("pancreatic_progenitor", "progenitor_like")
"""Programme and state of the main read-out."""

HEADING = (
    "entry",
    "analysed",
    "batch",
    "role",
    "donor",
    "passage",
    "cells",
    "progenitor-like",
    "verdict",
    "scdiff",
)


def list_rows(
    history: History, *, last: int, superseded: bool = False
) -> tuple[list[tuple[str, ...]], int]:
    """Return the last runs as rows of text with a header, and the number of all runs."""
    runs = history.runs(superseded=superseded)
    readouts = history.readouts(*MAIN)
    main = readouts[readouts["sample"] == "all"].set_index("number")
    rows = [
        _format_run(run, main.loc[run["number"]] if run["number"] in main.index else None)
        for run in runs.tail(last).to_dict("records")
    ]
    return [HEADING, *rows], len(runs)


def _format_run(run: Mapping[Any, Any], readout: pd.Series | None) -> tuple[str, ...]:
    """Return the row of one run."""
    facts = tuple(
        _format_value(run[name])
        for name in ("number", "analysed", "batch", "role", "donor", "passage")
    )
    if readout is None:
        return (*facts, "", "", "no read-out", _format_value(run["scdiff"]))
    return (
        *facts,
        _format_value(readout["n_cells"]),
        format_readout(readout),
        str(readout["verdict"]),
        _format_value(run["scdiff"]),
    )


def format_readout(readout: pd.Series) -> str:
    """Format a read-out: the prevalence, its upper bound if not detected, or empty."""
    if readout["verdict"] == "not detected":
        ends = readout[["prevalence_high", "lob"]].dropna().tolist()
        return f"<= {percent(float(max(ends)))} %" if ends else ""
    value = readout["prevalence"]
    stated = readout["verdict"] in {"detected", "quantified"} and value == value  # noqa: PLR0124
    return f"{percent(float(value))} %" if stated else ""


def _format_value(value: object) -> str:
    """Format a value; empty if it is missing, whole numbers without a decimal point."""
    if value is None or value != value:  # noqa: PLR0124
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def write_export(history: History, out: Path) -> list[tuple[Path, int]]:
    """Write all tables as CSV files; return path and number of rows of each.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    frames = {
        "runs.csv": history.runs(superseded=True),
        "readouts.csv": history.readouts(),
        "decisions.csv": history.decisions(),
        "notes.csv": history.notes(),
        "baselines.csv": history.baselines(),
        "chain.csv": history.entries(),
    }
    written = []
    for name, frame in frames.items():
        with replace_atomically(out / name) as partial:
            write_table(frame, partial)
        written.append((out / name, len(frame)))
    return written
