"""Lists of genes and cells as text: separator, header line, and the meaning of each column."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scdiff.errors import InputError
from scdiff.steps.load.checks.features import (
    are_mostly_barcodes,
    fill_names,
    is_gene_kind,
    looks_stable,
)
from scdiff.steps.load.identity import looks_like_identity
from scdiff.steps.load.stream import open_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "GeneList",
    "are_row_numbers",
    "drop_header",
    "find_gene_columns",
    "name_cells",
    "read_about_cells",
    "read_cells",
    "read_genes",
    "read_rows",
]

_KINDS = re.compile(
    r"^(gene expression|antibody capture"
    r"|(crispr |custom|multiplexing |antigen |guide ).*|custom|peaks?|vdj.*)?$",
    re.IGNORECASE,
)
"""10x feature types, or nothing."""

_HEADER_WORD = re.compile(
    r"^(x|v\d|barcodes?|bc|wells?|cells?|cellid|ids?|index|names?|genes?|geneid|symbols?"
    r"|features?|ensembl|hgnc|mgi|accession|"
    r"(bio)?type|kind|genome|rows?|rownames|cols?|colnames)$"
)
"""Words in header lines; no gene and no barcode has such a name."""

_BARCODES = ("barcode", "barcodes", "cell_names", "cellid")
"""Columns of the table about the cells that name the cells."""

_DISTINCT = 0.5
"""Share of different names, 0-1, from which a text column can hold gene symbols. Chosen, not
tuned."""

_LOOKED_AT, _MOST_KINDS = 100, 12
"""Number of lines sampled to find the separator; and the largest number of different feature
types. Chosen, not tuned."""

_MOST_LINES = 10_000_000
"""Lines of a list that are read. Unfiltered matrices list all 6.8 million barcodes of a kit."""


@dataclass(frozen=True)
class GeneList:
    """Symbols, identifiers and feature types of a list of genes.

    Symbols and identifiers are str, shape (n_genes,); the 10x feature types are None without a
    column of them.
    """

    symbols: np.ndarray
    gene_ids: np.ndarray
    kinds: np.ndarray | None


def read_rows(path: Path) -> list[list[str]]:
    """Read the fields of every line that is not empty.

    Raises
    ------
    InputError
        If there are more lines than a list of genes or cells can have.
    """
    with open_text(path) as handle:
        filled = (line for line in handle if line.strip())
        lines = [line.rstrip("\r\n") for line in islice(filled, _MOST_LINES)]
    if len(lines) == _MOST_LINES:
        raise InputError(
            f"{path}: the list has {_MOST_LINES:,} lines or more, too many for a list of genes "
            "or cells. Check the file."
        )
    separator = _detect_separator(lines[:_LOOKED_AT])
    if separator == "\t":
        return [[field.strip().strip('"') for field in line.split("\t")] for line in lines]
    return [[field.strip() for field in row] for row in csv.reader(lines, delimiter=separator)]


def _detect_separator(lines: Sequence[str]) -> str:
    """Detect the separator of the columns.

    This is a tab; otherwise a comma or semicolon that is equally frequent in every line; otherwise
    a space between quotes.
    """
    if any("\t" in line for line in lines[:2]):
        return "\t"
    numbers = {mark: {line.count(mark) for line in lines[1:]} for mark in ",;"}
    regular = [mark for mark, counts in numbers.items() if len(counts) == 1 and counts != {0}]
    found = next(iter(regular), "")
    return found or (" " if all('" "' in line for line in lines[1:]) and len(lines) > 1 else "\t")


def drop_header(path: Path, rows: list[list[str]], n_wanted: int) -> tuple[list[list[str]], bool]:
    """Drop the header line of a list that has one line more than the matrix has entries.

    Returns
    -------
    The rows, and whether a line was dropped.

    Raises
    ------
    InputError
        If that line is not a header, so that names and entries would be shifted.
    """
    if len(rows) == n_wanted and bool(rows) and all(map(_is_known, filter(None, rows[0]))):
        raise InputError(
            f"{path}: the first line ({_show_first(rows)}) is a header, so one name is missing. "
            "The list is truncated; copy or download it again."
        )
    if len(rows) == n_wanted:
        return rows, False
    if len(rows) == n_wanted + 1 and _is_header(rows):
        return rows[1:], True
    raise InputError(
        f"{path}: the list has {len(rows):,} lines, but the matrix {n_wanted:,} entries, and the "
        f"first line ({_show_first(rows)}) does not look like a header. "
        "Give a list with one name for each entry."
    )


def _show_first(rows: Sequence[Sequence[str]]) -> str:
    """Return the beginning of the first line, for messages."""
    return " ".join(rows[0])[:60] if rows else ""


def _is_known(field: str) -> bool:
    """Check whether a field consists of words that name columns."""
    return all(map(_HEADER_WORD.match, re.split(r"[._\- ]+", field.casefold())))


def _is_header(rows: Sequence[Sequence[str]]) -> bool:
    """Check whether the first row is a header.

    Either it has words that name columns, or it is the only row without a barcode or feature type.
    """
    first, rest = rows[0], rows[1:]
    if any(map(_is_known, first)):
        return True
    for column, field in enumerate(first):
        fields = [row[column] for row in rest if len(row) > column]
        for check in (are_mostly_barcodes, _are_kinds):
            if field and check(fields) and not check([field]):
                return True
    return False


def _are_kinds(fields: Sequence[str]) -> bool:
    """Check whether fields are feature types."""
    named = len(set(fields)) <= _MOST_KINDS and any(map(is_gene_kind, fields))
    return named or (any(fields) and all(map(_KINDS.match, fields)))


def read_cells(rows: Sequence[Sequence[str]]) -> np.ndarray:
    """Read the names of cells from the first column of barcodes.

    Without such a column, they are in the first column that names each cell once.
    """
    columns = list(zip(*(row[: len(rows[0])] for row in rows), strict=False)) if rows else [()]
    barcodes = [column for column in columns if are_mostly_barcodes(column)]
    distinct = [
        column
        for column in columns
        if len(set(column)) == len(column) and not are_row_numbers(column)
    ]
    return np.array([*barcodes, *distinct, *columns][0], dtype=object)


def name_cells(obs: pd.DataFrame) -> np.ndarray:
    """Return the names of cells, shape (n_cells,).

    These are the index of their table; if the index only numbers them, the column of barcodes.
    """
    index = [str(name) for name in obs.index]
    columns = [name for name in obs if str(name).casefold() in _BARCODES]
    names = index
    if columns and are_row_numbers(index):
        names = [str(name) for name in obs[columns[0]]]
    return np.array(names if len(set(names)) == len(names) else index, dtype=object)


def read_about_cells(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> pd.DataFrame | None:
    """Read the columns of samples, donors, conditions and days from a table about the cells.

    A blank is missing. Return None for a table without such columns.
    """
    import pandas as pd

    wanted = [at for at, name in enumerate(heading) if looks_like_identity(name)]
    if len(heading) < 2 or not wanted or any(len(row) < len(heading) for row in rows):
        return None
    columns = {at: [row[at] or None for row in rows] for at in wanted}
    return pd.DataFrame({heading[at]: np.array(columns[at], dtype=object) for at in wanted})


def read_genes(rows: Sequence[Sequence[str]]) -> GeneList:
    """Read symbols, identifiers and feature types from the columns that hold them."""
    width = min((len(row) for row in rows), default=0)
    columns = [np.array([row[at] for row in rows], dtype=object) for at in range(width)]
    if not columns:
        empty = np.array([], dtype=object)
        return GeneList(empty, empty, None)
    symbols, gene_ids, kinds = find_gene_columns(columns)
    names = fill_names(columns[symbols], columns[gene_ids])
    return GeneList(*names, None if kinds is None else columns[kinds])


def find_gene_columns(columns: Sequence[np.ndarray]) -> tuple[int, int, int | None]:
    """Find the columns of symbols, identifiers and feature types by their content.

    Without feature types, the last is None.

    >>> stable = np.array(["ENSG00000000001", "ENSG00000000002"])
    >>> symbols = np.array(["INS", "PDX1"])
    >>> find_gene_columns([stable, symbols]), find_gene_columns([symbols, stable])
    ((1, 0, None), (0, 1, None))
    >>> find_gene_columns([symbols])
    (0, 0, None)
    """
    kinds = next((at for at, column in enumerate(columns) if at and _are_kinds(list(column))), None)
    usable = [at for at in range(len(columns)) if at != kinds]
    if len(columns) > 1 and are_row_numbers(list(columns[0])):
        usable.remove(0)
    stable = [at for at in usable if looks_stable(columns[at])]
    distinct = [at for at in usable if len(set(columns[at])) >= _DISTINCT * len(columns[at])]
    texts = [at for at in distinct if at not in stable]
    if stable:
        lettered = next((at for at in stable if not str(columns[at][0]).isdigit()), stable[0])
        return (texts[0] if texts else lettered), lettered, kinds
    chosen = texts or usable or [0]
    return chosen[1 if len(chosen) > 1 and chosen[1] == chosen[0] + 1 else 0], chosen[0], kinds


def are_row_numbers(names: Sequence[str]) -> bool:
    """Check whether names are only the numbers of their rows, from 0 or 1.

    >>> are_row_numbers(["1", "2", "3"]), are_row_numbers(["INS", "PDX1"])
    (True, False)
    """
    return len(names) > 1 and any(
        list(names) == [str(at + start) for at in range(len(names))] for start in (0, 1)
    )
