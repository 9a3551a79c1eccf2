"""null_kernel: the compiled loops against slow, obvious twins; the same bits for any order and chunk size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from scdiff.assay.calibration import Batch, tally_null_sets
from scdiff.assay.matched import MatchedSets, draw_sets
from scdiff.assay.null_kernel import BINS, fill_codes, sum_counts
from scdiff.assay.statistic import Statistic, code_of, rate_bin

N_CELLS, N_GENES = 230, 90


def drawn_batch(seed=0):
    """A small batch with empty genes, heavy counts and one cell without counts."""
    rng = np.random.default_rng(seed)
    mean = rng.lognormal(-1, 2, N_GENES) * rng.lognormal(0, 0.6, (N_CELLS, 1))
    counts = rng.poisson(mean * rng.gamma(2, 0.5, (N_CELLS, N_GENES))).astype(np.float32)
    counts[0], counts[:, 1], counts[3, 4] = 0, 0, 900
    return Batch(
        sparse.csr_matrix(counts),
        [f"c{n}" for n in range(N_CELLS)],
        [f"g{n}" for n in range(N_GENES)],
    )


def null_of(batch, markers, *, n_sets=40, min_markers=2, chunk_cells=2_048):
    """Null of a programme whose markers are named."""
    columns = [int(np.flatnonzero(np.asarray(batch.genes) == name)[0]) for name in markers]
    counts = np.asarray(batch.csr[:, columns].toarray(), dtype=float)
    sets = draw_sets(
        batch.totals,
        batch.squares,
        batch.genes,
        counts.sum(axis=0),
        excluded=columns,
        n_sets=n_sets,
    )
    return (*tally_null_sets(batch, counts, sets, min_markers, chunk_cells=chunk_cells), sets)


def slow_tally(batch, sets: MatchedSets, markers_bin, min_markers):
    """Cell by cell, set by set, gene by gene."""
    counts, total = batch.csr.toarray(), batch.depth.sum()
    gene_bin = rate_bin((counts.sum(axis=0) + 0.5) / total)
    depth_bin = rate_bin(np.maximum(counts.sum(axis=1), 1))
    used = np.concatenate([gene_bin[sets.genes.ravel()], markers_bin])
    statistic = Statistic.build(
        (used.min() + depth_bin.min(), used.max() + depth_bin.max()),
        sets.genes.shape[1],
        min_markers,
    )
    edges = np.sort(counts.sum(axis=1))[np.arange(1, 8) * N_CELLS // 8]
    tally = np.zeros((2, 8, BINS), dtype=int)
    for cell in range(N_CELLS):
        stratum = sum(counts[cell].sum() >= edge for edge in edges)
        for row, genes in enumerate(sets.genes):
            number = np.array([1.0])
            for gene in genes:
                place = (
                    gene_bin[gene] + depth_bin[cell] - statistic.first,
                    int(code_of(counts[cell, gene])),
                )
                number = np.convolve(number, [statistic.off[place], statistic.on[place]])
            log_odds = np.log(
                (number[min_markers:].sum() + 1e-300) / (number[:min_markers].sum() + 1e-300)
            )
            here = int(np.clip(log_odds * 8 + BINS / 2, 0, BINS - 1))
            tally[int(row >= sets.n_calibration), stratum, here] += 1
    return tally


@pytest.mark.parametrize(
    ("markers", "min_markers"),
    [(("g5",), 1), (("g5", "g9", "g20"), 2), (("g2", "g3", "g5", "g9", "g20"), 4)],
)
def test_tally_is_that_of_the_slow_twin(markers, min_markers):
    batch = drawn_batch()
    null, bins, sets = null_of(batch, markers, min_markers=min_markers)
    columns = [int(name[1:]) for name in markers]
    markers_bin = rate_bin((batch.totals[columns] + 0.5) / batch.depth.sum())
    expected = slow_tally(batch, sets, markers_bin, min_markers)
    # a value on the edge of a bin may fall to either side of it
    assert np.abs(null.tally - expected).sum() <= 4
    assert null.tally.sum() == N_CELLS * 40
    assert bins.shape == (N_CELLS,)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 300))
def test_same_bits_for_any_order_of_cells_and_genes_and_any_chunk(shuffle, chunk_cells):
    batch = drawn_batch()
    plain, bins, _ = null_of(batch, ("g5", "g9", "g20"))
    rng = np.random.default_rng(shuffle)
    cells, genes = rng.permutation(N_CELLS), rng.permutation(N_GENES)
    moved = Batch(
        batch.csr[cells][:, genes], np.asarray(batch.cells)[cells], np.asarray(batch.genes)[genes]
    )
    other, other_bins, _ = null_of(moved, ("g5", "g9", "g20"), chunk_cells=chunk_cells)
    assert np.array_equal(other.tally, plain.tally)
    assert np.array_equal(other.strata.edges, plain.strata.edges)
    assert np.array_equal(other_bins, bins[cells])


@pytest.mark.parametrize(
    "form",
    [sparse.csc_matrix, sparse.coo_matrix, sparse.csr_array, lambda matrix: matrix.toarray()],
)
@pytest.mark.parametrize("dtype", [np.int32, np.float64])
def test_same_bits_for_any_format(form, dtype):
    batch = drawn_batch()
    other = Batch(form(batch.csr.astype(dtype)), batch.cells, batch.genes)
    assert np.array_equal(
        null_of(other, ("g5", "g9"))[0].tally, null_of(batch, ("g5", "g9"))[0].tally
    )


def test_sums_and_codes_are_those_of_the_dense_matrix():
    batch = drawn_batch()
    csr, dense = batch.csr, batch.csr.toarray()
    depth, totals, squares = sum_counts(csr.indptr, csr.indices, csr.data, N_GENES)
    assert np.array_equal(depth, dense.sum(axis=1))
    assert np.array_equal(totals, dense.sum(axis=0))
    assert np.array_equal(squares, (code_of(dense).astype(float) ** 2).sum(axis=0))
    column_of_gene = np.full(N_GENES, -1, dtype=np.int32)
    column_of_gene[[4, 7]] = [1, 0]
    codes = np.empty((3, 2), dtype=np.uint8)
    fill_codes(csr.indptr, csr.indices, csr.data, column_of_gene, np.array([3, 0, 9]), codes)
    assert np.array_equal(codes, code_of(dense[[3, 0, 9]][:, [7, 4]]))


def test_counts_are_left_as_they_are():
    batch = drawn_batch()
    before = batch.csr.copy()
    null_of(batch, ("g5", "g9"))
    assert (batch.csr != before).nnz == 0
    assert np.array_equal(batch.csr.indices, before.indices)
