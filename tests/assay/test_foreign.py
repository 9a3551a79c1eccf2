"""foreign: what came along with the marker tells soup from expression; known truth and laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scdiff.assay import foreign as module
from scdiff.assay.foreign import (
    BULK,
    CARRIERS,
    OTHER,
    choose_own_genes,
    group_cells,
    measure_foreign,
)

N_CELLS, N_GENES, MARKER = 1_200, 400, 0
LEVEL = 0.1
"""Typical level of the marker."""
KINDS = ("soup", "marker alone", "another kind")


def profiles(rng):
    """Of the bulk, and of the cells that express the marker: shares of the counts, (n_genes,)."""
    bulk, foreign = rng.lognormal(0, 1, (2, N_GENES))
    foreign[1:200] *= 0.05
    bulk[200:] *= 0.05
    bulk[MARKER] = foreign[MARKER] = 0
    bulk, foreign = bulk / bulk.sum(), foreign / foreign.sum()
    foreign *= 0.75
    foreign[MARKER] = 0.25
    return bulk, foreign


def batch(kind, seed=0):
    """Counts (n_cells, n_genes) of bulk cells of which one in five carries the marker."""
    rng = np.random.default_rng(seed)
    bulk, foreign = profiles(rng)
    carries = np.arange(N_CELLS) < N_CELLS // 5
    share = np.where(carries, rng.uniform(0.08, 0.3, N_CELLS), 0.0)[:, None]
    if kind == "soup":
        mean = (1 - share) * bulk + share * foreign
    elif kind == "marker alone":
        only = np.eye(N_GENES)[MARKER]
        mean = (1 - share / 3) * bulk + share / 3 * only
    else:
        mean = np.where(share > 0, foreign, bulk)
    depth = rng.lognormal(np.log(5_000), 0.3, (N_CELLS, 1))
    noise = rng.gamma(20, 1 / 20, (N_CELLS, N_GENES))
    return rng.poisson(mean * depth * noise)


def measured(counts, level=LEVEL, markers=(MARKER,)):
    """All three steps; with the groups of the half that was looked at."""
    depth = counts.sum(axis=1)
    halves = group_cells(counts[:, MARKER], depth, level)
    assert halves is not None
    totals = [counts[halves[0] == group].sum(axis=0) for group in (BULK, CARRIERS)]
    own = choose_own_genes(totals, list(markers))
    kept = counts[:, own].sum(axis=1)
    return measure_foreign(counts[:, MARKER], depth, kept, halves[1], level), halves[1], own


@pytest.mark.parametrize("seed", range(3))
def test_cells_that_keep_their_own_genes_and_hold_a_foreign_profile_give_a_reach(seed):
    counts = batch("soup", seed)
    found, half, _ = measured(counts)
    like = half == CARRIERS
    assert found.n_bulk_like == like.sum()
    assert found.share == pytest.approx(0.25, abs=0.08)
    rate = counts[like, MARKER] / counts[like].sum(axis=1) / LEVEL
    assert found.reach == pytest.approx(module.MARGIN * np.quantile(rate, module.HIGH_QUANTILE))
    assert found.reach > rate.mean() > 0


@pytest.mark.parametrize("seed", range(3))
def test_the_marker_alone_gives_no_reach(seed):
    found, half, _ = measured(batch("marker alone", seed))
    assert found.n_bulk_like == (half == CARRIERS).sum()
    assert found.reach == 0
    assert np.isnan(found.share) or found.share > module.ALONE


@pytest.mark.parametrize("seed", range(3))
def test_cells_of_another_kind_are_not_like_the_bulk(seed):
    found, half, _ = measured(batch("another kind", seed))
    assert (half == CARRIERS).sum() > 50
    assert found.n_bulk_like == 0
    assert found.kept[half == CARRIERS].max() < module.KEEPS
    assert np.isnan(found.share)
    assert found.reach == 0


@pytest.mark.parametrize("kind", KINDS)
def test_cells_of_the_bulk_keep_their_own_genes(kind):
    found, half, own = measured(batch(kind))
    assert own.sum() > 10
    assert found.kept.shape == (N_CELLS,)
    assert (found.kept >= 0).all()
    assert found.kept[half == BULK].mean() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_order_of_cells_does_not_matter(kind):
    counts = batch(kind)
    order = np.random.default_rng(9).permutation(N_CELLS)
    (one, half, own), (other, moved_half, moved_own) = measured(counts), measured(counts[order])
    np.testing.assert_array_equal(own, moved_own)
    np.testing.assert_array_equal(half[order], moved_half)
    np.testing.assert_allclose(one.kept[order], other.kept, rtol=1e-12)
    assert one.n_bulk_like == other.n_bulk_like
    expected = pytest.approx((one.share, one.reach), rel=1e-9, nan_ok=True)
    assert (other.share, other.reach) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_order_of_genes_does_not_matter(kind):
    counts = batch(kind)
    order = np.concatenate([[MARKER], 1 + np.random.default_rng(9).permutation(N_GENES - 1)])
    (one, _, own), (other, _, moved_own) = measured(counts), measured(counts[:, order])
    np.testing.assert_array_equal(own[order], moved_own)
    expected = pytest.approx((one.share, one.reach), rel=1e-9, nan_ok=True)
    assert (other.share, other.reach) == expected


def test_more_soup_reaches_farther():
    counts = batch("soup")
    twice = counts.copy()
    _, half, own = measured(counts)
    like = half == CARRIERS
    twice[like, MARKER] *= 2
    depth, kept = counts.sum(axis=1), counts[:, own].sum(axis=1)
    one, other = (measure_foreign(made[:, 0], depth, kept, half, LEVEL) for made in (counts, twice))
    assert other.reach == pytest.approx(2 * one.reach, rel=0.05)


# --- groups of cells ------------------------------------------------------------------------------


def test_halves_share_no_cell_and_groups_go_by_the_rate():
    depth = np.arange(1_000, 2_000)
    counts = np.where(np.arange(1_000) % 5 == 0, depth // 50, np.arange(1_000) % 2)
    first, second = group_cells(counts, depth, LEVEL)
    assert not ((first != OTHER) & (second != OTHER)).any()
    assert (first[depth % 2 == 1] == OTHER).all()
    assert (second[depth % 2 == 0] == OTHER).all()
    group = np.maximum(first, second)
    rate = counts / depth
    np.testing.assert_array_equal(group == CARRIERS, rate > module.CARRIES * LEVEL)
    np.testing.assert_array_equal(group == BULK, rate <= np.median(rate))
    assert ((group == OTHER) & (counts == 1)).any()


def test_too_few_carriers_say_nothing():
    depth, counts = np.arange(1_000, 1_400), np.zeros(400)
    fewest = int(np.ceil(module.FEWEST_CARRIERS / 2))
    counts[: 2 * fewest] = 100
    assert group_cells(counts, depth, LEVEL) is not None
    counts[0] = 0
    assert group_cells(counts, depth, LEVEL) is None
    assert group_cells(np.zeros(400), depth, LEVEL) is None


def test_cells_without_counts_are_no_carriers():
    depth = np.concatenate([np.zeros(40), np.arange(1_000, 1_400)])
    counts = np.concatenate([np.zeros(40), np.full(50, 100), np.zeros(350)])
    first, second = group_cells(counts, depth, LEVEL)
    assert not (np.maximum(first, second)[:40] == CARRIERS).any()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), level=st.floats(0.01, 0.5))
def test_law_each_cell_is_in_one_group_of_one_half(seed, level):
    rng = np.random.default_rng(seed)
    depth = rng.integers(100, 10_000, 300)
    counts = rng.binomial(depth, rng.choice([0.0, 0.01, 0.2], 300))
    halves = group_cells(counts, depth, level)
    if halves is not None:
        assert set(np.unique(halves)) <= {OTHER, BULK, CARRIERS}
        assert (np.minimum(*halves) == OTHER).all()


# --- own genes ------------------------------------------------------------------------------------


def test_own_genes_are_those_the_carriers_hold_least_of():
    bulk = np.full(40, 1_000.0)
    carriers = np.linspace(10, 2_000, 40)
    chosen = choose_own_genes([bulk, carriers], [])
    assert np.flatnonzero(chosen).tolist() == list(range(round(40 * module.OWN_SHARE)))


def test_markers_and_rare_genes_are_never_own_genes():
    bulk, carriers = np.full(40, 1_000.0), np.linspace(10, 2_000, 40)
    bulk[1:3] = module.FEWEST_COUNTS - 1, module.FEWEST_COUNTS
    carriers[:3] = 0
    chosen = choose_own_genes([bulk, carriers], [0])
    assert chosen[:3].tolist() == [False, False, True]
    assert choose_own_genes([bulk, carriers], [])[0]


def test_there_are_no_own_genes_where_nothing_can_be_judged():
    none = choose_own_genes(np.ones((2, 40)), [0])
    assert none.shape == (40,)
    assert not none.any()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_law_all_own_genes_are_more_diluted_than_the_others(seed):
    rng = np.random.default_rng(seed)
    totals = rng.poisson(rng.lognormal(5, 1, 60), (2, 60))
    chosen = choose_own_genes(totals, [3])
    known = (totals[0] >= module.FEWEST_COUNTS) & (np.arange(60) != 3)
    share = (totals[1] + 0.5) / totals[0].clip(1)
    others = known & ~chosen
    if others.any():
        assert share[chosen].max() <= share[others].min() * (1 + 1e-12)
    tied = np.isclose(share[known], np.quantile(share[known], module.OWN_SHARE)).sum()
    assert chosen.sum() == pytest.approx(module.OWN_SHARE * known.sum(), abs=1 + int(tied))


# --- edges ----------------------------------------------------------------------------------------


def test_without_counts_of_own_genes_nothing_is_said():
    half = np.repeat([BULK, CARRIERS], 20)
    found = measure_foreign(np.ones(40), np.full(40, 100), np.zeros(40), half, LEVEL)
    np.testing.assert_array_equal(found.kept, 1.0)
    assert (found.n_bulk_like, found.reach) == (0, 0.0)
    assert np.isnan(found.share)


def slow_share(marker, depth, kept, half):
    """Share of the marker in what the carriers hold beside their own, by plain sums."""
    bulk, like = half == BULK, half == CARRIERS
    usual = sum(kept[bulk]) / sum(depth[bulk])
    added = 1 - sum(kept[like]) / sum(depth[like]) / usual
    rates = [sum(marker[group]) / sum(depth[group]) for group in (like, bulk)]
    return (rates[0] - rates[1]) / added


def test_the_share_is_the_one_by_hand():
    counts = batch("soup", 5)
    found, half, own = measured(counts)
    depth = counts.sum(axis=1).astype(float)
    expected = slow_share(counts[:, MARKER], depth, counts[:, own].sum(axis=1), half)
    assert found.share == pytest.approx(expected)


def test_a_dilution_within_its_noise_says_nothing():
    """The same counts, of so few cells and genes that the dilution is no sure thing."""
    rng = np.random.default_rng(0)
    half = np.repeat([BULK, CARRIERS], [30, 8])
    depth = np.full(38, 1_000.0)
    kept = np.where(half == BULK, 20.0, 19.0) + rng.normal(0, 5, 38)
    found = measure_foreign(np.where(half == BULK, 0, 20), depth, kept, half, LEVEL)
    assert found.n_bulk_like > 0
    assert np.isnan(found.share)
    assert found.reach == 0


def test_cells_that_hold_more_than_twice_the_level_are_not_looked_at():
    counts = batch("soup")
    depth = counts.sum(axis=1)
    _, half, own = measured(counts)
    marker, kept = counts[:, MARKER].copy(), counts[:, own].sum(axis=1)
    like = np.flatnonzero(half == CARRIERS)
    before = measure_foreign(marker, depth, kept, half, LEVEL)
    marker[like[:7]] = depth[like[:7]] * 2 * LEVEL + 1
    after = measure_foreign(marker, depth, kept, half, LEVEL)
    assert after.n_bulk_like == before.n_bulk_like - 7
