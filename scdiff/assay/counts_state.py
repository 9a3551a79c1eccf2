"""Check whether counts are raw, from the traces that a correction leaves in whole numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["doubt_counts"]

FEWEST_CELLS_FOR_DOUBT = 50
"""Fewest cells for a doubt: with fewer, equal totals or missing ones can be chance. Chosen, not
tuned."""
SAME_DEPTH = 0.03
"""Spread of the cells' totals, relative to their mean, below which they count as equal. Raw totals
differ by tens of percent, normalised ones by rounding only."""
DEEP_ENOUGH = 200
"""Expressed genes of a cell above which its smallest count is informative: some of these genes have
a single molecule."""
SCALED_SHARE = 0.2
"""Share of the cells without a count of 1 above which the counts were scaled. In raw counts hardly
any cell has no count of 1."""


def doubt_counts(depth: Any, smallest: Any, n_genes: Any, *, are_reads: bool = False) -> str:
    """Explain why whole numbers are not raw counts; return "" if there is no sign of it.

    Parameters
    ----------
    depth
        All counts of each cell, shape (n_cells,).
    smallest
        Smallest count above 0 of some cells, shape (n_some,).
    n_genes
        Number of expressed genes of these cells, shape (n_some,).
    are_reads
        Whether the counts are reads: each molecule then gives several.

    >>> doubt_counts([10_000] * 60, [1] * 60, [900] * 60)[:29]
    'all cells have the same total'
    """
    totals, deep = np.asarray(depth, dtype=float), np.asarray(n_genes) >= DEEP_ENOUGH
    if len(totals) >= FEWEST_CELLS_FOR_DOUBT and totals.std() <= SAME_DEPTH * totals.mean():
        return (
            f"all cells have the same total ({totals.mean():,.0f} counts within {SAME_DEPTH:.0%}): "
            "the counts were normalised and rounded, or downsampled, so that small counts no "
            "longer mean molecules; give the raw counts"
        )
    if are_reads or deep.sum() < FEWEST_CELLS_FOR_DOUBT:
        return ""
    scaled = float((np.asarray(smallest)[deep] > 1).mean())
    if scaled > SCALED_SHARE:
        return (
            f"{scaled:.0%} of the cells have no count of 1: the counts were scaled and rounded, so "
            "that small counts no longer mean molecules; give the raw counts"
        )
    return ""
