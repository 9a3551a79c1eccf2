"""Binomial and donor-level intervals of a fraction."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import beta, chi2, t

__all__ = ["clopper_pearson", "divergence", "donor_interval", "interval_of_mean"]

LEAST_LOSS, LEAST_MOVE = 1e-12, 1e-12
"""Divergence, and distance of an interval end from its fraction, below which they count as 0."""
LOG_PULLS = (-30.0, 60.0)
"""Range of ln of the price of likelihood in which the end of a mean is searched."""


def clopper_pearson(
    n_positive: int, n_cells: int, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Compute the exact binomial interval.

    Parameters
    ----------
    n_positive, n_cells
        Called cells and all cells; without cells the interval is (0, 1).
    confidence
        Nominal coverage, between 0 and 1.

    Source
    ------
    10.1093/biomet/26.4.404

    >>> tuple(round(bound, 5) for bound in clopper_pearson(0, 5000))
    (0.0, 0.00074)
    """
    tail = (1 - confidence) / 2
    low = beta.ppf(tail, n_positive, n_cells - n_positive + 1) if n_positive > 0 else 0.0
    high = beta.ppf(1 - tail, n_positive + 1, n_cells - n_positive) if n_positive < n_cells else 1.0
    return float(low), float(high)


def interval_of_mean(
    estimates: Any, lows: Any, highs: Any, weights: Any
) -> tuple[float, float, float]:
    """Compute the mean of independent fractions with its 95 % interval, from their 95 % intervals.

    Each interval end corresponds to a number of cells whose plain count would be as certain on that
    side. The interval of the mean is the profile likelihood of these counts: all sets of fractions
    that together lose no more likelihood than one end alone. One fraction keeps its interval;
    samples without a positive cell share one upper bound, as their pooled cells do.

    Parameters
    ----------
    estimates, lows, highs
        Fractions with the ends of their intervals, shape (n,), 0-1.
    weights
        Their weights in the mean, shape (n,), for example numbers of cells.

    Returns
    -------
    Mean, lower and upper end.

    Source
    ------
    Profile likelihood of independent binomials; the means of MOVER (10.1002/sim.3095), which add
    distances as variances, are wider for fractions of 0.

    >>> mean, low, high = interval_of_mean([0.0, 0.0], [0.0, 0.0], [0.002, 0.002], [1, 1])
    >>> round(mean, 4), round(low, 4), round(high, 4)
    (0.0, 0.0, 0.001)
    >>> tuple(round(value, 4) for value in interval_of_mean([0.1], [0.08], [0.13], [1]))
    (0.1, 0.08, 0.13)
    """
    middle = np.asarray(estimates, dtype=float)
    share = np.asarray(weights, dtype=float) / np.sum(weights)
    low, high = (
        _end_of_mean(middle, np.asarray(ends, dtype=float), share, side)
        for ends, side in ((lows, -1.0), (highs, 1.0))
    )
    return float(share @ middle), low, high


def _end_of_mean(middle: Any, ends: Any, share: Any, side: float) -> float:
    """Find the farthest mean on one side whose fractions together lose the allowed likelihood."""
    allowed = chi2.ppf(0.95, 1) / 2
    loss = divergence(middle, ends)
    cells = np.where(loss > 0, allowed / np.maximum(loss, LEAST_LOSS), np.inf)
    moved = (np.abs(ends - middle) > LEAST_MOVE) & (share > 0)
    if not moved.any():
        return float(share @ middle)
    n, p, w = cells[moved], middle[moved], side * share[moved]

    def fractions(log_pull: float) -> Any:
        """Compute the fractions at which each loses likelihood at the same price for its part."""
        pull = np.exp(log_pull) * w
        root = np.sqrt((n - pull) ** 2 + 4 * pull * n * p)
        strong = (root + pull - n) / (2 * pull)
        weak = 2 * n * p / np.where(pull > n, 1.0, root + n - pull)
        return np.clip(np.where(pull > n, strong, weak), 0, 1)

    def excess(log_pull: float) -> float:
        """Compute the lost likelihood minus the allowed loss."""
        return float(n @ divergence(p, fractions(log_pull)) - allowed)

    least, most = LOG_PULLS
    if excess(most) <= 0:
        at = most
    elif excess(least) >= 0:
        at = least
    else:
        at = brentq(excess, least, most, xtol=1e-10)
    return float(share @ np.where(moved, 0.0, middle) + share[moved] @ fractions(at))


def divergence(p: Any, other: Any) -> Any:
    """Compute the Kullback-Leibler divergence of two Bernoulli distributions, broadcasting.

    Parameters
    ----------
    p, other
        Probability of the distribution, and of the one it is compared with, 0-1.
    """
    q = np.clip(other, 1e-12, 1 - 1e-12)
    inner, outer = np.clip(p, 1e-300, 1.0), np.clip(1 - np.asarray(p), 1e-300, 1.0)
    return np.asarray(p * np.log(inner / q) + (1 - np.asarray(p)) * np.log(outer / (1 - q)))


def donor_interval(
    fractions: Any, n_cells: Any, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Compute the interval of the mean fraction over donors, by Student's t on the logit scale.

    The donor is the unit, because cells of one donor are not independent. Fractions move inwards by
    half a cell, so that 0 and 1 have a logit.

    Parameters
    ----------
    fractions
        One fraction per donor, shape (n_donors,), two or more, 0-1.
    n_cells
        Cells per donor, shape (n_donors,).
    confidence
        Nominal coverage, between 0 and 1.

    >>> tuple(round(bound, 3) for bound in donor_interval([0.02, 0.05, 0.11], [2000, 2000, 2000]))
    (0.006, 0.322)
    """
    values, cells = np.asarray(fractions, dtype=float), np.asarray(n_cells, dtype=float)
    logits = logit((values * cells + 0.5) / (cells + 1))
    half_width = (
        t.ppf((1 + confidence) / 2, len(logits) - 1) * logits.std(ddof=1) / np.sqrt(len(logits))
    )
    low, high = expit(logits.mean() - half_width), expit(logits.mean() + half_width)
    return (0.0 if not values.any() else float(low)), (1.0 if (values == 1).all() else float(high))
