"""Pseudotime against the sum over all walks, written out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from scdiff.steps.trajectory import pseudotime
from scdiff.steps.trajectory.pseudotime import diffusion_map, diffusion_pseudotime


def _graph(n_cells: int, seed: int = 0) -> sparse.csr_matrix:
    """A symmetric graph of points on a curve."""
    rng = np.random.default_rng(seed)
    points = np.column_stack([np.linspace(0, 3, n_cells), rng.normal(scale=0.2, size=n_cells)])
    apart = ((points[:, None] - points[None]) ** 2).sum(axis=-1)
    return sparse.csr_matrix(np.exp(-apart / 0.1) * (apart < 0.5) * (1 - np.eye(n_cells)))


def _oracle(graph: sparse.csr_matrix, root: int) -> np.ndarray:
    """Distance between rows of the sum of all powers of the walk, its limit taken off, relative to the limit."""
    weights = graph.toarray()
    density = weights.sum(axis=0)
    kernel = weights / np.outer(density, density)
    walk = kernel / kernel.sum(axis=1, keepdims=True)
    limit = kernel.sum(axis=1) / kernel.sum()
    total = np.linalg.inv(np.eye(len(walk)) - walk + limit[None]) - np.eye(len(walk))
    return np.sqrt(((total - total[root]) ** 2 / limit).sum(axis=1))


@pytest.mark.parametrize(
    ("n_cells", "n_comps", "tolerance"),
    [(12, 12, 1e-6), (39, 40, 1e-6), (60, 58, 1e-3), (60, 10, 0.02)],
)
def test_distances_are_those_of_all_walks(n_cells, n_comps, tolerance):
    graph = _graph(n_cells)
    expected = _oracle(graph, 3)
    found = diffusion_pseudotime(graph, np.array([3]), n_comps, 0)[0]
    kept = min(pseudotime.SUPPORT, n_cells // pseudotime.FEWEST_CELLS_TO_ORDER)
    scaled = np.minimum(expected / np.sort(expected)[-kept], 1)
    np.testing.assert_allclose(found, scaled, atol=tolerance)


def test_a_few_outliers_do_not_stretch_the_scale():
    graph = _graph(200).tolil()
    graph[199, :] = 0
    graph[:, 199] = 0
    graph[199, 198] = graph[198, 199] = 1e-6
    time = diffusion_pseudotime(graph.tocsr(), np.array([0]), 10, 0)[0]
    assert time[199] == 1
    assert np.median(time) > 0.2


@pytest.mark.parametrize("n_cells", [1, 2, 4])
def test_too_few_cells_have_no_order(n_cells):
    time = diffusion_pseudotime(
        sparse.csr_matrix(np.ones((n_cells, n_cells))), np.array([0]), 10, 0
    )
    np.testing.assert_array_equal(time, [[0.0] + [np.nan] * (n_cells - 1)])


def test_nearly_split_graphs_pass():
    """Two thick groups, joined by a single faint edge: the eigenvalues are too close for the exact solver."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(600, 2)) + np.repeat([[0, 0], [30, 0]], 300, axis=0)
    apart = ((points[:, None] - points[None]) ** 2).sum(axis=-1)
    graph = np.exp(-apart) * (apart < 1) * (1 - np.eye(600))
    graph += np.diag(np.full(599, 1e-3), 1) + np.diag(np.full(599, 1e-3), -1)
    graph[299, 300] = graph[300, 299] = 1e-14
    time = diffusion_pseudotime(sparse.csr_matrix(graph), np.array([5]), 10, 0)[0]
    assert np.isfinite(time).all()
    assert time[:300].max() < time[300:].min()


def test_the_map_does_not_depend_on_the_start_of_the_solver():
    graph = _graph(150)
    one, two = (
        np.linalg.norm(points - points[0], axis=1)
        for points in (diffusion_map(graph, 10, 0), diffusion_map(graph, 10, 7))
    )
    np.testing.assert_allclose(one, two, rtol=1e-8)
