"""The ends: the cells from which, and toward which, the others may be on their way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csr_matrix

__all__ = ["positive_end", "tips"]

FEWEST_CELLS = 8
FEWEST_OF_STATE = 10
JOINED = 0.05
"""Connectivity (PAGA) from which on two clusters are neighbours."""

SHARE_OF_END = 0.25
FAR = 0.5
"""An end lies further than this share of the furthest cluster's pseudotime."""

UNREACHED = 2.0


def positive_end(
    state: np.ndarray, states: Sequence[str], probability: np.ndarray, pseudotime: np.ndarray, graph: csr_matrix
) -> np.ndarray:
    """Choose the progenitor-like end among the positive cells; shape (n_cells,), no cell where they are too few.

    Positive cells whose neighbours are not positive are left out: single false calls make no end. Of the sub-states with
    ten cells or more the one furthest in pseudotime is taken; cells that the root does not reach are furthest of all.

    Parameters
    ----------
    state
        Sub-state of each cell, shape (n_cells,).
    states
        The positive ones.
    probability
        Of the main programme's state, 0-1 or NaN, shape (n_cells,).
    pseudotime
        0-1 or NaN, shape (n_cells,).
    graph
        Weights of the neighbours, shape (n_cells, n_cells).
    """
    positive = np.isin(state, list(states))
    if positive.sum() < FEWEST_CELLS:
        return np.zeros(len(state), dtype=bool)
    known = np.nan_to_num(probability)
    around = np.asarray(graph @ known).ravel() / np.maximum(np.asarray(graph.sum(axis=1, dtype=np.float64)).ravel(), np.finfo(float).tiny)
    among = np.diff(graph.indptr)
    around = ((around * among + known) / (among + 1)).round(9)
    together = positive & (around >= np.quantile(around[positive], 0.9) / 2)
    time = np.where(np.isfinite(pseudotime), pseudotime, UNREACHED)
    large = [name for name in states if (together & (state == name)).sum() >= FEWEST_OF_STATE]
    if large:
        together &= state == max(large, key=lambda name: (np.median(time[together & (state == name)]), name))
    return np.asarray(together if together.sum() >= FEWEST_CELLS else np.zeros_like(together))


def tips(pseudotime: np.ndarray, clusters: np.ndarray, paga: pd.DataFrame, end: np.ndarray, root: str) -> dict[str, np.ndarray]:
    """Find other ends: clusters that are further in pseudotime than all clusters they are joined to.

    Of each the later half of the cells is taken. The cluster of the root, those less than half as far as the furthest, and
    those that hold a quarter of the positive end are no other ends.

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
        furthest = all(time[other] < time[name] for other in names if other != name and joined.loc[name, other])
        if name != root and furthest and not holds_end and time[name] > FAR * max(time.values()):
            found[name] = reached & (clusters == name) & (np.nan_to_num(pseudotime, nan=-1.0) >= time[name]) & ~end
    return {name: cells for name, cells in found.items() if cells.any()}
