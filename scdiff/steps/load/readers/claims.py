"""Check of the sizes that arrays of a file or store claim, before memory is allocated."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from scdiff.errors import InputError

__all__ = ["refuse_claims"]

_MOST_RATIO = 2_000
"""Bytes of arrays that one byte of a file can hold; deflate packs at most 1,032 bytes into one."""


_FREE_BYTES = 1 << 26
"""Bytes that any file may claim (64 MiB), whatever its size. Chosen, not tuned."""


def refuse_claims(path: Path, handle: Any, names: Iterable[str]) -> None:
    """Raise an error if arrays claim far more than the file can hold, or rows lack pointers.

    Raises
    ------
    InputError
        With the array.
    """
    files = [inner for inner in path.rglob("*") if inner.is_file()] if path.is_dir() else [path]
    most = _FREE_BYTES + _MOST_RATIO * sum(file.stat().st_size for file in files)
    for item in _walk_items([handle[name] for name in names if name in handle]):
        if hasattr(item, "shape"):
            claimed = math.prod(item.shape) * item.dtype.itemsize
            if claimed > most:
                raise InputError(
                    f"{path}: {item.name} claims {claimed:.3g} bytes, more than the file can hold. "
                    "The file is damaged; copy or download it again."
                )
        elif "indptr" in item and "shape" in item.attrs:
            _refuse_missing_rows(path, item)


def _refuse_missing_rows(path: Path, item: Any) -> None:
    """Raise an error if a sparse matrix has not one pointer more than rows."""
    axis = 1 if item.attrs.get("encoding-type") == "csc_matrix" else 0
    rows = item.attrs["shape"][axis]
    if len(item["indptr"].shape) != 1 or item["indptr"].shape[0] != int(rows) + 1:
        raise InputError(
            f"{path}: {item.name} does not hold the {int(rows):,} rows that it claims. "
            "The file is damaged; copy or download it again."
        )


def _walk_items(items: Iterable[Any]) -> Iterator[Any]:
    """Yield groups and arrays, and everything in them."""
    for item in items:
        yield item
        if hasattr(item, "keys") and not hasattr(item, "shape"):
            yield from _walk_items(item[name] for name in item)
