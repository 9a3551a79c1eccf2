"""Lists of genes and cells as text: separator, heading line, and which column says what."""

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
from scdiff.steps.load.checks.features import fill_names, is_gene_kind, looks_stable, mostly_barcodes
from scdiff.steps.load.identity import looks_like_identity
from scdiff.steps.load.stream import open_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["GeneList", "about_cells", "cell_names", "counts_up", "gene_columns", "read_cells", "read_genes", "read_rows", "without_heading"]

_KINDS = re.compile(
    r"^(gene expression|antibody capture|(crispr |custom|multiplexing |antigen |guide ).*|custom|peaks?|vdj.*)?$", re.IGNORECASE
)
_HEADING_WORD = re.compile(
    r"^(x|v\d|barcodes?|bc|wells?|cells?|cellid|ids?|index|names?|genes?|geneid|symbols?|features?|ensembl|hgnc|mgi|accession|"
    r"(bio)?type|kind|genome|rows?|rownames|cols?|colnames)$"
)
"""Words of lines that name columns; no gene and no barcode is called so."""

_BARCODES = ("barcode", "barcodes", "cell_names", "cellid")
_DISTINCT = 0.5
_LOOKED_AT, _MOST_KINDS = 100, 12
_MOST_LINES = 10_000_000
"""Unfiltered matrices list all 6.8 million barcodes of a kit."""


@dataclass(frozen=True)
class GeneList:
    """Symbols and identifiers, str, shape (n_genes,), and the 10x feature types where the list has them."""

    symbols: np.ndarray
    gene_ids: np.ndarray
    kinds: np.ndarray | None


def read_rows(path: Path) -> list[list[str]]:
    """Fields of every line that is not empty.

    Raises
    ------
    InputError
        If there are more lines than any list of genes or cells has.
    """
    with open_text(path) as handle:
        lines = [line.rstrip("\r\n") for line in islice((line for line in handle if line.strip()), _MOST_LINES)]
    if len(lines) == _MOST_LINES:
        raise InputError(f"{path}: the list has {_MOST_LINES:,} lines or more: this is no list of genes or cells.")
    separator = _separator(lines[:_LOOKED_AT])
    if separator == "\t":
        return [[field.strip().strip('"') for field in line.split("\t")] for line in lines]
    return [[field.strip() for field in row] for row in csv.reader(lines, delimiter=separator)]


def _separator(lines: Sequence[str]) -> str:
    """Tell what separates the columns: a tab, else a comma or semicolon as often in every line, else a space between quotes."""
    if any("\t" in line for line in lines[:2]):
        return "\t"
    often = {mark: {line.count(mark) for line in lines[1:]} for mark in ",;"}
    found = next((mark for mark, counts in often.items() if len(counts) == 1 and counts != {0}), "")
    return found or (" " if all('" "' in line for line in lines[1:]) and len(lines) > 1 else "\t")


def without_heading(path: Path, rows: list[list[str]], n_wanted: int) -> tuple[list[list[str]], bool]:
    """Take off the heading line of a list that has one line more than the matrix has entries.

    Raises
    ------
    InputError
        If that line is no heading, so that names and entries would be shifted against each other.
    """
    cut_off = len(rows) == n_wanted and bool(rows) and all(map(_is_known, filter(None, rows[0])))
    if cut_off:
        raise InputError(f"{path}: the first line ({_shown(rows)}) is a heading, so one name is missing: the list is cut off.")
    if len(rows) == n_wanted:
        return rows, False
    if len(rows) == n_wanted + 1 and _is_heading(rows):
        return rows[1:], True
    raise InputError(
        f"{path}: the list has {len(rows):,} lines, but the matrix {n_wanted:,} entries, and the first line "
        f"({_shown(rows)}) does not look like a heading: which name belongs to which entry cannot be told."
    )


def _shown(rows: Sequence[Sequence[str]]) -> str:
    return " ".join(rows[0])[:60] if rows else ""


def _is_known(field: str) -> bool:
    """Tell whether a field is made of words that name columns."""
    return all(map(_HEADING_WORD.match, re.split(r"[._\- ]+", field.casefold())))


def _is_heading(rows: Sequence[Sequence[str]]) -> bool:
    """Tell a heading by its words, or by being the one line without a barcode or feature type."""
    first, rest = rows[0], rows[1:]
    if any(map(_is_known, first)):
        return True
    for column, field in enumerate(first):
        fields = [row[column] for row in rest if len(row) > column]
        if field and any(tells(fields) and not tells([field]) for tells in (mostly_barcodes, _are_kinds)):
            return True
    return False


def _are_kinds(fields: Sequence[str]) -> bool:
    named = len(set(fields)) <= _MOST_KINDS and any(map(is_gene_kind, fields))
    return named or (any(fields) and all(map(_KINDS.match, fields)))


def read_cells(rows: Sequence[Sequence[str]]) -> np.ndarray:
    """Take the names of cells from the first column of barcodes, else the first column that names each cell once."""
    columns = list(zip(*(row[: len(rows[0])] for row in rows), strict=False)) if rows else [()]
    barcodes = [column for column in columns if mostly_barcodes(column)]
    distinct = [column for column in columns if len(set(column)) == len(column) and not counts_up(column)]
    return np.array([*barcodes, *distinct, *columns][0], dtype=object)


def cell_names(obs: pd.DataFrame) -> np.ndarray:
    """Name the cells by the index of their table, or by its column of barcodes where the index only counts them, shape (n_cells,)."""
    index = [str(name) for name in obs.index]
    column = next((name for name in obs if str(name).casefold() in _BARCODES), None) if counts_up(index) else None
    names = index if column is None else [str(name) for name in obs[column]]
    return np.array(names if len(set(names)) == len(names) else index, dtype=object)


def about_cells(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> pd.DataFrame | None:
    """Take from a table about the cells the columns of samples, donors, conditions and days, blanks as missing; None where it has none."""
    import pandas as pd

    wanted = [at for at, name in enumerate(heading) if looks_like_identity(name)] if len(heading) > 1 else []
    if not wanted or any(len(row) < len(heading) for row in rows):
        return None
    return pd.DataFrame({heading[at]: np.array([row[at] or None for row in rows], dtype=object) for at in wanted})


def read_genes(rows: Sequence[Sequence[str]]) -> GeneList:
    """Take symbols, identifiers and feature types from the columns that hold them."""
    width = min((len(row) for row in rows), default=0)
    columns = [np.array([row[at] for row in rows], dtype=object) for at in range(width)]
    symbols, gene_ids, kinds = gene_columns(columns)
    return GeneList(*fill_names(columns[symbols], columns[gene_ids]), None if kinds is None else columns[kinds]) if columns else _no_genes()


def _no_genes() -> GeneList:
    empty = np.array([], dtype=object)
    return GeneList(empty, empty, None)


def gene_columns(columns: Sequence[np.ndarray]) -> tuple[int, int, int | None]:
    """Find the columns of symbols, of identifiers and of feature types (None for none) by what they hold.

    >>> stable, symbols = np.array(["ENSG00000000001", "ENSG00000000002"]), np.array(["INS", "PDX1"])
    >>> gene_columns([stable, symbols]), gene_columns([symbols, stable]), gene_columns([symbols])
    ((1, 0, None), (0, 1, None), (0, 0, None))
    """
    kinds = next((at for at, column in enumerate(columns) if at and _are_kinds(list(column))), None)
    usable = [at for at in range(len(columns)) if at != kinds and not (at == 0 and len(columns) > 1 and counts_up(list(columns[0])))]
    stable = [at for at in usable if looks_stable(columns[at])]
    texts = [at for at in usable if at not in stable and len(set(columns[at])) >= _DISTINCT * len(columns[at])]
    if stable:
        lettered = next((at for at in stable if not str(columns[at][0]).isdigit()), stable[0])
        return (texts[0] if texts else lettered), lettered, kinds
    chosen = texts or usable or [0]
    return chosen[1 if len(chosen) > 1 and chosen[1] == chosen[0] + 1 else 0], chosen[0], kinds


def counts_up(names: Sequence[str]) -> bool:
    """Tell whether names are but the numbers of their rows, from 0 or 1.

    >>> counts_up(["1", "2", "3"]), counts_up(["INS", "PDX1"])
    (True, False)
    """
    return len(names) > 1 and any(list(names) == [str(at + start) for at in range(len(names))] for start in (0, 1))
