"""Write counts and log-normalised values into an h5ad file by blocks, compressed by all cores.

The file equals what anndata writes with gzip. HDF5 itself compresses with one core, and anndata
needs the whole matrix. The two matrices share the indices of their values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from isal import isal_zlib

from scdiff.compute.arrays import count_cores
from scdiff.compute.blocks import blocks, is_lazy, log_normalise

__all__ = ["write_matrices"]

CHUNK = 1 << 18
"""Values of a chunk of the file."""

LEVEL = 1

SHUFFLED = ("indices",)
"""Parts that are stored with HDF5's shuffle filter.

It halves size and time of increasing numbers; a few distinct values compress better without it.
"""


def write_matrices(file: Any, counts: Any, target_sum: float | None) -> None:
    """Write ``layers/counts``, and ``X`` where ``target_sum`` is given.

    Parameters
    ----------
    file
        Open h5py file with a group ``layers``.
    counts
        Cells x genes, CSR or dask array of CSR blocks.
    target_sum
        Counts per cell after scaling, for ``X``.
    """
    places = file["layers"].create_group("counts")
    _describe(places, counts.shape)
    index = _index_dtype(counts)
    with ThreadPoolExecutor(count_cores()) as pool:
        streams = {
            "indices": _Stream(places, "indices", pool),
            "data": _Stream(places, "data", pool),
        }
        if target_sum is not None:
            _describe(file.create_group("X"), counts.shape)
            streams["X"] = _Stream(file["X"], "data", pool)
        ends = [np.zeros(1, dtype=np.int64)]
        for block in blocks(counts):
            streams["indices"].add(block.indices.astype(index, copy=False))
            streams["data"].add(block.data)
            if target_sum is not None:
                streams["X"].add(log_normalise(block, target_sum).data)
            ends.append(ends[-1][-1] + block.indptr[1:].astype(np.int64))
        for stream in streams.values():
            stream.close()
    places.create_dataset("indptr", data=np.concatenate(ends).astype(index, copy=False))
    if target_sum is not None:
        for name in ("indices", "indptr"):
            file["X"][name] = places[name]  # a link, no copy


def _index_dtype(counts: Any) -> type[np.signedinteger[Any]]:
    """Choose one type for indices and pointers: scipy slices no matrix in which the two differ.

    The number of values of a matrix on disk is unknown before it is read; every place may have one.
    """
    most = math.prod(counts.shape) if is_lazy(counts) else counts.nnz
    return np.int32 if most <= np.iinfo(np.int32).max else np.int64


def _describe(group: Any, shape: tuple[int, int]) -> None:
    """Say in the words of anndata what the group holds."""
    group.attrs.update(
        {
            "encoding-type": "csr_matrix",
            "encoding-version": "0.1.0",
            "shape": np.array(shape, dtype=np.int64),
        }
    )


@dataclass
class _Stream:
    """A one-dimensional dataset that grows as values come, in whole chunks."""

    group: Any
    name: str
    pool: ThreadPoolExecutor
    waiting: list[np.ndarray] = field(default_factory=list)
    dataset: Any = None

    def add(self, values: np.ndarray) -> None:
        """Take values; write the chunks that they fill."""
        if self.dataset is None:
            self.dataset = self.group.create_dataset(
                self.name,
                (0,),
                values.dtype,
                chunks=(CHUNK,),
                maxshape=(None,),
                compression="gzip",
                compression_opts=LEVEL,
                shuffle=self.name in SHUFFLED,
            )
        self.waiting.append(values)
        held = np.concatenate(self.waiting) if len(self.waiting) > 1 else values
        whole = len(held) // CHUNK * CHUNK
        self._write(held[:whole].reshape(-1, CHUNK), whole)
        self.waiting = [held[whole:].copy()]

    def close(self) -> None:
        """Write what is left, padded to a chunk."""
        left = self.waiting[0]
        if len(left):
            self._write([np.pad(left, (0, CHUNK - len(left)))], len(left))

    def _write(self, chunks: Iterable[np.ndarray], n_values: int) -> None:
        """Append chunks that hold so many values."""
        start = self.dataset.shape[0]
        self.dataset.resize((start + n_values,))
        for number, packed in enumerate(self._packed(chunks)):
            self.dataset.id.write_direct_chunk((start + number * CHUNK,), packed)

    def _packed(self, chunks: Iterable[np.ndarray]) -> Iterator[bytes]:
        """Compress chunks as HDF5's own filters do."""
        return self.pool.map(_pack_shuffled if self.name in SHUFFLED else _pack, chunks)


def _pack(chunk: np.ndarray) -> bytes:
    """Deflate."""
    return isal_zlib.compress(chunk.tobytes(), LEVEL)


def _pack_shuffled(chunk: np.ndarray) -> bytes:
    """First bytes of all values, then all second ones, and so on, deflated."""
    return isal_zlib.compress(chunk.view(np.uint8).reshape(len(chunk), -1).T.tobytes(), LEVEL)
