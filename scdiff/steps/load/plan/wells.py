"""Samples that a file next to the matrix distinguishes.

This is a table about the cells (Parse), or the list of GEM wells (cellranger aggr).
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from scdiff.steps.load.identity import looks_like_identity, own_labels
from scdiff.steps.load.readers.lists import read_rows
from scdiff.steps.load.source import Source
from scdiff.steps.load.stream import open_text
from scdiff.steps.load.table import reading

__all__ = ["list_labels", "split_by_labels", "split_by_wells"]

_LISTS = ("aggregation.csv", "aggregation_csv.csv")
"""Copies of the table of ``cellranger aggr``; the second is from versions before 3."""

_UNREAD = (OSError, EOFError, ValueError, zlib.error, csv.Error)
"""Errors of a file that cannot be read as a table."""

_ABOVE = 3
"""Number of folders above the matrix that are searched for it:
``outs/count/filtered_feature_bc_matrix``."""

_MOST_WELLS = 10_000
"""Lines of the list that are read; more than any run has wells. Chosen, not tuned."""

_NAMES = ("sample_id", "library_id", "sample", "library")
"""Columns that name samples, the first that is present."""

_FIELDS = {"donor": "donor", "donor_id": "donor", "condition": "condition", "day": "day"}
"""Column of the list -> column of the sample sheet."""


def split_by_labels(source: Source) -> list[Source]:
    """Split a triple by the samples in its table about the cells.

    Return no sources if the table names no sample, or only one.
    """
    cells = source.files[1]
    try:
        heading = _read_heading(cells)
    except _UNREAD:  # the reader reports the error
        return []
    if len(heading) < 2 or not any(map(looks_like_identity, heading)):
        return []
    column, labels = own_labels(cells, heading, _make_column_reader(cells, heading), exact=False)
    return [replace(source, sample=label, label=label, column=column) for label in labels]


def list_labels(source: Source, key: str) -> list[str]:
    """List the samples in the column ``key`` of a triple's table about the cells.

    Raises
    ------
    ConfigError
        If there is no such column, or it names no samples.
    InputError
        If it is empty for some cells.
    """
    cells = source.files[1]
    with reading(cells, "a table about the cells"):
        heading = _read_heading(cells)
        columns = heading if len(heading) > 1 else []
        read = _make_column_reader(cells, heading)
        return own_labels(cells, columns, read, exact=False, key=key)[1]


def _read_heading(cells: Path) -> list[str]:
    """Read the first line of a table about the cells."""
    separator = "\t" if ".tsv" in cells.name.casefold() else ","
    with open_text(cells) as handle:
        return next(csv.reader(islice(handle, 1), delimiter=separator), [])


def _make_column_reader(cells: Path, heading: list[str]) -> Callable[[str], list[str | None]]:
    """Return a function that reads one column of a table about the cells.

    An empty field is missing.
    """

    def read(name: str) -> list[str | None]:
        rows = [row for row in read_rows(cells)[1:] if len(row) == len(heading)]
        return [row[heading.index(name)] or None for row in rows]

    return read


def split_by_wells(sources: Sequence[Source]) -> list[Source]:
    """Split a source by the GEM wells in the list of ``cellranger aggr`` next to it.

    Without such a list, return the same sources.
    """
    place = sources[0].files[0]
    above = [parent / name for parent in place.parents[:_ABOVE] for name in _LISTS]
    found = next((path for path in above if path.is_file()), None)
    rows = _read_wells(found) if found is not None and len(sources) == 1 else []
    if len(rows) < 2:
        return list(sources)
    return [
        replace(
            sources[0],
            sample=name,
            label=name,
            column=found.name,
            wells=(str(number),),
            fields=fields,
        )
        for number, (name, fields) in enumerate(rows, start=1)
        if found is not None
    ]


def _read_wells(path: Path) -> list[tuple[str, dict[str, str]]]:
    """Read the sample of each well, with its donor, condition and day.

    Return nothing if the list does not name each well once.
    """
    try:
        with open_text(path) as handle:
            lines = [
                line for line in csv.DictReader(islice(handle, _MOST_WELLS)) if any(line.values())
            ]
    except _UNREAD:
        return []
    column = next((name for name in _NAMES if lines and name in lines[0]), "")
    names = [str(line[column] or "").strip() for line in lines] if column else []
    if not all(names) or len(set(names)) < len(names):
        return []
    fields = []
    for line in lines:
        known = {key: value for key, value in line.items() if key in _FIELDS and value}
        fields.append({_FIELDS[key]: str(value).strip() for key, value in known.items()})
    return list(zip(names, fields, strict=True))
