"""Pass over a matrix of cells block by block: in memory with threads, or with dask.

A kernel takes one block (CSR) and returns sums of whole numbers, or one row per cell. The result is
the same to the last bit for any block size and any number of threads or workers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff import keys
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
    "sum_by_group",
]

BLOCK = 8_192
"""Number of cells in a block. Chosen, not tuned; the result does not depend on it."""

TARGET = 10_000.0
"""Default counts per cell after scaling, as usual for scanpy."""

FAN_IN = 8
"""Number of partial sums that one dask task adds. Chosen, not tuned."""

AT_ONCE = 8
"""Number of blocks that are computed at once when rows are gathered; it bounds the memory. Chosen,
not tuned."""

REMEMBERED = 8
"""Number of results that :func:`cache_pass` keeps; the oldest one is removed first. Chosen, not
tuned."""

_known: dict[tuple[Any, ...], np.ndarray] = {}
"""Results that :func:`cache_pass` keeps, by matrix and name of the pass."""

Kernel = Callable[..., np.ndarray]


@dataclass(frozen=True)
class LogNormalised:
    """Log-normalised values, computed block by block from the counts when they are read.

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
        """Return the numbers of cells and genes."""
        return tuple(self.counts.shape)


def get_values(adata: AnnData) -> Any:
    """Return the log-normalised values: X if it is filled, otherwise :class:`LogNormalised`.

    The latter computes the values from the counts when they are read.
    """
    if adata.X is not None:
        return adata.X if is_lazy(adata.X) else as_csr(adata.X)
    return LogNormalised(
        get_counts(adata), float(read_record(adata, "normalise").get("target_sum", TARGET))
    )


def get_counts(adata: AnnData) -> Any:
    """Return the counts as CSR, or as the dask array that holds them."""
    counts = adata.layers[keys.COUNTS.name]
    return counts if is_lazy(counts) else as_csr(counts)


def arrays(block: csr_matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ``indptr``, ``indices`` and ``data`` of a CSR block.

    They have the types that the kernels are compiled for.
    """
    data = (
        block.data
        if block.data.dtype in (np.float32, np.float64)
        else block.data.astype(np.float64)
    )
    return block.indptr.astype(np.int64), block.indices.astype(np.int32, copy=False), data


def log_normalise(block: csr_matrix, target_sum: float) -> csr_matrix:
    """Scale every cell of a block to ``target_sum`` and compute ln(1 + x).

    The result shares ``indices`` and ``indptr`` with ``block``.
    """
    from scipy import sparse

    from scdiff.compute.kernels import log_values

    indptr, _, data = arrays(block)
    scaled = sparse.csr_matrix(
        (log_values(indptr, data, target_sum), block.indices, block.indptr), shape=block.shape
    )
    scaled.has_canonical_format = block.has_canonical_format
    return scaled


def sum_blocks(matrix: Any, kernel: Kernel, along: np.ndarray | None = None) -> np.ndarray:
    """Return the sum of ``kernel(block)`` over all blocks, int64.

    The kernel returns whole numbers of the same shape for every block. If ``along`` is given (one
    row per cell), the kernel also gets the rows of its block.
    """
    matrix, kernel = _unwrap_values(matrix, kernel)
    if is_lazy(matrix):
        return _sum_tree(_delay_kernel(matrix, kernel, along))
    kernel = report_progress(kernel, matrix.shape[0], "cells", _count_cells)
    workers = range(count_workers(matrix.shape[0]))
    with ThreadPoolExecutor(len(workers)) as pool:
        shares = pool.map(
            lambda worker: _add_in_place(
                kernel(*block) for block in _cut_blocks(matrix, along, worker, len(workers))
            ),
            workers,
        )
        return _add_in_place(list(shares))


def stack_blocks(matrix: Any, kernel: Kernel, along: np.ndarray | None = None) -> np.ndarray:
    """Return the rows that ``kernel(block)`` computes for all cells, in the order of the cells.

    ``along`` is described in :func:`sum_blocks`.
    """
    matrix, kernel = _unwrap_values(matrix, kernel)
    if is_lazy(matrix):
        import dask

        return np.concatenate(dask.compute(*_delay_kernel(matrix, kernel, along)))
    kernel = report_progress(kernel, matrix.shape[0], "cells", _count_cells)
    with ThreadPoolExecutor(count_workers(matrix.shape[0])) as pool:
        rows = pool.map(lambda block: kernel(*block), _cut_blocks(matrix, along))
        return np.concatenate(list(rows))


def measure_cells(counts: Any, marked: np.ndarray) -> np.ndarray:
    """Return the total, the total of the ``marked`` genes and the number of genes of each cell.

    Shape (n_cells, 3). A gene counts if its count is not 0.
    """
    return cache_pass(
        counts,
        ("measures", marked.tobytes()),
        lambda: stack_blocks(counts, partial(_sum_cells, marked=marked)),
    )


def cache_pass(matrix: Any, what: tuple[Any, ...], compute: Callable[[], np.ndarray]) -> np.ndarray:
    """Return ``compute()``, or its stored result if the matrix is a dask array.

    A pass over a dask array reads the disk, and the array never changes. A matrix in memory is
    computed each time.
    """
    stored = matrix.counts if isinstance(matrix, LogNormalised) else matrix
    if not is_lazy(stored):
        return compute()
    key = (stored.name, getattr(matrix, "target_sum", None), *what)
    if key not in _known:
        _known[key] = compute()
    while len(_known) > REMEMBERED:
        del _known[next(iter(_known))]
    return _known[key]


def _sum_cells(block: csr_matrix, marked: np.ndarray) -> np.ndarray:
    """Compute the sums of :func:`measure_cells` for the cells of one block."""
    from scdiff.compute.kernels import cell_sums

    return np.asarray(cell_sums(*arrays(block), marked))


def sum_by_group(counts: Any, group: np.ndarray, n_groups: int) -> np.ndarray:
    """Return the sum of every gene in each group of cells, shape (n_groups, n_genes).

    ``group`` has the number of each cell's group, shape (n_cells,); cells below 0 are left out.
    """
    kernel = partial(_sum_groups, n_genes=counts.shape[1], n_groups=n_groups)
    return sum_blocks(counts, kernel, group)


def _sum_groups(block: csr_matrix, group: np.ndarray, n_genes: int, n_groups: int) -> np.ndarray:
    """Compute the sums of :func:`sum_by_group` for the cells of one block."""
    from scdiff.compute.kernels import group_sums

    return np.asarray(group_sums(*arrays(block), n_genes, group, n_groups))


def read_columns(matrix: Any, columns: np.ndarray) -> np.ndarray:
    """Return the values of some genes in every cell, in the order of ``columns``.

    Shape (n_cells, n_columns).
    """
    column_of_gene = np.full(matrix.shape[1], -1, dtype=np.int32)
    column_of_gene[columns] = np.arange(len(columns))
    kernel = partial(_pick_columns, column_of_gene=column_of_gene, n_columns=len(columns))
    return cache_pass(
        matrix, ("columns", np.asarray(columns).tobytes()), lambda: stack_blocks(matrix, kernel)
    )


def read_rows(matrix: Any, rows: np.ndarray) -> csr_matrix:
    """Return the values of some cells as CSR, in the order of ``rows``."""
    if isinstance(matrix, LogNormalised):
        return log_normalise(read_rows(matrix.counts, rows), matrix.target_sum)
    return _gather_rows(matrix, rows) if is_lazy(matrix) else matrix[rows].tocsr()


def _gather_rows(matrix: Any, rows: np.ndarray) -> csr_matrix:
    """Compute some rows of a dask array, ``AT_ONCE`` blocks at a time.

    The values are written into arrays of the final size: joining all pieces at the end would double
    the memory.
    """
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
            dask.delayed(_pick_rows)(parts[number], rows[here] - ends[number])
            for number, here in few
        ]
        for (_, here), piece in zip(few, dask.compute(*tasks), strict=True):
            places = np.repeat(indptr[here] - piece.indptr[:-1], np.diff(piece.indptr)) + np.arange(
                piece.nnz
            )
            data[places], indices[places] = piece.data, piece.indices
    return sparse.csr_matrix((data, indices, indptr), shape=(len(rows), matrix.shape[1]))


def _pick_rows(block: csr_matrix, rows: np.ndarray) -> csr_matrix:
    """Return some rows of one block."""
    return block[rows]


def keep_rows_lazily(matrix: Any, kept: np.ndarray) -> Any:
    """Return the dask array with only the rows where ``kept`` is true.

    A block that keeps all its rows is passed on unchanged; dask's own row selection copies each
    block.
    """
    ends = np.cumsum((0, *matrix.chunks[0]))
    stretches = [kept[start:end] for start, end in itertools.pairwise(ends)]
    sizes = tuple(int(stretch.sum()) for stretch in stretches)
    return matrix.map_blocks(
        partial(_keep_rows, stretches=stretches),
        chunks=(sizes, matrix.chunks[1]),
        dtype=matrix.dtype,
        meta=matrix._meta,  # noqa: SLF001
    )


def _keep_rows(
    block: csr_matrix, stretches: Sequence[np.ndarray], block_id: tuple[int, ...] = (0,)
) -> csr_matrix:
    """Return the rows of one block that are kept."""
    stretch = stretches[block_id[0]]
    return block if stretch.all() else block[np.flatnonzero(stretch)]


def _pick_columns(block: csr_matrix, column_of_gene: np.ndarray, n_columns: int) -> np.ndarray:
    """Return the values of some genes in the cells of one block."""
    from scdiff.compute.kernels import some_columns

    return np.asarray(some_columns(*arrays(block), column_of_gene, n_columns))


def _count_cells(block: csr_matrix, *_along: np.ndarray) -> int:
    """Count the cells of a block."""
    return int(block.shape[0])


def is_lazy(matrix: Any) -> bool:
    """Check whether ``matrix`` is a dask array or anndata's view of one.

    Dask decides where and when its blocks are computed.
    """
    return any(base.__module__.startswith("dask.") for base in type(matrix).__mro__)


def count_workers(n_cells: int) -> int:
    """Return the number of threads for a pass.

    It is at most the number of blocks and the number of cores; see :func:`count_cores`.
    """
    return max(1, min(count_cores(), -(-n_cells // BLOCK)))


def blocks(matrix: csr_matrix) -> Iterator[csr_matrix]:
    """Yield the blocks of a matrix.

    In memory, their values are not copied. Blocks of a dask array are computed one after the other.
    """
    if is_lazy(matrix):
        return (part.compute() for part in matrix.blocks)
    return (block for block, *_ in _cut_blocks(matrix, None))


def _cut_blocks(
    matrix: csr_matrix, along: np.ndarray | None, first: int = 0, step: int = 1
) -> Iterator[tuple[Any, ...]]:
    """Yield the arguments of the kernel for block ``first`` and each ``step``-th block after it."""
    from scipy import sparse

    for start in range(first * BLOCK, max(matrix.shape[0], 1), step * BLOCK):
        indptr = matrix.indptr[start : start + BLOCK + 1]
        inside = slice(int(indptr[0]), int(indptr[-1]))
        block = sparse.csr_matrix((len(indptr) - 1, matrix.shape[1]), dtype=matrix.dtype)
        block.data = matrix.data[inside]  # the constructor would copy these arrays
        block.indices = matrix.indices[inside]
        block.indptr = indptr - indptr[0]
        block.has_canonical_format = matrix.has_canonical_format
        yield (block,) if along is None else (block, along[start : start + BLOCK])


def _delay_kernel(matrix: Any, kernel: Kernel, along: np.ndarray | None) -> list[Any]:
    """Return one dask task per block of the matrix."""
    import dask

    ends = np.cumsum((0, *matrix.chunks[0]))
    parts = [
        () if along is None else (along[start:end],) for start, end in itertools.pairwise(ends)
    ]
    return [
        dask.delayed(kernel)(block, *part)
        for block, part in zip(matrix.to_delayed().ravel(), parts, strict=True)
    ]


def _unwrap_values(matrix: Any, kernel: Kernel) -> tuple[Any, Kernel]:
    """Return the stored matrix and the kernel for its blocks.

    For :class:`LogNormalised`, these are the counts and a kernel that normalises each block first.
    """
    if not isinstance(matrix, LogNormalised):
        return matrix, kernel
    return matrix.counts, partial(
        _normalise_then_apply, kernel=kernel, target_sum=matrix.target_sum
    )


def _normalise_then_apply(
    block: csr_matrix, *along: np.ndarray, kernel: Kernel, target_sum: float
) -> np.ndarray:
    """Apply a kernel to the log-normalised values of a block of counts."""
    return kernel(log_normalise(block, target_sum), *along)


def _add_in_place(found: Iterable[Any]) -> Any:
    """Return the sum of arrays; the first array is overwritten with it."""
    total = None
    for part in found:
        total = part if total is None else np.add(total, part, out=total)
    return total


def _sum_tree(parts: list[Any]) -> np.ndarray:
    """Return the sum of the results of dask tasks.

    Each task adds ``FAN_IN`` partial sums on a worker, so that little data is transferred.
    """
    import dask

    while len(parts) > 1:
        parts = [
            dask.delayed(_sum_list)(parts[start : start + FAN_IN])
            for start in range(0, len(parts), FAN_IN)
        ]
    return np.asarray(dask.compute(parts[0])[0])


def _sum_list(found: list[np.ndarray]) -> np.ndarray:
    """Return the sum of arrays; arrays that dask holds are not overwritten."""
    return np.asarray(np.sum(found, axis=0, dtype=np.int64))
