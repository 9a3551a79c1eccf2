"""Choose the set of markers, and how many of them a cell must express, with the lowest LOD."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from scdiff.assay.limits import limits_by_cells
from scdiff.panels.measure import CONTAMINATION, FEWEST_CELLS, SHAPE, count_threshold

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BATCH_CELLS", "Choice", "choose_markers", "rank_candidates"]

BATCH_CELLS = 3_000
"""Cells of the batch for which the LOD is predicted and the panel is validated."""
PER_RANKING, MOST_SETS = 14, 12_000
"""Candidates of each of the two rankings, and sets that are compared. Limited for speed."""
MOST_CELLS = 400
"""Cells of a label on which the sets are compared. Limited for speed."""
LEAST_SENSITIVITY = 0.05
"""Share of target cells that must count as expressing a candidate. Chosen, not tuned."""


@dataclass(frozen=True)
class Choice:
    """A set of markers with the rates that it had on the cells it was chosen on.

    Parameters
    ----------
    names
        Human symbols.
    min_markers
        Number of markers that a cell must express.
    lod
        Predicted limit of detection in a batch of the worst label, 0-1.
    """

    names: tuple[str, ...]
    min_markers: int
    lod: float


def rank_candidates(table: pd.DataFrame) -> pd.DataFrame:
    """Sort the genes by how well each separates target cells from the others, with ``score``.

    The score is the share of target cells that count as expressing, minus that of the other cells:
    the mean of the worst label and of all labels, with contamination.

    Parameters
    ----------
    table
        From :func:`scdiff.panels.measure.measure_genes`.
    """
    spared = 1 - table["ambient"]
    worst, mean = (1 - (1 - table[name]) * spared for name in ("worst_leak", "mean_leak"))
    scored = table.assign(
        score=table["sensitivity"] - (worst + mean) / 2, worst_gap=table["sensitivity"] - worst
    )
    scored["mean_gap"] = scored["sensitivity"] - mean
    return scored.sort_values(["score", "sensitivity"], ascending=False, kind="stable")


def choose_markers(
    ranked: pd.DataFrame,
    cells: tuple[sparse.csr_matrix, np.ndarray, np.ndarray, np.ndarray],
    *,
    target: str,
    markers: int,
    require: Sequence[str],
    seed: int,
) -> Choice:
    """Choose the set with the lowest predicted LOD.

    Cells are thinned to the median depth and contaminated as in the validation. A set is judged by
    the mean of two LODs: in a batch of the worst label, and in a batch of all other labels in equal
    parts.

    Parameters
    ----------
    ranked
        From :func:`rank_candidates`.
    cells
        Counts (n_cells, n_units), depth, labels, and the profile of the ambient RNA (n_units,), in
        the order of ``ranked.index`` before it was sorted: columns are found by name.
    target
        The target label.
    markers
        Number of markers.
    require
        Markers that every set has.
    seed
        Start of the random generator.
    """
    names = _list_candidates(ranked, markers, require)
    levels = ranked.loc[names, "level_cp10k"].to_numpy() / 1e4
    on = _draw_expressing(cells, ranked.loc[names, "column"].to_numpy(), levels, seed)
    sets = np.array(
        [
            (*range(len(require)), *others)
            for others in combinations(range(len(require), len(names)), markers - len(require))
        ]
    )
    rates = {label: _share_called(one, sets) for label, one in on.items()}
    sensitivity = rates.pop(target)
    big = [rate for label, rate in rates.items() if len(on[label]) >= FEWEST_CELLS]
    others = np.array(big or list(rates.values()))
    worst = _predict_lod(others.max(axis=0), sensitivity)
    judged = (worst + _predict_lod(others.mean(axis=0), sensitivity)) / 2
    # equal sets: the more sensitive one
    best = np.lexsort((-sensitivity.ravel(), judged.ravel().round(6)))[0]
    row, needed = np.unravel_index(best, judged.shape)
    chosen = tuple(names[index] for index in sets[row])
    return Choice(chosen, int(needed) + 1, float(worst[row, needed]))


def _list_candidates(ranked: pd.DataFrame, markers: int, require: Sequence[str]) -> list[str]:
    """List the required genes, then the best ones of both rankings, as many as can be compared."""
    usable = ranked[ranked["sensitivity"] >= LEAST_SENSITIVITY]
    usable = usable if len(usable) >= markers else ranked
    found = dict.fromkeys(require)
    by_gap = [
        list(usable.sort_values(gap, ascending=False, kind="stable").index[: 2 * markers + PER_RANKING])
        for gap in ("worst_gap", "mean_gap")
    ]
    for pair in zip(*by_gap, strict=True):
        found |= dict.fromkeys(pair)
    names, needed = list(found), markers - len(require)
    while comb(len(names) - len(require), needed) > MOST_SETS:
        names.pop()
    return names


def _draw_expressing(
    cells: tuple[sparse.csr_matrix, np.ndarray, np.ndarray, np.ndarray],
    columns: np.ndarray,
    levels: np.ndarray,
    seed: int,
) -> dict[str, np.ndarray]:
    """Draw for each label which cells count as expressing, shape (n_cells, n_candidates)."""
    counts, depth, labels, soup = cells
    rng, typical = np.random.default_rng([seed, 1]), float(np.median(depth))
    found = {}
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        rows = rng.choice(rows, MOST_CELLS, replace=False) if len(rows) > MOST_CELLS else rows
        target = np.minimum(depth[rows], typical)
        rho = np.minimum(rng.gamma(SHAPE, CONTAMINATION / SHAPE, len(rows)), 0.9)
        keep = (target * (1 - rho) / np.maximum(depth[rows], 1)).clip(0, 1)
        own = counts[rows][:, columns].toarray().astype(np.int64)
        thinned = rng.binomial(own, keep[:, None])
        ambient = rng.poisson((target * rho)[:, None] * soup[columns])
        found[str(label)] = thinned + ambient >= count_threshold(levels, target[:, None])
    return found


def _share_called(on: np.ndarray, sets: np.ndarray) -> np.ndarray:
    """Compute the share of cells with at least 1, 2, ... markers of each set, (n_sets, n_markers)."""
    summed = np.zeros((len(on), len(sets)), dtype=np.int8)
    for column in sets.T:
        summed += on[:, column]
    return np.stack([(summed >= needed + 1).mean(axis=0) for needed in range(sets.shape[1])], axis=1)


def _predict_lod(false_rate: np.ndarray, sensitivity: np.ndarray) -> np.ndarray:
    """Predict the LOD of many sets, at most 1; between rates it is interpolated."""
    grid = np.concatenate([[0.0], np.geomspace(1e-4, 1.0, 60)])
    limits = [limits_by_cells(rate, 1.0, [BATCH_CELLS])[0][0] for rate in grid]
    return np.minimum(np.interp(false_rate, grid, limits) / np.maximum(sensitivity, 1e-9), 1.0)
