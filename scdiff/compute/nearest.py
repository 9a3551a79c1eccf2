"""Nearest neighbours: every pair where the points are few, else the points of the nearest of many lists.

Compiled once and for all: approximate searches of libraries compile anew in every process, take longer for the same
recall, or give other neighbours on another number of threads (``make bench-neighbours``).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numba import njit

from scdiff.compute.arrays import limit_blas_threads
from scdiff.compute.blocks import count_workers

__all__ = ["nearest", "nearest_of"]

EXACT_UP_TO = 30_000
N_PROBED, N_PROBED_BY_OTHERS = 50, 10
ROUNDS, POINTS_PER_LIST = 5, 64
CHUNK, PIECE = 8_192, 2_048
SPARE = 2  # more are looked for than asked, since the search is in single precision


@dataclass(frozen=True)
class _Lists:
    """Points sorted into lists around centres.

    Parameters
    ----------
    points
        Single precision, shape (n_points, n_components).
    halves
        Half the squared length of each point, shape (n_points,).
    centres
        Shape (n_lists, n_components).
    members
        Numbers of the points of each list.
    """

    points: np.ndarray
    halves: np.ndarray
    centres: np.ndarray
    members: list[np.ndarray]


def nearest(points: np.ndarray, n_others: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the ``n_others`` nearest other points of every point, nearest first, points as near by their number.

    Exact up to 30,000 points; above, each point is compared with the points of the 50 lists (k-means) nearest to it.

    Returns
    -------
    indices, distances
        Shape (n_points, n_others) each.

    Source
    ------
    10.1109/TPAMI.2010.57, section IV (inverted lists)
    """
    if n_others == 0:
        return np.zeros((len(points), 0), dtype=np.int64), np.zeros((len(points), 0))
    n_found = min(n_others + 1 + SPARE, len(points))
    with limit_blas_threads():
        lists = _listed(
            points.astype(np.float32),
            1 if len(points) <= EXACT_UP_TO else int(np.sqrt(len(points))),
        )
        found = _searched(lists, lists.points, N_PROBED, n_found)
    squared = _squared_distances(points, points, found)
    squared[found == np.arange(len(points))[:, None]] = np.inf
    order = np.lexsort((found, squared))[:, :n_others]
    return np.take_along_axis(found, order, axis=1), np.sqrt(
        np.take_along_axis(squared, order, axis=1)
    )


def nearest_of(points: np.ndarray, others: np.ndarray, number: int) -> np.ndarray:
    """Find which of ``points`` are nearest to each of the ``others``, nearest first; shape (n_others, number)."""
    with limit_blas_threads():
        lists = _listed(
            points.astype(np.float32),
            1 if len(points) <= EXACT_UP_TO else int(np.sqrt(len(points))),
        )
        found = _searched(lists, others.astype(np.float32), N_PROBED_BY_OTHERS, number)
    order = np.lexsort((found, _squared_distances(points, others, found)))
    return np.take_along_axis(found, order, axis=1)


def _listed(points: np.ndarray, n_lists: int) -> _Lists:
    """Sort the points into lists by k-means on some of them."""
    generator = np.random.default_rng(0)
    some = points[
        np.sort(
            generator.choice(
                len(points), min(len(points), POINTS_PER_LIST * n_lists), replace=False
            )
        )
    ]
    centres = some[np.sort(generator.choice(len(some), n_lists, replace=False))]
    for _ in range(ROUNDS if n_lists > 1 else 0):
        own = _closest(some, centres, 1)[:, 0]
        size = np.bincount(own, minlength=n_lists)[:, None]
        sums = np.column_stack(
            [np.bincount(own, weights=component, minlength=n_lists) for component in some.T]
        )
        centres = np.where(size > 0, sums / np.maximum(size, 1), centres).astype(np.float32)
    own = _closest(points, centres, 1)[:, 0]
    order = np.argsort(own, kind="stable")
    members = np.split(order, np.searchsorted(own[order], np.arange(1, n_lists)))
    return _Lists(points, (points**2).sum(axis=1) / 2, centres, members)


def _closest(points: np.ndarray, centres: np.ndarray, number: int) -> np.ndarray:
    """Find the lists whose centres are nearest, shape (n_points, number)."""
    halves, found = (centres**2).sum(axis=1) / 2, []
    for start in range(0, len(points), CHUNK):
        score = halves - points[start : start + CHUNK] @ centres.T
        found.append(
            np.argpartition(score, number - 1, axis=1)[:, :number]
            if number > 1
            else score.argmin(axis=1)[:, None]
        )
    return np.concatenate(found)


def _searched(lists: _Lists, asked: np.ndarray, n_probed: int, n_found: int) -> np.ndarray:
    """Numbers of the points nearest to those ``asked``, by threads; shape (n_asked, n_found).

    All lists are gone through where the nearest ones hold too few.
    """
    chunks = [asked[start : start + CHUNK] for start in range(0, len(asked), CHUNK)]
    with ThreadPoolExecutor(count_workers(len(asked))) as pool:
        found = np.concatenate(
            list(pool.map(lambda chunk: _search_chunk(lists, chunk, n_probed, n_found), chunks))
        )
    short = np.flatnonzero((found < 0).any(axis=1))
    if len(short) and n_probed < len(lists.members):
        found[short] = _searched(lists, asked[short], len(lists.members), n_found)
    return found


def _search_chunk(lists: _Lists, asked: np.ndarray, n_probed: int, n_found: int) -> np.ndarray:
    """Go through the lists that any of the points ``asked`` probes."""
    probed = _closest(asked, lists.centres, min(n_probed, len(lists.members)))
    probing = np.argsort(probed.ravel(), kind="stable")
    ends = np.searchsorted(probed.ravel()[probing], np.arange(len(lists.members) + 1))
    best = np.full((len(asked), n_found), np.float32(np.inf))
    found = np.full((len(asked), n_found), -1, dtype=np.int64)
    for number, members in enumerate(lists.members):
        rows = probing[ends[number] : ends[number + 1]] // probed.shape[1]
        for start in range(0, len(members) if len(rows) else 0, PIECE):
            piece = members[start : start + PIECE]
            _keep_smallest(
                asked[rows] @ lists.points[piece].T, lists.halves[piece], piece, rows, best, found
            )
    return found


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _keep_smallest(products, halves, piece, rows, best, found):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Enter points that are nearer than the farthest kept so far; ``best`` and ``found`` stay sorted."""
    last = best.shape[1] - 1
    for i in range(len(rows)):
        row = rows[i]
        worst = best[row, last]
        for j in range(len(piece)):
            score = halves[j] - products[i, j]
            if score >= worst:
                continue
            place = last
            while place > 0 and best[row, place - 1] > score:
                best[row, place], found[row, place] = best[row, place - 1], found[row, place - 1]
                place -= 1
            best[row, place], found[row, place] = score, piece[j]
            worst = best[row, last]


def _squared_distances(points: np.ndarray, others: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Squared distance of each of the ``others`` to the points found for it, a component at a time; shape as ``found``."""
    squared = np.zeros(found.shape)
    for component, place in zip(points.T, others.T, strict=True):
        squared += (place[:, None] - component[found]) ** 2
    return squared
