"""Which cells of a large batch the gap is judged on."""

from __future__ import annotations

import numpy as np
import pytest

from scdiff.steps.trajectory import path
from scdiff.steps.trajectory.axis import Cells

N_CELLS, MOST = 2_000, 400


@pytest.fixture
def choose(monkeypatch):
    monkeypatch.setattr(path, "MOST_CELLS", MOST)

    def chosen(position, positive, control=None, order=None):
        order = np.arange(N_CELLS) if order is None else order
        cells = Cells(None, np.ones(N_CELLS), np.ones(1, dtype=bool), order)
        control = np.zeros(N_CELLS, dtype=bool) if control is None else control
        return path._choose_judged(cells, position, positive, control)

    return chosen


def test_all_positive_cells_and_all_away_from_the_start_take_part(choose):
    position, positive = np.zeros(N_CELLS), np.arange(N_CELLS) < 30
    position[30:60] = 0.6
    weights = choose(position, positive)
    np.testing.assert_array_equal(weights[:60], 1)
    assert (weights > 0).sum() == MOST
    assert weights.sum() == pytest.approx(N_CELLS)
    assert len(np.unique(weights[60:])) == 2


def test_a_batch_of_cells_away_from_the_start_is_drawn_evenly(choose):
    weights = choose(np.ones(N_CELLS), np.ones(N_CELLS, dtype=bool))
    assert weights.sum() == (weights == 1).sum() == MOST


def test_controls_are_left_out_and_a_small_batch_is_judged_whole(choose, monkeypatch):
    control = np.arange(N_CELLS) >= 1_900
    position, positive = np.zeros(N_CELLS), np.zeros(N_CELLS, dtype=bool)
    assert not choose(position, positive, control)[control].any()
    monkeypatch.setattr(path, "MOST_CELLS", N_CELLS)
    np.testing.assert_array_equal(choose(position, positive, control), ~control)


def test_the_draw_does_not_depend_on_the_order_of_the_cells(choose):
    position, positive = np.zeros(N_CELLS), np.arange(N_CELLS) < 10
    turned = np.random.default_rng(0).permutation(N_CELLS)
    weights = choose(position, positive)
    again = choose(position[turned], positive[turned], order=np.argsort(turned))
    np.testing.assert_array_equal(again, weights[turned])
