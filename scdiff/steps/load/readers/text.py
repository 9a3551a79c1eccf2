"""Reader of the 10x matrix triple, plain or gzipped, with genes in rows or in columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np

from scdiff.errors import InputError
from scdiff.steps.load.checks.features import is_common
from scdiff.steps.load.checks.parts import (
    AMBIGUOUS,
    SPLICED,
    UNSPLICED,
    detect_part,
    merge_matrices,
)
from scdiff.steps.load.readers.lists import (
    drop_header,
    read_about_cells,
    read_cells,
    read_genes,
    read_rows,
)
from scdiff.steps.load.readers.registry import READERS
from scdiff.steps.load.source import Source
from scdiff.steps.load.stream import most_bytes, open_bytes
from scdiff.steps.load.table import Hold, Table

__all__ = ["read_10x_mtx"]

_BLOCK = 1 << 20
"""Bytes read at a time (1 MiB). Chosen, not tuned."""

_NUMBERS = b"0123456789+-.eEnaifNAIF \t\r\n"
"""Characters that numbers of a matrix consist of."""

_BYTES_PER_ENTRY = 2
"""Smallest number of bytes of an entry: a digit and a line break."""

_NOT_COUNTS = ("pattern", "complex", "symmetric", "hermitian", "skew-symmetric")
"""Words in the header of matrices that are not counts of genes in cells."""

_SHARED = re.compile(r"UniqueAndMult-", re.IGNORECASE)
"""Name of matrices of STAR in which genes share reads."""

_OF_PARTS = 5
"""Number of fields of an entry with row, column and the values of three parts."""

_ENOUGH_COMMON, _HIGH = 5, 0.7
"""Number of genes that nearly every cell expresses, needed to find the orientation of a square
matrix; and the median rank among all genes, 0-1, above which these genes must be. Chosen, not
tuned."""


@READERS.register(
    "10x mtx",
    summary="Matrix, barcodes and features, plain or gzipped.",
    source="https://www.10xgenomics.com/support/software/cell-ranger/latest/analysis/outputs/cr-outputs-mex-matrices",
    facts={"lazy": False},
)
def read_10x_mtx(source: Source, matrix: str, species: str, hold: Hold) -> Iterator[Table]:  # noqa: ARG001 all readers have these arguments
    """Yield the matrix of the triple ``files``: matrix, barcodes, features.

    Triples of parts of the counts may follow.

    Raises
    ------
    InputError
        If the lists of cells and genes do not fit the matrix.
    """
    files = source.files
    tables: list[Table] = []
    parts: list[str] = []
    for start in range(0, len(files), 3):
        for part, values in _read_matrices(files[start]):
            tables.append(_add_lists(files[start : start + 3], values))
            parts.append(part)
    yield merge_matrices(tables, parts, matrix)


def _read_matrices(path: Path) -> list[tuple[str, Any]]:
    """Read the matrices of a file, each with the name of its part of the counts.

    The name is empty for all counts. STAR before 2.7.9 writes three values per line to
    ``Velocyto/matrix.mtx``: spliced, unspliced and ambiguous counts.

    Raises
    ------
    InputError
        If the matrix is damaged or holds no counts.
    """
    from scipy.io import mmread

    checked, fields = _check_matrix(path), _read_first_entry(path)
    if len(fields) == _OF_PARTS:
        return list(zip((SPLICED, UNSPLICED, AMBIGUOUS), _read_parts(path), strict=True))
    values = mmread(checked, spmatrix=False)
    if _SHARED.search(path.name) and np.any(getattr(values, "data", values) % 1):
        raise InputError(
            f"{path}: the matrix shares reads among genes and holds fractions. "
            "Give matrix.mtx in the same folder."
        )
    return [(detect_part(path.name), values)]


def _read_first_entry(path: Path) -> list[bytes]:
    """Read the fields of the first entry of a sparse matrix; return nothing for a dense one.

    Raises
    ------
    InputError
        If they are neither row, column and value nor row, column and the values of three parts.
    """
    with open_bytes(path) as handle:
        heading = _read_header(handle)
        fields = handle.readline().split()
    if len(heading[-1].split()) != 3 or not fields:
        return []
    if len(fields) not in (3, _OF_PARTS):
        raise InputError(
            f"{path}: an entry of the matrix has {len(fields)} fields, not row, column and value. "
            "Give the matrix of counts, matrix.mtx."
        )
    return fields


def _read_parts(path: Path) -> list[Any]:
    """Read the three matrices of a file whose entries have three values."""
    import pandas as pd
    from scipy import sparse

    with open_bytes(path) as handle:
        sizes = _read_header(handle)[-1].split()
        entries = pd.read_csv(handle, sep=r"\s+", header=None).to_numpy()
    place = entries[:, 0].astype(int) - 1, entries[:, 1].astype(int) - 1
    shape = int(sizes[0]), int(sizes[1])
    return [
        sparse.coo_array((entries[:, column], place), shape=shape) for column in range(2, _OF_PARTS)
    ]


def _read_header(handle: IO[bytes]) -> list[bytes]:
    """Read the header lines of a matrix, up to the line with its sizes."""
    heading = [handle.readline()]
    while heading[-1].startswith(b"%") or heading[-1].isspace():
        heading.append(handle.readline())
    return heading


def _add_lists(files: Sequence[Path], values: Any) -> Table:
    """Combine one matrix with its lists.

    Raises
    ------
    InputError
        If the lists of cells and genes do not fit the matrix.
    """
    from scipy import sparse

    cell_rows, gene_rows = (read_rows(path) for path in files[1:3])
    heading, turned = (cell_rows or [[]])[0], _is_by_cell(files, values, cell_rows, gene_rows)
    n_genes, n_cells = values.shape[::-1] if turned else values.shape
    (cell_rows, cells_headed), (gene_rows, genes_headed) = (
        drop_header(path, rows, n)
        for path, rows, n in ((files[1], cell_rows, n_cells), (files[2], gene_rows, n_genes))
    )
    listed = read_genes(gene_rows)
    entries = sparse.csr_matrix(values if turned else values.T)
    obs = read_about_cells(heading, cell_rows) if cells_headed else None
    table = Table(
        entries, read_cells(cell_rows), listed.symbols, listed.gene_ids, kinds=listed.kinds, obs=obs
    )
    if turned:
        table = table.repaired("The matrix had cells in rows and was transposed.")
    headed = {files[1].name: cells_headed, files[2].name: genes_headed}
    names = " and ".join(name for name, is_headed in headed.items() if is_headed)
    if names:
        table = table.repaired(
            f"The first line of {names} was read as a header: the matrix has one entry less."
        )
    return table


def _check_matrix(path: Path) -> Path | BytesIO:
    """Return the matrix in a form that ``mmread`` reads safely.

    ``mmread`` crashes on characters that are not in numbers, and on more lines than stated.

    Raises
    ------
    InputError
        If the header states no counts, or the number of lines differs from the stated one.
    """
    zipped, parts = path.suffix.lower() == ".gz", []
    with open_bytes(path) as handle:
        heading = _read_header(handle)
        n_stated = _read_size(path, heading[0].decode("utf-8", "replace"), heading[-1].split())
        n_lines = blank = 0
        while block := handle.read(_BLOCK):
            if odd := block.translate(None, _NUMBERS):
                raise InputError(
                    f"{path}: the matrix holds {chr(odd[0])!r} among its numbers. "
                    "It is damaged; copy or download it again."
                )
            filled = block.rstrip()
            n_lines += (blank + filled.count(b"\n")) if filled else 0
            blank = block[len(filled) :].count(b"\n") + (0 if filled else blank)
            parts += [block] if zipped else []
    if n_stated is not None and n_lines + 1 != max(n_stated, 1):
        how = "the file is truncated" if n_lines + 1 < n_stated else "it is damaged"
        raise InputError(
            f"{path}: the header states {n_stated:,} entries, but {n_lines + 1:,} lines follow: "
            f"{how}. Copy or download it again."
        )
    return BytesIO(b"".join([*heading, *parts])) if zipped else path


def _read_size(path: Path, heading: str, sizes: Sequence[bytes]) -> int | None:
    """Return the number of entries that the header states; None for a dense matrix.

    Raises
    ------
    InputError
        If it is not a matrix of counts, or claims more than the file can hold.
    """
    words = heading.casefold().split()
    if odd := [word for word in words if word in _NOT_COUNTS]:
        raise InputError(
            f"{path}: the matrix is {odd[0]}: it holds no counts of genes in cells. "
            "Give the raw counts."
        )
    has_sizes = len(sizes) in (2, 3) and all(size.isdigit() for size in sizes)
    if words[:2] != ["%%matrixmarket", "matrix"] or not has_sizes:
        raise InputError(
            f"{path}: this is not a matrix in the Matrix Market format (its header is "
            f"{heading.strip()[:60]!r}). Check whether it is damaged."
        )
    claimed = int(sizes[-1]) if len(sizes) == 3 else int(sizes[0]) * int(sizes[1])
    is_packed = path.suffix.lower() == ".gz"
    if claimed * _BYTES_PER_ENTRY > (most_bytes(path) if is_packed else path.stat().st_size):
        raise InputError(
            f"{path}: the header claims {claimed:,} entries, more than the file can hold. "
            "The file is damaged or truncated; copy or download it again."
        )
    return claimed if len(sizes) == 3 else None


def _is_by_cell(
    files: Sequence[Path], values: Any, cell_rows: Sequence[Any], gene_rows: Sequence[Sequence[str]]
) -> bool:
    """Check whether rows are cells and columns are genes. Either list may have a header line.

    Raises
    ------
    InputError
        If the lists do not fit the matrix, or its orientation is ambiguous.
    """
    n_cells, n_genes = len(cell_rows), len(gene_rows)
    over = {
        turned: (n_genes - shape[0], n_cells - shape[1])
        for turned, shape in ((False, values.shape), (True, values.shape[::-1]))
    }
    fits = [turned for turned, extra in over.items() if set(extra) <= {0, 1}]
    exact = [turned for turned in fits if over[turned] == (0, 0)]
    if len(fits) == 1 or len(exact) == 1:
        return (exact or fits)[0]
    if fits:
        return _is_square_by_cell(files[0], values, gene_rows)
    raise InputError(
        f"{files[0]}: the matrix has {values.shape[0]:,} x {values.shape[1]:,} entries, but "
        f"{files[2].name} lists {n_genes:,} genes and {files[1].name} {n_cells:,} cells. "
        "The three files do not belong together, or one is truncated."
    )


def _is_square_by_cell(path: Path, values: Any, gene_rows: Sequence[Sequence[str]]) -> bool:
    """Check whether the rows of a square matrix are cells.

    Genes that every cell expresses rank high among all genes, in the right orientation only.

    Raises
    ------
    InputError
        If there are too few such genes, or they rank high in both orientations or in none.
    """
    rows = enumerate(gene_rows[: min(values.shape)])
    common = [at for at, row in rows if any(map(is_common, row))]
    ranks = [_compute_rank(np.asarray(values.sum(axis=axis)).ravel(), common) for axis in (1, 0)]
    if len(common) < _ENOUGH_COMMON or min(ranks) > _HIGH or max(ranks) < _HIGH:
        raise InputError(
            f"{path}: the matrix is square ({values.shape[0]:,} x {values.shape[1]:,}), so its "
            "shape does not distinguish genes from cells. Leave one cell out, or give it as h5ad."
        )
    return ranks[1] > ranks[0]


def _compute_rank(totals: np.ndarray, chosen: Sequence[int]) -> float:
    """Compute the median rank of the chosen totals among all, 0-1; 0.5 without chosen ones.

    It is about 0.5 if they are like the others.
    """
    from scipy.stats import rankdata

    return float(np.median(rankdata(totals)[list(chosen)] / len(totals))) if chosen else 0.5
