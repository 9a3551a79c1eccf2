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
from scdiff.steps.load.checks.features import fill_names, gene_evidence, is_barcode, mostly_barcodes
from scdiff.steps.load.readers.lists import counts_up, gene_columns
from scdiff.steps.load.readers.registry import READERS
from scdiff.steps.load.source import Source
from scdiff.steps.load.stream import open_bytes, open_text
from scdiff.steps.load.table import Hold, Table

__all__ = ["describes", "heading_and_values", "read_dense"]

_SEPARATORS = "\t,; "
_CHUNK_ROWS, _CHUNK_VALUES = 1000, 20_000_000
_LOOKED_AT = 5
_NUMBER = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$", re.IGNORECASE)
_MISSING = ("", "na", "nan", "null")
_DISTINCT = 0.5
_WIDE = "as umi_tools count --wide-format-cell-counts writes it"
_DESCRIBES = re.compile(
    r"^((gene|effective|transcript)?length|width|start|end|strand|chr(om(osome)?)?|(n|num)(count|feature|gene|umi)s?(rna|bycounts)?|total(counts?|umis?)?"
    r"|(percent|pct(counts)?)(mt|mito|mitochondrial)|(seurat)?clusters?|leiden|louvain|cell(type|line|cycle)|origident|batch|sample|donor"
    r"|condition|sum|mean|entrez(gene)?(id)?)$"
)
"""What describes a gene or a cell, in lower case without signs: a column of it is no column of counts."""


@dataclass(frozen=True)
class _Layout:
    """How a table is laid out.

    Parameters
    ----------
    n_skip
        Lines before the values.
    separator
        What stands between two fields.
    labels
        What the heading calls the columns of names; empty for what it leaves out.
    columns
        Names of the columns of values.
    """

    n_skip: int
    separator: str
    labels: list[str]
    columns: list[str]
    n_fields: int


@READERS.register(
    "dense table",
    summary="Tables of genes x cells or cells x genes.",
    source="field convention",
    facts={"lazy": False},
)
def read_dense(source: Source, matrix: str, species: str, hold: Hold) -> Iterator[Table]:  # noqa: ARG001 all readers are called alike
    """Yield the matrix of a dense table, genes x cells or cells x genes, told from the names.

    Raises
    ------
    InputError
        If a column holds text or describes its row, rows or columns have no names, or these do not tell genes from cells.
    """
    from scipy import sparse

    path = source.files[0]
    layout = _dense_layout(path)
    names, values = _dense_values(path, layout)
    names = names[1:] if len(names) > 1 and counts_up(names[0]) else names
    _refuse_unnamed(path, layout, names[0])
    genes_in_rows = _genes_in_rows(path, names[0] if len(names) == 1 else [*names[0], *names[1]], layout.columns)
    _refuse_described(path, layout, names, genes_in_rows=genes_in_rows)
    columns = np.array(layout.columns, dtype=object)
    if genes_in_rows:
        symbols, gene_ids, _ = gene_columns([np.array(column, dtype=object) for column in names])
        yield Table(sparse.csr_matrix(values.T), columns, *fill_names(names[symbols], names[gene_ids]))
    else:
        yield Table(values, np.array(names[0], dtype=object), *fill_names(columns, columns))


def _dense_layout(path: Path) -> _Layout:
    """Read the heading and the first lines of values."""
    with open_text(path) as handle:
        lines, first = heading_and_values(handle)
    separator = _separator(first[0])
    heading, *rows = ([field.strip() for field in next(csv.reader([line], delimiter=separator), [])] for line in (lines[-1], *first))
    rows = [row for row in rows if row] or [[]]
    trails = min(_n_blank_at_end(row) for row in (heading, *rows)) if heading else 0
    heading, n_fields = heading[: len(heading) - trails], len(rows[0]) - trails
    if n_fields < 2:
        raise InputError(f"{path}: this is no table of values: the second line has {n_fields} fields.")
    if len(heading) - n_fields not in (0, -1):
        raise InputError(f"{path}: the heading names {len(heading):,} columns, but the first line of values has {n_fields:,}.")
    n_names = _n_names(rows, n_fields)
    labels = ["", *heading][len(heading) + 1 - n_fields :][:n_names]
    return _Layout(len(lines), separator, labels, heading[len(heading) - n_fields + n_names :], n_fields)


def heading_and_values(handle: IO[str]) -> tuple[list[str], list[str]]:
    """Lines up to the heading, that line the last, and the first lines of values.

    Lines that start with ``#`` are comments; the last of them is the heading where it has as many fields as the values.
    """
    lines = [handle.readline()]
    while lines[-1].startswith("#"):
        lines.append(handle.readline())
    first = [handle.readline() for _ in range(_LOOKED_AT)]
    if len(lines) > 1 and _is_heading_of(lines[-2], lines[-1]):
        return [*lines[:-2], lines[-2].lstrip("# ")], [lines[-1], *first[:-1]]
    return lines, first


def _is_heading_of(comment: str, line: str) -> bool:
    """Tell whether a comment names the columns of a line of values: both have as many fields, and most of the values are numbers."""
    mark = _separator(line)
    values = [field.strip().strip('"') for field in line.split(mark)[1:]]
    are_numbers = sum(bool(_NUMBER.match(value)) for value in values) > len(values) / 2
    return are_numbers and comment.count(mark) in (line.count(mark), line.count(mark) - 1)


def _separator(line: str) -> str:
    """Tell what separates the fields of a line of values."""
    return max(_SEPARATORS, key=lambda mark: (line.count(mark), -_SEPARATORS.index(mark)))


def _n_blank_at_end(row: Sequence[str]) -> int:
    """Count the blank fields at the end of a line, which spreadsheets write."""
    return len(row) - max((at + 1 for at, field in enumerate(row) if field), default=0)


def describes(heading: Sequence[str]) -> bool:
    """Tell whether a heading names what describes cells or genes, so that the table holds no counts, or no more than one column.

    >>> describes(["cell", "nCount_RNA", "percent.mt"]), describes(["gene", "AACG-1", "AAGT-1"]), describes(["metric", "value"])
    (True, False, True)
    """
    return len(heading) < 3 or any(_DESCRIBES.match(re.sub(r"[^a-z0-9]", "", name.casefold())) for name in heading[1:])


def _n_names(rows: Sequence[Sequence[str]], n_fields: int) -> int:
    """How many columns of names stand before the values: the first, and a second of text."""
    second = [row[1] for row in rows if len(row) > 1 and row[1].casefold() not in _MISSING]
    return 2 if n_fields > 2 and second and not any(map(_NUMBER.match, second)) else 1


def _dense_values(path: Path, layout: _Layout) -> tuple[list[list[str]], Any]:
    """Columns of row names and CSR values, a chunk of rows at a time."""
    import pandas as pd
    from scipy import sparse

    n_names = len(layout.labels)
    names: list[list[str]] = [[] for _ in range(n_names)]
    parts = []
    options: dict[str, Any] = {
        "sep": layout.separator,
        "header": None,
        "skiprows": layout.n_skip,
        "converters": dict.fromkeys(range(n_names), _kept),
        "low_memory": False,
    }
    n_rows = max(1, min(_CHUNK_ROWS, _CHUNK_VALUES // layout.n_fields))
    with open_bytes(path) as handle, pd.read_csv(handle, chunksize=n_rows, **options) as chunks:
        for rows in chunks:
            blank = rows[0] == _kept("")
            chunk = rows[~blank | rows.iloc[:, n_names : layout.n_fields].notna().any(axis=1)] if blank.any() else rows
            for at in range(n_names):
                names[at].extend(name[1:] for name in chunk[at])
            parts.append(sparse.csr_matrix(_numbers(path, chunk.iloc[:, n_names : layout.n_fields], layout.columns)))
    return names, sparse.csr_matrix(sparse.vstack(parts))


def _kept(name: str) -> str:
    """Mark a name, lest pandas take a gene called NA for a missing one."""
    return f"={name.strip()}"


def _numbers(path: Path, chunk: Any, columns: Sequence[str]) -> np.ndarray:
    """Values of a chunk, all of them numbers."""
    for place, dtype in enumerate(chunk.dtypes):
        if getattr(dtype, "kind", "O") not in "fiu":
            example = next((value for value in chunk.iloc[:, place] if isinstance(value, str)), chunk.iloc[0, place])
            raise InputError(
                f"{path}: column {columns[place]!r} holds {example!r}, not a number: leave only names and counts in the table."
            )
    return np.asarray(chunk.to_numpy())


def _refuse_unnamed(path: Path, layout: _Layout, names: Sequence[str]) -> None:
    """Refuse a table whose first line or first column holds values: they would be taken for names."""
    corner = layout.labels[0]
    is_name = bool(corner) and (is_barcode(corner) or gene_evidence([corner]) > 0)
    for side, listed in (("rows", names), ("columns", layout.columns)):
        if all(map(_NUMBER.match, listed)) and (is_name or len(set(listed)) < len(listed)):
            raise InputError(
                f"{path}: the {side} are named by numbers that are values ({', '.join(listed[:3])}, ...): "
                f"the table lacks the names of its {side}; write it with them."
            )


def _refuse_described(path: Path, layout: _Layout, names: Sequence[Sequence[str]], *, genes_in_rows: bool) -> None:
    """Refuse columns and rows that describe genes or cells, and a second column of names that names no gene."""
    if len(names) > 1 and len(layout.columns) == 1:
        raise InputError(f"{path}: the table has one line for each gene and cell: give a matrix, genes x cells ({_WIDE}).")
    if len(names) > 1 and not (genes_in_rows and len(set(names[1])) >= _DISTINCT * len(names[1])):
        raise InputError(
            f"{path}: column {layout.labels[-1]!r} holds {names[1][0]!r}, not a number: leave only names and counts in the table."
        )
    for side, listed in (("column", layout.columns), ("row", names[0])):
        if found := [name for name in listed if _DESCRIBES.match(re.sub(r"[^a-z0-9]", "", name.casefold()))]:
            raise InputError(
                f"{path}: {side} {found[0]!r} describes genes or cells and holds no counts: leave only names and counts in the table."
            )


def _genes_in_rows(path: Path, rows: Sequence[str], columns: Sequence[str]) -> bool:
    """Tell from the names which side the genes stand on."""
    genes_in_rows, genes_in_columns = gene_evidence(rows), gene_evidence(columns)
    cells_in_rows, cells_in_columns = map(mostly_barcodes, (rows, columns))
    if cells_in_rows != cells_in_columns:
        return cells_in_columns
    if max(genes_in_rows, genes_in_columns) > 10 * min(genes_in_rows, genes_in_columns):
        return genes_in_rows > genes_in_columns
    raise InputError(
        f"{path}: the names do not tell genes from cells (rows: {', '.join(rows[:2])}, ...; columns: {', '.join(columns[:2])}, ...): "
        "name the genes by symbol or Ensembl id, or the cells by barcode."
    )
