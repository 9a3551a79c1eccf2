"""Estimate LoB, LoD and LoQ from measurements, as CLSI EP17-A2 describes.

Limit of blank (LoB) by rank, limit of detection (LoD) by probit, limit of quantification (LoQ) by
the precision profile and the total error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize, minimize_scalar, nnls
from scipy.stats import binom, chi2, norm

from scdiff.errors import InputError

__all__ = [
    "Bounded",
    "Profile",
    "find_blank_limit",
    "find_detection_limit",
    "find_quantification_limit",
    "fit_profile",
    "total_error",
]

Floats = NDArray[np.float64]

STEEPEST = 60.0
"""Highest slope of the probit line, per factor of ten of the level.

If the data allow a steeper line, every level has a hit rate of 0 or 1 and the slope is not defined.
"""

MOST_ROUNDS, LEAST_VARIANCE = 60, 1e-9
"""Limits of the fit of the variance function; chosen, not tuned.

Maximum number of iterations; smallest variance for a weight, relative to the largest variance.
"""

FARTHEST = 2.0
"""A LoD above this multiple of the highest level is not stated: no measurement supports it.

Chosen, not tuned.
"""

Z_BOTH = 2.0
"""Number of standard deviations that the total error adds to the bias (about 95 %)."""


@dataclass(frozen=True)
class Bounded:
    """A limit with its 95 % interval; NaN if it cannot be estimated."""

    value: float
    low: float
    high: float


def find_blank_limit(values: Any, *, share: float = 0.95) -> Bounded:
    """Estimate the limit of blank by rank: 95 % of the blanks do not exceed it.

    Parameters
    ----------
    values
        Results of blanks, shape (n,).
    share
        Share of blanks at or below the limit, between 0 and 1.

    Raises
    ------
    InputError
        If ``values`` is empty.

    Source
    ------
    CLSI EP17-A2, non-parametric: rank 0.5 + 0.95 n, interpolated between two ranks; interval by
    binomial ranks

    >>> find_blank_limit(range(1, 61)).value
    57.5
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    n = len(ordered)
    if not n:
        raise InputError("a limit of blank needs at least one blank.")
    low, high = (int(binom.ppf(tail, n, share)) for tail in (0.025, 0.975))
    value = _interpolate_rank(ordered, 0.5 + share * n)
    return Bounded(value, float(ordered[max(low - 1, 0)]), float(ordered[min(high, n - 1)]))


def _interpolate_rank(ordered: Floats, rank: float) -> float:
    """Return the value at a rank, counted from 1; interpolate between two ranks."""
    return float(np.interp(rank, np.arange(1, len(ordered) + 1), ordered))


def find_detection_limit(
    levels: Any, detected: Any, tested: Any, *, power: float = 0.95
) -> Bounded:
    """Estimate the limit of detection by probit regression on the logarithm of the level.

    The limit is the level with a hit rate of 95 %.

    Parameters
    ----------
    levels
        Levels above 0, shape (n,).
    detected, tested
        Number of measurements with a detection, and of all measurements, at each level; shape (n,).
    power
        Hit rate at the limit, between 0 and 1.

    Returns
    -------
    The limit with its 95 % interval by profile likelihood. If all measurements or no measurements
    are detected, the value is NaN and only one end of the interval is known.

    Raises
    ------
    InputError
        If ``levels`` is empty, or a level is not above 0.

    Source
    ------
    CLSI EP17-A2, section 5.5 (probit); Finney, Probit Analysis, 3rd edition
    """
    x, found, all_of = (np.asarray(part, dtype=float) for part in (levels, detected, tested))
    if not len(x) or x.min() <= 0:
        raise InputError("probit regression needs levels above 0.")
    if not 0 < found.sum() < all_of.sum():
        known = (0.0, float(x.min())) if found.sum() else (float(x.max()), np.inf)
        return Bounded(np.nan, *known)
    position = np.log10(x)
    line = _Line(position, found, all_of, float(norm.ppf(power)))
    slope, limit, lowest = line.best()
    if slope <= 1e-6 or limit > np.log10(FARTHEST * x.max()):
        return Bounded(np.nan, 0.0, np.inf)
    allowed = lowest + chi2.ppf(0.95, 1) / 2
    low, high = (
        10 ** _find_end(lambda at: line.profile(at) - allowed, limit, side) for side in (-1.0, 1.0)
    )
    return Bounded(float(10**limit), float(low), float(high))


@dataclass(frozen=True)
class _Line:
    """A probit line through hit rates: its parameters are the slope and log10 of the limit."""

    position: Floats
    found: Floats
    tested: Floats
    height: float

    def loss(self, slope: float, limit: float) -> float:
        """Return the negative log-likelihood."""
        z = slope * (self.position - limit) + self.height
        return -float(self.found @ norm.logcdf(z) + (self.tested - self.found) @ norm.logsf(z))

    def best(self) -> tuple[float, float, float]:
        """Return slope, limit and loss of the best line."""
        starts = [
            (slope, at)
            for slope in (2.0, 5.0, 15.0)
            for at in np.quantile(self.position, [0.25, 0.5, 0.9])
        ]
        span = (float(self.position.min()) - 3, float(self.position.max()) + 3)
        fits = [
            minimize(
                lambda pair: self.loss(*pair),
                start,
                bounds=[(0.0, STEEPEST), span],
                method="L-BFGS-B",
                options={"ftol": 1e-13},
            )
            for start in starts
        ]
        fit = min(fits, key=lambda one: float(one.fun))
        return float(fit.x[0]), float(fit.x[1]), float(fit.fun)

    def profile(self, limit: float) -> float:
        """Return the loss of the best line with a given limit."""
        parts = np.array([0.0, 2.0, 6.0, 20.0, STEEPEST])
        fits = [
            minimize_scalar(self.loss, bounds=(a, b), args=(limit,), method="bounded")
            for a, b in pairwise(parts)
        ]
        return float(min(fit.fun for fit in fits))


def _find_end(above: Callable[[float], float], limit: float, side: float) -> float:
    """Return the end of the interval on one side, at most three decades from the limit."""
    step = 0.02
    inner = limit
    while step < 3:
        outer = limit + side * step
        if above(outer) > 0:
            return float(brentq(above, min(inner, outer), max(inner, outer), xtol=1e-5))
        inner, step = outer, step * 1.6
    return limit + side * 3


@dataclass(frozen=True)
class Profile:
    """Precision profile: variance ``a + b level + c level**2``, each coefficient 0 or more.

    Parameters
    ----------
    coefficients
        a, b, c.
    draws
        Coefficients fitted to variances that were drawn from the fit (parametric bootstrap), shape
        (n, 3).
    """

    coefficients: Floats
    draws: Floats

    def sd(self, level: Any) -> Floats:
        """Return the standard deviation at levels, shape (n,)."""
        return np.sqrt(_compute_powers(level) @ self.coefficients)

    def sd_high(self, level: Any, *, confidence: float = 0.95) -> Floats:
        """Return the upper one-sided bound of the standard deviation at levels, shape (n,)."""
        return np.quantile(np.sqrt(_compute_powers(level) @ self.draws.T), confidence, axis=1)


def _compute_powers(level: Any) -> Floats:
    """Return powers 0, 1 and 2 of levels, shape (n, 3)."""
    return np.vander(np.atleast_1d(np.asarray(level, dtype=float)), 3, increasing=True)


def fit_profile(
    levels: Any, variances: Any, freedom: Any, *, draws: int = 200, seed: int = 0
) -> Profile:
    """Fit the precision profile to variances, each with a scaled chi-squared distribution.

    Parameters
    ----------
    levels, variances
        Levels and the variances at each, shape (n,), 0 or more.
    freedom
        Degrees of freedom of each variance, shape (n,), 1 or more.
    draws
        Number of bootstrap draws for the bounds of the profile.
    seed
        Start of the random generator.

    Raises
    ------
    InputError
        If ``levels`` is empty.

    Source
    ------
    CLSI EP17-A2 (precision profile); variance functions: Sadler (10.1177/0004563215575560)
    """
    u, seen, df = (np.asarray(part, dtype=float) for part in (levels, variances, freedom))
    if not len(u):
        raise InputError("a precision profile needs at least one level.")
    best = _fit_variance(u, seen, df)
    rng = np.random.default_rng(seed)
    expected = _compute_powers(u) @ best
    again = [_fit_variance(u, expected * rng.chisquare(df) / df, df) for _ in range(draws)]
    return Profile(best, np.array(again))


def _fit_variance(u: Floats, seen: Floats, df: Floats) -> Floats:
    """Return the coefficients: non-negative least squares, reweighted by the fitted variances."""
    top, high = max(float(u.max()), 1e-300), max(float(seen.max()), 1e-300)
    powers, variance = _compute_powers(u / top), seen / high
    coefficient, _ = nnls(powers, variance)
    for _ in range(MOST_ROUNDS):
        weight = np.sqrt(df) / np.maximum(powers @ coefficient, LEAST_VARIANCE)
        again, _ = nnls(powers * weight[:, None], variance * weight)
        if np.allclose(again, coefficient, rtol=1e-6, atol=1e-12):
            break
        coefficient = (coefficient + again) / 2
    return np.asarray(coefficient * high / top ** np.arange(3))


def total_error(bias: Any, sd: Any, level: Any) -> Floats:
    """Return the total error relative to the level: absolute bias plus two standard deviations.

    >>> float(total_error(-0.001, 0.002, 0.02))
    0.25
    """
    return np.asarray((np.abs(bias) + Z_BOTH * np.asarray(sd)) / np.asarray(level, dtype=float))


def find_quantification_limit(
    profile: Profile, span: tuple[float, float], *, bias: float, goal: float
) -> Bounded:
    """Estimate the limit of quantification: the lowest level with an allowable total error.

    All higher levels have an allowable total error, too. The value uses the upper bound of the
    standard deviation, so the goal is met with confidence; ``low`` uses the fitted standard
    deviation. The value is never below the lowest tested level.

    Parameters
    ----------
    profile
        The precision profile.
    span
        Lowest and highest tested level.
    bias
        Mean bias over the levels, relative to the level.
    goal
        Allowable total error, relative to the level.

    Source
    ------
    CLSI EP17-A2, section 6 (total error)
    """
    grid = np.geomspace(*span, 400)
    upper, fitted = (
        total_error(bias * grid, sd, grid) <= goal
        for sd in (profile.sd_high(grid), profile.sd(grid))
    )
    value, low = (_find_first_kept(grid, kept) for kept in (upper, fitted))
    return Bounded(value, low, value)


def _find_first_kept(grid: Floats, kept: Any) -> float:
    """Return the lowest level from which a goal is always met; NaN if the highest misses it."""
    broken = np.flatnonzero(~kept)
    start = int(broken[-1]) + 1 if len(broken) else 0
    return float(grid[start]) if start < len(grid) else np.nan
