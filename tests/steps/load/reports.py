"""Files shaped like those of public bug reports, each with the matrix that must be loaded or the refusal that must come.

Every file is made here: 80 cells of 300 genes. ``tests/steps/load/test_reports.py`` loads each one.
"""

from __future__ import annotations

import gzip
import re
import tarfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from scdiff.errors import ScdiffError
from scdiff.genes import annotation
from scdiff.steps.load.step import load, look_at, plan_inputs

N_CELLS, N_GENES = 80, 300
MARKERS = ("PDX1", "NKX6-1", "INS", "NEUROG3")
TEXT = h5py.string_dtype()


# ---------------------------------------------------------------- the truth


@cache
def known() -> dict[str, str]:
    """Ensembl id of each gene of the files, by symbol: coding genes and the markers, sorted by symbol."""
    of = annotation("human")
    stable = {symbol: name for name, symbol in of.symbols.items()}
    plain = [name for name in sorted(of.coding) if re.fullmatch("[A-Z]{2}[A-Z0-9]+", name)]
    chosen = [*plain[:: len(plain) // N_GENES][: N_GENES - len(MARKERS)], *MARKERS]
    return {name: stable[name] for name in sorted(chosen)}


def barcodes(
    n_cells: int = N_CELLS, suffix: str = "-1", seed: int = 0, length: int = 16
) -> list[str]:
    """Names of cells, all different."""
    drawn = np.random.default_rng(seed).integers(0, 4, (n_cells, length))
    return ["".join("ACGT"[base] for base in row) + suffix for row in drawn]


def truth(seed: int = 0, n_cells: int = N_CELLS) -> pd.DataFrame:
    """Counts, cells x genes; another seed gives other cells of the same kind."""
    level = np.random.default_rng(99).lognormal(-0.5, 1.3, N_GENES)
    rng = np.random.default_rng(seed)
    depth = rng.gamma(4, 0.25, (n_cells, 1))
    return pd.DataFrame(
        rng.poisson(depth * level), index=barcodes(n_cells, seed=seed), columns=list(known())
    )


def logged(counts: pd.DataFrame, base: float = np.e) -> pd.DataFrame:
    """Log-normalised counts."""
    total = counts.sum(axis=1).to_numpy()[:, None]
    return np.log1p(counts / total * 10_000) / np.log(base)


def named(counts: pd.DataFrame, prefix: str = "", suffix: str = "") -> pd.DataFrame:
    """Counts with something before and after the name of each cell."""
    return counts.set_axis([f"{prefix}{name}{suffix}" for name in counts.index], axis=0)


def variable() -> list[str]:
    """The genes of a choice of variable ones; two markers are not among them."""
    return [name for place, name in enumerate(known()) if place % 4 == 1 or name in MARKERS[:2]]


# ---------------------------------------------------------------- writers


def put(path: Path, data: bytes | str) -> Path:
    """Write a file, gzipped if its name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = data.encode() if isinstance(data, str) else data
    path.write_bytes(gzip.compress(data, 1, mtime=0) if path.suffix == ".gz" else data)
    return path


def mtx(counts: pd.DataFrame, kind: str = "integer", head: str = "%\n", number: str = "") -> str:
    """Matrix of genes x cells as a Matrix Market file."""
    found = sparse.coo_matrix(counts.to_numpy().T)
    lines = "".join(
        f"{row + 1} {column + 1} {value}{number}\n"
        for row, column, value in zip(found.row, found.col, found.data, strict=True)
    )
    size = f"{found.shape[0]} {found.shape[1]} {found.nnz}\n"
    return f"%%MatrixMarket matrix coordinate {kind} general\n{head}{size}{lines}"


def features(counts: pd.DataFrame, columns: Sequence[str] = ("id", "name", "kind")) -> str:
    """List of the genes of a 10x folder."""
    rows = (
        {"id": known().get(name, name), "name": name, "kind": "Gene Expression"}
        for name in counts.columns
    )
    return "".join("\t".join(row[column] for column in columns) + "\n" for row in rows)


def triple(
    folder: Path,
    counts: pd.DataFrame,
    *,
    prefix: str = "",
    genes: str | None = None,
    names: str = "features.tsv",
    gz: str = ".gz",
    matrix: str | None = None,
) -> Path:
    """10x folder."""
    put(folder / f"{prefix}matrix.mtx{gz}", mtx(counts) if matrix is None else matrix)
    put(folder / f"{prefix}barcodes.tsv{gz}", "\n".join(counts.index) + "\n")
    put(folder / f"{prefix}{names}{gz}", features(counts) if genes is None else genes)
    return folder


def adata(
    counts: pd.DataFrame, values: pd.DataFrame | None = None, **columns: Any
) -> anndata.AnnData:
    """Object with ``values`` (the counts, if missing) in X, and columns about its cells."""
    matrix = counts if values is None else values
    obs = pd.DataFrame(columns, index=matrix.index)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return anndata.AnnData(
            sparse.csr_matrix(matrix.to_numpy(np.float32)),
            obs=obs,
            var=pd.DataFrame(index=matrix.columns),
        )


def layer(counts: pd.DataFrame) -> sparse.csr_matrix:
    """Counts as a layer."""
    return sparse.csr_matrix(counts.to_numpy(np.float32))


def h5ad(path: Path, made: anndata.AnnData) -> Path:
    """Write an object."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.write_h5ad(path)
    return path


def tenx(path: Path, counts: pd.DataFrame, kinds: Sequence[str] | None = None, **more: Any) -> Path:
    """10x h5; ``kinds`` are the types of its features, empty for a file without them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = sparse.csc_matrix(counts.to_numpy().T.astype(np.int32))
    listed = {
        "id": [known().get(name, name) for name in counts.columns],
        "name": list(counts.columns),
        "feature_type": ["Gene Expression"] * counts.shape[1] if kinds is None else list(kinds),
        "genome": ["GRCh38"] * counts.shape[1],
    } | more
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["barcodes"] = np.array(list(counts.index), dtype="S")
        group["data"], group["indices"], group["indptr"] = found.data, found.indices, found.indptr
        group["shape"] = np.array(found.shape)
        for name, values in listed.items():
            if len(values):
                group[f"features/{name}"] = np.array(values, dtype="S")
    return path


def loom(
    path: Path,
    counts: pd.DataFrame,
    *,
    gene: str = "Gene",
    cell: str = "CellID",
    layers: Mapping[str, pd.DataFrame] | None = None,
    attrs: bool = True,
) -> Path:
    """Loom file, the names of its attributes as given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["matrix"] = counts.to_numpy().T.astype(np.float32)
        file.create_dataset(f"row_attrs/{gene}", data=list(counts.columns), dtype=TEXT)
        file.create_dataset(f"col_attrs/{cell}", data=list(counts.index), dtype=TEXT)
        for name in ("layers", "row_graphs", "col_graphs", *(["attrs"] if attrs else [])):
            file.create_group(name)
        for name, values in (layers or {}).items():
            file[f"layers/{name}"] = values.to_numpy().T.astype(np.float32)
        if attrs:
            file.create_dataset("attrs/LOOM_SPEC_VERSION", data="3.0.0", dtype=TEXT)
    return path


def table(path: Path, counts: pd.DataFrame, sep: str = "\t", **options: Any) -> Path:
    """Genes x cells as text."""
    return put(path, counts.T.to_csv(sep=sep, **options))


def tar(path: Path, folder: Path) -> Path:
    """Pack a folder."""
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, arcname=folder.name)
    return path


# ---------------------------------------------------------------- what must come of a file


@dataclass(frozen=True)
class Right:
    """What must come of the inputs.

    Parameters
    ----------
    inputs
        What is given to ``load``.
    samples
        Counts by sample, in the order of the samples.
    refusal
        Regular expression of the sentence that must come instead.
    said
        Regular expression that the notes and the repairs must match.
    options
        Options of ``load``.
    also
        Further check of the loaded object; returns what is wrong.
    unwritten
        A file that only hostile content would write.
    """

    inputs: Any
    samples: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    refusal: str = ""
    said: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    also: Callable[[anndata.AnnData], str] = lambda _loaded: ""
    unwritten: Path | None = None


@dataclass(frozen=True)
class Report:
    """One public report: where it is, its kind, what it says, and how its file is made."""

    source: str
    kind: str
    says: str
    make: Callable[[Path], Right]

    def __str__(self) -> str:
        return f"{self.source} {self.make.__name__}"


REPORTS: dict[str, Report] = {}
"""Reports by their text: pytest may import the file of cases twice, for its tests and for its doctests."""
KINDS = (
    "same cells twice",
    "part of the counts",
    "samples pooled or renamed",
    "genes absent",
    "variable genes preferred",
    "tracebacks",
    "species",
    "readable files refused",
    "hostile files",
)


def report(source: str, kind: str, says: str) -> Callable[[Callable[[Path], Right]], Any]:
    """Add a report to the table."""

    def add(make: Callable[[Path], Right]) -> Callable[[Path], Right]:
        one = Report(source, kind, says, make)
        line = REPORTS.setdefault(str(one), one).make.__code__.co_firstlineno
        assert line == make.__code__.co_firstlineno, f"{one}: two cases have this name"
        return make

    return add


def find_fault(right: Right) -> str:
    """Load the inputs, and return what is wrong; empty for nothing."""
    refused, loaded = "", None
    try:
        loaded = load(right.inputs, **right.options)
    except ScdiffError as error:
        refused = str(error)
    looked = _find_faults_of_look(right)
    if right.unwritten is not None and right.unwritten.exists():
        return f"{right.unwritten.name} was written"
    if bool(looked) != bool(refused):
        return f"check and load differ: {looked} and {refused!r}"
    if right.refusal or loaded is None:
        is_right = right.refusal and re.search(right.refusal, refused)
        return "" if is_right else f"refused: {refused!r}; expected {right.refusal!r}"
    return _compare(loaded, right)


def _find_faults_of_look(right: Right) -> list[str]:
    """What ``scdiff check`` says against the inputs."""
    samples = {name: right.options[name] for name in ("samples",) if name in right.options}
    options = {
        name: right.options[name]
        for name in ("species", "matrix", "recover")
        if name in right.options
    }
    try:
        return look_at(plan_inputs(right.inputs, **samples), **options)[1]
    except ScdiffError as error:
        return [str(error)]


def _compare(loaded: anndata.AnnData, right: Right) -> str:
    """Compare samples, cells, genes and counts."""
    samples = loaded.obs["sample"].astype(str).to_numpy()
    if list(dict.fromkeys(samples)) != list(right.samples):
        return f"samples {list(dict.fromkeys(samples))} instead of {list(right.samples)}"
    for name, frame in right.samples.items():
        part = loaded[samples == name]
        cells = [cell.removeprefix(f"{name}:") for cell in part.obs_names]
        found = pd.DataFrame(part.layers["counts"].toarray(), index=cells, columns=part.var_names)
        if set(found.columns) != set(frame.columns):
            odd = sorted(set(found.columns) ^ set(frame.columns))
            return f"{name}: {found.shape[1]} genes instead of {frame.shape[1]}, such as {odd[:4]}"
        if list(found.index) != list(frame.index):
            return f"{name}: {len(found)} cells {cells[:2]} instead of {len(frame)} {list(frame.index[:2])}"
        if not np.array_equal(found[frame.columns].to_numpy(), frame.to_numpy()):
            return f"{name}: the counts differ"
    record = loaded.uns["scdiff"]["input"]
    sentences = " | ".join([*record["notes"], *record["repairs"]])
    if not re.search(right.said, sentences):
        return f"said {sentences!r}; expected {right.said!r}"
    return right.also(loaded)
