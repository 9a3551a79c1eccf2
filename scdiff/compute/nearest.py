"""Find nearest neighbours: from all pairs of few points, otherwise from the nearest of many lists.

The search is compiled once and cached. The approximate searches of libraries compile again in every
process, take longer for the same recall, or return other neighbours on another number of threads
(``make bench-neighbours``).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from scdiff.compiled import compile_loop
from scdiff.compute.arrays import limit_blas_threads
from scdiff.compute.blocks import count_workers

__all__ = ["nearest", "nearest_of"]

EXACT_UP_TO = 30_000
"""Number of points up to which all pairs are compared. Chosen, not tuned."""

N_PROBED = 50
"""Number of lists searched for each point: recall 0.985 at 100,000 cells, against 0.970 with 40
lists (``tests/benchmarks/README.md``)."""

N_PROBED_BY_OTHERS = 10
"""Number of lists searched by :func:`nearest_of`. Chosen, not tuned."""

ROUNDS = 5
"""Rounds of k-means for the centres of the lists. Chosen, not tuned."""

POINTS_PER_LIST = 64
"""Number of points per list that k-means samples. Chosen, not tuned."""

CHUNK = 8_192
"""Number of points that one thread searches at once; it bounds the memory. Chosen, not tuned."""

PIECE = 2_048
"""Number of points of a list that are compared at once; it bounds the memory. Chosen, not tuned."""

SPARE = 2
"""Number of additional neighbours that the search in single precision returns. Their order is then
found in double precision. Chosen, not tuned."""


@dataclass(frozen=True)
class _Lists:
    """Points in lists around centres.

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
    """Find the ``n_others`` nearest other points of every point, nearest first.

    Points at the same distance are in the order of their numbers. The result is exact up to 30,000
    points. Above, each point is compared with the points of the 50 lists (k-means) nearest to it.

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
        lists = _make_lists(points.astype(np.float32))
        found = _search(lists, lists.points, N_PROBED, n_found)
    squared = _squared_distances(points, points, found)
    squared[found == np.arange(len(points))[:, None]] = np.inf
    order = np.lexsort((found, squared))[:, :n_others]
    distances = np.sqrt(np.take_along_axis(squared, order, axis=1))
    return np.take_along_axis(found, order, axis=1), distances


def nearest_of(points: np.ndarray, others: np.ndarray, number: int) -> np.ndarray:
    """Find the ``number`` points nearest to each of the ``others``, nearest first.

    Shape (n_others, number).
    """
    with limit_blas_threads():
        lists = _make_lists(points.astype(np.float32))
        found = _search(lists, others.astype(np.float32), N_PROBED_BY_OTHERS, number)
    order = np.lexsort((found, _squared_distances(points, others, found)))
    return np.take_along_axis(found, order, axis=1)


def _make_lists(points: np.ndarray) -> _Lists:
    """Assign the points to lists by k-means on a sample; few points are all in one list."""
    n_lists = 1 if len(points) <= EXACT_UP_TO else int(np.sqrt(len(points)))
    generator = np.random.default_rng(0)
    n_sampled = min(len(points), POINTS_PER_LIST * n_lists)
    some = points[np.sort(generator.choice(len(points), n_sampled, replace=False))]
    centres = some[np.sort(generator.choice(len(some), n_lists, replace=False))]
    for _ in range(ROUNDS if n_lists > 1 else 0):
        own = _find_closest_lists(some, centres, 1)[:, 0]
        size = np.bincount(own, minlength=n_lists)[:, None]
        sums = np.column_stack(
            [np.bincount(own, weights=component, minlength=n_lists) for component in some.T]
        )
        centres = np.where(size > 0, sums / np.maximum(size, 1), centres).astype(np.float32)
    own = _find_closest_lists(points, centres, 1)[:, 0]
    order = np.argsort(own, kind="stable")
    members = np.split(order, np.searchsorted(own[order], np.arange(1, n_lists)))
    return _Lists(points, (points**2).sum(axis=1) / 2, centres, members)


def _find_closest_lists(points: np.ndarray, centres: np.ndarray, number: int) -> np.ndarray:
    """Find the ``number`` lists with the nearest centres, shape (n_points, number)."""
    halves, found = (centres**2).sum(axis=1) / 2, []
    for start in range(0, len(points), CHUNK):
        score = halves - points[start : start + CHUNK] @ centres.T
        found.append(
            np.argpartition(score, number - 1, axis=1)[:, :number]
            if number > 1
            else score.argmin(axis=1)[:, None]
        )
    return np.concatenate(found)


def _search(lists: _Lists, queries: np.ndarray, n_probed: int, n_found: int) -> np.ndarray:
    """Find the numbers of the points nearest to the ``queries``, with threads.

    Shape (n_queries, n_found). All lists are searched for a query whose nearest lists have too few
    points.
    """
    chunks = [queries[start : start + CHUNK] for start in range(0, len(queries), CHUNK)]
    with ThreadPoolExecutor(count_workers(len(queries))) as pool:
        found = np.concatenate(
            list(pool.map(lambda chunk: _search_chunk(lists, chunk, n_probed, n_found), chunks))
        )
    short = np.flatnonzero((found < 0).any(axis=1))
    if len(short) and n_probed < len(lists.members):
        found[short] = _search(lists, queries[short], len(lists.members), n_found)
    return found


def _search_chunk(lists: _Lists, queries: np.ndarray, n_probed: int, n_found: int) -> np.ndarray:
    """Search each list once, for all ``queries`` that probe it."""
    probed = _find_closest_lists(queries, lists.centres, min(n_probed, len(lists.members)))
    probing = np.argsort(probed.ravel(), kind="stable")
    ends = np.searchsorted(probed.ravel()[probing], np.arange(len(lists.members) + 1))
    best = np.full((len(queries), n_found), np.float32(np.inf))
    found = np.full((len(queries), n_found), -1, dtype=np.int64)
    for number, members in enumerate(lists.members):
        rows = probing[ends[number] : ends[number + 1]] // probed.shape[1]
        for start in range(0, len(members) if len(rows) else 0, PIECE):
            piece = members[start : start + PIECE]
            _keep_smallest(
                queries[rows] @ lists.points[piece].T, lists.halves[piece], piece, rows, best, found
            )
    return found


@compile_loop("(f4[:, ::1], f4[::1], i8[::1], i8[::1], f4[:, ::1], i8[:, ::1])")
def _keep_smallest(products, halves, piece, rows, best, found):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Insert the points that are nearer than the farthest of the nearest points so far.

    ``best`` and ``found`` are changed in place and stay sorted.
    """
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
    """Return the squared distances of each of the ``others`` to the points in ``found``.

    The sum runs over one component at a time. Same shape as ``found``.
    """
    squared = np.zeros(found.shape)
    for component, place in zip(points.T, others.T, strict=True):
        squared += (place[:, None] - component[found]) ** 2
    return squared
