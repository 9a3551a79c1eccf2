"""Samples that a file beside the matrix tells apart: a table about the cells (Parse), or the list of GEM wells (cellranger aggr)."""

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

__all__ = ["labelled_by", "split_by_labels", "wells_told"]

_LISTS = ("aggregation.csv", "aggregation_csv.csv")
"""Copies of the table of ``cellranger aggr``, of versions from and before 3."""

_UNREAD = (OSError, EOFError, ValueError, zlib.error, csv.Error)
_ABOVE = 3
"""Folders above the matrix in which it may stand: ``outs/count/filtered_feature_bc_matrix``."""

_NAMES = ("sample_id", "library_id", "sample", "library")
_FIELDS = {"donor": "donor", "donor_id": "donor", "condition": "condition", "day": "day"}


def split_by_labels(source: Source) -> list[Source]:
    """Split a triple by the samples that its table about the cells names; no sources where it names none, or one."""
    try:
        heading = _heading(source.files[1])
    except _UNREAD:  # the reader will say so
        return []
    if len(heading) < 2 or not any(map(looks_like_identity, heading)):
        return []
    column, labels = own_labels(source.files[1], heading, _column_reader(source.files[1], heading), exact=False)
    return [replace(source, sample=label, label=label, column=column) for label in labels]


def labelled_by(source: Source, key: str) -> list[str]:
    """List the samples that the column ``key`` of a triple's table about the cells names.

    Raises
    ------
    ConfigError
        If there is no such column, or it names no samples.
    InputError
        If it is empty for some cells.
    """
    with reading(source.files[1], "a table about the cells"):
        heading = _heading(source.files[1])
        columns = heading if len(heading) > 1 else []
        return own_labels(source.files[1], columns, _column_reader(source.files[1], heading), exact=False, key=key)[1]


def _heading(cells: Path) -> list[str]:
    """Read the first line of a table about the cells."""
    with open_text(cells) as handle:
        return next(csv.reader(islice(handle, 1), delimiter="\t" if ".tsv" in cells.name.casefold() else ","), [])


def _column_reader(cells: Path, heading: list[str]) -> Callable[[str], list[str | None]]:
    """Give what reads one column of a table about the cells; an empty field is missing."""
    return lambda name: [row[heading.index(name)] or None for row in read_rows(cells)[1:] if len(row) == len(heading)]


def wells_told(sources: Sequence[Source]) -> list[Source]:
    """Split a source by the GEM wells that the list of ``cellranger aggr`` beside it names; the same sources where there is none."""
    place = sources[0].files[0]
    above = [parent / name for parent in place.parents[:_ABOVE] for name in _LISTS]
    found = next((path for path in above if path.is_file()), None)
    rows = _wells(found) if found is not None and len(sources) == 1 else []
    if len(rows) < 2:
        return list(sources)
    return [
        replace(sources[0], sample=name, label=name, column=found.name, wells=(str(number),), fields=fields)
        for number, (name, fields) in enumerate(rows, start=1)
        if found is not None
    ]


def _wells(path: Path) -> list[tuple[str, dict[str, str]]]:
    """Name of the sample of each well, with what else is told of it; none where the list does not name each well once."""
    try:
        with open_text(path) as handle:
            lines = [line for line in csv.DictReader(islice(handle, 10_000)) if any(line.values())]
    except _UNREAD:
        return []
    column = next((name for name in _NAMES if lines and name in lines[0]), "")
    names = [str(line[column] or "").strip() for line in lines] if column else []
    if not all(names) or len(set(names)) < len(names):
        return []
    told = [{_FIELDS[key]: str(value).strip() for key, value in line.items() if key in _FIELDS and value} for line in lines]
    return list(zip(names, told, strict=True))
