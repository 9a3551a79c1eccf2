"""Charts of the process on standard scores: moving range, EWMA and CUSUM.

Limits allow for a mean and a spread that were estimated from the baseline: with 20 batches the
textbook's limits give two and a half times as many false alarms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = [
    "CUSUM_LIMIT",
    "EWMA_LIMIT",
    "EWMA_WEIGHT",
    "RANGE_LIMIT",
    "Averages",
    "Sums",
    "cusum",
    "ewma",
    "moving_range",
]

Array = np.ndarray

EWMA_WEIGHT, EWMA_LIMIT = 0.2, 2.86
"""Weight of the newest batch; limit in standard deviations, for one false alarm in 370 batches.

Source: Lucas and Saccucci 1990, https://doi.org/10.1080/00401706.1990.10484583.
"""

CUSUM_SLACK, CUSUM_LIMIT = 0.5, 4.77
"""Slack and limit in standard deviations: for a shift of one, and one false alarm in 370 batches.

Source: Siegmund 1985, Sequential Analysis.
"""

RANGE_LIMIT = 3 * 2**0.5
"""Three standard deviations of a difference of two scores: 0.27 %; the usual 3.69 gives 0.9 %."""


@dataclass(frozen=True)
class Averages:
    """Weighted averages of scores, and the limit on either side at each."""

    averages: Array
    limits: Array
    alarms: Array


@dataclass(frozen=True)
class Sums:
    """Sums of scores above and below the slack, and their limit."""

    up: Array
    down: Array
    limit: float
    alarms: Array


def widen(limit: float, freedom: float) -> float:
    """Widen a limit, at the same probability, for a standard deviation that was estimated.

    >>> round(widen(3.0, 19), 2), round(widen(3.0, 1e6), 2)
    (3.45, 3.0)
    """
    from scipy import special

    return float(-special.stdtrit(freedom, special.ndtr(-limit)))


def moving_range(scores: Array) -> tuple[Array, Array]:
    """Take the difference of each score from the last one, and say whether it is beyond the limit.

    NaN if it is missing.
    """
    scores = np.asarray(scores, float)
    there = np.flatnonzero(np.isfinite(scores))
    found = np.full(len(scores), np.nan)
    found[there[1:]] = np.abs(np.diff(scores[there]))
    return found, np.nan_to_num(found) > RANGE_LIMIT


def ewma(scores: Array, *, shared: float = 0.0, freedom: float = 1e6) -> Averages:
    """Average scores with weights that fall off, to find a small shift that lasts.

    Parameters
    ----------
    scores
        In order; NaN if a number is missing, which leaves the average as it was.
    shared
        Share of the variance that all scores have in common, as they stand around the same
        estimated mean; 0-1.
    freedom
        Degrees of freedom of the estimated variance.
    """
    scores = np.asarray(scores, float)
    values, limits = np.zeros(len(scores)), np.zeros(len(scores))
    value, rest, factor = 0.0, 1.0, widen(EWMA_LIMIT, freedom)
    for place, score in enumerate(scores):
        if not np.isnan(score):
            value, rest = (1 - EWMA_WEIGHT) * value + EWMA_WEIGHT * score, rest * (1 - EWMA_WEIGHT)
        own = EWMA_WEIGHT / (2 - EWMA_WEIGHT) * (1 - rest**2)
        values[place] = value
        limits[place] = factor * np.sqrt(shared * (1 - rest) ** 2 + (1 - shared) * own)
    return Averages(values, limits, ~np.isnan(scores) & (np.abs(values) > limits))


def cusum(scores: Array, *, freedom: float = 1e6) -> Sums:
    """Sum what scores exceed the slack by, to find when a shift began.

    Parameters
    ----------
    scores
        As in :func:`ewma`.
    freedom
        Degrees of freedom of the estimated variance.
    """
    scores = np.asarray(scores, float)
    limit = CUSUM_LIMIT * (widen(EWMA_LIMIT, freedom) / EWMA_LIMIT) ** 2
    up, down = np.zeros(len(scores)), np.zeros(len(scores))
    above = below = 0.0
    for place, score in enumerate(scores):
        if not np.isnan(score):
            above, below = (
                max(0.0, above + score - CUSUM_SLACK),
                max(0.0, below - score - CUSUM_SLACK),
            )
        up[place], down[place] = above, below
        above, below = (
            0.0 if total > limit else total for total in (above, below)
        )  # a sum begins again after its alarm
    return Sums(up, down, limit, ~np.isnan(scores) & (np.maximum(up, down) > limit))
