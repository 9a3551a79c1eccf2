"""Quick checks of a file by its name and its first lines, to decide whether it may hold counts."""

from __future__ import annotations

import csv
import zlib
from itertools import islice
from pathlib import Path

from scdiff.steps.load.checks.called import compute_known_share
from scdiff.steps.load.readers.dense import lists_properties, read_header
from scdiff.steps.load.readers.robject import R_FILE
from scdiff.steps.load.source import DENSE, HDF5
from scdiff.steps.load.stream import open_text

__all__ = ["is_description", "may_hold_counts"]

_NO_MATRIX = ("molecule_info.h5", "_posterior.h5", "raw_probe_bc_matrix.h5")
"""Ends of the names of HDF5 files that hold no matrix of counts."""

_NAMES_LOOKED_AT = 200
"""Rows of a table whose names are read. Chosen, not tuned."""


_FEWEST_GENES = 3
"""Number of genes among the names of rows or columns below which a table holds no counts of
genes. Chosen, not tuned."""


def is_description(file: Path, *, beside: bool) -> bool:
    """Check by its header whether a table describes cells or genes and holds no counts.

    If the table is ``beside`` a matrix of another kind, it is also a description if it names no
    genes.
    """
    try:
        with open_text(file) as handle:
            lines, values = read_header(handle)
            values += list(islice(handle, _NAMES_LOOKED_AT))
        separator = max("\t,; ", key=values[0].count)
        heading, *rows = csv.reader([lines[-1], *values], delimiter=separator)
    except (OSError, EOFError, ValueError, zlib.error, csv.Error):
        return False
    names = [row[0].strip() for row in rows if row]
    n_genes = max(
        compute_known_share(listed) * len(listed) for listed in (heading[:_NAMES_LOOKED_AT], names)
    )
    return lists_properties(heading) or (beside and n_genes < _FEWEST_GENES)


def may_hold_counts(file: Path) -> bool:
    """Check whether a file of a folder may be an input.

    The suffix decides; for texts, also the second line.
    """
    if Path(file.name.removesuffix(".gz")).suffix.lower() in HDF5:
        return not file.name.endswith(_NO_MATRIX)
    return bool(R_FILE.search(file.name)) or (bool(DENSE.search(file.name)) and _is_numeric(file))


def _is_numeric(file: Path) -> bool:
    """Check whether most fields of the second line of a text are numbers.

    A text that cannot be read counts as numeric, so that the reader reports its error.
    """
    try:
        with open_text(file) as handle:
            kept = (line for line in handle if not line.startswith("#"))
            next(kept, "")
            second = next(kept, "")
    except (OSError, EOFError, ValueError, zlib.error):
        return True
    separator = max("\t,; ", key=second.count)
    fields = [field for line in csv.reader([second], delimiter=separator) for field in line[1:]]
    return len(fields) > 0 and sum(_is_number(field) for field in fields) > len(fields) / 2


def _is_number(text: str) -> bool:
    """Check whether a text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
