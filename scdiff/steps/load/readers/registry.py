"""The readers: one function for each format, found by the layout that a source was told to have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from scdiff.registry import Registry
from scdiff.steps.load.source import Source
from scdiff.steps.load.table import Hold, Table

__all__ = ["READERS", "Reader"]


class Reader(Protocol):
    """Yields the matrices of a source that may hold the counts, the likeliest first.

    ``matrix`` names the one that was asked for, ``species`` decides between genomes, ``hold`` says how much of the values is read.
    The fact ``lazy`` of its card says whether it can leave them on disk.
    """

    def __call__(self, source: Source, matrix: str, species: str, hold: Hold) -> Iterator[Table]: ...


READERS: Registry[Reader] = Registry("reader")
"""A new format is a member of :class:`~scdiff.steps.load.source.Layout` and a function registered here under its ``reader``."""
