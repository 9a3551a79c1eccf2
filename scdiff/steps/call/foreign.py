"""Foreign RNA next to an abundant marker, measured in two passes over the counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scdiff.compute.blocks import get_counts, measure_cells, sum_by_group

if TYPE_CHECKING:
    from anndata import AnnData

    from scdiff.assay.foreign import Foreign

__all__ = ["find_foreign"]


def find_foreign(
    adata: AnnData, marker: np.ndarray, depth: np.ndarray, level: float, excluded: list[int]
) -> Foreign | None:
    """Measure the foreign RNA that comes with a marker; None if too few cells carry the marker.

    Parameters
    ----------
    adata
        Cells x genes.
    marker, depth
        Counts of the marker, and all counts, of each cell, shape (n_cells,).
    level
        Typical level of the marker, share of a cell's counts.
    excluded
        Genes (columns of the object) of the programme.
    """
    from scdiff.assay.foreign import choose_own_genes, group_cells, measure_foreign

    halves = group_cells(marker, depth, level)
    if halves is None:
        return None
    counts = get_counts(adata)
    sums = sum_by_group(counts, halves[0], 2)
    own = choose_own_genes(sums, excluded)
    return measure_foreign(marker, depth, measure_cells(counts, own)[:, 1], halves[1], level)
