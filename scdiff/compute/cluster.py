"""Choose the workers of the engine ``dask``: on this machine, or those of a running scheduler."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from scdiff.errors import ConfigError

__all__ = ["cluster"]

WAIT_SECONDS = 30
"""Longest wait for the answer of a scheduler, seconds. Chosen, not tuned."""


@contextmanager
def cluster(engine: str, address: str | None) -> Iterator[None]:
    """Start or find the dask workers that compute blocks; the engine ``memory`` starts nothing.

    Parameters
    ----------
    engine
        ``memory`` or ``dask``.
    address
        Address of a running scheduler, such as ``tcp://node1:8786``. None starts one process per
        core on this machine.

    Raises
    ------
    ConfigError
        If dask is not installed, the scheduler does not answer, or an address is given with the
        engine ``memory``.
    """
    if engine != "dask":
        if address is not None:
            raise ConfigError(
                f"scheduler is {address!r}, but the engine is {engine}. "
                "Choose the engine dask, or remove the scheduler."
            )
        yield
        return
    try:
        from dask.distributed import Client, LocalCluster
    except ImportError:
        raise ConfigError(
            "the engine dask needs the packages dask and distributed. "
            "Install them: pip install 'scdiff-markers[distributed]'."
        ) from None
    if address is None:
        n_workers = (
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        )
        with (
            LocalCluster(
                n_workers=n_workers, threads_per_worker=1, dashboard_address=None
            ) as local,
            Client(local),
        ):
            yield
        return
    try:
        client = Client(address, timeout=WAIT_SECONDS)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{address}: no dask scheduler answers within {WAIT_SECONDS} s ({error}). "
            "Start one, or remove the option scheduler."
        ) from None
    with client:
        yield
