"""Choose the set of markers, and how many of them a cell must express, with the lowest LOD."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.stats import nbinom

from scdiff.assay.fit import fit_mixture
from scdiff.assay.limits import detection_limit, error_rates, limit_of_blank
from scdiff.assay.mixture import Model
from scdiff.assay.priors import BLANK_BINNING, ON_SIZE
from scdiff.assay.table import tabulate
from scdiff.panels.measure import CONTAMINATION, PSEUDOCELLS, SHAPE
from scdiff.simulate.truth import contaminations

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BATCH_CELLS", "Choice", "Pool", "choose_markers", "rank_candidates"]

BATCH_CELLS = 3_000
"""Cells of the batch for which the LOD is predicted and the panel is validated."""
PER_RANKING, MOST_SETS = 14, 12_000
"""Candidates of each of the two rankings, and sets that are compared. Limited for speed."""
MOST_CELLS = 400
"""Cells of a label on which the sets are compared. Limited for speed."""
LEAST_SENSITIVITY = 0.05
"""Share of target cells that must count as expressing a candidate. Chosen, not tuned."""
MOST_LEAK = 0.5
"""Share of the worst label that may count as expressing a candidate. Above it expression is graded,
and batches become inconclusive."""
EVIDENCE = 7.0
"""Ln likelihood ratio from which a cell counts as called: odds of 1 in 150 before, 8 to 1 after."""
FEWEST_NEEDED = 2
"""Fewest markers that a cell must express, if there are several: one alone is never enough. With
one of INS, PRLR and BACE2, ambient insulin was read as 20 to 41 % beta cells in blanks of mouse
islets."""
TRIED, TRIED_FRACTIONS = 5, (0.0, 0.1)
"""Sets of each number of markers that are put through the assay, and true fractions of the
mixtures. Limited for speed."""


@dataclass(frozen=True)
class Choice:
    """A set of markers.

    Parameters
    ----------
    names
        Human symbols.
    min_markers
        Number of markers that a cell must express.
    """

    names: tuple[str, ...]
    min_markers: int


@dataclass(frozen=True)
class Drawn:
    """Cells that were thinned and contaminated.

    Parameters
    ----------
    counts
        Counts of the candidates, shape (n_cells, n_candidates).
    depth, labels
        Counts and label of each cell, shape (n_cells,).
    """

    counts: np.ndarray
    depth: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Pool:
    """Cells to choose on.

    Parameters
    ----------
    counts
        Counts, CSR, shape (n_cells, n_units).
    depth, labels
        Counts and label of each cell, shape (n_cells,).
    soup
        Share of each unit in the ambient RNA, shape (n_units,).
    """

    counts: sparse.csr_matrix
    depth: np.ndarray
    labels: np.ndarray
    soup: np.ndarray

    def draw(self, columns: np.ndarray, seed: int) -> Drawn:
        """Thin the cells to the median depth, and contaminate them, as the validation does."""
        rng = np.random.default_rng([seed, 1])
        depth = np.rint(np.minimum(self.depth, np.median(self.depth)))
        rho = contaminations(len(depth), CONTAMINATION, rng)
        keep = (depth * (1 - rho) / np.maximum(self.depth, 1)).clip(0, 1)
        own = self.counts[:, columns].toarray().astype(np.int64)
        ambient = rng.poisson((depth * rho)[:, None] * self.soup[columns])
        return Drawn(rng.binomial(own, keep[:, None]) + ambient, depth, self.labels)


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
    pool: Pool,
    ranked: pd.DataFrame,
    *,
    target: str,
    markers: int,
    require: Sequence[str],
    seed: int,
) -> Choice:
    """Choose the set with the lowest LOD and the least bias.

    Many sets are compared by the evidence of single cells. The best ones are put through the assay,
    in mixtures of the same cells: a blank, and one with 10 % target cells.

    Parameters
    ----------
    pool
        Cells to choose on, thinned and contaminated as in the validation.
    ranked
        From :func:`rank_candidates`.
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
    chosen = ranked.loc[names]
    levels = chosen["level_cp10k"].to_numpy() / 1e4
    drawn = pool.draw(chosen["column"].to_numpy(), seed)
    sets = np.array(
        [
            (*range(len(require)), *others)
            for others in combinations(range(len(require), len(names)), markers - len(require))
        ]
    )
    background = chosen["background_cp10k"].to_numpy() / 1e4
    best = _shortlist(drawn, sets, (levels, background), target)
    judged = [
        (_try_set(drawn, row, levels[row], needed, target, seed), tuple(row), needed)
        for row, needed in best
    ]
    _loss, row, needed = min(judged)
    return Choice(tuple(names[index] for index in row), needed)


def _list_candidates(ranked: pd.DataFrame, markers: int, require: Sequence[str]) -> list[str]:
    """List the required genes, then the best ones of both rankings, as many as can be compared."""
    usable = ranked[
        (ranked["sensitivity"] >= LEAST_SENSITIVITY) & (ranked["worst_leak"] <= MOST_LEAK)
    ]
    usable = usable if len(usable) >= markers else ranked
    found = dict.fromkeys(require)
    by_gap = [
        list(usable.sort_values(gap, ascending=False, kind="stable").index[:PER_RANKING])
        for gap in ("worst_gap", "mean_gap")
    ]
    for pair in zip(*by_gap, strict=True):
        found |= dict.fromkeys(pair)
    names, needed = list(found), markers - len(require)
    while comb(len(names) - len(require), needed) > MOST_SETS:
        names.pop()
    return names


def _shortlist(
    drawn: Drawn, sets: np.ndarray, rates: tuple[np.ndarray, np.ndarray], target: str
) -> list[tuple[np.ndarray, int]]:
    """Return the sets with the fewest wrong calls, for each number of markers needed.

    These are the target cells that are not called, and the other cells that are: the mean of the
    worst label and of all labels.
    """
    evidence = _weigh_counts(drawn.counts, drawn.depth, *rates)
    called = {
        str(label): _share_called(_thin_out(evidence[drawn.labels == label]), sets)
        for label in np.unique(drawn.labels)
    }
    sensitivity = called.pop(target)
    others, sizes = np.array(list(called.values())), [(drawn.labels == one).sum() for one in called]
    mean = others.mean(axis=0)
    weight = (np.array(sizes) / (np.array(sizes) + PSEUDOCELLS))[:, None, None]
    worst = (weight * others + (1 - weight) * mean).max(axis=0)
    judged = (worst + mean) / 2 + 1 - sensitivity
    first = min(FEWEST_NEEDED, judged.shape[1])
    return [
        (sets[row], needed)
        for needed in range(first, judged.shape[1] + 1)
        for row in np.argsort(judged[:, needed - 1].round(6), kind="stable")[:TRIED]
    ]


def _weigh_counts(
    counts: np.ndarray, depth: np.ndarray, level: np.ndarray, background: np.ndarray
) -> np.ndarray:
    """Compute ln likelihood ratios, expressed against background, shape (n_cells, n_candidates)."""
    expressed, absent = (
        nbinom.logpmf(counts, size, size / (size + depth[:, None] * np.maximum(rate, 1e-9)))
        for rate, size in ((level, np.exp(ON_SIZE)), (background, SHAPE))
    )
    return np.asarray(expressed - absent)


def _thin_out(evidence: np.ndarray) -> np.ndarray:
    """Keep at most some cells, evenly spaced."""
    return evidence[:: -(-len(evidence) // MOST_CELLS)]


def _share_called(evidence: np.ndarray, sets: np.ndarray) -> np.ndarray:
    """Compute the share of called cells, shape (n_sets, n_markers): at least 1, 2, ... markers.

    A called cell also needs the summed evidence of a rare positive cell.
    """
    summed = np.zeros((len(evidence), len(sets)))
    number = np.zeros(summed.shape, dtype=np.int8)
    for column in sets.T:
        summed += evidence[:, column]
        number += evidence[:, column] > 0
    sure = summed >= EVIDENCE
    shares = [((number > needed) & sure).mean(axis=0) for needed in range(sets.shape[1])]
    return np.stack(shares, axis=1)


def _try_set(
    drawn: Drawn, row: np.ndarray, levels: np.ndarray, needed: int, target: str, seed: int
) -> float:
    """Put a set through the assay; return its mean LOD plus its errors, as fractions.

    Target cells that are not called add a tenth: a fit that rests on few of them is right by luck.
    """
    rng = np.random.default_rng([seed, 3])
    model, inside = Model(tuple(levels), needed), drawn.labels == target
    loss = 0.0
    for fraction in TRIED_FRACTIONS:
        n_target = round(fraction * BATCH_CELLS)
        sides = ((inside, n_target), (~inside, BATCH_CELLS - n_target))
        cells = np.concatenate([rng.choice(np.flatnonzero(side), size) for side, size in sides])
        table = tabulate(drawn.counts[cells][:, row], drawn.depth[cells])
        fit = fit_mixture(table.coarser(BLANK_BINNING), model)
        false_rate, sensitivity = error_rates(fit)
        lod = detection_limit(sensitivity, BATCH_CELLS, limit_of_blank(false_rate, BATCH_CELLS))
        loss += (lod + TRIED_FRACTIONS[-1] * (1 - sensitivity)) / len(TRIED_FRACTIONS)
        loss += abs(fit.prevalence - fraction)
    return loss
