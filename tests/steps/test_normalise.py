"""normalise: equal depth, then the logarithm."""

from __future__ import annotations

import numpy as np
import pytest
import scanpy as sc
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from scdiff import keys
from scdiff.errors import ConfigError, MissingKeyError
from scdiff.steps.normalise import normalise


def test_equals_scanpy(batch):
    adata = batch(40, 60)
    expected = adata.copy()
    expected.X = expected.layers["counts"].copy()
    sc.pp.normalize_total(expected, target_sum=1e4)
    sc.pp.log1p(expected)
    normalise(adata)
    np.testing.assert_allclose(adata.X.toarray(), expected.X.toarray(), rtol=1e-5)


@settings(deadline=None)  # the first call compiles
@given(depth=st.integers(1, 50), target=st.floats(1, 1e6))
def test_every_cell_adds_up_to_the_target(depth, target):
    from anndata import AnnData

    counts = sparse.csr_matrix(np.random.default_rng(depth).poisson(depth, size=(5, 8)) + 1)
    adata = AnnData(layers={"counts": counts})
    normalise(adata, target_sum=target)
    np.testing.assert_allclose(
        np.expm1(adata.X.toarray().astype(float)).sum(axis=1), target, rtol=1e-4
    )


def test_counts_stay_and_the_type_is_as_promised(batch):
    adata = batch(30, 40)
    before = adata.layers["counts"].copy()
    normalise(adata)
    assert (adata.layers["counts"] != before).nnz == 0
    assert sparse.issparse(adata.X)
    assert adata.X.format == "csr"
    assert adata.X.dtype == np.float32
    assert not np.shares_memory(adata.X.data, adata.layers["counts"].data)
    assert keys.has(adata, keys.LOGNORM)


def test_integer_and_dense_counts_give_the_same(batch):
    adata, whole, dense = batch(30, 40), batch(30, 40), batch(30, 40)
    whole.layers["counts"] = whole.layers["counts"].astype(np.int32)
    dense.layers["counts"] = dense.layers["counts"].toarray()
    for each in (adata, whole, dense):
        normalise(each)
    np.testing.assert_array_equal(adata.X.toarray(), whole.X.toarray())
    np.testing.assert_array_equal(adata.X.toarray(), dense.X.toarray())


def test_a_cell_without_counts_stays_zero(batch):
    adata = batch(5, 20)
    counts = adata.layers["counts"].toarray()
    counts[2] = 0
    adata.layers["counts"] = sparse.csr_matrix(counts)
    normalise(adata)
    assert np.isfinite(adata.X.toarray()).all()
    assert adata.X[2].nnz == 0


def test_order_does_not_matter(batch, shuffled):
    adata = batch(30, 40)
    other = shuffled(adata)
    normalise(adata)
    normalise(other)
    np.testing.assert_array_equal(
        adata.X.toarray(), other[adata.obs_names, adata.var_names].X.toarray()
    )


def test_result_can_be_written_and_read(batch, tmp_path):
    adata = batch(10, 20)
    normalise(adata)
    adata.write_h5ad(tmp_path / "x.h5ad")
    assert keys.has(sc.read_h5ad(tmp_path / "x.h5ad"), keys.LOGNORM)


def test_refuses_a_target_of_zero_and_a_missing_layer(batch):
    adata = batch(10, 20)
    with pytest.raises(ConfigError, match="'target_sum' is 0"):
        normalise(adata, target_sum=0)
    del adata.layers["counts"]
    with pytest.raises(MissingKeyError, match=r'normalise reads layers\["counts"\]'):
        normalise(adata)
