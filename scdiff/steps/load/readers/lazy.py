"""Counts that stay on disk: dask arrays of blocks, for batches larger than the memory."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scdiff.compute.blocks import BLOCK, is_lazy, stack_blocks
from scdiff.errors import InputError
from scdiff.steps.load.checks import counts

__all__ = ["compute_first_block", "make_exact_lazily", "open_lazily", "survey_lazily"]


def open_lazily(stored: Any, path: Path, name: str) -> Any:
    """Open a stored matrix as a dask array with blocks of a few thousand cells.

    Raises
    ------
    InputError
        If the matrix is not stored by cell (CSR).
    """
    from anndata.experimental import read_elem_lazy

    kind = stored.attrs.get("encoding-type", "array")
    if kind != "csr_matrix":
        raise InputError(
            f"{path}: {name} is stored as {kind}; the engine dask reads sparse matrices stored by "
            "cell (csr_matrix). Convert it (adata.X = scipy.sparse.csr_matrix(adata.X)), or use "
            "the engine memory."
        )
    return read_elem_lazy(stored, chunks=(BLOCK, int(stored.attrs["shape"][1])))


def compute_first_block(matrix: Any) -> Any:
    """Compute the first block of cells of a lazy matrix; return a matrix in memory whole."""
    return matrix.blocks[0].compute() if is_lazy(matrix) else matrix


def survey_lazily(matrix: Any) -> counts.Survey:
    """Survey every stored value once, block by block, where dask computes."""
    low, high, n_not_finite, n_fractional, noise, smallest = stack_blocks(matrix, _survey_row).T
    values = (
        float(low.min()),
        float(high.max()),
        int(n_not_finite.sum()),
        int(n_fractional.sum()),
        float(noise.max()),
    )
    return counts.Survey(*values, float(smallest.min()))


def _survey_row(block: Any) -> np.ndarray:
    """Survey one block, after a check that no index is out of range.

    Such an index would make later code read memory of other objects.
    """
    block.check_format(full_check=True)
    seen = counts.survey_values(block)
    bounds = [seen.minimum, seen.maximum]
    numbers = [seen.n_not_finite, seen.n_fractional, seen.noise, seen.smallest]
    return np.array([[*bounds, *numbers]])


def make_exact_lazily(matrix: Any, seen: counts.Survey) -> Any:
    """Make every block canonical counts when it is computed.

    This is :func:`scdiff.steps.load.checks.counts.make_exact` for lazy matrices.
    """
    dtype = np.float32 if seen.maximum < 2**24 else np.float64
    meta = matrix._meta.astype(dtype)  # noqa: SLF001 dask has no public name for it
    return matrix.map_blocks(partial(counts.make_exact, seen=seen), dtype=dtype, meta=meta)
