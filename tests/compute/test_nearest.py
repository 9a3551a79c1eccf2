"""Neighbours: the nearest ones, whatever the number of threads, and where points coincide."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from scdiff.compute import nearest as _nearest
from scdiff.compute.graph import compute_fuzzy_weights
from scdiff.compute.nearest import nearest, nearest_of
from scdiff.steps.embed.layout import compute_layout


def _points(n: int = 700, n_components: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, n_components))


def _shared(found: np.ndarray, expected: np.ndarray) -> float:
    return float(
        np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, expected, strict=True)])
    )


def test_exact_neighbours_are_those_of_scikit_learn():
    points = _points()
    distances, expected = (
        NearestNeighbors(n_neighbors=12, algorithm="brute").fit(points).kneighbors()
    )
    found, apart = nearest(points, 12)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(apart, distances, rtol=1e-9)


def test_lists_find_nearly_all_of_them(monkeypatch):
    points = _points(3_000)
    expected, _ = nearest(points, 12)
    monkeypatch.setattr(_nearest, "EXACT_UP_TO", 100)
    monkeypatch.setattr(_nearest, "N_PROBED", 20)
    assert _shared(nearest(points, 12)[0], expected) > 0.95


def test_threads_and_pieces_do_not_show(monkeypatch):
    points = _points(1_500)
    monkeypatch.setattr(_nearest, "EXACT_UP_TO", 100)
    before = nearest(points, 10)
    monkeypatch.setattr(_nearest, "count_workers", lambda _n: 1)
    monkeypatch.setattr(_nearest, "CHUNK", 333)
    after = nearest(points, 10)
    np.testing.assert_array_equal(before[0], after[0])
    np.testing.assert_array_equal(before[1], after[1])


@pytest.mark.parametrize("exact_up_to", [10, 10_000])
def test_points_at_one_place_are_neighbours_at_no_distance_and_never_their_own(
    exact_up_to, monkeypatch
):
    monkeypatch.setattr(_nearest, "EXACT_UP_TO", exact_up_to)
    points = np.repeat(_points(40, 3), 20, axis=0)
    found, apart = nearest(points, 15)
    assert not (found == np.arange(len(points))[:, None]).any()
    assert all(len(set(row)) == 15 for row in found)
    np.testing.assert_allclose(apart, 0, atol=1e-12)


def test_lists_with_too_few_points_are_made_up_for(monkeypatch):
    monkeypatch.setattr(_nearest, "EXACT_UP_TO", 10)
    monkeypatch.setattr(_nearest, "N_PROBED", 1)
    points = np.vstack(
        [_points(400, 2), _points(3, 2) + 1_000]
    )  # three that lie apart, in a list of their own
    found, _ = nearest(points, 10)
    assert (found >= 0).all()
    assert set(found[-1][:2]) == {400, 401}


def test_nearest_of_others():
    points, others = _points(500), _points(60, seed=1)
    expected = (
        NearestNeighbors(n_neighbors=5, algorithm="brute")
        .fit(points)
        .kneighbors(others, return_distance=False)
    )
    np.testing.assert_array_equal(nearest_of(points, others, 5), expected)


def test_map_keeps_groups_apart_and_is_the_same_twice():
    points = np.vstack([_points(150), _points(150, seed=1) + 8])
    weights = compute_fuzzy_weights(*nearest(points, 14))
    first, second, other = (
        compute_layout(weights, points, 0),
        compute_layout(weights, points, 0),
        compute_layout(weights, points, 1),
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)
    assert np.isfinite(first).all()
    middles = first[:150].mean(axis=0), first[150:].mean(axis=0)
    spread = max(first[:150].std(), first[150:].std())
    assert np.linalg.norm(middles[0] - middles[1]) > 2 * spread
