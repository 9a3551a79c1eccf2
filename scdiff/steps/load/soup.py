"""The soup of a sample: what its empty droplets hold, from the unfiltered matrix beside the filtered one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from scdiff.errors import InputError
from scdiff.steps.load.table import Table

__all__ = ["LANE", "MOST_COUNTS", "empty_droplets", "on_genes", "raw_beside"]

MOST_COUNTS = 100
"""A droplet with more counts may hold a cell or the rest of one (the range of SoupX, 10.1093/gigascience/giaa151)."""

ENOUGH_COUNTS = 10_000
SAME_SAMPLE = 0.5
LANE = re.compile(r"-\d+$")


def raw_beside(path: Path) -> Path | None:
    """Find the unfiltered matrix that stands beside a filtered one: the same name with ``raw`` for ``filtered``."""
    beside = path.parent / path.name.replace("filtered", "raw")
    return beside if beside.name != path.name and beside.exists() else None


def empty_droplets(raw: Table, cells: np.ndarray, path: Path) -> tuple[Any, str]:
    """Sum the counts of the droplets that hold no cell.

    Parameters
    ----------
    raw
        The unfiltered matrix, all barcodes.
    cells
        Barcodes of the filtered one, shape (n_cells,).
    path
        Of the unfiltered matrix, for what there is to say.

    Returns
    -------
    Counts of each gene of ``raw``, shape (n_genes,), None where there are too few; and a sentence that says so.

    Raises
    ------
    InputError
        If the matrix lacks most of the cells: it is another sample's.
    """
    total = np.asarray(raw.entries.sum(axis=1)).ravel()
    held = np.flatnonzero(total)  # most barcodes of an unfiltered matrix hold nothing
    known = {LANE.sub("", str(name)) for name in cells}
    names = [LANE.sub("", str(name)) for name in raw.barcodes[held]]
    is_cell = np.fromiter((name in known for name in names), dtype=bool, count=len(names))
    found = len(known.intersection(names))
    if found < SAME_SAMPLE * len(known):
        raise InputError(
            f"{path}: only {found:,} of the {len(known):,} cells have their barcode in this unfiltered matrix: "
            "give the one of the same sample, or none."
        )
    empty = held[(total[held] <= MOST_COUNTS) & ~is_cell]
    n_counts, n_empty = int(total[empty].sum()), len(empty)
    said = f"{n_empty:,} empty droplets (1-{MOST_COUNTS} counts, no cell) of {path.name} hold {n_counts:,} counts"
    if n_counts < ENOUGH_COUNTS:
        return None, f"{said}; under {ENOUGH_COUNTS:,}, so the background is learned from the cells."
    return np.asarray(raw.entries[empty].sum(axis=0), dtype=np.float64).ravel(), f"{said}: the soup."


def on_genes(counts: np.ndarray, symbols: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Put counts of the genes ``symbols`` into the order of ``wanted``, shape (n_wanted,); 0 for a gene without a row."""
    import pandas as pd

    return pd.Series(counts, index=symbols).reindex(wanted, fill_value=0.0).to_numpy()
