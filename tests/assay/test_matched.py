"""matched: null sets that resemble the programme, whatever the order of the genes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scdiff.assay.matched import LARGEST_POOL, NEAR_FOLD, SMALLEST_POOL, draw_sets
from scdiff.errors import InputError

N_GENES = 3_000


@pytest.fixture(scope="module")
def genes():
    """Totals over four decades with many ties, dispersions and names."""
    rng = np.random.default_rng(0)
    totals = rng.poisson(rng.lognormal(3, 2, N_GENES)).astype(float)
    return (
        totals,
        totals * rng.lognormal(0.5, 0.5, N_GENES),
        np.array([f"g{n}" for n in rng.permutation(N_GENES)]),
    )


def draw(genes, wanted, excluded=(), n_sets=1_000, seed=0):
    return draw_sets(*genes, wanted, excluded=excluded, n_sets=n_sets, seed=seed)


def test_no_gene_is_in_both_halves_twice_in_a_set_or_of_the_programme(genes):
    excluded = np.argsort(genes[0])[-40:]
    drawn = draw(genes, [900, 900, 20], excluded)
    calibrating, checking = drawn.genes[: drawn.n_calibration], drawn.genes[drawn.n_calibration :]
    assert drawn.n_calibration == 500
    assert drawn.genes.shape == (1_000, 3)
    assert not np.intersect1d(calibrating, checking).size
    assert not np.isin(drawn.genes, excluded).any()
    assert all(len(set(row)) == 3 for row in drawn.genes.tolist())


def test_pools_hold_the_nearest_genes_and_say_how_far_they_reach(genes):
    drawn = draw(genes, [20.0])
    ratio = np.exp(np.abs(np.log(genes[0][drawn.genes.ravel()] + 0.5) - np.log(20.5)))
    assert drawn.fold[0] == pytest.approx(ratio.max())
    assert ratio.max() <= NEAR_FOLD
    alone = draw(genes, [genes[0].max() * 50])
    assert alone.fold[0] > 100
    assert len(np.unique(alone.genes)) == 2 * SMALLEST_POOL
    assert len(np.unique(draw(genes, [0.0], n_sets=4_000).genes)) <= 2 * LARGEST_POOL


def test_genes_of_a_pool_are_used_equally_often(genes):
    drawn = draw(genes, [genes[0].max() * 50], n_sets=1_000)
    times = np.bincount(drawn.genes[: drawn.n_calibration].ravel())
    assert set(times[times > 0].tolist()) == {2, 3}


def test_halves_are_alike_in_abundance_and_dispersion(genes):
    drawn = draw(genes, [20.0, 60.0, 300.0])
    spread = np.log(genes[1] + 1) - 2 * np.log(genes[0] + 0.5)
    for values in (np.log(genes[0] + 0.5), spread):
        halves = (
            values[drawn.genes[: drawn.n_calibration]],
            values[drawn.genes[drawn.n_calibration :]],
        )
        np.testing.assert_allclose(halves[0].mean(axis=0), halves[1].mean(axis=0), atol=0.06)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 5))
def test_the_order_of_the_genes_does_not_matter(genes, shuffle, seed):
    order = np.random.default_rng(shuffle).permutation(N_GENES)
    plain = draw(genes, [900, 3], excluded=[7, 9], n_sets=50, seed=seed)
    place = np.argsort(order)
    moved = draw(
        tuple(column[order] for column in genes),
        [900, 3],
        excluded=place[[7, 9]],
        n_sets=50,
        seed=seed,
    )
    assert np.array_equal(order[moved.genes], plain.genes)
    assert np.array_equal(moved.fold, plain.fold)


def test_seeds_draw_other_sets(genes):
    assert not np.array_equal(draw(genes, [20.0]).genes, draw(genes, [20.0], seed=1).genes)


def test_too_few_genes_are_refused():
    with pytest.raises(
        InputError,
        match=r"5 genes are too few for null marker sets: two sets of 3 .* null_sets to 0",
    ):
        draw_sets([1] * 5, [1] * 5, list("abcde"), [1, 1, 1], n_sets=10)
