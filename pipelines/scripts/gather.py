"""Gather the results of many batches: one long table of fractions, one row per batch with its verdict, and a page of both."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from page import NOT_FINISHED, write_page

POOLED = "all"
VERDICT_COLUMNS = (
    "batch", "verdict", "n_cells", "n_called", "fraction", "fraction_low", "fraction_high",
    "prevalence", "prevalence_low", "prevalence_high", "lob", "lod", "lloq", "trajectory", "report", "log", "reason",
)  # fmt: skip
ERROR = "scdiff: error: "
"""How scdiff begins what it says last, where it stops on purpose."""
STEP = re.compile(r" {2}(?P<step>[a-z]+) +(?:(?P<began>\.\.\.)|[\d.]+ s|done before .*)$")
"""A line of progress: a step that was started, finished, or taken from an earlier run."""


def write_results(results: Path, batches: Sequence[str]) -> None:
    """Write ``fractions.csv``, ``verdicts.csv`` and ``batches.html`` of all batches that are finished.

    Parameters
    ----------
    results
        Folder with ``batches/<batch>/`` and ``logs/<batch>.log``.
    batches
        Names, in the order of the tables; those that are not finished get the verdict ``not finished`` and the reason.
    """
    tables = {batch: _read(results / "batches" / batch, "fractions.csv") for batch in batches}
    rows = [{"batch": batch} | row for batch, table in tables.items() for row in table]
    verdicts = [_verdict(results, batch, table) for batch, table in tables.items()]
    _write(results / "fractions.csv", list(rows[0]) if rows else ["batch"], rows)
    _write(results / "verdicts.csv", VERDICT_COLUMNS, verdicts)
    write_page(results / "batches.html", verdicts)


def _read(folder: Path, name: str) -> list[dict[str, str]]:
    """Rows of a table of a batch as text, so that no digit changes; none where the batch is not finished."""
    path = folder / "tables" / name
    if not (folder / "report.html").is_file() or not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def _verdict(results: Path, batch: str, table: Sequence[dict[str, str]]) -> dict[str, str]:
    """Row of a batch: the main programme's state in all its samples, which is the first row of its table."""
    log = results / "logs" / f"{batch}.log"
    row = {"batch": batch, "log": str(log.relative_to(results)) if log.is_file() else ""}
    pooled = next((row for row in table if row["sample"] == POOLED), None)
    if pooled is None:
        return row | {"verdict": NOT_FINISHED, "reason": _reason(log)}
    path = next(iter(_read(results / "batches" / batch, "trajectory.csv")), {})
    return (
        row
        | pooled
        | {"trajectory": path.get("verdict", ""), "report": f"batches/{batch}/report.html"}
    )


def _reason(log: Path) -> str:
    """Why a batch is not finished, from its log: what scdiff said, or how far it came."""
    if not log.is_file():
        return "It did not start; the workflow stopped before."
    lines = [
        line.rstrip()
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
        if line.strip()
    ]
    if said := [line.partition(ERROR)[2] for line in lines if ERROR in line]:
        return said[-1]
    if any(line.startswith("Traceback") for line in lines):
        return f"An unexpected error: {lines[-1]}"
    return f"It ended without a message{_where(lines)}: killed, most likely for its memory or time."


def _where(lines: Sequence[str]) -> str:
    """How far a run came: every step is announced, and its time told when it is finished."""
    told = [found for line in lines if (found := STEP.match(line))]
    return f" {'in' if told[-1]['began'] else 'after'} step {told[-1]['step']}" if told else ""


def _write(path: Path, columns: Sequence[str], rows: Sequence[dict[str, str]]) -> None:
    """Write a table under another name first, so that none is half written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(
            handle, columns, restval="", extrasaction="ignore", lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(rows)
    partial.replace(path)
