"""A damaged HDF5 file can crash its library, or send it in circles where no Python code can stop it: another process goes first."""

from __future__ import annotations

import faulthandler
import os
import signal
import time
import warnings
from pathlib import Path
from typing import Any

from scdiff.errors import InputError

__all__ = ["probe"]

SECONDS = 20.0
"""Time to walk through the groups of a file; thousands take less than one second."""

_READ_BYTES = 1 << 20
"""Arrays up to this size are read; of larger ones the index of their chunks."""


def probe(path: Path) -> None:
    """Walk through an HDF5 file in a process of its own. What it finds wrong there, the reader says; only its death is told.

    Raises
    ------
    InputError
        If that process is killed by a fault of the library, or does not come back.
    """
    import h5py  # noqa: F401 so that the other process has it

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads are no concern of a process that touches HDF5 only
        pid = os.fork()
    if pid == 0:
        try:
            faulthandler.disable()  # a crash is told by the parent, in a sentence
            _walk(path)
        finally:
            os._exit(0)
    end, status = _awaited(pid)
    if not end:
        raise InputError(f"{path}: reading its groups did not end within {SECONDS:.0f} s: the file is damaged. Copy or download it again.")
    if os.WIFSIGNALED(status):
        raise InputError(f"{path}: reading its groups crashes the HDF5 library: the file is damaged. Copy or download it again.")


def _awaited(pid: int) -> tuple[bool, int]:
    """Wait for a process, and kill it when its time is over; return whether it ended by itself, and its status."""
    late, pause = time.monotonic() + SECONDS, 0.0005
    while time.monotonic() < late:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return True, status
        time.sleep(pause)
        pause = min(2 * pause, 0.004)
    os.kill(pid, signal.SIGKILL)
    return False, os.waitpid(pid, 0)[1]


def _walk(path: Path) -> None:
    """Touch all that a reader may touch."""
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
        handle.visititems(touch)
