"""Register finished runs in a history, for ``run --history`` and ``history add``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["describe_entry", "open_early", "register_run"]


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


def describe_entry(batch: str, entry: Any, new: bool) -> str:
    """Return a sentence about the entry of a run."""
    if new:
        return f"Batch {batch}: entry {entry.number} of the history, hash {entry.hash[:16]}."
    what = "already has the same numbers; nothing was written"
    return f"Batch {batch}: entry {entry.number} of the history {what}."
