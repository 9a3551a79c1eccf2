"""A damaged HDF5 file can crash its library, or send it in circles where no Python code can stop it: another process goes first."""

from __future__ import annotations

import faulthandler
import os
import select
import signal
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

    ended, held = os.pipe()  # its other end is closed when the process ends, however it does
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads are no concern of a process that touches HDF5 only
        pid = os.fork()
    if pid == 0:
        try:
            os.close(ended)
            faulthandler.disable()  # a crash is told by the parent, in a sentence
            _walk(path)
        finally:
            os._exit(0)
    os.close(held)
    with os.fdopen(ended):
        waiting = select.poll()
        waiting.register(ended)
        late = not waiting.poll(1000 * SECONDS)
    if late:
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    if late:
        raise InputError(f"{path}: reading its groups did not end within {SECONDS:.0f} s: the file is damaged. Copy or download it again.")
    if os.WIFSIGNALED(status):
        raise InputError(f"{path}: reading its groups crashes the HDF5 library: the file is damaged. Copy or download it again.")


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
