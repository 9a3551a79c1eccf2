"""Null marker sets: random genes that are as abundant as the markers.

All genes are split into two halves with the same abundance and dispersion. The sets of one half
calibrate, those of the other half check. No gene is on both sides, so the check uses genes that the
calibration has not seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scdiff.assay.table import Floats
from scdiff.errors import InputError

__all__ = ["Genes", "MatchedSets", "draw_sets"]

LARGEST_POOL = 500
"""Most genes of a pool. Chosen, not tuned."""
SMALLEST_POOL = 200
"""Fewest genes of a pool, also if some of them are not near. Chosen, not tuned."""
SIMILAR_POOL = 80
"""Genes of a pool that are kept if dispersion matters too: the nearest in dispersion. Chosen, not
tuned."""
NEAR_FOLD = 1.5
"""Ratio of abundance within which a gene is near a marker."""
BLOCK = 16
"""Neighbours in abundance among which genes are paired by dispersion."""

Genes = NDArray[np.int64]


@dataclass(frozen=True)
class MatchedSets:
    """Null marker sets.

    Parameters
    ----------
    genes
        Gene (column of the matrix) in the place of each marker, shape (n_sets, n_markers); the
        first half calibrates.
    n_calibration
        Number of sets in the first half.
    fold
        Largest ratio between the abundance of a gene in the marker's pools and that of the marker,
        shape (n_markers,), 1 or more.
    """

    genes: Genes
    n_calibration: int
    fold: Floats


def draw_sets(
    totals: Any,
    squares: Any,
    names: Any,
    wanted: Any,
    *,
    wanted_squares: Any = None,
    excluded: Any = (),
    n_sets: int = 1_000,
    seed: int = 0,
) -> MatchedSets:
    """Draw null sets of the programme's size from the genes nearest to each marker.

    Genes are near by abundance and, if it is given, by dispersion. Each marker has a pool in each
    half: the genes within a factor of 1.5, at least 200 and at most 500 of them. The genes of a
    pool are used equally often. The order of the genes and that of the cells do not matter.

    Parameters
    ----------
    totals
        Counts of each gene over the batch, shape (n_genes,), 0 or more.
    squares
        Sum of squared counts of each gene, or of a growing function of them, shape (n_genes,): it
        ranks genes of similar abundance by their dispersion.
    names
        Unique gene names, shape (n_genes,). Only they determine the order.
    wanted
        Counts of each marker over the batch, shape (n_markers,), 0 or more.
    wanted_squares
        As ``squares``, of each marker, shape (n_markers,): of each pool only the 80 genes nearest
        in dispersion are then used. High counts in few cells give higher sums than low counts in
        many cells.
    excluded
        Genes (columns) that enter no pool: all those of the programme.
    n_sets
        Sets to draw, 2 or more.
    seed
        Seed of the random generator.

    Raises
    ------
    InputError
        If fewer genes are left than two sets need.

    >>> drawn = draw_sets([5] * 5, [5] * 5, list("abcde"), [5], excluded=[0], n_sets=4)
    >>> sorted(drawn.genes.ravel().tolist()), drawn.fold.tolist()
    ([1, 2, 3, 4], [1.0])
    """
    abundance, goals = (
        np.log(np.asarray(totals, dtype=float) + 0.5),
        np.log(np.asarray(wanted, dtype=float) + 0.5),
    )
    generator = np.random.default_rng(seed)
    halves = _split_genes(abundance, np.asarray(squares, dtype=float), names, excluded, generator)
    if len(halves[0]) < len(goals):
        raise InputError(
            f"{len(abundance)} genes are too few for null marker sets: two sets of {len(goals)} "
            "genes that do not belong to the programme cannot be drawn. Give a matrix with more "
            "genes, or set null_sets to 0."
        )
    pools = [
        [_pick_nearest(half, abundance[half], goal, len(goals)) for goal in goals]
        for half in halves
    ]
    if wanted_squares is not None:
        dispersion = np.log(np.asarray(squares, dtype=float) + 1.0) - 2 * abundance
        aims = np.log(np.asarray(wanted_squares, dtype=float) + 1.0) - 2 * goals
        pools = [
            [
                _keep_similar(pool, dispersion, aim, len(goals))
                for pool, aim in zip(half, aims, strict=True)
            ]
            for half in pools
        ]
    fold = [
        max(np.abs(abundance[half[column]] - goal).max() for half in pools)
        for column, goal in enumerate(goals)
    ]
    first = n_sets // 2
    drawn = [
        _draw_half(pool, size, generator)
        for pool, size in zip(pools, (first, n_sets - first), strict=True)
    ]
    return MatchedSets(np.concatenate(drawn), first, np.exp(fold))


def _split_genes(
    abundance: Floats, squares: Floats, names: Any, excluded: Any, generator: np.random.Generator
) -> tuple[Genes, Genes]:
    """Split the genes: of each pair with similar abundance and dispersion, one goes to each half.

    Blocks of 16 neighbours in abundance are sorted by dispersion and cut into pairs; genes with
    equal values are shuffled.
    """
    shuffled = np.argsort(np.asarray(names, dtype=str), kind="stable")[
        generator.permutation(len(abundance))
    ]
    left = shuffled[~np.isin(shuffled, np.asarray(excluded, dtype=np.int64))]
    ranked = left[np.argsort(abundance[left], kind="stable")][len(left) % 2 :]
    block = np.arange(len(ranked))[::-1] // BLOCK
    pairs = ranked[
        np.lexsort((np.log(squares[ranked] + 1.0) - 2 * abundance[ranked], -block))
    ].reshape(-1, 2)
    side, rows = generator.integers(0, 2, len(pairs)), np.arange(len(pairs))
    return pairs[rows, side], pairs[rows, 1 - side]


def _pick_nearest(half: Genes, abundance: Floats, goal: float, n_markers: int) -> Genes:
    """Pick the genes of ``half`` nearest to ``goal``, enough for a set without a repeat."""
    distance = np.abs(abundance - goal)
    near = int(
        np.clip(
            (distance <= np.log(NEAR_FOLD)).sum(),
            max(SMALLEST_POOL, n_markers),
            max(LARGEST_POOL, n_markers),
        )
    )
    return half[np.argsort(distance, kind="stable")[:near]]


def _keep_similar(pool: Genes, dispersion: Floats, aim: float, n_markers: int) -> Genes:
    """Keep the genes of a pool that are nearest in dispersion."""
    near = np.argsort(np.abs(dispersion[pool] - aim), kind="stable")
    return pool[near[: max(SIMILAR_POOL, n_markers)]]


def _draw_half(pools: list[Genes], n_sets: int, generator: np.random.Generator) -> Genes:
    """Draw sets with one gene per pool, each gene at most once in a set.

    The genes of each pool are used in random order, again and again.
    """
    sets = np.full((n_sets, len(pools)), -1, dtype=np.int64)
    for column, pool in enumerate(pools):
        rounds = max(1, -(-n_sets // len(pool)))
        sets[:, column] = np.concatenate([generator.permutation(pool) for _ in range(rounds)])[
            :n_sets
        ]
        for row in np.flatnonzero((sets[:, :column] == sets[:, [column]]).any(axis=1)):
            sets[row, column] = generator.choice(pool[~np.isin(pool, sets[row, :column])])
    return sets
