"""Reader of dense tables as text, plain or gzipped, genes x cells or cells x genes."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from scdiff.errors import InputError
from scdiff.steps.load.checks.features import (
    are_mostly_barcodes,
    count_gene_names,
    fill_names,
    is_barcode,
)
from scdiff.steps.load.readers.lists import are_row_numbers, find_gene_columns
from scdiff.steps.load.readers.registry import READERS
from scdiff.steps.load.source import Source
from scdiff.steps.load.stream import open_bytes, open_text
from scdiff.steps.load.table import Hold, Table

__all__ = ["lists_properties", "read_dense", "read_header"]

_SEPARATORS = "\t,; "
"""Separators of fields, the preferred one first."""

_CHUNK_ROWS = 1000
"""Rows that are read at once, unless they have too many values. Chosen, not tuned."""

_CHUNK_VALUES = 20_000_000
"""Values that are read at once (160 MB as float64). Chosen, not tuned."""

_LOOKED_AT = 5
"""Number of lines of values that are read to find the layout. Chosen, not tuned."""

_NUMBER = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$", re.IGNORECASE)
_MISSING = ("", "na", "nan", "null")
"""Fields that mean a missing value, casefolded."""

_DISTINCT = 0.5
"""Share of different names, 0-1, from which a second text column can name genes. Chosen, not
tuned."""

_FEATURECOUNTS = ("Chr", "Start", "End", "Strand", "Length")
"""Columns that featureCounts writes between the names of the genes and the counts."""

_ONLY_COUNTS = "Leave only names and counts in the table."
_WIDE = "as umi_tools count --wide-format-cell-counts writes it"
"""How to write a table of this form, for messages."""

_DESCRIBES = re.compile(
    r"^((gene|effective|transcript)?length|width|start|end|strand|chr(om(osome)?)?"
    r"|(n|num)(count|feature|gene|umi)s?(rna|bycounts)?|total(counts?|umis?)?"
    r"|(percent|pct(counts)?)(mt|mito|mitochondrial)|(seurat)?clusters?|leiden|louvain"
    r"|cell(type|line|cycle)|origident|batch|sample|donor"
    r"|condition|sum|mean|entrez(gene)?(id)?)$"
)
"""Names of what describes a gene or a cell, in lower case without punctuation. A column with
such a name holds no counts."""


@dataclass(frozen=True)
class _Layout:
    """The layout of a table.

    Parameters
    ----------
    n_skip
        Number of lines before the values.
    separator
        Separator of fields.
    labels
        Names of the columns of names in the header; empty for a name that the header leaves out.
    columns
        Names of the columns of values.
    n_fields
        Number of fields of a line.
    described
        Names of the columns between those of names and of values, which describe the genes.
    """

    n_skip: int
    separator: str
    labels: list[str]
    columns: list[str]
    n_fields: int
    described: tuple[str, ...] = ()


@READERS.register(
    "dense table",
    summary="Tables of genes x cells or cells x genes.",
    source="field convention",
    facts={"lazy": False},
)
def read_dense(source: Source, matrix: str, species: str, hold: Hold) -> Iterator[Table]:  # noqa: ARG001 all readers have these arguments
    """Yield the matrix of a dense table; the names decide whether genes are in rows or columns.

    Raises
    ------
    InputError
        If a column holds text or describes its row, if rows or columns have no names, or if the
        names do not distinguish genes from cells.
    """
    from scipy import sparse

    path = source.files[0]
    layout = _detect_layout(path)
    names, values = _read_values(path, layout)
    names = names[1:] if len(names) > 1 and are_row_numbers(names[0]) else names
    _refuse_unnamed(path, layout, names[0])
    row_names = names[0] if len(names) == 1 else [*names[0], *names[1]]
    genes_in_rows = _has_genes_in_rows(path, row_names, layout.columns)
    _refuse_described(path, layout, names, genes_in_rows=genes_in_rows)
    columns = np.array(layout.columns, dtype=object)
    if genes_in_rows:
        symbols, gene_ids, _ = find_gene_columns(
            [np.array(column, dtype=object) for column in names]
        )
        named = fill_names(names[symbols], names[gene_ids])
        table = Table(sparse.csr_matrix(values.T), columns, *named)
        if layout.described:
            listed = ", ".join(layout.described)
            table = table.noted(f"Columns that describe genes were left out: {listed}.")
        yield table
    else:
        yield Table(values, np.array(names[0], dtype=object), *fill_names(columns, columns))


def _detect_layout(path: Path) -> _Layout:
    """Detect the layout from the header and the first lines of values.

    Raises
    ------
    InputError
        If they are not a table of values.
    """
    with open_text(path) as handle:
        lines, first = read_header(handle)
    separator = _detect_separator(first[0])
    heading, *rows = (
        [field.strip() for field in next(csv.reader([line], delimiter=separator), [])]
        for line in (lines[-1], *first)
    )
    rows = [row for row in rows if row] or [[]]
    trails = min(_count_blank_at_end(row) for row in (heading, *rows)) if heading else 0
    heading, n_fields = heading[: len(heading) - trails], len(rows[0]) - trails
    if n_fields < 2:
        raise InputError(
            f"{path}: this is not a table of values: the second line has {n_fields} fields. "
            "Give a matrix, genes x cells."
        )
    if len(heading) - n_fields not in (0, -1):
        raise InputError(
            f"{path}: the header names {len(heading):,} columns, but the first line of values has "
            f"{n_fields:,}. Give each column one name."
        )
    described = _FEATURECOUNTS if tuple(heading[1:6]) == _FEATURECOUNTS else ()
    n_names = 1 if described else _count_name_columns(rows, n_fields)
    labels = ["", *heading][len(heading) + 1 - n_fields :][:n_names]
    columns = heading[len(heading) - n_fields + n_names + len(described) :]
    return _Layout(len(lines), separator, labels, columns, n_fields, described)


def read_header(handle: IO[str]) -> tuple[list[str], list[str]]:
    """Read the lines up to and including the header, and the first lines of values.

    Lines that start with ``#`` are comments. The last of them is the header if it has as many
    fields as the values.
    """
    lines = [handle.readline()]
    while lines[-1].startswith("#"):
        lines.append(handle.readline())
    first = [handle.readline() for _ in range(_LOOKED_AT)]
    if len(lines) > 1 and _is_header_of(lines[-2], lines[-1]):
        return [*lines[:-2], lines[-2].lstrip("# ")], [lines[-1], *first[:-1]]
    return lines, first


def _is_header_of(comment: str, line: str) -> bool:
    """Check whether a comment is the header of a line of values.

    Both must have the same number of fields, and most of the values must be numbers.
    """
    mark = _detect_separator(line)
    values = [field.strip().strip('"') for field in line.split(mark)[1:]]
    are_numbers = sum(bool(_NUMBER.match(value)) for value in values) > len(values) / 2
    return are_numbers and comment.count(mark) in (line.count(mark), line.count(mark) - 1)


def _detect_separator(line: str) -> str:
    """Detect the separator of the fields in a line of values."""
    return max(_SEPARATORS, key=lambda mark: (line.count(mark), -_SEPARATORS.index(mark)))


def _count_blank_at_end(row: Sequence[str]) -> int:
    """Count the blank fields at the end of a line, which spreadsheets write."""
    return len(row) - max((at + 1 for at, field in enumerate(row) if field), default=0)


def lists_properties(heading: Sequence[str]) -> bool:
    """Check whether a header names properties of cells or genes.

    Such a table holds no counts. The same is true of a table with fewer than three columns.

    >>> lists_properties(["cell", "nCount_RNA", "percent.mt"])
    True
    >>> lists_properties(["gene", "AACG-1", "AAGT-1"])
    False
    >>> lists_properties(["metric", "value"])
    True
    """
    if tuple(heading[1:6]) == _FEATURECOUNTS:
        heading = [heading[0], *heading[6:]]
    return len(heading) < 3 or any(map(_is_property, heading[1:]))


def _is_property(name: str) -> bool:
    """Check whether a name is that of a property of genes or cells."""
    return bool(_DESCRIBES.match(re.sub(r"[^a-z0-9]", "", name.casefold())))


def _count_name_columns(rows: Sequence[Sequence[str]], n_fields: int) -> int:
    """Count the columns of names before the values: the first, and a second one of text."""
    second = [row[1] for row in rows if len(row) > 1 and row[1].casefold() not in _MISSING]
    return 2 if n_fields > 2 and second and not any(map(_NUMBER.match, second)) else 1


def _read_values(path: Path, layout: _Layout) -> tuple[list[list[str]], Any]:
    """Read the columns of row names, and the values as CSR, a chunk of rows at a time."""
    import pandas as pd
    from scipy import sparse

    n_names = len(layout.labels)
    first_value = n_names + len(layout.described)
    names: list[list[str]] = [[] for _ in range(n_names)]
    parts = []
    options: dict[str, Any] = {
        "sep": layout.separator,
        "header": None,
        "skiprows": layout.n_skip,
        "converters": dict.fromkeys(range(n_names), _mark_name),
        "low_memory": False,
    }
    n_rows = max(1, min(_CHUNK_ROWS, _CHUNK_VALUES // layout.n_fields))
    with open_bytes(path) as handle, pd.read_csv(handle, chunksize=n_rows, **options) as chunks:
        for rows in chunks:
            blank, chunk = rows[0] == _mark_name(""), rows
            if blank.any():
                has_values = rows.iloc[:, first_value : layout.n_fields].notna().any(axis=1)
                chunk = rows[~blank | has_values]
            for at in range(n_names):
                names[at].extend(name[1:] for name in chunk[at])
            values = chunk.iloc[:, first_value : layout.n_fields]
            parts.append(sparse.csr_matrix(_as_numbers(path, values, layout.columns)))
    return names, sparse.csr_matrix(sparse.vstack(parts))


def _mark_name(name: str) -> str:
    """Mark a name, so that pandas does not read a gene called NA as missing."""
    return f"={name.strip()}"


def _as_numbers(path: Path, chunk: Any, columns: Sequence[str]) -> np.ndarray:
    """Return the values of a chunk.

    Raises
    ------
    InputError
        If a value is not a number.
    """
    for place, dtype in enumerate(chunk.dtypes):
        if getattr(dtype, "kind", "O") not in "fiu":
            texts = (value for value in chunk.iloc[:, place] if isinstance(value, str))
            example = next(texts, chunk.iloc[0, place])
            raise InputError(
                f"{path}: column {columns[place]!r} holds {example!r}, not a number. {_ONLY_COUNTS}"
            )
    return np.asarray(chunk.to_numpy())


def _refuse_unnamed(path: Path, layout: _Layout, names: Sequence[str]) -> None:
    """Raise an error if the first line or the first column of a table holds values.

    They would be mistaken for names.
    """
    corner = layout.labels[0]
    is_name = bool(corner) and (is_barcode(corner) or count_gene_names([corner]) > 0)
    for side, listed in (("rows", names), ("columns", layout.columns)):
        if all(map(_NUMBER.match, listed)) and (is_name or len(set(listed)) < len(listed)):
            raise InputError(
                f"{path}: the names of the {side} are values ({', '.join(listed[:3])}, ...). "
                f"The table lacks the names of its {side}; write it with them."
            )


def _refuse_described(
    path: Path, layout: _Layout, names: Sequence[Sequence[str]], *, genes_in_rows: bool
) -> None:
    """Raise an error if columns or rows describe genes or cells.

    The same is true if a second column of text names no genes.
    """
    if len(names) > 1 and len(layout.columns) == 1:
        raise InputError(
            f"{path}: the table has one line for each gene and cell. "
            f"Give a matrix, genes x cells ({_WIDE})."
        )
    if len(names) > 1 and not (genes_in_rows and len(set(names[1])) >= _DISTINCT * len(names[1])):
        raise InputError(
            f"{path}: column {layout.labels[-1]!r} holds {names[1][0]!r}, not a number. "
            f"{_ONLY_COUNTS}"
        )
    for side, listed in (("column", layout.columns), ("row", names[0])):
        if found := [name for name in listed if _is_property(name)]:
            raise InputError(
                f"{path}: {side} {found[0]!r} describes genes or cells and holds no counts. "
                f"{_ONLY_COUNTS}"
            )


def _has_genes_in_rows(path: Path, rows: Sequence[str], columns: Sequence[str]) -> bool:
    """Check by the names whether genes are in rows.

    Raises
    ------
    InputError
        If the names do not decide it.
    """
    genes_in_rows, genes_in_columns = count_gene_names(rows), count_gene_names(columns)
    cells_in_rows, cells_in_columns = map(are_mostly_barcodes, (rows, columns))
    if cells_in_rows != cells_in_columns:
        return cells_in_columns
    if max(genes_in_rows, genes_in_columns) > 10 * min(genes_in_rows, genes_in_columns):
        return genes_in_rows > genes_in_columns
    raise InputError(
        f"{path}: the names do not distinguish genes from cells (rows: "
        f"{', '.join(rows[:2])}, ...; columns: {', '.join(columns[:2])}, ...). "
        "Name the genes by symbol or Ensembl id, or the cells by barcode."
    )
