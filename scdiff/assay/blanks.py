"""Blanks for the calibration: background-only cells, and null sets through the full caller."""

from __future__ import annotations

from typing import Any

import numpy as np

from scdiff.assay.arithmetic import TINY
from scdiff.assay.calls import call_table
from scdiff.assay.densities import draw_counts
from scdiff.assay.empirical import Null, depth_strata
from scdiff.assay.fit import Fit, fit_mixture, start_of
from scdiff.assay.mixture import Model
from scdiff.assay.null_kernel import BINS
from scdiff.assay.priors import BLANK_BINNING, DEPTHS, DRAWS
from scdiff.assay.statistic import log_odds_bin
from scdiff.assay.table import Floats, tabulate

__all__ = ["background_null", "call_blanks"]


def background_null(fit: Fit, depth: Any, *, seed: int = 0) -> Null:
    """Draw background-only cells and call them as the batch was called.

    The cells have the depths and the contamination of the batch. The statistic is that of the
    fitted caller: ln odds that enough markers are expressed. One half calibrates, the other half
    checks.

    Parameters
    ----------
    fit
        The caller's fit.
    depth
        Depth of each cell, shape (n_cells,).
    seed
        Seed of the random generator.
    """
    cells = np.sort(np.asarray(depth, dtype=float))
    chosen = cells[np.arange(min(DEPTHS, len(cells))) * len(cells) // min(DEPTHS, len(cells))]
    drawn = np.maximum(np.tile(chosen, -(-DRAWS // len(chosen))), 1.0)
    strata, generator = depth_strata(cells), np.random.default_rng([seed, 3])
    tally = np.zeros((2, strata.n_strata, BINS), dtype=np.int64)
    for side in (0, 1):
        bins = log_odds_bin(_log_odds(fit, _background_counts(fit, drawn, generator), drawn))
        np.add.at(tally[side], (strata.of(drawn), bins), 1)
    return Null(strata, tally)


def _background_counts(fit: Fit, depth: Floats, generator: np.random.Generator) -> Floats:
    """Draw counts of cells that express no marker, shape (n_cells, n_markers)."""
    return draw_counts(
        fit.parameters, np.zeros((len(depth), fit.model.n_markers), dtype=bool), depth, generator
    )


def _log_odds(fit: Fit, counts: Floats, depth: Floats) -> Floats:
    """Compute ln odds that each cell is positive, by the fit."""
    table = tabulate(counts, depth)
    pattern = fit.model.evaluate(fit.theta, table).pattern
    positive, negative = (
        pattern[:, group].sum(axis=1) + TINY for group in (fit.model.positive, ~fit.model.positive)
    )
    evidence: Floats = np.log(positive / negative)[table.cell_row]
    return evidence


def call_blanks(
    matrix: Any, depth: Floats, sets: Any, model: Model, *, rate: float = 0.05
) -> Floats:
    """Compute the fraction of cells that the full caller calls in each null set.

    The caller is fitted to each set separately.

    Parameters
    ----------
    matrix
        Counts of the cells to call, CSR, cells x genes.
    depth
        Depth of each cell, shape (n_cells,).
    sets
        Genes of each null set, shape (n_sets, n_markers).
    model
        Levels and rule of the programme.
    rate
        Expected share of false calls among the calls, between 0 and 1.
    """
    depths, called = np.maximum(depth, 1.0), []
    for genes in sets:
        table = tabulate(matrix[:, genes].toarray(), depths)
        coarse = table.coarser(BLANK_BINNING)
        fit = fit_mixture(coarse, model, start=start_of(coarse, model, "rare"))
        called.append(call_table(model, fit.theta, table, rate=rate).positive.mean())
    return np.array(called, dtype=float)
