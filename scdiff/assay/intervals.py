"""Binomial and donor-level intervals of a fraction."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit, logit
from scipy.stats import beta, t

__all__ = ["clopper_pearson", "donor_interval", "interval_of_mean"]


def clopper_pearson(n_positive: int, n_cells: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Exact binomial interval.

    Parameters
    ----------
    n_positive, n_cells
        Cells called, of all cells; without cells the interval is (0, 1).

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


def interval_of_mean(estimates: Any, lows: Any, highs: Any, weights: Any) -> tuple[float, float, float]:
    """Mean of independent fractions with its interval, from their own intervals.

    The distance of each end from the estimate stands for what is not known on that side, and these add as variances do (the
    method of variance estimates recovery).

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
    10.1002/sim.3095

    >>> tuple(round(value, 4) for value in interval_of_mean([0.0, 0.0], [0.0, 0.0], [0.002, 0.002], [1, 1]))
    (0.0, 0.0, 0.0014)
    """
    middle, low, high = (np.asarray(values, dtype=float) for values in (estimates, lows, highs))
    share = np.asarray(weights, dtype=float) / np.sum(weights)
    mean = float(share @ middle)
    below, above = (float(np.sqrt(((share * (end - middle)) ** 2).sum())) for end in (low, high))
    return mean, max(0.0, mean - below), min(1.0, mean + above)


def donor_interval(fractions: Any, n_cells: Any, *, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of the mean fraction over donors, by Student's t on the logit scale.

    The donor is the unit: cells of one donor are no independent evidence. Fractions are drawn in by half a cell so
    that 0 and 1 have a logit.

    Parameters
    ----------
    fractions
        One fraction per donor, shape (n_donors,), at least two, 0-1.
    n_cells
        Cells per donor, shape (n_donors,).

    >>> tuple(round(bound, 3) for bound in donor_interval([0.02, 0.05, 0.11], [2000, 2000, 2000]))
    (0.006, 0.322)
    """
    values, cells = np.asarray(fractions, dtype=float), np.asarray(n_cells, dtype=float)
    logits = logit((values * cells + 0.5) / (cells + 1))
    half_width = t.ppf((1 + confidence) / 2, len(logits) - 1) * logits.std(ddof=1) / np.sqrt(len(logits))
    low, high = expit(logits.mean() - half_width), expit(logits.mean() + half_width)
    return (0.0 if not values.any() else float(low)), (1.0 if (values == 1).all() else float(high))
