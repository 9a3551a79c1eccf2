"""Calls by a gene set: the sum of its genes, compared with sets of similarly abundant genes.

For graded responses, in which no gene is simply expressed or not expressed. Each count enters as
twice its root, minus the value that depth and the gene's abundance predict. The root has about the
same variance at any level, so no gene outweighs the others. The sum is compared with the same sum
over matched sets in cells of the same depth, never with 0. ``tests/benchmarks/bench_scores.py``
compares the sum with other scores.
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
"""Most cells of the null, held-out sets that give the blank, and shuffles that give the variance.
Limited for speed."""
SCALE, BINS_PER_UNIT = 1_024, 8
"""Whole numbers per unit of the root, and bins per standard deviation of the sum."""
SMALL = 3 / 8
"""Number added to a count before its root (Anscombe), which stabilises the variance at low
counts."""


@dataclass(frozen=True)
class SetCalls:
    """Results of a gene set.

    Parameters
    ----------
    score
        Sum over the genes in its standard deviations under Poisson counts, in eighths, shape
        (n_cells,), -80 to 80.
    q_value
        Lowest false discovery rate at which the cell is called, shape (n_cells,), 0-1.
    positive
        Called cells, shape (n_cells,).
    calibration
        P-values, held-out rates and, as blank, the fraction of cells that each of some held-out
        sets calls.
    variance, shuffled
        Variance of the score, and that of the same set with each gene shuffled among cells of
        similar depth, shape (n_shuffles,): genes that respond together vary more in their sum.
    """

    score: Floats
    q_value: Floats
    positive: NDArray[np.bool_]
    calibration: Calibration
    variance: float
    shuffled: Floats

    @property
    def limit_of_blank(self) -> float:
        """95th percentile of the fraction that held-out sets call, 0-1; 1 without any."""
        return self.calibration.limit_of_blank if len(self.calibration.blank) else 1.0

    @property
    def chance(self) -> float:
        """Probability of such a result without a programme, 0-1.

        The higher one of two: the same number of called cells in sets of other genes, and the same
        variance in its own shuffled genes.
        """
        own = (
            (self.calibration.blank, float(self.positive.mean())),
            (self.shuffled, self.variance),
        )
        return max(float((1 + (found >= value).sum()) / (1 + len(found))) for found, value in own)


def call_set(
    batch: Batch,
    counts: Any,
    *,
    excluded: Any = (),
    n_sets: int = 1_000,
    rate: float = 0.05,
    seed: int = 0,
) -> SetCalls:
    """Call the cells in which a gene set is above sets of genes of similar abundance.

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
        Seed of the random generator.

    Raises
    ------
    InputError
        If the matrix has too few genes for null sets.

    Source
    ------
    10.1093/biomet/35.3-4.246 (root), 10.1111/j.2517-6161.1995.tb02031.x (false discovery rate)
    """
    own = np.asarray(counts, dtype=float)
    # sorted, so that the result does not depend on the order of the genes
    own = own[:, np.argsort(own.sum(axis=0), kind="stable")]
    squares = (code_of(own).astype(float) ** 2).sum(axis=0)
    options = {"wanted_squares": squares, "excluded": excluded, "n_sets": n_sets, "seed": seed}
    sets = draw_sets(batch.totals, batch.squares, batch.genes, own.sum(axis=0), **options)
    cells = batch.some_cells(MOST_CELLS)
    cells = cells[:: -(-len(cells) // NULL_CELLS)]
    rows, bins, null_bins = _bins(batch, own, sets.genes, cells)
    strata = depth_strata(batch.depth)
    stratum = strata.of(batch.depth[cells])
    null = Null(strata, _tally(null_bins, stratum, strata.n_strata, sets.n_calibration))
    uniform = batch.draw_uniform(seed)
    p_value = null.p_values(bins, batch.depth, uniform)
    q_value = q_values(p_value)
    held_out = null_bins[:, sets.n_calibration :][:, :BLANK_SETS]

    def call_rate(column: Ints) -> float:
        """Compute the share of ``cells`` that some bins call."""
        p_values = null.p_values(column, batch.depth[cells], uniform[cells])
        return float((q_values(p_values) <= rate).mean())

    blank = [call_rate(column) for column in held_out.T]
    shuffled = [float(rows(codes).var()) for codes in _shuffle(code_of(own[cells]), stratum, seed)]
    own_tally = _tally(bins[:, None], strata.of(batch.depth), strata.n_strata, 1)[0]
    unknown = np.full((len(NOMINAL), len(GROUPS)), np.nan)
    shares = (null.held_out, unknown, null.share(own_tally))
    calibration = Calibration(p_value, *shares, np.array(blank), sets.fold, n_sets, (), 0)
    return SetCalls(
        (bins - BINS // 2 + 0.5) / BINS_PER_UNIT,
        q_value,
        q_value <= rate,
        calibration,
        float(bins[cells].var()),
        np.array(shuffled),
    )


def root_table(mean: Any, counts: Any) -> NDArray[np.int64]:
    """Compute twice the root of each count minus that of its mean, in 1,024ths.

    Parameters
    ----------
    mean, counts
        Means, shape (n_means,), and counts, shape (n_counts,), 0 or more.

    Returns
    -------
    Shape (n_means, n_counts).

    >>> root_table([1.0], [0.0, 1.0, 4.0]).tolist()
    [[-1147, 0, 1882]]
    """
    expected = np.sqrt(np.asarray(mean, dtype=float) + SMALL)
    observed = np.sqrt(np.asarray(counts, dtype=float) + SMALL)
    return np.round(2 * SCALE * (observed[None, :] - expected[:, None])).astype(np.int64)


def q_values(p_value: Any) -> Floats:
    """Compute the lowest false discovery rate at which each test is a discovery, shape (n_tests,).

    Parameters
    ----------
    p_value
        P-value of each test, shape (n_tests,), 0-1.

    >>> q_values([0.01, 0.02, 0.9]).round(3).tolist()
    [0.03, 0.03, 0.9]
    """
    values = np.asarray(p_value, dtype=float)
    order = np.argsort(values, kind="stable")[::-1]
    found = np.empty(len(values))
    found[order] = np.minimum.accumulate(
        values[order] * len(values) / np.arange(len(values), 0, -1)
    )
    return np.minimum(found, 1.0)


def _shuffle(codes: Any, stratum: Ints, seed: int) -> Iterator[Any]:
    """Turn the cells of each stratum by a random number of places, each gene separately.

    Each result has shape (n_cells, n_genes).
    """
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


def _bins(
    batch: Batch, counts: Floats, sets: Ints, cells: Ints
) -> tuple[Callable[[Any], Ints], Ints, NDArray[np.int16]]:
    """Compute the bins of the set and of the null sets.

    Returns
    -------
    Bin of the set itself in ``cells`` as a function of its codes; in all cells (n_cells,); of the
    null sets (n, n_sets).
    """
    genes, columns = np.unique(sets, return_inverse=True)
    total, depth_bin = max(float(batch.depth.sum()), 1.0), rate_bin(np.maximum(batch.depth, 1.0))
    gene_bin = rate_bin((batch.totals[genes] + 0.5) / total)
    own_bin = rate_bin((counts.sum(axis=0) + 0.5) / total)
    first = min(gene_bin.min(), own_bin.min()) + depth_bin.min()
    last = max(gene_bin.max(), own_bin.max()) + depth_bin.max()
    means = 2.0 ** ((np.arange(first, last + 1) + 0.5) / STEPS_PER_OCTAVE)
    roots = root_table(means, _counts_of_codes())
    width = SCALE * np.sqrt(sets.shape[1]) / BINS_PER_UNIT
    codes = np.empty((len(cells), len(genes)), dtype=np.uint8)
    column_of_gene = np.full(batch.csr.shape[1], -1, dtype=np.int32)
    column_of_gene[genes] = np.arange(len(genes))
    fill_codes(
        batch.csr.indptr,
        batch.csr.indices,
        batch.csr.data,
        column_of_gene,
        batch.rows_of(cells),
        codes,
    )
    null = root_bins(
        codes, columns.reshape(sets.shape), gene_bin - first, depth_bin[cells], roots, width
    )
    own = np.arange(counts.shape[1])[None, :], own_bin - first

    def bins_of(coded: Any, depths: Ints) -> Ints:
        return np.asarray(root_bins(coded, *own, depths, roots, width)[:, 0], dtype=np.int64)

    return lambda coded: bins_of(coded, depth_bin[cells]), bins_of(code_of(counts), depth_bin), null


def _counts_of_codes() -> Floats:
    """Return the count that each one-byte code represents, shape (256,)."""
    large = EXACT_BELOW * 2.0 ** (
        (np.arange(LARGEST_CODE + 1 - EXACT_BELOW) + 0.5) / STEPS_PER_OCTAVE
    )
    return np.concatenate([np.arange(EXACT_BELOW, dtype=float), large])


def _tally(bins: Any, stratum: Ints, n_strata: int, n_calibration: int) -> NDArray[np.int64]:
    """Count the cells of each side, stratum and bin, shape (2, n_strata, n_bins)."""
    sides = []
    for part in (bins[:, :n_calibration], bins[:, n_calibration:]):
        place = stratum[:, None] * BINS + part.astype(np.int64)
        sides.append(np.bincount(place.ravel(), minlength=n_strata * BINS).reshape(n_strata, BINS))
    return np.stack(sides)
