"""The path from the root to the positive cells: who is at its ends, what lies between, and how many cells are on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.compute.arrays import sort_names
from scdiff.compute.blocks import get_counts, measure_cells
from scdiff.record import read_main_program, read_record
from scdiff.steps.shared.controls import positive_controls
from scdiff.steps.shared.markers import marker_columns
from scdiff.steps.trajectory.axis import FEWEST_CELLS, Axis, Cells, middles, place_on_axis, without_strays
from scdiff.steps.trajectory.committed import Threshold, compute_committed_share, scatter_of_start
from scdiff.steps.trajectory.gap import Doublets, Gap, judge
from scdiff.vocabulary import SEPARATE, UNDECIDED

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["Path", "follow"]

MOST_CELLS = 20_000
"""Of more cells a random draw is judged: the gap does not grow with the number of cells."""

NEAR = 0.25
"""Clusters whose middle lies before this place belong to the side of the start."""

BINS = np.round(np.arange(-0.5, 1.5001, 0.05), 2)


@dataclass(frozen=True)
class Path:
    """What was found between start and end.

    Parameters
    ----------
    position
        0 at the start, 1 at the end, NaN where there is no path to speak of; shape (n_cells,).
    gap
        What lies between; None where the end holds too few cells, or does not differ from the start.
    away
        Position by the gained genes only, 0 at all clusters near the start; shape (n_cells,).
    threshold
        Where, in that, the scatter of the start ends; None without a position.
    committed
        Samples (and ``all``) x n_cells, n_beyond, committed, low, high; NaN where not known.
    together
        Whether the samples that hold the end hold the start, too.
    histogram
        Cells, cells of the start and of the end, and doublets expected, by position.
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
        """The verdict of the gap; ``undecided`` where there is none to look at, or a difference of batches may have made it."""
        if self.gap is None or (self.gap.verdict == SEPARATE and not self.together):
            return UNDECIDED
        return self.gap.verdict


def follow(adata: AnnData, start: np.ndarray, end: np.ndarray, positive: np.ndarray, groups: Mapping[str, np.ndarray]) -> Path:
    """Place the cells between start and end, judge the gap, and count the committed cells of each group.

    Parameters
    ----------
    adata
        Cells x genes, with ``layers["counts"]``.
    start, end, positive
        Cells of the root's cluster that are not positive, of the positive end, and all that are called; shape (n_cells,) each.
    groups
        Cells of each row of the table of committed fractions.
    """
    cells, samples = _cells(adata), _Samples.of(adata)
    axis, end = _axis(cells, start, end)
    if axis is None:
        nowhere = np.full(adata.n_obs, np.nan)
        return Path(
            nowhere, None, nowhere, None, _committed(nowhere, None, groups), True, _histogram(nowhere, start, end, np.zeros(0), 0.0)
        )
    clusters = adata.obs["leiden"].cat.codes.to_numpy()
    gap = _judged(cells, clusters, samples, start, end, positive_controls(adata))
    pairs = Doublets.drawn(samples.number, samples.rate, cells.order)
    side = _start_side(axis.position, clusters, start, positive)
    away = place_on_axis(cells, side, end, gained_only=True) or axis
    threshold = scatter_of_start(away.position, side)
    return Path(
        axis.position,
        gap,
        away.position,
        threshold,
        _committed(away.position, threshold, groups),
        samples.share(start, end),
        _histogram(axis.position, start, end, axis.of_pairs(pairs.first, pairs.second), pairs.expected),
    )


@dataclass(frozen=True)
class _Samples:
    """Number of each cell's sample, and the doublet rate of each sample."""

    number: np.ndarray
    rate: np.ndarray

    @classmethod
    def of(cls, adata: AnnData) -> _Samples:
        """Take the rates that the calls used; where they are not recorded, the expected rates of the droplet load."""
        from scdiff.assay.doublets import estimate_doublet_rate

        names, number = np.unique(adata.obs["sample"].astype(str).to_numpy(), return_inverse=True)
        used = read_record(adata, "call").get("doublet_rates")
        if used is not None:
            return cls(number, np.nan_to_num(used["rate"].reindex(names).to_numpy(dtype=float)))
        return cls(number, np.array([estimate_doublet_rate(int(size)) for size in np.bincount(number)]))

    def share(self, start: np.ndarray, end: np.ndarray) -> bool:
        """Tell whether at least half of the end's cells are of samples that hold the start, by eight cells and one in a hundred."""
        sizes, starts = np.bincount(self.number), np.bincount(self.number, weights=start)
        holds = starts >= np.maximum(FEWEST_CELLS, sizes / 100)
        return bool(holds[self.number[end]].mean() >= 0.5)


def _cells(adata: AnnData) -> Cells:
    """Take the counts of all genes but the markers of the main programme, in either species."""
    used = np.ones(adata.n_vars, dtype=bool)
    used[marker_columns(adata, read_main_program(adata))] = False
    counts = get_counts(adata)
    depth = measure_cells(counts, ~used)[:, 0]
    return Cells(counts, np.maximum(depth, 1.0), used, sort_names(adata.obs_names))


def _axis(cells: Cells, start: np.ndarray, end: np.ndarray) -> tuple[Axis | None, np.ndarray]:
    """Place the cells, and once more where cells of the end turn out to lie near the start."""
    axis = place_on_axis(cells, start, end)
    if axis is None or (kept := without_strays(axis, end)).sum() == end.sum():
        return axis, end
    return place_on_axis(cells, start, kept), kept


def _judged(cells: Cells, clusters: np.ndarray, samples: _Samples, start: np.ndarray, end: np.ndarray, control: np.ndarray) -> Gap | None:
    """Judge the gap without positive controls, of very many cells by a draw."""
    rows = cells.some(MOST_CELLS, 0)
    rows = rows[~control[rows]]
    part = cells.only(rows)
    axis = place_on_axis(part, start[rows], end[rows])
    if axis is None:
        return None
    doublets = Doublets.drawn(samples.number[rows], samples.rate, part.order)
    return judge(part, clusters[rows], axis, start[rows], end[rows], doublets)


def _start_side(position: np.ndarray, clusters: np.ndarray, start: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Cells of all clusters near the start where positive cells are no more frequent than elsewhere: those that may not have left."""
    sizes = np.bincount(clusters)
    share = np.bincount(clusters, weights=positive, minlength=len(sizes)) / np.maximum(sizes, 1)
    return np.asarray((((middles(position, clusters) < NEAR) & (share <= positive.mean()))[clusters] & ~positive) | start)


def _committed(position: np.ndarray, threshold: Threshold | None, groups: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Count the committed cells of each group, NaN where the cells have no position."""
    import pandas as pd

    rows = []
    for cells in groups.values():
        found = compute_committed_share(position[cells], threshold) if threshold else (np.nan,) * 4
        rows.append((int(cells.sum()), *found))
    columns = ["n_cells", "n_beyond", "committed", "low", "high"]
    return pd.DataFrame(rows, index=pd.Index(list(groups), dtype=object, name="sample"), columns=columns).astype({"n_cells": int})


def _histogram(position: np.ndarray, start: np.ndarray, end: np.ndarray, pairs: np.ndarray, expected: float) -> pd.DataFrame:
    """Count cells and expected doublets by position; the outer bins hold what lies beyond."""
    import pandas as pd

    def count(values: np.ndarray) -> np.ndarray:
        return np.histogram(np.clip(values[np.isfinite(values)], BINS[0], BINS[-1]), BINS)[0]

    table: dict[str, Any] = {"position": BINS[:-1], "cells": count(position), "start": count(position[start]), "end": count(position[end])}
    return pd.DataFrame(table | {"doublets": count(pairs) * expected / max(len(pairs), 1)})
