"""statistic: ln odds that enough markers are on, against plain loops."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import nbinom

from scdiff.assay import priors
from scdiff.assay.densities import GRID, GRID_WEIGHT
from scdiff.assay.null_kernel import BINS, LARGEST_CODE
from scdiff.assay.statistic import (
    CONTRAST,
    LARGEST_EVIDENCE,
    PRIOR,
    SPREAD,
    UNBOUNDED,
    Statistic,
    code_of,
    log_odds_bin,
    rate_bin,
)
from scdiff.assay.table import coarse_counts

LOWEST, HIGHEST = -40, 90


def slow_evidence(count, mean):
    """Caller's likelihood ratio at the centre of the priors: on is ten times the batch's rate."""
    logs = (priors.ON_SIZE, priors.OFF_SIZE, priors.ACTIVITY)
    on_size, off_size, sd = (np.exp(value) for value in logs)
    tail, low, few = priors.TAIL, priors.TAIL_LEVEL, priors.TAIL_SIZE
    on, off = [], []
    for z in GRID:
        level = CONTRAST * mean * np.exp(sd * z - sd**2 / 2)
        parts = ((1 - tail, on_size, level), (tail, few, low * level))
        dense = sum(share * nbinom.pmf(count, r, r / (r + rate)) for share, r, rate in parts)
        on.append(np.log(dense))
        contamination = np.exp(SPREAD * z - SPREAD**2 / 2)
        held = mean * -UNBOUNDED * np.expm1(-contamination / UNBOUNDED)
        off.append(nbinom.logpmf(count, off_size, off_size / (off_size + held)))
    log_weight = np.log(GRID_WEIGHT)
    return logsumexp(np.array(on) + log_weight) - logsumexp(np.array(off) + log_weight)


def test_contamination_of_the_statistic_has_mean_one_and_no_end():
    node = np.exp(SPREAD * GRID - SPREAD**2 / 2)
    assert GRID_WEIGHT @ node == pytest.approx(1.0, abs=0.03)
    np.testing.assert_allclose(-UNBOUNDED * np.expm1(-node / UNBOUNDED), node, rtol=5e-6)


def slow_log_odds(on, min_markers):
    """Sum over all patterns."""
    total = {True: 0.0, False: 0.0}
    for pattern in product([0, 1], repeat=len(on)):
        total[sum(pattern) >= min_markers] += np.prod(
            [p if state else 1 - p for p, state in zip(on, pattern, strict=True)]
        )
    return np.log(total[True] / total[False])


def test_evidence_is_that_of_the_slow_twin():
    statistic = Statistic.build((LOWEST, HIGHEST), 3, 2)
    for row, count in product((0, 30, 64, 120), (0, 1, 2, 7, 31)):
        mean = 2 ** ((LOWEST + row + 0.5) / 16)
        expected = min(
            LARGEST_EVIDENCE, max(slow_evidence(lower, mean) for lower in range(count + 1))
        )
        log_odds = np.log(statistic.on[row, count] / statistic.off[row, count])
        assert log_odds == pytest.approx(expected + np.log(PRIOR / (1 - PRIOR)), rel=1e-9)


@pytest.mark.parametrize(("n_markers", "min_markers"), [(1, 1), (2, 1), (3, 2), (4, 3), (6, 6)])
def test_bins_are_those_of_the_sum_over_all_patterns(n_markers, min_markers):
    rng = np.random.default_rng(n_markers)
    statistic = Statistic.build((LOWEST, HIGHEST), n_markers, min_markers)
    codes, columns_bin, depth_bin = (
        rng.poisson(2, (40, n_markers)).astype(np.uint8),
        rng.integers(-20, 10, n_markers),
        rng.integers(0, 60, 40),
    )
    bins = statistic.bins(codes, np.arange(n_markers)[None, :], columns_bin, depth_bin)
    for row in range(40):
        on = [
            statistic.on[columns_bin[g] + depth_bin[row] - LOWEST, codes[row, g]]
            for g in range(n_markers)
        ]
        assert bins[row, 0] == int(log_odds_bin(slow_log_odds(on, min_markers)))


def test_more_counts_never_lower_the_statistic_and_one_marker_is_never_enough():
    statistic = Statistic.build((LOWEST, HIGHEST), 3, 2)
    codes = np.zeros((256, 3), dtype=np.uint8)
    codes[:, 0] = np.arange(256)
    rates, depths, sets = np.array([0, 0, 0]), np.full(256, 20), np.arange(3)[None, :]
    alone = statistic.bins(codes, sets, rates, depths)[:, 0]
    codes[:, 1] = 30
    two = statistic.bins(codes, sets, rates, depths)[:, 0]
    assert (np.diff(alone) >= 0).all()
    assert (np.diff(two) >= 0).all()
    assert alone[-1] < BINS / 2 < two[-1]


def test_many_markers_stay_finite():
    statistic = Statistic.build((LOWEST, HIGHEST), 60, 30)
    codes = np.array([[0] * 60, [255] * 60, [255] * 30 + [0] * 30], dtype=np.uint8)
    bins = statistic.bins(codes, np.arange(60)[None, :], np.full(60, 20), np.zeros(3, dtype=int))[
        :, 0
    ]
    assert bins[0] == 0
    assert bins[1] == BINS - 1
    assert bins[0] <= bins[2] <= bins[1]


def test_codes_keep_the_order_and_the_bins_of_the_caller():
    counts = np.concatenate([np.arange(5_000), [100_000, 524_287, 10**7]])
    codes = code_of(counts).astype(int)
    assert (np.diff(codes) >= 0).all()
    assert codes[-1] == LARGEST_CODE
    coarse = coarse_counts(counts[:-1])
    assert np.array_equal(np.diff(codes[:-1]) > 0, np.diff(coarse) > 0)


def test_rates_are_binned_by_a_16th_of_an_octave():
    assert rate_bin([1.0, 2.0, 0.5, 2 ** (1 / 16), 2 ** (1 / 16) - 1e-6]).tolist() == [
        0,
        16,
        -16,
        1,
        0,
    ]
