"""The axis: every cell between two populations, by the genes that tell the two apart."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.compute.blocks import read_rows, stack_blocks, sum_blocks

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Axis", "Cells", "middles", "place_on_axis", "without_strays"]

DISPERSION = 0.3
"""Squared coefficient of variation of a gene within a population, for the weights of the genes."""

SHRINKAGE = 4.0
"""A difference of as many squared standard errors counts half."""

FEWEST_CELLS = 8
DIGITS = 9


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
        Which genes count: not the markers by which the cells were called; shape (n_genes,).
    order
        The cells in the order of their names, so that no draw depends on the order of the matrix; shape (n_cells,).
    """

    counts: Any
    depth: np.ndarray
    genes: np.ndarray
    order: np.ndarray

    def some(self, number: int, seed: int) -> np.ndarray:
        """Draw at most ``number`` of the cells; their rows in the order of their names."""
        if number >= len(self.order):
            return self.order
        return np.asarray(self.order[np.sort(np.random.default_rng(seed).choice(len(self.order), number, replace=False))])

    def only(self, rows: np.ndarray) -> Cells:
        """Return the cells ``rows``, which are in the order of their names."""
        return Cells(read_rows(self.counts, rows), self.depth[rows], self.genes, np.arange(len(rows)))


@dataclass(frozen=True)
class Axis:
    """Cells on the axis from start to end.

    Parameters
    ----------
    position
        0 at the median of the start, 1 at that of the end; shape (n_cells,).
    scores
        Weighted counts of every cell, by the weights of either half of the cells; shape (n_cells, 2).
    depth
        Counts, shape (n_cells,).
    origin, length
        Of the scores of each half, shape (2,): position = (score / depth - origin) / length.
    apart
        Probability that a cell of the end lies above one of the start, 0-1.
    """

    position: np.ndarray
    scores: np.ndarray
    depth: np.ndarray
    origin: np.ndarray
    length: np.ndarray
    apart: float

    def of_pairs(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Position of droplets that hold two of the cells, shape (n_pairs,)."""
        depth = (self.depth[first] + self.depth[second])[:, None]
        return np.asarray((((self.scores[first] + self.scores[second]) / depth - self.origin) / self.length).mean(axis=1))


def place_on_axis(cells: Cells, start: np.ndarray, end: np.ndarray, *, gained_only: bool = False, seed: int = 0) -> Axis | None:
    """Place every cell between two populations; None where they are too few or do not differ.

    The weights of the genes come from one half of the cells and are applied to the other, so that chance differences
    between few cells do not set the ends apart. A position is linear in the counts: where half of a cell's RNA is of
    the end's profile and half of the start's, it is one half in expectation.

    Parameters
    ----------
    cells
        Their counts.
    start, end
        Which cells are of the two populations; shape (n_cells,) each.
    gained_only
        Use the genes that the end has more of, not those that it lost: other populations lost such genes, too.
    seed
        Start of the random generator that halves the cells.
    """
    half = _halved(cells.order, start, end, seed)
    others = ~half, half  # asked with the weights of the first and of the second half
    if min((population & part).sum() for population in (start, end) for part in others) < FEWEST_CELLS // 2:
        return None
    weights = _weights(cells, start, end, half)
    scores = stack_blocks(cells.counts, partial(_weighted, weights=np.maximum(weights, 0) if gained_only else weights))
    rates = scores / cells.depth[:, None]
    origin, goal = (
        np.array([np.median(rates[population & other, side]) for side, other in enumerate(others)]) for population in (start, end)
    )
    if (goal <= origin).any():
        return None
    placed = (rates - origin) / (goal - origin)
    position = np.where(half, placed[:, 1], placed[:, 0]).round(DIGITS)
    return Axis(position, scores, cells.depth, origin, goal - origin, _share_above(position[end], position[start]))


def without_strays(axis: Axis, end: np.ndarray) -> np.ndarray:
    """Leave out cells of the end that lie nearer to the start than to the far part of the end; shape (n_cells,)."""
    return np.asarray(end & (axis.position > np.quantile(axis.position[end], 0.9) / 2))


def middles(position: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Median position of each cluster, NaN for a number that no cell bears; shape (n_clusters,)."""
    found = np.full(clusters.max() + 1, np.nan)
    for cluster in np.unique(clusters):
        found[cluster] = np.median(position[clusters == cluster])
    return found


def _halved(order: np.ndarray, start: np.ndarray, end: np.ndarray, seed: int) -> np.ndarray:
    """Draw half of the cells, half of each population among them; shape (n_cells,)."""
    half = np.zeros(len(start), dtype=bool)
    generator = np.random.default_rng(seed)
    for cells in (start & ~end, end, ~start & ~end):
        half[generator.permutation(order[cells[order]])[::2]] = True
    return half


def _weights(cells: Cells, start: np.ndarray, end: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Weight of each gene by either half of the cells: the difference of its shares over its variance; shape (n_genes, 2).

    Differences are shrunk where they may be chance.
    """
    parts = np.column_stack([start & half, start & ~half, end & half, end & ~half]).astype(np.float64)
    totals, numbers = cells.depth @ parts, parts.sum(axis=0)
    shares = (sum_blocks(cells.counts, _gene_totals, parts).T + 0.5) / (totals + 1)
    errors = shares / totals + DISPERSION * shares**2 / numbers
    low, high = shares[:, :2], shares[:, 2:]
    difference, middle, error = high - low, (low + high) / 2, errors[:, :2] + errors[:, 2:]
    variance = middle / np.median(cells.depth) + DISPERSION * middle**2
    return np.asarray(np.where(cells.genes[:, None], difference**3 / (difference**2 + SHRINKAGE * error) / variance, 0.0))


def _weighted(block: csr_matrix, weights: np.ndarray) -> np.ndarray:
    """Weighted counts of the cells of one block, shape (n_cells, n_weights)."""
    return np.asarray(block @ weights, dtype=float)


def _gene_totals(block: csr_matrix, parts: np.ndarray) -> np.ndarray:
    """Sum the counts of each gene in each part of the cells of one block, shape (n_parts, n_genes)."""
    return np.array([np.asarray(block[part > 0].sum(axis=0, dtype=np.float64)).ravel() for part in parts.T]).astype(np.int64)


def _share_above(high: np.ndarray, low: np.ndarray) -> float:
    """Probability that one of ``high`` exceeds one of ``low``."""
    return float(np.searchsorted(np.sort(low), high).mean() / len(low))
