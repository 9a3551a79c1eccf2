"""The same work on several things at once, by processes: fits are many small steps in Python, which threads cannot share."""

from __future__ import annotations

import multiprocessing
import sys
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any, TypeVar

from scdiff.compute.arrays import count_cores, limit_blas_threads
from scdiff.compute.blocks import is_lazy
from scdiff.compute.watch import report_progress

__all__ = ["each", "many"]

MANY_CELLS = 100
"""From here on, processes are worth their start."""

if TYPE_CHECKING:
    from anndata import AnnData

A = TypeVar("A")
R = TypeVar("R")

_work: list[Any] = []
"""Function and things of the pool that is being started: its processes inherit them, nothing is copied."""


def many(adata: AnnData) -> bool:
    """Whether processes are worth their start: not for few cells, and not beside a dask scheduler, whose threads they cannot inherit."""
    return adata.n_obs >= MANY_CELLS and not is_lazy(adata.layers["counts"])


def each(
    function: Callable[[A], R], things: Sequence[A], *, worthwhile: bool = True, what: str = "fits"
) -> list[R]:
    """Apply ``function`` to all ``things``, in order, by as many processes as there are cores; ``what`` names them for the watcher.

    One after the other where it is not ``worthwhile``, where processes cannot inherit memory safely (not on Linux, or
    inside a pool), and where one of them is killed.
    """
    n_processes = min(count_cores(), len(things))
    if (
        not worthwhile
        or n_processes < 2
        or sys.platform != "linux"
        or multiprocessing.current_process().daemon
        or _work
    ):
        return _in_turn(function, things, what)
    _work[:] = [function, things]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # Python 3.12 and later warn of threads, of which none is running here
            with ProcessPoolExecutor(
                n_processes, mp_context=multiprocessing.get_context("fork")
            ) as pool:
                count = report_progress(lambda result: result, len(things), what, lambda _result: 1)
                return [count(result) for result in pool.map(_one, range(len(things)))]
    except BrokenProcessPool:
        return _in_turn(function, things, what)
    finally:
        _work.clear()


def _one(number: int) -> Any:
    """Do one piece of the inherited work."""
    function, things = _work
    with limit_blas_threads():
        return function(things[number])


def _in_turn(function: Callable[[A], R], things: Sequence[A], what: str) -> list[R]:
    """One after the other, each with one thread of linear algebra: small systems are no faster with more."""
    work = report_progress(function, len(things), what, lambda _thing: 1)
    with limit_blas_threads():
        return [work(thing) for thing in things]
