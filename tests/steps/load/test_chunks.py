"""Arrays that are inflated chunk by chunk are those that the HDF5 library reads."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from scdiff.errors import InputError
from scdiff.steps.load.readers.chunks import read_whole_array
from scdiff.steps.load.step import load

FILTERS = [
    {},
    {"chunks": (100,)},
    {"chunks": (100,), "compression": "gzip"},
    {"chunks": (100,), "compression": "gzip", "shuffle": True},
    {"chunks": (100,), "compression": "gzip", "fletcher32": True},
    {"chunks": (100,), "compression": "lzf"},
    {"chunks": (5_000,), "compression": "gzip", "maxshape": (None,)},
]


@pytest.mark.parametrize("dtype", ["f4", "i8", ">i4", "u2", "f8"])
@pytest.mark.parametrize("filters", FILTERS, ids=str)
@pytest.mark.parametrize("n_values", [1, 100, 1_234])
def test_the_array_is_the_one_of_the_library(
    tmp_path: Path, dtype: str, filters: dict, n_values: int
) -> None:
    values = np.random.default_rng(0).poisson(3, n_values).astype(dtype)
    with h5py.File(tmp_path / "a.h5", "w") as handle:
        chunks = (
            {"chunks": (min(filters["chunks"][0], n_values),)}
            if "chunks" in filters and "maxshape" not in filters
            else {}
        )
        found = read_whole_array(handle.create_dataset("a", data=values, **(filters | chunks)))
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found, values)


def test_chunks_that_were_never_written_hold_the_fill_value(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as handle:
        dataset = handle.create_dataset(
            "a", shape=(1_000,), dtype="i4", chunks=(100,), compression="gzip", fillvalue=7
        )
        dataset[:100] = 1
        np.testing.assert_array_equal(read_whole_array(dataset), dataset[:])


def test_a_chunk_that_was_left_unpacked_is_taken_as_it_is(tmp_path: Path) -> None:
    values = np.arange(300, dtype="i4")
    with h5py.File(tmp_path / "a.h5", "w") as handle:
        dataset = handle.create_dataset("a", data=values, chunks=(100,), compression="gzip")
        dataset.id.write_direct_chunk((100,), values[100:200].tobytes(), filter_mask=1)
        np.testing.assert_array_equal(read_whole_array(dataset), values)


@pytest.mark.parametrize(
    "harm",
    [
        lambda packed: packed[:-30],
        lambda packed: packed[:40] + b"\0\0\0\0" + packed[44:],
        lambda _: b"\0",
    ],
)
def test_a_damaged_chunk_is_refused_in_a_sentence(batch, tmp_path: Path, harm) -> None:
    path = tmp_path / "batch.h5ad"
    batch().write_h5ad(path, compression="gzip")
    with h5py.File(path, "r+") as handle:
        data = handle["X/data"]
        _, packed = data.id.read_direct_chunk((0,))
        data.id.write_direct_chunk((0,), harm(packed))
    with pytest.raises(InputError, match=r"batch\.h5ad: .*(damaged|truncated)"):
        load(path)
