"""Rows of the table of fractions: programmes, sub-states, numbers of markers, committed cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff import keys
from scdiff.programs import Program, StateRule
from scdiff.record import read_record
from scdiff.steps.fraction.doubts import WEAK_LEVELS
from scdiff.steps.fraction.estimate import Estimate, take_part
from scdiff.vocabulary import (
    DETECTED,
    INCONCLUSIVE,
    NOT_DETECTED,
    NOT_MEASURABLE,
    QUANTIFIED,
    SEPARATE,
)

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["COLUMNS", "main_rows", "program_rows"]

COLUMNS = (
    "program", "state", "sample", "n_cells", "n_called", "fraction", "fraction_low",
    "fraction_high", "prevalence", "prevalence_low", "prevalence_high", "lob", "lod", "lloq",
    "verdict", "reason", "prevalence_low_cells", "prevalence_high_cells", "lloq_events",
    "high_at_third", "high_at_tenth",
)  # fmt: skip
"""Columns of the table, an interface.

``prevalence_low_cells`` and ``prevalence_high_cells`` are the interval of these cells alone (that
of the donors is in ``prevalence_low`` and ``prevalence_high``). ``lloq_events`` is the fraction at
which 50 cells would be called. If nothing is detected, ``high_at_third`` and ``high_at_tenth`` are
the upper bounds for cells that express the markers at a third and at a tenth of their typical
levels.
"""

LIMITS = ("lob", "lod", "lloq", "lloq_events")
COMMITTED = "committed"
NUMBERS = ("no", "single", "double", "triple", "quadruple")

DIGITS = 13
"""Decimals of a share: later ones depend on the order of the cells."""
LEAST_SEEN = 1.0
"""Number of called cells (sum of posteriors) that a pattern of markers needs to count.

The share of a state within a pattern of less than one cell is noise. Chosen, not tuned.
"""

Row = dict[str, Any]
Groups = Mapping[str, np.ndarray]
Estimates = Mapping[str, Estimate]


def program_rows(
    adata: AnnData, program: Program, groups: Groups, estimates: Estimates
) -> list[Row]:
    """Return the rows of the positive state of a programme, one per group."""
    called = adata.obsm[keys.POSITIVE.name][program.name].to_numpy(dtype=bool)
    return [
        _row(program, program.positive, name, called[cells], estimates.get(name))
        for name, cells in groups.items()
    ]


def main_rows(adata: AnnData, program: Program, groups: Groups, estimates: Estimates) -> list[Row]:
    """Return the further rows of the main programme: sub-states, committed, marker numbers."""
    called = adata.obsm[keys.POSITIVE.name][program.name].to_numpy(dtype=bool)
    state = adata.obs[keys.STATE.name].astype(str).to_numpy()
    rows = [
        _state_row(
            program, rule, name, state[cells] == rule.name, called[cells], estimates.get(name)
        )
        for rule in program.states
        for name, cells in groups.items()
    ]
    rows += _list_committed_rows(adata, program, list(groups))
    evidence = np.column_stack(
        [adata.obsm[keys.EVIDENCE.name][f"{program.name}:{marker.name}"] for marker in program.core]
    )
    n_expressed = np.where(called, (evidence > 0).sum(axis=1), 0)
    numbers = range(program.min_markers, len(program.core) + 1)
    return rows + [
        _number_row(program, number, name, n_expressed[cells], called[cells], estimates.get(name))
        for number in (numbers if len(numbers) > 1 else ())
        for name, cells in groups.items()
    ]


def _row(
    program: Program, state: str, sample: str, called: np.ndarray, estimate: Estimate | None
) -> Row:
    """Return one row of the table; NaN if the programme is not measurable."""
    from scdiff.assay.intervals import clopper_pearson

    n_cells, n_called = len(called), int(called.sum())
    row: Row = {"program": program.name, "state": state, "sample": sample}
    row |= {"n_cells": n_cells, "n_called": n_called}
    if estimate is None:
        return dict.fromkeys(COLUMNS, np.nan) | row | {"verdict": NOT_MEASURABLE, "reason": ""}
    low, high = clopper_pearson(n_called, n_cells)
    verdict = _judge(estimate, n_called, n_cells)
    cells_low, cells_high = estimate.cells or (estimate.low, estimate.high)
    found = verdict != NOT_DETECTED  # an interval above 0 would contradict the verdict
    return row | {
        "fraction": n_called / n_cells,
        "fraction_low": low,
        "fraction_high": high,
        "prevalence": estimate.prevalence,
        "prevalence_low": estimate.low if found else 0.0,
        "prevalence_high": estimate.high,
        "lob": estimate.lob,
        "lod": estimate.lod,
        "lloq": estimate.lloq,
        "verdict": verdict,
        "reason": estimate.reason or estimate.absent,
        "lloq_events": estimate.events,
        **dict.fromkeys(WEAK_LEVELS, np.nan),
        **({} if found else estimate.weak),
        "prevalence_low_cells": cells_low if found else 0.0,
        "prevalence_high_cells": cells_high,
    }


def _judge(estimate: Estimate, n_called: int, n_cells: int) -> str:
    """Return the verdict after doubts.

    A lower bound allows no verdict if nothing was found, and it is never a quantity.
    """
    verdict = estimate.judge(n_called, n_cells)
    if estimate.reason:
        return verdict if verdict == NOT_MEASURABLE else INCONCLUSIVE
    if estimate.absent:
        weaker: dict[str, str] = {NOT_DETECTED: NOT_MEASURABLE, QUANTIFIED: DETECTED}
        return weaker.get(verdict, verdict)
    return verdict


def _state_row(
    program: Program,
    rule: StateRule,
    sample: str,
    in_state: np.ndarray,
    called: np.ndarray,
    estimate: Estimate | None,
) -> Row:
    """Return the row of a sub-state: a share of the prevalence, or the count of other states."""
    from scdiff.assay.intervals import clopper_pearson

    if estimate is None:
        return _row(program, rule.name, sample, in_state, None)
    if rule.within:
        share = _share_of_positives(estimate.fit, in_state, called)
        part = take_part(estimate, share, int(called.sum()))
        return _row(program, rule.name, sample, in_state, part)
    n_state, n_cells = int(in_state.sum()), len(called)
    low, high = clopper_pearson(n_state, n_cells)
    counted = replace(
        estimate,
        prevalence=n_state / max(n_cells, 1),
        low=low,
        high=high,
        cells=None,
        weak={},
        lob=0.0,
        evidence=np.inf,
    )
    return _row(program, rule.name, sample, in_state, counted) | dict.fromkeys(LIMITS, np.nan)


def _share_of_positives(fit: Any, in_state: np.ndarray, called: np.ndarray) -> float:
    """Estimate the share of the positive cells that are in a state, 0-1.

    Cells that express few markers are called less often than those that express all. So the called
    cells give the share within each pattern of markers, and the fit gives how common each pattern
    is among the positive cells.
    """
    if not called.any():
        return 0.0
    of_cell = fit.pattern[fit.table.cell_row[called]][:, fit.model.positive]
    seen, in_it = of_cell.sum(axis=0), in_state[called] @ of_cell
    weight = np.where(seen >= LEAST_SEEN, fit.weight[fit.model.positive], 0.0)
    if weight.sum() <= 0:
        return float(in_state.sum() / called.sum())
    share = float(weight @ (in_it / np.maximum(seen, LEAST_SEEN)) / weight.sum())
    return round(share, DIGITS)


def _list_committed_rows(adata: AnnData, program: Program, groups: list[str]) -> list[Row]:
    """Return rows of the cells that left the start; empty if the trajectory did not run.

    Not measurable if the positive cells are a separate population, or if other samples than those
    of the positive cells hold the start.
    """
    found = read_record(adata, "trajectory")
    if "committed" not in found:
        return []
    on_the_way = found["verdict"] != SEPARATE and found.get("together", True)
    rows = []
    for name, cells in found["committed"].loc[groups].iterrows():
        share, low, high = (float(cells[column]) for column in ("committed", "low", "high"))
        known = bool(on_the_way and np.isfinite(share))
        beyond = np.arange(int(cells["n_cells"])) < (int(cells["n_beyond"]) if known else 0)
        evidence = np.inf if low > 0 else 0.0
        estimate = Estimate(share, low, high, 0.0, np.nan, np.nan, evidence, {}) if known else None
        row = _row(program, COMMITTED, str(name), beyond, estimate)
        rows.append(row | dict.fromkeys(LIMITS, np.nan))
    return rows


def _number_row(
    program: Program,
    number: int,
    sample: str,
    n_expressed: np.ndarray,
    called: np.ndarray,
    estimate: Estimate | None,
) -> Row:
    """Return the row of the positive cells that express exactly ``number`` markers.

    The fraction counts called cells; the prevalence is the share of the fitted patterns.
    """
    state = f"{NUMBERS[number] if number < len(NUMBERS) else number}_positive"
    part = None
    if estimate:
        part = take_part(estimate, estimate.by_number.get(number, 0.0), int(called.sum()))
    return _row(program, state, sample, n_expressed == number, part)
