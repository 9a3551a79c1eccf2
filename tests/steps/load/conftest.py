"""Small files of every layout, with known counts."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
from scipy import sparse

GENES = ("PDX1", "INS", "ACTB", "GAPDH", "COL1A1", "RPL3", "VIM", "MALAT1")


def _barcodes(n_cells: int, start: int) -> list[str]:
    letters = np.array(list("ACGT"))
    rng = np.random.default_rng(start)
    return [f"{''.join(letters[rng.integers(0, 4, 16)])}-1" for _ in range(n_cells)]


@pytest.fixture
def batch() -> Callable[..., anndata.AnnData]:
    """Make an object of Poisson counts in X."""

    def make(n_cells: int = 12, genes: Sequence[str] = GENES, seed: int = 0) -> anndata.AnnData:
        matrix = np.random.default_rng(seed).poisson(2.0, (n_cells, len(genes))).astype(np.float32)
        obs, var = pd.DataFrame(index=_barcodes(n_cells, seed)), pd.DataFrame(index=list(genes))
        return anndata.AnnData(sparse.csr_matrix(matrix), obs=obs, var=var)

    return make


@pytest.fixture
def write(tmp_path: Path, batch: Callable[..., anndata.AnnData]) -> Callable[..., Path]:
    """Write an object as h5ad; the default one with any matrix in its place."""

    def to_file(content: Any = None, name: str = "batch.h5ad", **parts: Any) -> Path:
        adata = content if isinstance(content, anndata.AnnData) else batch()
        if content is not None and not isinstance(content, anndata.AnnData):
            adata.X = content
        for slot, values in parts.items():
            for key, value in values.items():
                getattr(adata, slot)[key] = value
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        adata.write_h5ad(path)
        return path

    return to_file


@pytest.fixture
def write_mtx(tmp_path: Path) -> Callable[..., Path]:
    """Write an object as a 10x triple and return its folder."""

    def to_folder(
        adata: anndata.AnnData,
        folder: str = "folder",
        prefix: str = "",
        *,
        zipped: bool = True,
        columns: int = 3,
        kinds: Sequence[str] | None = None,
    ) -> Path:
        out = tmp_path / folder
        out.mkdir(parents=True, exist_ok=True)
        types = kinds or ["Gene Expression"] * adata.n_vars
        rows = [
            (f"ENSG{i:011d}", gene, kind)
            for i, (gene, kind) in enumerate(zip(adata.var_names, types, strict=True))
        ]
        picked = [row[1:2] if columns == 1 else row[:columns] for row in rows]
        texts = {
            "barcodes.tsv": "".join(f"{name}\n" for name in adata.obs_names),
            ("features.tsv" if columns == 3 else "genes.tsv"): "".join(
                "\t".join(row) + "\n" for row in picked
            ),
        }
        for name, text in texts.items():
            data = text.encode()
            (out / f"{prefix}{name}{'.gz' if zipped else ''}").write_bytes(
                gzip.compress(data, mtime=0) if zipped else data
            )
        _mtx(out / f"{prefix}matrix.mtx{'.gz' if zipped else ''}", sparse.csr_matrix(adata.X).T)
        return out

    return to_folder


def _mtx(path: Path, matrix: Any) -> None:
    plain = path.parent / "unzipped.tmp.mtx"
    scipy.io.mmwrite(plain, sparse.coo_matrix(matrix).astype(np.int64))
    data = plain.read_bytes()
    plain.unlink()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


@pytest.fixture
def write_10x_h5(tmp_path: Path) -> Callable[..., Path]:
    """Write an object as a version 3 10x h5."""

    def to_file(
        adata: anndata.AnnData,
        *,
        kinds: Sequence[str] | None = None,
        genomes: Sequence[str] | None = None,
    ) -> Path:
        path = tmp_path / "cells.h5"
        matrix = sparse.csr_matrix(adata.X)
        with h5py.File(path, "w") as handle:
            group = handle.create_group("matrix")
            for name in ("data", "indices", "indptr"):
                group[name] = getattr(matrix, name).astype(np.int64)
            group["shape"] = np.array(matrix.shape[::-1])
            group["barcodes"] = np.array(adata.obs_names, dtype="S")
            features = {
                "id": [f"ENSG{i:011d}" for i in range(adata.n_vars)],
                "name": list(adata.var_names),
                "feature_type": kinds or ["Gene Expression"] * adata.n_vars,
                "genome": genomes or ["GRCh38"] * adata.n_vars,
            }
            for name, values in features.items():
                group[f"features/{name}"] = np.array(values, dtype="S")
        return path

    return to_file


@pytest.fixture
def write_loom(tmp_path: Path) -> Callable[..., Path]:
    """Write an object as loom, with the names of its attributes."""

    def to_file(adata: anndata.AnnData, gene: str = "Gene", cell: str = "CellID") -> Path:
        path = tmp_path / "cells.loom"
        text = h5py.string_dtype()
        with h5py.File(path, "w") as handle:
            handle["matrix"] = adata.X.toarray().T
            handle.create_dataset(f"row_attrs/{gene}", data=list(adata.var_names), dtype=text)
            handle.create_dataset(
                "row_attrs/Accession",
                data=[f"ENSG{i:011d}.3" for i in range(adata.n_vars)],
                dtype=text,
            )
            handle.create_dataset(f"col_attrs/{cell}", data=list(adata.obs_names), dtype=text)
            handle["col_attrs/ClusterID"] = np.arange(adata.n_obs)
            handle["col_attrs/_X"] = np.zeros((adata.n_obs, 2))
        return path

    return to_file
