"""Apply a function to several things at once with processes.

Fits are many small steps in Python, which threads cannot run at the same time.
"""

from __future__ import annotations

import multiprocessing
import sys
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any, TypeVar

from scdiff import keys
from scdiff.compiled import compile_declared
from scdiff.compute.arrays import count_cores, limit_blas_threads
from scdiff.compute.blocks import is_lazy
from scdiff.compute.watch import report_progress

__all__ = ["each", "many"]

MANY_CELLS = 100
"""Number of cells from which processes save more time than their start costs. Chosen, not tuned."""

if TYPE_CHECKING:
    from anndata import AnnData

A = TypeVar("A")
R = TypeVar("R")

_work: list[Any] = []
"""Function and things of the current pool. Its processes inherit them, so nothing is copied."""


def many(adata: AnnData) -> bool:
    """Check whether processes save time.

    They do not for few cells. They cannot be used with a dask scheduler, because they do not
    inherit its threads.
    """
    return adata.n_obs >= MANY_CELLS and not is_lazy(adata.layers[keys.COUNTS.name])


def each(
    function: Callable[[A], R], things: Sequence[A], *, worthwhile: bool = True, what: str = "fits"
) -> list[R]:
    """Apply ``function`` to all ``things`` with one process per core; return the results in order.

    ``what`` names the things for the progress display. They are processed one after the other in
    this process if the work is not ``worthwhile``, if processes cannot inherit memory safely (not
    on Linux, or inside a pool), and if one of them is killed.
    """
    n_processes = min(count_cores(), len(things))
    if (
        not worthwhile
        or n_processes < 2
        or sys.platform != "linux"
        or multiprocessing.current_process().daemon
        or _work
    ):
        return _apply_in_turn(function, things, what)
    compile_declared()
    _work[:] = [function, things]
    try:
        with warnings.catch_warnings():
            # Python 3.12 and later warn of threads, but no thread runs here
            warnings.simplefilter("ignore")
            with ProcessPoolExecutor(
                n_processes, mp_context=multiprocessing.get_context("fork")
            ) as pool:
                count = report_progress(lambda result: result, len(things), what, lambda _result: 1)
                return [count(result) for result in pool.map(_apply_to_one, range(len(things)))]
    except BrokenProcessPool:
        return _apply_in_turn(function, things, what)
    finally:
        _work.clear()


def _apply_to_one(number: int) -> Any:
    """Apply the inherited function to one of the inherited things."""
    function, things = _work
    with limit_blas_threads():
        return function(things[number])


def _apply_in_turn(function: Callable[[A], R], things: Sequence[A], what: str) -> list[R]:
    """Apply the function to one thing after the other, with one thread of linear algebra.

    Small systems of equations are not faster with more threads.
    """
    nested = bool(_work)  # only the outer work reports its progress
    work = function if nested else report_progress(function, len(things), what, lambda _thing: 1)
    with limit_blas_threads():
        return [work(thing) for thing in things]
