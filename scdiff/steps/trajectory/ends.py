"""The ends: populations from which and toward which the other cells may be on their way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from scdiff.steps.trajectory.axis import FEWEST_CELLS_OF_END

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csr_matrix

__all__ = ["find_positive_end", "find_tips"]

FEWEST_CELLS_OF_STATE = 10
"""Cells that a positive sub-state needs to be preferred as the end by its pseudotime.

The median pseudotime of fewer cells is unstable. Chosen, not tuned.
"""
JOINED = 0.05
"""Connectivity (PAGA) above which two clusters are neighbours, 0-1. Chosen, not tuned."""

SHARE_OF_END = 0.25
"""Share of the positive end, 0-1, from which a cluster that holds it is not another end.

Chosen, not tuned.
"""
FAR = 0.5
"""Share of the furthest cluster's pseudotime beyond which a cluster can be an end, 0-1.

Chosen, not tuned.
"""

UNREACHED = 2.0
"""Pseudotime of cells that the root does not reach: above 1, the largest of the others."""


def find_positive_end(
    state: np.ndarray,
    states: Sequence[str],
    probability: np.ndarray,
    pseudotime: np.ndarray,
    graph: csr_matrix,
) -> np.ndarray:
    """Choose the progenitor-like end among the positive cells; no cell if they are too few.

    Positive cells whose neighbours are not positive are left out, since single false calls are not
    an end. Of the sub-states with ten cells or more, the one furthest in pseudotime is chosen;
    cells that the root does not reach count as furthest.

    Parameters
    ----------
    state
        Sub-state of each cell, shape (n_cells,).
    states
        The positive states.
    probability
        Probability of the main programme's state, 0-1 or NaN, shape (n_cells,).
    pseudotime
        0-1 or NaN, shape (n_cells,).
    graph
        Weights of the neighbours, shape (n_cells, n_cells).

    Returns
    -------
    Cells of the end, shape (n_cells,).
    """
    positive = np.isin(state, list(states))
    if positive.sum() < FEWEST_CELLS_OF_END:
        return np.zeros(len(state), dtype=bool)
    known = np.nan_to_num(probability)
    total = np.asarray(graph.sum(axis=1, dtype=np.float64)).ravel()
    around = np.asarray(graph @ known).ravel() / np.maximum(total, np.finfo(float).tiny)
    among = np.diff(graph.indptr)
    around = ((around * among + known) / (among + 1)).round(9)
    together = positive & (around >= np.quantile(around[positive], 0.9) / 2)
    time = np.where(np.isfinite(pseudotime), pseudotime, UNREACHED)
    large = [name for name in states if (together & (state == name)).sum() >= FEWEST_CELLS_OF_STATE]
    if large:
        furthest = max(large, key=lambda name: (np.median(time[together & (state == name)]), name))
        together &= state == furthest
    if together.sum() < FEWEST_CELLS_OF_END:
        return np.zeros_like(together)
    return np.asarray(together)


def find_tips(
    pseudotime: np.ndarray, clusters: np.ndarray, paga: pd.DataFrame, end: np.ndarray, root: str
) -> dict[str, np.ndarray]:
    """Find other ends: clusters that are further in pseudotime than all their neighbours.

    The later half of the cells of such a cluster is its end. These clusters are not other ends: the
    cluster of the root, clusters less than half as far as the furthest, and clusters that hold a
    quarter of the positive end.

    Parameters
    ----------
    pseudotime
        0-1 or NaN, shape (n_cells,).
    clusters
        Name of each cell's cluster, shape (n_cells,).
    paga
        Connectivity of the clusters, 0-1.
    end
        Cells of the progenitor-like end.
    root
        Cluster of the root.

    Returns
    -------
    Cells of each other end, shape (n_cells,), by the name of its cluster.
    """
    reached = np.isfinite(pseudotime)
    names = [str(name) for name in paga.index if (reached & (clusters == str(name))).any()]
    time = {name: float(np.median(pseudotime[reached & (clusters == name)])) for name in names}
    joined = paga.loc[names, names] > JOINED
    found = {}
    for name in names:
        holds_end = end.any() and (clusters[end] == name).mean() >= SHARE_OF_END
        neighbours = [other for other in names if other != name and joined.loc[name, other]]
        furthest = all(time[other] < time[name] for other in neighbours)
        if name != root and furthest and not holds_end and time[name] > FAR * max(time.values()):
            late = np.nan_to_num(pseudotime, nan=-1.0) >= time[name]
            found[name] = reached & (clusters == name) & late & ~end
    return {name: cells for name, cells in found.items() if cells.any()}
