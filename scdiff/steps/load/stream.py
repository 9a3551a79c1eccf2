"""Text files, gzipped or not, read with limits.

No file may unpack without end, and no line may fill the memory.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any

from scdiff.errors import InputError

__all__ = [
    "ALWAYS_BYTES",
    "BOMB_RATIO_OF_R",
    "MOST_RATIO",
    "most_bytes",
    "open_bytes",
    "open_text",
    "read_bounded",
]

MOST_RATIO = 200
"""Largest size of an unpacked file, in multiples of its packed size. Sparse counts as text reach
about 60."""

ALWAYS_BYTES = 1 << 30
"""Bytes that any file may unpack to, whatever its size (1 GiB). Chosen, not tuned."""

LONGEST_LINE = 1 << 25
"""Bytes of the longest line that is read (32 MiB): the header of a table of one and a half million
cells."""

BOMB_RATIO_OF_R = 40
"""Like ``MOST_RATIO``, for files of R, which must be held in memory as a whole. Chosen, not
tuned."""

_BUFFER = 1 << 20
"""Bytes read at a time (1 MiB). Chosen, not tuned."""


def most_bytes(path: Path, ratio: int = MOST_RATIO) -> int:
    """Return the number of bytes that a compressed file may unpack to."""
    return max(ALWAYS_BYTES, ratio * path.stat().st_size)


class _BoundedBytes(io.RawIOBase):
    """Bytes of a file, with an error if they are too many or a line is too long."""

    def __init__(self, handle: IO[bytes], path: Path) -> None:
        self._handle, self._path = handle, path
        self._left, self._line = most_bytes(path), 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; return the number of bytes read.

        Raises
        ------
        InputError
            If a limit is exceeded.
        """
        chunk = self._handle.read(len(buffer))
        buffer[: len(chunk)] = chunk
        self._left -= len(chunk)
        end = chunk.rfind(b"\n")
        self._line = self._line + len(chunk) if end < 0 else len(chunk) - end - 1
        if self._left < 0:
            raise InputError(
                f"{self._path}: the file unpacks to more than {MOST_RATIO} times its size, "
                "so it is not a table of counts. Check the file."
            )
        if self._line > LONGEST_LINE:
            raise InputError(
                f"{self._path}: a line is longer than {LONGEST_LINE:,} bytes, "
                "so this is not a table of counts. Check the file."
            )
        return len(chunk)

    def close(self) -> None:
        """Close this object and the file below it."""
        self._handle.close()
        super().close()


def open_bytes(path: Path) -> io.BufferedReader:
    """Open a text file as bytes, unpacked if it is gzipped.

    Raises
    ------
    InputError
        While reading: if the file unpacks to much more than a table of counts, or a line is too
        long.
    """
    opened: Callable[[Path], Any] = (
        gzip.open if path.suffix.lower() == ".gz" else partial(Path.open, mode="rb")
    )
    return io.BufferedReader(_BoundedBytes(opened(path), path), _BUFFER)


def open_text(path: Path) -> io.TextIOWrapper:
    """Open a text file, gzipped or not, and skip a byte order mark."""
    return io.TextIOWrapper(open_bytes(path), encoding="utf-8-sig", newline="")


def read_bounded(handle: IO[bytes], path: Path, most: int) -> bytes:
    """Read all bytes of a packed file.

    Raises
    ------
    InputError
        If there are more than ``most`` bytes.
    """
    parts, left = [], most
    while part := handle.read(_BUFFER):
        parts.append(part)
        left -= len(part)
        if left < 0:
            raise InputError(
                f"{path}: the file unpacks to more than {most:,} bytes, too many for its size. "
                "Check the file."
            )
    return b"".join(parts)
