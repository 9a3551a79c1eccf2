"""Cells with equal counts and depth become one weighted row.

Depths are binned to a 16th of an octave (4.4 %), and counts of 32 or more too. A hundred thousand
cells then shrink to a few thousand rows. Rows are sorted, so sums do not depend on the order of the
cells. If even these are many, fits work on a coarser table (:meth:`CellTable.coarser`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

__all__ = [
    "FINE",
    "Binning",
    "CellTable",
    "MarkerTable",
    "coarse_counts",
    "coarse_depth",
    "count_grid",
    "tabulate",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


class Binning(NamedTuple):
    """Parts per octave of depths, and of counts of ``exact_below`` or more."""

    steps_per_octave: int
    exact_below: int


FINE = Binning(16, 32)
"""Bins of the tables that cells are called on."""


@dataclass(frozen=True)
class MarkerTable:
    """Distinct (count, depth) pairs of one marker.

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
        """Pair of each row and marker, shape (n_rows, n_markers).

        The pairs of all markers are numbered one marker after the other.
        """
        first = np.cumsum([0, *(len(marker.counts) for marker in self.markers)])[:-1]
        pair: Ints = np.column_stack([marker.row for marker in self.markers]) + first
        return pair

    @cached_property
    def pairs(self) -> tuple[Ints, Floats, Floats]:
        """Marker, count and depth of all pairs, each of shape (n_pairs,).

        The pairs are in order of the markers.
        """
        marker = np.repeat(
            np.arange(len(self.markers)), [len(marker.counts) for marker in self.markers]
        )
        return (
            marker,
            np.concatenate([m.counts for m in self.markers]),
            np.concatenate([m.depth for m in self.markers]),
        )

    @cached_property
    def depths(self) -> tuple[Floats, Ints]:
        """Distinct depths of all pairs, and the place of each pair's depth among them.

        The places have shape (n_pairs,).
        """
        values, place = np.unique(self.pairs[2], return_inverse=True)
        return values, place.ravel()

    @cached_property
    def distinct_counts(self) -> tuple[Floats, Ints]:
        """Distinct counts of all pairs, and the place of each pair's count among them.

        The places have shape (n_pairs,).
        """
        values, place = np.unique(self.pairs[1], return_inverse=True)
        return values, place.ravel()

    @cached_property
    def pair_weight(self) -> Floats:
        """Cells per pair, one marker after the other, shape (n_pairs,)."""
        return np.concatenate(
            [np.bincount(m.row, weights=self.weight, minlength=len(m.counts)) for m in self.markers]
        )

    @cached_property
    def log_factorials(self) -> float:
        """Sum of ln(counts!) over cells and markers."""
        return float(self.pair_weight @ gammaln(self.pairs[1] + 1))

    @cached_property
    def depth(self) -> Floats:
        """Depth of each row, shape (n_rows,)."""
        return self.markers[0].depth[self.markers[0].row]

    @cached_property
    def usual_depth(self) -> float:
        """Geometric mean of the depths of the cells."""
        return float(np.exp((self.weight * np.log(self.depth)).sum() / self.weight.sum()))

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self.cell_row)

    def coarser(self, binning: Binning) -> CellTable:
        """Return the same cells in wider bins."""
        counts, depth = np.column_stack([m.counts[m.row] for m in self.markers]), self.depth
        rows, row, weight = _find_distinct(counts, depth, self.weight, binning)
        markers = tuple(
            _make_marker_table(rows[:, index], rows[:, -1]) for index in range(len(self.markers))
        )
        return CellTable(weight, row[self.cell_row], markers, self.share)


def _octave_centre(values: Any, start: float, steps: int) -> Floats:
    """Compute the centre of the part of an octave that holds each value, counted from ``start``."""
    step = np.floor(np.log2(np.asarray(values, dtype=float) / start) * steps + 1e-9)
    return np.asarray(start * 2.0 ** ((step + 0.5) / steps))


def coarse_counts(counts: Any, binning: Binning = FINE) -> Floats:
    """Keep small counts, and move larger ones to whole-number centres of their bins; monotone.

    Parameters
    ----------
    counts
        Counts, 0 or more, any shape.
    binning
        Width of the bins.

    >>> coarse_counts([0, 1, 31, 100]).tolist()
    [0.0, 1.0, 31.0, 101.0]
    """
    exact, start = np.asarray(counts, dtype=float), binning.exact_below
    return np.where(
        exact < start,
        exact,
        np.round(_octave_centre(np.maximum(exact, start), start, binning.steps_per_octave)),
    )


def coarse_depth(depth: Any, binning: Binning = FINE) -> Floats:
    """Move depths to the centres of their bins.

    Parameters
    ----------
    depth
        Depths, any shape; below 1 they count as 1.
    binning
        Width of the bins.

    >>> coarse_depth([4000, 4001]).round(1).tolist()
    [4008.2, 4008.2]
    """
    return _octave_centre(
        np.maximum(np.asarray(depth, dtype=float), 1.0), 1.0, binning.steps_per_octave
    )


def count_grid(largest: float) -> Floats:
    """List all values that :func:`coarse_counts` can return up to ``largest``, ascending."""
    steps, start = FINE
    octaves = max(0, int(np.ceil(np.log2(max(largest, start) / start))) + 1)
    edges = start * 2.0 ** (np.arange(octaves * steps) / steps)
    return np.unique(
        np.concatenate(
            [np.arange(start), coarse_counts(np.ceil(edges)), coarse_counts(edges + 1e-6)]
        )
    )


def tabulate(counts: Any, depth: Any) -> CellTable:
    """Collect cells into sorted distinct rows.

    Parameters
    ----------
    counts
        Marker counts, shape (n_cells, n_markers), 0 or more.
    depth
        All counts of each cell, shape (n_cells,), 1 or more.
    """
    raw = np.asarray(counts, dtype=float)
    rows, cell_row, weight = _find_distinct(raw, depth, np.ones(len(raw)), FINE)
    markers = tuple(
        _make_marker_table(rows[:, index], rows[:, -1]) for index in range(raw.shape[1])
    )
    share = (raw.sum(axis=0) + 0.5) / max(float(np.asarray(depth, dtype=float).sum()), 1.0)
    return CellTable(weight, cell_row, markers, share)


def _find_distinct(
    counts: Floats, depth: Any, weight: Floats, binning: Binning
) -> tuple[Floats, Ints, Floats]:
    """Find sorted distinct rows, the row of each input row, and the summed weights."""
    pairs = np.column_stack([coarse_counts(counts, binning), coarse_depth(depth, binning)])
    place = np.zeros(len(pairs), dtype=np.intp)
    for column in pairs.T:
        values, code = np.unique(column, return_inverse=True)
        place = np.unique(place * len(values) + code.ravel(), return_inverse=True)[1].ravel()
    rows = np.empty((int(place.max(initial=-1)) + 1, pairs.shape[1]))
    rows[place] = pairs
    return rows, place, np.bincount(place, weights=weight, minlength=len(rows)).astype(float)


def _make_marker_table(counts: Floats, depth: Floats) -> MarkerTable:
    """Find the distinct pairs of one marker."""
    pairs, row = np.unique(np.column_stack([counts, depth]), axis=0, return_inverse=True)
    return MarkerTable(pairs[:, 0], pairs[:, 1], row.ravel())
