"""A sketch: the cells on which the graph of a very large batch is built.

The other cells take their results from the nearest cells of the sketch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scdiff import keys
from scdiff.compute.nearest import nearest_of

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["LARGEST", "draw_sketch", "find_majority", "find_sketch_cells", "select_sketch"]

LARGEST = 100_000
"""Largest number of cells in the graph; a larger batch is sketched to this size."""

NEIGHBOURS = 5
"""Cells of the sketch whose results another cell takes. Chosen, not tuned."""


def draw_sketch(points: np.ndarray, variance: np.ndarray, number: int, seed: int) -> np.ndarray:
    """Draw cells by their leverage, so that a rare distinct population stays; rows in rising order.

    Parameters
    ----------
    points, variance
        Principal components of the cells in the order of their names, shape (n_cells,
        n_components), and variances.
    number
        Cells to draw; all if there are fewer.
    seed
        Start of the random generator.

    Source
    ------
    10.1073/pnas.0803205106 (leverage), 10.1016/j.ipl.2005.11.003 (weighted draw without
    replacement)
    """
    if len(points) <= number:
        return np.arange(len(points))
    leverage = (points**2 / np.maximum(variance, np.finfo(float).tiny)).sum(axis=1)
    draw = np.random.default_rng(seed).exponential(size=len(points))
    waiting = draw / np.maximum(leverage, leverage.mean() * 1e-6)
    return np.sort(np.argpartition(waiting, number)[:number])


def find_sketch_cells(points: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Find for every cell the cells of the sketch whose results it takes.

    A cell of the sketch takes only its own.

    Parameters
    ----------
    points
        Shape (n_cells, n_components).
    inside
        Cells of the sketch, shape (n_cells,).

    Returns
    -------
    Positions within the sketch, shape (n_cells, 5).
    """
    found = np.repeat((np.cumsum(inside) - 1)[:, None], NEIGHBOURS, axis=1)
    if not inside.all():
        found[~inside] = nearest_of(points[inside], points[~inside], NEIGHBOURS)
    return found


def find_majority(labels: np.ndarray) -> np.ndarray:
    """Return the most frequent label of each row, the nearest among equals; shape (n_rows,)."""
    votes = (labels[:, :, None] == labels[:, None, :]).sum(axis=2)
    return np.asarray(labels[np.arange(len(labels)), votes.argmax(axis=1)])


def select_sketch(adata: AnnData) -> np.ndarray:
    """Return the cells of the graph, shape (n_cells,); all without a sketch."""
    if "scdiff_sketch" in adata.obs:
        return adata.obs[keys.SKETCH.name].to_numpy(dtype=bool)
    return np.ones(adata.n_obs, dtype=bool)
