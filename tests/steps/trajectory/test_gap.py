"""The gap: many small mixtures and continua of known truth, by positions alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scdiff.steps.trajectory import scan
from scdiff.steps.trajectory.axis import Axis
from scdiff.steps.trajectory.doublets import Doublets
from scdiff.steps.trajectory.gap import Gap, find_gap
from scdiff.vocabulary import CONTINUUM, SEPARATE, UNDECIDED


def _axis(
    n_between: int,
    n_doublets: int,
    *,
    n_start: int = 2_000,
    n_end: int = 150,
    scatter: float = 0.06,
    seed: int = 0,
) -> tuple:
    """Positions of two ends, of cells evenly between them, and of doublets of the two ends."""
    rng = np.random.default_rng(seed)
    place = np.concatenate(
        [
            np.zeros(n_start),
            np.ones(n_end),
            rng.random(n_between),
            rng.uniform(0.3, 0.7, n_doublets),
        ]
    )
    position = place + rng.normal(scale=scatter, size=len(place))
    depth = rng.lognormal(np.log(4_000), 0.4, len(place))
    scores = np.column_stack([position * depth] * 2)
    rows = np.arange(len(place))
    axis = Axis(position, scores, depth, np.zeros(2), np.ones(2), 1.0)
    return axis, rows < n_start, (rows >= n_start) & (rows < n_start + n_end)


def _doublets(axis: Axis, rate: float) -> Doublets:
    n_cells = len(axis.position)
    return Doublets.draw(np.zeros(n_cells, dtype=int), np.array([rate]), np.arange(n_cells))


@pytest.fixture(autouse=True)
def fewer_draws(monkeypatch):
    monkeypatch.setattr(scan, "N_DRAWS", 200)


def _verdicts(n_between: int, n_doublets: int, rate: float, **options: float) -> list[str]:
    found = []
    for seed in range(20):
        axis, start, end = _axis(n_between, n_doublets, seed=seed, **options)
        found.append(_find(axis, start, end, rate).verdict)
    return found


def _find(axis: Axis, start: np.ndarray, end: np.ndarray, rate: float) -> Gap:
    return find_gap(axis, start, end, _doublets(axis, rate), np.ones(len(axis.position)))


@pytest.mark.parametrize(
    ("n_between", "n_doublets", "rate"), [(150, 0, 0.0), (150, 13, 0.05), (300, 27, 0.1)]
)
def test_filled_and_empty_ways_are_told_apart(n_between, n_doublets, rate):
    assert _verdicts(n_between, n_doublets, rate).count(CONTINUUM) >= 19
    empty = _verdicts(0, n_doublets, rate)
    assert CONTINUUM not in empty
    assert empty.count(SEPARATE) >= 19


def test_doublets_alone_make_no_continuum_even_where_there_are_more_than_expected():
    assert CONTINUUM not in _verdicts(0, 27, 0.07)


def test_thirty_cells_are_enough_for_a_gap_and_for_a_continuum():
    assert _verdicts(0, 0, 0.0, n_end=30).count(SEPARATE) >= 19
    assert _verdicts(30, 0, 0.0, n_end=30).count(CONTINUUM) >= 18
    assert SEPARATE not in _verdicts(30, 0, 0.0, n_end=30)


def test_few_cells_are_undecided_and_the_number_that_would_decide_is_given():
    assert set(_verdicts(0, 0, 0.0, n_end=5)) == {UNDECIDED}
    assert SEPARATE not in _verdicts(9, 0, 0.0, n_end=9)
    few = _find(*_axis(0, 0, n_end=5), 0.0)
    assert 10 <= few.n_decide <= 30
    assert _verdicts(0, 0, 0.0, n_end=int(few.n_decide)).count(SEPARATE) >= 5
    assert _verdicts(0, 0, 0.0, n_end=2 * int(few.n_decide)).count(SEPARATE) >= 15
    assert np.isnan(_find(*_axis(0, 0), 0.0).n_decide)


def test_scatter_that_covers_the_way_is_undecided():
    assert set(_verdicts(100, 0, 0.0, scatter=0.3)) == {UNDECIDED}


def test_a_sparse_continuum_is_not_called_separate():
    assert _verdicts(75, 0, 0.0).count(SEPARATE) <= 1


def test_ends_that_overlap_are_undecided():
    axis, start, end = _axis(0, 0)
    mixed = Axis(axis.position, axis.scores, axis.depth, axis.origin, axis.length, 0.7)
    assert _find(mixed, start, end, 0.0).verdict == UNDECIDED


def test_cells_that_represent_others_count_as_many():
    axis, start, end = _axis(0, 18, n_start=4_000)
    whole = _find(axis, start, end, 0.06)
    kept = ~start | (np.arange(len(start)) % 4 == 0)
    part = Axis(
        axis.position[kept], axis.scores[kept], axis.depth[kept], axis.origin, axis.length, 1.0
    )
    weights = np.where(start, 4.0, 1.0)[kept]
    number = np.zeros(kept.sum(), dtype=int)
    pairs = Doublets.draw(number, np.array([0.06]), np.arange(kept.sum()), weights=weights)
    found = find_gap(part, start[kept], end[kept], pairs, weights)
    assert pairs.expected == pytest.approx(_doublets(axis, 0.06).expected)
    assert found.verdict == whole.verdict == SEPARATE
    assert found.density_high == pytest.approx(whole.density_high, abs=0.05)


def test_pairs_stay_within_their_sample_and_follow_its_rate():
    samples = np.repeat([0, 1, 2], [100, 300, 50])
    drawn = Doublets.draw(samples, np.array([0.1, 0.02, 0.0]), np.arange(450), n_pairs=4_000)
    np.testing.assert_array_equal(samples[drawn.first], samples[drawn.second])
    assert drawn.expected == pytest.approx(16)
    assert np.bincount(samples[drawn.first], minlength=3) / 4_000 == pytest.approx(
        [10 / 16, 6 / 16, 0], abs=0.03
    )


def test_no_rate_no_pairs():
    drawn = Doublets.draw(np.zeros(10, dtype=int), np.array([0.0]), np.arange(10))
    assert (len(drawn.first), drawn.expected) == (0, 0.0)


@pytest.mark.parametrize(
    ("p_continuum", "p_separate", "evidence", "verdict"),
    [
        (0.005, 1.0, -5.0, CONTINUUM),
        (0.005, 0.1, -5.0, UNDECIDED),
        (0.03, 1.0, -5.0, UNDECIDED),
        (0.5, 0.01, 3.0, SEPARATE),
        (0.005, 0.01, -5.0, UNDECIDED),
        (0.03, 0.01, 3.0, SEPARATE),
        (0.005, 0.01, 3.0, UNDECIDED),
        (0.5, 0.5, 0.0, UNDECIDED),
    ],
)
def test_what_the_two_probabilities_say(p_continuum, p_separate, evidence, verdict):
    probabilities = {"p_continuum": p_continuum, "p_separate": p_separate}
    gap = Gap(low=0.1, high=0.9, n_end=100, evidence=evidence, **probabilities)
    assert gap.verdict == verdict
    assert replace(gap, third=True).verdict == UNDECIDED


@pytest.mark.parametrize(
    ("p_continuum", "p_separate", "evidence", "verdict"),
    [
        (0.5, 0.001, 8.0, SEPARATE),
        (0.05, 0.001, 8.0, UNDECIDED),
        (0.5, 0.03, 8.0, UNDECIDED),
        (0.5, 0.001, 4.0, UNDECIDED),
    ],
)
def test_only_a_clear_gap_decides_beside_a_filled_way(p_continuum, p_separate, evidence, verdict):
    probabilities = {"p_continuum": p_continuum, "p_separate": p_separate}
    gap = Gap(low=0.1, high=0.9, n_end=100, evidence=evidence, third=True, **probabilities)
    assert gap.verdict == verdict
