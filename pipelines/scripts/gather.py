"""Gather the fractions of many batches: one long table, and one row per batch with its verdict."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

POOLED = "all"
VERDICT_COLUMNS = (
    "batch", "verdict", "n_cells", "n_called", "fraction", "fraction_low", "fraction_high",
    "prevalence", "prevalence_low", "prevalence_high", "lob", "lod", "lloq", "report",
)  # fmt: skip
NOT_FINISHED = "not finished"


def write_tables(results: Path, batches: Sequence[str]) -> None:
    """Write ``fractions.csv`` and ``verdicts.csv`` of all batches that are finished.

    Parameters
    ----------
    results
        Folder with ``batches/<batch>/``.
    batches
        Names, in the order of the tables; those that are not finished get the verdict ``not finished``.
    """
    tables = {batch: _read(results / "batches" / batch) for batch in batches}
    rows = [{"batch": batch} | row for batch, table in tables.items() for row in table]
    _write(results / "fractions.csv", list(rows[0]) if rows else ["batch"], rows)
    _write(results / "verdicts.csv", VERDICT_COLUMNS, [_verdict(batch, table) for batch, table in tables.items()])


def _read(folder: Path) -> list[dict[str, str]]:
    """Rows of the fractions of a batch as text, so that no digit changes; none where the batch is not finished."""
    path = folder / "tables" / "fractions.csv"
    if not (folder / "report.html").is_file() or not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def _verdict(batch: str, table: Sequence[dict[str, str]]) -> dict[str, str]:
    """Row of a batch: the main programme's state in all its samples, which is the first row of its table."""
    pooled = next((row for row in table if row["sample"] == POOLED), None)
    if pooled is None:
        return {"batch": batch, "verdict": NOT_FINISHED, "report": f"logs/{batch}.log"}
    return {"batch": batch} | pooled | {"report": f"batches/{batch}/report.html"}


def _write(path: Path, columns: Sequence[str], rows: Sequence[dict[str, str]]) -> None:
    """Write a table under another name first, so that none is half written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, columns, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    partial.replace(path)
