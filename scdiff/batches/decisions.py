"""Register release decisions in the history of batches, and compare both later."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scdiff.batches.evidence import FRACTIONS, hash_file
from scdiff.batches.record import Release, read_release
from scdiff.batches.release import PAGE, RECORD

if TYPE_CHECKING:
    from scdiff.batches.chain import Entry
    from scdiff.batches.history import History

__all__ = ["check_history", "check_results", "register_release"]

_TABLE = f"tables/{FRACTIONS}"


def check_results(history: History, results: Sequence[Path], batches: Sequence[str] = ()) -> None:
    """Raise an error if a decision on a result could not be registered, before it is made.

    Parameters
    ----------
    history
        An open history.
    results
        Output folders of ``scdiff run``; a folder without tables is left to
        :func:`scdiff.batches.release.release_batches`.
    batches
        Names of the batches, one for each result; empty: the names of the folders.

    Raises
    ------
    ScdiffError
        If a batch has no run in the history, or its current run has other numbers.
    """
    names = batches or [folder.resolve().name for folder in results]
    history.check_runs(
        {
            name: hash_file(folder / _TABLE)
            for name, folder in zip(names, results, strict=False)
            if (folder / _TABLE).is_file()
        }
    )


def register_release(history: History, out: Path, *, who: str | None = None) -> list[Entry]:
    """Append every decision of a record to a history, all or none.

    Each decision has the SHA-256 of ``release.json``, so that :func:`check_history` later detects a
    record that was rewritten together with its hashes.

    Parameters
    ----------
    history
        An open history that has the runs.
    out
        Folder of the record.
    who
        Name of the person who decides.

    Returns
    -------
    The entries, in the order of the sheets of the record.

    Raises
    ------
    ScdiffError
        If the record cannot be read, a batch has no run in the history, or its current run has
        other numbers.
    """
    release, sha256 = read_release(out / RECORD), hash_file(out / RECORD)
    decisions = [
        (
            sheet.batch,
            {
                "specification": sheet.specification,
                "version": sheet.version,
                "decision": sheet.decision,
                "sha256": sha256,
                "page": str((out / PAGE).resolve()),
                "who": who,
            },
        )
        for sheet in release.sheets
    ]
    return history.add_decisions(decisions, fractions=_list_fractions(release))


def _list_fractions(release: Release) -> dict[str, str]:
    """Return the SHA-256 of ``fractions.csv`` of each result."""
    return {result.batch: result.files[_TABLE] for result in release.results}


def check_history(history: History, out: Path) -> list[str]:
    """Return a sentence for each changed row of a history, and for each decision that it lacks.

    Parameters
    ----------
    history
        An open history.
    out
        Folder of the record.

    Raises
    ------
    ScdiffError
        If the record or the history cannot be read.
    """
    release, sha256 = read_release(out / RECORD), hash_file(out / RECORD)
    _, faults = history.verify()
    if faults:
        return [f"history: {fault.sentence}" for fault in faults]
    rows = history.decisions()
    batches = history.runs(superseded=True).set_index("number")["batch"]
    same = rows[rows["sha256"] == sha256]
    known = {
        (str(batches.get(run)), specification, version, decision)
        for run, specification, version, decision in zip(
            same["run"], same["specification"], same["version"], same["decision"], strict=True
        )
    }
    return [
        f"{sheet.batch} by {sheet.specification} {sheet.version}: the history has no decision "
        f"{sheet.decision} with the SHA-256 of this {RECORD}."
        for sheet in release.sheets
        if (sheet.batch, sheet.specification, sheet.version, sheet.decision) not in known
    ]
