"""Compute on the graph: components, pseudotime from the root, and the graph of the clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scdiff.compute.arrays import limit_blas_threads, take_subgraph
from scdiff.steps.trajectory.pseudotime import diffusion_pseudotime

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csr_matrix

    from scdiff.steps.trajectory.root import Root

__all__ = ["abstract_graph", "find_components", "order_cells"]

DIGITS = 9
"""Decimals of a pseudotime: later ones depend on the order of a sum."""


def find_components(graph: csr_matrix, rows: np.ndarray) -> np.ndarray:
    """Return the number of the connected component of each cell, largest first; shape (n_cells,).

    Of components of equal size, the one with the first cell in the order ``rows`` comes first.
    """
    from scipy.sparse.csgraph import connected_components

    _, labels = connected_components(graph, directed=False)
    first = np.full(labels.max() + 1, len(labels))
    np.minimum.at(first, labels[rows], np.arange(len(labels)))
    by_size = np.lexsort((first, -np.bincount(labels)))
    return np.argsort(by_size)[labels]


def order_cells(
    graph: csr_matrix, component: np.ndarray, rows: np.ndarray, start: Root, n_comps: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pseudotime from the root, and its lowest and highest value over the other roots.

    Shape (n_cells,) each; NaN in other components.
    """
    members = rows[component[rows] == component[start.cell]]
    place = {cell: number for number, cell in enumerate(members)}
    roots = np.array([place[cell] for cell in (start.cell, *start.others)])
    with limit_blas_threads():
        found = diffusion_pseudotime(take_subgraph(graph, members), roots, n_comps, seed)
    found = found.round(DIGITS)
    whole = np.full((3, len(rows)), np.nan)
    whole[:, members] = found[0], found.min(axis=0), found.max(axis=0)
    return whole[0], whole[1], whole[2]


def abstract_graph(distances: csr_matrix, clusters: pd.Series) -> pd.DataFrame:
    """Return the abstracted graph of the clusters (PAGA), n_clusters x n_clusters.

    Each value is the number of edges between two clusters over the number expected by chance, at
    most 1. This is model v1.2 of ``scanpy.tl.paga``, which fails if no edge joins two clusters.
    """
    import pandas as pd
    from scipy import sparse

    codes, names = clusters.cat.codes.to_numpy(), [str(name) for name in clusters.cat.categories]
    n_cells, n_clusters = len(codes), len(names)
    member = sparse.csr_matrix(
        (np.ones(n_cells), (np.arange(n_cells), codes)), shape=(n_cells, n_clusters)
    )
    edges = distances.copy()
    edges.data = np.ones(len(edges.data))
    counts = (member.T @ edges @ member).toarray()
    from_cluster, sizes = counts.sum(axis=1), np.bincount(codes, minlength=n_clusters)
    between = counts + counts.T - 2 * np.diag(np.diag(counts))
    both_ways = np.outer(from_cluster, sizes) + np.outer(sizes, from_cluster)
    expected = both_ways / max(n_cells - 1, 1)
    ratio = np.divide(between, expected, out=np.zeros_like(between), where=expected > 0)
    index = pd.Index(names, dtype=object)
    return pd.DataFrame(np.minimum(ratio, 1), index=index, columns=names)
