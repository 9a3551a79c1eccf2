"""Scan the way between two populations for its emptiest stretch, with a null by simulation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

__all__ = ["SPARSE", "STEP", "Scan", "Way", "scan"]

STEP = 0.025
"""Width of a bin, on the axis from 0 to 1."""
WIDTHS = (0.15, 0.2, 0.3, 0.45, 0.65)
"""Widths of the windows, on the axis; the whole way is one more. Chosen, not tuned."""
STRIDE = 2
"""Number of bins between the starts of two windows of the same width."""

DENSITIES = np.geomspace(0.25, 4.0, 12)
"""Densities of a continuum that the Bayes factor averages over, with equal weight.

Intermediates per unit of the axis and cell at the end. Cells that stay as long in the middle as at
the end have a density of about 1. Chosen, not tuned.
"""
GRID = np.array([0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2, 2.0, 4.0, 8.0])
"""Densities for which the scan is simulated; the interval of the density is interpolated."""
SPARSE = 0.4
"""Density below which intermediates do not make a continuum. Chosen, not tuned."""
DOUBLET_CV = 0.3
"""Coefficient of variation of the number of doublets, whose rate is not known exactly."""
FEWEST_EXPECTED = 1e-3
"""Expected number of doublets and strays of a window that has none."""
N_DRAWS = 1_000
"""Number of simulated ways for each density."""
TAIL = 0.05
"""Probability beyond each end of the interval of the density, 0-1."""
FACTORS = (1.5, 2.0, 3.0, 5.0, 10.0, 20.0)
"""Multiples of the cells at the end for which it is simulated whether they would decide."""


@dataclass(frozen=True)
class Way:
    """Cells between two populations, in bins of equal width.

    Parameters
    ----------
    cells
        Number of cells, shape (n_bins,).
    doublets, strays
        Expected number of droplets with two cells, and of cells of the two populations that scatter
        this far; shape (n_bins,) each.
    n_end
        Number of cells at the end, above 0.
    """

    cells: np.ndarray
    doublets: np.ndarray
    strays: np.ndarray
    n_end: float

    @cached_property
    def windows(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the first bin of each window, and the bin after its last one."""
        n_bins = len(self.cells)
        wanted = {round(width / STEP) for width in WIDTHS} | {n_bins}
        sizes = sorted(size for size in wanted if round(WIDTHS[0] / STEP) <= size <= n_bins)
        pairs = [
            (first, first + size) for size in sizes for first in range(0, n_bins - size + 1, STRIDE)
        ]
        first, last = np.array(pairs).T
        return first, last

    def sum_windows(self, values: np.ndarray) -> np.ndarray:
        """Sum bins over each window, shape (..., n_bins) to (..., n_windows)."""
        first, last = self.windows
        sums = np.concatenate([np.zeros((*values.shape[:-1], 1)), values.cumsum(axis=-1)], axis=-1)
        return np.asarray(sums[..., last] - sums[..., first])

    @cached_property
    def expected(self) -> np.ndarray:
        """Return the expected number of doublets and strays of each window."""
        return np.maximum(self.sum_windows(self.doublets + self.strays), FEWEST_EXPECTED)

    def weigh_evidence(self, cells: np.ndarray) -> np.ndarray:
        """Return the logarithm of each window's Bayes factor: empty against any continuum.

        Parameters
        ----------
        cells
            Number of cells in the bins, shape (..., n_bins).
        """
        first, last = self.windows
        filled = np.outer((last - first) * STEP * self.n_end, DENSITIES)
        gain = np.log1p(filled / self.expected[:, None])
        terms = self.sum_windows(cells)[..., None] * gain - filled
        most = terms.max(axis=-1)
        return np.asarray(-most - np.log(np.exp(terms - most[..., None]).mean(axis=-1)))

    def draw(self, density: float, n_draws: int, generator: np.random.Generator) -> np.ndarray:
        """Simulate ways of a density; return the evidence of their emptiest windows."""
        spread = DOUBLET_CV * generator.normal(size=(n_draws, 1)) - DOUBLET_CV**2 / 2
        mean = np.exp(spread) * self.doublets + self.strays + density * STEP * self.n_end
        return np.asarray(self.weigh_evidence(generator.poisson(mean)).max(axis=-1))


@dataclass(frozen=True)
class Scan:
    """What the emptiest window of a way says; the default values are those of a way not scanned.

    Parameters
    ----------
    evidence
        Natural logarithm of the largest Bayes factor of a window: empty, except for doublets and
        strays, against a continuum of any density from 0.25 to 4.
    density, density_low, density_high
        Intermediates in that window per unit of the axis and cell at the end, and the 90 %
        interval. It holds the densities of which a scan is as empty as this one, and as full, in at
        least 5 % of simulated ways.
    p_continuum
        Probability that the emptiest window is at least this full if only doublets and strays are
        there.
    p_separate
        Probability that it is at least this empty in a continuum of density :data:`SPARSE`.
    n_decide
        Number of cells at the end that would decide in half of the batches like this one; NaN if
        twenty times as many would not, or if no more are needed.
    """

    evidence: float = np.nan
    density: float = np.nan
    density_low: float = np.nan
    density_high: float = np.nan
    p_continuum: float = 1.0
    p_separate: float = 1.0
    n_decide: float = np.nan


def scan(way: Way, *, seed: int = 0) -> Scan:
    """Find the emptiest window, and compare it with simulated ways of known density.

    The null of the whole scan is simulated, so no correction for the number of windows is needed.

    Parameters
    ----------
    way
        Cells and expected cells in bins, at least six.
    seed
        Start of the random generator.
    """
    generator = np.random.default_rng(seed)
    evidence = way.weigh_evidence(way.cells)
    best = int(evidence.argmax())
    drawn = [way.draw(density, N_DRAWS, generator) for density in GRID]
    emptier = np.array([np.mean(values >= evidence[best] - 1e-9) for values in drawn])
    fuller = np.array([np.mean(values <= evidence[best] + 1e-9) for values in drawn])
    low, high = _cross(fuller, rising=True), _cross(emptier, rising=False)
    first, last = (edge[best] for edge in way.windows)
    excess = way.sum_windows(way.cells)[best] - way.expected[best]
    density = excess / ((last - first) * STEP * way.n_end)
    at_sparse = int(np.searchsorted(GRID, SPARSE))
    undecided = emptier[at_sparse] >= TAIL and fuller[0] >= TAIL
    return Scan(
        evidence=float(evidence[best]),
        density=float(np.clip(density, low, max(low, high))),
        density_low=low,
        density_high=max(low, high),
        p_continuum=float(fuller[0]),
        p_separate=float(emptier[at_sparse]),
        n_decide=_count_needed(way, generator) if undecided else np.nan,
    )


def _cross(shares: np.ndarray, *, rising: bool) -> float:
    """Return the density at which a share of simulated ways crosses the tail of the interval."""
    inside = np.flatnonzero(shares >= TAIL)
    if not len(inside):
        return float(GRID[-1] if rising else 0.0)
    edge = inside[0] if rising else inside[-1]
    other = edge - 1 if rising else edge + 1
    if not 0 <= other < len(GRID):
        return float(GRID[edge])
    part = (shares[edge] - TAIL) / (shares[edge] - shares[other])
    return float(GRID[edge] + part * (GRID[other] - GRID[edge]))


def _count_needed(way: Way, generator: np.random.Generator) -> float:
    """Return how many cells at the end would show that an empty way is empty; NaN if too many."""
    for factor in FACTORS:
        larger = Way(way.cells, way.doublets * factor, way.strays, way.n_end * factor)
        empty, filled = (larger.draw(density, N_DRAWS // 4, generator) for density in (0.0, SPARSE))
        if np.median(empty) > np.quantile(filled, 1 - TAIL):
            return float(np.ceil(way.n_end * factor))
    return np.nan
