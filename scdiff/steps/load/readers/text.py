"""Reader of the 10x matrix triple, plain or gzipped, either way round."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np

from scdiff.errors import InputError
from scdiff.steps.load.checks.features import is_common
from scdiff.steps.load.checks.parts import AMBIGUOUS, SPLICED, UNSPLICED, merge_matrices, part_of
from scdiff.steps.load.readers.lists import about_cells, read_cells, read_genes, read_rows, without_heading
from scdiff.steps.load.readers.registry import READERS
from scdiff.steps.load.source import Source
from scdiff.steps.load.stream import most_bytes, open_bytes
from scdiff.steps.load.table import Hold, Table

__all__ = ["read_10x_mtx"]

_BLOCK = 1 << 20
_NUMBERS = b"0123456789+-.eEnaifNAIF \t\r\n"
_BYTES_PER_ENTRY = 2
_SHARED = re.compile(r"UniqueAndMult-", re.IGNORECASE)
_OF_PARTS = 5
"""Fields of an entry with row, column and the values of three parts."""

_ENOUGH_COMMON, _HIGH = 5, 0.7
"""Genes that nearly every cell expresses: so many are needed to tell a square matrix, by a median rank above this."""


@READERS.register(
    "10x mtx",
    summary="Matrix, barcodes and features, plain or gzipped.",
    source="https://www.10xgenomics.com/support/software/cell-ranger/latest/analysis/outputs/cr-outputs-mex-matrices",
    facts={"lazy": False},
)
def read_10x_mtx(source: Source, matrix: str, species: str, hold: Hold) -> Iterator[Table]:  # noqa: ARG001 all readers are called alike
    """Yield the matrix of the triple ``files``: matrix, barcodes, features; triples of parts of the counts may follow.

    Raises
    ------
    InputError
        If the lists of cells and genes do not fit the matrix.
    """
    files = source.files
    read = [
        (part, _with_lists(files[start : start + 3], values))
        for start in range(0, len(files), 3)
        for part, values in _matrices(files[start])
    ]
    yield merge_matrices([table for _, table in read], [part for part, _ in read], matrix)


def _matrices(path: Path) -> list[tuple[str, Any]]:
    """Read the matrices of a file, each with the part of the counts that it holds, empty for all.

    STAR before 2.7.9 writes three values a line into ``Velocyto/matrix.mtx``: spliced, unspliced and ambiguous counts.

    Raises
    ------
    InputError
        If the matrix is damaged or holds no counts.
    """
    from scipy.io import mmread

    checked, fields = _checked(path), _entry(path)
    if len(fields) == _OF_PARTS:
        return list(zip((SPLICED, UNSPLICED, AMBIGUOUS), _read_parts(path), strict=True))
    values = mmread(checked, spmatrix=False)
    if _SHARED.search(path.name) and np.any(getattr(values, "data", values) % 1):
        raise InputError(f"{path}: the matrix shares reads among genes and holds fractions: give matrix.mtx, which stands beside it.")
    return [(part_of(path.name), values)]


def _entry(path: Path) -> list[bytes]:
    """Read the fields of the first entry of a matrix of entries; none where a line follows for each place.

    Raises
    ------
    InputError
        If they are neither row, column and value nor row, column and the values of three parts.
    """
    with open_bytes(path) as handle:
        heading = _heading(handle)
        fields = handle.readline().split()
    if len(heading[-1].split()) != 3 or not fields:
        return []
    if len(fields) not in (3, _OF_PARTS):
        raise InputError(
            f"{path}: an entry of the matrix has {len(fields)} fields, not row, column and value: give the matrix of counts, matrix.mtx."
        )
    return fields


def _read_parts(path: Path) -> list[Any]:
    """Read the three matrices of entries with three values."""
    import pandas as pd
    from scipy import sparse

    with open_bytes(path) as handle:
        sizes = _heading(handle)[-1].split()
        entries = pd.read_csv(handle, sep=r"\s+", header=None).to_numpy()
    place, shape = (entries[:, 0].astype(int) - 1, entries[:, 1].astype(int) - 1), (int(sizes[0]), int(sizes[1]))
    return [sparse.coo_array((entries[:, column], place), shape=shape) for column in range(2, _OF_PARTS)]


def _heading(handle: IO[bytes]) -> list[bytes]:
    """Read the lines of a matrix up to that of its sizes."""
    heading = [handle.readline()]
    while heading[-1].startswith(b"%") or heading[-1].isspace():
        heading.append(handle.readline())
    return heading


def _with_lists(files: Sequence[Path], values: Any) -> Table:
    """Join one matrix with its lists.

    Raises
    ------
    InputError
        If the lists of cells and genes do not fit the matrix.
    """
    from scipy import sparse

    cell_rows, gene_rows = (read_rows(path) for path in files[1:3])
    heading, turned = (cell_rows or [[]])[0], _is_turned(files, values, cell_rows, gene_rows)
    n_genes, n_cells = values.shape[::-1] if turned else values.shape
    (cell_rows, cells_headed), (gene_rows, genes_headed) = (
        without_heading(path, rows, n) for path, rows, n in ((files[1], cell_rows, n_cells), (files[2], gene_rows, n_genes))
    )
    listed = read_genes(gene_rows)
    entries = sparse.csr_matrix(values if turned else values.T)
    obs = about_cells(heading, cell_rows) if cells_headed else None
    table = Table(entries, read_cells(cell_rows), listed.symbols, listed.gene_ids, kinds=listed.kinds, obs=obs)
    table = table.repaired("The matrix stood cells x genes and was turned.") if turned else table
    headed = [path.name for path, taken in ((files[1], cells_headed), (files[2], genes_headed)) if taken]
    taken = f"The first line of {' and '.join(headed)} was taken for a heading: the matrix has one entry less."
    return table.repaired(taken) if headed else table


def _checked(path: Path) -> Path | BytesIO:
    """Give the matrix as ``mmread`` takes it without harm: it dies of signs that are no numbers, and of more lines than are stated.

    Raises
    ------
    InputError
        If the heading says that it holds no counts, or other lines follow than it states.
    """
    zipped, parts = path.suffix.lower() == ".gz", []
    with open_bytes(path) as handle:
        heading = _heading(handle)
        n_stated = _stated(path, heading[0].decode("utf-8", "replace"), heading[-1].split())
        n_lines = blank = 0
        while block := handle.read(_BLOCK):
            if odd := block.translate(None, _NUMBERS):
                raise InputError(f"{path}: the matrix holds {chr(odd[0])!r} among its numbers: it is damaged, copy or download it again.")
            filled = block.rstrip()
            n_lines += (blank + filled.count(b"\n")) if filled else 0
            blank = block[len(filled) :].count(b"\n") + (0 if filled else blank)
            parts += [block] if zipped else []
    if n_stated is not None and n_lines + 1 != max(n_stated, 1):
        how = "the file is truncated" if n_lines + 1 < n_stated else "it is damaged"
        raise InputError(
            f"{path}: the heading states {n_stated:,} entries, but {n_lines + 1:,} lines follow: {how}. Copy or download it again."
        )
    return BytesIO(b"".join([*heading, *parts])) if zipped else path


def _stated(path: Path, heading: str, sizes: Sequence[bytes]) -> int | None:
    """How many entries the heading states; None where a line follows for each place, with or without an entry."""
    words = heading.casefold().split()
    if odd := [word for word in words if word in ("pattern", "complex", "symmetric", "hermitian", "skew-symmetric")]:
        raise InputError(f"{path}: the matrix is {odd[0]}: it holds no counts of genes in cells. Give the raw counts.")
    if words[:2] != ["%%matrixmarket", "matrix"] or len(sizes) not in (2, 3) or not all(size.isdigit() for size in sizes):
        raise InputError(f"{path}: this is no matrix in the Matrix Market format (its heading is {heading.strip()[:60]!r}): is it damaged?")
    claimed = int(sizes[-1]) if len(sizes) == 3 else int(sizes[0]) * int(sizes[1])
    if claimed * _BYTES_PER_ENTRY > (most_bytes(path) if path.suffix.lower() == ".gz" else path.stat().st_size):
        raise InputError(f"{path}: the heading claims {claimed:,} entries, more than the file can hold: it is damaged or cut off.")
    return claimed if len(sizes) == 3 else None


def _is_turned(files: Sequence[Path], values: Any, cell_rows: Sequence[Any], gene_rows: Sequence[Sequence[str]]) -> bool:
    """Tell whether the matrix stands cells x genes; a heading line in either list is allowed for."""
    n_cells, n_genes = len(cell_rows), len(gene_rows)
    over = {turned: (n_genes - shape[0], n_cells - shape[1]) for turned, shape in ((False, values.shape), (True, values.shape[::-1]))}
    fits = [turned for turned, extra in over.items() if set(extra) <= {0, 1}]
    exact = [turned for turned in fits if over[turned] == (0, 0)]
    if len(fits) == 1 or len(exact) == 1:
        return (exact or fits)[0]
    if fits:
        return _is_turned_square(files[0], values, gene_rows)
    raise InputError(
        f"{files[0]}: the matrix has {values.shape[0]:,} x {values.shape[1]:,} entries, but {files[2].name} lists {n_genes:,} genes "
        f"and {files[1].name} {n_cells:,} cells: the three files do not belong together, or one is truncated."
    )


def _is_turned_square(path: Path, values: Any, gene_rows: Sequence[Sequence[str]]) -> bool:
    """Tell the orientation of a square matrix by the genes that every cell expresses: they rank high among all genes.

    Raises
    ------
    InputError
        If too few of them are there, or they rank high either way.
    """
    common = [at for at, row in enumerate(gene_rows[: min(values.shape)]) if any(map(is_common, row))]
    ranks = [_rank(np.asarray(values.sum(axis=axis)).ravel(), common) for axis in (1, 0)]
    if len(common) < _ENOUGH_COMMON or min(ranks) > _HIGH or max(ranks) < _HIGH:
        raise InputError(
            f"{path}: the matrix is square ({values.shape[0]:,} x {values.shape[1]:,}), so its shape does not tell genes from cells: "
            "leave one cell out, or give it as h5ad."
        )
    return ranks[1] > ranks[0]


def _rank(totals: np.ndarray, chosen: Sequence[int]) -> float:
    """Median rank of the chosen totals among all, 0-1; a half where they are like the others."""
    from scipy.stats import rankdata

    return float(np.median(rankdata(totals)[list(chosen)] / len(totals))) if chosen else 0.5
