"""HDF5 readers: 10x of version 3, loom, and what an h5ad must never do."""

from __future__ import annotations

from typing import Any

import anndata
import h5py
import numpy as np
import pytest
import scanpy as sc
from scipy import sparse

from scdiff.errors import InputError
from scdiff.steps.load.readers import loom
from scdiff.steps.load.step import load


def test_10x_h5_agrees_with_scanpy(batch, write_10x_h5) -> None:
    path = write_10x_h5(batch())
    expected = sc.read_10x_h5(path)
    adata = load([path])
    assert list(adata.obs_names) == list(expected.obs_names)
    assert list(adata.var["gene_id"]) == list(expected.var["gene_ids"])
    assert (adata.layers["counts"] != expected.X).nnz == 0


def test_10x_h5_without_feature_types(batch, write_10x_h5) -> None:
    path = write_10x_h5(batch())
    with h5py.File(path, "a") as handle:
        del handle["matrix/features/feature_type"], handle["matrix/features/genome"]
    assert (load([path]).layers["counts"] != batch().X).nnz == 0


def test_10x_h5_with_a_broken_index(batch, write_10x_h5) -> None:
    path = write_10x_h5(batch())
    with h5py.File(path, "a") as handle:
        handle["matrix/indices"][0] = 10_000
    with pytest.raises(
        InputError, match=r"cells\.h5: this cannot be read as 10x h5 \(v3\) \(ValueError"
    ):
        load([path])


@pytest.mark.parametrize("gene", ["Gene", "var_names", "gene_names"])
@pytest.mark.parametrize("cell", ["CellID", "obs_names"])
def test_loom_under_any_attribute_names(batch, write_loom, gene: str, cell: str) -> None:
    adata = load([write_loom(batch(), gene, cell)])
    assert list(adata.obs_names) == list(batch().obs_names)
    assert list(adata.var_names) == list(batch().var_names)
    assert list(adata.var["gene_id"]) == [f"ENSG{i:011d}" for i in range(8)]
    assert (adata.layers["counts"] != batch().X).nnz == 0
    assert list(adata.obs["clusterid"]) == list(range(12))


def test_loom_larger_than_one_block(batch, write_loom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loom, "_BLOCK_VALUES", 30)
    assert (load([write_loom(batch())]).layers["counts"] != batch().X).nnz == 0


@pytest.mark.parametrize(
    ("gene", "cell", "said"), [("number", "CellID", "genes"), ("Gene", "number", "cells")]
)
def test_loom_without_names(batch, write_loom, gene: str, cell: str, said: str) -> None:
    path = write_loom(batch(), gene, cell)
    with h5py.File(path, "a") as handle:
        del handle["row_attrs/Accession"]
    with pytest.raises(InputError, match=rf"cells\.loom: this loom file does not name its {said}"):
        load([path])


def test_uns_of_an_h5ad_is_never_opened(write) -> None:
    path = write()
    with h5py.File(path, "a") as handle:
        handle["uns"].create_dataset("poison", data=np.void(b"\x80\x04cposix\nsystem\n."))
        handle["uns/poison"].attrs["encoding-type"] = "pickle"
    assert load([path]).n_obs == 12


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_h5ad_written_before_anndata_0_7(batch, tmp_path) -> None:
    adata = batch()
    with h5py.File(tmp_path / "old.h5ad", "w") as handle:
        group = handle.create_group("X")
        matrix = sparse.csr_matrix(adata.X)
        group.attrs["h5sparse_format"], group.attrs["h5sparse_shape"] = "csr", matrix.shape
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(matrix, name)
        for slot, names in (("obs", adata.obs_names), ("var", adata.var_names)):
            rows = np.array(
                [(name, 1.0) for name in names], dtype=[("index", "S20"), ("number", "f8")]
            )
            handle.create_dataset(slot, data=rows)
    loaded = load([tmp_path / "old.h5ad"])
    assert list(loaded.var_names) == list(adata.var_names)
    assert list(loaded.obs_names) == list(adata.obs_names)
    assert (loaded.layers["counts"] != adata.X).nnz == 0


def _cut(batch, raw: Any, kept: slice, **layers: Any) -> anndata.AnnData:
    """An object whose X was cut to some genes after raw was set."""
    whole = batch()
    whole.X = sparse.csr_matrix(raw(whole.X))
    made = whole.copy()
    made.raw = whole
    made = made[:, kept].copy()
    made.X = sparse.csr_matrix(batch()[:, kept].X)
    for name, values in layers.items():
        made.layers[name] = values(made.X)
    return made


@pytest.mark.parametrize(
    ("dense", "engine"), [(False, "memory"), (True, "memory"), (False, "dask")]
)
def test_raw_with_more_genes_goes_before_x(tmp_path, batch, dense, engine) -> None:
    """scverse/scanpy#999: X was cut to variable genes after raw was set."""
    made = _cut(batch, lambda x: x.toarray() if dense else x, slice(2, None), counts=lambda x: x)
    made.write_h5ad(tmp_path / "a.h5ad")
    loaded = load([tmp_path / "a.h5ad"], engine=engine)
    assert {"PDX1", "INS"} <= set(loaded.var_names)
    counts = loaded.layers["counts"]
    assert ((counts.compute() if engine == "dask" else counts) != batch().X).nnz == 0
    assert any(
        "X holds 6 genes, raw 8: raw has more genes" in note
        for note in loaded.uns["scdiff"]["input"]["notes"]
    )
    assert load([tmp_path / "a.h5ad"], matrix="X").n_vars == 6


def test_raw_without_counts_stays_behind_and_is_said(tmp_path, batch) -> None:
    _cut(batch, np.log1p, slice(2, None)).write_h5ad(tmp_path / "a.h5ad")
    loaded = load([tmp_path / "a.h5ad"])
    assert loaded.n_vars == 6
    assert any(
        "raw 8, but raw has no counts" in note for note in loaded.uns["scdiff"]["input"]["notes"]
    )


def test_raw_with_as_many_genes_stays_behind(tmp_path, batch) -> None:
    _cut(batch, lambda x: x * 2, slice(None)).write_h5ad(tmp_path / "a.h5ad")
    loaded = load([tmp_path / "a.h5ad"])
    assert (loaded.layers["counts"] != batch().X).nnz == 0
