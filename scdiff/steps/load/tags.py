"""Samples that sample tags distinguish: the calls of BD Rhapsody next to a matrix.

Also names in such calls that are not samples, such as ``Multiplet``.
"""

from __future__ import annotations

import csv
import re
import zlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from scdiff.steps.load.source import Source
from scdiff.steps.load.stream import open_text
from scdiff.steps.load.table import Table

__all__ = ["drop_unknown_samples", "is_no_sample", "read_calls", "split_by_tags"]

_CALLS = "_Sample_Tag_Calls.csv"
"""End of the name of the table with the sample of each cell
(https://bd-rhapsody-bioinfo-docs.genomics.bd.com, Sample Tag Analysis)."""

_CELL, _SAMPLE = re.compile(r"^cell.?index$", re.IGNORECASE), ("Sample_Name", "Sample_Tag")
_UNREAD = (OSError, EOFError, ValueError, zlib.error, csv.Error)
_NO_SAMPLE = frozenset(("multiplet", "undetermined", "doublet", "unassigned"))
"""Labels of cells of several samples or of none. ``negative`` is not in this list, because a
negative control may have that name."""

_MOST_LINES = 10_000_000
"""Lines of a table of calls that are read; more than any run has cells. Chosen, not tuned."""


def is_no_sample(label: str) -> bool:
    """Check whether a label means that a cell belongs to several samples or to none.

    >>> is_no_sample("Multiplet"), is_no_sample("donor1")
    (True, False)
    """
    return label.casefold() in _NO_SAMPLE


def split_by_tags(source: Source, place: Path) -> list[Source]:
    """Split a source by the sample tag calls next to it; without calls, return no sources.

    Parameters
    ----------
    source
        One matrix that does not name samples itself.
    place
        The file or folder of the matrix with the name that the program gave it, which begins with
        the name of the run.
    """
    beside = sorted(
        file
        for folder in (place.parent, place)
        if folder.is_dir()
        for file in folder.glob(f"*{_CALLS}")
    )
    calls = next(
        (file for file in beside if place.name.startswith(file.name.removesuffix(_CALLS))), None
    )
    if calls is None:
        return []
    labels = {label for label in read_calls(calls).values() if not is_no_sample(label)}
    return [
        replace(source, sample=label, label=label, column=calls.name, calls=calls)
        for label in sorted(labels)
    ]


def read_calls(path: Path) -> dict[str, str]:
    """Read the sample of each cell, by cell index; empty if the table lacks these columns."""
    try:
        with open_text(path) as handle:
            lines = islice(handle, _MOST_LINES)
            rows = csv.reader(line for line in lines if not line.startswith("#"))
            heading = next(rows, [])
            cell = next((at for at, name in enumerate(heading) if _CELL.match(name)), None)
            sample = next((heading.index(name) for name in _SAMPLE if name in heading), None)
            if cell is None or sample is None:
                return {}
            return {
                row[cell]: row[sample].strip()
                for row in rows
                if len(row) == len(heading) and row[sample].strip()
            }
    except _UNREAD:
        return {}


def drop_unknown_samples(
    sources: Sequence[Source], table: Table, samples: np.ndarray, *, cut: bool
) -> tuple[Table, np.ndarray]:
    """Leave out the cells of no sample or of several samples, and note their number.

    Parameters
    ----------
    sources
        The samples of the file.
    table
        All cells of the file; after a look, values of some cells only.
    samples
        Sample of each cell, empty for no sample, shape (n_cells,).
    cut
        Whether to leave the cells out; otherwise the note is all that changes.
    """
    known = samples != ""
    if known.all():
        return table, samples
    labels = _read_labels(sources[0], table)[~known]
    listed = ", ".join(f"{(labels == label).sum():,} {label}" for label in sorted(set(labels)))
    table = table.noted(
        f"Cells of several samples or of none ({sources[0].column}) were left out: {listed}."
    )
    return (table.cells(known), samples[known]) if cut else (table, samples)


def _read_labels(source: Source, table: Table) -> np.ndarray:
    """Read the label of each cell from the sample column or the calls, shape (n_cells,)."""
    if source.calls is None:
        named: Any = [] if table.obs is None else table.obs[source.column]
        return np.array([str(label) for label in named], dtype=object)
    calls = read_calls(source.calls)
    return np.array([calls.get(name, "not listed") for name in table.barcodes], dtype=object)
