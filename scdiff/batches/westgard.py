"""Westgard's rules on standard scores, for control material that is the same every time.

Source: Westgard, Barry, Hunt and Groth 1981, https://doi.org/10.1093/clinchem/27.3.493. Limits are
broken strictly: a score of exactly 2 does not break 1-2s.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scdiff.registry import Registry

__all__ = ["RULES", "WARNINGS", "find_broken"]

Array = np.ndarray

SOURCE = "https://doi.org/10.1093/clinchem/27.3.493"

RULES: Registry[Callable[[Array, Array], Array]] = Registry("Westgard rule")
"""Each takes the least and the most that every score can be; says where it becomes broken."""

WARNINGS = frozenset({"1-2s"})
"""Rules that ask for a look at the others, and do not stop the assay themselves."""


def find_broken(scores: Array, *, upper: Array | None = None) -> dict[str, Array]:
    """Apply all rules.

    Parameters
    ----------
    scores
        Standard scores in order of time; the least that each can be, ``-inf`` if not
        detected, NaN if a number is missing: these are left out, as if the run had not been.
    upper
        The most that each can be; the same where not given. A rule is broken only where every value
        in between breaks it.

    Returns
    -------
    By rule, whether it is broken at each score; shape of ``scores``.
    """
    low = np.asarray(scores, float)
    high = low if upper is None else np.asarray(upper, float)
    there = ~np.isnan(low)
    found = {}
    for name in RULES:
        found[name] = np.zeros(len(low), dtype=bool)
        found[name][there] = RULES[name].function(low[there], high[there])
    return found


def _runs_of(flags: Array, length: int) -> Array:
    """Where the last ``length`` flags all hold."""
    sums = np.concatenate([[0], np.cumsum(flags)])
    full = np.zeros(len(flags), dtype=bool)
    full[length - 1 :] = (sums[length:] - sums[:-length]) == length
    return full


@RULES.register("1-2s", summary="One value beyond 2 SD: look at the other rules.", source=SOURCE)
def one_beyond_two(low: Array, high: Array) -> Array:
    """One score beyond 2: a warning."""
    return (low > 2) | (high < -2)


@RULES.register("1-3s", summary="One value beyond 3 SD.", source=SOURCE)
def one_beyond_three(low: Array, high: Array) -> Array:
    """One score beyond 3."""
    return (low > 3) | (high < -3)


@RULES.register("2-2s", summary="Two in a row beyond 2 SD on the same side.", source=SOURCE)
def two_beyond_two(low: Array, high: Array) -> Array:
    """Two in a row beyond 2 on the same side."""
    return _runs_of(low > 2, 2) | _runs_of(high < -2, 2)


@RULES.register(
    "R-4s", summary="Two in a row, one beyond 2 SD and one beyond -2 SD.", source=SOURCE
)
def range_of_four(low: Array, high: Array) -> Array:
    """Of two in a row, one beyond 2 and the other beyond -2."""
    up, down = low > 2, high < -2
    found = np.zeros(len(low), dtype=bool)
    found[1:] = (up[1:] & down[:-1]) | (down[1:] & up[:-1])
    return found


@RULES.register("4-1s", summary="Four in a row beyond 1 SD on the same side.", source=SOURCE)
def four_beyond_one(low: Array, high: Array) -> Array:
    """Four in a row beyond 1 on the same side."""
    return _runs_of(low > 1, 4) | _runs_of(high < -1, 4)


@RULES.register("10x", summary="Ten in a row on the same side of the mean.", source=SOURCE)
def ten_on_one_side(low: Array, high: Array) -> Array:
    """Ten in a row on the same side of the mean."""
    return _runs_of(low > 0, 10) | _runs_of(high < 0, 10)
