"""Effect of droplets with two cells on the pattern weights, and positive droplets by chance.

A doublet shows each marker that either of its cells expresses. A positive cell with a negative one
still counts as one positive droplet, so the positive fraction of droplets is higher than that of
cells. Two cells with a single marker each together look positive.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scdiff.assay.table import Floats

__all__ = [
    "RATE_PER_CELL",
    "chance_positives",
    "estimate_doublet_rate",
    "prevalence_of_cells",
    "singlet_weights",
]

RATE_PER_CELL = 0.008 / 1000
"""Doublet rate per cell recovered in one droplet run (0.8 % per 1,000, the vendor's table)."""
MOST = 0.3
"""Highest doublet rate that is used. Chosen, not tuned."""
ROUNDS = 200
"""Most rounds of the correction; it stops earlier when the weights no longer change."""


def estimate_doublet_rate(n_cells: int) -> float:
    """Estimate the doublet rate of a sample from its number of cells.

    Parameters
    ----------
    n_cells
        Cells of the sample.

    >>> round(estimate_doublet_rate(5000), 3)
    0.04
    """
    return min(MOST, RATE_PER_CELL * n_cells)


def _mix_two(weight: Floats, patterns: Any) -> Floats:
    """Compute the weights of the patterns that two independent cells show, shape (n_patterns,)."""
    code = np.asarray(patterns, dtype=int) @ (1 << np.arange(np.shape(patterns)[1])[::-1])
    index = np.argsort(code)[np.searchsorted(np.sort(code), code[:, None] | code[None, :])]
    return np.asarray(
        np.bincount(index.ravel(), weights=np.outer(weight, weight).ravel(), minlength=len(weight)),
        dtype=float,
    )


def singlet_weights(weight: Floats, patterns: Any, rate: float) -> Floats:
    """Compute the pattern weights of single cells from those of droplets.

    Parameters
    ----------
    weight
        Weights of the droplets' patterns, shape (n_patterns,), summing to 1.
    patterns
        Expressed markers of each pattern, shape (n_patterns, n_markers), all combinations.
    rate
        Share of droplets with two cells, 0-0.3.

    >>> singlet_weights(np.array([0.81, 0.19]), np.array([[False], [True]]), 1.0).round(2).tolist()
    [0.9, 0.1]
    """
    single = np.asarray(weight, dtype=float)
    for _ in range(ROUNDS):
        mixed = (1 - rate) * single + rate * _mix_two(single, patterns)
        corrected = np.clip(single + (weight - mixed), 0, None)
        corrected /= corrected.sum()
        if np.abs(corrected - single).max() < 1e-12:
            break
        single = corrected
    return single


def prevalence_of_cells(
    prevalence: float, weight: Floats, patterns: Any, positive: Any, rate: float
) -> float:
    """Compute the fraction of positive cells from the fraction of positive droplets.

    Parameters
    ----------
    prevalence
        Fraction of droplets that are positive, 0-1 (the estimate or a bound of its interval).
    weight, patterns, positive
        Fitted weights of the patterns, shape (n_patterns,), the patterns, and which are positive.
    rate
        Share of droplets with two cells, 0-0.3.
    """
    if rate == 0 or not 0 < prevalence < 1:
        return prevalence
    scaled = np.empty(len(weight))
    for group, total in ((positive, prevalence), (~positive, 1 - prevalence)):
        scaled[group] = total * (weight[group] + 1e-300) / (weight[group] + 1e-300).sum()
    return float(singlet_weights(scaled, patterns, rate)[positive].sum())


def chance_positives(weight: Floats, patterns: Any, positive: Any, rate: float) -> float:
    """Compute the fraction of droplets that are positive only because they hold two negative cells.

    Parameters
    ----------
    weight, patterns, positive
        Fitted weights of the patterns, shape (n_patterns,), the patterns, and which are positive.
    rate
        Share of droplets with two cells, 0-0.3.
    """
    negative = np.where(positive, 0.0, weight)
    return float(
        rate
        * _mix_two(negative, patterns)[positive].sum()
        / max((1 - weight[positive].sum()) ** 2, 1e-12)
    )
