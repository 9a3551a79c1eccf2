"""Arrays of HDF5 files, gzipped ones inflated on all cores; the HDF5 library itself uses one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from isal import isal_zlib

from scdiff.compute.arrays import count_cores

if TYPE_CHECKING:
    import h5py

__all__ = ["whole_array"]

_DEFLATE, _SHUFFLE = 1, 2
"""Numbers of the filters in the HDF5 library."""


def whole_array(dataset: h5py.Dataset) -> np.ndarray:
    """Read a one-dimensional array as ``dataset[:]`` does, in less time where gzip packs it.

    Raises
    ------
    ValueError
        If a chunk holds less, or more, than it must.
    """
    filters = _filters(dataset)
    if filters not in ([_DEFLATE], [_SHUFFLE, _DEFLATE]):
        return np.asarray(dataset[:])
    found, (n_values,) = np.empty(dataset.shape, dataset.dtype), dataset.chunks

    def inflate(start: int) -> None:
        left_out, packed = dataset.id.read_direct_chunk((start,))
        chunk = dataset[start : start + n_values] if left_out else _unpacked(packed, n_values, dataset.dtype, shuffled=_SHUFFLE in filters)
        found[start : start + n_values] = chunk[: len(found) - start]

    with ThreadPoolExecutor(count_cores()) as pool:
        list(pool.map(inflate, range(0, len(found), n_values)))
    return found


def _filters(dataset: h5py.Dataset) -> list[int]:
    """Numbers of the filters that each chunk went through; none where the array is not chunked, or chunks were never written."""
    if dataset.ndim != 1 or dataset.dtype.kind not in "fiu" or not dataset.chunks:
        return []
    if dataset.id.get_num_chunks() != -(-len(dataset) // dataset.chunks[0]):
        return []
    about = dataset.id.get_create_plist()
    return [about.get_filter(place)[0] for place in range(about.get_nfilters())]


def _unpacked(packed: bytes, n_values: int, dtype: np.dtype, *, shuffled: bool) -> np.ndarray:
    """Values of one chunk; ``shuffled`` chunks hold the first bytes of all values, then the second."""
    stream, n_bytes = isal_zlib.decompressobj(), n_values * dtype.itemsize
    try:
        plain = stream.decompress(packed, n_bytes + 1)
    except isal_zlib.error as error:  # type: ignore[misc]  # its stub declares an instance
        raise ValueError(f"a chunk is damaged: {error}") from error
    if len(plain) != n_bytes or not stream.eof:
        raise ValueError(f"a chunk is damaged: {n_bytes:,} bytes were to come out of it")
    if shuffled:
        plain = np.frombuffer(plain, np.uint8).reshape(dtype.itemsize, n_values).T.tobytes()
    return np.frombuffer(plain, dtype)
