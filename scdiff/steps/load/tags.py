"""Samples that tags on the cells tell apart: the calls of BD Rhapsody beside a matrix, and what calls name that is no sample."""

from __future__ import annotations

import csv
import re
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from scdiff.steps.load.source import Source
from scdiff.steps.load.stream import open_text
from scdiff.steps.load.table import Table

__all__ = ["is_no_sample", "of_known_sample", "read_calls", "tags_told"]

_CALLS = "_Sample_Tag_Calls.csv"
"""Table of the sample of each cell (https://bd-rhapsody-bioinfo-docs.genomics.bd.com, Sample Tag Analysis)."""

_CELL, _SAMPLE = re.compile(r"^cell.?index$", re.IGNORECASE), ("Sample_Name", "Sample_Tag")
_UNREAD = (OSError, EOFError, ValueError, zlib.error, csv.Error)
_NO_SAMPLE = frozenset(("multiplet", "undetermined", "doublet", "unassigned"))
"""What calls say of a cell of several samples or of none; ``negative`` is left out: a negative control may be called so."""

_MOST_LINES = 10_000_000


def is_no_sample(label: str) -> bool:
    """Tell whether what names the sample of a cell says that it is of several or of none.

    >>> is_no_sample("Multiplet"), is_no_sample("donor1")
    (True, False)
    """
    return label.casefold() in _NO_SAMPLE


def tags_told(source: Source, place: Path) -> list[Source]:
    """Split a source by the calls of sample tags that stand beside it; no sources where there are none.

    Parameters
    ----------
    source
        One matrix that names no samples itself.
    place
        The file or folder of the matrix as the program named it, which begins with the name of the run.
    """
    beside = sorted(file for folder in (place.parent, place) if folder.is_dir() for file in folder.glob(f"*{_CALLS}"))
    calls = next((file for file in beside if place.name.startswith(file.name.removesuffix(_CALLS))), None)
    labels = sorted({label for label in read_calls(calls).values() if not is_no_sample(label)}) if calls is not None else []
    return [] if calls is None else [replace(source, sample=label, label=label, column=calls.name, calls=calls) for label in labels]


def read_calls(path: Path) -> dict[str, str]:
    """Read the sample of each cell by its index; none where the table has no such columns."""
    try:
        with open_text(path) as handle:
            rows = csv.reader(line for line, _ in zip(handle, range(_MOST_LINES), strict=False) if not line.startswith("#"))
            heading = next(rows, [])
            cell = next((at for at, name in enumerate(heading) if _CELL.match(name)), None)
            sample = next((heading.index(name) for name in _SAMPLE if name in heading), None)
            if cell is None or sample is None:
                return {}
            return {row[cell]: row[sample].strip() for row in rows if len(row) == len(heading) and row[sample].strip()}
    except _UNREAD:
        return {}


def of_known_sample(sources: Sequence[Source], table: Table, samples: np.ndarray, *, cut: bool) -> tuple[Table, np.ndarray]:
    """Leave out the cells that are of no sample, or of several; say how many.

    Parameters
    ----------
    sources
        The samples of the file.
    table
        All cells of the file; of a look, the values of some.
    samples
        Sample of each cell, empty where it has none, shape (n_cells,).
    cut
        Whether the cells are left out, not only said to be.
    """
    known = samples != ""
    if known.all():
        return table, samples
    labels = _labels(sources[0], table)[~known]
    listed = ", ".join(f"{(labels == label).sum():,} {label}" for label in sorted(set(labels)))
    table = table.noted(f"Cells of several samples or of none were left out by {sources[0].column}: {listed}.")
    return (table.cells(known), samples[known]) if cut else (table, samples)


def _labels(source: Source, table: Table) -> np.ndarray:
    """Read what the column or table of the samples calls each cell, shape (n_cells,)."""
    if source.calls is None:
        named: Any = [] if table.obs is None else table.obs[source.column]
        return np.array([str(label) for label in named], dtype=object)
    calls = read_calls(source.calls)
    return np.array([calls.get(name, "not listed") for name in table.barcodes], dtype=object)
