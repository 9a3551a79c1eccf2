"""Hash files."""

from __future__ import annotations

import hashlib
from pathlib import Path

__all__ = ["hash_file"]


def hash_file(path: Path, algorithm: str = "sha256") -> str:
    """Return the hash of the content of a file, in hexadecimal digits.

    Parameters
    ----------
    path
        The file.
    algorithm
        A name that ``hashlib`` knows.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, algorithm).hexdigest()
