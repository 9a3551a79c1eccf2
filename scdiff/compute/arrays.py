"""Small operations on arrays and graphs that keep every bit in any order of the cells."""

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
"""Cells that are handled at once where the whole matrix need not be copied."""

ROUNDING = 1e-10
"""Share of a sum of squares below which a difference is rounding."""


def sort_names(names: Sequence[str]) -> np.ndarray:
    """Row numbers in the order of their names, shape (n,).

    >>> sort_names(["b", "a"]).tolist()
    [1, 0]
    """
    return np.argsort(np.asarray(names, dtype=str), kind="stable")


def as_csr(matrix: Any) -> csr_matrix:
    """Return ``matrix`` as CSR; the same object where it is one already."""
    from scipy import sparse

    return (
        matrix if sparse.issparse(matrix) and matrix.format == "csr" else sparse.csr_matrix(matrix)
    )


def split_rows(rows: np.ndarray, size: int = CHUNK) -> Iterator[np.ndarray]:
    """Cut ``rows`` into consecutive pieces of at most ``size``."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def count_cores() -> int:
    """Cores that this process may use; ``NUMBA_NUM_THREADS`` sets fewer."""
    allowed = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    asked = os.environ.get("NUMBA_NUM_THREADS", "")
    return max(1, min(allowed, int(asked))) if asked.isdigit() else allowed


def name_groups(codes: np.ndarray) -> Any:
    """Turn group numbers 0, 1, 2, ... into categories named by their number.

    >>> name_groups(np.array([1, 0])).tolist()
    ['1', '0']
    """
    import pandas as pd

    return pd.Categorical(
        [str(code) for code in codes],
        categories=[str(code) for code in range(int(codes.max()) + 1)],
    )


def limit_blas_threads() -> AbstractContextManager[Any]:
    """Keep linear algebra to one thread: sums split over threads differ in the last bit."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1, user_api="blas")


def take_subgraph(graph: csr_matrix, rows: np.ndarray) -> csr_matrix:
    """Rows and columns ``rows`` of a graph, each row sorted, so that sums over neighbours keep their bits in any order of the cells."""
    part = graph[rows][:, rows]
    part.sort_indices()
    return part
