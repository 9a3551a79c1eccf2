"""Cells with equal counts and depth become one weighted row.

Depths are binned to a 16th of an octave (4.4 %) and counts from 32 up to a 16th of an octave as well, so that a
hundred thousand cells shrink to a few thousand rows. Rows are sorted: sums do not depend on the order of the cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CellTable", "MarkerTable", "coarse_counts", "coarse_depth", "count_grid", "tabulate"]

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

STEPS_PER_OCTAVE = 16
EXACT_BELOW = 32


@dataclass(frozen=True)
class MarkerTable:
    """The distinct (count, depth) pairs of one marker.

    Parameters
    ----------
    counts, depth
        Distinct pairs, shape (n_pairs,).
    row
        Pair of each row of the cell table, shape (n_rows,).
    """

    counts: Floats
    depth: Floats
    row: Ints


@dataclass(frozen=True)
class CellTable:
    """Cells as sorted distinct rows.

    Parameters
    ----------
    weight
        Cells per row, shape (n_rows,).
    cell_row
        Row of each cell, shape (n_cells,).
    markers
        One table per marker.
    share
        Share of each marker in all counts, shape (n_markers,), above 0.
    """

    weight: Floats
    cell_row: Ints
    markers: tuple[MarkerTable, ...]
    share: Floats

    @cached_property
    def pair(self) -> Ints:
        """Pair of each row and marker among the pairs of all markers in turn, shape (n_rows, n_markers)."""
        first = np.cumsum([0, *(len(marker.counts) for marker in self.markers)])[:-1]
        return np.column_stack([marker.row for marker in self.markers]) + first

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self.cell_row)


def _octave_centre(values: Any, start: float) -> Floats:
    """Centre of the 16th-octave bin that each of ``values`` falls into, bins counted from ``start``."""
    step = np.floor(np.log2(np.asarray(values, dtype=float) / start) * STEPS_PER_OCTAVE + 1e-9)
    return np.asarray(start * 2.0 ** ((step + 0.5) / STEPS_PER_OCTAVE))


def coarse_counts(counts: Any) -> Floats:
    """Keep counts below 32, put larger ones at whole-number centres of 16th-octave bins; monotone.

    >>> coarse_counts([0, 1, 31, 100]).tolist()
    [0.0, 1.0, 31.0, 101.0]
    """
    exact = np.asarray(counts, dtype=float)
    return np.where(exact < EXACT_BELOW, exact, np.round(_octave_centre(np.maximum(exact, EXACT_BELOW), EXACT_BELOW)))


def coarse_depth(depth: Any) -> Floats:
    """Depths as centres of 16th-octave bins.

    >>> coarse_depth([4000, 4001]).round(1).tolist()
    [4008.2, 4008.2]
    """
    return _octave_centre(np.maximum(np.asarray(depth, dtype=float), 1.0), 1.0)


def count_grid(largest: float) -> Floats:
    """All values that :func:`coarse_counts` can give up to ``largest``, ascending."""
    octaves = max(0, int(np.ceil(np.log2(max(largest, EXACT_BELOW) / EXACT_BELOW))) + 1)
    edges = EXACT_BELOW * 2.0 ** (np.arange(octaves * STEPS_PER_OCTAVE) / STEPS_PER_OCTAVE)
    return np.unique(np.concatenate([np.arange(EXACT_BELOW), coarse_counts(np.ceil(edges)), coarse_counts(edges + 1e-6)]))


def tabulate(counts: Any, depth: Any) -> CellTable:
    """Gather cells into sorted distinct rows.

    Parameters
    ----------
    counts
        Marker counts, shape (n_cells, n_markers), 0 or more.
    depth
        All counts of each cell, shape (n_cells,), 1 or more.
    """
    raw = np.asarray(counts, dtype=float)
    pairs = np.column_stack([coarse_counts(raw), coarse_depth(depth)])
    rows, cell_row, weight = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    markers = tuple(_marker_table(rows[:, index], rows[:, -1]) for index in range(raw.shape[1]))
    share = (raw.sum(axis=0) + 0.5) / max(float(np.asarray(depth, dtype=float).sum()), 1.0)
    return CellTable(weight.astype(float), cell_row.ravel(), markers, share)


def _marker_table(counts: Floats, depth: Floats) -> MarkerTable:
    """Distinct pairs of one marker."""
    pairs, row = np.unique(np.column_stack([counts, depth]), axis=0, return_inverse=True)
    return MarkerTable(pairs[:, 0], pairs[:, 1], row.ravel())
