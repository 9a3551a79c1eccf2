"""Compute the control charts: baseline, standard scores, control limits and alarms."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.batches import drift
from scdiff.batches.baseline import (
    FEWEST,
    Baseline,
    counting_error,
    fit_baseline,
    quantile_score,
    score_below,
    values_at,
)
from scdiff.batches.series import belongs_to
from scdiff.batches.westgard import find_broken

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FEWEST_PROVISIONAL", "LIMITS", "Phase", "baseline_of", "evaluate"]

FEWEST_PROVISIONAL = 8
"""Minimum number of batches for provisional limits; chosen, not tuned.

With fewer batches the limits are too wide to detect a change.
"""

LIMITS = {
    "limit_low_3": -3.0,
    "limit_low_2": -2.0,
    "centre": 0.0,
    "limit_high_2": 2.0,
    "limit_high_3": 3.0,
}
"""Columns of the control limits, and the standard score (SD) of each."""

_SCORES = (
    "score",
    "score_high",
    "score_drift",
    "range",
    "ewma",
    "ewma_limit",
    "cusum_up",
    "cusum_down",
    "cusum_limit",
)


@dataclass(frozen=True)
class Phase:
    """Points of a chart that share one method, and the baseline that they are compared with."""

    chart: str
    number: int
    change: str
    n_points: int
    n_baseline: int
    baseline: Baseline | None
    locked: Mapping[str, Any] | None = None
    alarms: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return the name of the baseline, ``provisional`` or ``none``."""
        if self.locked is not None:
            return f"{self.locked['name']} version {self.locked['version']}"
        return "provisional" if self.baseline is not None else "none"


def baseline_of(points: pd.DataFrame) -> Baseline | None:
    """Estimate the baseline of points of one phase; None if too few values are detected."""
    usable = points[points["kind"] != "none"]
    censored = (usable["kind"] == "bound").to_numpy()
    fractions = np.where(censored, usable["level"], usable["value"]).astype(float)
    values = np.log(fractions / (1 - fractions))
    found = fit_baseline(values, usable["size"].to_numpy(), censored)
    if found is None or not censored.any():
        return found
    measured, _, levels = _compute_scores(usable, found)
    return replace(found, score_mean=float(np.mean(_compute_drift_scores(measured, levels))))


def _compute_scores(
    points: pd.DataFrame, baseline: Baseline
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the scores of measured values, of bounds and of censoring levels; NaN elsewhere."""
    kind, sizes = points["kind"].to_numpy(), points["size"].to_numpy()
    found = []
    for which, column in (("measured", "value"), ("bound", "bound"), ("bound", "level")):
        scores, chosen = np.full(len(points), np.nan), kind == which
        scores[chosen] = quantile_score(
            baseline, points[column].to_numpy(float)[chosen], sizes[chosen]
        )
        found.append(scores)
    return found[0], found[1], found[2]


def _compute_drift_scores(measured: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return the scores for EWMA and CUSUM; a censored point has its expected score."""
    return np.where(np.isnan(levels), measured, score_below(levels))


def evaluate(
    points: pd.DataFrame, locked: Sequence[Mapping[str, Any]] = ()
) -> tuple[pd.DataFrame, list[Phase]]:
    """Compare every point with the baseline of its phase.

    Parameters
    ----------
    points
        Returned by :func:`scdiff.batches.series.chart_points`.
    locked
        Rows of the locked baselines of this read-out, oldest first.

    Returns
    -------
    The points with scores, limits and averages; and the phases with the alarms of each rule.
    """
    import pandas as pd

    columns = (*_SCORES, *LIMITS)
    parts, phases = (
        [points.iloc[:0].assign(**dict.fromkeys(columns, np.nan), in_baseline=False, baseline="")],
        [],
    )
    for (chart, number), part in points.groupby(["chart", "phase"], sort=True):
        found, phase = _evaluate_phase(part, str(chart), int(str(number)), locked)
        parts.append(found)
        phases.append(phase)
    whole = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
    return whole, phases


def _evaluate_phase(
    points: pd.DataFrame, chart: str, number: int, locked: Sequence[Mapping[str, Any]]
) -> tuple[pd.DataFrame, Phase]:
    """Compute the columns of one phase, and its baseline and alarms."""
    lock = next(
        (row for row in reversed(locked) if row["chart"] == chart and belongs_to(points, row)),
        None,
    )
    usable = points["kind"].ne("none").to_numpy()
    if lock is not None:
        members = points["number"].isin(json.loads(lock["runs"])).to_numpy()
        baseline: Baseline | None = _restore_baseline(lock)
    else:
        members = usable & (np.cumsum(usable) <= FEWEST)
        baseline = baseline_of(points[members]) if members.sum() >= FEWEST_PROVISIONAL else None
    phase = Phase(
        chart,
        number,
        str(points["change"].iloc[0]),
        len(points),
        int(members.sum()),
        baseline,
        lock,
    )
    columns = _compute_columns(points, members, phase)
    return points.assign(in_baseline=members, baseline=phase.name, **columns), phase


def _restore_baseline(row: Mapping[str, Any]) -> Baseline:
    """Return a locked baseline from its row."""
    names = ("centre", "spread", "centre_error", "spread_error", "score_mean")
    return Baseline(n_detected=int(row["n_detected"]), **{name: float(row[name]) for name in names})


def _compute_columns(
    points: pd.DataFrame, members: np.ndarray, phase: Phase
) -> dict[str, np.ndarray]:
    """Return scores, limits and averages of a phase; add the alarms to the phase."""
    baseline, n_points = phase.baseline, len(points)
    if baseline is None:
        return {name: np.full(n_points, np.nan) for name in (*_SCORES, *LIMITS)}
    measured, bounds, levels = _compute_scores(points, baseline)
    low, high = (
        np.where(np.isnan(bounds), measured, -np.inf),
        np.where(np.isnan(bounds), measured, bounds),
    )
    drifting = _compute_drift_scores(measured, levels) - baseline.score_mean
    sizes = points["size"].to_numpy()
    limits = dict(
        zip(LIMITS, values_at(baseline, np.array(list(LIMITS.values())), sizes).T, strict=True)
    )
    averages = _compute_averages(drifting, members, baseline, float(np.median(sizes)))
    ranges, wide = drift.moving_range(measured)
    if phase.chart == "assay":
        phase.alarms.update(find_broken(low, upper=high))
    else:
        beyond = np.nan_to_num(low, nan=0.0, neginf=0.0) > 3, np.nan_to_num(high) < -3
        phase.alarms.update(
            {
                "1-3s": beyond[0] | beyond[1],
                "range": wide,
                "ewma": averages.pop("ewma_alarm"),
                "cusum": averages.pop("cusum_alarm"),
            }
        )
    shown = {name: column for name, column in averages.items() if not name.endswith("alarm")}
    return {
        "score": measured,
        "score_high": high,
        "score_drift": drifting,
        "range": ranges,
        **shown,
        **limits,
    }


def _compute_averages(
    scores: np.ndarray, members: np.ndarray, baseline: Baseline, size: float
) -> dict[str, np.ndarray]:
    """Compute EWMA and CUSUM over the baseline, and start both again after it."""
    error = float(counting_error(baseline.centre, np.array([size]))[0])
    variance = baseline.scale**2 + error**2
    shared = baseline.centre_error**2 / variance
    freedom = (
        max(2 * variance**2 / baseline.spread_error**2, 4.0) if baseline.spread_error > 0 else 1e6
    )
    first = int(np.flatnonzero(members).max(initial=-1)) + 1
    names = (
        "ewma",
        "ewma_limit",
        "ewma_alarm",
        "cusum_up",
        "cusum_down",
        "cusum_limit",
        "cusum_alarm",
    )
    parts = []
    for part in (scores[:first], scores[first:]):
        average, sums = (
            drift.ewma(part, shared=shared, freedom=freedom),
            drift.cusum(part, freedom=freedom),
        )
        limit = np.full(len(part), sums.limit)
        parts.append(
            (
                average.averages,
                average.limits,
                average.alarms,
                sums.up,
                sums.down,
                limit,
                sums.alarms,
            )
        )
    return {
        name: np.concatenate(columns)
        for name, columns in zip(names, zip(*parts, strict=True), strict=True)
    }
