"""The neighbour graph and its map, without a compiler: the approximate tools take longer to compile than this to run."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["fuzzy_weights", "layout", "nearest"]

EXACT_UP_TO = 30_000
SHARPEST = 1e-3  # least width of a neighbourhood, as a share of the mean distance
BISECTIONS = 64
EPOCHS = 80  # as trustworthy as 500 on the data sets tried
SPAN = 10.0
MIN_DISTANCE = 0.5


def nearest(points: np.ndarray, n_others: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the ``n_others`` nearest other points of every point, nearest first.

    Exact up to 30,000 points, above by nearest-neighbour descent.

    Returns
    -------
    indices, distances
        Shape (n_points, n_others) each.
    """
    if n_others == 0:
        return np.zeros((len(points), 0), dtype=int), np.zeros((len(points), 0))
    if len(points) <= EXACT_UP_TO:
        from sklearn.neighbors import NearestNeighbors

        distances, indices = NearestNeighbors(n_neighbors=n_others, algorithm="brute").fit(points).kneighbors()
        return indices, distances
    from pynndescent import NNDescent

    indices, distances = NNDescent(points.astype(np.float32), n_neighbors=n_others + 1, random_state=seed).neighbor_graph
    return indices[:, 1:], distances[:, 1:].astype(np.float64)


def fuzzy_weights(indices: np.ndarray, distances: np.ndarray) -> csr_matrix:
    """Weights of the symmetric neighbour graph as UMAP defines them, 0-1, shape (n_points, n_points).

    Each point's distances, less the least, fall off with a width that gives log2(k) neighbours in effect;
    k counts the point itself. The two directions of an edge are joined as a + b - a * b.

    Source
    ------
    10.48550/arXiv.1802.03426, section 3.1
    """
    from scipy import sparse

    n_points, n_others = indices.shape
    if n_others == 0:
        return sparse.csr_matrix((n_points, n_points))
    beyond = np.maximum(distances - _least_positive(distances)[:, None], 0.0)
    width = np.maximum(_widths(beyond, np.log2(n_others + 1)), SHARPEST * _mean_distances(distances))
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = np.where(beyond > 0, np.exp(-beyond / width[:, None]), 1.0)
    rows = np.repeat(np.arange(n_points), n_others)
    one_way = sparse.csr_matrix((weights.ravel(), (rows, indices.ravel())), shape=(n_points, n_points))
    back = one_way.T.tocsr()
    graph = sparse.csr_matrix(one_way + back - one_way.multiply(back))
    graph.eliminate_zeros()
    graph.sort_indices()
    return graph


def _least_positive(distances: np.ndarray) -> np.ndarray:
    """Distance to the nearest point that is not at the same place, 0 where there is none; shape (n_points,)."""
    least = np.where(distances > 0, distances, np.inf).min(axis=1)
    return np.where(np.isfinite(least), least, 0.0)


def _mean_distances(distances: np.ndarray) -> np.ndarray:
    """Mean distance of every point, the point itself included; the overall mean where all are 0."""
    own = distances.sum(axis=1) / (distances.shape[1] + 1)
    return np.where(_least_positive(distances) > 0, own, own.mean())


def _widths(beyond: np.ndarray, target: float) -> np.ndarray:
    """Width per point for which the weights add up to ``target``, by bisection; shape (n_points,)."""
    low, high, width = np.zeros(len(beyond)), np.full(len(beyond), np.inf), np.ones(len(beyond))
    for _ in range(BISECTIONS):
        total = np.exp(-beyond / width[:, None]).sum(axis=1)
        too_wide = total > target
        high = np.where(too_wide, width, high)
        low = np.where(too_wide, low, width)
        width = np.where(np.isinf(high), width * 2, (low + high) / 2)
    return width


def layout(indices: np.ndarray, distances: np.ndarray, points: np.ndarray, seed: int) -> np.ndarray:
    """Lay the neighbour graph out in two dimensions by UMAP, starting from the first two principal components.

    igraph's compiled layout is used: umap-learn spends some 15 seconds of every process on compiling itself.
    It weighs the edges as :func:`fuzzy_weights` does.

    Parameters
    ----------
    indices, distances
        Nearest neighbours, shape (n_points, n_others) each.
    points
        Principal components, shape (n_points, n_components).
    seed
        Start of the random generator.

    Returns
    -------
    Coordinates, shape (n_points, 2).
    """
    import igraph

    edges = np.column_stack([np.repeat(np.arange(len(indices)), indices.shape[1]), indices.ravel()])
    network = igraph.Graph(n=len(indices), edges=edges, directed=True)
    igraph.set_random_number_generator(random.Random(seed))  # noqa: S311  # a map, no secret
    try:
        drawn = network.layout_umap(
            dist=distances.ravel().tolist(), seed=_start(points, seed).tolist(), min_dist=MIN_DISTANCE, epochs=EPOCHS
        )
    finally:
        igraph.set_random_number_generator(random)
    return np.array(drawn.coords, dtype=np.float32)


def _start(points: np.ndarray, seed: int) -> np.ndarray:
    """First two components scaled to a square, with a little noise so that equal cells can part; shape (n_points, 2)."""
    flat = np.zeros((len(points), 2))
    flat[:, : points.shape[1]] = points[:, :2]
    flat *= SPAN / max(np.abs(flat).max(), np.finfo(float).tiny)
    return flat + np.random.default_rng(seed).normal(scale=1e-3, size=flat.shape)
