"""Where the engine ``dask`` computes: workers on this machine, or those of a scheduler that is running."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from scdiff.errors import ConfigError

__all__ = ["cluster"]

WAIT_SECONDS = 30


@contextmanager
def cluster(engine: str, address: str | None) -> Iterator[None]:
    """Compute blocks on dask workers while the block runs; nothing is started for the engine ``memory``.

    Parameters
    ----------
    engine
        ``memory`` or ``dask``.
    address
        Of a running scheduler, such as ``tcp://node1:8786``; None starts one process per core on this machine.

    Raises
    ------
    ConfigError
        If dask is not installed, the scheduler does not answer, or an address is given for the engine ``memory``.
    """
    if engine != "dask":
        if address is not None:
            raise ConfigError(
                f"scheduler is {address!r}, but the engine is {engine}: give engine dask as well, or no scheduler."
            )
        yield
        return
    try:
        from dask.distributed import Client, LocalCluster
    except ImportError:
        raise ConfigError(
            "the engine dask needs the packages dask and distributed: pip install 'scdiff-markers[distributed]'."
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
            f"{address}: no dask scheduler answers there within {WAIT_SECONDS} s ({error}). Start one, or leave it out."
        ) from None
    with client:
        yield
