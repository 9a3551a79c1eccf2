"""Apply the Westgard rules to standard scores of control material.

Source: Westgard, Barry, Hunt and Groth 1981, https://doi.org/10.1093/clinchem/27.3.493. A score
must exceed its limit: a score of exactly 2 does not violate 1-2s.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scdiff.registry import Registry

__all__ = ["RULES", "WARNINGS", "find_broken"]

Array = np.ndarray

SOURCE = "https://doi.org/10.1093/clinchem/27.3.493"

RULES: Registry[Callable[[Array, Array], Array]] = Registry("Westgard rule")
"""Rules: each takes a lower and an upper bound of every score, and flags the violations."""

WARNINGS = frozenset({"1-2s"})
"""Warning rules: the other rules must be checked, but the run is not rejected."""


def find_broken(scores: Array, *, upper: Array | None = None) -> dict[str, Array]:
    """Apply all rules.

    Parameters
    ----------
    scores
        Standard scores in order of time, or their lower bounds: ``-inf`` if not detected. NaN: the
        number is missing, and the run is left out.
    upper
        Upper bounds of the scores; by default the scores. A rule is violated only if every value
        between the bounds violates it.

    Returns
    -------
    For each rule a flag per score, shape of ``scores``.
    """
    low = np.asarray(scores, float)
    high = low if upper is None else np.asarray(upper, float)
    there = ~np.isnan(low)
    found = {}
    for name in RULES:
        found[name] = np.zeros(len(low), dtype=bool)
        found[name][there] = RULES[name].function(low[there], high[there])
    return found


def _flag_runs(flags: Array, length: int) -> Array:
    """Flag the points at which the last ``length`` flags are all true."""
    sums = np.concatenate([[0], np.cumsum(flags)])
    full = np.zeros(len(flags), dtype=bool)
    full[length - 1 :] = (sums[length:] - sums[:-length]) == length
    return full


@RULES.register("1-2s", summary="One value beyond 2 SD: check the other rules.", source=SOURCE)
def one_beyond_two(low: Array, high: Array) -> Array:
    """Flag a score beyond 2 SD, a warning."""
    return (low > 2) | (high < -2)


@RULES.register("1-3s", summary="One value beyond 3 SD.", source=SOURCE)
def one_beyond_three(low: Array, high: Array) -> Array:
    """Flag a score beyond 3 SD."""
    return (low > 3) | (high < -3)


@RULES.register("2-2s", summary="Two in a row beyond 2 SD on the same side.", source=SOURCE)
def two_beyond_two(low: Array, high: Array) -> Array:
    """Flag two scores in a row beyond 2 SD on the same side."""
    return _flag_runs(low > 2, 2) | _flag_runs(high < -2, 2)


@RULES.register(
    "R-4s", summary="Two in a row, one beyond 2 SD and one beyond -2 SD.", source=SOURCE
)
def range_of_four(low: Array, high: Array) -> Array:
    """Flag two scores in a row, one beyond 2 SD and the other beyond -2 SD."""
    up, down = low > 2, high < -2
    found = np.zeros(len(low), dtype=bool)
    found[1:] = (up[1:] & down[:-1]) | (down[1:] & up[:-1])
    return found


@RULES.register("4-1s", summary="Four in a row beyond 1 SD on the same side.", source=SOURCE)
def four_beyond_one(low: Array, high: Array) -> Array:
    """Flag four scores in a row beyond 1 SD on the same side."""
    return _flag_runs(low > 1, 4) | _flag_runs(high < -1, 4)


@RULES.register("10x", summary="Ten in a row on the same side of the mean.", source=SOURCE)
def ten_on_one_side(low: Array, high: Array) -> Array:
    """Flag ten scores in a row on the same side of the mean."""
    return _flag_runs(low > 0, 10) | _flag_runs(high < 0, 10)
