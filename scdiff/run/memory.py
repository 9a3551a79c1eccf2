"""What a run will need, told before it starts: it is a pity to be killed after an hour."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["describe_shortage", "estimate_bytes", "read_available_bytes"]

BYTES_PER_VALUE = 8
"""Of a stored count in memory: the count and the number of its gene."""

PEAK, RUNTIME = 1.7, 500 << 20
"""Peak of a run: so many times the counts, and what Python and its libraries take (``tests/benchmarks/results/speed.md``)."""

MATRICES = ("X", "layers/counts", "raw/X", "matrix")


def describe_shortage(files: Sequence[Path], *, room: int | None = None) -> str:
    """Say that the counts will not fit into memory, and which engine will do; empty where they fit, or nobody can tell.

    Parameters
    ----------
    files
        What the run reads.
    room
        Bytes that may be used; those that the machine has free where None.

    >>> describe_shortage([])
    ''
    """
    needed, free = estimate_bytes(files), read_available_bytes() if room is None else room
    if not free or needed <= free:
        return ""
    return (
        f"The counts will need about {needed / 2**30:.1f} GiB of memory, of which {free / 2**30:.1f} GiB are free: the run may be killed. "
        "--engine dask leaves them on disk (h5ad or zarr) and needs at most 4 GiB per process."
    )


def estimate_bytes(files: Sequence[Path]) -> int:
    """Peak memory of a run in memory, by the sizes that h5ad, 10x h5, loom and zarr files state; 0 for other files."""
    n_values = sum(_n_values(path) for path in files)
    return int(PEAK * BYTES_PER_VALUE * n_values) + RUNTIME if n_values else 0


def _n_values(path: Path) -> int:
    """Read off how many values the first matrix of a file stores, 0 where it does not state it."""
    import h5py
    import zarr

    try:
        if path.is_dir():
            return _stated(zarr.open_group(path, mode="r"))
        if not h5py.is_hdf5(path):
            return 0
        with h5py.File(path) as handle:
            return _stated(handle)
    except (OSError, ValueError, LookupError):
        return 0  # what is wrong with the file is said when it is read


def _stated(handle: Any) -> int:
    """Size of the first matrix that is there."""
    for name in MATRICES:
        if name in handle:
            stored = handle[name]
            stored = stored["data"] if hasattr(stored, "keys") else stored
            return int(getattr(stored, "size", 0))
    return 0


def read_available_bytes() -> int:
    """Memory that the machine, or the container, has free; 0 where it cannot be told."""
    free = _first_number(Path("/proc/meminfo"), "MemAvailable:") << 10
    limit = _first_number(Path("/sys/fs/cgroup/memory.max"), "")
    used = _first_number(Path("/sys/fs/cgroup/memory.current"), "")
    return min(free, max(limit - used, 1)) if limit and free else free


def _first_number(path: Path, word: str) -> int:
    """Read the number behind a word in a small file, 0 where there is none."""
    try:
        parts = (
            path.read_text(encoding="ascii").partition(word)[2].split()
            if word
            else path.read_text(encoding="ascii").split()
        )
        return int(parts[0])
    except (OSError, ValueError, IndexError):
        return 0
