"""EWMA, CUSUM and moving range: recursions, alarms in control, delay after a shift."""

import numpy as np
import pytest
from simulated_batches import draw, logits

from scdiff.batches import drift
from scdiff.batches.baseline import fit_baseline, quantile_score


def test_the_average_is_the_weighted_sum_of_all_scores():
    scores = np.random.default_rng(0).normal(size=12)
    weights = [0.2 * 0.8 ** (11 - place) for place in range(12)]
    assert drift.ewma(scores).averages[-1] == pytest.approx(np.dot(weights, scores))


def test_the_limit_of_the_average_is_its_standard_deviation_times_286():
    generator = np.random.default_rng(1)
    common = generator.normal(size=(20_000, 1)) * np.sqrt(0.2)
    scores = common + generator.normal(size=(20_000, 6)) * np.sqrt(0.8)
    values = np.array([drift.ewma(row, shared=0.2).averages for row in scores[:4000]])
    assert drift.ewma(scores[0], shared=0.2).limits == pytest.approx(
        2.86 * values.std(axis=0), rel=0.05
    )


def test_the_sums_are_those_of_the_definition_and_begin_again_after_an_alarm():
    scores = np.array([1.0, 1.0, -4.0, 3.0, 3.0, 3.0, 0.0])
    sums = drift.cusum(scores)
    assert sums.up == pytest.approx([0.5, 1.0, 0.0, 2.5, 5.0, 2.5, 2.0])
    assert sums.down == pytest.approx([0.0, 0.0, 3.5, 0.0, 0.0, 0.0, 0.0])
    assert sums.alarms.tolist() == [False] * 4 + [True] + [False] * 2


def test_what_has_no_number_changes_nothing():
    scores = np.array([1.0, np.nan, 2.0])
    for chart in (drift.ewma, drift.cusum):
        assert not chart(np.full(3, np.nan)).alarms.any()
    assert drift.ewma(scores).averages[1] == drift.ewma(scores).averages[0]
    assert drift.cusum(scores).up[1] == drift.cusum(scores).up[0]
    ranges, alarms = drift.moving_range(scores)
    assert np.isnan(ranges[:2]).all()
    assert ranges[2] == 1.0
    assert not alarms.any()
    assert drift.moving_range(np.array([]))[0].shape == (0,)


def test_ranges_beyond_three_standard_deviations_are_rare():
    generator = np.random.default_rng(2)
    _, alarms = drift.moving_range(generator.normal(size=300_000))
    assert 100 * alarms.mean() == pytest.approx(0.27, abs=0.04)


def test_a_known_process_gives_one_alarm_in_370_batches():
    generator = np.random.default_rng(3)
    lengths = {"ewma": [], "cusum": []}
    for _ in range(60):
        scores = generator.normal(size=1500)
        for name, found in (("ewma", drift.ewma(scores)), ("cusum", drift.cusum(scores))):
            lengths[name].append(found.alarms.argmax() + 1 if found.alarms.any() else 1500)
    for name, found in lengths.items():
        assert 230 < np.mean(found) < 540, name


def allowance(baseline, n_cells):
    """What the chart knows of its baseline: shared part of the variance, degrees of freedom."""
    fraction = 1 / (1 + np.exp(-baseline.centre))
    variance = baseline.scale**2 + 1 / (np.median(n_cells) * fraction * (1 - fraction))
    return {
        "shared": baseline.centre_error**2 / variance,
        "freedom": 2 * variance**2 / baseline.spread_error**2,
    }


@pytest.mark.slow
def test_a_shift_of_one_and_a_half_standard_deviations_is_found_within_eight_batches():
    """Baselines of 20 batches; in control, fewer than 4 % of ten batches give an alarm."""
    generator = np.random.default_rng(4)
    delays, false = [], []
    for _ in range(400):
        n_cells, n_called = draw(generator, 20)
        baseline = fit_baseline(logits(n_cells, n_called), n_cells, np.zeros(20, bool))
        known = allowance(baseline, n_cells)
        shift = 1.5 * np.sqrt(0.3**2 + np.mean(1 / (n_cells * 0.03 * 0.97)))
        new_cells, new_called = draw(generator, 60, shift=shift)
        found = drift.ewma(
            quantile_score(baseline, new_called / new_cells, new_cells), **known
        ).alarms
        delays.append(found.argmax() + 1 if found.any() else 61)
        new_cells, new_called = draw(generator, 10)
        false.append(
            drift.ewma(
                quantile_score(baseline, new_called / new_cells, new_cells), **known
            ).alarms.any()
        )
    assert np.median(delays) <= 8
    assert np.mean(false) < 0.04
