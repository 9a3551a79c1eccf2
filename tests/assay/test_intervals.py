"""intervals: against scipy's own, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, t

from scdiff.assay.intervals import clopper_pearson, donor_interval

counts = st.integers(1, 20_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@settings(max_examples=60, deadline=None)
@given(drawn=counts, confidence=st.sampled_from([0.8, 0.95, 0.99]))
def test_clopper_pearson_is_scipys_exact_interval(drawn, confidence):
    expected = binomtest(*drawn).proportion_ci(confidence, method="exact")
    np.testing.assert_allclose(clopper_pearson(*drawn, confidence=confidence), (expected.low, expected.high), rtol=1e-6, atol=1e-12)


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
    widths = [high - low for low, high in (clopper_pearson(n // 20, n) for n in (100, 1_000, 10_000))]
    assert (np.diff(widths) < 0).all()


def by_hand(fractions, n_cells, confidence):
    """Student's t on logits of (x + 1/2) : (n - x + 1/2)."""
    logits = [np.log((f * n + 0.5) / (n - f * n + 0.5)) for f, n in zip(fractions, n_cells, strict=True)]
    mean = sum(logits) / len(logits)
    sd = np.sqrt(sum((value - mean) ** 2 for value in logits) / (len(logits) - 1))
    half = t(len(logits) - 1).isf((1 - confidence) / 2) * sd / np.sqrt(len(logits))
    return tuple(1 / (1 + np.exp(-(mean + side * half))) for side in (-1, 1))


donors = st.lists(st.tuples(st.floats(0.001, 0.999), st.integers(50, 20_000)), min_size=2, max_size=8)


@settings(max_examples=60, deadline=None)
@given(drawn=donors, confidence=st.sampled_from([0.8, 0.95]))
def test_donor_interval_is_the_one_by_hand(drawn, confidence):
    fractions, n_cells = zip(*drawn, strict=True)
    assert donor_interval(fractions, n_cells, confidence=confidence) == pytest.approx(by_hand(fractions, n_cells, confidence), rel=1e-9)


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
    widths = [high - low for low, high in (donor_interval([0.1 - d, 0.1, 0.1 + d], [2_000] * 3) for d in (0.01, 0.03, 0.06))]
    assert (np.diff(widths) > 0).all()


def test_two_donors_are_far_less_sure_than_their_cells():
    low, high = donor_interval([0.04, 0.06], [5_000, 5_000])
    pooled_low, pooled_high = clopper_pearson(500, 10_000)
    assert high - low > 5 * (pooled_high - pooled_low)
