"""Estimate the level of a marker from the batch if the programme states no level."""

from __future__ import annotations

from typing import Any

import numpy as np

from scdiff.assay.table import Floats

__all__ = ["learn_levels"]

UPPER = 0.75
"""Quantile of the counts above 0 above which a cell is assumed to express the marker: below it
contamination is common."""
ROUNDS = 50
"""Rounds of the fixed-point iteration of the truncated mean. Chosen, not tuned."""


def learn_levels(counts: Any, depth: Any) -> Floats:
    """Estimate the level of each marker in the cells that express it.

    The estimate comes from the cells with the most counts. It is a first guess for a wide prior:
    the fit moves it. If even these cells hold one count, most cells that express the marker show
    none. The mean of a zero-truncated Poisson distribution accounts for them.

    Parameters
    ----------
    counts
        Marker counts, shape (n_cells, n_markers), 0 or more.
    depth
        All counts of each cell, shape (n_cells,), 1 or more.

    Returns
    -------
    Levels, share of a cell's counts, shape (n_markers,); 1 per 10,000 for a marker without any
    count.

    >>> learn_levels([[0], [0], [20], [22]], [1000, 1000, 1000, 1000]).round(3).tolist()
    [0.022]
    """
    matrix, total = np.asarray(counts, dtype=float), np.maximum(np.asarray(depth, dtype=float), 1.0)
    return np.array([_level(column, total) for column in matrix.T])


def _level(counts: Floats, depth: Floats) -> float:
    """Estimate the level of one marker."""
    seen = counts > 0
    if not seen.any():
        return 1e-4
    high = seen & (counts >= np.quantile(counts[seen], UPPER))
    mean = seen_mean = float(counts[high].mean())
    # solves: mean of counts above 0 = mean / (1 - exp(-mean)); at least a tenth of a count
    for _ in range(ROUNDS):
        mean = max(seen_mean * -np.expm1(-mean), 0.1)
    return mean / float(depth[high].mean())
