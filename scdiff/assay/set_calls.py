"""Calls by a gene set: its genes together, against sets of other genes that are as abundant.

For graded responses, of which no gene is simply on or off. Each count enters as twice its root, less what depth and the
gene's abundance predict: the root has about the same variance at any level, so no gene outweighs the others. The sum is held
to the same sum over matched sets in cells of the same depth, never to 0.
``tests/benchmarks/bench_scores.py`` holds the sum to other scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scdiff.assay.calibration import MOST_CELLS, Batch, Calibration
from scdiff.assay.empirical import GROUPS, NOMINAL, Null, depth_strata
from scdiff.assay.matched import draw_sets
from scdiff.assay.null_kernel import (
    BINS,
    EXACT_BELOW,
    LARGEST_CODE,
    STEPS_PER_OCTAVE,
    fill_codes,
    root_bins,
)
from scdiff.assay.statistic import code_of, rate_bin
from scdiff.assay.table import Floats, Ints

__all__ = ["SetCalls", "call_set", "q_values", "root_table"]

NULL_CELLS, BLANK_SETS, N_SHUFFLES = 5_000, 500, 400
SCALE, BINS_PER_UNIT = 1_024, 8
SMALL = 3 / 8


@dataclass(frozen=True)
class SetCalls:
    """What a gene set gives.

    Parameters
    ----------
    score
        Sum over the genes in its standard deviations under Poisson counts, in eighths, shape (n_cells,), -80 to 80.
    q_value
        Least false discovery rate at which the cell is called, shape (n_cells,), 0-1.
    positive
        Called cells, shape (n_cells,).
    calibration
        P-values, held-out rates, and as blank the fraction of cells that each of some held-out sets gives.
    variance, shuffled
        Variance of the score, and that of the same set where each gene is shuffled among cells of like depth, shape (n_shuffles,):
        genes that respond together vary more in their sum.
    """

    score: Floats
    q_value: Floats
    positive: NDArray[np.bool_]
    calibration: Calibration
    variance: float
    shuffled: Floats

    @property
    def limit_of_blank(self) -> float:
        """Take the 95th percentile of what held-out sets give, 0-1; 1 without any."""
        return self.calibration.limit_of_blank if len(self.calibration.blank) else 1.0

    @property
    def chance(self) -> float:
        """Probability of such a finding without a programme, 0-1.

        The higher one of two: as many called cells in sets of other genes, as much variance in shuffled genes of its own.
        """
        own = ((self.calibration.blank, float(self.positive.mean())), (self.shuffled, self.variance))
        return max(float((1 + (found >= value).sum()) / (1 + len(found))) for found, value in own)


def call_set(batch: Batch, counts: Any, *, excluded: Any = (), n_sets: int = 1_000, rate: float = 0.05, seed: int = 0) -> SetCalls:
    """Call the cells in which a gene set is above sets of genes that are as abundant.

    Parameters
    ----------
    batch
        All counts.
    counts
        Counts of the genes of the set, shape (n_cells, n_genes_of_set).
    excluded
        Genes (columns) that enter no null set.
    n_sets
        Null sets, half of which calibrate, 2 or more.
    rate
        Expected share of false calls among the calls, between 0 and 1.
    seed
        Start of the random generator.

    Raises
    ------
    InputError
        If the matrix has too few genes for null sets.

    Source
    ------
    10.1093/biomet/35.3-4.246 (root), 10.1111/j.2517-6161.1995.tb02031.x (false discovery rate)
    """
    own = np.asarray(counts, dtype=float)
    own = own[:, np.argsort(own.sum(axis=0), kind="stable")]  # the order in which genes were given leaves no trace
    squares = (code_of(own).astype(float) ** 2).sum(axis=0)
    asked = {"wanted_squares": squares, "excluded": excluded, "n_sets": n_sets, "seed": seed}
    sets = draw_sets(batch.totals, batch.squares, batch.genes, own.sum(axis=0), **asked)
    cells = batch.some_cells(MOST_CELLS)
    cells = cells[:: -(-len(cells) // NULL_CELLS)]
    rows, bins, null_bins = _bins(batch, own, sets.genes, cells)
    strata = depth_strata(batch.depth)
    stratum = strata.of(batch.depth[cells])
    null = Null(strata, _tally(null_bins, stratum, strata.n_strata, sets.n_calibration))
    uniform = np.empty(len(own))
    uniform[batch.by_name] = np.random.default_rng([seed, 1]).random(len(own))
    p_value = null.p_values(bins, batch.depth, uniform)
    q_value = q_values(p_value)
    held_out = null_bins[:, sets.n_calibration :][:, :BLANK_SETS]

    def called(column: Ints) -> float:
        """Share of ``cells`` that are called by some bins."""
        return float((q_values(null.p_values(column, batch.depth[cells], uniform[cells])) <= rate).mean())

    blank = [called(column) for column in held_out.T]
    shuffled = [float(rows(codes).var()) for codes in _shuffles(code_of(own[cells]), stratum, seed)]
    own_tally = _tally(bins[:, None], strata.of(batch.depth), strata.n_strata, 1)[0]
    unknown = np.full((len(NOMINAL), len(GROUPS)), np.nan)
    shares = (null.held_out, unknown, null.share(own_tally))
    calibration = Calibration(p_value, *shares, np.array(blank), sets.fold, n_sets, (), 0)
    return SetCalls(
        (bins - BINS // 2 + 0.5) / BINS_PER_UNIT, q_value, q_value <= rate, calibration, float(bins[cells].var()), np.array(shuffled)
    )


def root_table(mean: Any, counts: Any) -> NDArray[np.int64]:
    """Twice the root of each count less that of its mean, in 1,024ths, shape (n_means, n_counts).

    >>> root_table([1.0], [0.0, 1.0, 4.0]).tolist()
    [[-1147, 0, 1882]]
    """
    expected, seen = np.sqrt(np.asarray(mean, dtype=float) + SMALL), np.sqrt(np.asarray(counts, dtype=float) + SMALL)
    return np.round(2 * SCALE * (seen[None, :] - expected[:, None])).astype(np.int64)


def q_values(p_value: Any) -> Floats:
    """Least false discovery rate at which each test is a discovery, shape (n_tests,).

    >>> q_values([0.01, 0.02, 0.9]).round(3).tolist()
    [0.03, 0.03, 0.9]
    """
    values = np.asarray(p_value, dtype=float)
    order = np.argsort(values, kind="stable")[::-1]
    found = np.empty(len(values))
    found[order] = np.minimum.accumulate(values[order] * len(values) / np.arange(len(values), 0, -1))
    return np.minimum(found, 1.0)


def _shuffles(codes: Any, stratum: Ints, seed: int) -> Iterator[Any]:
    """Turn the cells of each stratum by a random number of places, each gene on its own; shape (n_cells, n_genes) each."""
    generator = np.random.default_rng([seed, 3])
    order = np.argsort(stratum, kind="stable")
    size = np.bincount(stratum)
    of_cell = stratum[order]
    start = (np.cumsum(size) - size)[of_cell]
    place, turned = np.arange(len(order)) - start, np.empty_like(codes)
    for _ in range(N_SHUFFLES):
        for gene in range(codes.shape[1]):
            by = generator.integers(0, np.maximum(size, 1))[of_cell]
            turned[order, gene] = codes[order[start + (place + by) % size[of_cell]], gene]
        yield turned


def _bins(batch: Batch, counts: Floats, sets: Ints, cells: Ints) -> tuple[Callable[[Any], Ints], Ints, NDArray[np.int16]]:
    """Bin of the set itself in ``cells`` as a function of its codes, in all cells (n_cells,), and of the null sets (n, n_sets)."""
    genes, columns = np.unique(sets, return_inverse=True)
    total, depth_bin = max(float(batch.depth.sum()), 1.0), rate_bin(np.maximum(batch.depth, 1.0))
    gene_bin, own_bin = rate_bin((batch.totals[genes] + 0.5) / total), rate_bin((counts.sum(axis=0) + 0.5) / total)
    first = min(gene_bin.min(), own_bin.min()) + depth_bin.min()
    last = max(gene_bin.max(), own_bin.max()) + depth_bin.max()
    roots = root_table(2.0 ** ((np.arange(first, last + 1) + 0.5) / STEPS_PER_OCTAVE), _counts_of_codes())
    width = SCALE * np.sqrt(sets.shape[1]) / BINS_PER_UNIT
    codes = np.empty((len(cells), len(genes)), dtype=np.uint8)
    column_of_gene = np.full(batch.csr.shape[1], -1, dtype=np.int32)
    column_of_gene[genes] = np.arange(len(genes))
    fill_codes(batch.csr.indptr, batch.csr.indices, batch.csr.data, column_of_gene, batch.held(cells), codes)
    null = root_bins(codes, columns.reshape(sets.shape), gene_bin - first, depth_bin[cells], roots, width)
    own = np.arange(counts.shape[1])[None, :], own_bin - first

    def bins_of(coded: Any, depths: Ints) -> Ints:
        return np.asarray(root_bins(coded, *own, depths, roots, width)[:, 0], dtype=np.int64)

    return lambda coded: bins_of(coded, depth_bin[cells]), bins_of(code_of(counts), depth_bin), null


def _counts_of_codes() -> Floats:
    """Find the count that each one-byte code stands for, shape (256,)."""
    large = EXACT_BELOW * 2.0 ** ((np.arange(LARGEST_CODE + 1 - EXACT_BELOW) + 0.5) / STEPS_PER_OCTAVE)
    return np.concatenate([np.arange(EXACT_BELOW, dtype=float), large])


def _tally(bins: Any, stratum: Ints, n_strata: int, n_calibration: int) -> NDArray[np.int64]:
    """Count the cells of each side, stratum and bin, shape (2, n_strata, n_bins)."""
    sides = []
    for part in (bins[:, :n_calibration], bins[:, n_calibration:]):
        place = stratum[:, None] * BINS + part.astype(np.int64)
        sides.append(np.bincount(place.ravel(), minlength=n_strata * BINS).reshape(n_strata, BINS))
    return np.stack(sides)
