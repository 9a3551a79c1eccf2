"""Fates against dense algebra and against walks that are really walked."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from scdiff.errors import ConfigError
from scdiff.steps.trajectory.fate import FATES, absorption, forward_walk


def _walk(n_cells: int, seed: int) -> sparse.csr_matrix:
    rng = np.random.default_rng(seed)
    weights = np.triu(rng.random((n_cells, n_cells)) * (rng.random((n_cells, n_cells)) < 0.3), 1)
    weights += (
        weights.T + np.diag(np.full(n_cells - 1, 0.1), 1) + np.diag(np.full(n_cells - 1, 0.1), -1)
    )
    return forward_walk(sparse.csr_matrix(weights), rng.random(n_cells))


@given(seed=st.integers(0, 200), n_cells=st.integers(6, 40), n_ends=st.integers(1, 4))
def test_absorption_is_that_of_dense_algebra(seed, n_cells, n_ends):
    walk, ends = _walk(n_cells, seed), np.full(n_cells, -1)
    ends[np.random.default_rng(seed).permutation(n_cells)[:n_ends]] = np.arange(n_ends)
    found, dense, free = absorption(walk, ends, n_ends), walk.toarray(), ends < 0
    wanted = np.column_stack([dense[free][:, ends == end].sum(axis=1) for end in range(n_ends)])
    np.testing.assert_allclose(
        found[free], np.linalg.solve(np.eye(free.sum()) - dense[free][:, free], wanted), atol=1e-8
    )
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_gamblers_ruin():
    """On a line with even steps the chance of the right end is the place."""
    line = sparse.diags([np.ones(20), np.ones(20)], [-1, 1], format="csr")
    ends = np.full(21, -1)
    ends[[0, 20]] = 0, 1
    fate = absorption(forward_walk(line, np.zeros(21)), ends, 2)
    np.testing.assert_allclose(fate[:, 1], np.arange(21) / 20, atol=1e-9)


def test_time_drives_the_walk_forward():
    line = sparse.diags([np.ones(20), np.ones(20)], [-1, 1], format="csr")
    ends = np.full(21, -1)
    ends[[0, 20]] = 0, 1
    even, driven = (
        absorption(forward_walk(line, time), ends, 2)[:, 1]
        for time in (np.zeros(21), np.linspace(0, 1, 21))
    )
    assert (driven[1:-1] > even[1:-1]).all()


def test_rows_of_the_walk_sum_to_one_and_steps_back_are_rarer():
    walk = forward_walk(
        sparse.csr_matrix(np.ones((3, 3)) - np.eye(3)), np.array([0.0, 0.5, 1.0])
    ).toarray()
    np.testing.assert_allclose(walk.sum(axis=1), 1)
    assert walk[1, 2] > 5 * walk[1, 0] > 0
    assert walk[0, 1] == walk[0, 2]


def test_out_of_reach_is_nan_and_an_end_without_cells_is_never_reached():
    graph = sparse.block_diag([np.ones((3, 3)) - np.eye(3)] * 2, format="csr")
    ends = np.array([0, -1, -1, -1, -1, -1])
    fate = absorption(forward_walk(graph, np.zeros(6)), ends, 2)
    np.testing.assert_allclose(fate[:3], [[1, 0]] * 3)
    assert np.isnan(fate[3:]).all()
    assert np.isnan(absorption(forward_walk(graph, np.zeros(6)), np.full(6, -1), 1)).all()


@pytest.mark.parametrize("seed", range(3))
def test_absorption_is_what_walks_do(seed):
    walk, rng = _walk(12, seed), np.random.default_rng(seed)
    ends = np.full(12, -1)
    ends[[2, 9]] = 0, 1
    dense, arrived = walk.toarray().cumsum(axis=1), np.zeros(2)
    for _ in range(4_000):
        cell = 5
        while ends[cell] < 0:
            cell = min(int(np.searchsorted(dense[cell], rng.random())), 11)
        arrived[ends[cell]] += 1
    np.testing.assert_allclose(arrived / 4_000, absorption(walk, ends, 2)[5], atol=0.03)


@pytest.mark.parametrize("name", ["cellrank", "palantir"])
def test_a_method_whose_package_is_missing_says_what_to_install(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    line = sparse.diags([np.ones(5), np.ones(5)], [-1, 1], format="csr")
    with pytest.raises(
        ConfigError,
        match=rf"fates is '{name}', which needs a package .*scdiff-markers\[trajectory\]",
    ):
        FATES[name].function(line, np.linspace(0, 1, 6), np.array([1, -1, -1, -1, -1, 0]), 2)


@pytest.mark.parametrize("name", list(FATES))
def test_every_method_sends_the_cells_near_an_end_there(name):
    """Two arms that leave a stem; a method whose package is not installed is left out."""
    if name != "absorption":
        pytest.importorskip(name, reason=f"{name} is not installed (pip install '.[trajectory]')")
    rng = np.random.default_rng(0)
    place = np.concatenate([np.column_stack([rng.random(200), np.zeros(200)]), *(
        np.column_stack([1 + part, side * part]) for side in (-1, 1) for part in [rng.random(200)])])  # fmt: skip
    place += rng.normal(scale=0.03, size=place.shape)
    apart = ((place[:, None] - place[None]) ** 2).sum(axis=-1)
    graph = sparse.csr_matrix(np.exp(-apart / 0.02) * (apart < 0.05) * (1 - np.eye(600)))
    time = place[:, 0] - place[:, 0].min()
    ends = np.select(
        [(place[:, 0] > 1.9) & (place[:, 1] < 0), (place[:, 0] > 1.9) & (place[:, 1] > 0)],
        [0, 1],
        -1,
    )
    fate = FATES[name].function(graph, time / time.max(), ends, 2)
    arm = (place[:, 0] > 1.6) & (ends < 0)
    assert fate[arm & (place[:, 1] < 0), 0].mean() > 0.8
    assert fate[arm & (place[:, 1] > 0), 1].mean() > 0.8
    np.testing.assert_allclose(fate.sum(axis=1), 1, atol=1e-3)
