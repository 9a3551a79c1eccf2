"""Find signals: points that violate a control rule, and the notes that answer them."""

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
"""Charts: of control material, and of product batches."""

PROCESS_RULES = {
    "1-3s": "The batch is beyond its 3 SD limits, which happens to one batch in 370 by chance.",
    "range": "The difference from the batch before exceeds the variation of the process.",
    "ewma": "The moving average (EWMA) is beyond its limits: the process has drifted.",
    "cusum": "The cumulative sum (CUSUM) is beyond its limit: the process has shifted.",
    "specification": "The batch is outside the specification.",
}
"""Rules of the process chart, with their meaning."""

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
"""Rules that can stay violated over several points; only the first point is a signal."""


def check_rule(chart: str | None, rule: str | None) -> None:
    """Raise an error if a chart or a rule of a note is unknown.

    Raises
    ------
    ConfigError
        If a rule is given without its chart.
    UnknownNameError
        If the name is unknown.
    """
    if chart is not None and chart not in CHARTS:
        raise UnknownNameError(f"--chart {chart!r}: unknown chart. {did_you_mean(chart, CHARTS)}")
    if rule is None:
        return
    if chart is None:
        raise ConfigError(
            f"--rule {rule!r} needs its chart: give --chart assay or --chart process."
        )
    known = (*RULES, "specification") if chart == "assay" else tuple(PROCESS_RULES)
    if rule not in known:
        raise UnknownNameError(
            f"--rule {rule!r}: the {chart} chart does not have this rule. "
            f"{did_you_mean(rule, known)}"
        )


def find_signals(
    points: pd.DataFrame,
    phases: Sequence[Phase],
    notes: dict[int, list[dict[str, Any]]],
    *,
    limits: tuple[float | None, float | None] = (None, None),
) -> pd.DataFrame:
    """List the rule violations.

    Parameters
    ----------
    points, phases
        Returned by :func:`scdiff.batches.control.evaluate`.
    notes
        Notes by entry number of the run (:func:`notes_by_run`).
    limits
        Lowest and highest fraction of the specification, 0-1.

    Returns
    -------
    One row per signal with the columns in ``COLUMNS``, the latest last.
    """
    import pandas as pd

    rows = []
    for phase in phases:
        part = points[(points["chart"] == phase.chart) & (points["phase"] == phase.number)]
        alarms = dict(phase.alarms) | (
            {"specification": _flag_outside(part, limits)} if phase.chart == "process" else {}
        )
        for rule, flags in alarms.items():
            rows += [
                _describe_signal(part.iloc[place], rule, notes)
                for place in np.flatnonzero(_find_onsets(flags) if rule in _LASTING else flags)
            ]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.sort_values(["number", "chart", "rule"], ignore_index=True)


def _find_onsets(flags: np.ndarray) -> np.ndarray:
    """Return the points at which a flag becomes true."""
    return flags & ~np.concatenate([[False], flags[:-1]])


def _flag_outside(points: pd.DataFrame, limits: tuple[float | None, float | None]) -> np.ndarray:
    """Flag the points outside the specification; a point without detection by its bound."""
    low, high = limits
    found = np.zeros(len(points), dtype=bool)
    if low is not None:
        found |= (points["value"].fillna(points["bound"]) < low).to_numpy()
    if high is not None:
        found |= (points["value"] > high).to_numpy()
    return found


def _describe_signal(
    point: Any, rule: str, notes: dict[int, list[dict[str, Any]]]
) -> dict[str, Any]:
    """Return the row of one signal."""
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
    """Group the notes by run; notes on a superseded run belong to its successor.

    Parameters
    ----------
    notes
        All notes.
    replaced
        Map from each superseded run to the entry that supersedes it.
    """
    found: dict[int, list[dict[str, Any]]] = {}
    for note in notes.to_dict("records"):
        number = int(note["run"])
        while number in replaced:
            number = replaced[number]
        found.setdefault(number, []).append({str(name): value for name, value in note.items()})
    return found
