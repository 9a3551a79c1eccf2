"""Null marker sets: genes as abundant as the markers, drawn at random.

All genes are split into two halves, alike in abundance and dispersion. The sets of one half calibrate, those of the other
half check: no gene is on both sides, so the check is about genes that the calibration has never seen.
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
SMALLEST_POOL = 200
ALIKE_POOL = 80
NEAR_FOLD = 1.5
BLOCK = 16

Genes = NDArray[np.int64]


@dataclass(frozen=True)
class MatchedSets:
    """Null marker sets.

    Parameters
    ----------
    genes
        Gene (column of the matrix) that stands for each marker, shape (n_sets, n_markers); the first half calibrates.
    n_calibration
        Sets in the first half.
    fold
        By how much the farthest gene of each marker's pools differs from it in abundance, shape (n_markers,), 1 or more.
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
    """Draw null sets of the programme's size from the genes nearest to each marker in abundance, and in dispersion where it is given.

    Each marker has a pool in each half: the genes within a factor of 1.5, at least 200 and at most 500 of them. The genes
    of a pool are used equally often. Neither the order of the genes nor that of the cells matters.

    Parameters
    ----------
    totals
        Counts of each gene over the batch, shape (n_genes,), 0 or more.
    squares
        Sum of squared counts of each gene, or of a growing function of them, shape (n_genes,): it ranks genes that are
        alike in abundance by their dispersion.
    names
        Unique gene names, shape (n_genes,); they alone give the order.
    wanted
        Counts of each marker over the batch, shape (n_markers,), 0 or more.
    wanted_squares
        As ``squares``, of each marker, shape (n_markers,): of each pool the 80 genes nearest in dispersion are then used. A few counts
        in few cells give higher sums than as many counts in many cells.
    excluded
        Genes (columns) that enter no pool: all those of the programme.
    n_sets
        Sets to draw, 2 or more.
    seed
        Start of the random generator.

    Raises
    ------
    InputError
        If fewer genes are left than two sets need.

    >>> drawn = draw_sets([5] * 5, [5] * 5, list("abcde"), [5], excluded=[0], n_sets=4)
    >>> sorted(drawn.genes.ravel().tolist()), drawn.fold.tolist()
    ([1, 2, 3, 4], [1.0])
    """
    abundance, goals = np.log(np.asarray(totals, dtype=float) + 0.5), np.log(np.asarray(wanted, dtype=float) + 0.5)
    generator = np.random.default_rng(seed)
    halves = _halves(abundance, np.asarray(squares, dtype=float), names, excluded, generator)
    if len(halves[0]) < len(goals):
        raise InputError(
            f"{len(abundance)} genes are too few for null marker sets: two sets of {len(goals)} genes that are not of the "
            "programme cannot be drawn. Give a matrix with more genes, or set null_sets to 0."
        )
    pools = [[_nearest(half, abundance[half], goal, len(goals)) for goal in goals] for half in halves]
    if wanted_squares is not None:
        dispersion = np.log(np.asarray(squares, dtype=float) + 1.0) - 2 * abundance
        aims = np.log(np.asarray(wanted_squares, dtype=float) + 1.0) - 2 * goals
        pools = [[_like(pool, dispersion, aim, len(goals)) for pool, aim in zip(half, aims, strict=True)] for half in pools]
    fold = [max(np.abs(abundance[half[column]] - goal).max() for half in pools) for column, goal in enumerate(goals)]
    first = n_sets // 2
    drawn = [_draw(pool, size, generator) for pool, size in zip(pools, (first, n_sets - first), strict=True)]
    return MatchedSets(np.concatenate(drawn), first, np.exp(fold))


def _halves(abundance: Floats, squares: Floats, names: Any, excluded: Any, generator: np.random.Generator) -> tuple[Genes, Genes]:
    """Split the genes: of each two that are alike in abundance and dispersion, one by chance goes to each half.

    Blocks of 16 neighbours in abundance are sorted by dispersion and cut into pairs; genes that tie are shuffled.
    """
    shuffled = np.argsort(np.asarray(names, dtype=str), kind="stable")[generator.permutation(len(abundance))]
    left = shuffled[~np.isin(shuffled, np.asarray(excluded, dtype=np.int64))]
    ranked = left[np.argsort(abundance[left], kind="stable")][len(left) % 2 :]
    block = np.arange(len(ranked))[::-1] // BLOCK
    pairs = ranked[np.lexsort((np.log(squares[ranked] + 1.0) - 2 * abundance[ranked], -block))].reshape(-1, 2)
    side, rows = generator.integers(0, 2, len(pairs)), np.arange(len(pairs))
    return pairs[rows, side], pairs[rows, 1 - side]


def _nearest(half: Genes, abundance: Floats, goal: float, n_markers: int) -> Genes:
    """Pick the genes of ``half`` that are nearest to ``goal``, enough to fill a set without a repeat."""
    distance = np.abs(abundance - goal)
    near = int(np.clip((distance <= np.log(NEAR_FOLD)).sum(), max(SMALLEST_POOL, n_markers), max(LARGEST_POOL, n_markers)))
    return half[np.argsort(distance, kind="stable")[:near]]


def _like(pool: Genes, dispersion: Floats, aim: float, n_markers: int) -> Genes:
    """Keep the genes of a pool that are nearest in dispersion."""
    near = np.argsort(np.abs(dispersion[pool] - aim), kind="stable")
    return pool[near[: max(ALIKE_POOL, n_markers)]]


def _draw(pools: list[Genes], n_sets: int, generator: np.random.Generator) -> Genes:
    """Draw sets with one gene per pool, none twice in a set; each pool is gone through in a random order again and again."""
    sets = np.full((n_sets, len(pools)), -1, dtype=np.int64)
    for column, pool in enumerate(pools):
        rounds = max(1, -(-n_sets // len(pool)))
        sets[:, column] = np.concatenate([generator.permutation(pool) for _ in range(rounds)])[:n_sets]
        for row in np.flatnonzero((sets[:, :column] == sets[:, [column]]).any(axis=1)):
            sets[row, column] = generator.choice(pool[~np.isin(pool, sets[row, :column])])
    return sets
