"""Are these raw counts? What a correction leaves behind in whole numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["doubt_counts"]

FEWEST_CELLS_FOR_DOUBT = 50
SAME_DEPTH = 0.03
"""Spread of the cells' totals, relative to their mean: raw totals differ by tens of percent, normalised ones by rounding only."""
DEEP_ENOUGH = 200
"""Genes that a cell must show for its smallest count to say something: of so many genes some have a single molecule."""
SCALED_SHARE = 0.2
"""Share of the cells without a single count of 1 from which on the counts were scaled: in raw counts hardly a cell is so."""


def doubt_counts(depth: Any, smallest: Any, n_genes: Any, *, are_reads: bool = False) -> str:
    """Say why whole numbers are no raw counts; empty where nothing speaks against it.

    Parameters
    ----------
    depth
        All counts of each cell, shape (n_cells,).
    smallest
        Smallest count above 0 of some cells, shape (n_some,).
    n_genes
        Number of genes that these cells show, shape (n_some,).
    are_reads
        Whether the counts are reads, of which each molecule gives many.

    >>> doubt_counts([10_000] * 60, [1] * 60, [900] * 60)[:29]
    'all cells have the same total'
    """
    totals, deep = np.asarray(depth, dtype=float), np.asarray(n_genes) >= DEEP_ENOUGH
    if len(totals) >= FEWEST_CELLS_FOR_DOUBT and totals.std() <= SAME_DEPTH * totals.mean():
        return (
            f"all cells have the same total ({totals.mean():,.0f} counts within {SAME_DEPTH:.0%}): the counts were normalised and rounded, "
            "or downsampled, so that small counts no longer mean molecules; give the raw counts"
        )
    if not are_reads and deep.sum() >= FEWEST_CELLS_FOR_DOUBT and (scaled := float((np.asarray(smallest)[deep] > 1).mean())) > SCALED_SHARE:
        return (
            f"{scaled:.0%} of the cells have no count of 1: the counts were scaled and rounded, so that small counts no longer mean "
            "molecules; give the raw counts"
        )
    return ""
