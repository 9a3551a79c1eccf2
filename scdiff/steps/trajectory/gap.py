"""The gap: whether intermediates connect the positive cells to the start.

If two populations were mixed, only doublets are between them. Differentiation fills the way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from scdiff.steps.trajectory.axis import Axis, Cells, compute_middles, place_on_axis
from scdiff.vocabulary import CONTINUUM, SEPARATE, UNDECIDED

__all__ = ["Doublets", "Gap", "find_gap", "judge"]

WIDTH = 0.2
"""Width of the narrowest window, on the axis from 0 to 1. Chosen, not tuned."""
STRIDE = 0.05
"""Distance between windows, on the axis. Chosen, not tuned."""
WIDTHS = (WIDTH, 0.3, 0.45, 0.65)
"""Widths of the windows: wide ones find a sparse gap. Chosen, not tuned."""

REACH = 1.5
"""Factor from the scatter of an end away from the other to its scatter toward the other.

The scatter toward the other cannot be measured, since intermediates are there. Chosen, not tuned.
"""

DOUBLET_MARGIN = 1.5
"""Factor on the expected doublets of a window before its cells count as intermediates.

The doublet rate is not known exactly. Chosen, not tuned.
"""

LEAST_DENSITY = 0.25
"""Lowest density of a continuum: intermediates per unit of the axis and cell beyond them.

Chosen, not tuned.
"""

ALPHA = 0.05
"""P-value below which a verdict is given, 0-1; the usual 5 %."""
DOUBTFUL = 0.2
"""P-value of a gap, 0-1, below which a continuum is not called. Chosen, not tuned."""
LEAST_APART = 0.9
"""Lowest separation of the ends (:attr:`Axis.apart`) at which a gap can be judged, 0-1.

Chosen, not tuned.
"""
AXES = 3
"""Number of kinds of axes that are tested: all genes, gained genes, cuts between clusters."""


@dataclass(frozen=True)
class Doublets:
    """Expected droplets with two cells.

    Parameters
    ----------
    first, second
        Cells of the drawn pairs, shape (n_pairs,) each.
    expected
        Expected number of doublets among the droplets.
    """

    first: np.ndarray
    second: np.ndarray
    expected: float

    @classmethod
    def draw(
        cls,
        samples: np.ndarray,
        rates: np.ndarray,
        order: np.ndarray,
        *,
        n_pairs: int = 20_000,
        seed: int = 0,
    ) -> Doublets:
        """Pair cells of the same sample at random, samples by their expected number of doublets.

        Parameters
        ----------
        samples
            Number of each cell's sample, shape (n_cells,).
        rates
            Share of the droplets of each sample that hold two cells, shape (n_samples,), 0-1.
        order
            The cells in the order of their names, shape (n_cells,).
        n_pairs
            Pairs to draw; 0 if all rates are 0.
        seed
            Start of the random generator.
        """
        sizes = np.bincount(samples, minlength=len(rates))
        expected = sizes * rates
        if not expected.any():
            return cls(np.zeros(0, dtype=int), np.zeros(0, dtype=int), 0.0)
        generator = np.random.default_rng(seed)
        sample = generator.choice(len(rates), n_pairs, p=expected / expected.sum())
        by_sample = order[np.argsort(samples[order], kind="stable")]
        firsts, size = (np.cumsum(sizes) - sizes)[sample], sizes[sample]
        first, second = (
            by_sample[firsts + (generator.random(n_pairs) * size).astype(int)] for _ in range(2)
        )
        return cls(first, second, float(expected.sum()))


@dataclass(frozen=True)
class Gap:
    """What is between the two ends.

    Parameters
    ----------
    low, high
        Positions at which the scatter of the start ends and that of the end begins.
    n_end
        Cells beyond ``high``.
    density
        Intermediates (without doublets) per unit of the axis and cell beyond, in the emptiest
        window; NaN if it cannot be measured.
    p_continuum
        Probability of at least this many cells in the emptiest window if only doublets are there.
    p_separate
        Probability of at most this many cells in any window if a sparse continuum is there, over
        all windows.
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
        if self.p_continuum < ALPHA and self.p_separate >= DOUBTFUL:
            return CONTINUUM
        return UNDECIDED


def judge(
    cells: Cells,
    clusters: np.ndarray,
    axis: Axis,
    start: np.ndarray,
    end: np.ndarray,
    doublets: Doublets,
) -> Gap:
    """Judge the gap by the axis, the axis of the gained genes, and the cuts between the clusters.

    Only cuts that separate the start from the end are used. It is a continuum only if both axes are
    filled; it is separate if one of them, or one cut, shows a gap.

    Parameters
    ----------
    cells
        Their counts.
    clusters
        Number of each cell's cluster, shape (n_cells,).
    axis
        The cells on the axis from ``start`` to ``end``.
    start, end
        Which cells are in the two populations.
    doublets
        Pairs of the cells.
    """
    found = find_gap(axis, start, end, doublets)
    gained = place_on_axis(cells, start, end, gained_only=True)
    second = Gap(found.low, found.high, found.n_end)
    if gained:
        second = find_gap(gained, start, end, doublets)
    middle = compute_middles(axis.position, clusters)
    sides = [(middle <= bound)[clusters] for bound in np.unique(middle[np.isfinite(middle)])[:-1]]
    between = [near for near in sides if near[start].mean() > 0.5 > near[end].mean()]
    cuts = [_judge_cut(cells, near, doublets, found.n_end) for near in between]
    known = [gap.density for gap in (found, second, *cuts) if np.isfinite(gap.density)]
    p_cuts = min((cut.p_separate for cut in cuts), default=1.0) * max(len(cuts), 1)
    return replace(
        found,
        density=min(known, default=np.nan),
        p_continuum=max(found.p_continuum, second.p_continuum),
        p_separate=min(1.0, AXES * min(found.p_separate, second.p_separate, p_cuts)),
    )


def _judge_cut(cells: Cells, near: np.ndarray, doublets: Doublets, n_end: int) -> Gap:
    """Look for a gap between two sides that share all cells."""
    axis = place_on_axis(cells, near, ~near)
    n_end = min(n_end, int((~near).sum()))
    return find_gap(axis, near, ~near, doublets, n_end=n_end) if axis else Gap(0.0, 0.0, n_end)


def find_gap(
    axis: Axis, start: np.ndarray, end: np.ndarray, doublets: Doublets, *, n_end: int | None = None
) -> Gap:
    """Test every window between the ends for intermediates, and for a gap.

    Parameters
    ----------
    axis
        The cells on an axis from ``start`` to ``end``.
    start, end
        Which cells are in the two populations.
    doublets
        Pairs of the cells.
    n_end
        Cells at the end; None means the cells beyond each window.
    """
    from scipy.stats import poisson

    low = -REACH * float(np.quantile(axis.position[start], 0.01))
    high = 1 - REACH * _measure_scatter(axis.position[end])
    gap = Gap(low, high, int((axis.position > high).sum()) if n_end is None else n_end)
    if high - low < WIDTH or axis.apart < LEAST_APART:
        return gap
    pairs = np.sort(axis.of_pairs(doublets.first, doublets.second))
    share = doublets.expected / max(len(pairs), 1)
    windows = _Windows(np.sort(axis.position), pairs, share, low, high, n_end)
    counted = {width: windows.of(width) for width in WIDTHS if width <= high - low}
    sparse = [
        poisson.cdf(cells, double + LEAST_DENSITY * width * after).min()
        for width, (cells, double, after) in counted.items()
    ]
    seen, expected, beyond = counted[WIDTH]
    return replace(
        gap,
        density=float(((seen - expected) / (WIDTH * np.maximum(beyond, 1.0))).min()),
        p_continuum=float(poisson.sf(seen - 1, DOUBLET_MARGIN * expected + 0.5).max()),
        p_separate=min(1.0, float(min(sparse)) * sum((high - low) / width for width in counted)),
    )


@dataclass(frozen=True)
class _Windows:
    """Windows on the axis.

    Parameters
    ----------
    cells, pairs
        Sorted positions of the cells and of the drawn doublets.
    share
        Expected doublets per drawn doublet.
    low, high
        Ends of the stretch with windows.
    n_end
        Cells at the end; None means the cells beyond each window.
    """

    cells: np.ndarray
    pairs: np.ndarray
    share: float
    low: float
    high: float
    n_end: int | None

    def of(self, width: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Count the cells, the expected doublets and the cells beyond, for all windows of a width.

        Shape (n_windows,) each.
        """
        starts = np.arange(self.low, self.high - width + 1e-9, STRIDE)
        first, last = (np.searchsorted(self.cells, edge) for edge in (starts, starts + width))
        n_pairs = np.searchsorted(self.pairs, starts + width) - np.searchsorted(self.pairs, starts)
        double = n_pairs * self.share
        beyond = len(self.cells) - last
        if self.n_end is not None:
            beyond = np.full(len(starts), self.n_end)
        return (last - first).astype(float), double, beyond.astype(float)


def _measure_scatter(position: np.ndarray) -> float:
    """Return the distance beyond 1 that nine in ten of the cells above 1 stay within."""
    above = position[position > 1] - 1
    return float(np.quantile(above, 0.9)) if len(above) else 0.0
