"""Calibration of a programme on the user's own data, against two nulls.

Matched null: sets of genes as abundant as the markers, with one statistic for all of them. These
genes are really expressed. They show how often unrelated genes look like the programme, and they
give each cell an empirical p-value. Background null: counts drawn from the ambient RNA, through the
fitted caller. Each null is calibrated on one half and checked on the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from scdiff.assay.blanks import background_null, call_blanks
from scdiff.assay.empirical import GROUPS, NOMINAL, Null, depth_strata
from scdiff.assay.fit import Fit
from scdiff.assay.matched import MatchedSets, draw_sets
from scdiff.assay.mixture import Model
from scdiff.assay.null_kernel import BINS, fill_codes, sum_counts, tally_sets
from scdiff.assay.priors import BLANK_CELLS
from scdiff.assay.statistic import Statistic, code_of, rate_bin
from scdiff.assay.table import Floats, Ints

__all__ = [
    "Batch",
    "Calibration",
    "blank_fractions",
    "calibrate",
    "calibration_record",
    "tally_null_sets",
]

CHUNK_CELLS = 2_048
"""Cells whose counts are laid out at once. Memory only: results do not depend on it."""
MOST_CELLS = 20_000
"""Most cells of the matched null. With 1,000 sets these are 20 million values."""
LEVEL = 0.05
"""Nominal level at which the rates are reported."""
ALLOWED = (0.04, 0.06)
"""Lowest and highest rate at that level that is reported as correct."""
FAR_FOLD = 2.0
"""Difference in abundance, as a ratio, above which a note warns about the matched genes."""
POWER = 0.95
"""Quantile of the fractions called in blanks that is the limit of blank (CLSI EP17-A2)."""


@dataclass(frozen=True)
class Batch:
    """All counts of a batch.

    Parameters
    ----------
    counts
        Cells x genes, scipy sparse or dense, whole numbers; no entry twice.
    cells, genes
        Unique names, shape (n_cells,) and (n_genes,). Only they determine the order.
    sums
        Depth of each cell, counts of each gene, and squared codes of these summed; None to compute
        them.
    rows
        Cells that ``counts`` holds if it does not hold all: at least :attr:`drawn`.
    """

    counts: Any
    cells: Any
    genes: Any
    sums: tuple[Floats, Floats, Floats] | None = None
    rows: Ints | None = None

    @cached_property
    def csr(self) -> Any:
        """Counts by cell; the same object if they are already in that order."""
        from scipy import sparse

        return (
            self.counts
            if sparse.issparse(self.counts) and self.counts.format == "csr"
            else sparse.csr_matrix(self.counts)
        )

    @cached_property
    def _sums(self) -> tuple[Floats, Floats, Floats]:
        return self.sums or sum_counts(
            self.csr.indptr, self.csr.indices, self.csr.data, self.csr.shape[1]
        )

    def prepare(self) -> None:
        """Compute now what all programmes share, so that later processes inherit it."""
        _ = self._sums, self.by_name

    @property
    def depth(self) -> Floats:
        """Counts of each cell, shape (n_cells,)."""
        return self._sums[0]

    @property
    def totals(self) -> Floats:
        """Counts of each gene, shape (n_genes,)."""
        return self._sums[1]

    @property
    def squares(self) -> Floats:
        """Squared codes of the counts of each gene, summed, shape (n_genes,)."""
        return self._sums[2]

    @cached_property
    def by_name(self) -> Ints:
        """Cells in the order of their names, shape (n_cells,)."""
        return np.argsort(np.asarray(self.cells, dtype=str), kind="stable")

    @property
    def drawn(self) -> Ints:
        """All cells whose counts a calibration with seed 0 reads, in ascending order."""
        return np.union1d(self.some_cells(MOST_CELLS), self.some_cells(BLANK_CELLS))

    def rows_of(self, cells: Ints) -> Ints:
        """Return the rows of ``counts`` that hold some cells."""
        return cells if self.rows is None else np.searchsorted(self.rows, cells)

    def draw_uniform(self, seed: int = 0) -> Floats:
        """Draw a number of each cell, 0-1, in the order of their names, shape (n_cells,)."""
        uniform = np.empty(len(self.by_name))
        uniform[self.by_name] = np.random.default_rng([seed, 1]).random(len(uniform))
        return uniform

    def some_cells(self, most: int, seed: int = 0) -> Ints:
        """Draw at most ``most`` cells at random, in the order of their names."""
        n_cells = len(self.by_name)
        chosen = np.random.default_rng([seed, 2]).choice(
            n_cells, size=min(most, n_cells), replace=False
        )
        return self.by_name[np.sort(chosen)]


@dataclass(frozen=True)
class Calibration:
    """Result of the calibration of one programme.

    Parameters
    ----------
    p_value
        Empirical p-value of each cell against the matched null, shape (n_cells,), 0-1.
    matched, background, programme
        Share of p-values at or below each level of ``NOMINAL``, shape (n_levels, 5), overall and by
        depth quartile: of the held-out matched sets, of the held-out background, and of the
        programme itself.
    blank
        Fraction of cells that the full caller calls in each of some matched sets, shape
        (n_blanks,), 0-1.
    fold
        Largest ratio between the abundance of a matched gene and that of each marker, shape
        (n_markers,).
    n_sets
        Number of matched sets in both halves.
    notes
        Notes for the reader; the first ``n_off`` of them report an incorrect rate.
    """

    p_value: Floats
    matched: Floats
    background: Floats
    programme: Floats
    blank: Floats
    fold: Floats
    n_sets: int
    notes: tuple[str, ...]
    n_off: int

    @property
    def limit_of_blank(self) -> float:
        """95th percentile of the called fraction over the matched sets; NaN without any."""
        return (
            float(np.quantile(self.blank, POWER, method="higher"))
            if len(self.blank)
            else float("nan")
        )


def calibrate(
    batch: Batch,
    counts: Any,
    fit: Fit,
    *,
    excluded: Any = (),
    n_sets: int = 1_000,
    n_blanks: int = 20,
    rate: float = 0.05,
    seed: int = 0,
) -> Calibration:
    """Calibrate one programme.

    Parameters
    ----------
    batch
        All counts.
    counts
        Counts of the markers, shape (n_cells, n_markers).
    fit
        The caller's fit to all samples.
    excluded
        Genes (columns) of the programme, which enter no null set.
    n_sets
        Matched sets, half of which calibrate, 2 or more.
    n_blanks
        Matched sets that go through the full caller for the limit of blank; 0 for none.
    rate
        Expected share of false calls among the calls, between 0 and 1.
    seed
        Seed of the random generator.

    Raises
    ------
    InputError
        If the matrix has too few genes for null sets.
    """
    markers = np.asarray(counts, dtype=float)
    sets = draw_sets(
        batch.totals,
        batch.squares,
        batch.genes,
        markers.sum(axis=0),
        excluded=excluded,
        n_sets=n_sets,
        seed=seed,
    )
    null, bins = tally_null_sets(batch, markers, sets, fit.model.min_markers)
    uniform = batch.draw_uniform(seed)
    own = np.zeros_like(null.tally[0])
    np.add.at(own, (null.strata.of(batch.depth), bins), 1)
    background = background_null(fit, batch.depth, seed=seed).held_out
    options = {"excluded": excluded, "n_sets": n_sets, "seed": seed}
    options |= {"n_blanks": n_blanks, "rate": rate}
    blank = blank_fractions(batch, markers, fit.model, **options) if n_blanks else np.empty(0)
    off = (
        *_note_rates("matched null sets", null.held_out),
        *_note_rates("background-only cells", background),
    )
    p_value = null.p_values(bins, batch.depth, uniform)
    notes = (*off, *_note_far_genes(sets.fold)) if off else ()
    return Calibration(
        p_value,
        null.held_out,
        background,
        null.share(own),
        blank,
        sets.fold,
        n_sets,
        notes,
        len(off),
    )


def blank_fractions(
    batch: Batch,
    counts: Any,
    model: Model,
    *,
    excluded: Any = (),
    n_sets: int = 1_000,
    n_blanks: int = 20,
    rate: float = 0.05,
    seed: int = 0,
    share: tuple[int, int] = (0, 1),
) -> Floats:
    """Compute the fraction of cells that the full caller calls in some matched sets.

    Parameters
    ----------
    batch, counts, excluded, n_sets, n_blanks, rate, seed
        As in :func:`calibrate`.
    model
        Levels and rule of the programme.
    share
        Number of the part to compute, and number of parts, so that several processes can share the
        work.

    Returns
    -------
    Fraction of cells called in each set of the part, 0-1; shape (n_blanks,) if there is one part.
    """
    sets = draw_sets(
        batch.totals,
        batch.squares,
        batch.genes,
        np.sum(counts, axis=0),
        excluded=excluded,
        n_sets=n_sets,
        seed=seed,
    )
    chosen = sets.genes[:: -(-n_sets // n_blanks)][share[0] :: share[1]]
    cells = batch.some_cells(BLANK_CELLS, seed)
    counts_of_cells = batch.csr[batch.rows_of(cells)]
    return call_blanks(counts_of_cells, batch.depth[cells], chosen, model, rate=rate)


def tally_null_sets(
    batch: Batch,
    counts: Floats,
    sets: MatchedSets,
    min_markers: int,
    *,
    chunk_cells: int = CHUNK_CELLS,
) -> tuple[Null, Ints]:
    """Tally the statistic of all null sets, and compute its bin for the programme itself.

    Of more than 20,000 cells, 20,000 random ones make the null: with 1,000 sets these are 20
    million values.

    Parameters
    ----------
    batch
        All counts.
    counts
        Counts of the markers, shape (n_cells, n_markers).
    sets
        Null sets.
    min_markers
        Number of markers that must be expressed.
    chunk_cells
        Cells whose counts are laid out at once, 1 or more.
    """
    genes, columns = np.unique(sets.genes, return_inverse=True)
    columns = columns.reshape(sets.genes.shape)
    total = max(float(batch.depth.sum()), 1.0)
    depth_bin = rate_bin(np.maximum(batch.depth, 1.0))
    gene_bin = rate_bin((batch.totals[genes] + 0.5) / total)
    marker_bin = rate_bin((counts.sum(axis=0) + 0.5) / total)
    rates = np.concatenate([gene_bin, marker_bin])
    n_markers = counts.shape[1]
    statistic = Statistic.build(
        (rates.min() + depth_bin.min(), rates.max() + depth_bin.max()), n_markers, min_markers
    )
    null = _tally(batch, (genes, columns, gene_bin), statistic, sets.n_calibration, chunk_cells)
    return null, statistic.bins(
        code_of(counts), np.arange(n_markers)[None, :], marker_bin, depth_bin
    )[:, 0]


def _tally(
    batch: Batch,
    drawn: tuple[Ints, Ints, Ints],
    statistic: Statistic,
    n_calibration: int,
    chunk_cells: int,
) -> Null:
    """Tally the null sets, a chunk of cells at a time.

    ``drawn`` has the genes in use, the sets as places among them, and their rate bins.
    """
    (genes, columns, gene_bin), matrix = drawn, batch.csr
    column_of_gene = np.full(matrix.shape[1], -1, dtype=np.int32)
    column_of_gene[genes] = np.arange(len(genes))
    depth_bin = rate_bin(np.maximum(batch.depth, 1.0))
    lowest = depth_bin.min()
    depths = np.arange(lowest, depth_bin.max() + 1)
    empty = statistic.bins(
        np.zeros((len(depths), len(genes)), dtype=np.uint8), columns, gene_bin, depths
    )
    strata = depth_strata(batch.depth)
    side = (np.arange(len(columns)) >= n_calibration).astype(np.int64)
    stratum, tally = strata.of(batch.depth), np.zeros((2, strata.n_strata, BINS), dtype=np.int64)
    chosen = batch.some_cells(MOST_CELLS)
    for start in range(0, len(chosen), chunk_cells):
        cells = chosen[start : start + chunk_cells]
        codes = np.empty((len(cells), len(genes)), dtype=np.uint8)
        fill_codes(
            matrix.indptr, matrix.indices, matrix.data, column_of_gene, batch.rows_of(cells), codes
        )
        tally_sets(
            codes,
            columns,
            gene_bin + lowest - statistic.first,
            depth_bin[cells] - lowest,
            stratum[cells],
            side,
            statistic.on,
            statistic.off,
            statistic.min_markers,
            empty,
            tally,
        )
    return Null(strata, tally)


def calibration_record(calibration: Calibration) -> dict[str, Any]:
    """Turn a calibration into tables that an h5ad file can hold, without the p-values of the cells.

    Returns
    -------
    ``qq``: one row per null (``matched``, ``background``; ``programme`` is the batch's own) and
    nominal level; ``rates``: the rows at 5 %, by null; ``blank``: one row per null set with its
    called fraction; ``fold``; ``limit_of_blank``; ``n_sets``; ``notes``.
    """
    import pandas as pd

    shares = {
        "matched": calibration.matched,
        "background": calibration.background,
        "programme": calibration.programme,
    }
    frames = [
        pd.DataFrame(share, columns=list(GROUPS)).assign(null=name, nominal=NOMINAL)
        for name, share in shares.items()
    ]
    qq = pd.concat(frames)[["null", "nominal", *GROUPS]]
    qq.index = pd.Index(
        [f"{name}:{level:g}" for name, level in zip(qq["null"], qq["nominal"], strict=True)]
    )
    blank = pd.DataFrame(
        {"fraction": calibration.blank},
        index=pd.Index([f"set_{n}" for n in range(len(calibration.blank))], dtype=str),
    )
    return {
        "qq": qq,
        "rates": qq[qq["nominal"] == LEVEL].set_index("null")[list(GROUPS)],
        "blank": blank,
        "fold": calibration.fold,
        "limit_of_blank": calibration.limit_of_blank,
        "n_sets": calibration.n_sets,
        "notes": np.array(calibration.notes, dtype=str),
    }


def _note_rates(what: str, share: Floats) -> tuple[str, ...]:
    """Write a note if the rate at nominal 5 % is incorrect."""
    rates = share[np.flatnonzero(NOMINAL == LEVEL)[0]]
    off = [
        (name, value)
        for name, value in zip(GROUPS, rates, strict=True)
        if value < ALLOWED[0] or value > ALLOWED[1]
    ]
    words = ", ".join(f"{100 * value:.1f} % ({name.replace('_', ' ')})" for name, value in off)
    note = (
        f"At nominal 5 % the rate among held-out {what} is {words}: p-values of this batch are "
        "incorrect."
    )
    return (note,) if off else ()


def _note_far_genes(fold: Floats) -> tuple[str, ...]:
    """Write a note if a marker has no genes of similar abundance."""
    if fold.max() <= FAR_FOLD:
        return ()
    note = (
        f"The matched genes differ up to {fold.max():.3g}-fold from a marker in abundance: few "
        "genes are as abundant, so p-values and blank say little about that marker."
    )
    return (note,)
