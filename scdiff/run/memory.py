"""Estimate the memory of a run before it starts, so that it is not killed after an hour."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["describe_shortage", "estimate_bytes", "read_available_bytes"]

BYTES_PER_VALUE = 8
"""Bytes of a stored count in memory: 4 for the count and 4 for the number of its gene."""

PEAK = 1.7
"""Peak memory of a run, as a multiple of the counts (``tests/benchmarks/results/speed.md``)."""

RUNTIME = 500 << 20
"""Memory of Python and its libraries, bytes (``tests/benchmarks/results/speed.md``)."""

MATRICES = ("X", "layers/counts", "raw/X", "matrix")
"""Places of the counts in a file, in this order: h5ad and zarr, then 10x h5 and loom."""


def describe_shortage(files: Sequence[Path], *, room: int | None = None) -> str:
    """Return a warning that the counts do not fit into memory, with the engine to use instead.

    Empty if they fit, or if their size or the free memory is unknown.

    Parameters
    ----------
    files
        Files that the run reads.
    room
        Bytes that may be used; None means the free memory of the machine.

    >>> describe_shortage([])
    ''
    """
    needed, free = estimate_bytes(files), read_available_bytes() if room is None else room
    if not free or needed <= free:
        return ""
    return (
        f"The run needs about {needed / 2**30:.1f} GiB of memory, but only "
        f"{free / 2**30:.1f} GiB are free, so the system may stop it. Use --engine dask: it leaves "
        "the counts on disk (h5ad or zarr) and needs at most 4 GiB per process."
    )


def estimate_bytes(files: Sequence[Path]) -> int:
    """Estimate the peak memory of a run that holds the counts in memory, in bytes.

    The estimate uses the sizes stated in h5ad, 10x h5, loom and zarr files; 0 for other files.
    """
    n_values = sum(_count_values(path) for path in files)
    return int(PEAK * BYTES_PER_VALUE * n_values) + RUNTIME if n_values else 0


def _count_values(path: Path) -> int:
    """Return the number of stored values of the first matrix of a file; 0 if it is not stated."""
    import h5py
    import zarr

    try:
        if path.is_dir():
            return _read_size(zarr.open_group(path, mode="r"))
        if not h5py.is_hdf5(path):
            return 0
        with h5py.File(path) as handle:
            return _read_size(handle)
    except (OSError, ValueError, LookupError):
        return 0  # the reader reports what is wrong with the file


def _read_size(handle: Any) -> int:
    """Return the size of the first matrix that the file has."""
    for name in MATRICES:
        if name in handle:
            stored = handle[name]
            stored = stored["data"] if hasattr(stored, "keys") else stored
            return int(getattr(stored, "size", 0))
    return 0


def read_available_bytes() -> int:
    """Return the free memory of the machine or the container in bytes; 0 if it is unknown."""
    free = _read_number(Path("/proc/meminfo"), "MemAvailable:") << 10
    limit = _read_number(Path("/sys/fs/cgroup/memory.max"), "")
    used = _read_number(Path("/sys/fs/cgroup/memory.current"), "")
    return min(free, max(limit - used, 1)) if limit and free else free


def _read_number(path: Path, word: str) -> int:
    """Read the number after a word in a small file; 0 if there is no number."""
    try:
        text = path.read_text(encoding="ascii")
        after = text.partition(word)[2] if word else text
        return int(after.split()[0])
    except (OSError, ValueError, IndexError):
        return 0
