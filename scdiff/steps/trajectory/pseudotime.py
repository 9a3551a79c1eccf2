"""Pseudotime: how far each cell is from the root, on the diffusion map of its neighbour graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["diffusion_map", "diffusion_pseudotime"]

FEWEST_CELLS_TO_ORDER = 5
"""Cells that a connected component needs to be ordered. Chosen, not tuned.

In a component of fewer than 50 cells, a fifth of the cells must reach the end of the scale.
"""
SUPPORT = 10
"""Cells that must be as far as the end of the scale; fewer are outliers and get 1.

Chosen, not tuned.
"""

TOLERANCES = (0.0, 1e-6, 1e-3)
"""Tolerances of the eigenvectors, tried in turn.

If the graph is nearly disconnected, the exact ones may not converge.
"""

LARGEST = 1 - 1e-9
"""Largest eigenvalue that is used: 1 would divide by zero."""
EIGENVECTORS = 40
"""Cells up to which all eigenvectors are computed, and lowest number of Lanczos vectors.

Chosen, not tuned.
"""


def diffusion_map(graph: csr_matrix, n_comps: int, seed: int) -> np.ndarray:
    """Return coordinates whose Euclidean distance is the diffusion distance; shape (n_cells, n).

    The distance covers all numbers of steps. The axes are right eigenvectors of the random walk on
    the density-normalised graph: their values do not grow with the number of neighbours of a cell,
    as those of the symmetric matrix do.

    Parameters
    ----------
    graph
        Symmetric weights of one connected component, shape (n_cells, n_cells).
    n_comps
        Number of eigenvectors, the constant one included; at most the number of cells.
    seed
        Start of the random generator for the eigenvectors' start.

    Source
    ------
    10.1038/nmeth.3971 (all numbers of steps), 10.1016/j.acha.2006.04.006 (eigenvectors of the walk)
    """
    from scipy import sparse

    density = np.asarray(graph.sum(axis=0), dtype=np.float64).ravel()
    by_density = sparse.diags(1 / density)
    kernel = by_density @ graph.astype(np.float64) @ by_density
    root_of_degree = np.sqrt(np.asarray(kernel.sum(axis=0)).ravel())
    scaled = sparse.diags(1 / root_of_degree)
    values, vectors = _find_leading(
        (scaled @ kernel @ scaled).tocsr(), min(n_comps, graph.shape[0]), seed
    )
    values = np.minimum(values[1:], LARGEST)
    return vectors[:, 1:] / root_of_degree[:, None] * (values / (1 - values))


def _find_leading(matrix: csr_matrix, number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest eigenvalues and their vectors, largest first."""
    from scipy.sparse.linalg import ArpackNoConvergence, eigsh

    n_cells = matrix.shape[0]
    if n_cells <= EIGENVECTORS:
        values, vectors = np.linalg.eigh(matrix.toarray())
        return values[::-1][:number], vectors[:, ::-1][:, :number]
    number, start = min(number, n_cells - 2), np.random.default_rng(seed).normal(size=n_cells)
    n_vectors = min(n_cells, max(EIGENVECTORS, 2 * number + 1))
    for tolerance in TOLERANCES:
        try:
            values, vectors = eigsh(
                matrix, k=number, which="LA", ncv=n_vectors, v0=start, tol=tolerance, maxiter=300
            )
        except ArpackNoConvergence as problem:
            values, vectors = problem.eigenvalues, problem.eigenvectors
        if len(values) == number:
            break
    order = np.argsort(-values)
    return values[order], vectors[:, order]


def diffusion_pseudotime(
    graph: csr_matrix, roots: np.ndarray, n_comps: int, seed: int
) -> np.ndarray:
    """Return the pseudotime from each of several roots, 0-1; shape (n_roots, n_cells).

    The graph is one connected component. The scale ends at a distance that at least ten cells
    reach; cells beyond it get 1. With fewer than five cells, or if all cells are equal, the cells
    cannot be ordered: 0 at the root, NaN elsewhere.
    """
    n_cells = graph.shape[0]
    alone = np.where(np.arange(n_cells) == np.asarray(roots)[:, None], 0.0, np.nan)
    if n_cells < FEWEST_CELLS_TO_ORDER:
        return alone
    points = diffusion_map(graph, n_comps, seed)
    if not np.isfinite(points).all():
        return alone
    found = np.array([np.linalg.norm(points - points[root], axis=1) for root in roots])
    ends = np.sort(found, axis=1)[:, -min(SUPPORT, n_cells // FEWEST_CELLS_TO_ORDER)]
    scaled = np.minimum(found / np.where(ends > 0, ends, 1)[:, None], 1.0)
    return np.where(ends[:, None] > 0, scaled, alone)
