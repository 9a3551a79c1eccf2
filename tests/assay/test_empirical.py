"""empirical: randomised p-values, uniform under the null whatever the ties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from scdiff.assay.empirical import NOMINAL, DepthStrata, Null, depth_strata

BINS = 12


def tallied(values, stratum, n_strata):
    """Tally of one side by a plain loop."""
    tally = np.zeros((n_strata, BINS), dtype=np.int64)
    for value, place in zip(values, stratum, strict=True):
        tally[place, value] += 1
    return tally


@pytest.fixture
def null():
    """A null with ties, whose values grow with depth; cells are of the same kind on both sides."""
    rng = np.random.default_rng(0)
    depth = rng.lognormal(8, 0.5, 20_000)
    strata = depth_strata(depth)
    values = np.minimum(rng.poisson(np.sqrt(depth) / 30, (2, len(depth))), BINS - 1)
    return (
        Null(
            strata, np.stack([tallied(side, strata.of(depth), strata.n_strata) for side in values])
        ),
        depth,
        values,
    )


def test_p_values_are_ranks_in_the_stratum_by_a_plain_loop(null):
    calibrated, depth, values = null
    stratum, uniform = calibrated.strata.of(depth), np.random.default_rng(1).random(len(depth))
    p_values = calibrated.p_values(values[1], depth, uniform)
    for cell in range(0, 20_000, 997):
        others = values[0][stratum == stratum[cell]]
        above, equal = (others > values[1][cell]).sum(), (others == values[1][cell]).sum()
        assert p_values[cell] == pytest.approx(
            (above + uniform[cell] * (equal + 1)) / (len(others) + 1)
        )


def test_p_values_of_the_null_are_uniform_in_every_stratum(null):
    calibrated, depth, values = null
    p_values = calibrated.p_values(values[1], depth, np.random.default_rng(1).random(len(depth)))
    stratum = calibrated.strata.of(depth)
    worst = max(
        kstest(p_values[stratum == place], "uniform").statistic
        for place in range(calibrated.strata.n_strata)
    )
    assert worst < 2.12 * np.sqrt(2 / 500)  # 1 % for the worst of 40 strata of 500 against 500


def test_the_expected_share_is_the_mean_over_randomisations(null):
    calibrated, depth, values = null
    rng, quartile = (
        np.random.default_rng(2),
        calibrated.strata.quartile[calibrated.strata.of(depth)],
    )
    rounds = [
        calibrated.p_values(values[1], depth, rng.random(len(depth))) <= NOMINAL[:, None]
        for _ in range(20)
    ]
    for column, group in enumerate([quartile >= 0, *(quartile == q for q in range(4))]):
        seen = np.mean([below[:, group].mean(axis=1) for below in rounds], axis=0)
        np.testing.assert_allclose(calibrated.held_out[:, column], seen, atol=0.004)


def test_the_share_at_5_percent_shows_a_caller_that_is_off(null):
    calibrated, _, _ = null
    place = int(np.flatnonzero(NOMINAL == 0.05)[0])
    assert calibrated.held_out[place] == pytest.approx(np.full(5, 0.05), abs=0.008)
    shifted = np.roll(calibrated.tally[1], 2, axis=1)
    assert (calibrated.share(shifted)[place] > 0.1).all()


def test_no_p_value_is_zero():
    strata = DepthStrata(np.array([]))
    alone = Null(strata, np.array([[[4, 0, 0]], [[0, 0, 1]]]))
    assert alone.p_values(np.array([2]), [5.0], np.array([0.5])).tolist() == [0.1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=400))
def test_strata_keep_equal_depths_together_and_follow_the_depth(depths):
    strata = depth_strata(depths)
    place = strata.of(depths)
    assert np.array_equal(strata.edges, depth_strata(depths[::-1]).edges)
    assert (np.diff(place[np.argsort(depths, kind="stable")]) >= 0).all()
    assert strata.n_strata % 4 == 0
    assert place.max() < strata.n_strata


def test_quartiles_hold_a_quarter_of_the_cells_each():
    depth = np.random.default_rng(0).permutation(4_000) + 1.0
    strata = depth_strata(depth)
    assert np.bincount(strata.quartile[strata.of(depth)]).tolist() == [1_000] * 4
    assert (strata.quartile[strata.of(depth)] == (depth - 1) // 1_000).all()


def test_a_quartile_without_cells_has_no_share():
    same = depth_strata([7] * 200)
    share = Null(
        same, np.stack([tallied([1] * 200, same.of([7] * 200), same.n_strata)] * 2)
    ).held_out
    assert np.isnan(share[:, 1:4]).all()
    assert share[:, 0] == pytest.approx(NOMINAL, abs=0.006)
