"""Assign each cell a state of a programme."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from scdiff.programs import Program, StateRule
from scdiff.steps.call.markers import Result
from scdiff.steps.shared.markers import MarkerCounts

__all__ = ["assign_states", "list_states"]

UNSURE = 0.05
"""Probability of being positive above which a cell that is not called is ``unassigned``.

Chosen, not tuned.
"""
HIGH_SHARE = 0.5
"""Share of the level of a marker from which a cell is ``high`` in it. Chosen, not tuned."""


def assign_states(
    read: MarkerCounts,
    program: Program,
    result: Result,
    levels: Mapping[str, float],
    *,
    measurable: bool,
) -> np.ndarray:
    """Return the state of each cell, shape (n_cells,).

    A cell takes the first rule that it meets. It is ``unassigned`` if it is not called but may be
    positive, and in a programme that cannot be measured.
    """
    rate = read.of(program.markers) / np.maximum(read.depth, 1)[:, None] * 1e4
    high = {
        marker.name: rate[:, index] >= HIGH_SHARE * levels[marker.name] * 1e4
        for index, marker in enumerate(program.markers)
    }
    on = {
        name: ((result.on[name] > 0.5) & (result.evidence[name] > 0)).to_numpy()
        for name in result.on.columns
    }
    unsure = np.ones(len(rate), dtype=bool)
    if measurable:
        unsure = (result.probability > UNSURE) & ~result.positive
    otherwise = np.where(unsure, "unassigned", "negative")
    state = np.where(result.positive, program.positive, otherwise).astype(object)
    for rule in reversed(program.states):
        group = result.positive if rule.within else ~result.positive & ~unsure
        state[group & _check_rule(rule, on, high)] = rule.name
    return state


def _check_rule(
    rule: StateRule, on: dict[str, np.ndarray], high: dict[str, np.ndarray]
) -> np.ndarray:
    """Return which cells meet the marker conditions of a rule, shape (n_cells,)."""
    meets = np.ones(len(next(iter(on.values()))), dtype=bool)
    for name in rule.on:
        meets &= on[name]
    for name in rule.high:
        meets &= high[name]
    return meets & np.any([on[name] for name in rule.any], axis=0) if rule.any else meets


def list_states(program: Program) -> list[str]:
    """List all states that a cell of the programme can have, each once.

    Those of the rules come first.
    """
    rules = [rule.name for rule in program.states]
    return list(dict.fromkeys([*rules, program.positive, "unassigned", "negative"]))
