"""Register runs and decisions in a history, for ``run``, ``release`` and ``history add``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = [
    "check_history",
    "check_results",
    "describe_entry",
    "open_early",
    "register_decisions",
    "register_run",
]


def open_early(url: str) -> None:
    """Open the history before a long run, so that a wrong URL fails immediately.

    Raises
    ------
    ScdiffError
        If the history cannot be opened.
    """
    from scdiff.batches.history import open_history

    open_history(url, create=True)


def register_run(url: str, out: Path, batch: str | None) -> str:
    """Register a finished run; return a sentence about its entry.

    Raises
    ------
    ScdiffError
        If the history has the batch with other numbers.
    """
    from scdiff.batches.folder import read_folder
    from scdiff.batches.history import Facts, open_history

    run = read_folder(out)
    entry, new = open_history(url, create=True).add_run(run, Facts(batch=batch), again=True)
    return describe_entry(batch or run.name, entry, new)


def check_results(url: str, results: Sequence[Path], batches: Sequence[str]) -> None:
    """Raise an error if decisions on these results could not be registered.

    Raises
    ------
    ScdiffError
        If the history is missing, or does not have the runs.
    """
    from scdiff.batches import decisions
    from scdiff.batches.history import open_history

    decisions.check_results(open_history(url), results, batches)


def register_decisions(url: str, out: Path, who: str | None) -> list[str]:
    """Register all decisions in a folder; return a sentence about each entry.

    Raises
    ------
    ScdiffError
        If the history cannot be written, or does not have the runs.
    """
    from scdiff.batches import decisions
    from scdiff.batches.history import open_history

    entries = decisions.register_release(open_history(url), out, who=who)
    return [
        f"Decision: entry {entry.number} of the history, hash {entry.hash[:16]}."
        for entry in entries
    ]


def check_history(url: str, out: Path) -> list[str]:
    """Return a sentence for each changed row of a history, and for each decision that it lacks.

    Raises
    ------
    ScdiffError
        If the history is missing, or the record cannot be read.
    """
    from scdiff.batches import decisions
    from scdiff.batches.history import open_history

    return decisions.check_history(open_history(url), out)


def describe_entry(batch: str, entry: Any, new: bool) -> str:
    """Return a sentence about the entry of a run."""
    if new:
        return f"Batch {batch}: entry {entry.number} of the history, hash {entry.hash[:16]}."
    what = "already has the same numbers; nothing was written"
    return f"Batch {batch}: entry {entry.number} of the history {what}."
