"""Passes over a matrix of cells, a block at a time: in memory by threads, or wherever dask computes.

A kernel takes one block (CSR) and returns sums of whole numbers, or one row per cell. Neither the size of the blocks
nor who computes them changes a bit.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.compute.arrays import as_csr, count_cores
from scdiff.compute.watch import report_progress
from scdiff.record import read_record

if TYPE_CHECKING:
    from anndata import AnnData
    from scipy.sparse import csr_matrix

__all__ = [
    "TARGET",
    "LogNormalised",
    "arrays",
    "blocks",
    "cache_pass",
    "count_workers",
    "get_counts",
    "get_values",
    "is_lazy",
    "keep_rows_lazily",
    "log_normalise",
    "measure_cells",
    "read_columns",
    "read_rows",
    "stack_blocks",
    "sum_blocks",
]

BLOCK = 8_192
"""Cells of a block."""

TARGET = 10_000.0
FAN_IN, AT_ONCE, REMEMBERED = 8, 8, 8

_known: dict[tuple[Any, ...], np.ndarray] = {}

Kernel = Callable[..., np.ndarray]


@dataclass(frozen=True)
class LogNormalised:
    """Log-normalised values that are computed from the counts, block by block, when they are asked for.

    Parameters
    ----------
    counts
        Cells x genes.
    target_sum
        Counts per cell after scaling.
    """

    counts: Any
    target_sum: float

    @property
    def shape(self) -> tuple[int, int]:
        """Cells and genes."""
        return tuple(self.counts.shape)


def get_values(adata: AnnData) -> Any:
    """Log-normalised values: X where it is filled, else computed from the counts when asked for."""
    if adata.X is not None:
        return adata.X if is_lazy(adata.X) else as_csr(adata.X)
    return LogNormalised(
        get_counts(adata), float(read_record(adata, "normalise").get("target_sum", TARGET))
    )


def get_counts(adata: AnnData) -> Any:
    """Take the counts as CSR, or as the dask array that holds them."""
    counts = adata.layers["counts"]
    return counts if is_lazy(counts) else as_csr(counts)


def arrays(block: csr_matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arrays of a CSR block in the types that the kernels are compiled for: ``indptr``, ``indices``, ``data``."""
    data = (
        block.data
        if block.data.dtype in (np.float32, np.float64)
        else block.data.astype(np.float64)
    )
    return block.indptr.astype(np.int64), block.indices.astype(np.int32, copy=False), data


def log_normalise(block: csr_matrix, target_sum: float) -> csr_matrix:
    """Scale every cell of a block to ``target_sum`` and take ln(1 + x); the places of the values are shared with ``block``."""
    from scipy import sparse

    from scdiff.compute.kernels import log_values

    indptr, _, data = arrays(block)
    made = sparse.csr_matrix(
        (log_values(indptr, data, target_sum), block.indices, block.indptr), shape=block.shape
    )
    made.has_canonical_format = block.has_canonical_format
    return made


def sum_blocks(matrix: Any, kernel: Kernel, along: np.ndarray | None = None) -> np.ndarray:
    """Sum what ``kernel(block)`` gives for all blocks: whole numbers, int64, of one shape.

    With ``along``, one row per cell, the kernel is also given the rows of its block.
    """
    matrix, kernel = _on_counts(matrix, kernel)
    if is_lazy(matrix):
        return _tree_sum(_delayed(matrix, kernel, along))
    kernel = report_progress(kernel, matrix.shape[0], "cells", _n_cells)
    workers = range(count_workers(matrix.shape[0]))
    with ThreadPoolExecutor(len(workers)) as pool:
        shares = pool.map(
            lambda worker: _sum(
                kernel(*given) for given in _given(matrix, along, worker, len(workers))
            ),
            workers,
        )
        return _sum(list(shares))


def stack_blocks(matrix: Any, kernel: Kernel, along: np.ndarray | None = None) -> np.ndarray:
    """Put the rows that ``kernel(block)`` gives for the cells of every block below each other; ``along`` as in :func:`sum_blocks`."""
    matrix, kernel = _on_counts(matrix, kernel)
    if is_lazy(matrix):
        import dask

        return np.concatenate(dask.compute(*_delayed(matrix, kernel, along)))
    kernel = report_progress(kernel, matrix.shape[0], "cells", _n_cells)
    with ThreadPoolExecutor(count_workers(matrix.shape[0])) as pool:
        return np.concatenate(list(pool.map(lambda given: kernel(*given), _given(matrix, along))))


def measure_cells(counts: Any, marked: np.ndarray) -> np.ndarray:
    """Count what is in every cell: all, of the ``marked`` genes, and the genes seen; shape (n_cells, 3)."""
    return cache_pass(
        counts,
        ("measures", marked.tobytes()),
        lambda: stack_blocks(counts, partial(_cell_sums, marked=marked)),
    )


def cache_pass(matrix: Any, what: tuple[Any, ...], compute: Callable[[], np.ndarray]) -> np.ndarray:
    """Keep small results of passes over a dask array, which never changes: such a pass reads the disk."""
    stored = matrix.counts if isinstance(matrix, LogNormalised) else matrix
    if not is_lazy(stored):
        return compute()
    key = (stored.name, getattr(matrix, "target_sum", None), *what)
    if key not in _known:
        _known[key] = compute()
    while len(_known) > REMEMBERED:
        del _known[next(iter(_known))]
    return _known[key]


def _cell_sums(block: csr_matrix, marked: np.ndarray) -> np.ndarray:
    """Measures of the cells of one block."""
    from scdiff.compute.kernels import cell_sums

    return np.asarray(cell_sums(*arrays(block), marked))


def read_columns(matrix: Any, columns: np.ndarray) -> np.ndarray:
    """Values of some genes in every cell, shape (n_cells, n_columns), in the order asked for."""
    column_of_gene = np.full(matrix.shape[1], -1, dtype=np.int32)
    column_of_gene[columns] = np.arange(len(columns))
    kernel = partial(_some_columns, column_of_gene=column_of_gene, n_columns=len(columns))
    return cache_pass(
        matrix, ("columns", np.asarray(columns).tobytes()), lambda: stack_blocks(matrix, kernel)
    )


def read_rows(matrix: Any, rows: np.ndarray) -> csr_matrix:
    """Values of some cells as CSR, in the order asked for."""
    if isinstance(matrix, LogNormalised):
        return log_normalise(read_rows(matrix.counts, rows), matrix.target_sum)
    return _gathered(matrix, rows) if is_lazy(matrix) else matrix[rows].tocsr()


def _gathered(matrix: Any, rows: np.ndarray) -> csr_matrix:
    """Compute some rows of a dask array, some blocks at once, into arrays of the final size: joining all would double the memory."""
    import dask
    from scipy import sparse

    sizes = measure_cells(matrix, np.zeros(matrix.shape[1], dtype=bool))[rows, 2].astype(np.int64)
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    data, indices = np.empty(indptr[-1], dtype=matrix.dtype), np.empty(indptr[-1], dtype=np.int32)
    ends, parts = np.cumsum((0, *matrix.chunks[0])), matrix.to_delayed().ravel()
    block_of_row = np.searchsorted(ends, rows, side="right") - 1
    wanted = [
        (number, np.flatnonzero(block_of_row == number)) for number in np.unique(block_of_row)
    ]
    for start in range(0, len(wanted), AT_ONCE):
        few = wanted[start : start + AT_ONCE]
        tasks = [
            dask.delayed(_picked)(parts[number], rows[here] - ends[number]) for number, here in few
        ]
        for (_, here), piece in zip(few, dask.compute(*tasks), strict=True):
            places = np.repeat(indptr[here] - piece.indptr[:-1], np.diff(piece.indptr)) + np.arange(
                piece.nnz
            )
            data[places], indices[places] = piece.data, piece.indices
    return sparse.csr_matrix((data, indices, indptr), shape=(len(rows), matrix.shape[1]))


def _picked(block: csr_matrix, rows: np.ndarray) -> csr_matrix:
    """Take some rows of one block."""
    return block[rows]


def keep_rows_lazily(matrix: Any, kept: np.ndarray) -> Any:
    """Leave rows of a dask array out; a block that loses none is passed on as it is, where dask's own choice of rows copies each."""
    ends = np.cumsum((0, *matrix.chunks[0]))
    stretches = [kept[start:end] for start, end in itertools.pairwise(ends)]
    sizes = tuple(int(stretch.sum()) for stretch in stretches)
    return matrix.map_blocks(
        partial(_kept, stretches=stretches),
        chunks=(sizes, matrix.chunks[1]),
        dtype=matrix.dtype,
        meta=matrix._meta,  # noqa: SLF001
    )


def _kept(
    block: csr_matrix, stretches: Sequence[np.ndarray], block_id: tuple[int, ...] = (0,)
) -> csr_matrix:
    """Leave rows of one block out."""
    stretch = stretches[block_id[0]]
    return block if stretch.all() else block[np.flatnonzero(stretch)]


def _some_columns(block: csr_matrix, column_of_gene: np.ndarray, n_columns: int) -> np.ndarray:
    """Values of some genes in the cells of one block."""
    from scdiff.compute.kernels import some_columns

    return np.asarray(some_columns(*arrays(block), column_of_gene, n_columns))


def _n_cells(block: csr_matrix, *_along: np.ndarray) -> int:
    """Cells of a block."""
    return int(block.shape[0])


def is_lazy(matrix: Any) -> bool:
    """Whether ``matrix`` is a dask array, or anndata's view of one: its blocks are computed where dask says."""
    return any(base.__module__.startswith("dask.") for base in type(matrix).__mro__)


def count_workers(n_cells: int) -> int:
    """Threads for a pass: as many as there are cores for this process, or ``NUMBA_NUM_THREADS`` says, and blocks to share out."""
    return max(1, min(count_cores(), -(-n_cells // BLOCK)))


def blocks(matrix: csr_matrix) -> Iterator[csr_matrix]:
    """Cut a matrix into blocks: in memory without copying its values, else computed one after the other."""
    if is_lazy(matrix):
        return (part.compute() for part in matrix.blocks)
    return (block for block, *_ in _given(matrix, None))


def _given(
    matrix: csr_matrix, along: np.ndarray | None, first: int = 0, step: int = 1
) -> Iterator[tuple[Any, ...]]:
    """Yield what the kernel is given for each block; of every ``step`` blocks, number ``first``."""
    from scipy import sparse

    for start in range(first * BLOCK, max(matrix.shape[0], 1), step * BLOCK):
        indptr = matrix.indptr[start : start + BLOCK + 1]
        inside = slice(int(indptr[0]), int(indptr[-1]))
        block = sparse.csr_matrix((len(indptr) - 1, matrix.shape[1]), dtype=matrix.dtype)
        block.data, block.indices, block.indptr = (
            matrix.data[inside],
            matrix.indices[inside],
            indptr - indptr[0],
        )  # the constructor copies
        block.has_canonical_format = matrix.has_canonical_format
        yield (block,) if along is None else (block, along[start : start + BLOCK])


def _delayed(matrix: Any, kernel: Kernel, along: np.ndarray | None) -> list[Any]:
    """One task of dask for each of its blocks."""
    import dask

    ends = np.cumsum((0, *matrix.chunks[0]))
    parts = [
        () if along is None else (along[start:end],) for start, end in itertools.pairwise(ends)
    ]
    return [
        dask.delayed(kernel)(block, *part)
        for block, part in zip(matrix.to_delayed().ravel(), parts, strict=True)
    ]


def _on_counts(matrix: Any, kernel: Kernel) -> tuple[Any, Kernel]:
    """Find what is stored, and what to do with its blocks."""
    if not isinstance(matrix, LogNormalised):
        return matrix, kernel
    return matrix.counts, partial(_normalised_first, kernel=kernel, target_sum=matrix.target_sum)


def _normalised_first(
    block: csr_matrix, *along: np.ndarray, kernel: Kernel, target_sum: float
) -> np.ndarray:
    """Run a kernel on the log-normalised values of a block of counts."""
    return kernel(log_normalise(block, target_sum), *along)


def _sum(found: Iterable[Any]) -> Any:
    """Add arrays up, in place of the first."""
    total = None
    for part in found:
        total = part if total is None else np.add(total, part, out=total)
    return total


def _tree_sum(parts: list[Any]) -> np.ndarray:
    """Sum what tasks of dask give, some of them on each worker, so that little travels."""
    import dask

    while len(parts) > 1:
        parts = [
            dask.delayed(_sum_list)(parts[start : start + FAN_IN])
            for start in range(0, len(parts), FAN_IN)
        ]
    return np.asarray(dask.compute(parts[0])[0])


def _sum_list(found: list[np.ndarray]) -> np.ndarray:
    """Add arrays up; those that dask holds stay as they are."""
    return np.asarray(np.sum(found, axis=0, dtype=np.int64))
