"""The statistic of the caller without a fit: ln odds that enough markers are expressed.

The evidence of a gene in a cell is the caller's likelihood ratio, expressed against background,
with its parameters at the centre of their priors. The background is the gene's mean rate over the
batch; expressed is ten times that and more, the lowest contrast that the caller accepts. The
evidence depends only on the count and on rate x depth. One small table therefore serves all genes
and cells, and a null gene is treated exactly as a marker of its abundance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from scdiff.assay.calls import marker_evidence
from scdiff.assay.densities import GRID, GRID_WEIGHT, Parameters
from scdiff.assay.null_kernel import (
    BINS,
    BINS_PER_UNIT,
    EXACT_BELOW,
    LARGEST_CODE,
    STEPS_PER_OCTAVE,
    bin_rows,
)
from scdiff.assay.priors import ACTIVITY, OFF_SIZE, ON_SIZE
from scdiff.assay.table import Floats, Ints, MarkerTable, coarse_counts

__all__ = ["Statistic", "code_of", "log_odds_bin", "rate_bin"]

PRIOR = 0.05
"""Prior probability that a marker is expressed. Chosen, not tuned."""
LARGEST_EVIDENCE = 60.0
"""Largest absolute ln likelihood ratio of one gene. Chosen, not tuned."""
LARGEST_SUM = 600.0
"""Largest sum of these over a set: its exponential stays finite in double precision."""
CONTRAST = 10.0
"""Level of an expressed gene, relative to its mean rate over the batch."""
SPREAD, UNBOUNDED = 0.5, 1e6
"""Standard deviation of ln contamination, and a contamination that no cell reaches."""

Codes = NDArray[np.uint8]


def rate_bin(rate: Any) -> Ints:
    """Compute the bin of a rate or a depth, a 16th of an octave wide; above 0."""
    return np.asarray(
        np.floor(np.log2(np.asarray(rate, dtype=float)) * STEPS_PER_OCTAVE + 1e-9), dtype=np.int64
    )


def code_of(counts: Any) -> Codes:
    """Compute the one-byte code of a count.

    It is the count itself below 32, above that its 16th-octave bin, at most 255 (above half a
    million).

    >>> code_of([0, 31, 32, 64]).tolist()
    [0, 31, 32, 48]
    """
    exact = np.asarray(counts, dtype=float)
    coarse = EXACT_BELOW + rate_bin(np.maximum(exact, EXACT_BELOW) / EXACT_BELOW)
    return np.where(exact < EXACT_BELOW, exact, np.minimum(coarse, LARGEST_CODE)).astype(np.uint8)


def log_odds_bin(log_odds: Any) -> Ints:
    """Compute the bin of ln odds, an eighth wide, between -80 and 80.

    >>> log_odds_bin([-1e9, 0, 1e9]).tolist()
    [0, 640, 1279]
    """
    return np.clip(
        np.asarray(log_odds, dtype=float) * BINS_PER_UNIT + BINS / 2, 0, BINS - 1
    ).astype(np.int64)


@dataclass(frozen=True)
class Statistic:
    """Table of the statistic for one programme and its null sets.

    Parameters
    ----------
    min_markers
        Number of markers that must be expressed.
    first
        Bin of rate x depth of the table's first row.
    on, off
        Probability that a marker is expressed, or not expressed, shape (n_rates, n_codes).
    """

    min_markers: int
    first: int
    on: Floats
    off: Floats

    @staticmethod
    def build(mean_bins: tuple[int, int], n_markers: int, min_markers: int) -> Statistic:
        """Build the table for the lowest and the highest bin of rate x depth.

        Parameters
        ----------
        mean_bins
            Lowest and highest bin.
        n_markers, min_markers
            Markers of the programme, and number of them that must be expressed.
        """
        mean = 2.0 ** ((np.arange(mean_bins[0], mean_bins[1] + 1) + 0.5) / STEPS_PER_OCTAVE)
        large = coarse_counts(
            EXACT_BELOW
            * 2.0 ** ((np.arange(LARGEST_CODE + 1 - EXACT_BELOW) + 0.5) / STEPS_PER_OCTAVE)
        )
        counts = np.concatenate([np.arange(EXACT_BELOW, dtype=float), large])
        pairs = MarkerTable(np.tile(counts, len(mean)), np.repeat(mean, len(counts)), np.arange(0))
        ratio = marker_evidence(_prior_centre(), 0, pairs).reshape(len(mean), len(counts))
        most = min(LARGEST_EVIDENCE, LARGEST_SUM / n_markers)
        log_odds = np.clip(ratio, -most, most) + logit(PRIOR)
        return Statistic(min_markers, mean_bins[0], expit(log_odds), expit(-log_odds))

    def bins(self, codes: Codes, sets: Any, columns_bin: Ints, depth_bin: Ints) -> Ints:
        """Compute the bin of the statistic, shape (n_rows, n_sets).

        Parameters
        ----------
        codes
            Coded counts, shape (n_rows, n_columns).
        sets
            Columns of each set, shape (n_sets, n_markers).
        columns_bin, depth_bin
            Rate bin of each column and depth bin of each row.
        """
        return np.asarray(
            bin_rows(
                codes,
                sets,
                columns_bin - self.first,
                depth_bin,
                self.on,
                self.off,
                self.min_markers,
            )
        )


def _prior_centre() -> Parameters:
    """Return the parameters of a gene with a batch rate of 1.

    Expressed and background are as the caller expects them before it has any count.
    """
    one = np.ones(1)
    return Parameters(
        level=CONTRAST * one,
        soup=one,
        leak=0.0 * one,
        on_size=one * np.exp(ON_SIZE),
        off_size=one * np.exp(OFF_SIZE),
        activity=float(np.exp(ACTIVITY)),
        slope=0.0,
        tilt=0.0,
        nodes=np.exp(SPREAD * GRID - SPREAD**2 / 2),
        node_weight=GRID_WEIGHT,
        most=UNBOUNDED,
        weight=one,
    )
