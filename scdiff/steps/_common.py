"""What several steps need: order by name, sums that do not depend on order, the place of a record."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scdiff.genes import detect_species
from scdiff.keys import Key

if TYPE_CHECKING:
    from anndata import AnnData
    from scipy.sparse import csr_matrix

__all__ = [
    "csr",
    "n_cores",
    "name_order",
    "numbered",
    "one_blas_thread",
    "part_of",
    "record",
    "recorded",
    "row_chunks",
    "species_of",
    "texts",
]

CHUNK = 4_096
"""Cells that are handled at once where the whole matrix need not be copied."""

ROUNDING = 1e-10
"""Share of a sum of squares below which a difference is rounding."""


def name_order(names: Sequence[str]) -> np.ndarray:
    """Row numbers in the order of their names, shape (n,).

    >>> name_order(["b", "a"]).tolist()
    [1, 0]
    """
    return np.argsort(np.asarray(names, dtype=str), kind="stable")


def csr(matrix: Any) -> csr_matrix:
    """Return ``matrix`` as CSR; the same object where it is one already."""
    from scipy import sparse

    return matrix if sparse.issparse(matrix) and matrix.format == "csr" else sparse.csr_matrix(matrix)


def row_chunks(rows: np.ndarray, size: int = CHUNK) -> Iterator[np.ndarray]:
    """Cut ``rows`` into consecutive pieces of at most ``size``."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def n_cores() -> int:
    """Cores that this process may use; ``NUMBA_NUM_THREADS`` sets fewer."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("NUMBA_NUM_THREADS", "")
    return max(1, min(allowed, int(asked))) if asked.isdigit() else allowed


def numbered(codes: np.ndarray) -> Any:
    """Turn group numbers 0, 1, 2, ... into categories named by their number.

    >>> numbered(np.array([1, 0])).tolist()
    ['1', '0']
    """
    import pandas as pd

    return pd.Categorical([str(code) for code in codes], categories=[str(code) for code in range(int(codes.max()) + 1)])


def one_blas_thread() -> AbstractContextManager[Any]:
    """Keep linear algebra to one thread: sums split over threads differ in the last bit."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1, user_api="blas")


def part_of(graph: csr_matrix, rows: np.ndarray) -> csr_matrix:
    """Rows and columns ``rows`` of a graph, each row sorted, so that sums over neighbours keep their bits in any order of the cells."""
    part = graph[rows][:, rows]
    part.sort_indices()
    return part


def recorded(adata: AnnData, name: str) -> Any:
    """``uns["scdiff"][name]``, an empty mapping where it is missing."""
    return adata.uns.get("scdiff", {}).get(name, {})


def record(adata: AnnData, key: Key, value: Any) -> None:
    """Write ``value`` to the place of ``key`` in ``uns["scdiff"]``."""
    adata.uns.setdefault("scdiff", {})[key.name] = value


def species_of(adata: AnnData) -> Literal["human", "mouse"]:
    """Species as ``load`` recorded it, else by the gene names, else human."""
    known = recorded(adata, "input").get("species", "unknown")
    if known in ("human", "mouse"):
        return known
    return detect_species(adata.var_names) or "human"


def texts(sentences: Sequence[str]) -> np.ndarray:
    """Sentences as an array that h5ad can hold, also when there is none."""
    return np.array(list(sentences), dtype=object)
