"""HDF5 readers: 10x of version 3, loom, and what an h5ad must never do."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import scanpy as sc
from scipy import sparse

from scdiff.errors import InputError
from scdiff.steps.load import load, loom


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
    with pytest.raises(InputError, match=r"cells\.h5: this cannot be read as 10x h5 \(v3\) \(ValueError"):
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


@pytest.mark.parametrize(("gene", "cell", "said"), [("number", "CellID", "genes"), ("Gene", "number", "cells")])
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
            rows = np.array([(name, 1.0) for name in names], dtype=[("index", "S20"), ("number", "f8")])
            handle.create_dataset(slot, data=rows)
    loaded = load([tmp_path / "old.h5ad"])
    assert list(loaded.var_names) == list(adata.var_names)
    assert list(loaded.obs_names) == list(adata.obs_names)
    assert (loaded.layers["counts"] != adata.X).nnz == 0
