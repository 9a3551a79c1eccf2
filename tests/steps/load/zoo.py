"""The zoo: every layout that single-cell counts are handed out in, each with the matrix that must be loaded or the refusal that must come.

The counts are real ones where the real data sets are beside the repository (60 sorted blood cells, 300 genes), else simulated.
``tests/steps/load/test_zoo.py`` loads every variant; ``tests/benchmarks/bench_zoo.py`` counts what was loaded exactly.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import itertools
import lzma
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
from scipy import sparse

SHARED_DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
N_CELLS, N_GENES = 60, 300
GZ, PLAIN = ".gz", ""
KIND = "Gene Expression"


# ---------------------------------------------------------------- the truth


@dataclass(frozen=True)
class Truth:
    """Counts (cells x genes, int64) with the names of cells and genes."""

    counts: np.ndarray
    cells: tuple[str, ...]
    symbols: tuple[str, ...]
    ids: tuple[str, ...]

    def part(self, cells: slice) -> Truth:
        """Some of the cells."""
        return Truth(self.counts[cells], self.cells[cells], self.symbols, self.ids)

    def frame(self, genes: str = "symbols") -> pd.DataFrame:
        """Cells x genes, as they must be loaded."""
        return pd.DataFrame(self.counts, index=list(self.cells), columns=list(getattr(self, genes)))


@cache
def truth() -> Truth:
    """Real counts where there are any, else simulated ones; cells are named as 10x names them."""
    adata = _real() if SHARED_DATA.is_dir() else _simulated()
    order = np.argsort(-np.asarray((adata.X > 0).sum(axis=0)).ravel(), kind="stable")[:N_GENES]
    small = adata[:N_CELLS, np.sort(order)]
    ids = (
        small.var["ensembl_id"].astype(str)
        if "ensembl_id" in small.var
        else [f"ENSG{number:011d}" for number in range(N_GENES)]
    )
    return Truth(
        small.X.toarray().astype(np.int64),
        tuple(barcodes(N_CELLS)),
        tuple(small.var_names),
        tuple(ids),
    )


def _real() -> anndata.AnnData:
    return anndata.read_h5ad(SHARED_DATA / "pbmc_facs_human.h5ad")


def _simulated() -> anndata.AnnData:
    from scdiff.simulate import BatchDesign, simulate

    drawn = simulate(
        n_cells=N_CELLS,
        fraction=0.2,
        depth=3_000,
        contamination=0.05,
        design=BatchDesign(n_genes=450),
        seed=1,
    )
    drawn.X = sparse.csr_matrix(drawn.layers["counts"])
    return drawn


def barcodes(n_cells: int, suffix: str = "-1") -> list[str]:
    """Barcodes of 16 bases, all different."""
    letters, rng = np.array(list("ACGT")), np.random.default_rng(7)
    return [f"{''.join(letters[rng.integers(0, 4, 16)])}{suffix}" for _ in range(n_cells)]


def fault(loaded: anndata.AnnData, expected: Mapping[str, pd.DataFrame]) -> str:
    """What differs between a loaded object and the truth, by sample, cell and gene names as in the file; empty for nothing."""
    samples = loaded.obs["sample"].astype(str).to_numpy()
    if set(samples) != set(expected):
        return f"samples {sorted(set(samples))} instead of {sorted(expected)}"
    for name, frame in expected.items():
        inside = samples == name
        cells = [cell.removeprefix(f"{name}:") for cell in loaded.obs_names[inside]]
        found = pd.DataFrame(
            loaded.layers["counts"][inside].toarray(),
            index=cells,
            columns=loaded.var["name_in_file"],
        )
        if sorted(found.index) != sorted(frame.index):
            return f"{name}: cells {cells[:2]} ({len(cells)}) instead of {list(frame.index[:2])} ({len(frame)})"
        if sorted(found.columns) != sorted(frame.columns):
            return f"{name}: genes {list(found.columns[:2])} ({found.shape[1]}) instead of {list(frame.columns[:2])} ({frame.shape[1]})"
        if not np.array_equal(found.loc[frame.index, frame.columns].to_numpy(), frame.to_numpy()):
            return f"{name}: counts differ"
    return ""


@dataclass(frozen=True)
class Variant:
    """One layout: how it is written, and what must come of it.

    ``write`` gets an empty folder and returns what is given to ``load``. With ``refusal`` (a regular expression of the
    sentence that must come) there is nothing to expect; ``names`` is what the sentence must name.
    """

    family: str
    name: str
    write: Callable[[Path], Any]
    expected: Callable[[], Mapping[str, pd.DataFrame]] | None = None
    refusal: str = ""
    names: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.family}: {self.name}"


# ---------------------------------------------------------------- writers


def put(path: Path, data: bytes | str) -> Path:
    """Write a file, gzipped if its name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = data.encode() if isinstance(data, str) else data
    path.write_bytes(gzip.compress(data, 1) if path.suffix == GZ else data)
    return path


def mtx(values: np.ndarray, field_name: str = "integer") -> str:
    """Text of a matrix as it stands (rows x columns)."""
    rows, columns = np.nonzero(values)
    order = np.lexsort((rows, columns))
    lines = [f"{rows[at] + 1} {columns[at] + 1} {values[rows[at], columns[at]]}" for at in order]
    heading = f"%%MatrixMarket matrix coordinate {field_name} general\n%made by hand\n{values.shape[0]} {values.shape[1]} {len(lines)}\n"
    return heading + "\n".join(lines) + "\n"


def lines(rows: Iterable[Sequence[str]], separator: str = "\t", end: str = "\n") -> str:
    """Text of a list with one or several columns."""
    return "".join(separator.join(row) + end for row in rows)


def gene_rows(of: Truth, columns: str) -> list[tuple[str, ...]]:
    """Rows of a list of genes; ``columns`` says what stands in each: i(d), s(ymbol), k(ind), c(hromosome), v(ersioned id)."""
    parts = {
        "i": of.ids,
        "s": of.symbols,
        "k": [KIND] * len(of.ids),
        "c": [f"chr{number % 5}" for number in range(len(of.ids))],
        "v": [f"{name}.{number % 9 + 1}" for number, name in enumerate(of.ids)],
        "n": [str(number * 3 % 1000) for number in range(len(of.ids))],
    }
    return list(zip(*(parts[letter] for letter in columns), strict=True))


def write_triple(
    folder: Path,
    of: Truth | None = None,
    *,
    prefix: str = "",
    names: tuple[str, str, str] = ("matrix.mtx", "barcodes.tsv", "features.tsv"),
    zipped: str = GZ,
    columns: str = "isk",
    turned: bool = False,
    end: str = "\n",
    field_name: str = "integer",
    headings: tuple[str, str] = ("", ""),
    extra: Sequence[str] = (),
    without: Sequence[int] = (),
) -> Path:
    """Write matrix, barcodes and features; return the folder."""
    of = of or truth()
    values = of.counts if turned else of.counts.T
    separators = ["," if name.endswith(".csv") else "\t" for name in names]
    cells = headings[0] + lines(((cell, *extra) for cell in of.cells), separators[1], end)
    genes = headings[1] + lines(gene_rows(of, columns), separators[2], end)
    for place, text in enumerate((mtx(values, field_name), cells, genes)):
        if place not in without:
            put(folder / f"{prefix}{names[place]}{zipped}", text)
    return folder


def write_dense(
    path: Path,
    of: Truth | None = None,
    *,
    values: np.ndarray | None = None,
    separator: str = ",",
    genes_in_rows: bool = True,
    corner: str | None = "",
    quoted: bool = False,
    names: Sequence[str] = ("symbols",),
    end: str = "\n",
    extra: Mapping[str, Sequence[Any]] | None = None,
) -> Path:
    """Write a table; ``corner`` None leaves it out of the heading, as R does. ``extra`` columns come after the names."""
    of = of or truth()
    genes = list(zip(*(getattr(of, name) for name in names), strict=True))
    values = of.counts if values is None else values
    rows, columns = (
        (genes, [(cell,) for cell in of.cells])
        if genes_in_rows
        else ([(cell,) for cell in of.cells], genes)
    )
    values, extra = (values.T if genes_in_rows else values), dict(extra or {})
    heading = (
        []
        if corner is None
        else [corner, *(["gene_symbol", "c"][: len(names) - 1] if genes_in_rows else [])]
    )
    out = io.StringIO()
    write = csv.writer(
        out,
        delimiter=separator,
        lineterminator=end,
        quoting=csv.QUOTE_NONNUMERIC if quoted else csv.QUOTE_MINIMAL,
    )
    write.writerow([*heading, *extra, *(column[0] for column in columns)])
    for at, (row, numbers) in enumerate(zip(rows, values.tolist(), strict=True)):
        write.writerow([*row, *(column[at] for column in extra.values()), *numbers])
    return put(path, out.getvalue())


def write_10x_h5(
    path: Path,
    of: Truth | None = None,
    *,
    version: int = 3,
    genomes: Sequence[str] = (),
    extra: int = 0,
    **parts: Any,
) -> Path:
    """Write a 10x h5; ``extra`` antibodies or peaks come after the genes, of the type ``kind``."""
    of = of or truth()
    path.parent.mkdir(parents=True, exist_ok=True)
    others = np.random.default_rng(3).integers(0, 50, (len(of.cells), extra))
    values = parts.get("values", of.counts)
    matrix = sparse.csr_matrix(np.hstack([values, others]) if extra else values)
    symbols, ids = (
        [*of.symbols, *(f"CD{at}" for at in range(extra))],
        [*of.ids, *(f"ab{at}" for at in range(extra))],
    )
    with h5py.File(path, "w") as handle:
        if version == 3:
            kinds = [KIND] * len(of.ids) + [parts.get("kind", "Antibody Capture")] * extra
            places = {
                "features/id": ids,
                "features/name": symbols,
                "features/feature_type": kinds,
                "features/genome": ["GRCh38"] * len(ids),
            }
            _10x_group(handle.create_group("matrix"), matrix, of.cells, places)
        for at, genome in enumerate(genomes):
            kept = matrix if at == 0 else sparse.csr_matrix(matrix.shape, dtype=matrix.dtype)
            _10x_group(
                handle.create_group(genome), kept, of.cells, {"genes": ids, "gene_names": symbols}
            )
    return path


def _10x_group(
    group: h5py.Group, matrix: Any, cells: Sequence[str], names: Mapping[str, Sequence[str]]
) -> None:
    for name in ("data", "indices", "indptr"):
        group.create_dataset(name, data=getattr(matrix, name), compression="gzip")
    group["shape"] = np.array(matrix.shape[::-1])
    for name, values in {"barcodes": cells, **names}.items():
        group[name] = np.array(list(values), dtype="S")


STORED = {
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_matrix,
    "dense": lambda values: np.asarray(values.toarray() if sparse.issparse(values) else values),
}


def annotated(
    of: Truth | None = None,
    *,
    stored: str = "csr",
    place: str = "X",
    by: str = "symbols",
    values: Any = None,
) -> anndata.AnnData:
    """The truth as AnnData: counts in X, in raw, in ``layers["counts"]`` or in another layer; X is then log-normalised."""
    of = of or truth()
    other = {"symbols": "ids", "ids": "symbols"}[by]
    column = {"ids": "gene_ids", "symbols": "gene_symbols"}[other]
    var = pd.DataFrame({column: list(getattr(of, other))}, index=list(getattr(of, by)))
    counts = STORED[stored]((of.counts if values is None else values).astype(np.float32))
    adata = anndata.AnnData(
        counts,
        obs=pd.DataFrame({"batch": ["a", "b"] * (len(of.cells) // 2)}, index=list(of.cells)),
        var=var,
    )
    if place != "X":
        logged = STORED[stored](sparse.csr_matrix(log_normalised(of.counts).astype(np.float32)))
        raw = adata.copy()
        adata.X = logged
        if place == "raw":
            adata.raw = raw
        else:
            adata.layers[place] = counts
    return adata


def write_h5ad(path: Path, adata: anndata.AnnData) -> Path:
    """Write with the current anndata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    adata.write_h5ad(path)
    return path


def write_h5ad_06(
    path: Path, of: Truth | None = None, *, stored: str = "csr", place: str = "X"
) -> Path:
    """Write as anndata before 0.7 did: frames as record arrays, matrices with the attributes of h5sparse."""
    of = of or truth()
    path.parent.mkdir(parents=True, exist_ok=True)
    names, ids = np.array(of.symbols, dtype="S"), np.array(of.ids, dtype="S")
    var = np.array(
        list(zip(names, ids, strict=True)), dtype=[("index", names.dtype), ("gene_ids", ids.dtype)]
    )
    cells = np.array(of.cells, dtype="S")
    obs = np.array(
        [(cell, at % 2) for at, cell in enumerate(cells)],
        dtype=[("index", cells.dtype), ("batch", "i8")],
    )
    with h5py.File(path, "w") as handle:
        handle["obs"], handle["var"] = obs, var
        _matrix_06(handle, "X", of.counts if place == "X" else log_normalised(of.counts), stored)
        if place == "raw":
            _matrix_06(handle, "raw.X", of.counts, stored)
            handle["raw.var"] = var
        if place not in ("X", "raw"):
            handle.create_group("layers")
            _matrix_06(handle, f"layers/{place}", of.counts, stored)
    return path


def _matrix_06(handle: h5py.File, name: str, values: np.ndarray, stored: str) -> None:
    if stored == "dense":
        handle[name] = values.astype(np.float32)
        return
    matrix = STORED[stored](values.astype(np.float32))
    group = handle.create_group(name)
    group.attrs["h5sparse_format"], group.attrs["h5sparse_shape"] = stored, np.array(matrix.shape)
    for part in ("data", "indices", "indptr"):
        group[part] = getattr(matrix, part)


def write_h5ad_07(
    path: Path, of: Truth | None = None, *, stored: str = "csr", place: str = "X"
) -> Path:
    """Write as anndata 0.7 did: groups with the first encodings, categories beside the frame."""
    of = of or truth()
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as handle:
        for name, index, column in (
            ("obs", of.cells, "batch"),
            ("var", of.symbols, "gene_ids"),
            ("raw/var", of.symbols, "gene_ids"),
        ):
            if name != "raw/var" or place == "raw":
                _frame_07(handle, name, index, column, of)
        _matrix_07(handle, "X", of.counts if place == "X" else log_normalised(of.counts), stored)
        if place != "X":
            _matrix_07(handle, "raw/X" if place == "raw" else f"layers/{place}", of.counts, stored)
    return path


def _frame_07(handle: h5py.File, name: str, index: Sequence[str], column: str, of: Truth) -> None:
    text, group = h5py.string_dtype(), handle.create_group(name)
    group.attrs["encoding-type"], group.attrs["encoding-version"], group.attrs["_index"] = (
        "dataframe",
        "0.1.0",
        "index",
    )
    group.attrs.create("column-order", [column], dtype=text)
    group.create_dataset("index", data=list(index), dtype=text)
    if column == "gene_ids":
        group.create_dataset(column, data=list(of.ids), dtype=text)
        return
    group.create_dataset(column, data=np.arange(len(index), dtype=np.int8) % 2)
    categories = group.create_dataset(f"__categories/{column}", data=["a", "b"], dtype=text)
    categories.attrs["ordered"] = False
    group[column].attrs["categories"] = categories.ref


def _matrix_07(handle: h5py.File, name: str, values: np.ndarray, stored: str) -> None:
    if stored == "dense":
        handle[name] = values.astype(np.float32)
        return
    matrix, group = STORED[stored](values.astype(np.float32)), handle.create_group(name)
    group.attrs["encoding-type"], group.attrs["encoding-version"] = f"{stored}_matrix", "0.1.0"
    group.attrs["shape"] = np.array(matrix.shape)
    for part in ("data", "indices", "indptr"):
        group[part] = getattr(matrix, part)


def write_zarr(path: Path, adata: anndata.AnnData, version: int) -> Path:
    """Write a zarr store of either format."""
    before = anndata.settings.zarr_write_format
    anndata.settings.zarr_write_format = version
    try:
        adata.write_zarr(path)
    finally:
        anndata.settings.zarr_write_format = before
    return path


def write_loom(path: Path, of: Truth | None = None, **options: Any) -> Path:
    """Write a loom with the attributes ``gene`` and ``cell``, an id beside, a matrix of any dtype, compressed or not."""
    of = of or truth()
    gene, cell, accession = (
        options.get("gene", "Gene"),
        options.get("cell", "CellID"),
        options.get("accession", "Accession"),
    )
    values, text = options.get("values", of.counts), h5py.string_dtype()
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as handle:
        matrix = (values if options.get("turned") else values.T).astype(
            options.get("dtype", np.float32)
        )
        handle.create_dataset(
            "matrix", data=matrix, compression="gzip" if options.get("zipped", True) else None
        )
        rows, columns = (of.cells, of.symbols) if options.get("turned") else (of.symbols, of.cells)
        handle.create_dataset(f"row_attrs/{gene}", data=list(rows), dtype=text)
        if accession and not options.get("turned"):
            handle.create_dataset(f"row_attrs/{accession}", data=list(of.ids), dtype=text)
        handle.create_dataset(f"col_attrs/{cell}", data=list(columns), dtype=text)
        for layer in options.get("layers", ()):
            handle.create_dataset(f"layers/{layer}", data=matrix // 2)
    return path


def pack(archive: Path, folder: Path, *, under: str = "") -> Path:
    """Put a folder's files into an archive of the kind its name says, below ``under``."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [f"{under}{path.relative_to(folder).as_posix()}" for path in files]
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
            for path, name in zip(files, names, strict=True):
                out.write(path, name)
        return archive
    with tarfile.open(archive, "w" if archive.suffix == ".tar" else "w:gz") as out:
        for path, name in zip(files, names, strict=True):
            out.add(path, name)
    return archive


# ---------------------------------------------------------------- what R saves


class R:
    """Bytes of R objects as ``saveRDS`` serialises them (big-endian XDR), written by hand: no R is needed."""

    NULL = (254).to_bytes(4, "big")

    @staticmethod
    def head(
        kind: int,
        *,
        is_object: bool = False,
        attributes: bool = False,
        tag: bool = False,
        levels: int = 0,
    ) -> bytes:
        return (kind | is_object << 8 | attributes << 9 | tag << 10 | levels << 12).to_bytes(
            4, "big"
        )

    @classmethod
    def char(cls, text: str) -> bytes:
        data = text.encode()
        return cls.head(9, levels=8) + len(data).to_bytes(4, "big") + data

    @classmethod
    def attributes(cls, values: Mapping[str, bytes]) -> bytes:
        pairs = (
            cls.head(2, tag=True) + cls.head(1) + cls.char(name) + value
            for name, value in values.items()
        )
        return b"".join(pairs) + cls.NULL if values else b""

    @classmethod
    def vector(
        cls, kind: int, length: int, data: bytes, attributes: Mapping[str, bytes] | None = None
    ) -> bytes:
        attributes = attributes or {}
        head = cls.head(kind, attributes=bool(attributes), is_object="class" in attributes)
        return head + length.to_bytes(4, "big") + data + cls.attributes(attributes)

    @classmethod
    def texts(cls, values: Sequence[str], **attributes: bytes) -> bytes:
        return cls.vector(16, len(values), b"".join(map(cls.char, values)), attributes)

    @classmethod
    def numbers(
        cls, values: Any, attributes: Mapping[str, bytes] | None = None, *, kind: int = 0
    ) -> bytes:
        flat = np.asarray(values).ravel(order="F")
        kind = kind or (14 if flat.dtype.kind == "f" else 13)
        return cls.vector(
            kind, flat.size, flat.astype(">f8" if kind == 14 else ">i4").tobytes(), attributes
        )

    @classmethod
    def items(cls, values: Mapping[str, bytes], **attributes: bytes) -> bytes:
        return cls.vector(
            19,
            len(values),
            b"".join(values.values()),
            {"names": cls.texts(list(values)), **attributes},
        )

    @classmethod
    def pair(cls, rows: bytes, columns: bytes) -> bytes:
        return cls.vector(19, 2, rows + columns)

    @classmethod
    def s4(cls, name: str, package: str, slots: Mapping[str, bytes]) -> bytes:
        known = {**slots, "class": cls.texts([name], package=cls.texts([package]))}
        return cls.head(25, is_object=True, attributes=True, levels=16) + cls.attributes(known)

    @classmethod
    def sparse(cls, of: Truth, values: np.ndarray | None = None, *, names: bool = True) -> bytes:
        matrix = sparse.csc_matrix((of.counts if values is None else values).T.astype(float))
        matrix.sort_indices()
        pair = (
            cls.pair(cls.texts(of.symbols), cls.texts(of.cells))
            if names
            else cls.pair(cls.NULL, cls.NULL)
        )
        slots = {
            "i": cls.numbers(matrix.indices),
            "p": cls.numbers(matrix.indptr),
            "Dim": cls.numbers(np.array(matrix.shape)),
        }
        return cls.s4(
            "dgCMatrix",
            "Matrix",
            {
                **slots,
                "Dimnames": pair,
                "x": cls.numbers(matrix.data),
                "factors": cls.vector(19, 0, b""),
            },
        )

    @classmethod
    def triplet(cls, of: Truth) -> bytes:
        matrix = sparse.coo_matrix(of.counts.T.astype(float))
        slots = {
            "i": cls.numbers(matrix.row),
            "j": cls.numbers(matrix.col),
            "Dim": cls.numbers(np.array(matrix.shape)),
        }
        slots |= {
            "Dimnames": cls.pair(cls.texts(of.symbols), cls.texts(of.cells)),
            "x": cls.numbers(matrix.data),
        }
        return cls.s4("dgTMatrix", "Matrix", slots)

    @classmethod
    def frame(cls, of: Truth) -> bytes:
        columns = {cell: cls.numbers(row) for cell, row in zip(of.cells, of.counts, strict=True)}
        return cls.items(
            columns, **{"row.names": cls.texts(of.symbols), "class": cls.texts(["data.frame"])}
        )

    @classmethod
    def dense(cls, of: Truth, kind: type = int) -> bytes:
        dims = {
            "dim": cls.numbers(np.array(of.counts.T.shape)),
            "dimnames": cls.pair(cls.texts(of.symbols), cls.texts(of.cells)),
        }
        return cls.numbers(of.counts.T.astype(kind), dims)

    @classmethod
    def log_map(cls, names: Sequence[str], layers: Mapping[str, Sequence[str]]) -> bytes:
        held = np.array(
            [[name in set(inside) for inside in layers.values()] for name in names], dtype=np.int64
        )
        shape = {
            "dim": cls.numbers(np.array(held.shape)),
            "dimnames": cls.pair(cls.texts(names), cls.texts(list(layers))),
        }
        return cls.numbers(
            held,
            {**shape, "class": cls.texts(["LogMap"], package=cls.texts(["SeuratObject"]))},
            kind=10,
        )


def assay(of: Truth, *, counts: bool = True, logged: bool = True) -> bytes:
    """Assay of Seurat 3 or 4."""
    empty = Truth(of.counts[:0, :0], (), (), ())
    parts = {
        "counts": R.sparse(of if counts else empty),
        "data": R.sparse(of, log_normalised(of.counts) if logged else None),
    }
    return R.s4(
        "Assay", "SeuratObject", {**parts, "scale.data": R.dense(empty), "key": R.texts(["rna_"])}
    )


def assay5(parts: Mapping[str, Truth]) -> bytes:
    """Assay of Seurat 5: matrices without names, the names in maps beside them; data beside each layer of counts."""
    logged = {name.replace("counts", "data"): of for name, of in parts.items()}
    layers = {name: R.sparse(of, names=False) for name, of in parts.items()}
    layers |= {
        name: R.sparse(of, log_normalised(of.counts), names=False) for name, of in logged.items()
    }
    cells = {name: of.cells for name, of in {**parts, **logged}.items()}
    genes = {name: of.symbols for name, of in {**parts, **logged}.items()}
    every = list(dict.fromkeys(cell for of in parts.values() for cell in of.cells))
    maps = {
        "cells": R.log_map(every, cells),
        "features": R.log_map(next(iter(genes.values())), genes),
    }
    return R.s4(
        "Assay5",
        "SeuratObject",
        {
            "layers": R.items(layers),
            **maps,
            "default": R.numbers(np.array([1])),
            "key": R.texts(["rna_"]),
        },
    )


def seurat(assays: Mapping[str, bytes], active: str = "RNA", about: bytes = R.NULL) -> bytes:
    """Seurat object, with an environment, a function's name and a null among the slots, as real ones have."""
    other = {
        "meta.data": about,
        "graphs": R.vector(19, 0, b""),
        "version": R.NULL,
        "project.name": R.texts(["x"]),
    }
    return R.s4(
        "Seurat",
        "SeuratObject",
        {"assays": R.items(assays), "active.assay": R.texts([active]), **other},
    )


def experiment(
    of: Truth,
    names: Sequence[str] = ("counts", "logcounts"),
    *,
    inside: bool = False,
    about: bytes = b"",
    parts: Mapping[str, np.ndarray] | None = None,
) -> bytes:
    """SingleCellExperiment; the names of genes and cells stand beside the matrices, or ``inside`` them."""
    values = {"counts": None, "logcounts": log_normalised(of.counts), **(parts or {})}
    listed = R.s4(
        "SimpleList",
        "S4Vectors",
        {"listData": R.items({name: R.sparse(of, values[name], names=inside) for name in names})},
    )
    ranges = R.s4(
        "IRanges", "IRanges", {"start": R.numbers(np.array([1])), "NAMES": R.texts(of.symbols)}
    )
    slots = {
        "rowRanges": R.s4("GRanges", "GenomicRanges", {"ranges": ranges}),
        "colData": about
        or R.s4(
            "DFrame",
            "S4Vectors",
            {"rownames": R.texts(of.cells), "nrows": R.numbers(np.array([len(of.cells)]))},
        ),
        "assays": R.s4("SimpleAssays", "SummarizedExperiment", {"data": listed}),
        "NAMES": R.NULL,
    }
    return R.s4("SingleCellExperiment", "SingleCellExperiment", slots)


def write_r(
    path: Path, thing: bytes | Mapping[str, bytes], *, version: int = 3, packed: str = "gzip"
) -> Path:
    """Write an rds, or an rda of several variables."""
    native = (5).to_bytes(4, "big") + b"UTF-8" if version == 3 else b""
    head = (
        b"X\n"
        + b"".join(
            number.to_bytes(4, "big")
            for number in (version, 0x40100, 0x30500 if version == 3 else 0x20300)
        )
        + native
    )
    data = (
        head + thing
        if isinstance(thing, bytes)
        else b"RDX%d\n" % version + head + R.attributes(thing)
    )
    pack_it = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "": bytes}[packed]
    path.write_bytes(pack_it(data))
    return path


# ---------------------------------------------------------------- states of values


def log_normalised(counts: np.ndarray) -> np.ndarray:
    return np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)


def _per_million(counts: np.ndarray) -> np.ndarray:
    return counts / counts.sum(axis=1, keepdims=True) * 1e6


def _scaled(counts: np.ndarray) -> np.ndarray:
    logged = log_normalised(counts)
    return (logged - logged.mean(axis=0)) / (logged.std(axis=0) + 1e-9)


def _smoothed(counts: np.ndarray) -> np.ndarray:
    return (counts + np.roll(counts, 1, axis=0) + np.roll(counts, 2, axis=0)) / 3


STATES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "log-normalised": (log_normalised, "looks log-normalised"),
    "log2 of CPM": (lambda counts: np.log2(_per_million(counts) + 1), "looks log-normalised"),
    "CPM": (_per_million, "looks like TPM or CPM"),
    "rounded CPM": (lambda counts: np.rint(_per_million(counts)), "looks like rounded TPM or CPM"),
    "CP10K": (lambda counts: _per_million(counts) / 100, "looks depth-normalised"),
    "FPKM": (
        lambda counts: _per_million(counts) * np.linspace(0.2, 4, counts.shape[1]),
        "looks like FPKM",
    ),
    "scaled": (_scaled, "looks scaled, centred or integrated"),
    "integrated": (
        lambda counts: log_normalised(counts) - 0.07,
        "looks scaled, centred or integrated",
    ),
    "imputed": (lambda counts: _smoothed(counts) * 7.3, "looks imputed, smoothed or denoised"),
    "missing values": (
        lambda counts: np.where(counts == counts.max(), np.nan, counts.astype(float)),
        "NaN or infinite|numbers only",
    ),
    "negative counts": (lambda counts: counts - 1, "holds negative values"),
    "no counts": (np.zeros_like, "holds no counts at all"),
}


# ---------------------------------------------------------------- families


def one(
    name: str, genes: str = "symbols", of: Truth | None = None
) -> Callable[[], dict[str, pd.DataFrame]]:
    """Expect the whole truth as one sample."""
    return lambda: {name: (of or truth()).frame(genes)}


def two(*names: str) -> Callable[[], dict[str, pd.DataFrame]]:
    """Expect the halves of the truth as two samples."""
    return lambda: {name: half.frame() for name, half in zip(names, halves(), strict=True)}


def halves() -> tuple[Truth, Truth]:
    """First and second half of the cells."""
    return truth().part(slice(0, N_CELLS // 2)), truth().part(slice(N_CELLS // 2, N_CELLS))


PREFIXES = {
    "": "f",
    "GSM1_rep1_": "GSM1_rep1",
    "GSM2.": "GSM2",
    "x-": "x",
    "GSM3 day 7 ": "GSM3 day 7",
    "GSM4_a.b-c.": "GSM4_a.b-c",
}


def triples() -> Iterable[Variant]:
    """The 10x triple: prefix x compression x orientation x columns."""
    for (prefix, sample), zipped, turned, columns in itertools.product(
        PREFIXES.items(), (GZ, PLAIN), (False, True), ("isk", "is", "s", "i")
    ):
        names = ("matrix.mtx", "barcodes.tsv", "features.tsv" if columns == "isk" else "genes.tsv")
        yield Variant(
            "triple",
            f"prefix {prefix!r}, {zipped or 'plain'}, {'cells x genes' if turned else 'genes x cells'}, columns {columns}",
            lambda at, p=prefix, z=zipped, t=turned, c=columns, n=names: write_triple(
                at / "f", prefix=p, zipped=z, turned=t, columns=c, names=n
            ),
            one(sample, "ids" if columns == "i" else "symbols"),
        )


LISTS: dict[str, dict[str, Any]] = {
    "gene list with versions": {"columns": "vs"},
    "gene list swapped": {"columns": "si"},
    "gene list of symbol and type": {"columns": "sk"},
    "gene list of four columns": {"columns": "iskc"},
    "gene list of six columns": {"columns": "iskcnn"},
    "gene list with a chromosome second": {"columns": "ics"},
    "gene list of symbol and a number": {"columns": "sn"},
    "CRLF": {"end": "\r\n"},
    "CRLF plain": {"end": "\r\n", "zipped": PLAIN},
    "real numbers": {"field_name": "real"},
    "unsigned numbers": {"field_name": "unsigned-integer"},
    "heading of genes": {"headings": ("", "gene_id\tgene_name\ttype\n")},
    "heading of barcodes": {"headings": ("barcode\n", "")},
    "both headings": {"headings": ("x\n", "V1\tV2\tV3\n")},
    "both headings, turned": {"headings": ("barcode\n", "id\tsymbol\ttype\n"), "turned": True},
    "heading of symbols": {"columns": "s", "headings": ("", "x\n")},
    "barcodes with columns": {"extra": ("T cell", "0.2")},
    "barcodes with columns and heading": {
        "extra": ("T cell", "0.2"),
        "headings": ("barcode\tcell_type\tmito\n", ""),
    },
    "genes.txt": {"names": ("matrix.mtx", "barcodes.txt", "genes.txt")},
    "genes.csv": {"names": ("matrix.mtx", "barcodes.csv", "genes.csv")},
    "features.csv with headings": {
        "names": ("matrix.mtx", "barcodes.csv", "features.csv"),
        "headings": ("barcode\n", "id,symbol,kind\n"),
    },
    "barcodes.tsv and genes.csv": {
        "names": ("matrix.mtx", "barcodes.tsv", "genes.csv"),
        "columns": "is",
    },
}

CELLS: dict[str, Callable[[int], str]] = {
    "numbered": lambda at: f"cell{at}",
    "numbers": str,
    "wells": lambda at: f"P{at // 24}_{'ABCDEFGH'[at % 8]}{at % 12 + 1:02}_S{at}",
    "barcodes bare": lambda at: truth().cells[at].removesuffix("-1"),
    "barcodes with a sample": lambda at: f"day.7_{truth().cells[at]}",
    "barcodes with x": lambda at: truth().cells[at].replace("-1", "x"),
    "barcodes with dots": lambda at: truth().cells[at].replace("-", "."),
    "barcodes in pairs": lambda at: f"bc1_{truth().cells[at][:8]}_{truth().cells[at][8:16]}",
}


def cell_names() -> Iterable[Variant]:
    """Cells of any name, in a table of either orientation, a triple of either, an h5ad."""
    of = truth()
    for name, call in CELLS.items():
        called = Truth(of.counts, tuple(call(at) for at in range(N_CELLS)), of.symbols, of.ids)
        expected = one("a", of=called)
        for turned in (True, False):
            side = f"{name}, turned {turned}"
            yield Variant(
                "cells",
                f"table, {side}",
                lambda at, c=called, t=turned: write_dense(at / "a.csv", c, genes_in_rows=t),
                expected,
            )
            yield Variant(
                "cells",
                f"triple, {side}",
                lambda at, c=called, t=turned: write_triple(at / "a", c, turned=t),
                expected,
            )
        yield Variant(
            "cells",
            f"h5ad, {name}",
            lambda at, c=called: write_h5ad(at / "a.h5ad", annotated(c)),
            expected,
        )


def _r_lists(at: Path, write: str) -> Path:
    """Lists as R writes vectors: with row numbers, quoted, by comma or space."""
    folder = write_triple(at / "f", zipped=PLAIN, columns="s", without=(1, 2))
    for name, values in (("barcodes", truth().cells), ("genes", truth().symbols)):
        rows = [f'"{number}"{write}"{value}"' for number, value in enumerate(values, start=1)]
        put(
            folder / f"{name}.{'csv' if write == ',' else 'txt'}",
            "\n".join(['"","x"' if write == "," else '"x"', *rows, ""]),
        )
    return folder


def _comma_lists(at: Path, mark: str) -> Path:
    """Lists whose suffix says tab, but whose columns are separated otherwise."""
    folder = write_triple(at / "f", zipped=PLAIN, without=(2,))
    return put(folder / "features.tsv", lines(gene_rows(truth(), "is"), mark)).parent


NAMES: dict[str, tuple[tuple[str, str, str], str]] = {
    "counts.mtx": (("counts.mtx", "barcodes.tsv", "genes.tsv"), "f"),
    "prefixed counts.mtx": (
        ("SAMPLE_counts.mtx", "SAMPLE_barcodes.tsv", "SAMPLE_genes.tsv"),
        "SAMPLE",
    ),
    "prefix and dot": (("GSM5_s.matrix.mtx", "GSM5_s.barcodes.tsv", "GSM5_s.genes.tsv"), "GSM5_s"),
    "prefix alone": (("GSM6.mtx", "GSM6_barcodes.tsv", "GSM6_features.tsv"), "GSM6"),
    "different separators": (("GSM7-matrix.mtx", "GSM7_barcodes.tsv", "GSM7.genes.tsv"), "GSM7"),
    "capitals": (("GSM8_Matrix.mtx", "GSM8_Barcodes.tsv", "GSM8_Genes.tsv"), "GSM8"),
    "kallisto": (
        ("cells_x_genes.mtx", "cells_x_genes.barcodes.txt", "cells_x_genes.genes.txt"),
        "f",
    ),
    "gene_names and cell_names": (
        ("GSM9_count_matrix.mtx", "GSM9_cell_names.tsv", "GSM9_gene_names.tsv"),
        "GSM9",
    ),
    "lists without prefix": (("GSM10_matrix.mtx", "barcodes.tsv", "features.tsv"), "GSM10"),
    "matrix without prefix": (("matrix.mtx", "GSM11_barcodes.tsv", "GSM11_features.tsv"), "f"),
    "split-pool": (("DGE.mtx", "cell_metadata.csv", "all_genes.csv"), "f"),
    "umi counts": (("GSM12_umi_counts.mtx", "GSM12_barcodes.tsv", "GSM12_genes.tsv"), "GSM12"),
    "filtered in the name": (
        ("GSM13_filtered_matrix.mtx", "GSM13_filtered_barcodes.tsv", "GSM13_filtered_features.tsv"),
        "GSM13",
    ),
}


def lists() -> Iterable[Variant]:
    """What stands in the lists of genes and cells, and how the three files are called."""
    for name, options in LISTS.items():
        yield Variant("lists", name, lambda at, o=options: write_triple(at / "f", **o), one("f"))
    yield Variant("lists", "R, csv", partial(_r_lists, write=","), one("f"))
    yield Variant("lists", "R, table", partial(_r_lists, write=" "), one("f"))
    yield Variant("lists", "commas in a tsv", partial(_comma_lists, mark=","), one("f"))
    yield Variant("lists", "semicolons in a tsv", partial(_comma_lists, mark=";"), one("f"))
    for name, (names, sample) in NAMES.items():
        for zipped in (GZ, PLAIN):
            options = {
                "names": names,
                "zipped": zipped,
                "turned": name in ("kallisto", "split-pool"),
                "columns": "is",
            }
            yield Variant(
                "names",
                f"{name}, {zipped or 'plain'}",
                lambda at, o=options: write_triple(at / "f", **o),
                one(sample),
            )
        yield Variant(
            "names",
            f"{name}, the matrix named",
            lambda at, n=names: write_triple(at / "f", names=n, columns="is") / f"{n[0]}.gz",
            one(sample),
        )


def duplicated() -> Iterable[Variant]:
    """Symbols that stand on several rows: their counts are summed."""
    of = truth()
    doubled = Truth(of.counts, of.cells, (*of.symbols[:-3], *of.symbols[:3]), of.ids)

    def summed(name: str) -> dict[str, pd.DataFrame]:
        return {name: doubled.frame().T.groupby(level=0).sum().T}

    yield Variant(
        "duplicates", "triple", lambda at: write_triple(at / "f", doubled), partial(summed, "f")
    )
    yield Variant(
        "duplicates", "dense", lambda at: write_dense(at / "d.csv", doubled), partial(summed, "d")
    )
    yield Variant(
        "duplicates",
        "dense turned",
        lambda at: write_dense(at / "d.csv", doubled, genes_in_rows=False),
        partial(summed, "d"),
    )
    yield Variant(
        "duplicates", "10x h5", lambda at: write_10x_h5(at / "d.h5", doubled), partial(summed, "d")
    )
    yield Variant(
        "duplicates",
        "h5ad",
        lambda at: write_h5ad(at / "d.h5ad", annotated(doubled)),
        partial(summed, "d"),
    )
    yield Variant(
        "duplicates", "loom", lambda at: write_loom(at / "d.loom", doubled), partial(summed, "d")
    )


DENSE_CORNERS: dict[str, str | None] = {"unnamed": "", "named": "gene", "left out": None}
SEPARATORS = {"comma": ",", "tab": "\t", "semicolon": ";", "space": " "}


def dense() -> Iterable[Variant]:
    """Tables: separator x orientation x corner x quotes, half of them gzipped; and what else people write."""
    crossed = itertools.product(
        SEPARATORS.items(), (True, False), DENSE_CORNERS.items(), (False, True)
    )
    for number, ((mark, separator), genes_in_rows, (corner, text), quoted) in enumerate(crossed):
        suffix = {"comma": ".csv", "tab": ".tsv"}.get(mark, ".txt") + (GZ if number % 2 else PLAIN)
        options = {
            "separator": separator,
            "genes_in_rows": genes_in_rows,
            "corner": text,
            "quoted": quoted,
        }
        side = "genes x cells" if genes_in_rows else "cells x genes"
        yield Variant(
            "dense",
            f"{mark}, {side}, corner {corner}, {'quoted' if quoted else 'bare'}, {suffix}",
            lambda at, s=suffix, o=options: write_dense(at / f"GSM1_a{s}", **o),
            one("GSM1_a"),
        )
    for genes_in_rows, by in itertools.product((True, False), ("ids", "symbols")):
        options = {"genes_in_rows": genes_in_rows, "names": (by,)}
        yield Variant(
            "dense",
            f"named by {by}, genes in rows {genes_in_rows}",
            lambda at, o=options: write_dense(at / "d.tab", separator="\t", **o),
            one("d", by),
        )
    for names in (("ids", "symbols"), ("symbols", "ids")):
        for corner, quoted in (("", False), ("gene_id", True), (None, False)):
            options = {"names": names, "corner": corner, "quoted": quoted}
            if corner is not None:
                yield Variant(
                    "dense",
                    f"two name columns {names}, corner {corner!r}",
                    lambda at, o=options: write_dense(at / "d.csv", **o),
                    one("d"),
                )
    yield Variant("dense", "CRLF", lambda at: write_dense(at / "d.csv", end="\r\n"), one("d"))
    yield Variant(
        "dense",
        "trailing separators",
        lambda at: put(at / "d.csv", _trailing(write_dense(at / "x" / "d.csv"))),
        one("d"),
    )
    yield Variant(
        "dense",
        "comments",
        lambda at: put(
            at / "d.csv", "# made by\n# hand\n" + write_dense(at / "x" / "d.csv").read_text()
        ),
        one("d"),
    )
    yield Variant("dense", "capitals in the suffix", lambda at: write_dense(at / "D.CSV"), one("D"))
    yield Variant(
        "dense",
        "dge",
        lambda at: write_dense(at / "GSM1.dge.txt.gz", separator="\t", corner="GENE"),
        one("GSM1"),
    )


def tables_of_more() -> Iterable[Variant]:
    """Tables with columns that are no counts, or without names: refused, never read as cells or genes."""
    rows = truth().frame().T.reset_index(names="gene")
    yield Variant(
        "dense",
        "rows numbered, genes beside",
        lambda at: put(at / "d.csv", rows.to_csv()),
        one("d"),
    )
    cells = truth().frame().reset_index(names="cell")
    yield Variant(
        "dense",
        "rows numbered, cells beside",
        lambda at: put(at / "d.csv", cells.to_csv()),
        one("d"),
    )
    number = list(range(N_GENES))
    for name in ("Length", "gene_length", "Chr", "Start", "EntrezID", "mean"):
        yield _more(f"column {name} of genes", True, {name: number})
    for name in ("nCount_RNA", "nFeature_RNA", "seurat_clusters", "percent.mt", "total_counts"):
        yield _more(f"column {name} of cells", False, {name: list(range(N_CELLS))})
    yield _more(
        "chromosome of genes",
        True,
        {"chromosome": [f"chr{at % 5}" for at in number]},
        "not a number",
    )
    yield _more("biotype of genes", True, {"biotype": ["protein_coding"] * N_GENES}, "not a number")
    yield _more(
        "type of cells", False, {"cell_type": ["T", "B", "NK"] * (N_CELLS // 3)}, "not a number"
    )
    odd = Truth(
        truth().counts, truth().cells, ("NA", "nan", "None", *truth().symbols[3:]), truth().ids
    )
    for genes_in_rows in (True, False):
        options = {"genes_in_rows": genes_in_rows}
        names = f"genes named NA and nan, genes in rows {genes_in_rows}"
        yield Variant(
            "dense",
            names,
            lambda at, o=options: write_dense(at / "d.csv", odd, **o),
            one("d", of=odd),
        )
        yield _cut(
            f"without heading, genes in rows {genes_in_rows}",
            lambda text: text.split("\n", 1)[1],
            options,
        )
        yield _cut(
            f"without row names, genes in rows {genes_in_rows}",
            lambda text: re.sub(r"(?m)^[^,]*,", "", text),
            options,
        )
    long = "gene,cell,count\n" + "".join(
        f"{gene},{cell},1\n" for gene in truth().symbols[:9] for cell in truth().cells[:9]
    )
    yield Variant(
        "no table",
        "a line for each gene and cell",
        lambda at: put(at / "d.csv", long),
        refusal="one line for each gene and cell",
        names="d.csv",
    )
    names = lines([(name,) for name in truth().symbols])
    yield Variant(
        "no table",
        "names only",
        lambda at: put(at / "d.csv", names),
        refusal="not a table of values",
        names="d.csv",
    )


def _more(
    name: str,
    genes_in_rows: bool,
    extra: Mapping[str, Sequence[Any]],
    said: str = "describes genes or cells",
) -> Variant:
    def write(at: Path) -> Path:
        return write_dense(at / "d.csv", genes_in_rows=genes_in_rows, extra=extra)

    return Variant(
        "no table", name, write, refusal=f"column '{next(iter(extra))}' .*{said}", names="d.csv"
    )


def _cut(name: str, cut: Callable[[str], str], options: Mapping[str, Any]) -> Variant:
    def write(at: Path) -> Path:
        path = write_dense(at / "d.csv", **options)
        return put(path, cut(path.read_text()))

    return Variant(
        "no table", name, write, refusal="lacks the names of its (rows|columns)", names="d.csv"
    )


def _trailing(path: Path) -> str:
    text = path.read_text()
    path.unlink()
    return text.replace("\n", ",\n")


def hdf5() -> Iterable[Variant]:
    """10x h5 of every version, CellBender's, loom."""
    yield Variant("10x h5", "v3", lambda at: write_10x_h5(at / "c.h5"), one("c"))
    yield Variant(
        "10x h5", "v3 with antibodies", lambda at: write_10x_h5(at / "c.h5", extra=20), one("c")
    )
    yield Variant(
        "10x h5",
        "v3 with peaks",
        lambda at: write_10x_h5(at / "c.h5", extra=90, kind="Peaks"),
        one("c"),
    )
    yield Variant(
        "10x h5",
        "v3 with guides",
        lambda at: write_10x_h5(at / "c.h5", extra=9, kind="CRISPR Guide Capture"),
        one("c"),
    )
    yield Variant(
        "10x h5",
        "v1",
        lambda at: write_10x_h5(at / "c.h5", version=1, genomes=["GRCh38"]),
        one("c"),
    )
    yield Variant(
        "10x h5",
        "v1, two genomes",
        lambda at: write_10x_h5(at / "c.h5", version=1, genomes=["hg19", "mm10"]),
        one("c"),
    )
    yield Variant(
        "10x h5",
        "v1, three genomes",
        lambda at: write_10x_h5(at / "c.h5", version=1, genomes=["hg19", "mm10", "virus"]),
        one("c"),
    )
    yield Variant(
        "10x h5",
        "genes within matrix (CellBender)",
        lambda at: write_10x_h5(at / "c.h5", version=1, genomes=["matrix"]),
        one("c"),
    )
    for prefix, suffix in itertools.product(("", "GSM1_a_", "GSM2."), (".h5", ".hdf5")):
        name = f"{prefix}filtered_feature_bc_matrix{suffix}"
        sample = {"": "c", "GSM1_a_": "GSM1_a", "GSM2.": "GSM2"}[prefix]
        yield Variant("10x h5", name, lambda at, n=name: write_10x_h5(at / "c" / n), one(sample))
    for gene, cell, dtype in itertools.product(
        ("Gene", "gene_names", "var_names"),
        ("CellID", "barcode", "obs_names"),
        (np.float32, np.int32),
    ):
        options = {"gene": gene, "cell": cell, "dtype": dtype}
        yield Variant(
            "loom",
            f"{gene}, {cell}, {dtype.__name__}",
            lambda at, o=options: write_loom(at / "c.loom", **o),
            one("c"),
        )
    yield Variant(
        "loom", "without ids", lambda at: write_loom(at / "c.loom", accession=""), one("c")
    )
    yield Variant(
        "loom",
        "with velocity layers",
        lambda at: write_loom(at / "c.loom", layers=("spliced", "unspliced")),
        one("c"),
    )
    yield Variant(
        "loom",
        "not compressed",
        lambda at: write_loom(at / "c.loom", zipped=False, dtype=np.uint16),
        one("c"),
    )


def h5ads() -> Iterable[Variant]:
    """Stores of every generation: matrix stored by cell, by gene or dense, in X, raw or a layer, named by symbol or id."""
    for stored, place in itertools.product(STORED, ("X", "raw", "counts", "umis")):
        yield Variant(
            "h5ad before 0.7",
            f"{stored}, {place}",
            lambda at, s=stored, p=place: write_h5ad_06(at / "a.h5ad", stored=s, place=p),
            one("a"),
        )
        yield Variant(
            "h5ad 0.7",
            f"{stored}, {place}",
            lambda at, s=stored, p=place: write_h5ad_07(at / "a.h5ad", stored=s, place=p),
            one("a"),
        )
        for by in ("symbols", "ids"):
            yield Variant(
                "h5ad",
                f"{stored}, {place}, {by}",
                lambda at, s=stored, p=place, b=by: write_h5ad(
                    at / "a.h5ad", annotated(stored=s, place=p, by=b)
                ),
                one("a"),
            )
    for stored, version, place in itertools.product(
        ("csr", "csc", "dense"), (2, 3), ("X", "counts")
    ):
        yield Variant(
            "zarr",
            f"format {version}, {stored}, {place}",
            lambda at, s=stored, v=version, p=place: write_zarr(
                at / "a.zarr", annotated(stored=s, place=p), v
            ),
            one("a"),
        )
    yield Variant("h5ad", "of a portal", lambda at: write_h5ad(at / "a.h5ad", _portal()), one("a"))
    yield Variant(
        "h5ad",
        "of a portal, raw only",
        lambda at: write_h5ad(at / "a.h5ad", _portal(only_raw=True)),
        one("a"),
    )
    yield Variant(
        "h5ad", "a layer only", lambda at: write_h5ad(at / "a.h5ad", _without_x()), one("a")
    )
    for dtype in (np.uint16, np.int32, np.int64, np.float64):
        whole = lambda at, d=dtype: write_h5ad(at / "a.h5ad", _of_type(d))
        yield Variant("h5ad", f"values {dtype.__name__}", whole, one("a"))
    yield Variant("h5ad", "suffix h5", lambda at: write_h5ad(at / "a.h5", annotated()), one("a"))
    yield Variant(
        "h5ad",
        "samples within",
        lambda at: write_h5ad(at / "a.h5ad", _with_samples()),
        two("s1", "s2"),
    )
    yield Variant(
        "h5ad",
        "float noise",
        lambda at: write_h5ad(at / "a.h5ad", annotated(values=truth().counts * (1 + 1e-11))),
        one("a"),
    )


def _portal(*, only_raw: bool = False) -> anndata.AnnData:
    """As portals hand it out: Ensembl ids in the index, symbols beside, log-normalised values in X, or none, the counts in raw."""
    adata = annotated(place="raw", by="ids")
    adata.var = adata.var.rename(columns={"gene_symbols": "feature_name"}).astype("category")
    raw = anndata.AnnData(adata.raw.X, obs=adata.obs, var=adata.var)
    adata.raw = raw
    if only_raw:
        adata.X = None
    return adata


def _of_type(dtype: type) -> anndata.AnnData:
    adata = annotated()
    adata.X = adata.X.astype(dtype)
    return adata


def _without_x() -> anndata.AnnData:
    adata = annotated(place="counts")
    adata.X = None
    return adata


def _with_samples() -> anndata.AnnData:
    adata = annotated()
    adata.obs["sample"] = ["s1"] * (N_CELLS // 2) + ["s2"] * (N_CELLS // 2)
    return adata


def _unfiltered(of: Truth) -> Truth:
    """The cells among empty droplets, too few to give a soup."""
    droplets = np.zeros((40, len(of.symbols)), dtype=np.int64)
    droplets[:, :3] = 1
    return Truth(
        np.vstack([of.counts, droplets]), (*of.cells, *barcodes(40, "-2")), of.symbols, of.ids
    )


def _both(
    write: Callable[..., Any], places: tuple[str, str], *, common: str = "", **options: Any
) -> Callable[[Path], Path]:
    """Write two halves to two places of one folder."""

    def to_folder(at: Path) -> Path:
        for place, half in zip(places, halves(), strict=True):
            write(at / "f" / place, half, **options)
        if common:
            put(at / "f" / common, lines(gene_rows(truth(), "is")))
        return at / "f"

    return to_folder


def _prefixed(prefixes: tuple[str, str], **options: Any) -> Callable[[Path], Path]:
    """Write two halves as triples with prefixes into one folder."""
    shared = options.pop("shared", "")

    def to_folder(at: Path) -> Path:
        for prefix, half in zip(prefixes, halves(), strict=True):
            write_triple(at / "f", half, prefix=prefix, **options)
        if shared:
            put(at / "f" / shared, lines(gene_rows(truth(), options.get("columns", "isk"))))
        return at / "f"

    return to_folder


def _beside(*written: Callable[[Path], Any]) -> Callable[[Path], Path]:
    """Write several things into one folder."""

    def to_folder(at: Path) -> Path:
        for write in written:
            write(at / "f")
        return at / "f"

    return to_folder


V3, V2 = "filtered_feature_bc_matrix", "filtered_gene_bc_matrices"


def folders() -> Iterable[Variant]:
    """Several samples in one folder or below it; filtered beside raw; what is left open is refused."""
    for zipped, columns in itertools.product((GZ, PLAIN), ("isk", "is", "s")):
        options = {"zipped": zipped, "columns": columns}
        yield Variant(
            "folder",
            f"two prefixes, {options}",
            _prefixed(("GSM1_a_", "GSM2_b_"), **options),
            two("GSM1_a", "GSM2_b"),
        )
        for shared in ("GSE9_features.tsv.gz", "features.tsv", "GSE9_genes.tsv"):
            write = _prefixed(("GSM1_a_", "GSM2_b_"), without=(2,), shared=shared, **options)
            yield Variant("folder", f"shared {shared}, {options}", write, two("GSM1_a", "GSM2_b"))
    places = {
        "a": "b",
        "GSM1_a/outs": "GSM2_b/outs",
        f"a/{V3}": f"b/{V3}",
        f"a/outs/{V2}/hg19": f"b/outs/{V2}/hg19",
        "x/a": "y/b",
    }
    for first, second in places.items():
        names = [
            next(part for part in place.split("/") if part not in ("x", "y"))
            for place in (first, second)
        ]
        yield Variant(
            "folder",
            f"triples in {first} and {second}",
            _both(write_triple, (first, second)),
            two(*names),
        )
    yield Variant("folder", "two h5", _both(write_10x_h5, ("a.h5", "b.h5")), two("a", "b"))
    yield Variant(
        "folder", "two h5 below", _both(write_10x_h5, (f"a/{V3}.h5", f"b/{V3}.h5")), two("a", "b")
    )
    yield Variant(
        "folder", "two tables", _both(write_dense, ("a.csv.gz", "b.csv.gz")), two("a", "b")
    )
    yield Variant("folder", "two looms", _both(write_loom, ("a.loom", "b.loom")), two("a", "b"))
    yield Variant(
        "folder",
        "two h5ad",
        _both(lambda path, half: write_h5ad(path, annotated(half)), ("a.h5ad", "b.h5ad")),
        two("a", "b"),
    )
    readme = partial(put, data="About this\nnothing to count\n")
    notes = lambda at: (
        readme(at / "README.txt"),
        put(at / "meta.csv", "cell,type\nA,T cell\n"),
        put(at / "._a.csv", "x"),
    )
    yield Variant(
        "folder",
        "tables beside notes",
        _beside(lambda at: write_dense(at / "a.csv"), notes),
        one("a"),
    )
    yield Variant("folder", "triple beside notes", _beside(write_triple, notes), one("f"))
    raw = lambda at: write_triple(at / "raw_feature_bc_matrix", _unfiltered(truth()))
    yield Variant(
        "folder", "raw beside filtered", _beside(lambda at: write_triple(at / V3), raw), one("f")
    )
    both_h5 = _beside(
        lambda at: write_10x_h5(at / f"{V3}.h5"),
        lambda at: write_10x_h5(at / "raw_feature_bc_matrix.h5", _unfiltered(truth())),
    )
    yield Variant("folder", "raw h5 beside filtered h5", both_h5, one("f"))
    outs = _beside(
        lambda at: write_triple(at / V3),
        lambda at: write_10x_h5(at / f"{V3}.h5"),
        raw,
        lambda at: put(at / "metrics_summary.csv", "a,b\n1,x\n"),
    )
    yield Variant("folder", "outs of Cell Ranger", outs, one("f"))
    solo = _beside(
        lambda at: write_triple(at / "s1/Solo.out/Gene/filtered"),
        lambda at: write_triple(at / "s1/Solo.out/Gene/raw", _unfiltered(truth())),
    )
    yield Variant("folder", "STARsolo", solo, one("s1"))
    velocity = _beside(
        write_triple,
        lambda at: [
            put(at / f"{name}.mtx", mtx(truth().counts.T // 2)) for name in ("spliced", "unspliced")
        ],
    )
    yield Variant("folder", "velocity matrices beside", velocity, one("f"))
    yield Variant(
        "folder",
        "plain beside gz",
        _beside(write_triple, partial(write_triple, zipped=PLAIN)),
        one("f"),
    )
    refused = "holds several inputs"
    genomes = _both(write_triple, ("hg19", "mm10"))
    yield Variant("ambiguous", "two genomes", genomes, refusal=refused, names="f: ")
    yield Variant(
        "ambiguous",
        "h5ad and table",
        _beside(
            lambda at: write_h5ad(at / "a.h5ad", annotated()), lambda at: write_dense(at / "b.csv")
        ),
        refusal=refused,
        names="f: ",
    )
    yield Variant(
        "ambiguous",
        "raw of one, filtered of another",
        _both(write_10x_h5, (f"a_{V3}.h5", "b_raw_feature_bc_matrix.h5")),
        refusal=refused,
        names="f: ",
    )
    yield Variant(
        "ambiguous",
        "same name twice",
        _both(write_triple, ("x/a", "y/a")),
        refusal=refused,
        names="f: ",
    )
    yield Variant(
        "ambiguous",
        "two matrices, one set of lists",
        _beside(
            partial(write_triple, names=("counts.mtx", "barcodes.tsv", "genes.tsv")),
            lambda at: put(at / "matrix.mtx", mtx(truth().counts.T)),
        ),
        refusal=refused,
        names="f: ",
    )
    several = _prefixed(("GSM1_a_", "GSM2_b_"), without=(2,), shared="GSE9_features.tsv")
    yield Variant(
        "ambiguous",
        "two lists to share",
        lambda at: (
            put(at / "f" / "GSE8_features.tsv", lines(gene_rows(truth(), "is"))),
            several(at),
        )[1],
        refusal="several lists fit",
        names="f: ",
    )
    copies = lambda at: [write_h5ad(at / name, annotated()) for name in ("cells.h5ad", "part.h5ad")]
    yield Variant(
        "ambiguous",
        "the same cells twice",
        _beside(copies),
        refusal="would count twice",
        names="part.h5ad",
    )
    cells = _prefixed(("GSM1_a_", "GSM2_b_"), without=(1,))
    yield Variant(
        "ambiguous",
        "cells to share",
        lambda at: (
            put(at / "f" / "barcodes.tsv", lines((cell,) for cell in truth().cells)),
            cells(at),
        )[1],
        refusal=r"barcodes\.tsv .*is missing next to",
        names="f: ",
    )
    yield Variant(
        "folder",
        "spliced and unspliced of different cells",
        _prefixed(("spliced_", "unspliced_")),
        one("f"),
    )
    parts = _prefixed(("spliced_", "ambiguous_"))
    yield Variant(
        "ambiguous", "parts of the counts only", parts, refusal="parts of the counts", names="f: "
    )


CONTENTS: dict[str, tuple[Callable[[Path], Any], Callable[[], dict[str, pd.DataFrame]]]] = {
    "triples": (lambda at: _prefixed(("GSM1_a_", "GSM2_b_"))(at.parent), two("GSM1_a", "GSM2_b")),
    "triples with shared genes": (
        lambda at: _prefixed(("GSM1_a_", "GSM2_b_"), without=(2,), shared="GSE9_features.tsv.gz")(
            at.parent
        ),
        two("GSM1_a", "GSM2_b"),
    ),
    "triples in folders": (
        lambda at: _both(write_triple, (f"a/{V3}", f"b/{V3}"))(at.parent),
        two("a", "b"),
    ),
    "one triple": (write_triple, one("GSE1")),
    "one triple in a folder": (lambda at: write_triple(at / V3), one("GSE1")),
    "h5": (
        lambda at: _both(write_10x_h5, (f"GSM1_a_{V3}.h5", f"GSM2_b_{V3}.h5"))(at.parent),
        two("GSM1_a", "GSM2_b"),
    ),
    "tables": (
        lambda at: _both(write_dense, ("GSM1_a.csv.gz", "GSM2_b.csv.gz"))(at.parent),
        two("GSM1_a", "GSM2_b"),
    ),
    "one table": (lambda at: write_dense(at / "GSM1_a.txt", separator="\t"), one("GSM1_a")),
    "h5ad": (lambda at: write_h5ad(at / "a.h5ad", annotated(place="counts")), one("a")),
    "h5ad with samples": (lambda at: write_h5ad(at / "a.h5ad", _with_samples()), two("s1", "s2")),
    "loom": (lambda at: write_loom(at / "a.loom"), one("a")),
    "zarr": (lambda at: write_zarr(at / "a.zarr", annotated(), 2), one("a")),
    "filtered and raw": (
        lambda at: (
            write_triple(at / V3),
            write_triple(at / "raw_feature_bc_matrix", _unfiltered(truth())),
        ),
        one("GSE1"),
    ),
    "notes beside": (
        lambda at: (
            write_dense(at / "a.csv"),
            put(at / "README.txt", "About\nit\n"),
            put(at / "._a.csv", "x"),
        ),
        one("a"),
    ),
}
CONTAINERS = ("GSE1_RAW.tar", "GSE1.tar.gz", "GSE1.tgz", "GSE1.zip")


def archives() -> Iterable[Variant]:
    """What repositories pack, in every container, with and without a folder around."""
    for (content, (write, expected)), container in itertools.product(CONTENTS.items(), CONTAINERS):
        for under in ("", "./", "top/") if container.endswith("tar") else ("",):
            named = (
                (lambda: {"top": truth().frame()})
                if under == "top/" and content == "one triple"
                else expected
            )
            named = (
                (lambda: {"top": truth().frame()})
                if under == "top/" and content in ("one triple in a folder", "filtered and raw")
                else named
            )

            def packed(at: Path, w: Any = write, c: str = container, u: str = under) -> Path:
                w(at / "f")
                return pack(at / c, at / "f", under=u)

            yield Variant("archive", f"{content} in {container}, under {under!r}", packed, named)


def _hostile_tar(path: Path, *entries: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as out:
        for info, data in entries:
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return path


def _entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def unsafe() -> Iterable[Variant]:
    """Archives that would write elsewhere, swell, or hide something: refused."""
    table = b"gene,A,B\nINS,1,2\n"
    for name in ("../a.csv", "x/../../a.csv", "/tmp/a.csv", "..\\a.csv", "C:\\a.csv", "a\nb.csv"):
        for container in ("u.tar", "u.tar.gz"):
            yield Variant(
                "unsafe",
                f"path {name!r} in {container}",
                lambda at, n=name, c=container: _hostile_tar(at / c, (_entry(n), table)),
                refusal="leads out of the archive",
                names=container,
            )

        def zipped(at: Path, n: str = name) -> Path:
            with zipfile.ZipFile(at / "u.zip", "w") as out:
                out.writestr(zipfile.ZipInfo(n), table)
            return at / "u.zip"

        yield Variant(
            "unsafe",
            f"path {name!r} in zip",
            zipped,
            refusal="leads out of the archive",
            names="u.zip",
        )
    kinds = {
        "symlink": tarfile.SYMTYPE,
        "hard link": tarfile.LNKTYPE,
        "fifo": tarfile.FIFOTYPE,
        "device": tarfile.CHRTYPE,
    }
    for name, kind in kinds.items():
        write = lambda at, k=kind: _hostile_tar(
            at / "u.tar", (_entry("a.csv"), table), (_entry("b.csv", k, "/etc/passwd"), b"")
        )
        yield Variant("unsafe", name, write, refusal="scdiff does not unpack", names="u.tar")

    def linked(at: Path) -> Path:
        info = zipfile.ZipInfo("a.csv")
        info.external_attr = 0o120777 << 16
        with zipfile.ZipFile(at / "u.zip", "w") as out:
            out.writestr(info, "/etc/passwd")
        return at / "u.zip"

    yield Variant(
        "unsafe",
        "symlink in zip",
        linked,
        refusal="a link, which scdiff does not unpack",
        names="u.zip",
    )
    yield Variant(
        "unsafe",
        "same path twice",
        lambda at: _hostile_tar(at / "u.tar", (_entry("a.csv"), table), (_entry("./a.csv"), table)),
        refusal="occurs twice",
        names="u.tar",
    )
    yield Variant(
        "unsafe",
        "archive within",
        lambda at: _hostile_tar(at / "u.tar", (_entry("GSM1.tar.gz"), table)),
        refusal="holds another one",
        names="u.tar",
    )
    yield Variant(
        "unsafe",
        "empty",
        lambda at: _hostile_tar(at / "u.tar"),
        refusal="holds no matrix",
        names="u.tar",
    )


def r_objects() -> Iterable[Variant]:
    """What R saves: Seurat of every generation, SingleCellExperiment, plain matrices; version 2 and 3, packed in each way."""
    of, (first, second) = truth(), halves()
    things = {
        "dgCMatrix": R.sparse(of),
        "integer matrix": R.dense(of),
        "numeric matrix": R.dense(of, float),
        "dgTMatrix": R.triplet(of),
        "dgCMatrix, cells x genes": R.sparse(Truth(of.counts.T, of.symbols, of.cells, of.cells)),
        "data frame": R.frame(of),
        "Seurat 2": R.s4(
            "seurat",
            "Seurat",
            {"raw.data": R.sparse(of), "data": R.sparse(of, log_normalised(of.counts))},
        ),
        "Seurat 4": seurat({"RNA": assay(of)}),
        "Seurat 4 with counts as data": seurat({"RNA": assay(of, counts=False, logged=False)}),
        "Seurat 4, SCT active": seurat({"RNA": assay(of), "SCT": assay(first)}, "SCT"),
        "Seurat 4, antibodies beside": seurat({"ADT": assay(first), "RNA": assay(of)}),
        "Seurat 4, one assay of another name": seurat({"originalexp": assay(of)}, "originalexp"),
        "Seurat 5": seurat({"RNA": assay5({"counts": of})}),
        "Seurat 5 in layers": seurat({"RNA": assay5({"counts.a": first, "counts.b": second})}),
        "SingleCellExperiment": experiment(of),
        "SingleCellExperiment with names inside": experiment(of, inside=True),
        "list of a multiome": R.items({"Gene Expression": R.sparse(of), "Peaks": R.sparse(first)}),
    }
    for (name, thing), version in itertools.product(things.items(), (2, 3)):
        yield Variant(
            "R",
            f"{name}, version {version}",
            lambda at, t=thing, v=version: write_r(at / "a.rds", t, version=v),
            one("a"),
        )
    for packed in ("bzip2", "xz", ""):
        yield Variant(
            "R",
            f"packed {packed!r}",
            lambda at, p=packed: write_r(at / "a.RDS", things["Seurat 4"], packed=p),
            one("a"),
        )
    twice = lambda at: put(at / "GSM1_a.rds.gz", write_r(at / "x", things["Seurat 5"]).read_bytes())
    yield Variant("R", "gzipped twice", twice, one("GSM1_a"))
    yield Variant(
        "R", "rda", lambda at: write_r(at / "a.rda", {"pbmc": things["Seurat 4"]}), one("a")
    )
    yield Variant(
        "R",
        "RData with a note",
        lambda at: write_r(at / "a.RData", {"note": R.texts(["x"]), "m": things["dgCMatrix"]}),
        one("a"),
    )
    for name, said in (("Seurat 4", "log-normalised"), ("SCE", "log-normalised")):
        logged = {
            "Seurat 4": seurat({"RNA": assay(of, counts=False)}),
            "SCE": experiment(of, ("logcounts",)),
        }[name]
        yield Variant(
            "R state",
            name,
            lambda at, t=logged: write_r(at / "a.rds", t),
            refusal=said,
            names="a.rds",
        )
    refused = {
        "text": R.texts(["x"]),
        "matrix without names": R.sparse(of, names=False),
        "integrated only": seurat({"integrated": assay(of)}, "integrated"),
        "two assays of unknown names": seurat({"A": assay(of), "B": assay(of)}, "integrated"),
    }
    for name, thing in refused.items():
        yield Variant(
            "R refused",
            name,
            lambda at, t=thing: write_r(at / "a.rds", t),
            refusal=r"In R: .*writeMM",
            names="a.rds",
        )
    beside = {
        "m": things["dgCMatrix"],
        "meta": R.frame(Truth(of.counts[:, :5].T, of.symbols[:5], of.cells, of.cells)),
    }
    yield Variant(
        "R", "numbers of the cells beside", lambda at: write_r(at / "a.rda", beside), one("a")
    )
    both = {"a": things["dgCMatrix"], "b": things["Seurat 4"]}
    yield Variant(
        "R refused",
        "two objects",
        lambda at: write_r(at / "a.rda", both),
        refusal="holds a, b",
        names="a.rda",
    )
    yield Variant(
        "R refused",
        "cut off",
        lambda at: put(
            at / "a.rds", gzip.decompress(write_r(at / "b", things["Seurat 4"]).read_bytes())[:9000]
        ),
        refusal="truncated|cannot be read",
        names="a.rds",
    )


def shifted() -> Iterable[Variant]:
    """Lists and matrices that do not fit, where taking them would put counts under other names; transposed and square ones."""
    of = truth()
    longer = Truth(of.counts, of.cells, ("GENE0", *of.symbols), ("GENE00", *of.ids))
    fewer = Truth(of.counts[:, 1:], of.cells, of.symbols[1:], of.ids[1:])

    def triple(at: Path, genes: Truth, cells: Sequence[str] = of.cells, **options: Any) -> Path:
        folder = write_triple(at / "f", of, **options)
        put(
            folder / "features.tsv.gz",
            options.get("heading", "") + lines(gene_rows(genes, options.get("columns", "isk"))),
        )
        put(folder / "barcodes.tsv.gz", lines((cell,) for cell in cells))
        return folder

    for kind, said in (
        ("pattern general", "pattern"),
        ("integer symmetric", "symmetric"),
        ("complex general", "complex"),
    ):
        odd = lambda at, k=kind: (
            put(
                write_triple(at / "f") / "matrix.mtx.gz",
                mtx(of.counts.T).replace("integer general", k, 1),
            ).parent
        )
        yield Variant(
            "odd matrix", kind, odd, refusal=f"the matrix is {said}", names="matrix.mtx.gz"
        )

    def claiming(at: Path) -> Path:
        heading = "%%MatrixMarket matrix coordinate integer general\n9 9 99999999\n1 1 1\n"
        return put(write_triple(at / "f", zipped=PLAIN) / "matrix.mtx", heading).parent

    yield Variant(
        "odd matrix",
        "more entries claimed than there are",
        claiming,
        refusal="more than the file can hold",
        names="matrix.mtx",
    )
    said, cut = (
        "does not look like a header",
        "do not belong together|is a header, so one name is missing",
    )
    yield Variant(
        "shifted",
        "one gene more",
        partial(triple, genes=longer),
        refusal=said,
        names="features.tsv.gz",
    )
    yield Variant(
        "shifted",
        "one gene more, turned",
        partial(triple, genes=longer, turned=True),
        refusal=said,
        names="features.tsv.gz",
    )
    yield Variant(
        "shifted",
        "one cell more",
        partial(triple, genes=of, cells=[*of.cells, barcodes(99)[-1]]),
        refusal=said,
        names="barcodes.tsv.gz",
    )
    yield Variant(
        "shifted",
        "one gene less",
        partial(triple, genes=fewer),
        refusal=cut,
        names="features.tsv.gz",
    )
    yield Variant(
        "shifted",
        "one cell less",
        partial(triple, genes=of, cells=of.cells[1:]),
        refusal=cut,
        names="barcodes.tsv.gz",
    )
    headed = lambda at: (
        put(
            write_triple(at / "f") / "features.tsv.gz",
            "gene_id\tgene_name\n" + lines(gene_rows(fewer, "is")),
        ).parent
    )
    yield Variant(
        "shifted", "a heading, and one gene less", headed, refusal=cut, names="features.tsv.gz"
    )
    yield Variant(
        "shifted",
        "lists exchanged",
        lambda at: write_triple(at / "f", names=("matrix.mtx", "features.tsv", "barcodes.tsv")),
        refusal="transposed|do not belong|not distinguish",
        names="f",
    )
    square = Truth(of.counts[:, :N_CELLS], of.cells, of.symbols[:N_CELLS], of.ids[:N_CELLS])
    yield Variant(
        "transposed",
        "h5ad",
        lambda at: write_h5ad(at / "a.h5ad", annotated().T.copy()),
        refusal="the matrix is transposed",
        names="a.h5ad",
    )
    rare = [at for at, name in enumerate(of.symbols) if not name.startswith(("RP", "MT-"))][:80]
    few = Truth(
        of.counts[:, rare],
        of.cells,
        tuple(of.symbols[at] for at in rare),
        tuple(of.ids[at] for at in rare),
    )
    yield Variant(
        "transposed",
        "h5ad of few genes",
        lambda at: write_h5ad(at / "a.h5ad", annotated(few).T.copy()),
        refusal="the matrix is transposed",
        names="a.h5ad",
    )
    yield Variant(
        "transposed",
        "h5ad of few genes, counts in raw",
        lambda at: write_h5ad(at / "a.h5ad", annotated(few, place="counts").T.copy()),
        refusal="the matrix is transposed",
        names="a.h5ad",
    )
    yield Variant(
        "transposed",
        "loom",
        lambda at: write_loom(at / "a.loom", few, turned=True),
        refusal="the matrix is transposed",
        names="a.loom",
    )
    yield Variant(
        "square", "triple", lambda at: write_triple(at / "f", square), one("f", of=square)
    )
    yield Variant(
        "square",
        "triple turned",
        lambda at: write_triple(at / "f", square, turned=True),
        one("f", of=square),
    )
    unheard = Truth(
        square.counts,
        of.cells,
        tuple(f"Q{at}" for at in range(N_CELLS)),
        tuple(f"Q{at}" for at in range(N_CELLS)),
    )
    for turned in (False, True):
        yield Variant(
            "square",
            f"genes unheard of, turned {turned}",
            lambda at, t=turned: write_triple(at / "f", unheard, turned=t),
            refusal="the matrix is square",
            names="matrix.mtx.gz",
        )


def states() -> Iterable[Variant]:
    """Values that are no counts, in every container."""
    writers: dict[str, Callable[[Path, np.ndarray], Path]] = {
        "h5ad": lambda at, values: write_h5ad(at / "a.h5ad", annotated(values=values)),
        "h5ad before 0.7": lambda at, values: write_h5ad_06(
            at / "a.h5ad",
            Truth(values, truth().cells, truth().symbols, truth().ids),
            stored="dense",
        ),
        "triple": lambda at, values: write_triple(
            at / "a", Truth(values, truth().cells, truth().symbols, truth().ids), field_name="real"
        ),
        "dense": lambda at, values: write_dense(at / "a.csv.gz", values=values),
        "10x h5": lambda at, values: write_10x_h5(at / "a.h5", values=values),
        "loom": lambda at, values: write_loom(at / "a.loom", values=values, dtype=np.float64),
    }
    for (state, (turn, said)), (container, write) in itertools.product(
        STATES.items(), writers.items()
    ):
        yield Variant(
            "state",
            f"{state}, {container}",
            lambda at, w=write, t=turn: w(at, t(truth().counts)),
            refusal=said,
            names="/a",
        )


def variants() -> list[Variant]:
    """All of them."""
    families = (
        triples,
        lists,
        cell_names,
        duplicated,
        dense,
        tables_of_more,
        hdf5,
        h5ads,
        folders,
        archives,
        unsafe,
        r_objects,
        shifted,
        states,
    )
    return [variant for family in families for variant in family()]
