"""The ambient RNA of a sample, from its empty droplets.

The unfiltered matrix next to the filtered one holds them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from scdiff.errors import InputError
from scdiff.steps.load.table import Table

__all__ = ["LANE", "MOST_COUNTS", "align_to_genes", "find_raw_matrix", "sum_empty_droplets"]

MOST_COUNTS = 100
"""Largest number of counts of an empty droplet. A droplet with more may hold a cell or the debris
of one (the range of SoupX, 10.1093/gigascience/giaa151)."""

ENOUGH_COUNTS = 10_000
"""Counts in all empty droplets that are enough to measure the ambient RNA; with fewer, it is
estimated from the cells. Chosen, not tuned."""

SAME_SAMPLE = 0.5
"""Share of the cells, 0-1, that must be in the unfiltered matrix; below it, the matrix is that of
another sample. Chosen, not tuned."""

LANE = re.compile(r"-\d+$")
"""The number of the GEM well at the end of a barcode."""


def find_raw_matrix(path: Path) -> Path | None:
    """Find the unfiltered matrix next to a filtered one, by ``raw`` in place of ``filtered``."""
    beside = path.parent / path.name.replace("filtered", "raw")
    return beside if beside.name != path.name and beside.exists() else None


def sum_empty_droplets(raw: Table, cells: np.ndarray, path: Path) -> tuple[Any, str]:
    """Sum the counts of the droplets that hold no cell.

    Parameters
    ----------
    raw
        The unfiltered matrix, all barcodes.
    cells
        Barcodes of the filtered matrix, shape (n_cells,).
    path
        File of the unfiltered matrix, for messages.

    Returns
    -------
    Counts of each gene of ``raw``, shape (n_genes,), or None if there are too few; and a sentence
    that describes the result.

    Raises
    ------
    InputError
        If the matrix lacks most of the cells, so that it is of another sample.
    """
    total = np.asarray(raw.entries.sum(axis=1)).ravel()
    held = np.flatnonzero(total)  # most barcodes of an unfiltered matrix have no counts
    known = {LANE.sub("", str(name)) for name in cells}
    names = [LANE.sub("", str(name)) for name in raw.barcodes[held]]
    is_cell = np.fromiter((name in known for name in names), dtype=bool, count=len(names))
    found = len(known.intersection(names))
    if found < SAME_SAMPLE * len(known):
        raise InputError(
            f"{path}: this unfiltered matrix has the barcodes of only {found:,} of the "
            f"{len(known):,} cells. Give the unfiltered matrix of the same sample, or leave it out."
        )
    empty = held[(total[held] <= MOST_COUNTS) & ~is_cell]
    n_counts, n_empty = int(total[empty].sum()), len(empty)
    sentence = (
        f"{n_empty:,} empty droplets (1-{MOST_COUNTS} counts, no cell) of {path.name} "
        f"hold {n_counts:,} counts"
    )
    if n_counts < ENOUGH_COUNTS:
        few = f"fewer than {ENOUGH_COUNTS:,}, so the ambient RNA is estimated from the cells"
        return None, f"{sentence}; {few}."
    profile = np.asarray(raw.entries[empty].sum(axis=0), dtype=np.float64).ravel()
    return profile, f"{sentence}; they measure the ambient RNA."


def align_to_genes(counts: np.ndarray, symbols: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Put the counts of the genes ``symbols`` into the order of ``wanted``, shape (n_wanted,).

    A gene without a row gets 0.
    """
    import pandas as pd

    return pd.Series(counts, index=symbols).reindex(wanted, fill_value=0.0).to_numpy()
