"""The map: the neighbour graph laid out in two dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["MIN_DISTANCE", "layout"]

EPOCHS = 80  # as trustworthy as 500 on the data sets tried
SPAN = 10.0
N_PUSHED = 5
MIN_DISTANCE = 0.5
CURVE = (0.5830300205, 1.3341669925)
"""a and b of 1 / (1 + a d^2b), the curve that UMAP fits to this least distance and a spread of 1."""

SHIFT = 16
"""Bits of a float32 that are dropped to look a force up: 128 steps per doubling of the distance."""


def layout(weights: csr_matrix, points: np.ndarray, seed: int) -> np.ndarray:
    """Lay the neighbour graph out by UMAP's gradient, starting from the first two principal components.

    One thread, in the order of the points: the same bits on any number of cores. The forces are looked up by the
    distance, which saves the powers; umap-learn spends some seconds of every process on compiling itself.

    Parameters
    ----------
    weights
        Symmetric graph, 0-1, shape (n_points, n_points).
    points
        Principal components, shape (n_points, n_components).
    seed
        Start of the random generator.

    Returns
    -------
    Coordinates, shape (n_points, 2).

    Source
    ------
    10.48550/arXiv.1802.03426, section 3.2
    """
    drawn = _start(points, seed)
    if weights.nnz:
        every = (weights.data.max() / np.maximum(weights.data, 1e-12)).astype(np.float32)
        _descend(
            drawn, weights.indptr.astype(np.int64), weights.indices.astype(np.int32), every, *_forces(), np.uint64(2 * seed + 1), EPOCHS
        )
    return drawn


def _start(points: np.ndarray, seed: int) -> np.ndarray:
    """First two components scaled to a square, with a little noise so that equal cells can part; shape (n_points, 2)."""
    flat = np.zeros((len(points), 2))
    flat[:, : points.shape[1]] = points[:, :2]
    flat *= SPAN / max(np.abs(flat).max(), np.finfo(float).tiny)
    return (flat + np.random.default_rng(seed).normal(scale=1e-3, size=flat.shape)).astype(np.float32)


def _forces() -> tuple[np.ndarray, np.ndarray]:
    """Attraction and repulsion per unit of distance, by the leading bits of the squared distance as float32."""
    a, b = CURVE
    bits = (np.arange(1 << (31 - SHIFT), dtype=np.int32) << SHIFT) + (1 << (SHIFT - 1))
    with np.errstate(all="ignore"):
        squared = bits.view(np.float32).astype(np.float64)
        pull = -2 * a * b * squared ** (b - 1) / (1 + a * squared**b)
        push = 2 * b / ((0.001 + squared) * (1 + a * squared**b))
    return np.nan_to_num(pull, posinf=0, neginf=0).astype(np.float32), np.nan_to_num(push, posinf=0).astype(np.float32)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _step(force, difference):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """One component of a force, at most 4."""
    return min(np.float32(4), max(np.float32(-4), force * difference))


@njit(cache=True)  # type: ignore[untyped-decorator]
def _pushed(drawn, x, y, rate, push, state):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Move a point away from five others drawn at random; return it with the state of the generator (xorshift)."""
    for _ in range(N_PUSHED):
        state ^= state << np.uint64(13)
        state ^= state >> np.uint64(7)
        state ^= state << np.uint64(17)
        other = np.int64(((state >> np.uint64(32)) * np.uint64(len(drawn))) >> np.uint64(32))
        dx, dy = x - drawn[other, 0], y - drawn[other, 1]
        force = push[np.float32(dx * dx + dy * dy).view(np.int32) >> SHIFT]
        x, y = x + _step(force, dx) * rate, y + _step(force, dy) * rate
    return x, y, state


@njit(cache=True)  # type: ignore[untyped-decorator]
def _move(drawn, i, edges, indices, every, due, epoch, rate, pull, push, state):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Move point ``i`` along those of its edges that are due in this epoch; return the state of the generator."""
    x, y = drawn[i, 0], drawn[i, 1]
    for edge in edges:
        if due[edge] > epoch:
            continue
        due[edge] += every[edge]
        j = indices[edge]
        dx, dy = x - drawn[j, 0], y - drawn[j, 1]
        force = pull[np.float32(dx * dx + dy * dy).view(np.int32) >> SHIFT]
        step_x, step_y = _step(force, dx) * rate, _step(force, dy) * rate
        drawn[j, 0] -= step_x
        drawn[j, 1] -= step_y
        x, y, state = _pushed(drawn, x + step_x, y + step_y, rate, push, state)
    drawn[i, 0], drawn[i, 1] = x, y
    return state


@njit(cache=True)  # type: ignore[untyped-decorator]
def _descend(drawn, indptr, indices, every, pull, push, state, n_epochs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Move the points along their edges, each as often as it weighs, and away from others drawn at random."""
    due = every.copy()
    for epoch in range(n_epochs):
        rate = np.float32(1 - epoch / n_epochs)
        for i in range(len(drawn)):
            state = _move(drawn, i, range(indptr[i], indptr[i + 1]), indices, every, due, epoch, rate, pull, push, state)
