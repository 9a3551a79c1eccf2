"""Texts, gzipped or not, read with bounds: no file may swell without end, no line may fill the memory."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any

from scdiff.errors import InputError

__all__ = ["ALWAYS_BYTES", "BOMB_RATIO_OF_R", "MOST_RATIO", "most_bytes", "open_bytes", "open_text", "read_bounded"]

MOST_RATIO = 200
"""A gzipped or packed file may hold so many times its size; sparse counts as text reach about 60."""

ALWAYS_BYTES = 1 << 30
"""So much may come out of any file."""

LONGEST_LINE = 1 << 25
"""Bytes: the heading of a table of one and a half million cells."""

BOMB_RATIO_OF_R = 40
"""The same for what R saves, which is held in memory as a whole."""

_BUFFER = 1 << 20


def most_bytes(path: Path, ratio: int = MOST_RATIO) -> int:
    """How many bytes may come out of a compressed file before it is taken for a bomb."""
    return max(ALWAYS_BYTES, ratio * path.stat().st_size)


class _Guarded(io.RawIOBase):
    """Bytes of a file, refused once they are too many, or a line of them too long."""

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
            If a bound is passed.
        """
        chunk = self._handle.read(len(buffer))
        buffer[: len(chunk)] = chunk
        self._left -= len(chunk)
        end = chunk.rfind(b"\n")
        self._line = self._line + len(chunk) if end < 0 else len(chunk) - end - 1
        if self._left < 0:
            raise InputError(f"{self._path}: the file unpacks to more than {MOST_RATIO} times its size: it is no table of counts.")
        if self._line > LONGEST_LINE:
            raise InputError(f"{self._path}: a line is longer than {LONGEST_LINE:,} bytes: this is no table of counts.")
        return len(chunk)

    def close(self) -> None:
        """Close the file beneath, too."""
        self._handle.close()
        super().close()


def open_bytes(path: Path) -> io.BufferedReader:
    """Open a text as bytes, unpacked if it is gzipped.

    Raises
    ------
    InputError
        In reading: if much more comes out than a table of counts holds, or a line does not end.
    """
    opened: Callable[[Path], Any] = gzip.open if path.suffix.lower() == ".gz" else partial(Path.open, mode="rb")
    return io.BufferedReader(_Guarded(opened(path), path), _BUFFER)


def open_text(path: Path) -> io.TextIOWrapper:
    """Open a text, gzipped or not; a byte order mark is skipped."""
    return io.TextIOWrapper(open_bytes(path), encoding="utf-8-sig", newline="")


def read_bounded(handle: IO[bytes], path: Path, most: int) -> bytes:
    """Read all bytes of a packed file.

    Raises
    ------
    InputError
        If there are more than ``most``.
    """
    parts, left = [], most
    while part := handle.read(_BUFFER):
        parts.append(part)
        left -= len(part)
        if left < 0:
            raise InputError(f"{path}: the file unpacks to more than {most:,} bytes: it is not what it says.")
    return b"".join(parts)
