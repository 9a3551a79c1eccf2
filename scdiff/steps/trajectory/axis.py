"""The axis: every cell between two populations, by the genes that distinguish the two."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.compute.blocks import arrays, read_rows, stack_blocks, sum_by_group
from scdiff.compute.kernels import weight_sums

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Axis", "Cells", "compute_middles", "drop_strays", "place_on_axis"]

DISPERSION = 0.3
"""Squared coefficient of variation of a gene within a population, for the weights of the genes.

Chosen, not tuned: the model variance makes fewer false continua than the variance within the start
(tests/benchmarks/README.md, trajectory).
"""

SHRINKAGE = 4.0
"""Squared standard errors at which a squared difference gets half its weight.

A difference of two standard errors may be chance.
"""

FEWEST_CELLS_OF_END = 8
"""Cells that each population at an end of the axis needs: four in each half of the cells.

Fewer have no stable median. Chosen, not tuned.
"""
DIGITS = 9
"""Decimals of a position: later ones depend on the order of a sum."""


@dataclass(frozen=True)
class Cells:
    """What the axis reads of the cells.

    Parameters
    ----------
    counts
        Cells x genes, in memory or on disk.
    depth
        Counts of each cell over all genes, above 0; shape (n_cells,).
    genes
        Which genes count: all except the markers by which the cells were called; shape (n_genes,).
    order
        The cells in the order of their names, so that no draw depends on the order of the matrix;
        shape (n_cells,).
    """

    counts: Any
    depth: np.ndarray
    genes: np.ndarray
    order: np.ndarray

    def only(self, rows: np.ndarray) -> Cells:
        """Return the cells ``rows``, which are in the order of their names."""
        return Cells(
            read_rows(self.counts, rows), self.depth[rows], self.genes, np.arange(len(rows))
        )


@dataclass(frozen=True)
class Axis:
    """Cells on the axis from start to end.

    Parameters
    ----------
    position
        0 at the median of the start, 1 at the median of the end; shape (n_cells,).
    scores
        Weighted counts of every cell, by the weights of either half of the cells; shape (n_cells,
        2).
    depth
        Counts, shape (n_cells,).
    origin, length
        Of the scores of each half, shape (2,): position = (score / depth - origin) / length.
    apart
        Probability that a cell of the end is beyond a cell of the start, 0-1.
    """

    position: np.ndarray
    scores: np.ndarray
    depth: np.ndarray
    origin: np.ndarray
    length: np.ndarray
    apart: float

    def of_pairs(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return the position of droplets that hold two of the cells, shape (n_pairs,)."""
        depth = (self.depth[first] + self.depth[second])[:, None]
        rates = (self.scores[first] + self.scores[second]) / depth
        return np.asarray(((rates - self.origin) / self.length).mean(axis=1))


def place_on_axis(
    cells: Cells, start: np.ndarray, end: np.ndarray, *, gained_only: bool = False, seed: int = 0
) -> Axis | None:
    """Place every cell between two populations; None if they are too small or do not differ.

    The weights of the genes come from one half of the cells and are applied to the other half, so
    that chance differences between few cells do not separate the ends. A position is linear in the
    counts: if half of a cell's RNA has the profile of the end and half that of the start, its
    expected position is one half.

    Parameters
    ----------
    cells
        Their counts.
    start, end
        Which cells are in the two populations; shape (n_cells,) each.
    gained_only
        Use only genes that are higher in the end. Genes that the end lost may be lost in other
        populations too.
    seed
        Start of the random generator that halves the cells.
    """
    half = _draw_half(cells.order, start, end, seed)
    others = ~half, half  # cells that the weights of the first and of the second half apply to
    sizes = [(population & part).sum() for population in (start, end) for part in others]
    if min(sizes) < FEWEST_CELLS_OF_END // 2:
        return None
    weights = _weigh_genes(cells, start, end, half)
    if gained_only:
        weights = np.maximum(weights, 0)
    scores = stack_blocks(cells.counts, partial(_weigh_counts, weights=weights))
    rates = scores / cells.depth[:, None]
    origin, goal = (
        np.array([np.median(rates[population & other, side]) for side, other in enumerate(others)])
        for population in (start, end)
    )
    if (goal <= origin).any():
        return None
    placed = (rates - origin) / (goal - origin)
    position = np.where(half, placed[:, 1], placed[:, 0]).round(DIGITS)
    apart = _compute_share_above(position[end], position[start])
    return Axis(position, scores, cells.depth, origin, goal - origin, apart)


def drop_strays(axis: Axis, end: np.ndarray) -> np.ndarray:
    """Drop cells of the end that are nearer to the start than to the far part of the end.

    Shape (n_cells,).
    """
    return np.asarray(end & (axis.position > np.quantile(axis.position[end], 0.9) / 2))


def compute_middles(position: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Return the median position of each cluster, NaN for a cluster without cells.

    Shape (n_clusters,).
    """
    found = np.full(clusters.max() + 1, np.nan)
    for cluster in np.unique(clusters):
        found[cluster] = np.median(position[clusters == cluster])
    return found


def _draw_half(order: np.ndarray, start: np.ndarray, end: np.ndarray, seed: int) -> np.ndarray:
    """Draw half of the cells, with half of each population; shape (n_cells,)."""
    half = np.zeros(len(start), dtype=bool)
    generator = np.random.default_rng(seed)
    for cells in (start & ~end, end, ~start & ~end):
        half[generator.permutation(order[cells[order]])[::2]] = True
    return half


def _weigh_genes(cells: Cells, start: np.ndarray, end: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Compute the weight of each gene by either half of the cells, shape (n_genes, 2).

    The weight is the difference of the gene's shares divided by its variance. Differences that may
    be chance are shrunk.
    """
    populations = [np.where(cells_of, half.astype(np.int64), -1) for cells_of in (start, end)]
    parts = np.array([group == part for group in populations for part in (1, 0)], dtype=float)
    numbers, totals = parts.sum(axis=1), parts @ cells.depth
    sums = np.vstack([sum_by_group(cells.counts, group, 2)[::-1] for group in populations])
    shares = (sums.T + 0.5) / (totals + 1)
    errors = shares / totals + DISPERSION * shares**2 / numbers
    low, high = shares[:, :2], shares[:, 2:]
    difference, middle, error = high - low, (low + high) / 2, errors[:, :2] + errors[:, 2:]
    variance = middle / np.median(cells.depth) + DISPERSION * middle**2
    weights = difference**3 / (difference**2 + SHRINKAGE * error) / variance
    return np.asarray(np.where(cells.genes[:, None], weights, 0.0))


def _weigh_counts(block: csr_matrix, weights: np.ndarray) -> np.ndarray:
    """Return the weighted counts of the cells of one block, shape (n_cells, n_weights)."""
    return np.asarray(weight_sums(*arrays(block), weights))


def _compute_share_above(high: np.ndarray, low: np.ndarray) -> float:
    """Return the probability that one of ``high`` exceeds one of ``low``, 0-1."""
    return float(np.searchsorted(np.sort(low), high).mean() / len(low))
