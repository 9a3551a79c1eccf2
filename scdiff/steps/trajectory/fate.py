"""Fate: the probability that a walk along the neighbour graph ends in each of several populations.

The walk goes forward in pseudotime.
"""

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
"""Kernels ``(graph, pseudotime, ends, n_ends) -> probabilities``, shape (n_cells, n_ends).

The graph is one connected component.
"""

STEEPNESS = 10.0
"""Damping of steps back in pseudotime.

Steps of 0.6 and more keep less than a tenth of their weight. Chosen, not tuned.
"""

RESIDUAL = 1e-10
"""Relative residual of the linear solver; fates then equal those of CellRank to 1e-6."""
MOST_ROUNDS = 5_000
"""Rounds of the solver after which it counts as not converged. Chosen, not tuned."""


def forward_walk(graph: csr_matrix, pseudotime: np.ndarray) -> csr_matrix:
    """Return transition probabilities between neighbours; the longer a step back, the rarer.

    Parameters
    ----------
    graph
        Symmetric weights, shape (n_cells, n_cells), each cell with a neighbour.
    pseudotime
        0-1, shape (n_cells,).

    Returns
    -------
    Shape (n_cells, n_cells), rows sum to 1.

    Source
    ------
    10.1038/s41467-021-25773-3 (weights of the steps back)
    """
    from scipy import sparse

    degree = np.diff(graph.indptr)
    back = np.repeat(pseudotime, degree) - pseudotime[graph.indices]
    damping = 2 / np.sqrt(1 + np.exp(STEEPNESS * np.maximum(back, 0))) / np.sqrt(2)
    weights = graph.data * np.where(back > 0, damping, 1.0)
    total = np.add.reduceat(np.append(weights, 0.0), graph.indptr[:-1]) * (degree > 0)
    share = weights / np.repeat(np.where(total > 0, total, 1.0), degree)
    return sparse.csr_matrix((share, graph.indices, graph.indptr), shape=graph.shape)


def absorption(walk: csr_matrix, ends: np.ndarray, n_ends: int) -> np.ndarray:
    """Return the probability of ending in each population, shape (n_cells, n_ends).

    Rows sum to 1. A cell of an end has probability 1 for it. A cell that cannot reach any end gets
    NaN.

    Parameters
    ----------
    walk
        Transition probabilities, shape (n_cells, n_cells), rows sum to 1.
    ends
        Number of the end that a cell belongs to, -1 for no end; shape (n_cells,).
    n_ends
        Number of ends, also of those without a cell.

    Source
    ------
    10.1038/s41592-021-01346-6 (fate probabilities as absorption of a Markov chain)
    """
    found = np.full((len(ends), n_ends), np.nan)
    found[ends >= 0] = np.eye(n_ends)[ends[ends >= 0]]
    between = np.flatnonzero((ends < 0) & _find_cells_that_reach(walk, ends >= 0))
    if len(between):
        found[between] = _solve(walk[between], between, ends, n_ends)
    return found


def _find_cells_that_reach(walk: csr_matrix, goal: np.ndarray) -> np.ndarray:
    """Find the cells from which some cell of ``goal`` can be reached; shape (n_cells,)."""
    from scipy import sparse
    from scipy.sparse.csgraph import breadth_first_order

    n_cells = len(goal)
    if not goal.any():
        return goal
    targets = np.flatnonzero(goal)
    places = np.zeros(len(targets), dtype=int), targets
    source = sparse.csr_matrix((np.ones(len(targets)), places), shape=(1, n_cells))
    grown = sparse.bmat([[walk.T, None], [source, sparse.csr_matrix((1, 1))]], format="csr")
    reached = np.zeros(n_cells + 1, dtype=bool)
    reached[breadth_first_order(grown, n_cells, return_predecessors=False)] = True
    return reached[:-1]


def _solve(steps: csr_matrix, between: np.ndarray, ends: np.ndarray, n_ends: int) -> np.ndarray:
    """Solve for the cells ``between``, one end after the other; NaN without convergence.

    The last end follows from the others.
    """
    from scipy import sparse
    from scipy.sparse.linalg import bicgstab

    system = (sparse.identity(len(between), format="csr") - steps[:, between]).tocsr()
    scale = sparse.diags(1 / system.diagonal())
    found = np.zeros((len(between), n_ends))
    for end in range(n_ends - 1):
        wanted = np.asarray(steps[:, np.flatnonzero(ends == end)].sum(axis=1)).ravel()
        found[:, end], failed = bicgstab(
            system, wanted, M=scale, rtol=RESIDUAL, maxiter=MOST_ROUNDS
        )
        if failed:
            return np.full((len(between), n_ends), np.nan)
    found = np.clip(found, 0.0, 1.0)
    found[:, -1] = np.clip(1 - found[:, :-1].sum(axis=1), 0.0, 1.0)
    return np.asarray(found / found.sum(axis=1, keepdims=True))


@FATES.register(
    "absorption",
    summary="Absorption of the walk forward in pseudotime.",
    source="10.1038/s41592-021-01346-6",
)
def _by_absorption(
    graph: csr_matrix, pseudotime: np.ndarray, ends: np.ndarray, n_ends: int
) -> np.ndarray:
    """Walk forward in pseudotime and solve for the absorption."""
    return absorption(forward_walk(graph, pseudotime), ends, n_ends)


@FATES.register(
    "cellrank", summary="The same walk, solved by CellRank.", source="10.1038/s41592-021-01346-6"
)
def _by_cellrank(
    graph: csr_matrix, pseudotime: np.ndarray, ends: np.ndarray, n_ends: int
) -> np.ndarray:
    """Let CellRank solve the walk; an end without a cell is never reached."""
    import pandas as pd
    from anndata import AnnData
    from scipy import sparse

    cellrank = _import_extra("cellrank")
    adata = AnnData(sparse.csr_matrix((len(ends), 1), dtype=np.float32))
    walk = cellrank.kernels.PrecomputedKernel(forward_walk(graph, pseudotime), adata=adata)
    estimator = cellrank.estimators.GPCCA(walk)
    names = pd.Categorical([str(end) if end >= 0 else None for end in ends])
    estimator.set_terminal_states(pd.Series(names, index=adata.obs_names))
    options: dict[str, Any] = {"use_petsc": False, "show_progress_bar": False, "n_jobs": 1}
    estimator.compute_fate_probabilities(tol=RESIDUAL, **options)
    found = np.zeros((len(ends), n_ends))
    for end in np.unique(ends[ends >= 0]):
        found[:, end] = np.asarray(estimator.fate_probabilities[str(end)].X).ravel()
    return found


@FATES.register(
    "palantir",
    summary="Palantir's branch probabilities towards the furthest cell of each end.",
    source="10.1038/s41587-019-0068-4",
)
def _by_palantir(
    graph: csr_matrix, pseudotime: np.ndarray, ends: np.ndarray, n_ends: int
) -> np.ndarray:
    """Let Palantir order the cells again, from the first cell in pseudotime."""
    import pandas as pd

    palantir = _import_extra("palantir")
    names = [str(cell) for cell in range(len(ends))]
    maps = palantir.utils.diffusion_maps_from_kernel(
        graph.astype(float).tocsr(), n_components=10, seed=0
    )
    maps["EigenVectors"].index = names
    last = {
        end: names[int(np.where(ends == end, pseudotime, -1.0).argmax())]
        for end in np.unique(ends[ends >= 0])
    }
    terminal = pd.Series([str(end) for end in last], index=list(last.values()))
    space = palantir.utils.determine_multiscale_space(maps)
    options: dict[str, Any] = {"num_waypoints": 500, "use_early_cell_as_start": True, "seed": 0}
    first = names[int(pseudotime.argmin())]
    result = palantir.core.run_palantir(space, first, terminal_states=terminal, **options)
    found = np.zeros((len(ends), n_ends))
    for end, cell in last.items():
        column = str(end) if str(end) in result.branch_probs else cell
        found[:, end] = result.branch_probs[column].reindex(names).to_numpy()
    return found


def _import_extra(name: str) -> Any:
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
            f"trajectory(): fates is {name!r}, which needs a package that is not installed "
            f"({problem}): pip install 'scdiff-markers[trajectory]', or leave the option out."
        ) from problem
