"""One batch in the forms of three tools gives the same table of fractions, byte for byte."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scdiff.genes import annotation
from scdiff.run.pipeline import resolve, run
from scdiff.simulate import BatchDesign, simulate

N_CELLS, N_GENES = 240, 450
SPLICED, UNSPLICED, AMBIGUOUS = 0.6, 0.7, 1.0
"""Shares of the counts of each part, each of what the parts before it left."""

Parts = dict[str, pd.DataFrame]


def draw() -> Parts:
    """Spliced, unspliced and ambiguous counts of one batch; cells x genes, genes by Ensembl id."""
    batch = simulate(
        n_cells=N_CELLS, fraction=0.1, depth=3_000, design=BatchDesign(n_genes=N_GENES), seed=4
    )
    stable = {symbol: name for name, symbol in annotation("human").symbols.items()}
    names = [stable.get(name, name) for name in batch.var_names]
    left, rng = batch.layers["counts"].toarray().astype(int), np.random.default_rng(0)
    cells, parts = [name.rpartition(":")[2].removesuffix("-1") for name in batch.obs_names], {}
    for part, share in (("spliced", SPLICED), ("unspliced", UNSPLICED), ("ambiguous", AMBIGUOUS)):
        drawn = rng.binomial(left, share)
        parts[part], left = pd.DataFrame(drawn, cells, names), left - drawn
    return parts


def put(path: Path, text: str) -> None:
    """Write a file, gzipped if its name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode()
    path.write_bytes(gzip.compress(data, 1, mtime=0) if path.suffix == ".gz" else data)


def mtx(values: np.ndarray) -> str:
    """Matrix Market text."""
    found = sparse.coo_matrix(values)
    rows = zip(found.row + 1, found.col + 1, found.data, strict=True)
    body = "".join(f"{row} {column} {value}\n" for row, column, value in rows)
    head = "%%MatrixMarket matrix coordinate integer general\n"
    return f"{head}{values.shape[0]} {values.shape[1]} {found.nnz}\n{body}"


def lines(names: object) -> str:
    """One name a line."""
    return "".join(f"{name}\n" for name in names)


def write_usa(folder: Path, parts: Parts) -> Path:
    """USA mode of alevin-fry: three rows for each gene."""
    at = folder / "s1" / "af_quant"
    whole = np.hstack([frame.to_numpy() for frame in parts.values()])
    genes = next(iter(parts.values())).columns
    put(at / "alevin" / "quants_mat.mtx", mtx(whole))
    put(at / "alevin" / "quants_mat_rows.txt", lines(parts["spliced"].index))
    put(
        at / "alevin" / "quants_mat_cols.txt",
        lines(f"{gene}{end}" for end in ("", "-U", "-A") for gene in genes),
    )
    put(at / "quant.json", f'{{"usa_mode": true, "num_genes": {3 * len(genes)}}}')
    return at


def write_nac(folder: Path, parts: Parts) -> Path:
    """Workflow nac of kb: a matrix for each part."""
    at = folder / "s1" / "counts_unfiltered"
    for name, frame in zip(("mature", "nascent", "ambiguous"), parts.values(), strict=True):
        put(at / f"cells_x_genes.{name}.mtx", mtx(frame.to_numpy()))
    put(at / "cells_x_genes.barcodes.txt", lines(parts["spliced"].index))
    put(at / "cells_x_genes.genes.txt", lines(parts["spliced"].columns))
    return at


def write_10x(folder: Path, parts: Parts) -> Path:
    """Cell Ranger: one matrix of all counts."""
    at = folder / "s1" / "outs" / "filtered_feature_bc_matrix"
    whole = sum(parts.values())
    known = annotation("human").symbols
    put(at / "matrix.mtx.gz", mtx(whole.to_numpy().T))
    put(at / "barcodes.tsv.gz", lines(f"{name}-1" for name in whole.index))
    rows = (f"{gene}\t{known.get(gene, gene)}\tGene Expression" for gene in whole.columns)
    put(at / "features.tsv.gz", lines(rows))
    return at


FORMS: dict[str, tuple[Callable[[Path, Parts], Path], str]] = {
    "10x": (write_10x, "auto"),
    "nac": (write_nac, "auto"),
    "USA": (write_usa, "S+U+A"),
}


@pytest.mark.slow
def test_three_forms_of_the_same_cells_give_the_same_table(tmp_path: Path) -> None:
    parts = draw()
    tables = {}
    for name, (write, matrix) in FORMS.items():
        given = write(tmp_path / name, parts)
        options = {"inputs": [given], "load": {"matrix": matrix}, "call": {"null_sets": 20}}
        run(resolve(options), tmp_path / f"out {name}")
        tables[name] = (tmp_path / f"out {name}" / "tables" / "fractions.csv").read_bytes()
    rows = pd.read_csv(io.BytesIO(tables["10x"])).query("state == 'progenitor_like'")
    assert list(rows["sample"]) == ["all", "s1"]
    assert (rows["n_called"] > 10).all()
    assert tables["USA"] == tables["nac"] == tables["10x"]


@pytest.mark.slow
def test_spliced_counts_alone_give_another_table(tmp_path: Path) -> None:
    parts = draw()
    tables = []
    for matrix in ("S+U+A", "S"):
        given = write_usa(tmp_path / matrix, parts)
        options = {"inputs": [given], "load": {"matrix": matrix}, "call": {"null_sets": 0}}
        run(resolve(options), tmp_path / f"out {matrix}")
        tables.append((tmp_path / f"out {matrix}" / "tables" / "fractions.csv").read_bytes())
    assert tables[0] != tables[1]
