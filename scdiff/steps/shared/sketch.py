"""A sketch: the cells on which the graph is built where there are very many, and how the others take over what it tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scdiff.compute.nearest import nearest_of

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["LARGEST", "draw_sketch", "find_sketch_cells", "majority", "select_sketch"]

LARGEST = 100_000
"""Cells of the graph; with more, it is built on so many of them."""

NEIGHBOURS = 5


def draw_sketch(points: np.ndarray, variance: np.ndarray, number: int, seed: int) -> np.ndarray:
    """Draw cells by their leverage, so that a rare population that lies apart stays; their rows, rising.

    Parameters
    ----------
    points, variance
        Principal components of the cells in the order of their names, shape (n_cells, n_components), and variances.
    number
        Cells to draw, all where there are no more.
    seed
        Start of the random generator.

    Source
    ------
    10.1073/pnas.0803205106 (leverage), 10.1016/j.ipl.2005.11.003 (weighted draw without replacement)
    """
    if len(points) <= number:
        return np.arange(len(points))
    leverage = (points**2 / np.maximum(variance, np.finfo(float).tiny)).sum(axis=1)
    waiting = np.random.default_rng(seed).exponential(size=len(points)) / np.maximum(leverage, leverage.mean() * 1e-6)
    return np.sort(np.argpartition(waiting, number)[:number])


def find_sketch_cells(points: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """For every cell the sketched cells that it takes over from, numbered within the sketch; itself only, for those of the sketch.

    Parameters
    ----------
    points
        Shape (n_cells, n_components).
    inside
        Cells of the sketch, shape (n_cells,).

    Returns
    -------
    Shape (n_cells, 5).
    """
    found = np.repeat((np.cumsum(inside) - 1)[:, None], NEIGHBOURS, axis=1)
    if not inside.all():
        found[~inside] = nearest_of(points[inside], points[~inside], NEIGHBOURS)
    return found


def majority(labels: np.ndarray) -> np.ndarray:
    """Most frequent label of each row, the nearest of equals; shape (n_rows,)."""
    votes = (labels[:, :, None] == labels[:, None, :]).sum(axis=2)
    return np.asarray(labels[np.arange(len(labels)), votes.argmax(axis=1)])


def select_sketch(adata: AnnData) -> np.ndarray:
    """Cells of the graph, shape (n_cells,); all where the embedding does not say."""
    return adata.obs["scdiff_sketch"].to_numpy(dtype=bool) if "scdiff_sketch" in adata.obs else np.ones(adata.n_obs, dtype=bool)
