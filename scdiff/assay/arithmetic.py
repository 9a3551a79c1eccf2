"""Small numerical functions of the mixture: weights, odds, and a cost with heavy tails."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logit

from scdiff.assay.table import Floats

__all__ = ["MOST_NEWTON", "TINY", "log_sum", "shift_of_odds", "softmax", "student_cost"]

TINY = 1e-300
"""Smallest number added before a logarithm or a division, so that the result is finite."""
MOST_NEWTON = 50
"""Most Newton steps; the search stops earlier when it has converged."""


def student_cost(away: Floats, freedom: float) -> tuple[float, Floats, Floats]:
    """Compute the cost of distances with Student's tails.

    Parameters
    ----------
    away
        Distances in standard deviations, any shape.
    freedom
        Degrees of freedom, above 0.

    Returns
    -------
    Cost, its gradient, and a positive curvature of each distance.
    """
    bend = (freedom + 1) / (freedom + away**2)
    return float((freedom + 1) / 2 * np.log1p(away**2 / freedom).sum()), bend * away, bend


def softmax(logits: Floats) -> Floats:
    """Compute weights that sum to 1 over the last axis.

    The function of scipy takes five times as long for so small arrays.
    """
    scaled = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(scaled / scaled.sum(axis=-1, keepdims=True))


def log_sum(logits: Floats) -> Floats:
    """Compute the logarithm of the summed exponentials over the last axis."""
    most = logits.max(axis=-1)
    return np.asarray(most + np.log(np.exp(logits - most[..., None]).sum(axis=-1)))


def shift_of_odds(odds: Floats, weight: Floats, prevalence: float) -> float:
    """Find the shift of the log-odds that gives a mean rate, by Newton's method.

    Parameters
    ----------
    odds
        Log-odds of each row, shape (n_rows,).
    weight
        Cells per row, shape (n_rows,).
    prevalence
        Mean rate after the shift, between 0 and 1.
    """
    goal = float(logit(prevalence))
    found = goal - float(weight @ odds / weight.sum())
    for _ in range(MOST_NEWTON):
        rate = expit(found + odds)
        mean = float(np.clip(weight @ rate / weight.sum(), 1e-15, 1 - 1e-15))
        step = (
            (goal - float(logit(mean)))
            * mean
            * (1 - mean)
            / max(float(weight @ (rate * (1 - rate))) / weight.sum(), TINY)
        )
        found += float(np.clip(step, -5.0, 5.0))
        if abs(step) < 1e-10:
            break
    return found
