"""States at the limits of each rule: just below, and at or above."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from scdiff.programs import load_program
from scdiff.steps.call.markers import Result
from scdiff.steps.call.states import assign_states

PROGRAM = load_program("pancreatic_progenitor")
NAMES = [marker.name for marker in PROGRAM.markers]
LEVELS = dict.fromkeys(NAMES, 0.01)  # 100 counts in a cell of 10,000


def states_of(probability, positive, counts, on) -> list[str]:
    """States of cells with 10,000 counts each, from marker counts and probabilities of expression."""
    cells = np.asarray(positive, dtype=bool)
    read = SimpleNamespace(of=lambda _: np.asarray(counts, float), depth=np.full(len(cells), 1e4))
    result = Result(
        pd.DataFrame(np.where(np.asarray(on) > 0.5, 5.0, -5.0), columns=NAMES),
        pd.DataFrame(np.asarray(on, float), columns=NAMES),
        np.asarray(probability, float),
        cells,
    )
    return list(assign_states(read, PROGRAM, result, LEVELS, measurable=True))


@pytest.mark.parametrize(
    ("probability", "state"),
    [(0.049, "negative"), (0.05, "negative"), (0.051, "unassigned"), (0.5, "unassigned")],
)
def test_a_cell_is_unassigned_above_five_percent(probability: float, state: str) -> None:
    none = np.zeros((1, len(NAMES)))
    assert states_of([probability], [False], none, none) == [state]


def test_a_marker_is_high_from_half_of_its_level() -> None:
    rule = next(rule for rule in PROGRAM.states if rule.high and rule.within)
    on = np.array([[float(name in {*rule.on, *rule.high, *rule.any}) for name in NAMES]] * 2)
    counts = np.zeros((2, len(NAMES)))
    for name in rule.high:
        counts[:, NAMES.index(name)] = [49, 50]  # of 100
    below, at = states_of([1.0, 1.0], [True, True], counts, on)
    assert (below != rule.name, at) == (True, rule.name)
