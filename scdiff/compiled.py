"""Compile loops with numba, once per machine and before processes fork.

Numba stores machine code next to the module or in the cache of the user. If neither can be written
(a container without a home), it refuses to decorate a function. Here the code then goes to a
temporary folder, or is compiled in each process.
"""

from __future__ import annotations

import logging
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit
from numba.core import config as _untyped_config

__all__ = ["compile_declared", "compile_loop"]

log = logging.getLogger(__name__)

config: Any = _untyped_config

_declared: list[tuple[Any, Any]] = []
"""Loops with declared types that this process has not compiled or loaded yet."""


def compile_loop(
    signature: Any = None, *, fastmath: set[str] | bool = False
) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function on its first call, without Python's global lock; store its machine code.

    Parameters
    ----------
    signature
        Types of the arguments in a usual run, as numba takes them. :func:`compile_declared`
        compiles for them; if None, it leaves the function out.
    fastmath
        Liberties with sums that numba may take, as in ``numba.njit``.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        loop = njit(nogil=True, fastmath=fastmath)(function)
        _store_code(loop)
        if signature is not None:
            _declared.append((loop, signature))
        return loop

    return decorate


def compile_declared() -> None:
    """Compile each declared loop that is not compiled yet, or load its stored code.

    Forked processes inherit the code. Without this, each of them compiles the same loops.
    """
    while _declared:
        loop, signature = _declared.pop()
        loop.compile(signature)


def _store_code(loop: Any) -> None:
    """Choose where the code of a loop is stored: package, home, temporary folder, or nowhere."""
    try:
        loop.enable_caching()
    except RuntimeError:  # neither package nor home can be written
        _store_code_temporarily(loop)


def _store_code_temporarily(loop: Any) -> None:
    """Store the code of a loop in a temporary folder; if that fails too, store nothing."""
    given = config.CACHE_DIR
    try:
        config.CACHE_DIR = str(_make_temporary_folder())
        loop.enable_caching()
    except (OSError, RuntimeError) as error:
        log.debug("The code of %s is not stored: %s", loop.py_func.__name__, error)
    finally:
        config.CACHE_DIR = given


def _make_temporary_folder() -> Path:
    """Make a folder that only this user can write, because stored code is executed.

    Raises
    ------
    PermissionError
        If another user made a folder of this name, or others can write to it.
    """
    folder = Path(tempfile.gettempdir(), f"scdiff-code-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder}: others may have written to this folder")
    return folder
