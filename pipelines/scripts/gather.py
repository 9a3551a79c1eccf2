"""Gather the results of many batches: a table of fractions, a table of verdicts, and a page."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from page import NOT_FINISHED, write_page

POOLED = "all"
"""Name of the sample in the rows about all samples of a batch together."""
VERDICT_COLUMNS = (
    "batch", "verdict", "n_cells", "n_called", "fraction", "fraction_low", "fraction_high",
    "prevalence", "prevalence_low", "prevalence_high", "lob", "lod", "lloq", "trajectory",
    "report", "log", "reason", "alerts",
)  # fmt: skip
STATUS = "status.json"
"""File in which `scdiff run` states its step, its state and its error."""


def write_results(results: Path, batches: Sequence[str]) -> None:
    """Write ``fractions.csv``, ``verdicts.csv`` and ``batches.html`` of all batches.

    Parameters
    ----------
    results
        Folder with ``batches/<batch>/`` and ``logs/<batch>.log``.
    batches
        Names, in the order of the tables. A batch that is not finished has the verdict
        ``not finished`` and the reason.
    """
    tables = {batch: _read(results / "batches" / batch, "fractions.csv") for batch in batches}
    rows = [{"batch": batch} | row for batch, table in tables.items() for row in table]
    verdicts = [_verdict(results, batch, table) for batch, table in tables.items()]
    _write(results / "fractions.csv", list(rows[0]) if rows else ["batch"], rows)
    _write(results / "verdicts.csv", VERDICT_COLUMNS, verdicts)
    write_page(results / "batches.html", verdicts)


def _read(folder: Path, name: str) -> list[dict[str, str]]:
    """Return the rows of a table of a batch as text, so that no digit changes.

    The list is empty if the batch is not finished.
    """
    path = folder / "tables" / name
    if not (folder / "report.html").is_file() or not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def _verdict(results: Path, batch: str, table: Sequence[dict[str, str]]) -> dict[str, str]:
    """Return the row of a batch: the main programme's state in all its samples.

    This is the first such row of its table.
    """
    log = results / "logs" / f"{batch}.log"
    row = {"batch": batch, "log": str(log.relative_to(results)) if log.is_file() else ""}
    pooled = next((row for row in table if row["sample"] == POOLED), None)
    if pooled is None:
        return row | {
            "verdict": NOT_FINISHED,
            "reason": _find_reason(results / "batches" / batch, log),
        }
    folder = results / "batches" / batch
    path = next(iter(_read(folder, "trajectory.csv")), {})
    return (
        row
        | pooled
        | {
            "trajectory": path.get("verdict", ""),
            "report": f"batches/{batch}/report.html",
            "alerts": " ".join(map(str, _read_status(folder).get("alerts") or ())),
        }
    )


def _find_reason(folder: Path, log: Path) -> str:
    """State why a batch is not finished: its error, or the step in which it was killed."""
    if not log.is_file():
        return "It did not start; the workflow stopped before."
    status = _read_status(folder)
    if not status:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        if last:
            return f"scdiff did not start: {last}"
    if status.get("state") == "failed":
        message = str(status.get("message"))
        if status.get("expected"):
            return message
        return f"An unexpected error: {status.get('error')}: {message}"
    where = _describe_place(status)
    return f"It ended without a message{where}: killed, most likely for its memory or time."


def _read_status(folder: Path) -> dict[str, Any]:
    """Return the fields of the status file of a batch; empty if it is missing or damaged."""
    try:
        status = json.loads((folder / STATUS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return status if isinstance(status, dict) else {}


def _describe_place(status: dict[str, Any]) -> str:
    """State in which step a run was, or after which; empty before the first."""
    done = status.get("steps_done") or []
    step = status.get("step")
    if step and step not in done:
        return f" in step {step}"
    return f" after step {done[-1]}" if done else ""


def _write(path: Path, columns: Sequence[str], rows: Sequence[dict[str, str]]) -> None:
    """Write a table under another name, then rename it, so that no table is incomplete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(
            handle, columns, restval="", extrasaction="ignore", lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(rows)
    partial.replace(path)
