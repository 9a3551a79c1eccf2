"""A damaged HDF5 file can crash its library, or send it in circles where no Python code can stop it: another process goes first."""

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
from scdiff.steps.load.readers.links import foreign

__all__ = ["probe"]

SECONDS = 20.0
"""Time to walk through the groups of a file; thousands take less than one second."""

_READ_BYTES = 1 << 20
"""Arrays up to this size are read; of larger ones the index of their chunks."""

_LONGEST = 500
"""Bytes of what the other process says; a pipe holds more without being read."""

_DIE_WITH_PARENT = 1
"""``PR_SET_PDEATHSIG`` of Linux."""


def probe(path: Path) -> None:
    """Walk through an HDF5 file in a process of its own. What is damaged there, the reader says; only its death is told.

    Raises
    ------
    InputError
        If the file leads out of itself or round in circles, or that process is killed by a fault of the library, or does not
        come back.
    """
    import h5py  # noqa: F401 so that the other process has it

    ended, held = os.pipe()  # its other end is closed when the process ends, however it does
    parent = os.getpid()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads are no concern of a process that touches HDF5 only
        pid = os.fork()
    if pid == 0:
        try:
            os.close(ended)
            _end_with(parent)
            faulthandler.disable()  # a crash is told by the parent, in a sentence
            _walk(path, held)
        finally:
            os._exit(0)
    os.close(held)
    said, status = _awaited(pid, ended)
    if status is None:
        raise InputError(f"{path}: reading its groups did not end within {SECONDS:.0f} s: the file is damaged. Copy or download it again.")
    if said:
        raise InputError(
            f"{path}: {said}. Nothing outside a file is read, and no link in circles is followed: write the data into one plain file."
        )
    if os.WIFSIGNALED(status):
        raise InputError(f"{path}: reading its groups crashes the HDF5 library: the file is damaged. Copy or download it again.")


def _awaited(pid: int, ended: int) -> tuple[str, int | None]:
    """Wait for the other process: what it says, and how it ended; None for one that had to be killed for being late."""
    late, parts, is_done = False, [], False
    try:
        with os.fdopen(ended, "rb", buffering=0) as pipe:
            waiting, until = select.poll(), time.monotonic() + SECONDS
            waiting.register(pipe)
            while not (late := not waiting.poll(max(0.0, 1000 * (until - time.monotonic())))) and (part := pipe.read(_LONGEST)):
                parts.append(part)
        is_done = not late
    finally:  # also where this process is interrupted
        status = _reaped(pid, kill=not is_done)
    return b"".join(parts).decode("utf-8", "replace"), None if late else status


def _reaped(pid: int, *, kill: bool) -> int:
    """Wait for the other process to end, or kill it."""
    if kill:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def _end_with(parent: int) -> None:
    """Let this process end when its parent does, and in any case soon: code of the library hears no signal but a deadly one."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.alarm(int(SECONDS) + 5)
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _walk(path: Path, said: int) -> None:
    """Say what leads out of the file; else touch all that a reader may touch."""
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
        if found := foreign(handle):
            os.write(said, found.encode()[:_LONGEST])
            return
        handle.visititems(touch)
