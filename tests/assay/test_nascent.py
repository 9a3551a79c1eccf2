"""Unspliced reads: expressing cells and mature ambient RNA are told apart, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import betabinom

from scdiff.assay.calls import call_cells
from scdiff.assay.fit import fit_mixture
from scdiff.assay.nascent import CONCENTRATION, FEWEST_READS, add_nascent, weigh_nascent
from scdiff.assay.table import tabulate

PATTERNS = np.array([[False, False], [False, True], [True, False], [True, True]])
N_CELLS = 400


def uncertain(n_on: int) -> tuple[np.ndarray, np.ndarray]:
    """Posterior of a few sure expressing cells, sure others, and as many undecided ones."""
    pattern = np.tile([0.97, 0.01, 0.01, 0.01], (N_CELLS, 1))
    pattern[:n_on] = [0.01, 0.01, 0.01, 0.97]
    undecided = np.arange(N_CELLS) >= N_CELLS - 2 * n_on
    pattern[undecided] = [0.5, 0.0, 0.0, 0.5]
    return pattern, undecided


def reads(expressing: np.ndarray, share: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Ten reads of each marker; a share of those in expressing cells is unspliced."""
    rng = np.random.default_rng(seed)
    unspliced = rng.binomial(10, np.where(expressing, share, 0.0)[:, None], (N_CELLS, 2))
    return unspliced.astype(float), 10.0 - unspliced


def test_undecided_cells_with_unspliced_reads_are_told_from_mature_soup():
    pattern, undecided = uncertain(30)
    expressing = np.arange(N_CELLS) < 30
    expressing[undecided] = np.arange(60) < 30
    ratio = weigh_nascent(pattern, PATTERNS, *reads(expressing, 0.3))
    assert ratio[undecided & expressing].sum(axis=1).mean() > 3
    assert (ratio[undecided & ~expressing].sum(axis=1) < -2).all()


def test_equal_shares_of_unspliced_reads_are_no_evidence():
    pattern, _ = uncertain(30)
    for share in (0.0, 0.3):
        ratio = weigh_nascent(pattern, PATTERNS, *reads(np.ones(N_CELLS, dtype=bool), share))
        assert np.abs(ratio).max() < 0.7


def test_a_marker_with_few_reads_in_expressing_cells_is_not_used():
    pattern, _ = uncertain(1)
    unspliced, mature = reads(np.arange(N_CELLS) < 1, 0.5)
    few = FEWEST_READS / 10 / N_CELLS
    assert not weigh_nascent(pattern, PATTERNS, few * unspliced, few * mature).any()


def test_the_ratio_is_that_of_two_beta_binomials():
    pattern, _ = uncertain(30)
    unspliced, mature = reads(np.arange(N_CELLS) < 30, 0.3)
    ratio = weigh_nascent(pattern, PATTERNS, unspliced, mature)
    on = pattern * np.exp(ratio @ PATTERNS.T)
    on = (on / on.sum(axis=1, keepdims=True)) @ PATTERNS
    ends = []
    for weight in (on[:, 0], 1 - on[:, 0]):
        share = (weight @ unspliced[:, 0] + 0.5) / (weight.sum() * 10 + 1)
        a, b = CONCENTRATION * share, CONCENTRATION * (1 - share)
        ends.append(betabinom.logpmf(unspliced[:, 0], 10, a, b))
    np.testing.assert_allclose(ratio[:, 0], ends[0] - ends[1], rtol=0.02, atol=0.02)


def test_the_order_of_the_cells_does_not_matter():
    pattern, _ = uncertain(30)
    unspliced, mature = reads(np.arange(N_CELLS) < 30, 0.3)
    order = np.random.default_rng(1).permutation(N_CELLS)
    moved = weigh_nascent(pattern[order], PATTERNS, unspliced[order], mature[order])
    np.testing.assert_array_equal(moved, weigh_nascent(pattern, PATTERNS, unspliced, mature)[order])


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_calls_follow_the_unspliced_reads_and_the_prevalence_does_not(model, truth, draw, share):
    cells = draw(truth(0.05, model, ratio=0.1), model, n_cells=2_000, depth=2_000, seed=5)
    fit = fit_mixture(tabulate(cells.counts, cells.depth), model)
    before = call_cells(fit)
    rng = np.random.default_rng(6)
    own = np.where(cells.positive, share, 0.0)[:, None]
    unspliced = rng.binomial(cells.counts.astype(int), own).astype(float)
    after = add_nascent(before, fit, unspliced, cells.counts - unspliced)
    assert (after.probability <= 1).all()
    found = [(calls.positive & cells.positive).sum() for calls in (before, after)]
    false = [(calls.positive & ~cells.positive).sum() for calls in (before, after)]
    if share:
        assert found[1] > found[0]
        assert false[1] <= false[0]
    else:
        np.testing.assert_allclose(after.probability, before.probability, atol=0.05)
