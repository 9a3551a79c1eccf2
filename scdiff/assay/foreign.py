"""Foreign transcripts in cells with an abundant marker: evidence of contamination.

A cell that took up ambient RNA holds a little of everything that lysed cells held. Its own
transcripts are all there, each slightly diluted, and the marker is a part of what diluted them. A
cell that expresses the marker has no other additions. A cell of another kind lacks the transcripts
of the bulk. Three groups of genes and cells distinguish these cases: the *bulk* (cells with little
of the marker), the *carriers* (cells with more of it), and the *own genes*: genes that are abundant
in the bulk and lowest in the carriers. A carrier that keeps its own genes is a cell of the bulk.

Own genes are chosen in one half of the cells and measured in the other half, so that a choice by
chance does not confirm itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scdiff.assay.table import Floats

__all__ = ["BULK", "CARRIERS", "Foreign", "choose_own_genes", "group_cells", "measure_foreign"]

BULK, CARRIERS, OTHER = 0, 1, -1
"""Codes of the groups of cells."""
CARRIES = 0.05
"""Rate of the marker above which a cell is a carrier, in units of its typical level. Chosen, not
tuned."""
FEWEST_CARRIERS = 10
"""Fewest carriers in both halves together; with fewer, nothing is measured. Chosen, not tuned."""
FEWEST_COUNTS = 50
"""Counts in the bulk above which the dilution of a gene is measurable (a standard error of 14
%)."""
OWN_SHARE = 0.25
"""Share of the measurable genes that become own genes: those with the lowest share in the
carriers."""
KEEPS = 0.5
"""Share of its own genes above which a carrier is a cell of the bulk. A doublet of two cells of
equal size keeps half."""
ALONE = 0.6
"""Share of the marker in all additions above which it was added alone: no cell is so rich in one
transcript (insulin is a third of a beta cell's)."""
SURE = 3.0
"""Standard errors by which the own genes must be diluted."""
HIGH_QUANTILE, MARGIN = 0.98, 1.2
"""Quantile of the marker's rate in diluted cells, and the factor on it, that give the reach of the
contamination. Chosen, not tuned."""


@dataclass(frozen=True)
class Foreign:
    """Nature of the carriers of a marker.

    Parameters
    ----------
    kept
        Share of its own genes that each cell keeps, relative to the bulk, shape (n_cells,), 0 or
        more.
    n_bulk_like
        Carriers in the measured half that keep at least half of their own genes.
    share
        Share of the marker in what was added to these, 0 or more; NaN if it is unknown.
    reach
        Contamination that cells are known to hold, in units of the marker's typical level; 0 if it
        is unknown.
    """

    kept: Floats
    n_bulk_like: int
    share: float
    reach: float


def group_cells(
    counts: Any, depth: Any, level: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Group the cells into bulk and carriers, separately in two halves.

    One half chooses genes, the other half is measured.

    Parameters
    ----------
    counts
        Counts of the marker, shape (n_cells,).
    depth
        All counts of each cell, shape (n_cells,).
    level
        Typical level of the marker, share of a cell's counts.

    Returns
    -------
    Group of each cell in either half, each of shape (n_cells,), -1 for cells in neither group; None
    if there are too few carriers.
    """
    rate = np.asarray(counts, dtype=float) / np.maximum(depth, 1)
    middle = np.quantile(rate, 0.5)
    group = np.where(
        rate <= middle, BULK, np.where(rate > CARRIES * level, CARRIERS, OTHER)
    ).astype(np.int64)
    first = np.asarray(depth, dtype=np.int64) % 2 == 0
    halves = (np.where(first, group, OTHER), np.where(first, OTHER, group))
    return (
        halves if all((half == CARRIERS).sum() >= FEWEST_CARRIERS / 2 for half in halves) else None
    )


def choose_own_genes(totals: Any, markers: Any) -> NDArray[np.bool_]:
    """Choose the genes of the bulk that are lowest in the carriers, shape (n_genes,).

    Parameters
    ----------
    totals
        Counts of each gene in the bulk and in the carriers of one half, shape (2, n_genes).
    markers
        Genes that must not be chosen.
    """
    bulk, carriers = np.asarray(totals, dtype=float)
    known: NDArray[np.bool_] = bulk >= FEWEST_COUNTS
    known[markers] = False
    in_carriers = (carriers + 0.5) / max(carriers.sum(), 1.0)
    in_bulk = np.maximum(bulk / max(bulk.sum(), 1.0), 1e-300)
    dilution = np.where(known, in_carriers / in_bulk, np.inf)
    if known.any():
        known &= dilution <= np.quantile(dilution[known], OWN_SHARE)
    return known


def measure_foreign(counts: Any, depth: Any, own: Any, half: Any, level: float) -> Foreign:
    """Measure how much of their own genes the carriers keep, and what was added to them.

    Parameters
    ----------
    counts, depth, level
        As in :func:`group_cells`.
    own
        Counts of the own genes in each cell, shape (n_cells,).
    half
        Group of each cell in the half that chose no genes, shape (n_cells,).
    """
    marker, total, kept_counts = (
        np.asarray(values, dtype=float) for values in (counts, depth, own)
    )
    bulk = half == BULK
    usual = kept_counts[bulk].sum() / max(total[bulk].sum(), 1.0)
    if usual == 0:
        return Foreign(np.ones(len(total)), 0, np.nan, 0.0)
    kept = kept_counts / np.maximum(total, 1) / usual
    like = (half == CARRIERS) & (kept >= KEEPS) & (marker / np.maximum(total, 1) < level * 2)
    share = np.nan
    if like.sum() >= FEWEST_CARRIERS / 2:
        added = 1 - kept_counts[like].sum() / total[like].sum() / usual
        noise = np.std(kept[like]) / np.sqrt(like.sum()) + np.std(kept[bulk]) / np.sqrt(bulk.sum())
        with_it = marker[like].sum() / total[like].sum() - marker[bulk].sum() / total[bulk].sum()
        share = float(with_it / added) if added > SURE * noise else np.nan
    reach = 0.0
    if share < ALONE:
        reach = MARGIN * float(np.quantile(marker[like] / total[like], HIGH_QUANTILE)) / level
    return Foreign(kept, int(like.sum()), share, reach)
