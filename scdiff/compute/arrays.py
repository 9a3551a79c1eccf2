"""Small operations on arrays and graphs; no result depends on the order of the cells."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = [
    "as_csr",
    "count_cores",
    "limit_blas_threads",
    "name_groups",
    "sort_names",
    "split_rows",
    "take_subgraph",
]

CHUNK = 4_096
"""Rows per piece of :func:`split_rows`, so that the whole matrix is never copied. Chosen, not
tuned."""

ROUNDING = 1e-10
"""Share of a sum of squares, 0-1, below which a difference is a rounding error. Chosen, not
tuned."""


def sort_names(names: Sequence[str]) -> np.ndarray:
    """Return the row numbers in the order of their names, shape (n,).

    >>> sort_names(["b", "a"]).tolist()
    [1, 0]
    """
    return np.argsort(np.asarray(names, dtype=str), kind="stable")


def as_csr(matrix: Any) -> csr_matrix:
    """Return ``matrix`` as CSR; a CSR matrix is returned unchanged."""
    from scipy import sparse

    return (
        matrix if sparse.issparse(matrix) and matrix.format == "csr" else sparse.csr_matrix(matrix)
    )


def split_rows(rows: np.ndarray, size: int = CHUNK) -> Iterator[np.ndarray]:
    """Split ``rows`` into consecutive pieces of at most ``size`` rows."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def count_cores() -> int:
    """Count the cores that this process may use; ``NUMBA_NUM_THREADS`` lowers the number."""
    allowed = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    limit = os.environ.get("NUMBA_NUM_THREADS", "")
    return max(1, min(allowed, int(limit))) if limit.isdigit() else allowed


def name_groups(codes: np.ndarray) -> Any:
    """Return group numbers 0, 1, 2, ... as categories; the name of a category is its number.

    >>> name_groups(np.array([1, 0])).tolist()
    ['1', '0']
    """
    import pandas as pd

    return pd.Categorical(
        [str(code) for code in codes],
        categories=[str(code) for code in range(int(codes.max()) + 1)],
    )


def limit_blas_threads() -> AbstractContextManager[Any]:
    """Limit linear algebra to one thread: sums over several threads differ in the last bit."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1, user_api="blas")


def take_subgraph(graph: csr_matrix, rows: np.ndarray) -> csr_matrix:
    """Return the rows and columns ``rows`` of a graph.

    The indices of each row are sorted, so that sums over neighbours are the same to the last bit in
    any order of the cells.
    """
    part = graph[rows][:, rows]
    part.sort_indices()
    return part
