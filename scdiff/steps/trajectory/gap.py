"""The gap: whether intermediates connect the positive cells to the start.

If two populations were mixed, only doublets are between them. Differentiation fills the way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from scdiff.steps.trajectory.axis import Axis, Cells, place_on_axis
from scdiff.steps.trajectory.doublets import Doublets
from scdiff.steps.trajectory.scan import STEP, WIDTHS, Scan, Way, scan
from scdiff.vocabulary import CONTINUUM, SEPARATE, UNDECIDED

__all__ = ["Gap", "find_gap", "judge"]

REACH = 1.25
"""Factor on the scatter of a population toward the other one.

Some of the scatter is wider than a normal distribution. Chosen, not tuned.
"""
NARROWEST = 0.02
"""Smallest scatter of an end, on the axis: that of few cells can be 0 by chance."""
ALPHA = 0.05
"""P-value of a continuum below which the verdict is a separate population, 0-1; the usual 5 %."""
FILLED = 0.01
"""P-value of an empty way, 0-1, below which the way counts as filled.

It is stricter than :data:`ALPHA`, because a rare third population can fill a way in part. Chosen,
not tuned.
"""
DOUBTFUL = 0.2
"""P-value of a gap, 0-1, below which a continuum is not called. Chosen, not tuned."""
LEAST_EVIDENCE = 1.5
"""Smallest log Bayes factor of a separate population.

Chosen, not tuned.
"""
CLEAR_EVIDENCE, CLEAR_P = 5.0, 0.01
"""Log Bayes factor and p-value of a gap that decides although cells fill the way beyond it.

Chosen on 83 cases of the benchmark: whole islets had 6.7 or more, rare cells of a continuum 4.2.
"""
FREE_OF_THIRD = 0.1
"""P-value of an empty way, 0-1, that such a gap needs. Chosen on the same cases."""
LEAST_APART = 0.9
"""Lowest separation of the ends (:attr:`Axis.apart`) at which a gap can be judged, 0-1.

Chosen, not tuned.
"""
LEFT = 0.4
"""Position beyond which a cell may have left the start, on the axis. Chosen, not tuned."""
MOST_LEFT = 0.3
"""Share of the batch, 0-1, up to which the cells that left the start can be foreign.

The way to more of them is not judged. Chosen on the cases of the benchmark.
"""


@dataclass(frozen=True, kw_only=True)
class Gap(Scan):
    """What is between the two ends: the scan of the way, and where the way is.

    Parameters
    ----------
    low, high
        Positions at which the scatter of the start ends and that of the end begins, on the way to
        the end.
    n_end
        Number of cells at the end and beyond ``high``, without expected doublets and strays.
    third
        Whether a third population may lie between: cells fill the way to the end, and a gap
        separates all of them from the start. An uneven continuum can look like this, too, so only
        a clear gap decides.
    """

    low: float
    high: float
    n_end: int
    third: bool = False

    @property
    def verdict(self) -> str:
        """``continuum``, ``separate population`` or ``undecided``."""
        if self.third:
            return SEPARATE if self.is_clear else UNDECIDED
        is_empty = self.p_continuum >= FILLED and self.evidence > LEAST_EVIDENCE
        if self.p_separate < ALPHA and is_empty:
            return SEPARATE
        if self.p_continuum < FILLED and self.p_separate >= DOUBTFUL:
            return CONTINUUM
        return UNDECIDED

    @property
    def is_clear(self) -> bool:
        """Whether the gap decides although cells fill the way beyond it."""
        is_empty = self.p_continuum >= FREE_OF_THIRD and self.evidence > CLEAR_EVIDENCE
        return is_empty and self.p_separate < CLEAR_P


def judge(
    cells: Cells, start: np.ndarray, end: np.ndarray, doublets: Doublets, weights: np.ndarray
) -> Gap | None:
    """Judge the way to the end, and the way to all cells that may have left the start.

    The second way shows a gap that other cells of a foreign population hide: whole islets among
    stromal cells fill the way to the beta cells. If it shows a gap, the one of the two ways with
    more evidence of a gap counts. If they contradict each other, only a clear gap decides. None if
    the ends are too small or do not differ.

    Parameters
    ----------
    cells
        Their counts.
    start, end
        Which cells are in the two populations; none is in both.
    doublets
        Pairs of the cells.
    weights
        How many cells of the batch each cell represents, shape (n_cells,).
    """
    axis = place_on_axis(cells, start, end)
    if axis is None:
        return None
    direct = find_gap(axis, start, end, doublets, weights)
    left = (axis.position > max(direct.low, LEFT)) | end
    is_minority = weights[left].sum() <= MOST_LEFT * weights.sum()
    wide = place_on_axis(cells, ~left, left) if is_minority else None
    if wide is None:
        return direct
    all_left = find_gap(wide, ~left, left, doublets, weights)
    if not all_left.evidence > max(np.nan_to_num(direct.evidence), LEAST_EVIDENCE):
        return direct
    contradicts = all_left.verdict == SEPARATE and direct.verdict == CONTINUUM
    if contradicts and not all_left.is_clear:
        return replace(direct, third=True)
    return replace(all_left, low=direct.low, high=direct.high, third=contradicts)


def find_gap(
    axis: Axis, start: np.ndarray, end: np.ndarray, doublets: Doublets, weights: np.ndarray
) -> Gap:
    """Scan the way between two populations for intermediates, and for a gap.

    Parameters
    ----------
    axis
        The cells on an axis from ``start`` to ``end``.
    start, end
        Which cells are in the two populations.
    doublets
        Pairs of the cells.
    weights
        How many cells of the batch each cell represents, shape (n_cells,).
    """
    from scipy.stats import norm

    position, n_start = axis.position, weights[start].sum()
    spread, spread_end = (
        REACH * _measure_scatter(position[population] - middle, share)
        for population, middle, share in ((start, 0.0, 0.98), (end, 1.0, 0.9))
    )
    low = spread * norm.isf(min(0.5, 0.5 / n_start))
    high = 1 - spread_end * norm.isf(0.05)
    pairs = axis.of_pairs(doublets.first, doublets.second)
    share = doublets.expected / max(len(pairs), 1)
    beyond = weights[position > high].sum() - share * (pairs > high).sum()
    n_end = max(int(end.sum()), int(beyond - n_start * norm.sf(high / spread)))
    gap = Gap(low=low, high=high, n_end=n_end)
    if high - low < WIDTHS[0] or axis.apart < LEAST_APART:
        return gap
    edges = low + STEP * np.arange(int((high - low) / STEP + 1e-9) + 1)
    strays = n_start * np.diff(norm.cdf(edges / spread))
    strays += n_end * np.diff(norm.cdf((edges - 1) / spread_end))
    way = Way(
        np.histogram(position, edges, weights=weights)[0].round(),
        np.histogram(pairs, edges)[0] * share,
        strays,
        n_end,
    )
    return replace(gap, **vars(scan(way)))


def _measure_scatter(deviation: np.ndarray, share: float) -> float:
    """Return the standard deviation of a population, by its narrower side.

    Intermediates can only widen one side. It is measured where ``share`` of the cells of a side
    are.
    """
    from scipy.stats import norm

    sides = (-deviation[deviation < 0], deviation[deviation > 0])
    found = [float(np.quantile(side, share)) for side in sides if len(side)]
    return max(min(found, default=0.0) / float(norm.isf((1 - share) / 2)), NARROWEST)
