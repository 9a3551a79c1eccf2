"""The gap: whether intermediates join the positive cells to the start.

Two populations that were mixed leave the way between them to droplets that hold one of each; differentiation fills it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from scdiff.steps.trajectory.axis import Axis, Cells, middles, place_on_axis
from scdiff.vocabulary import CONTINUUM, SEPARATE, UNDECIDED

__all__ = ["Doublets", "Gap", "find_gap", "judge"]

WIDTH, STRIDE = 0.2, 0.05
WIDTHS = (WIDTH, 0.3, 0.45, 0.65)

REACH = 1.5
"""The scatter of an end away from the other, times this, is taken as its scatter toward the other."""

DOUBLET_MARGIN = 1.5
"""So many times the expected doublets may lie in a window before cells there count as intermediates."""

LEAST_DENSITY = 0.25
"""A continuum has at least so many intermediates per unit of the axis and cell beyond them."""

ALPHA, DOUBTFUL = 0.05, 0.2
LEAST_APART = 0.9
AXES = 3
"""Axes whose gaps are asked for: all genes, gained genes, and the cuts between clusters."""


@dataclass(frozen=True)
class Doublets:
    """Droplets with two cells, as they are expected.

    Parameters
    ----------
    first, second
        Cells of drawn pairs, shape (n_pairs,) each.
    expected
        Their expected number among the droplets.
    """

    first: np.ndarray
    second: np.ndarray
    expected: float

    @classmethod
    def drawn(cls, samples: np.ndarray, rates: np.ndarray, order: np.ndarray, *, n_pairs: int = 20_000, seed: int = 0) -> Doublets:
        """Pair cells of the same sample at random, samples by their expected number of doublets.

        Parameters
        ----------
        samples
            Number of each cell's sample, shape (n_cells,).
        rates
            Share of the droplets of each sample that hold two cells, shape (n_samples,).
        order
            The cells in the order of their names, shape (n_cells,).
        n_pairs
            Pairs to draw; none where no rate is above 0.
        seed
            Start of the random generator.
        """
        sizes = np.bincount(samples, minlength=len(rates))
        expected = sizes * rates
        if not expected.any():
            return cls(np.zeros(0, dtype=int), np.zeros(0, dtype=int), 0.0)
        generator = np.random.default_rng(seed)
        sample = generator.choice(len(rates), n_pairs, p=expected / expected.sum())
        by_sample, firsts = order[np.argsort(samples[order], kind="stable")], np.cumsum(sizes) - sizes
        first, second = (by_sample[firsts[sample] + (generator.random(n_pairs) * sizes[sample]).astype(int)] for _ in range(2))
        return cls(first, second, float(expected.sum()))


@dataclass(frozen=True)
class Gap:
    """What lies between the two ends.

    Parameters
    ----------
    low, high
        Positions at which the scatter of the start ends and that of the end begins.
    n_end
        Cells beyond ``high``.
    density
        Intermediates (doublets taken off) per unit of the axis and cell beyond, in the emptiest window; NaN where nothing can be said.
    p_continuum
        Probability of as many cells in the emptiest window if only doublets lie there.
    p_separate
        Probability of as few cells in any window if a sparse continuum lies there, over all windows asked.
    """

    low: float
    high: float
    n_end: int
    density: float = np.nan
    p_continuum: float = 1.0
    p_separate: float = 1.0

    @property
    def verdict(self) -> str:
        """``continuum``, ``separate population`` or ``undecided``."""
        if self.p_separate < ALPHA:
            return SEPARATE
        return CONTINUUM if self.p_continuum < ALPHA and self.p_separate >= DOUBTFUL else UNDECIDED


def judge(cells: Cells, clusters: np.ndarray, axis: Axis, start: np.ndarray, end: np.ndarray, doublets: Doublets) -> Gap:
    """Weigh the axis, the axis of the gained genes, and every cut through the clusters that parts the start from the end.

    It is a continuum only where both axes are filled; it is separate where one of them, or one cut, shows a gap.

    Parameters
    ----------
    cells
        Their counts.
    clusters
        Number of each cell's cluster, shape (n_cells,).
    axis
        The cells on the axis from ``start`` to ``end``.
    start, end
        Which cells are of the two populations.
    doublets
        Pairs of the cells.
    """
    found = find_gap(axis, start, end, doublets)
    gained = place_on_axis(cells, start, end, gained_only=True)
    second = find_gap(gained, start, end, doublets) if gained else Gap(found.low, found.high, found.n_end)
    middle = middles(axis.position, clusters)
    sides = [(middle <= bound)[clusters] for bound in np.unique(middle[np.isfinite(middle)])[:-1]]
    cuts = [_cut(cells, near, doublets, found.n_end) for near in sides if near[start].mean() > 0.5 > near[end].mean()]
    known = [gap.density for gap in (found, second, *cuts) if np.isfinite(gap.density)]
    p_cuts = min((cut.p_separate for cut in cuts), default=1.0) * max(len(cuts), 1)
    return replace(
        found,
        density=min(known, default=np.nan),
        p_continuum=max(found.p_continuum, second.p_continuum),
        p_separate=min(1.0, AXES * min(found.p_separate, second.p_separate, p_cuts)),
    )


def _cut(cells: Cells, near: np.ndarray, doublets: Doublets, n_end: int) -> Gap:
    """Ask for a gap between two sides that share all cells."""
    axis = place_on_axis(cells, near, ~near)
    n_end = min(n_end, int((~near).sum()))
    return find_gap(axis, near, ~near, doublets, n_end=n_end) if axis else Gap(0.0, 0.0, n_end)


def find_gap(axis: Axis, start: np.ndarray, end: np.ndarray, doublets: Doublets, *, n_end: int | None = None) -> Gap:
    """Ask of every window between the ends whether it holds more cells than doublets explain, and whether it is empty.

    Parameters
    ----------
    axis
        The cells on an axis from ``start`` to ``end``.
    start, end
        Which cells are of the two populations.
    doublets
        Pairs of the cells.
    n_end
        Cells at the end; those beyond each window where not given.
    """
    from scipy.stats import poisson

    low, high = -REACH * float(np.quantile(axis.position[start], 0.01)), 1 - REACH * _scatter_beyond(axis.position[end])
    gap = Gap(low, high, int((axis.position > high).sum()) if n_end is None else n_end)
    if high - low < WIDTH or axis.apart < LEAST_APART:
        return gap
    pairs = np.sort(axis.of_pairs(doublets.first, doublets.second))
    windows = _Windows(np.sort(axis.position), pairs, doublets.expected / max(len(pairs), 1), low, high, n_end)
    counted = {width: windows.of(width) for width in WIDTHS if width <= high - low}
    sparse = [poisson.cdf(cells, double + LEAST_DENSITY * width * after).min() for width, (cells, double, after) in counted.items()]
    seen, expected, beyond = counted[WIDTH]
    return replace(
        gap,
        density=float(((seen - expected) / (WIDTH * np.maximum(beyond, 1.0))).min()),
        p_continuum=float(poisson.sf(seen - 1, DOUBLET_MARGIN * expected + 0.5).max()),
        p_separate=min(1.0, float(min(sparse)) * sum((high - low) / width for width in counted)),
    )


@dataclass(frozen=True)
class _Windows:
    """Sorted positions of cells and of drawn doublets, what one of the latter stands for, and the cells at the end if they are given."""

    cells: np.ndarray
    pairs: np.ndarray
    share: float
    low: float
    high: float
    n_end: int | None

    def of(self, width: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Cells seen and doublets expected in all windows of a width, and cells beyond each; shape (n_windows,) each."""
        starts = np.arange(self.low, self.high - width + 1e-9, STRIDE)
        first, last = (np.searchsorted(self.cells, edge) for edge in (starts, starts + width))
        double = (np.searchsorted(self.pairs, starts + width) - np.searchsorted(self.pairs, starts)) * self.share
        beyond = len(self.cells) - last if self.n_end is None else np.full(len(starts), self.n_end)
        return (last - first).astype(float), double, beyond.astype(float)


def _scatter_beyond(position: np.ndarray) -> float:
    """How far nine in ten of the cells above 1 reach beyond it."""
    above = position[position > 1] - 1
    return float(np.quantile(above, 0.9)) if len(above) else 0.0
