"""Readers of text files: the 10x matrix triple and the dense table, plain or gzipped."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from scdiff.errors import InputError
from scdiff.steps.load.features import gene_evidence, is_barcode, named
from scdiff.steps.load.table import Table

__all__ = ["read_10x_mtx", "read_dense"]

_SEPARATORS = "\t,; "
_CHUNK_ROWS = 1000


def _open(path: Path) -> IO[str]:
    """Open a text, gzipped or not; a byte order mark is skipped."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def read_10x_mtx(files: Sequence[Path], matrix: str, species: str) -> Iterator[Table]:  # noqa: ARG001 all readers are called alike
    """Yield the matrix of the triple ``files``: matrix, barcodes, features.

    Raises
    ------
    InputError
        If the lists of cells and genes do not fit the matrix.
    """
    from scipy import sparse
    from scipy.io import mmread

    values = mmread(files[0], spmatrix=False)
    barcodes, features = (_lines(path) for path in files[1:3])
    turned = _is_turned(files, values.shape, len(barcodes), len(features))
    n_genes, n_cells = values.shape[::-1] if turned else values.shape
    headed = [path.name for path, extra in ((files[1], len(barcodes) - n_cells), (files[2], len(features) - n_genes)) if extra]
    barcodes, features = barcodes[len(barcodes) - n_cells :], features[len(features) - n_genes :]
    symbols = [line[1] if len(line) > 1 else line[0] for line in features]
    names = named(symbols, [line[0] for line in features])
    kinds = np.array([line[2] for line in features], dtype=object) if features and all(len(line) > 2 for line in features) else None
    cells = np.array([line[0] for line in barcodes], dtype=object)
    table = Table(sparse.csr_matrix(values if turned else values.T), cells, *names, kinds=kinds)
    table = table.repaired("The matrix stood cells x genes and was turned.") if turned else table
    yield (
        table.repaired(f"The first line of {' and '.join(headed)} was taken for a heading: the matrix has one entry less.")
        if headed
        else table
    )


def _lines(path: Path) -> list[list[str]]:
    """Tab-separated fields of every line that is not empty."""
    with _open(path) as handle:
        return [line.rstrip("\r\n").split("\t") for line in handle if line.strip()]


def _is_turned(files: Sequence[Path], shape: tuple[int, int], n_barcodes: int, n_features: int) -> bool:
    """Tell whether the matrix stands cells x genes; a heading line in either list is allowed for."""
    for turned, (n_genes, n_cells) in ((False, shape), (True, shape[::-1])):
        if n_features - n_genes in (0, 1) and n_barcodes - n_cells in (0, 1):
            return turned
    raise InputError(
        f"{files[0]}: the matrix has {shape[0]:,} x {shape[1]:,} entries, but {files[2].name} lists {n_features:,} genes "
        f"and {files[1].name} {n_barcodes:,} cells: the three files do not belong together, or one is truncated."
    )


@dataclass(frozen=True)
class _Layout:
    """How a dense text is laid out: lines before the values, separator, column names."""

    n_skip: int
    separator: str
    columns: list[str]


def read_dense(path: Path, matrix: str, species: str) -> Iterator[Table]:  # noqa: ARG001 all readers are called alike
    """Yield the matrix of a dense table, genes x cells or cells x genes, told from the names.

    Raises
    ------
    InputError
        If a column holds text, or the names do not tell genes from cells.
    """
    from scipy import sparse

    layout = _dense_layout(path)
    names, values = _dense_values(path, layout)
    rows, columns = np.array(names, dtype=object), np.array(layout.columns, dtype=object)
    if _genes_in_rows(path, names, layout.columns):
        yield Table(sparse.csr_matrix(values.T), columns, *named(rows, rows))
    else:
        yield Table(values, rows, *named(columns, columns))


def _dense_layout(path: Path) -> _Layout:
    """Read the heading and the first line of values."""
    with _open(path) as handle:
        lines = [handle.readline()]
        while lines[-1].startswith("#"):
            lines.append(handle.readline())
        first = handle.readline()
    separator = max(_SEPARATORS, key=lambda mark: (first.count(mark), -_SEPARATORS.index(mark)))
    heading, values = (next(csv.reader([line], delimiter=separator), []) for line in (lines[-1], first))
    if len(values) < 2:
        raise InputError(f"{path}: this is no table of values: the second line has {len(values)} fields.")
    if len(heading) - len(values) not in (0, -1):
        raise InputError(f"{path}: the heading names {len(heading):,} columns, but the first line of values has {len(values):,}.")
    return _Layout(len(lines), separator, [name.strip() for name in heading[len(heading) - len(values) + 1 :]])


def _dense_values(path: Path, layout: _Layout) -> tuple[list[str], Any]:
    """Row names and CSR values, a chunk of rows at a time."""
    import pandas as pd
    from scipy import sparse

    names: list[str] = []
    parts = []
    options: dict[str, Any] = {
        "sep": layout.separator,
        "header": None,
        "skiprows": layout.n_skip,
        "dtype": {0: object},
        "low_memory": False,
    }
    with pd.read_csv(path, chunksize=_CHUNK_ROWS, **options) as chunks:
        for chunk in chunks:
            names.extend(chunk[0].fillna("NA").astype(str))
            parts.append(sparse.csr_matrix(_numbers(path, chunk.iloc[:, 1:], layout.columns)))
    return names, sparse.csr_matrix(sparse.vstack(parts))


def _numbers(path: Path, chunk: Any, columns: Sequence[str]) -> np.ndarray:
    """Values of a chunk, all of them numbers."""
    for place, dtype in enumerate(chunk.dtypes):
        if getattr(dtype, "kind", "O") not in "fiu":
            example = next((value for value in chunk.iloc[:, place] if isinstance(value, str)), chunk.iloc[0, place])
            raise InputError(
                f"{path}: column {columns[place]!r} holds {example!r}, not a number: leave only names and counts in the table."
            )
    return np.asarray(chunk.to_numpy())


def _genes_in_rows(path: Path, rows: Sequence[str], columns: Sequence[str]) -> bool:
    """Tell from the names which side the genes stand on."""
    genes_in_rows, genes_in_columns = gene_evidence(rows), gene_evidence(columns)
    cells_in_rows, cells_in_columns = (sum(map(is_barcode, names)) > len(names) / 2 for names in (rows, columns))
    if cells_in_rows != cells_in_columns:
        return cells_in_columns
    if max(genes_in_rows, genes_in_columns) > 10 * min(genes_in_rows, genes_in_columns):
        return genes_in_rows > genes_in_columns
    raise InputError(
        f"{path}: the names do not tell genes from cells (rows: {', '.join(rows[:2])}, ...; columns: {', '.join(columns[:2])}, ...): "
        "name the genes by symbol or Ensembl id, or the cells by barcode."
    )
