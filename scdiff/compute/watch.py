"""How far the long parts of a step are: told to whoever watches, at no cost where nobody does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

__all__ = ["report_progress", "watch_progress"]

R = TypeVar("R")

Watcher = Callable[[int, int, str], None]
"""Told ``(done, of how many, what)`` after each part, by any thread."""

_watchers: list[Watcher] = []


@contextmanager
def watch_progress(watcher: Watcher) -> Iterator[None]:
    """Tell ``watcher`` of all parts that are done while the block runs."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


def report_progress(
    work: Callable[..., R], total: int, what: str, size: Callable[..., int]
) -> Callable[..., R]:
    """Do the same ``work``, and tell the watchers how far it is.

    Parameters
    ----------
    work
        What is done for each part.
    total, what
        All that is to be done, and its name.
    size
        How much of it a call with the same arguments does.
    """
    if not _watchers:
        return work
    lock, done = threading.Lock(), [0]

    def tell(*given: Any) -> R:
        found = work(*given)
        with lock:
            done[0] += size(*given)
            now = done[0]
        for watcher in _watchers:
            watcher(now, total, what)
        return found

    return tell
