"""Blockwise writing: what anndata reads is what was given."""

from __future__ import annotations

import anndata
import h5py
import numpy as np
import pytest
from scipy import sparse

from scdiff.compute import blocks as _blocks
from scdiff.steps.normalise import normalise
from scdiff.storage import matrices
from scdiff.storage.h5ad import write_h5ad


@pytest.mark.parametrize("chunk", [1, 64, 1 << 18])
@pytest.mark.parametrize("block", [3, 1_000])
def test_counts_and_values_come_back(finished, tmp_path, monkeypatch, chunk, block):
    monkeypatch.setattr(matrices, "CHUNK", chunk)
    monkeypatch.setattr(_blocks, "BLOCK", block)
    part = finished[:40, :30].copy()
    normalise(part, store=False)
    write_h5ad(part, tmp_path / "a.h5ad")
    back = anndata.read_h5ad(tmp_path / "a.h5ad")
    np.testing.assert_array_equal(back.layers["counts"].toarray(), part.layers["counts"].toarray())
    assert back.layers["counts"].dtype == part.layers["counts"].dtype
    normalise(part)
    np.testing.assert_array_equal(back.X.toarray(), part.X.toarray())


def test_the_two_matrices_share_their_places_and_are_compressed(finished, tmp_path):
    normalise(finished, store=False)
    write_h5ad(finished, tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad") as stored:
        assert stored["X/indices"].id == stored["layers/counts/indices"].id
        assert stored["X/data"].compression == "gzip"


def test_no_counts_at_all_can_be_written(finished, tmp_path):
    finished.layers["counts"] = sparse.csr_matrix(finished.shape, dtype=np.float32)
    normalise(finished, store=False)
    write_h5ad(finished, tmp_path / "a.h5ad")
    assert anndata.read_h5ad(tmp_path / "a.h5ad").X.nnz == 0


def test_a_file_that_was_read_back_is_cut_in_steps(finished, tmp_path):
    normalise(finished, store=False)
    write_h5ad(finished, tmp_path / "a.h5ad")
    back = anndata.read_h5ad(tmp_path / "a.h5ad")
    for values in (back.X, back.layers["counts"], *back.obsp.values()):
        assert values.indices.dtype == values.indptr.dtype
    part = back[::3].copy()
    np.testing.assert_array_equal(
        part.layers["counts"].toarray(), finished.layers["counts"][::3].toarray()
    )
