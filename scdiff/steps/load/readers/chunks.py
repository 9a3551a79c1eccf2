"""Arrays of HDF5 files; gzipped ones are inflated on all cores, the HDF5 library uses only one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from isal import isal_zlib

from scdiff.compute.arrays import count_cores

if TYPE_CHECKING:
    import h5py

__all__ = ["read_whole_array"]

_DEFLATE, _SHUFFLE = 1, 2
"""Identifiers of the filters in the HDF5 library."""


def read_whole_array(dataset: h5py.Dataset) -> np.ndarray:
    """Read a one-dimensional array as ``dataset[:]`` does, but faster if it is gzipped.

    Raises
    ------
    ValueError
        If a chunk holds less or more than it should.
    """
    filters = _list_filters(dataset)
    if filters not in ([_DEFLATE], [_SHUFFLE, _DEFLATE]):
        return np.asarray(dataset[:])
    found, (n_values,) = np.empty(dataset.shape, dataset.dtype), dataset.chunks

    def inflate(start: int) -> None:
        skipped_filters, packed = dataset.id.read_direct_chunk((start,))
        if skipped_filters:
            chunk = dataset[start : start + n_values]
        else:
            chunk = _unpack(packed, n_values, dataset.dtype, shuffled=_SHUFFLE in filters)
        found[start : start + n_values] = chunk[: len(found) - start]

    with ThreadPoolExecutor(count_cores()) as pool:
        list(pool.map(inflate, range(0, len(found), n_values)))
    return found


def _list_filters(dataset: h5py.Dataset) -> list[int]:
    """Return the identifiers of the filters of each chunk.

    There are no identifiers if the array is not chunked, or some chunks were never written.
    """
    if dataset.ndim != 1 or dataset.dtype.kind not in "fiu" or not dataset.chunks:
        return []
    if dataset.id.get_num_chunks() != -(-len(dataset) // dataset.chunks[0]):
        return []
    about = dataset.id.get_create_plist()
    return [about.get_filter(place)[0] for place in range(about.get_nfilters())]


def _unpack(packed: bytes, n_values: int, dtype: np.dtype, *, shuffled: bool) -> np.ndarray:
    """Unpack the values of one chunk.

    A ``shuffled`` chunk holds the first bytes of all values, then the second bytes, and so on.
    """
    stream, n_bytes = isal_zlib.decompressobj(), n_values * dtype.itemsize
    try:
        plain = stream.decompress(packed, n_bytes + 1)
    except isal_zlib.error as error:  # type: ignore[misc]  # its stub declares an instance
        raise ValueError(f"a chunk is damaged: {error}") from error
    if len(plain) != n_bytes or not stream.eof:
        raise ValueError(f"a chunk is damaged: it does not unpack to {n_bytes:,} bytes")
    if shuffled:
        plain = np.frombuffer(plain, np.uint8).reshape(dtype.itemsize, n_values).T.tobytes()
    return np.frombuffer(plain, dtype)
