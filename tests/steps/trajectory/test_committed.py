"""The committed share of positions whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from scdiff.steps.trajectory.committed import Threshold, compute_committed_share, find_threshold


def _positions(truth: float, n_cells: int, seed: int, scatter: float = 0.04) -> np.ndarray:
    """Half of the committed cells spread evenly over the way, half at the end; all with scatter."""
    rng = np.random.default_rng(seed)
    n_on = round(truth * n_cells)
    place = np.concatenate(
        [np.zeros(n_cells - n_on), rng.random(n_on // 2), np.ones(n_on - n_on // 2)]
    )
    return place + rng.normal(scale=scatter, size=n_cells)


@pytest.mark.parametrize("truth", [0.0, 0.005, 0.02, 0.1, 0.3])
def test_share_is_right_and_the_interval_holds_it(truth):
    held, errors = [], []
    for seed in range(40):
        position = _positions(truth, 3_000, seed)
        _, share, low, high = compute_committed_share(
            position, find_threshold(position, position < 0.5)
        )
        held.append(low <= truth <= high)
        errors.append(share - truth)
    assert np.mean(held) >= 0.9
    assert abs(np.mean(errors)) < 0.004
    assert np.abs(errors).max() < 0.02


def test_an_island_needs_no_hidden_cells():
    position = np.concatenate([np.random.default_rng(0).normal(scale=0.03, size=900), np.ones(100)])
    beyond, share, low, high = compute_committed_share(
        position, find_threshold(position, position < 0.5)
    )
    assert share == pytest.approx(0.1, abs=0.005)
    assert low < 0.1 < high < 0.14
    assert 100 <= beyond <= 105


def test_no_cell_beyond_gives_zero_and_an_upper_bound():
    assert compute_committed_share(np.zeros(1_000), Threshold(0.0, 0.1)) == (
        0,
        0.0,
        0.0,
        pytest.approx(0.0037, abs=1e-4),
    )


def test_no_cells_give_no_error():
    assert compute_committed_share(np.zeros(0), Threshold(0.0, 0.1))[1] == 0


def test_scatter_is_that_of_the_side_away_from_the_path():
    position = np.random.default_rng(1).normal(scale=0.05, size=20_000)
    position[position > 0] *= 4  # cells on the way
    found = find_threshold(position, np.ones(20_000, dtype=bool))
    assert found.distance == pytest.approx(3 * 0.05, rel=0.1)
    assert find_threshold(np.zeros(5), np.ones(5, dtype=bool)).distance == 0
