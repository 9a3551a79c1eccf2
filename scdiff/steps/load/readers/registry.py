"""The registry of readers: one function for each format, found by the layout of a source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from scdiff.registry import Registry
from scdiff.steps.load.source import Source
from scdiff.steps.load.table import Hold, Table

__all__ = ["READERS", "Reader"]


class Reader(Protocol):
    """A function that yields the matrices of a source, the likeliest holder of counts first.

    ``matrix`` names the requested one, ``species`` decides between genomes, and ``hold`` states how
    much of the values to read. The fact ``lazy`` of its card states whether it can leave them on
    disk.
    """

    def __call__(
        self, source: Source, matrix: str, species: str, hold: Hold
    ) -> Iterator[Table]: ...


READERS: Registry[Reader] = Registry("reader")
"""To add a format, add a member to :class:`~scdiff.steps.load.source.Layout`, and register a
function here under its ``reader``."""
