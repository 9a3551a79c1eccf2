"""Values of stored matrices, sparse or dense, whole or some cells of them, as CSR."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from scdiff.compute.blocks import is_lazy
from scdiff.steps.load.checks.counts import widen_values
from scdiff.steps.load.readers.chunks import read_whole_array
from scdiff.steps.load.readers.lazy import open_lazily
from scdiff.steps.load.table import Hold, choose_stretches

__all__ = ["as_csr", "read_arrays", "read_by_cell", "read_some_rows", "read_values"]


def read_by_cell(stored: Any, path: Path, name: str, hold: Hold) -> Any:
    """Read a stored matrix as CSR, or open it as a dask array."""
    values = read_values(stored, path, name, hold)
    return values if is_lazy(values) else as_csr(values)


def read_values(stored: Any, path: Path, name: str, hold: Hold) -> Any:
    """Read as much of a stored matrix as ``hold`` asks for."""
    if hold == "disk":
        return open_lazily(stored, path, name)
    if hold == "memory":
        return _read_whole(stored)
    if stored.attrs.get("encoding-type") == "csr_matrix":
        n_cells, n_genes = (int(size) for size in stored.attrs["shape"])
        return read_some_rows(stored, (n_cells, n_genes))
    return _select_stretches(stored if hasattr(stored, "shape") else _read_whole(stored))


def _read_whole(stored: Any) -> Any:
    """Read all values of a stored matrix."""
    from anndata.io import read_elem

    matrix = _read_sparse(stored)
    return read_elem(stored) if matrix is None else matrix


def _read_sparse(stored: Any) -> Any:
    """Read a sparse matrix of an HDF5 file, or of a store with numbers that anndata cannot read.

    Return None for any other matrix.
    """
    import h5py
    from scipy import sparse

    kinds = {"csr_matrix": sparse.csr_matrix, "csc_matrix": sparse.csc_matrix}
    build = kinds.get(stored.attrs.get("encoding-type"))
    if build is None or not (isinstance(stored, h5py.Group) or stored["data"].dtype == np.float16):
        return None
    return build(read_arrays(stored), shape=tuple(int(size) for size in stored.attrs["shape"]))


def read_arrays(group: Any) -> tuple[np.ndarray, ...]:
    """Read the values, indices and pointers of a sparse matrix."""
    import h5py

    read = read_whole_array if isinstance(group, h5py.Group) else np.asarray
    return tuple(widen_values(read(group[name])) for name in ("data", "indices", "indptr"))


def _select_stretches(matrix: Any) -> Any:
    """Select the cells of a matrix that a look at a file reads."""
    from scipy import sparse

    rows = as_csr(matrix) if sparse.issparse(matrix) else matrix
    parts = [as_csr(rows[stretch]) for stretch in choose_stretches(matrix.shape[0])]
    return sparse.vstack(parts, format="csr")


def as_csr(matrix: Any) -> Any:
    """Convert a sparse or dense matrix to CSR."""
    from scipy import sparse

    if sparse.issparse(matrix) and matrix.format != "csr":
        # with an index out of range, the conversion would read memory of other objects
        matrix.check_format()
    return sparse.csr_matrix(
        matrix if sparse.issparse(matrix) else widen_values(np.asarray(matrix))
    )


def read_some_rows(group: Any, shape: tuple[int, int]) -> Any:
    """Read the cells of a stored CSR matrix that a look at a file reads."""
    from scipy import sparse

    indptr, parts = group["indptr"][:], []
    for stretch in choose_stretches(shape[0]):
        ends = indptr[stretch.start : stretch.stop + 1]
        inside = slice(int(ends[0]), int(ends[-1]))
        arrays = (widen_values(group["data"][inside]), group["indices"][inside], ends - ends[0])
        parts.append(sparse.csr_matrix(arrays, shape=(len(ends) - 1, shape[1])))
    return sparse.vstack(parts, format="csr")
