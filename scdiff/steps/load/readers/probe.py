"""Check of an HDF5 file in another process.

A damaged file can crash the HDF5 library, or keep it in an endless loop that Python cannot stop.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import select
import signal
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from scdiff.errors import InputError
from scdiff.steps.load.readers.links import find_foreign_link

__all__ = ["probe"]

SECONDS = 20.0
"""Seconds that the walk through the groups of a file may take; files with thousands of groups
need less than one second."""

_READ_BYTES = 1 << 20
"""Largest array, in bytes, that is read (1 MiB); of larger ones, only the index of the chunks.
Chosen, not tuned."""

_LONGEST = 500
"""Bytes of the message of the other process; a pipe holds more than that without a reader."""

_DIE_WITH_PARENT = 1
"""``PR_SET_PDEATHSIG`` of Linux."""


def probe(path: Path) -> None:
    """Walk through an HDF5 file in a separate process.

    Only links and crashes are reported here; the reader reports other damage.

    Raises
    ------
    InputError
        If the file leads out of itself or in circles, or if that process crashes or does not end.
    """
    import h5py  # noqa: F401 so that the other process has it

    ended, held = os.pipe()  # the other end closes when the process ends, for any reason
    parent = os.getpid()
    with warnings.catch_warnings():
        # forking with threads is safe here: the new process uses only HDF5
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        try:
            os.close(ended)
            _tie_to_parent(parent)
            faulthandler.disable()  # the parent reports a crash in a sentence
            _walk(path, held)
        finally:
            os._exit(0)
    os.close(held)
    message, status = _await_process(pid, ended)
    if status is None:
        raise InputError(
            f"{path}: reading its groups did not end within {SECONDS:.0f} s. "
            "The file is damaged; copy or download it again."
        )
    if message:
        raise InputError(
            f"{path}: {message}. scdiff reads nothing outside a file, and follows no links in "
            "circles. Write the data to one plain file."
        )
    if os.WIFSIGNALED(status):
        raise InputError(
            f"{path}: reading its groups crashes the HDF5 library. "
            "The file is damaged; copy or download it again."
        )


def _await_process(pid: int, ended: int) -> tuple[str, int | None]:
    """Wait for the other process; return its message and exit status.

    The status is None if the process was too slow and was killed.
    """
    late, parts, is_done = False, [], False
    try:
        with os.fdopen(ended, "rb", buffering=0) as pipe:
            waiting, until = select.poll(), time.monotonic() + SECONDS
            waiting.register(pipe)
            while not (late := not waiting.poll(max(0.0, 1000 * (until - time.monotonic())))) and (
                part := pipe.read(_LONGEST)
            ):
                parts.append(part)
        is_done = not late
    finally:  # also if this process is interrupted
        status = _reap(pid, kill=not is_done)
    return b"".join(parts).decode("utf-8", "replace"), None if late else status


def _reap(pid: int, *, kill: bool) -> int:
    """Wait for the other process to end, or kill it."""
    if kill:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def _tie_to_parent(parent: int) -> None:
    """Make this process end when its parent does, and in any case after a time limit.

    Code of the HDF5 library reacts only to signals that kill.
    """
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.alarm(int(SECONDS) + 5)
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _walk(path: Path, said: int) -> None:
    """Report what leads out of the file; otherwise touch everything that a reader may touch.

    ``said`` is the pipe for the report.
    """
    import h5py

    def touch(_: str, item: Any) -> None:
        list(item.attrs.items())
        if not isinstance(item, h5py.Dataset):
            return
        if item.nbytes <= _READ_BYTES:
            item[()]
        elif item.chunks:
            item.id.get_num_chunks()

    with h5py.File(path) as handle:
        if found := find_foreign_link(handle):
            os.write(said, found.encode()[:_LONGEST])
            return
        handle.visititems(touch)
