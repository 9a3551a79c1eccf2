"""Counts that stay on disk: dask arrays of blocks, for batches larger than the memory."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scdiff.compute.blocks import BLOCK, is_lazy, stack_blocks
from scdiff.errors import InputError
from scdiff.steps.load.checks import counts

__all__ = ["exact_lazily", "first_block", "lazy_counts", "survey_lazily"]


def lazy_counts(stored: Any, path: Path, name: str) -> Any:
    """Take a stored matrix as a dask array of some thousand cells each.

    Raises
    ------
    InputError
        If it is not stored by cell (CSR).
    """
    from anndata.experimental import read_elem_lazy

    kind = stored.attrs.get("encoding-type", "array")
    if kind != "csr_matrix":
        raise InputError(
            f"{path}: {name} is stored as {kind}; the engine dask reads sparse matrices stored by cell (csr_matrix). "
            "Write it so (adata.X = scipy.sparse.csr_matrix(adata.X)), or use the engine memory."
        )
    return read_elem_lazy(stored, chunks=(BLOCK, int(stored.attrs["shape"][1])))


def first_block(matrix: Any) -> Any:
    """Compute the first cells of a lazy matrix; a matrix in memory is returned whole."""
    return matrix.blocks[0].compute() if is_lazy(matrix) else matrix


def survey_lazily(matrix: Any) -> counts.Survey:
    """Look at every stored value once, block by block, where dask computes."""
    low, high, n_not_finite, n_fractional, noise, smallest = stack_blocks(matrix, _survey_row).T
    values = float(low.min()), float(high.max()), int(n_not_finite.sum()), int(n_fractional.sum()), float(noise.max())
    return counts.Survey(*values, float(smallest.min()))


def _survey_row(block: Any) -> np.ndarray:
    """Survey one block after a check that no index is out of range, which would read foreign memory."""
    block.check_format(full_check=True)
    seen = counts.survey(block)
    return np.array([[seen.minimum, seen.maximum, seen.n_not_finite, seen.n_fractional, seen.noise, seen.smallest]])


def exact_lazily(matrix: Any, seen: counts.Survey) -> Any:
    """Make every block canonical counts when it is computed, as :func:`scdiff.steps.load.checks.counts.exact` does at once."""
    dtype = np.float32 if seen.maximum < 2**24 else np.float64
    return matrix.map_blocks(partial(counts.exact, seen=seen), dtype=dtype, meta=matrix._meta.astype(dtype))  # noqa: SLF001
