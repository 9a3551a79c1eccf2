"""Hashes of the input files, for the record."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from scdiff.storage.hashes import hash_file

__all__ = ["Files", "hash_files", "hash_in_background"]

Files = tuple[Path, ...]
"""The files of one input."""


@contextmanager
def hash_in_background(groups: Sequence[Files]) -> Iterator[Callable[[Files], str]]:
    """Hash files on a separate thread while they are read.

    Yields a function that waits for the hash of some of them and returns it.
    """
    pool = ThreadPoolExecutor(1)
    begun = {files: pool.submit(hash_files, files) for files in groups}
    try:
        yield lambda files: begun[files].result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def hash_files(files: Files) -> str:
    """Hash one file; for several files, hash their names and hashes."""
    inside = [
        inner
        for path in files
        for inner in (path.rglob("*") if path.is_dir() else [path])
        if inner.is_file()
    ]
    paths = sorted(inside)
    digests = [hash_file(path) for path in paths]
    if len(digests) == 1:
        return digests[0]
    lines = "".join(f"{digest}  {path.name}\n" for digest, path in zip(digests, paths, strict=True))
    return hashlib.sha256(lines.encode()).hexdigest()
