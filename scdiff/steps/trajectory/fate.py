"""Fate: how probable it is that a walk along the neighbour graph, forward in pseudotime, ends in each of several populations."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.errors import ConfigError
from scdiff.registry import Registry

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["FATES", "absorption", "forward_walk"]

FATES: Registry[Callable[..., np.ndarray]] = Registry("fate method")
"""Kernels ``(graph, pseudotime, ends, n_ends) -> probabilities``: one connected component, shape (n_cells, n_ends)."""

STEEPNESS = 10.0
"""How strongly steps back in pseudotime are held back: by nine tenths from a step of 0.6 on."""

RESIDUAL = 1e-10
MOST_ROUNDS = 5_000


def forward_walk(graph: csr_matrix, pseudotime: np.ndarray) -> csr_matrix:
    """Transition probabilities between neighbours; steps back in pseudotime are the rarer, the longer they are.

    Parameters
    ----------
    graph
        Symmetric weights, shape (n_cells, n_cells), each cell with a neighbour.
    pseudotime
        0-1, shape (n_cells,).

    Returns
    -------
    Rows sum to 1.

    Source
    ------
    10.1038/s41467-021-25773-3 (weights of the steps back)
    """
    from scipy import sparse

    degree = np.diff(graph.indptr)
    back = np.repeat(pseudotime, degree) - pseudotime[graph.indices]
    weights = graph.data * np.where(back > 0, 2 / np.sqrt(1 + np.exp(STEEPNESS * np.maximum(back, 0))) / np.sqrt(2), 1.0)
    total = np.add.reduceat(np.append(weights, 0.0), graph.indptr[:-1]) * (degree > 0)
    share = weights / np.repeat(np.where(total > 0, total, 1.0), degree)
    return sparse.csr_matrix((share, graph.indices, graph.indptr), shape=graph.shape)


def absorption(walk: csr_matrix, ends: np.ndarray, n_ends: int) -> np.ndarray:
    """Probability of ending in each population; shape (n_cells, n_ends), rows sum to 1.

    Cells of an end are there already. A cell from which no end can be reached gets NaN.

    Parameters
    ----------
    walk
        Transition probabilities, shape (n_cells, n_cells), rows sum to 1.
    ends
        Number of the end that a cell belongs to, -1 for none; shape (n_cells,).
    n_ends
        Number of ends, also of those without a cell.

    Source
    ------
    10.1038/s41592-021-01346-6 (fate probabilities as absorption of a Markov chain)
    """
    found = np.full((len(ends), n_ends), np.nan)
    found[ends >= 0] = np.eye(n_ends)[ends[ends >= 0]]
    between = np.flatnonzero((ends < 0) & _reach(walk, ends >= 0))
    if len(between):
        found[between] = _solve(walk[between], between, ends, n_ends)
    return found


def _reach(walk: csr_matrix, goal: np.ndarray) -> np.ndarray:
    """Tell from which cells some cell of ``goal`` can be reached; shape (n_cells,)."""
    from scipy import sparse
    from scipy.sparse.csgraph import breadth_first_order

    n_cells = len(goal)
    if not goal.any():
        return goal
    targets = np.flatnonzero(goal)
    source = sparse.csr_matrix((np.ones(len(targets)), (np.zeros(len(targets), dtype=int), targets)), shape=(1, n_cells))
    grown = sparse.bmat([[walk.T, None], [source, sparse.csr_matrix((1, 1))]], format="csr")
    reached = np.zeros(n_cells + 1, dtype=bool)
    reached[breadth_first_order(grown, n_cells, return_predecessors=False)] = True
    return reached[:-1]


def _solve(steps: csr_matrix, between: np.ndarray, ends: np.ndarray, n_ends: int) -> np.ndarray:
    """Solve for the cells ``between``, one end after the other; the last follows from the others. NaN where it does not converge."""
    from scipy import sparse
    from scipy.sparse.linalg import bicgstab

    system = (sparse.identity(len(between), format="csr") - steps[:, between]).tocsr()
    scale = sparse.diags(1 / system.diagonal())
    found = np.zeros((len(between), n_ends))
    for end in range(n_ends - 1):
        wanted = np.asarray(steps[:, np.flatnonzero(ends == end)].sum(axis=1)).ravel()
        found[:, end], failed = bicgstab(system, wanted, M=scale, rtol=RESIDUAL, maxiter=MOST_ROUNDS)
        if failed:
            return np.full((len(between), n_ends), np.nan)
    found = np.clip(found, 0.0, 1.0)
    found[:, -1] = np.clip(1 - found[:, :-1].sum(axis=1), 0.0, 1.0)
    return np.asarray(found / found.sum(axis=1, keepdims=True))


@FATES.register("absorption", summary="Absorption of the walk forward in pseudotime.", source="10.1038/s41592-021-01346-6")
def _by_absorption(graph: csr_matrix, pseudotime: np.ndarray, ends: np.ndarray, n_ends: int) -> np.ndarray:
    """Walk forward and solve."""
    return absorption(forward_walk(graph, pseudotime), ends, n_ends)


@FATES.register("cellrank", summary="The same walk, solved by CellRank.", source="10.1038/s41592-021-01346-6")
def _by_cellrank(graph: csr_matrix, pseudotime: np.ndarray, ends: np.ndarray, n_ends: int) -> np.ndarray:
    """Give the walk to CellRank; ends without a cell are never reached."""
    import pandas as pd
    from anndata import AnnData
    from scipy import sparse

    cellrank = _extra("cellrank")
    adata = AnnData(sparse.csr_matrix((len(ends), 1), dtype=np.float32))
    estimator = cellrank.estimators.GPCCA(cellrank.kernels.PrecomputedKernel(forward_walk(graph, pseudotime), adata=adata))
    names = pd.Categorical([str(end) if end >= 0 else None for end in ends])
    estimator.set_terminal_states(pd.Series(names, index=adata.obs_names))
    estimator.compute_fate_probabilities(tol=RESIDUAL, use_petsc=False, show_progress_bar=False, n_jobs=1)
    found = np.zeros((len(ends), n_ends))
    for end in np.unique(ends[ends >= 0]):
        found[:, end] = np.asarray(estimator.fate_probabilities[str(end)].X).ravel()
    return found


@FATES.register(
    "palantir", summary="Palantir's branch probabilities towards the furthest cell of each end.", source="10.1038/s41587-019-0068-4"
)
def _by_palantir(graph: csr_matrix, pseudotime: np.ndarray, ends: np.ndarray, n_ends: int) -> np.ndarray:
    """Let Palantir order the cells anew from the first cell in pseudotime."""
    import pandas as pd

    palantir = _extra("palantir")
    names = [str(cell) for cell in range(len(ends))]
    maps = palantir.utils.diffusion_maps_from_kernel(graph.astype(float).tocsr(), n_components=10, seed=0)
    maps["EigenVectors"].index = names
    last = {end: names[int(np.where(ends == end, pseudotime, -1.0).argmax())] for end in np.unique(ends[ends >= 0])}
    terminal = pd.Series([str(end) for end in last], index=list(last.values()))
    space = palantir.utils.determine_multiscale_space(maps)
    options: dict[str, Any] = {"num_waypoints": 500, "use_early_cell_as_start": True, "seed": 0}
    result = palantir.core.run_palantir(space, names[int(pseudotime.argmin())], terminal_states=terminal, **options)
    found = np.zeros((len(ends), n_ends))
    for end, cell in last.items():
        column = str(end) if str(end) in result.branch_probs else cell
        found[:, end] = result.branch_probs[column].reindex(names).to_numpy()
    return found


def _extra(name: str) -> Any:
    """Import a package of the extra ``trajectory``.

    Raises
    ------
    ConfigError
        If it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as problem:
        raise ConfigError(
            f"trajectory(): fates is {name!r}, which needs a package that is not installed ({problem}): "
            "pip install 'scdiff-markers[trajectory]', or leave the option out."
        ) from problem
