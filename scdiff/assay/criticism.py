"""Criticise a fit: look for reasons not to believe its prevalence.

Each check is one function that looks at one side of the fit and returns a :class:`Finding`: a
value, its limit, and what would decide if the value exceeds the limit. A fit that fails a check
gets the verdict ``inconclusive``. To add a check, add one function with ``@CHECKS.register(name)``.
The limits are in :mod:`scdiff.assay.priors`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import poisson

from scdiff.assay.densities import GRID_WEIGHT, off_log_density, on_log_density
from scdiff.assay.fit import Fit
from scdiff.assay.priors import (
    APART,
    AT_BOUND,
    CONTESTED,
    DECISIVE,
    GREY,
    LONE_LEVEL,
    LOW_LEVEL,
    N_DEPTHS,
    NEARLY_ALL,
    NO_DOUBT,
    RELEVANT_DIFFERENCE,
    TOP_NODE,
    UNCALLED,
    UNCALLED_TYPICAL,
    UNPREDICTED,
    WORTH_A_REACH,
    ZEROS_MODEL_ERROR,
    ZEROS_OFF,
)
from scdiff.assay.table import Floats
from scdiff.registry import Registry
from scdiff.vocabulary import FOUND, NOT_DETECTED

__all__ = ["CHECKS", "Case", "Finding", "criticise", "joint_zeros"]


class Case(NamedTuple):
    """A fit and the results that follow from it.

    ``n_called`` cells, ``prevalence`` with its interval (``low``, ``high``), ``blank`` (the limit
    of blank) and ``verdict``; ``sensitivity`` (0-1) is that for cells that express the markers at
    their typical levels in a clean background.
    """

    fit: Fit
    n_called: int
    prevalence: float
    low: float
    high: float
    sensitivity: float
    blank: float
    verdict: str


@dataclass(frozen=True)
class Finding:
    """Result of a check.

    Parameters
    ----------
    value, limit
        The value and its highest allowed value.
    reason
        Why the prevalence cannot be believed if the value exceeds the limit, and what would decide;
        without a full stop.
    """

    value: float
    limit: float
    reason: str

    @property
    def passed(self) -> bool:
        """Whether the fit passes the check."""
        return not self.value > self.limit


Check = Callable[[Case], Finding]
CHECKS: Registry[Check] = Registry("check")


def criticise(case: Case) -> dict[str, Finding]:
    """Run all checks.

    Parameters
    ----------
    case
        The fit and the results that follow from it.

    Returns
    -------
    One finding per name of a check.
    """
    return {card.name: card.function(case) for card in CHECKS.cards()}


@CHECKS.register(
    "calls", summary="Positive cells that can be called one by one.", source="field convention"
)
def check_calls(case: Case) -> Finding:
    """Check whether enough of the positive cells can be called one by one.

    Parameters
    ----------
    case
        The fit and the results that follow from it.
    """
    share = UNCALLED
    if case.fit.model.witness is not None:
        share = max(UNCALLED, UNCALLED_TYPICAL * case.sensitivity)
    expected = share * case.prevalence * case.fit.table.n_cells
    matters = case.low > RELEVANT_DIFFERENCE / 2
    short = float(poisson.sf(case.n_called, expected)) if matters else 0.0
    reason = (
        f"the fit finds {case.low:.1%} or more positive cells, but only {case.n_called} can be "
        "called: the number rests on the shape of a distribution; more depth would decide"
    )
    return Finding(short, UNPREDICTED, reason)


@CHECKS.register("contradiction", summary="Interval next to the calls.", source="field convention")
def check_contradiction(case: Case) -> Finding:
    """Check whether the interval finds positive cells although the calls find none.

    Parameters
    ----------
    case
        The fit and the results that follow from it.
    """
    above = case.low - max(case.blank, RELEVANT_DIFFERENCE) if case.verdict == NOT_DETECTED else 0.0
    reason = (
        f"too few cells are called, but the fit finds {case.low:.1%} or more: "
        "more depth, or the unfiltered matrix, would decide"
    )
    return Finding(above, 0.0, reason)


@CHECKS.register(
    "contested", summary="Prevalence that rests on contested cells.", source="field convention"
)
def check_contested(case: Case) -> Finding:
    """Check whether the prevalence depends on cells with a contested marker.

    Their most abundant marker may be contamination.

    Parameters
    ----------
    case
        The fit and the results that follow from it.
    """
    fit, witness, found = case.fit, case.fit.model.witness, case.verdict in FOUND
    if witness is None or (case.prevalence < RELEVANT_DIFFERENCE / 2 and not found):
        return Finding(0.0, CONTESTED, "")
    marker = fit.table.markers[witness]
    low = (marker.counts / marker.depth)[marker.row] < max(GREY, fit.model.reach) * fit.model.level[
        witness
    ]
    positive, without = fit.model.positive, ~fit.model.patterns[:, witness]
    off = fit.pattern[:, without].sum(axis=1)
    if_off = fit.pattern[:, positive & without].sum(axis=1) / np.maximum(off, NO_DOUBT)
    alone = np.all(
        [(m.counts == 0)[m.row] for g, m in enumerate(fit.table.markers) if g != witness], axis=0
    )
    is_positive = fit.pattern[:, positive].sum(axis=1)
    rests = np.where(off > NO_DOUBT, is_positive - if_off, is_positive * alone)
    mass = float((fit.table.weight * low) @ np.maximum(rests, 0.0)) / fit.table.n_cells
    if mass < RELEVANT_DIFFERENCE and not found:
        return Finding(0.0, CONTESTED, "")
    reason = (
        f"{mass:.1%} of the cells would be positive by a marker as low as contamination "
        "could put it; the unfiltered matrix would decide"
    )
    return Finding(mass / case.prevalence, CONTESTED, reason)


@CHECKS.register(
    "rival", summary="Another reading that describes the counts as well.", source="field convention"
)
def check_rival(case: Case) -> Finding:
    """Check whether a rival fit describes the counts nearly as well and states something else.

    Parameters
    ----------
    case
        The fit and the results that follow from it.
    """
    gap, other = case.fit.rival
    apart = abs(other - case.fit.prevalence)
    differs = apart > max(RELEVANT_DIFFERENCE, APART * max(other, case.fit.prevalence))
    reason = (
        "contamination that reaches farther, or less far, describes the counts as well, with "
        f"{other:.1%} positive cells; the unfiltered matrix would decide"
    )
    return Finding(WORTH_A_REACH - gap if differs else 0.0, 0.0, reason)


@CHECKS.register("bounds", summary="Level of the most abundant marker.", source="field convention")
def check_bounds(case: Case) -> Finding:
    """Check whether the level of the most abundant marker ended at its bound.

    Parameters
    ----------
    case
        The fit and the results that follow from it.
    """
    fit, model, witness = case.fit, case.fit.model, case.fit.model.witness
    level, lowest = (theta[model.layout.level] for theta in (fit.theta, model.bounds[0]))
    at_bound = witness is not None and level[witness] <= lowest[witness] + AT_BOUND
    others = np.delete(model.patterns, witness or 0, axis=1).sum(axis=1)
    needs = model.positive & (others < model.min_markers)
    uses = float(fit.weight[needs].sum()) if at_bound else 0.0
    reason = (
        "the level of the most abundant marker in the positive cells cannot be told from "
        "contamination; the unfiltered matrix would decide"
    )
    return Finding(uses / max(case.prevalence, RELEVANT_DIFFERENCE / DECISIVE), DECISIVE, reason)


@CHECKS.register(
    "levels",
    summary="Levels of the markers in positive cells, relative to the typical levels.",
    source="field convention",
)
def check_levels(case: Case) -> Finding:
    """Check whether debris of positive cells would explain the levels of the markers as well.

    Parameters
    ----------
    case
        The fit and the results that follow from it.
    """
    fit, positive = case.fit, case.fit.model.positive
    if fit.model.witness is None or case.prevalence < RELEVANT_DIFFERENCE / 2:
        return Finding(0.0, 1.0, "")
    share = fit.weight[positive] @ fit.model.patterns[positive]
    relative = np.log(fit.parameters.level / np.array(fit.model.level))
    level = float(np.exp(share @ np.minimum(relative, 0.0) / share.sum()))
    lone = case.prevalence > NEARLY_ALL and share[fit.model.witness] < case.prevalence / 2
    reason = (
        f"the positive cells would express the markers at {level:.0%} of the typical level, as "
        "cells do that hold debris of positive ones; the unfiltered matrix would decide"
    )
    return Finding((LONE_LEVEL if lone else LOW_LEVEL) / level, 1.0, reason)


@CHECKS.register(
    "background",
    summary="Cells whose background is at the highest that is allowed.",
    source="field convention",
)
def check_background(case: Case) -> Finding:
    """Check whether the background of many cells is as high as the model allows.

    If an abundant marker shows the contamination, this check passes: other checks look at that
    marker.

    Parameters
    ----------
    case
        The fit and the results that follow from it.
    """
    share = float(case.fit.parameters.node_weight[-1]) * (1 - case.prevalence)
    relevant = max(case.high - case.low, case.prevalence) > RELEVANT_DIFFERENCE
    matters = case.fit.model.witness is None and relevant
    reason = (
        f"the background of {share:.0%} of the cells is as high as contamination can be: "
        "expression is graded, or every cell expresses a little; markers with more contrast would "
        "decide"
    )
    return Finding(share if matters else 0.0, TOP_NODE, reason)


@CHECKS.register(
    "joint zeros", summary="Markers observed together, by depth.", source="field convention"
)
def check_joint_zeros(case: Case) -> Finding:
    """Compare the cells that show each group of markers with the prediction of the fit, by depth.

    Parameters
    ----------
    case
        The fit and the results that follow from it.
    """
    observed, expected = joint_zeros(case.fit)
    error = np.sqrt(np.maximum(expected, 1.0) + (ZEROS_MODEL_ERROR * expected) ** 2)
    worst = float(np.abs((observed - expected) / error).max())
    reason = (
        "the markers are seen together in other numbers of cells than any mixture of expression "
        "and contamination predicts; a sample or a cluster of another kind may be to blame"
    )
    return Finding(worst, ZEROS_OFF, reason)


def joint_zeros(fit: Fit, n_depths: int = N_DEPTHS) -> tuple[Floats, Floats]:
    """Count the cells by the markers that they show, in bins of depth.

    The counts are those observed, and those expected by the fit.

    Parameters
    ----------
    fit
        The fitted mixture.
    n_depths
        Number of depth bins with about equal numbers of cells.

    Returns
    -------
    Observed and expected numbers of cells, each of shape (n_depths, 2 ** n_markers), in the order
    of the patterns.
    """
    table, patterns = fit.table, fit.model.patterns
    depth, row = np.unique(table.depth, return_inverse=True)
    cells = np.bincount(row, weights=table.weight)
    bins = np.minimum((np.cumsum(cells) - cells / 2) / cells.sum() * n_depths, n_depths - 1).astype(
        int
    )
    shown = np.column_stack([(marker.counts > 0)[marker.row] for marker in table.markers])
    code = shown @ (1 << np.arange(shown.shape[1])[::-1])
    observed = np.zeros((n_depths, len(patterns)))
    np.add.at(observed, (bins[row], code), table.weight)
    expected = np.zeros_like(observed)
    np.add.at(expected, bins, _predict_shown(fit, depth, row) * cells[:, None])
    return observed, expected


def _predict_shown(fit: Fit, depth: Floats, row: np.ndarray) -> Floats:
    """Compute the probability that exactly some markers have a count at each depth.

    Shape (n_depths, n_patterns).
    """
    parameters, patterns = fit.parameters, fit.model.patterns
    none = np.zeros(len(depth))
    on = np.exp([on_log_density(parameters, g, none, depth) for g in range(fit.model.n_markers)])
    off = np.exp([off_log_density(parameters, g, none, depth) for g in range(fit.model.n_markers)])
    weight = fit.model.weights(fit.theta, fit.table).weight
    first = np.unique(row, return_index=True)[1]
    predicted = np.zeros((len(depth), len(patterns)))
    for at, zero in enumerate(~patterns):  # markers outside the pattern are not observed
        for p, pattern in enumerate(patterns):
            expressed = [_probability(on[g], zero[g]) for g in np.flatnonzero(pattern)]
            ambient = [_probability(off[g], zero[g]) for g in np.flatnonzero(~pattern)]
            of_on = (np.prod(expressed, axis=0) * np.ones_like(on[0])) @ GRID_WEIGHT
            of_off = (np.prod(ambient, axis=0) * np.ones_like(off[0])) @ parameters.node_weight
            predicted[:, at] += weight[first, p] * of_on * of_off
    return predicted


def _probability(none: Floats, zero: bool) -> Floats:
    """Return the probability of no count, or of at least one."""
    return none if zero else 1 - none
