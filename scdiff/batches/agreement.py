"""Compare two methods, such as this assay and flow cytometry.

Deming regression, Passing-Bablok regression, and Bland-Altman differences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from scdiff.errors import InputError

__all__ = ["Differences", "Line", "compare_differences", "fit_deming", "fit_passing_bablok"]

Floats = NDArray[np.float64]
Interval = tuple[float, float]

FEWEST_PAIRS = 4
"""Minimum number of pairs: with fewer the intervals of the lines have no meaning."""


@dataclass(frozen=True)
class Line:
    """A line ``y = intercept + slope x``, with 95 % intervals."""

    slope: float
    intercept: float
    slope_interval: Interval
    intercept_interval: Interval


@dataclass(frozen=True)
class Differences:
    """Mean difference ``y - x`` and limits of agreement, with 95 % intervals."""

    mean: float
    mean_interval: Interval
    low: float
    low_interval: Interval
    high: float
    high_interval: Interval
    n: int


def _check_pairs(x: Any, y: Any) -> tuple[Floats, Floats]:
    """Return pairs of measurements as arrays; raise InputError if they cannot be compared."""
    one, other = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if (
        len(one) != len(other)
        or len(one) < FEWEST_PAIRS
        or not (np.isfinite(one).all() and np.isfinite(other).all())
    ):
        raise InputError(
            f"a method comparison needs {FEWEST_PAIRS} or more pairs of numbers, but there are "
            f"{len(one)} and {len(other)} numbers, or some are not finite."
        )
    if np.ptp(one) == 0:
        raise InputError(
            "a method comparison needs samples with different values, but the first method gives "
            "the same value for all."
        )
    return one, other


def fit_deming(x: Any, y: Any, *, ratio: float = 1.0) -> Line:
    """Fit a line with errors in both methods.

    Parameters
    ----------
    x, y
        Measurements of the same samples by two methods, shape (n,), four or more.
    ratio
        Error variance of y divided by the error variance of x, above 0.

    Raises
    ------
    InputError
        If there are fewer pairs, or x does not vary.

    Source
    ------
    Linnet (10.1093/clinchem/36.12.2027); intervals by the jackknife
    """
    one, other = _check_pairs(x, y)
    slope, intercept = _compute_deming(one, other, ratio)
    n = len(one)
    kept = ~np.eye(n, dtype=bool)
    left_out = np.array([_compute_deming(one[rest], other[rest], ratio) for rest in kept])
    pseudo = n * np.array([slope, intercept]) - (n - 1) * left_out
    error = pseudo.std(axis=0, ddof=1) / np.sqrt(n) * t.ppf(0.975, n - 2)
    ends = [
        (float(value - reach), float(value + reach))
        for value, reach in zip((slope, intercept), error, strict=True)
    ]
    return Line(slope, intercept, *ends)


def _compute_deming(x: Floats, y: Floats, ratio: float) -> tuple[float, float]:
    """Return slope and intercept of the Deming line."""
    sxx, syy, sxy = np.var(x), np.var(y), np.cov(x, y, bias=True)[0, 1]
    gap = syy - ratio * sxx
    slope = (gap + np.sqrt(gap**2 + 4 * ratio * sxy**2)) / (2 * sxy) if sxy else 0.0
    return float(slope), float(y.mean() - slope * x.mean())


def fit_passing_bablok(x: Any, y: Any) -> Line:
    """Fit a line by the ranks of the slopes of all pairs of samples; outliers have little effect.

    Parameters
    ----------
    x, y
        Measurements of the same samples by two methods, shape (n,), four or more.

    Raises
    ------
    InputError
        If there are fewer pairs, or x does not vary.

    Source
    ------
    Passing and Bablok (10.1515/cclm.1983.21.11.709)
    """
    one, other = _check_pairs(x, y)
    n = len(one)
    first, second = np.triu_indices(n, 1)
    dx, dy = one[second] - one[first], other[second] - other[first]
    kept = (dx != 0) | (dy != 0)
    with np.errstate(divide="ignore"):
        slopes = dy[kept] / dx[kept]
    slopes = np.sort(slopes[slopes != -1])
    shift = int((slopes < -1).sum())
    count = len(slopes)
    slope = _compute_shifted_median(slopes, shift)
    reach = norm.ppf(0.975) * np.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    lowest = round((count - reach) / 2)
    ends = [
        float(slopes[min(max(rank + shift, 1), count) - 1]) for rank in (lowest, count - lowest + 1)
    ]
    intercepts = [float(np.median(other - value * one)) for value in (slope, ends[1], ends[0])]
    return Line(slope, intercepts[0], (ends[0], ends[1]), (intercepts[1], intercepts[2]))


def _compute_shifted_median(ordered: Floats, shift: int) -> float:
    """Return the median of ordered slopes, shifted by the number of slopes below -1."""
    count = len(ordered)
    ranks = [(count + 1) // 2, (count + 2) // 2]
    return float(np.mean([ordered[min(rank + shift, count) - 1] for rank in ranks]))


def compare_differences(x: Any, y: Any) -> Differences:
    """Compute the mean difference and the limits of agreement.

    Parameters
    ----------
    x, y
        Measurements of the same samples by two methods, shape (n,), four or more.

    Raises
    ------
    InputError
        If there are fewer pairs, or x does not vary.

    Source
    ------
    Bland and Altman (10.1016/S0140-6736(86)90837-8)
    """
    one, other = _check_pairs(x, y)
    gap = other - one
    n, mean, sd = len(gap), float(gap.mean()), float(gap.std(ddof=1))
    reach = float(t.ppf(0.975, n - 1))
    of_mean, of_limit = (
        reach * sd / np.sqrt(n),
        reach * sd * np.sqrt(1 / n + norm.ppf(0.975) ** 2 / (2 * (n - 1))),
    )
    low, high = mean - norm.ppf(0.975) * sd, mean + norm.ppf(0.975) * sd
    ends = [
        (float(value - width), float(value + width))
        for value, width in ((mean, of_mean), (low, of_limit), (high, of_limit))
    ]
    return Differences(mean, ends[0], float(low), ends[1], float(high), ends[2], n)
