"""Passes in blocks: the same bits for any block, any order, in memory and on dask, held to slow twins."""

from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from scdiff.compute import blocks as _blocks
from scdiff.compute import kernels as _kernels
from scdiff.compute.blocks import (
    LogNormalised,
    blocks,
    is_lazy,
    keep_rows_lazily,
    log_normalise,
    measure_cells,
    read_columns,
    read_rows,
    stack_blocks,
    sum_blocks,
)
from scdiff.compute.moments import gene_moments
from scdiff.compute.pca import Components

COUNTS = sparse.random(
    57,
    40,
    0.3,
    "csr",
    random_state=0,
    data_rvs=lambda n: np.random.default_rng(0).integers(1, 60, n),
).astype(np.float32)


def _lazy(matrix: sparse.csr_matrix, size: int = 10):
    """The same matrix as a dask array of CSR blocks."""
    dask_array = pytest.importorskip("dask.array")
    parts = [
        dask_array.from_array(
            matrix[start : start + size], chunks=(size, matrix.shape[1]), asarray=False
        )
        for start in range(0, matrix.shape[0], size)
    ]
    return dask_array.concatenate(parts, axis=0)


def _depths(block: sparse.csr_matrix) -> np.ndarray:
    return np.asarray(block.sum(axis=1, dtype=np.int64)).ravel()


def _totals(block: sparse.csr_matrix) -> np.ndarray:
    return np.asarray(block.sum(axis=0, dtype=np.int64)).ravel()


@pytest.mark.parametrize("size", [1, 7, 57, 100])
def test_any_size_of_block_gives_the_whole(size, monkeypatch):
    monkeypatch.setattr(_blocks, "BLOCK", size)
    assert [block.shape[0] for block in blocks(COUNTS)] == [
        min(size, 57 - start) for start in range(0, 57, size)
    ]
    np.testing.assert_array_equal(stack_blocks(COUNTS, _depths), _depths(COUNTS))
    np.testing.assert_array_equal(sum_blocks(COUNTS, _totals), _totals(COUNTS))
    np.testing.assert_array_equal(
        read_rows(COUNTS, np.array([5, 3])).toarray(), COUNTS[[5, 3]].toarray()
    )


@pytest.mark.parametrize("seed", range(4))
def test_rows_of_dask_come_in_the_order_asked_for(seed):
    rows = np.random.default_rng(seed).permutation(57)[: (1, 5, 30, 57)[seed]]
    np.testing.assert_array_equal(read_rows(_lazy(COUNTS), rows).toarray(), COUNTS[rows].toarray())


@pytest.mark.parametrize(
    "dropped", [[], [3], range(10, 20), range(57)], ids=["none", "one", "a block", "all"]
)
def test_rows_left_out_of_dask_are_those_left_out_of_the_matrix(dropped):
    kept = ~np.isin(np.arange(57), dropped)
    left = keep_rows_lazily(_lazy(COUNTS), kept)
    assert left.shape == (kept.sum(), 40)
    if kept.any():
        np.testing.assert_array_equal(
            stack_blocks(left, lambda block: block.toarray()), COUNTS[kept].toarray()
        )


def test_blocks_share_the_memory_of_the_matrix(monkeypatch):
    monkeypatch.setattr(_blocks, "BLOCK", 8)
    assert all(
        np.shares_memory(block.data, COUNTS.data)
        and np.shares_memory(block.indices, COUNTS.indices)
        for block in blocks(COUNTS)
    )


def test_a_kernel_is_given_the_rows_that_go_along(monkeypatch):
    monkeypatch.setattr(_blocks, "BLOCK", 10)
    along = np.arange(57)
    found = stack_blocks(COUNTS, lambda block, rows: _depths(block) * rows, along)
    np.testing.assert_array_equal(found, _depths(COUNTS) * along)


@pytest.mark.parametrize(
    "function",
    [
        gene_moments,
        lambda m: measure_cells(m, np.arange(40) < 3),
        lambda m: read_columns(m, np.array([9, 2])),
    ],
)
def test_dask_gives_the_bits_of_memory(function):
    np.testing.assert_array_equal(function(COUNTS), function(_lazy(COUNTS)))


def test_a_view_of_a_dask_array_is_one():
    whole = AnnData(layers={"counts": _lazy(COUNTS)})
    assert is_lazy(whole[:30].layers["counts"])
    assert not is_lazy(AnnData(layers={"counts": COUNTS})[:30].layers["counts"])


def test_log_normalised_values_are_computed_alike_from_memory_and_dask():
    for matrix in (COUNTS, _lazy(COUNTS)):
        values = LogNormalised(matrix, 1e4)
        found = read_columns(values, np.arange(40))
        dense = COUNTS.toarray().astype(float)
        np.testing.assert_allclose(
            found, np.log1p(dense / dense.sum(axis=1, keepdims=True) * 1e4), rtol=1e-6
        )
        np.testing.assert_array_equal(read_rows(values, np.array([4])).toarray()[0], found[4])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), linear=st.booleans())
def test_moments_equal_those_of_numpy_in_any_order(seed, linear):
    rng = np.random.default_rng(seed)
    values = log_normalise(COUNTS, 1e4)
    dense = np.expm1(values.toarray().astype(float)) if linear else values.toarray().astype(float)
    mean, variance = gene_moments(values, linear=linear)
    np.testing.assert_allclose(mean, dense.mean(axis=0), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(variance, dense.var(axis=0, ddof=1), rtol=1e-4, atol=1e-6)
    shuffled = gene_moments(values[rng.permutation(57)], linear=linear)
    np.testing.assert_array_equal(shuffled, (mean, variance))


def test_values_that_share_a_slot_of_the_memory_are_told_apart():
    values = np.array(
        [0.5, 0.5 + 1e-6, 0.5, 0.5 + 2e-6], dtype=np.float32
    )  # one slot, three values
    matrix = sparse.csr_matrix(values[:, None])
    np.testing.assert_allclose(gene_moments(matrix)[0], values.astype(float).mean(), rtol=1e-9)


def test_products_are_those_of_the_dense_matrix_in_any_order_of_columns():
    rng, chosen = np.random.default_rng(0), np.array([30, 4, 17, 8])
    for columns in (np.sort(chosen), chosen):
        places = np.full(40, -1, dtype=np.int32)
        places[columns] = np.arange(4)
        found = _kernels.products(*_blocks.arrays(COUNTS), places, 4, 8.0)
        dense = np.rint(COUNTS[:, columns].toarray() * 8).astype(int)
        np.testing.assert_array_equal(np.triu(found[:-1]), np.triu(dense.T @ dense))
        np.testing.assert_array_equal(found[-1], dense.sum(axis=0))
    unsorted = COUNTS.copy()
    for row in range(57):
        inside = slice(*unsorted.indptr[row : row + 2])
        order = rng.permutation(inside.stop - inside.start)
        unsorted.indices[inside], unsorted.data[inside] = (
            unsorted.indices[inside][order],
            unsorted.data[inside][order],
        )
    np.testing.assert_array_equal(
        _kernels.products(*_blocks.arrays(unsorted), places, 4, 8.0), found
    )


def test_components_are_those_of_the_singular_values_and_of_dask():
    values = log_normalise(COUNTS, 1e4)
    columns = np.array([3, 1, 20, 11, 35])
    found = Components.of(values, columns, 3)
    dense = values[:, columns].toarray().astype(float)
    dense -= dense.mean(axis=0)
    left, singular, _ = np.linalg.svd(dense, full_matrices=False)
    np.testing.assert_allclose(found.variance, singular[:3] ** 2 / 56, rtol=1e-6)
    np.testing.assert_allclose(
        np.abs(found.coordinates(values)), np.abs(left * singular)[:, :3], atol=1e-5
    )
    lazy = Components.of(LogNormalised(_lazy(COUNTS), 1e4), columns, 3)
    np.testing.assert_array_equal(
        lazy.coordinates(LogNormalised(_lazy(COUNTS), 1e4)), found.coordinates(values)
    )


def test_a_pass_over_a_dask_array_is_made_once(monkeypatch):
    lazy, passes = _lazy(COUNTS), []
    monkeypatch.setattr(
        _blocks, "stack_blocks", lambda *given: passes.append(1) or stack_blocks(*given)
    )
    for _ in range(3):
        read_columns(lazy, np.array([1]))
    assert len(passes) == 1
    read_columns(lazy, np.array([2]))
    assert len(passes) == 2
