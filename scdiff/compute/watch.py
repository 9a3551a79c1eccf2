"""Report the progress of the long parts of a step; without a watcher it costs nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

__all__ = ["report_progress", "watch_progress"]

R = TypeVar("R")

Watcher = Callable[[int, int, str], None]
"""Called with ``(done, total, what)`` after each part, from any thread."""

_watchers: list[Watcher] = []


@contextmanager
def watch_progress(watcher: Watcher) -> Iterator[None]:
    """Call ``watcher`` after each part that ends inside the ``with`` block."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


def report_progress(
    work: Callable[..., R], total: int, what: str, size: Callable[..., int]
) -> Callable[..., R]:
    """Return a function that does the same ``work`` and reports its progress to the watchers.

    Parameters
    ----------
    work
        The work of each part.
    total, what
        The amount of all parts, and what is counted.
    size
        Returns the amount of a call with the same arguments.
    """
    if not _watchers:
        return work
    lock, done = threading.Lock(), [0]

    def work_and_report(*args: Any) -> R:
        result = work(*args)
        with lock:
            done[0] += size(*args)
            now = done[0]
        for watcher in _watchers:
            watcher(now, total, what)
        return result

    return work_and_report
