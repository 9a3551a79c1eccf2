"""Test linearity: fit a line through the levels, and test the deviation from the line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f as f_distribution
from scipy.stats import t

from scdiff.batches.limits import fit_profile
from scdiff.errors import InputError

__all__ = ["Linearity", "fit_linearity"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Linearity:
    """A line through the levels, with the deviation of each level.

    Parameters
    ----------
    slope, intercept
        Weighted least squares.
    slope_interval, intercept_interval
        95 % intervals.
    p_deviation
        P value of lack of fit: deviation from the line against the scatter of replicates.
    p_curve
        P value of a curve: the smaller one of the highest coefficients of a polynomial of second
        and of third order.
    levels, deviation, deviation_low, deviation_high
        Mean measured value minus the value of the line, by level, with its 95 % interval, in the
        unit of the measurements.
    """

    slope: float
    intercept: float
    slope_interval: tuple[float, float]
    intercept_interval: tuple[float, float]
    p_deviation: float
    p_curve: float
    levels: Floats
    deviation: Floats
    deviation_low: Floats
    deviation_high: Floats

    @property
    def worst(self) -> float:
        """Largest absolute deviation, relative to the value of the line."""
        line = self.intercept + self.slope * self.levels
        return float(np.max(np.abs(self.deviation) / np.maximum(np.abs(line), 1e-12)))


def fit_linearity(expected: Any, measured: Any) -> Linearity:
    """Fit the line by weighted least squares; weights are inverse variances.

    The variance of each level comes from the precision profile.

    Parameters
    ----------
    expected, measured
        Expected and measured value of each measurement, shape (n,). There must be three or more
        levels with two or more measurements each.

    Raises
    ------
    InputError
        If there are fewer levels or measurements.

    Source
    ------
    CLSI EP06 (weighted line, deviation by level; polynomials as in EP06-A); lack of fit: Draper
    and Smith, Applied Regression Analysis, 3rd edition, section 2
    """
    x, y = np.asarray(expected, dtype=float), np.asarray(measured, dtype=float)
    levels, place, count = np.unique(x, return_inverse=True, return_counts=True)
    if len(levels) < 3 or count.min() < 2:
        raise InputError(
            "linearity needs three or more levels with two or more measurements each, but there "
            f"are {len(levels)} levels, or one has a single measurement."
        )
    means = np.bincount(place, y) / count
    within = np.bincount(place, (y - means[place]) ** 2) / (count - 1)
    variance = _smooth_variances(levels, within, count)
    weight = 1 / variance[place]
    line, covariance = _fit_weighted(np.column_stack([np.ones_like(x), x]), y, weight)
    freedom = len(x) - len(levels)
    reach = float(t.ppf(0.975, freedom))
    ends = [
        (value - reach * error, value + reach * error)
        for value, error in zip(line, np.sqrt(np.diag(covariance)), strict=True)
    ]
    deviation, margin = means - (line[0] + line[1] * levels), reach * np.sqrt(variance / count)
    return Linearity(
        float(line[1]),
        float(line[0]),
        ends[1],
        ends[0],
        _test_lack_of_fit(
            deviation, count / variance, float(((count - 1) * within) @ (1 / variance)), freedom
        ),
        _test_curvature(x, y, weight, len(levels), freedom),
        levels,
        deviation,
        deviation - margin,
        deviation + margin,
    )


def _fit_weighted(design: Floats, y: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Return the coefficients of weighted least squares, and their covariance."""
    scaled = design * weight[:, None]
    inverse = np.linalg.inv(design.T @ scaled)
    return np.asarray(inverse @ (scaled.T @ y)), np.asarray(inverse, dtype=np.float64)


def _smooth_variances(levels: Floats, within: Floats, count: Any) -> Floats:
    """Return the variance of each level by the precision profile.

    The variance of a few replicates is too uncertain for a weight.
    """
    profile = fit_profile(levels, within, count - 1, draws=1)
    return np.asarray(np.maximum(profile.sd(levels) ** 2, np.max(within) * 1e-6 + 1e-300))


def _test_lack_of_fit(deviation: Floats, weight: Floats, scatter: float, freedom: int) -> float:
    """Return the P value of the lack of fit, an F test against the scatter of replicates."""
    more = len(deviation) - 2
    ratio = float(weight @ deviation**2) / more / max(scatter / freedom, 1e-300)
    return float(f_distribution.sf(ratio, more, freedom))


def _test_curvature(x: Floats, y: Floats, weight: Floats, n_levels: int, freedom: int) -> float:
    """Return the P value of a curve: of two polynomials, with Bonferroni correction."""
    centre, width = x.mean(), max(float(np.ptp(x)), 1e-300)
    found = []
    for order in (2, 3):
        if n_levels > order:
            design = np.vander((x - centre) / width, order + 1, increasing=True)
            coefficient, covariance = _fit_weighted(design, y, weight)
            found.append(
                2 * float(t.sf(abs(coefficient[-1]) / np.sqrt(covariance[-1, -1]), freedom))
            )
    return min(1.0, len(found) * min(found))
