"""set_calls: a gene set against sets that are as abundant; known truth, a slow twin, laws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import false_discovery_control

from scdiff.assay.calibration import Batch
from scdiff.assay.null_kernel import BINS, root_bins
from scdiff.assay.set_calls import call_set, q_values, root_table
from scdiff.assay.statistic import code_of
from scdiff.errors import InputError

N_CELLS, N_GENES, SET = 600, 400, list(range(40, 60))


def drawn(seed: int, share: float = 0.0, fold: float = 6.0) -> tuple[Batch, np.ndarray, np.ndarray]:
    """Draw a batch, in a share of whose cells the set is raised; with the counts of the set, and which cells are."""
    rng = np.random.default_rng(seed)
    depth = rng.lognormal(np.log(2_000), 0.5, (N_CELLS, 1))
    level = rng.lognormal(-1, 1.3, N_GENES)
    level[SET] = rng.lognormal(-1, 0.5, len(SET))
    raised = rng.random(N_CELLS) < share
    mean = depth * level / level.sum() * rng.gamma(3, 1 / 3, (N_CELLS, N_GENES))
    mean[:, SET] *= np.where(raised, fold, 1.0)[:, None]
    counts = sparse.csr_matrix(rng.poisson(mean).astype(np.float32))
    batch = Batch(
        counts,
        np.array([f"c{n}" for n in range(N_CELLS)]),
        np.array([f"g{n}" for n in range(N_GENES)]),
    )
    return batch, counts[:, SET].toarray(), raised


@pytest.mark.parametrize("seed", range(3))
def test_raised_cells_are_called_and_hardly_any_other(seed):
    batch, counts, raised = drawn(seed, share=0.1)
    found = call_set(batch, counts, excluded=SET).positive
    assert found[raised].mean() > 0.8
    assert (found & ~raised).sum() <= 0.1 * found.sum()


@pytest.mark.parametrize("seed", range(5))
def test_nothing_above_the_blank_where_nothing_is_raised(seed):
    batch, counts, _ = drawn(seed)
    found = call_set(batch, counts, excluded=SET)
    assert found.positive.mean() <= max(found.limit_of_blank, 2 / N_CELLS)


def test_the_chance_of_many_called_cells_is_small_and_that_of_few_is_not():
    batch, counts, _ = drawn(0, share=0.1)
    assert call_set(batch, counts, excluded=SET).chance < 0.01
    batch, counts, _ = drawn(0)
    assert call_set(batch, counts, excluded=SET).chance > 0.05


@pytest.mark.slow
def test_a_shuffled_set_is_found_as_seldom_as_said():
    """A few genes of few high counts stand in the set: sets of other genes do not have such sums."""
    found = 0
    for seed in range(20):
        batch, counts, _ = drawn(seed)
        generator = np.random.default_rng(seed)
        counts[:, :3] = np.where(generator.random((N_CELLS, 3)) < 0.02, 60, 0)
        matrix = batch.counts.tolil()
        matrix[:, SET] = counts
        made = Batch(matrix.tocsr(), batch.cells, batch.genes)
        found += call_set(made, counts, excluded=SET, n_sets=400).chance <= 0.05
    assert found <= 4


def test_held_out_sets_are_calibrated():
    batch, counts, _ = drawn(0)
    at_5_percent = call_set(batch, counts, excluded=SET).calibration.matched[6]
    np.testing.assert_allclose(at_5_percent, 0.05, atol=0.01)


def test_depth_alone_calls_nothing():
    batch, counts, _ = drawn(1)
    deep = Batch(
        sparse.vstack([batch.counts, batch.counts * 4]).tocsr(),
        [f"c{n}" for n in range(2 * N_CELLS)],
        batch.genes,
    )
    found = call_set(deep, np.vstack([counts, counts * 4]), excluded=SET)
    assert found.positive.mean() <= 0.02


def test_order_of_cells_and_genes_does_not_matter():
    batch, counts, _ = drawn(2, share=0.2)
    rng = np.random.default_rng(9)
    cells, genes = rng.permutation(N_CELLS), rng.permutation(N_GENES)
    shuffled = Batch(batch.counts[cells][:, genes], batch.cells[cells], batch.genes[genes])
    place = np.argsort(genes)[SET]
    one, other = (
        call_set(batch, counts, excluded=SET),
        call_set(shuffled, counts[cells][:, ::-1], excluded=place),
    )
    np.testing.assert_array_equal(one.score[cells], other.score)
    np.testing.assert_array_equal(one.calibration.p_value[cells], other.calibration.p_value)
    np.testing.assert_array_equal(one.calibration.blank, other.calibration.blank)


def test_more_counts_of_the_set_never_lower_its_score():
    batch, counts, _ = drawn(3)
    more = counts.copy()
    more[5, 3] += 4  # of one cell; totals of the genes and depths as they were
    kept = Batch(batch.counts, batch.cells, batch.genes)
    assert (
        call_set(kept, more, excluded=SET).score[5]
        >= call_set(batch, counts, excluded=SET).score[5]
    )


def test_bins_are_those_of_the_slow_twin():
    rng = np.random.default_rng(0)
    counts, sets = rng.poisson(3.0, (30, 12)), np.array([[0, 5, 7], [1, 2, 11]])
    columns_bin, depth_bin = rng.integers(0, 20, 12), rng.integers(0, 10, 30)
    roots = root_table(2.0 ** (np.arange(40) / 16 - 1), np.arange(256.0))
    found = root_bins(code_of(counts), sets, columns_bin, depth_bin, roots, 200.0)
    for cell in range(30):
        for number, genes in enumerate(sets):
            total = sum(
                int(roots[columns_bin[gene] + depth_bin[cell], counts[cell, gene]])
                for gene in genes
            )
            assert found[cell, number] == min(
                max(int(np.floor(total / 200.0)) + BINS // 2, 0), BINS - 1
            )


def test_q_values_are_those_of_benjamini_and_hochberg():
    values = np.random.default_rng(0).random(200) ** 2
    np.testing.assert_allclose(q_values(values), false_discovery_control(values), rtol=1e-12)
    assert q_values([]).tolist() == []


def test_too_few_genes_are_refused():
    batch, counts, _ = drawn(0)
    few = Batch(batch.counts[:, 30:70], batch.cells, batch.genes[30:70])
    with pytest.raises(InputError, match="genes are too few for null marker sets"):
        call_set(few, counts, excluded=list(range(10, 30)))
