"""Doublets: the algebra of droplets that hold two cells."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scdiff.assay.doublets import (
    MOST,
    chance_positives,
    estimate_doublet_rate,
    prevalence_of_cells,
    singlet_weights,
)

PATTERNS = np.array(list(product([False, True], repeat=3)))
POSITIVE = PATTERNS.sum(axis=1) >= 2


def droplets(weight: np.ndarray, rate: float) -> np.ndarray:
    """Mix two cells in a share of the droplets, by plain loops."""
    mixed = (1 - rate) * weight
    for first, second in product(range(8), repeat=2):
        shown = PATTERNS[first] | PATTERNS[second]
        mixed[np.flatnonzero((shown == PATTERNS).all(axis=1))[0]] += (
            rate * weight[first] * weight[second]
        )
    return mixed


weights = st.lists(st.floats(0.01, 1.0), min_size=8, max_size=8).map(
    lambda raw: np.array(raw) / sum(raw)
)
rates = st.floats(0.0, MOST)


@given(weights, rates)
def test_singlets_are_recovered_from_droplets(weight, rate):
    np.testing.assert_allclose(
        singlet_weights(droplets(weight, rate), PATTERNS, rate), weight, atol=1e-8
    )


@given(weights, rates)
def test_cells_are_never_more_often_positive_than_droplets(weight, rate):
    mixed = droplets(weight, rate)
    found = prevalence_of_cells(mixed[POSITIVE].sum(), mixed, PATTERNS, POSITIVE, rate)
    assert found == pytest.approx(weight[POSITIVE].sum(), abs=1e-6)
    assert found <= mixed[POSITIVE].sum() + 1e-9


@given(weights, rates)
def test_order_of_the_patterns_does_not_matter(weight, rate):
    order = np.random.default_rng(0).permutation(8)
    mixed = droplets(weight, rate)
    moved = singlet_weights(mixed[order], PATTERNS[order], rate)
    np.testing.assert_allclose(moved, singlet_weights(mixed, PATTERNS, rate)[order], atol=1e-9)


def test_two_single_marker_cells_make_a_positive_droplet():
    weight = np.array([0.9, 0.05, 0, 0, 0.05, 0, 0, 0])
    assert chance_positives(weight, PATTERNS, POSITIVE, 0.08) == pytest.approx(
        0.08 * 2 * 0.05 * 0.05
    )
    assert chance_positives(weight, PATTERNS, POSITIVE, 0.0) == 0.0


def test_chance_positives_count_negative_cells_only():
    weight = np.array([0.5, 0, 0, 0.5, 0, 0, 0, 0])
    assert chance_positives(weight, PATTERNS, POSITIVE, 0.1) == pytest.approx(0.0)


def test_extremes_stay():
    weight = np.full(8, 1 / 8)
    assert prevalence_of_cells(0.0, weight, PATTERNS, POSITIVE, 0.1) == 0.0
    assert prevalence_of_cells(1.0, weight, PATTERNS, POSITIVE, 0.1) == 1.0
    assert prevalence_of_cells(0.2, weight, PATTERNS, POSITIVE, 0.0) == 0.2


def test_bounds_keep_their_order():
    weight = droplets(np.array([0.7, 0.05, 0.05, 0.05, 0.05, 0.02, 0.03, 0.05]), 0.08)
    found = [
        prevalence_of_cells(value, weight, PATTERNS, POSITIVE, 0.08)
        for value in (0.01, 0.1, 0.3, 0.9)
    ]
    assert found == sorted(found)


def test_expected_rate_follows_the_loading_and_ends_at_the_most():
    assert estimate_doublet_rate(1000) == pytest.approx(0.008)
    assert estimate_doublet_rate(10_000_000) == MOST
