"""intervals: against scipy's own, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, t

from scdiff.assay.intervals import clopper_pearson, donor_interval, interval_of_mean

counts = st.integers(1, 20_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@settings(max_examples=60, deadline=None)
@given(drawn=counts, confidence=st.sampled_from([0.8, 0.95, 0.99]))
def test_clopper_pearson_is_scipys_exact_interval(drawn, confidence):
    expected = binomtest(*drawn).proportion_ci(confidence, method="exact")
    np.testing.assert_allclose(
        clopper_pearson(*drawn, confidence=confidence),
        (expected.low, expected.high),
        rtol=1e-6,
        atol=1e-12,
    )


@settings(max_examples=60, deadline=None)
@given(drawn=counts)
def test_clopper_pearson_holds_the_fraction_and_mirrors(drawn):
    n_positive, n_cells = drawn
    low, high = clopper_pearson(n_positive, n_cells)
    assert 0 <= low <= n_positive / n_cells <= high <= 1
    other_low, other_high = clopper_pearson(n_cells - n_positive, n_cells)
    assert (low, high) == pytest.approx((1 - other_high, 1 - other_low), abs=1e-9)


def test_clopper_pearson_of_no_cells_says_nothing():
    assert clopper_pearson(0, 0) == (0.0, 1.0)


def test_clopper_pearson_narrows_with_the_cells():
    widths = [
        high - low for low, high in (clopper_pearson(n // 20, n) for n in (100, 1_000, 10_000))
    ]
    assert (np.diff(widths) < 0).all()


def by_hand(fractions, n_cells, confidence):
    """Student's t on logits of (x + 1/2) : (n - x + 1/2)."""
    logits = [
        np.log((f * n + 0.5) / (n - f * n + 0.5)) for f, n in zip(fractions, n_cells, strict=True)
    ]
    mean = sum(logits) / len(logits)
    sd = np.sqrt(sum((value - mean) ** 2 for value in logits) / (len(logits) - 1))
    half = t(len(logits) - 1).isf((1 - confidence) / 2) * sd / np.sqrt(len(logits))
    return tuple(1 / (1 + np.exp(-(mean + side * half))) for side in (-1, 1))


donors = st.lists(
    st.tuples(st.floats(0.001, 0.999), st.integers(50, 20_000)), min_size=2, max_size=8
)


@settings(max_examples=60, deadline=None)
@given(drawn=donors, confidence=st.sampled_from([0.8, 0.95]))
def test_donor_interval_is_the_one_by_hand(drawn, confidence):
    fractions, n_cells = zip(*drawn, strict=True)
    assert donor_interval(fractions, n_cells, confidence=confidence) == pytest.approx(
        by_hand(fractions, n_cells, confidence), rel=1e-9
    )


@settings(max_examples=60, deadline=None)
@given(drawn=donors)
def test_donor_interval_is_ordered_within_bounds_and_blind_to_the_order_of_donors(drawn):
    fractions, n_cells = zip(*drawn, strict=True)
    low, high = donor_interval(fractions, n_cells)
    assert 0 <= low <= high <= 1
    assert donor_interval(fractions[::-1], n_cells[::-1]) == pytest.approx((low, high), rel=1e-9)


def test_donor_interval_of_donors_without_a_positive_starts_at_zero():
    low, high = donor_interval([0.0, 0.0, 0.0], [1_000, 2_000, 3_000])
    assert low == 0
    assert 0 < high < 0.01


def test_donors_that_differ_more_are_less_sure():
    widths = [
        high - low
        for low, high in (
            donor_interval([0.1 - d, 0.1, 0.1 + d], [2_000] * 3) for d in (0.01, 0.03, 0.06)
        )
    ]
    assert (np.diff(widths) > 0).all()


def test_two_donors_are_far_less_sure_than_their_cells():
    low, high = donor_interval([0.04, 0.06], [5_000, 5_000])
    pooled_low, pooled_high = clopper_pearson(500, 10_000)
    assert high - low > 5 * (pooled_high - pooled_low)


# --- the mean of independent fractions ------------------------------------------------------------

ends = st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 1e4))
parts = st.lists(ends.map(lambda x: (*sorted(x[:3]), x[3])), min_size=1, max_size=8)


def columns(drawn):
    """Estimates, lower and upper ends, and weights."""
    low, middle, high, weight = zip(*drawn, strict=True)
    return middle, low, high, weight


def farthest_mean(estimates, lows, highs, weights, side):
    """Farthest mean of two fractions that together lose no more likelihood than one end: every split of the loss is tried."""

    def loss(p, q):
        terms = [(a * np.log(a / b) if a > 0 else 0.0) for a, b in ((p, q), (1 - p, 1 - q))]
        return sum(terms)

    def reach(p, end, part):
        """Fraction that loses ``part`` of what the end loses."""
        near, far = p, end
        for _ in range(60):
            middle = (near + far) / 2
            near, far = (middle, far) if loss(p, middle) < part * loss(p, end) else (near, middle)
        return near

    ends, share = (highs if side > 0 else lows), np.array(weights) / sum(weights)
    found = [
        share @ [reach(estimates[0], ends[0], part), reach(estimates[1], ends[1], 1 - part)]
        for part in np.linspace(0, 1, 401)
    ]
    return max(found) if side > 0 else min(found)


PAIRS = [
    ([0.0, 0.0], [0.0, 0.0], [0.007, 0.007], [1, 1]),
    ([0.02, 0.3], [0.01, 0.2], [0.05, 0.45], [3, 1]),
    ([0.0, 0.1], [0.0, 0.05], [0.02, 0.2], [1, 2]),
    ([0.5, 0.95], [0.4, 0.8], [0.6, 0.99], [1, 1]),
]


@pytest.mark.parametrize("drawn", PAIRS)
def test_interval_of_mean_is_the_farthest_of_all_splits(drawn):
    mean, low, high = interval_of_mean(*drawn)
    assert mean == pytest.approx(np.average(drawn[0], weights=drawn[3]))
    assert low == pytest.approx(farthest_mean(*drawn, -1), abs=2e-5)
    assert high == pytest.approx(farthest_mean(*drawn, 1), abs=2e-5)


@settings(max_examples=80, deadline=None)
@given(drawn=parts, times=st.floats(0.01, 100))
def test_law_interval_of_mean_is_ordered_and_blind_to_order_and_unit_of_weight(drawn, times):
    mean, low, high = interval_of_mean(*columns(drawn))
    assert 0 <= low <= mean + 1e-12
    assert mean <= high + 1e-12
    assert high <= 1
    assert interval_of_mean(*columns(drawn[::-1])) == pytest.approx((mean, low, high), abs=1e-7)
    heavier = [(*part[:3], part[3] * times) for part in drawn]
    assert interval_of_mean(*columns(heavier)) == pytest.approx((mean, low, high), abs=1e-7)


@settings(max_examples=60, deadline=None)
@given(drawn=parts)
def test_law_interval_of_mean_is_no_wider_than_the_mean_of_the_intervals(drawn):
    middle, lows, highs, weights = columns(drawn)
    mean, low, high = interval_of_mean(middle, lows, highs, weights)
    assert mean - low <= mean - np.average(lows, weights=weights) + 1e-6
    assert high - mean <= np.average(highs, weights=weights) - mean + 1e-6


def test_the_mean_of_one_fraction_is_that_fraction():
    assert interval_of_mean([0.2], [0.1], [0.4], [7]) == pytest.approx((0.2, 0.1, 0.4))


def test_samples_without_weight_do_not_count():
    found = interval_of_mean([0.2, 0.9], [0.1, 0.0], [0.4, 1.0], [7, 0])
    assert found == pytest.approx((0.2, 0.1, 0.4))


def test_more_samples_are_surer():
    widths = []
    for n in (1, 4, 16):
        _, low, high = interval_of_mean([0.2] * n, [0.1] * n, [0.3] * n, [1] * n)
        widths.append(high - low)
    np.testing.assert_allclose(widths, [0.2, 0.1, 0.05], rtol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("truths", [(0.0, 0.002), (0.05, 0.1, 0.3), (0.01, 0.01, 0.01, 0.2)])
def test_interval_of_mean_covers_the_truth(truths):
    """95 % aimed at; 600 draws leave room down to 93 %."""
    rng, inside, sizes = np.random.default_rng(3), 0, np.array([800, 1_500, 400, 2_000])
    sizes = sizes[: len(truths)]
    truth = float(np.average(truths, weights=sizes))
    for _ in range(600):
        called = rng.binomial(sizes, truths)
        pairs = [clopper_pearson(int(k), int(n)) for k, n in zip(called, sizes, strict=True)]
        _, low, high = interval_of_mean(called / sizes, *zip(*pairs, strict=True), sizes)
        inside += low <= truth <= high
    assert inside / 600 >= 0.93
