"""Mean, spread and scores of batches that differ, measured on 500 to 20,000 cells each."""

import numpy as np
import pytest
from scipy import optimize, stats
from simulated_batches import draw, logits

from scdiff.batches.baseline import Baseline, fit_baseline, quantile_score, score_below, values_at

KNOWN = Baseline(centre=-3.0, spread=0.3, centre_error=0.0, spread_error=0.0, n_detected=100)


def test_with_errors_of_zero_it_is_the_mean_and_the_standard_deviation():
    values = np.random.default_rng(0).normal(-3, 0.4, 25)
    found = fit_baseline(values, np.full(25, 1e12), np.zeros(25, bool))
    assert found.centre == pytest.approx(values.mean(), abs=1e-6)
    assert found.spread == pytest.approx(values.std(ddof=1), rel=3e-3)
    assert found.centre_error == pytest.approx(values.std(ddof=1) / 5, rel=3e-3)
    assert found.freedom == pytest.approx(24 * (1 + 1 / 25) ** 2, rel=0.01)


def restricted(values, errors):
    """REML by its definition, maximised by a general optimiser."""

    def minus(log_spread):
        variance = np.exp(2 * log_spread) + errors**2
        mean = np.sum(values / variance) / np.sum(1 / variance)
        return 0.5 * (
            np.sum(np.log(variance))
            + np.sum((values - mean) ** 2 / variance)
            + np.log(np.sum(1 / variance))
        )

    best = optimize.minimize_scalar(
        minus, bounds=(-4, 1), method="bounded", options={"xatol": 1e-8}
    )
    variance = np.exp(2 * best.x) + errors**2
    return np.sum(values / variance) / np.sum(1 / variance), np.exp(best.x)


def test_it_is_the_restricted_maximum_of_the_likelihood():
    generator = np.random.default_rng(1)
    n_cells, n_called = draw(generator, 25)
    found = fit_baseline(logits(n_cells, n_called), n_cells, np.zeros(25, bool))
    fraction = 1 / (1 + np.exp(-found.centre))
    mean, spread = restricted(
        logits(n_cells, n_called), 1 / np.sqrt(n_cells * fraction * (1 - fraction))
    )
    assert found.centre == pytest.approx(mean, abs=1e-3)
    assert found.spread == pytest.approx(spread, rel=5e-3)


def test_batches_that_do_not_differ_have_no_spread():
    generator = np.random.default_rng(2)
    spreads = [
        fit_baseline(logits(*counts), counts[0], np.zeros(20, bool)).spread
        for counts in (draw(generator, 20, spread=0.0) for _ in range(40))
    ]
    assert np.median(spreads) < 0.05


@pytest.mark.parametrize("hidden", [0.3, 0.7])
def test_values_below_a_level_do_not_move_the_mean(hidden):
    """Of a normal process, cut off at a level, mean and spread are found again."""
    generator = np.random.default_rng(3)
    level = stats.norm.ppf(hidden, -3, 0.5)
    centres, spreads = [], []
    for _ in range(40):
        values = generator.normal(-3, 0.5, 60)
        censored = values < level
        found = fit_baseline(np.where(censored, level, values), np.full(60, 1e7), censored)
        centres.append(found.centre)
        spreads.append(found.spread)
    assert np.mean(centres) == pytest.approx(-3, abs=0.08)
    assert np.mean(spreads) == pytest.approx(0.5, rel=0.12)


def test_too_few_detected_give_none():
    assert fit_baseline(np.full(20, -4.0), np.full(20, 1000.0), np.arange(20) > 2) is None
    assert fit_baseline(np.array([]), np.array([]), np.array([], bool)) is None


def test_equal_values_give_a_baseline():
    found = fit_baseline(np.full(20, -3.0), np.full(20, 3000.0), np.zeros(20, bool))
    assert (found.centre, found.spread) == (pytest.approx(-3.0), 0.0)
    assert np.isfinite(
        quantile_score(found, np.array([0.05, 0.9]), np.array([3000.0, 3000.0]))
    ).all()


def test_scores_are_the_quantiles_of_simulated_batches():
    """The scores of many batches of the very process are standard normal."""
    generator = np.random.default_rng(4)
    for n_cells in (500, 20_000):
        fractions = 1 / (1 + np.exp(-generator.normal(-3.0, 0.3, 6_000)))
        scores = quantile_score(
            KNOWN, generator.binomial(n_cells, fractions) / n_cells, np.full(6_000, n_cells)
        )
        for place in (-2.0, 0.0, 2.0):
            below = (
                np.mean(scores < place) + np.mean(scores <= place)
            ) / 2  # at 500 cells many batches are alike
            assert below == pytest.approx(stats.norm.cdf(place), abs=0.025)


def test_limits_are_where_the_score_says():
    scores, sizes = np.array([-3.0, 0.0, 3.0]), np.array([500.0, 3000.0, 20_000.0])
    limits = values_at(KNOWN, scores, sizes)
    for column, score in enumerate(scores):
        assert quantile_score(KNOWN, limits[:, column], sizes) == pytest.approx(
            np.full(3, score), abs=0.02
        )
    assert (np.diff(limits[:, 2]) < 0).all()  # more cells, narrower limits
    assert (np.diff(limits[:, 0]) > 0).all()


def test_where_even_none_is_within_the_limit_there_is_no_lower_limit():
    rare = Baseline(centre=-6.0, spread=0.5, centre_error=0.1, spread_error=0.05, n_detected=20)
    assert np.isnan(values_at(rare, np.array([-3.0, 3.0]), np.array([500.0]))[0]).tolist() == [
        True,
        False,
    ]


def test_scores_rise_with_the_fraction_and_stay_finite():
    fractions = np.array([0.0, 1e-9, 0.01, 0.05, 0.5, 1.0])
    scores = quantile_score(KNOWN, fractions, np.full(6, 3000.0))
    assert (np.diff(scores) >= 0).all()
    assert np.isfinite(scores).all()


def test_the_expected_score_below_a_level_is_that_of_a_truncated_normal():
    levels = np.array([-6.0, -1.0, 0.0, 2.0])
    assert score_below(levels) == pytest.approx(
        [stats.truncnorm.mean(-np.inf, level) for level in levels], rel=1e-6
    )


@pytest.mark.long
def test_in_control_one_point_in_370_is_beyond_the_limits_whatever_the_number_of_cells():
    """Baselines of 25 batches, 150 new ones each; batches differ more than by counting."""
    generator = np.random.default_rng(5)
    n_histories, n_new = 1200, 150
    ours = p_chart = few = 0
    for _ in range(n_histories):
        n_cells, n_called = draw(generator, 25)
        baseline = fit_baseline(logits(n_cells, n_called), n_cells, np.zeros(25, bool))
        new_cells, new_called = draw(generator, n_new)
        beyond = np.abs(quantile_score(baseline, new_called / new_cells, new_cells)) > 3
        ours += beyond.sum()
        few += beyond[new_cells < 1500].sum() / max((new_cells < 1500).sum(), 1)
        mean = n_called.sum() / n_cells.sum()
        p_chart += (
            np.abs(new_called / new_cells - mean) > 3 * np.sqrt(mean * (1 - mean) / new_cells)
        ).sum()
    share = 100 * ours / (n_histories * n_new)
    assert share == pytest.approx(0.27, abs=0.05)
    assert 100 * few / n_histories == pytest.approx(0.27, abs=0.1)
    assert 100 * p_chart / (n_histories * n_new) != pytest.approx(0.27, abs=0.05)
    assert p_chart > 50 * ours
