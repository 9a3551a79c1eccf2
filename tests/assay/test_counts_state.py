"""counts_state: whole numbers that are no raw counts are told from raw ones."""

from __future__ import annotations

import numpy as np
import pytest

from scdiff.assay.counts_state import FEWEST_CELLS_FOR_DOUBT, SAME_DEPTH, doubt_counts


@pytest.fixture(scope="module")
def raw():
    """Counts of 300 cells and 1,500 genes, depths around 4,000."""
    rng = np.random.default_rng(0)
    profile = rng.lognormal(0, 1.5, 1_500)
    return rng.poisson(rng.lognormal(8.3, 0.4, 300)[:, None] * profile / profile.sum())


def doubt(counts, **options):
    smallest = np.where(counts > 0, counts, np.inf).min(axis=1)
    return doubt_counts(counts.sum(axis=1), smallest, (counts > 0).sum(axis=1), **options)


def test_raw_counts_raise_no_doubt(raw):
    assert doubt(raw) == ""


def test_normalised_and_rounded_counts_are_told(raw):
    scaled = np.rint(raw / raw.sum(axis=1, keepdims=True) * 10_000)
    assert "same total" in doubt(scaled)
    assert "normalised and rounded" in doubt(scaled)


def test_downsampled_counts_are_told(raw):
    rng = np.random.default_rng(1)
    less = np.array([rng.multivariate_hypergeometric(cell, 1_000) for cell in raw])
    assert "downsampled" in doubt(less)


def test_counts_scaled_cell_by_cell_are_told(raw):
    factor = np.random.default_rng(2).uniform(2.5, 6, (len(raw), 1))
    assert "no count of 1" in doubt(np.rint(raw * factor))


def test_reads_may_lack_single_counts(raw):
    assert doubt(raw * 30, are_reads=True) == ""


@pytest.mark.parametrize(("spread", "told"), [(0.5 * SAME_DEPTH, True), (2 * SAME_DEPTH, False)])
def test_the_limit_of_the_spread(spread, told):
    depth = np.tile([1 - spread, 1 + spread], FEWEST_CELLS_FOR_DOUBT) * 5_000
    assert bool(doubt_counts(depth, [1], [900])) is told


def test_few_cells_say_nothing():
    assert doubt_counts([5_000] * (FEWEST_CELLS_FOR_DOUBT - 1), [1], [900]) == ""
