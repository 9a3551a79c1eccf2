"""Signals: points at which a rule is broken, and the notes that answer them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.batches.westgard import RULES, WARNINGS
from scdiff.errors import ConfigError, UnknownNameError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from scdiff.batches.control import Phase

__all__ = ["CHARTS", "COLUMNS", "PROCESS_RULES", "check_rule", "find_signals", "notes_by_run"]

CHARTS = ("assay", "process")

PROCESS_RULES = {
    "1-3s": "The batch lies beyond its limits, which one batch in 370 does by chance.",
    "range": "The batch differs from the one before by more than the process does.",
    "ewma": "The weighted average of the last batches left its limits: the process drifted.",
    "cusum": "The batches since the shift began add up to more than chance gives.",
    "specification": "The batch lies outside the specification.",
}
"""Rules of the chart of the process, in words."""

COLUMNS = (
    "chart",
    "phase",
    "number",
    "batch",
    "sample",
    "analysed",
    "rule",
    "kind",
    "value",
    "score",
    "what",
    "baseline",
    "needs_note",
    "notes",
)

_LASTING = frozenset({"ewma", "cusum", "4-1s", "10x", "2-2s"})
"""Rules that stay broken for some time: a signal is where one begins."""


def check_rule(chart: str | None, rule: str | None) -> None:
    """Refuse a rule or a chart that there is not.

    Raises
    ------
    ConfigError
        If a rule comes without its chart.
    UnknownNameError
        If the name is unknown.
    """
    if chart is not None and chart not in CHARTS:
        raise UnknownNameError(f"--chart {chart!r}: no such chart. {did_you_mean(chart, CHARTS)}")
    if rule is None:
        return
    if chart is None:
        raise ConfigError(f"--rule {rule!r}: say with --chart of which chart, assay or process.")
    known = (*RULES, "specification") if chart == "assay" else tuple(PROCESS_RULES)
    if rule not in known:
        raise UnknownNameError(
            f"--rule {rule!r}: the chart of the {chart} has no such rule. "
            f"{did_you_mean(rule, known)}"
        )


def find_signals(
    points: pd.DataFrame,
    phases: Sequence[Phase],
    notes: dict[int, list[dict[str, Any]]],
    *,
    limits: tuple[float | None, float | None] = (None, None),
) -> pd.DataFrame:
    """List where a rule is broken.

    Parameters
    ----------
    points, phases
        As :func:`scdiff.batches.control.evaluate` gives them.
    notes
        Notes by the entry of the run (:func:`notes_by_run`).
    limits
        Lowest and highest fraction of the specification, 0-1.

    Returns
    -------
    One row per signal with the columns of ``COLUMNS``, the latest last.
    """
    import pandas as pd

    rows = []
    for phase in phases:
        part = points[(points["chart"] == phase.chart) & (points["phase"] == phase.number)]
        alarms = dict(phase.alarms) | (
            {"specification": _outside(part, limits)} if phase.chart == "process" else {}
        )
        for rule, flags in alarms.items():
            rows += [
                _row(part.iloc[place], rule, notes)
                for place in np.flatnonzero(_onsets(flags) if rule in _LASTING else flags)
            ]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.sort_values(["number", "chart", "rule"], ignore_index=True)


def _onsets(flags: np.ndarray) -> np.ndarray:
    """Where flags begin to hold."""
    return flags & ~np.concatenate([[False], flags[:-1]])


def _outside(points: pd.DataFrame, limits: tuple[float | None, float | None]) -> np.ndarray:
    """Say which points lie outside; what was not detected, where its bound is below."""
    low, high = limits
    found = np.zeros(len(points), dtype=bool)
    if low is not None:
        found |= (points["value"].fillna(points["bound"]) < low).to_numpy()
    if high is not None:
        found |= (points["value"] > high).to_numpy()
    return found


def _row(point: Any, rule: str, notes: dict[int, list[dict[str, Any]]]) -> dict[str, Any]:
    """Describe one signal."""
    chart, number = str(point["chart"]), int(point["number"])
    answers = [
        note
        for note in notes.get(number, [])
        if note["chart"] in {None, chart} and note["rule"] in {None, rule}
    ]
    what = PROCESS_RULES[rule] if chart == "process" else RULES[rule].summary
    warning = rule in WARNINGS
    taken = {
        name: point[name] for name in ("chart", "phase", "batch", "sample", "analysed", "baseline")
    }
    return taken | {
        "number": number,
        "rule": rule,
        "kind": "warning" if warning else "alarm",
        "value": point["value"] if point["kind"] == "measured" else point["bound"],
        "score": point["score_high"],
        "what": what,
        "needs_note": not warning and not answers,
        "notes": " | ".join(
            f"{note['cause']} - {note['action']} ({note['who']})" for note in answers
        ),
    }


def notes_by_run(notes: pd.DataFrame, replaced: dict[int, int]) -> dict[int, list[dict[str, Any]]]:
    """Gather the notes of each run; those of a superseded one go with its successor.

    Parameters
    ----------
    notes
        All notes.
    replaced
        Of each superseded run, the entry that replaced it.
    """
    found: dict[int, list[dict[str, Any]]] = {}
    for note in notes.to_dict("records"):
        number = int(note["run"])
        while number in replaced:
            number = replaced[number]
        found.setdefault(number, []).append({str(name): value for name, value in note.items()})
    return found
