"""The map: the neighbour graph laid out in two dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scdiff.compiled import compile_loop

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["MIN_DISTANCE", "compute_layout"]

EPOCHS = 80
"""Rounds over the edges; the map is as trustworthy as with 500 on the data sets tried."""
SPAN = 10.0
"""Half the side of the square in which the layout starts, as in umap-learn."""
N_PUSHED = 5
"""Random points that push a point away per edge, as in umap-learn."""
MIN_DISTANCE = 0.5
"""Least distance of two points of the map, the default of scanpy."""
CURVE = (0.5830300205, 1.3341669925)
"""a and b of 1 / (1 + a d^2b), which UMAP fits to this least distance and a spread of 1."""

SHIFT = 16
"""Bits of a float32 that a force ignores: 128 steps per doubling of the distance."""


def compute_layout(weights: csr_matrix, points: np.ndarray, seed: int) -> np.ndarray:
    """Lay the neighbour graph out by UMAP's gradient, from the first two principal components.

    It runs in one thread, in the order of the points, so the bits are the same on any number of
    cores. The forces are looked up by the distance, which saves the powers. umap-learn is not used,
    since it compiles itself for some seconds in every process.

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
    placed = _place_points(points, seed)
    if weights.nnz:
        every = (weights.data.max() / np.maximum(weights.data, 1e-12)).astype(np.float32)
        indptr, indices = weights.indptr.astype(np.int64), weights.indices.astype(np.int32)
        state = np.uint64(2 * seed + 1)
        _descend(placed, indptr, indices, every, *_tabulate_forces(), state, EPOCHS)
    return placed


def _place_points(points: np.ndarray, seed: int) -> np.ndarray:
    """Return the first two components scaled to a square, shape (n_points, 2).

    A little noise separates equal cells.
    """
    flat = np.zeros((len(points), 2))
    flat[:, : points.shape[1]] = points[:, :2]
    flat *= SPAN / max(np.abs(flat).max(), np.finfo(float).tiny)
    return (flat + np.random.default_rng(seed).normal(scale=1e-3, size=flat.shape)).astype(
        np.float32
    )


def _tabulate_forces() -> tuple[np.ndarray, np.ndarray]:
    """Return attraction and repulsion per unit of distance.

    They are indexed by the leading bits of the squared distance as float32.
    """
    a, b = CURVE
    bits = (np.arange(1 << (31 - SHIFT), dtype=np.int32) << SHIFT) + (1 << (SHIFT - 1))
    with np.errstate(all="ignore"):
        squared = bits.view(np.float32).astype(np.float64)
        pull = -2 * a * b * squared ** (b - 1) / (1 + a * squared**b)
        push = 2 * b / ((0.001 + squared) * (1 + a * squared**b))
    pull, push = np.nan_to_num(pull, posinf=0, neginf=0), np.nan_to_num(push, posinf=0)
    return pull.astype(np.float32), push.astype(np.float32)


@compile_loop()
def _limit_force(force, difference):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Return one component of a force, limited to 4 as in umap-learn."""
    return min(np.float32(4), max(np.float32(-4), force * difference))


@compile_loop()
def _push(placed, x, y, rate, push, state):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Move a point away from five random others.

    Returns its coordinates and the state of the generator (xorshift).
    """
    for _ in range(N_PUSHED):
        state ^= state << np.uint64(13)
        state ^= state >> np.uint64(7)
        state ^= state << np.uint64(17)
        other = np.int64(((state >> np.uint64(32)) * np.uint64(len(placed))) >> np.uint64(32))
        dx, dy = x - placed[other, 0], y - placed[other, 1]
        force = push[np.float32(dx * dx + dy * dy).view(np.int32) >> SHIFT]
        x, y = x + _limit_force(force, dx) * rate, y + _limit_force(force, dy) * rate
    return x, y, state


@compile_loop()
def _move(placed, i, edges, indices, every, due, epoch, rate, pull, push, state):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Move point ``i`` along its edges that are due in this epoch.

    Returns the state of the generator.
    """
    x, y = placed[i, 0], placed[i, 1]
    for edge in edges:
        if due[edge] > epoch:
            continue
        due[edge] += every[edge]
        j = indices[edge]
        dx, dy = x - placed[j, 0], y - placed[j, 1]
        force = pull[np.float32(dx * dx + dy * dy).view(np.int32) >> SHIFT]
        step_x, step_y = _limit_force(force, dx) * rate, _limit_force(force, dy) * rate
        placed[j, 0] -= step_x
        placed[j, 1] -= step_y
        x, y, state = _push(placed, x + step_x, y + step_y, rate, push, state)
    placed[i, 0], placed[i, 1] = x, y
    return state


@compile_loop("(f4[:, ::1], i8[::1], i4[::1], f4[::1], f4[::1], f4[::1], u8, i8)")
def _descend(placed, indptr, indices, every, pull, push, state, n_epochs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Move the points along their edges, each as often as it weighs, and away from others."""
    due = every.copy()
    for epoch in range(n_epochs):
        rate = np.float32(1 - epoch / n_epochs)
        for i in range(len(placed)):
            edges = range(indptr[i], indptr[i + 1])
            state = _move(placed, i, edges, indices, every, due, epoch, rate, pull, push, state)
