"""The neighbour graph, its weights and its clusters."""

from __future__ import annotations

import random
import warnings
from typing import TYPE_CHECKING, Literal

import numpy as np

from scdiff import keys

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["build_distance_graph", "compute_fuzzy_weights", "find_clusters", "place_nodes"]

SHARPEST = 1e-3
"""Lowest width of a neighbourhood, as a share of the mean distance; the value of umap-learn."""
BISECTIONS = 64
"""Rounds of bisection for the width of a neighbourhood, as in umap-learn."""
N_ITERATIONS = 2
"""Rounds of Leiden, as scanpy recommends for igraph."""


def compute_fuzzy_weights(indices: np.ndarray, distances: np.ndarray) -> csr_matrix:
    """Return the weights of the symmetric neighbour graph as UMAP defines them.

    The distances of each point, minus the smallest, decay with a width that gives log2(k) effective
    neighbours; k counts the point itself. The two directions of an edge are joined as a + b - a *
    b.

    Returns
    -------
    Weights 0-1, shape (n_points, n_points).

    Source
    ------
    10.48550/arXiv.1802.03426, section 3.1
    """
    from scipy import sparse

    n_points, n_others = indices.shape
    if n_others == 0:
        return sparse.csr_matrix((n_points, n_points))
    beyond = np.maximum(distances - _find_nearest_distance(distances)[:, None], 0.0)
    least_width = SHARPEST * _average_distances(distances)
    width = np.maximum(_find_widths(beyond, np.log2(n_others + 1)), least_width)
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = np.where(beyond > 0, np.exp(-beyond / width[:, None]), 1.0)
    rows = np.repeat(np.arange(n_points), n_others)
    one_way = sparse.csr_matrix(
        (weights.ravel(), (rows, indices.ravel())), shape=(n_points, n_points)
    )
    back = one_way.T.tocsr()
    graph = sparse.csr_matrix(one_way + back - one_way.multiply(back))
    graph.eliminate_zeros()
    graph.sort_indices()
    return graph


def _find_nearest_distance(distances: np.ndarray) -> np.ndarray:
    """Return the distance to the nearest point at another place, shape (n_points,).

    0 without such a point.
    """
    least = np.where(distances > 0, distances, np.inf).min(axis=1)
    return np.where(np.isfinite(least), least, 0.0)


def _average_distances(distances: np.ndarray) -> np.ndarray:
    """Return the mean distance of every point, the point itself included.

    The overall mean if all distances of a point are 0.
    """
    own = distances.sum(axis=1) / (distances.shape[1] + 1)
    return np.where(_find_nearest_distance(distances) > 0, own, own.mean())


def _find_widths(beyond: np.ndarray, target: float) -> np.ndarray:
    """Find the width per point at which the weights add up to ``target``, by bisection.

    Shape (n_points,).
    """
    low, high, width = np.zeros(len(beyond)), np.full(len(beyond), np.inf), np.ones(len(beyond))
    for _ in range(BISECTIONS):
        total = np.exp(-beyond / width[:, None]).sum(axis=1)
        too_wide = total > target
        high = np.where(too_wide, width, high)
        low = np.where(too_wide, low, width)
        width = np.where(np.isinf(high), width * 2, (low + high) / 2)
    return width


def find_clusters(
    weights: csr_matrix, resolution: float, flavor: Literal["igraph", "leidenalg"], seed: int
) -> np.ndarray:
    """Return the Leiden clusters of a symmetric graph, two rounds, largest first.

    Shape (n_points,).

    Source
    ------
    10.1038/s41598-019-41695-z
    """
    run = _cluster_by_igraph if flavor == "igraph" else _cluster_by_leidenalg
    found = run(weights, resolution, seed)
    by_size = np.argsort(-np.bincount(found), kind="stable")
    return np.argsort(by_size)[found]


def _cluster_by_igraph(weights: csr_matrix, resolution: float, seed: int) -> np.ndarray:
    """Cluster by igraph; each edge is given once."""
    import igraph
    from scipy import sparse

    once = sparse.triu(weights, format="coo")
    network = igraph.Graph(
        n=weights.shape[0], edges=np.column_stack([once.row, once.col]), directed=False
    )
    igraph.set_random_number_generator(random.Random(seed))  # noqa: S311  # not used for secrets
    try:
        found = network.community_leiden(
            objective_function="modularity",
            weights=once.data,
            resolution=resolution,
            n_iterations=N_ITERATIONS,
        )
    finally:
        igraph.set_random_number_generator(random)
    return np.array(found.membership)


def _cluster_by_leidenalg(weights: csr_matrix, resolution: float, seed: int) -> np.ndarray:
    """Cluster by leidenalg, as scanpy calls it."""
    import scanpy as sc
    from anndata import AnnData

    graph = AnnData(obs={"cell": [str(cell) for cell in range(weights.shape[0])]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.tl.leiden(
            graph,
            resolution=resolution,
            flavor="leidenalg",
            n_iterations=N_ITERATIONS,
            directed=False,
            random_state=seed,
            adjacency=weights,
            key_added="leiden",
        )
    return graph.obs[keys.LEIDEN.name].astype(int).to_numpy()


def build_distance_graph(indices: np.ndarray, distances: np.ndarray) -> csr_matrix:
    """Return the distances of every point to its neighbours, shape (n_points, n_points)."""
    from scipy import sparse

    n_points, n_others = indices.shape
    starts = np.arange(n_points + 1) * n_others
    return sparse.csr_matrix(
        (distances.ravel(), indices.ravel(), starts), shape=(n_points, n_points)
    )


def place_nodes(graph: csr_matrix, places: np.ndarray, n_cells: int) -> csr_matrix:
    """Return the graph over all cells, shape (n_cells, n_cells).

    ``places`` gives the cell of each node. Cells without a node have no edge.
    """
    from scipy import sparse

    moved = graph[np.argsort(places)].astype(np.float32)
    n_edges = np.zeros(n_cells, dtype=np.int64)
    n_edges[np.sort(places)] = np.diff(moved.indptr)
    made = sparse.csr_matrix(
        (moved.data, places[moved.indices], np.concatenate([[0], np.cumsum(n_edges)])),
        shape=(n_cells, n_cells),
    )
    made.sort_indices()
    return made
