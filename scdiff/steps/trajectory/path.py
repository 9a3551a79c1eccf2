"""The path from the root to the positive cells: its ends, the gap between, and the cells on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff import keys
from scdiff.compute.arrays import sort_names
from scdiff.compute.blocks import get_counts, measure_cells
from scdiff.record import read_main_program, read_record
from scdiff.steps.shared.controls import select_positive_controls
from scdiff.steps.shared.markers import marker_columns, select_table_groups
from scdiff.steps.trajectory.axis import (
    FEWEST_CELLS_OF_END,
    Axis,
    Cells,
    compute_middles,
    drop_strays,
    place_on_axis,
)
from scdiff.steps.trajectory.committed import Threshold, compute_committed_share, find_threshold
from scdiff.steps.trajectory.doublets import Doublets
from scdiff.steps.trajectory.gap import Gap, judge
from scdiff.vocabulary import SEPARATE, UNDECIDED

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["Path", "follow"]

MOST_CELLS = 20_000
"""Number of cells above which the gap is judged on a part.

All cells that may have left the start are in it, and a random draw of the others.
"""

NEAR = 0.25
"""Position before which the median of a cluster makes it part of the start.

A quarter of the way from start to end. Chosen, not tuned.
"""
HALFWAY = 0.5
"""Position before which a cluster is part of the start when the gap is judged. Chosen, not tuned.

The clusters of one population lie at different positions, so more of them than those before
:data:`NEAR` belong to the start.
"""

BINS = np.round(np.arange(-0.5, 1.5001, 0.05), 2)
"""Edges of the histogram of positions, on the axis."""


@dataclass(frozen=True)
class Path:
    """What was found between start and end.

    Parameters
    ----------
    position
        0 at the start, 1 at the end, NaN without a path; shape (n_cells,).
    gap
        What is between; None if the end holds too few cells or does not differ from the start.
    away
        Position by the gained genes only, 0 at all clusters near the start; shape (n_cells,).
    threshold
        Where the scatter of the start ends, in ``away``; None without a position.
    committed
        Samples (and ``all``) x n_cells, n_beyond, committed, low, high; NaN if unknown.
    together
        Whether the samples that hold the end hold the start, too.
    histogram
        Cells, cells of the start and of the end, and expected doublets, by position.
    """

    position: np.ndarray
    gap: Gap | None
    away: np.ndarray
    threshold: Threshold | None
    committed: pd.DataFrame
    together: bool
    histogram: pd.DataFrame

    @property
    def verdict(self) -> str:
        """Verdict of the gap.

        ``undecided`` without a gap, or if a difference between batches may explain it.
        """
        if self.gap is None or (self.gap.verdict == SEPARATE and not self.together):
            return UNDECIDED
        return self.gap.verdict


def follow(
    adata: AnnData,
    start: np.ndarray,
    end: np.ndarray,
    positive: np.ndarray,
) -> Path:
    """Place the cells between start and end, judge the gap, and count the committed cells.

    Parameters
    ----------
    adata
        Cells x genes, with ``layers["counts"]``.
    start, end, positive
        Cells of the root's cluster that are not positive, cells of the positive end, and all called
        cells; shape (n_cells,) each.
    """
    groups = select_table_groups(adata)
    cells, samples = _read_cells(adata), _Samples.of(adata)
    axis, end = _place(cells, start, end)
    if axis is None:
        nowhere = np.full(adata.n_obs, np.nan)
        committed = _tabulate_committed(nowhere, None, groups)
        histogram = _count_positions(nowhere, start, end, np.zeros(0), 0.0)
        return Path(nowhere, None, nowhere, None, committed, True, histogram)
    clusters = adata.obs[keys.LEIDEN.name].cat.codes.to_numpy()
    middles = compute_middles(axis.position, clusters)
    side, near = (
        _select_start_side(middles, clusters, start, positive, bound) for bound in (NEAR, HALFWAY)
    )
    chosen = _choose_judged(cells, axis.position, positive, select_positive_controls(adata))
    gap = _judge_gap(cells, samples, near, end, chosen)
    pairs = Doublets.draw(samples.number, samples.rate, cells.order)
    away = place_on_axis(cells, side, end, gained_only=True) or axis
    threshold = find_threshold(away.position, side)
    return Path(
        axis.position,
        gap,
        away.position,
        threshold,
        _tabulate_committed(away.position, threshold, groups),
        samples.share(start, end),
        _count_positions(
            axis.position, start, end, axis.of_pairs(pairs.first, pairs.second), pairs.expected
        ),
    )


@dataclass(frozen=True)
class _Samples:
    """Number of the sample of each cell, and doublet rate of each sample."""

    number: np.ndarray
    rate: np.ndarray

    @classmethod
    def of(cls, adata: AnnData) -> _Samples:
        """Read the doublet rates of the calls; without them use the expected rates of the load."""
        from scdiff.assay.doublets import estimate_doublet_rate

        names, number = np.unique(
            adata.obs[keys.SAMPLE.name].astype(str).to_numpy(), return_inverse=True
        )
        used = read_record(adata, "call").get("doublet_rates")
        if used is not None:
            return cls(number, np.nan_to_num(used["rate"].reindex(names).to_numpy(dtype=float)))
        rates = [estimate_doublet_rate(int(size)) for size in np.bincount(number)]
        return cls(number, np.array(rates))

    def share(self, start: np.ndarray, end: np.ndarray) -> bool:
        """Check whether at least half of the end's cells are in samples that hold the start.

        A sample holds the start with eight cells of it, and one cell in a hundred.
        """
        sizes, starts = np.bincount(self.number), np.bincount(self.number, weights=start)
        holds = starts >= np.maximum(FEWEST_CELLS_OF_END, sizes / 100)
        return bool(holds[self.number[end]].mean() >= 0.5)


def _read_cells(adata: AnnData) -> Cells:
    """Return the counts of all genes except the markers of the main programme, of both species."""
    used = np.ones(adata.n_vars, dtype=bool)
    used[marker_columns(adata, read_main_program(adata))] = False
    counts = get_counts(adata)
    depth = measure_cells(counts, ~used)[:, 0]
    return Cells(counts, np.maximum(depth, 1.0), used, sort_names(adata.obs_names))


def _place(cells: Cells, start: np.ndarray, end: np.ndarray) -> tuple[Axis | None, np.ndarray]:
    """Place the cells, and again without cells of the end that are near the start."""
    axis = place_on_axis(cells, start, end)
    if axis is None or (kept := drop_strays(axis, end)).sum() == end.sum():
        return axis, end
    return place_on_axis(cells, start, kept), kept


def _choose_judged(
    cells: Cells, position: np.ndarray, positive: np.ndarray, control: np.ndarray
) -> np.ndarray:
    """Choose the cells on which the gap is judged; shape (n_cells,).

    Return how many cells each one represents, 0 for a cell that is not judged. Positive controls
    are not. All cells that are positive or away from the start are, if they are not too many, so
    that a few of them in a large batch are enough.
    """
    weights = (~control).astype(float)
    if weights.sum() <= MOST_CELLS:
        return weights
    kept = ~control & (positive | (position > NEAR))
    if kept.sum() > MOST_CELLS / 2:
        kept = np.zeros_like(control)
    others = cells.order[~(kept | control)[cells.order]]
    number = MOST_CELLS - int(kept.sum())
    drawn = np.random.default_rng(0).choice(others, min(number, len(others)), replace=False)
    weights = kept.astype(float)
    weights[drawn] = len(others) / len(drawn) if kept.any() else 1.0
    return weights


def _judge_gap(
    cells: Cells, samples: _Samples, start: np.ndarray, end: np.ndarray, weights: np.ndarray
) -> Gap | None:
    """Judge the gap on the cells with a weight."""
    if (weights > 0).all():  # no copy of the counts
        doublets = Doublets.draw(samples.number, samples.rate, cells.order, weights=weights)
        return judge(cells, start, end, doublets, weights)
    rows = cells.order[weights[cells.order] > 0]
    part, weight = cells.only(rows), weights[rows]
    doublets = Doublets.draw(samples.number[rows], samples.rate, part.order, weights=weight)
    return judge(part, start[rows], end[rows], doublets, weight)


def _select_start_side(
    middles: np.ndarray,
    clusters: np.ndarray,
    start: np.ndarray,
    positive: np.ndarray,
    bound: float,
) -> np.ndarray:
    """Return the cells that may not have left the start.

    These are the cells of all clusters before ``bound`` in which positive cells are not more
    frequent than elsewhere.
    """
    sizes = np.bincount(clusters)
    share = np.bincount(clusters, weights=positive, minlength=len(sizes)) / np.maximum(sizes, 1)
    near = (middles < bound) & (share <= positive.mean())
    return np.asarray((near[clusters] & ~positive) | start)


def _tabulate_committed(
    position: np.ndarray, threshold: Threshold | None, groups: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    """Count the committed cells of each group; NaN if the cells have no position."""
    import pandas as pd

    rows = []
    for cells in groups.values():
        found = (np.nan,) * 4
        if threshold:
            found = compute_committed_share(position[cells], threshold)
        rows.append((int(cells.sum()), *found))
    columns = ["n_cells", "n_beyond", "committed", "low", "high"]
    index = pd.Index(list(groups), dtype=object, name="sample")
    return pd.DataFrame(rows, index=index, columns=columns).astype({"n_cells": int})


def _count_positions(
    position: np.ndarray, start: np.ndarray, end: np.ndarray, pairs: np.ndarray, expected: float
) -> pd.DataFrame:
    """Count cells and expected doublets by position; the outer bins hold what is beyond."""
    import pandas as pd

    def count(values: np.ndarray) -> np.ndarray:
        return np.histogram(np.clip(values[np.isfinite(values)], BINS[0], BINS[-1]), BINS)[0]

    table: dict[str, Any] = {
        "position": BINS[:-1],
        "cells": count(position),
        "start": count(position[start]),
        "end": count(position[end]),
        "doublets": count(pairs) * expected / max(len(pairs), 1),
    }
    return pd.DataFrame(table)
