"""Doubts about an estimate: why it cannot be trusted, and when it is only a bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from scdiff.steps.fraction.estimate import Estimate
from scdiff.vocabulary import NOT_DETECTED

__all__ = [
    "WEAK_LEVELS",
    "add_weak_bounds",
    "criticise_estimate",
    "join_reasons",
    "mark_lower_bound",
]

WEAK_LEVELS = {"high_at_third": 1 / 3, "high_at_tenth": 1 / 10}
"""Levels of weak expression, as a share of the typical level, by column of the table.

A tenth is the weakest level that the assay allows for (tests/benchmarks/README.md, contamination).
"""

LEAST_DOUBT = 0.01
"""Share of cells in doubted samples, 0-1, that makes row ``all`` doubtful. Chosen, not tuned."""

MOST_NAMED = 3
"""Number of doubted samples that a reason names, so that the sentence stays short."""


def criticise_estimate(estimate: Estimate, n_called: int) -> Estimate:
    """Add the reason why the estimate of a fit cannot be trusted, if there is one."""
    from scdiff.assay.criticism import Case, criticise
    from scdiff.assay.limits import typical_sensitivity

    fit, n_cells = estimate.fit, estimate.fit.table.n_cells
    # the sensitivity matters only if far fewer cells are called than the prevalence predicts
    few = fit.model.witness is not None and n_called < estimate.prevalence * n_cells / 2
    case = Case(
        fit,
        n_called,
        estimate.prevalence,
        estimate.low,
        estimate.high,
        typical_sensitivity(fit) if few else 1.0,
        estimate.lob,
        estimate.judge(n_called, n_cells),
    )
    reasons = [finding.reason for finding in criticise(case).values() if not finding.passed]
    return replace(estimate, reason=reasons[0] if reasons else "")


def add_weak_bounds(estimate: Estimate, n_called: int) -> Estimate:
    """Add upper bounds for cells that express the markers weakly, if nothing was detected."""
    from scdiff.assay.fit import upper_bound_at

    fit = estimate.fit
    if fit is None or estimate.judge(n_called, fit.table.n_cells) != NOT_DETECTED:
        return estimate
    bounds = {
        name: max(upper_bound_at(fit, level), estimate.high) for name, level in WEAK_LEVELS.items()
    }
    return replace(estimate, weak=bounds)


def mark_lower_bound(estimate: Estimate, absent: Sequence[str]) -> Estimate:
    """Set the upper end to 1: cells that are positive by a marker without a row are not counted."""
    verb, which = ("has", "this marker") if len(absent) == 1 else ("have", "these markers")
    reason = (
        f"{' and '.join(absent)} {verb} no row in this matrix: cells that are positive by {which} "
        "are not counted, so this is a lower bound"
    )
    cells = estimate.cells and (estimate.cells[0], 1.0)
    return replace(estimate, high=1.0, cells=cells, absent=reason)


def join_reasons(parts: Mapping[str, Estimate], size: np.ndarray, width: float) -> str:
    """Name the samples that cannot be trusted; empty if they cannot move the mean.

    Parameters
    ----------
    parts
        Estimate of each sample.
    size
        Cells of each sample, shape (n_samples,).
    width
        Width of the interval of the mean, 0-1.
    """
    doubted = {name: part.reason for name, part in parts.items() if part.reason}
    n_doubted = sum(cells for name, cells in zip(parts, size, strict=True) if name in doubted)
    if not doubted or n_doubted / size.sum() < min(LEAST_DOUBT, width):
        return ""
    others = " and others" if len(doubted) > MOST_NAMED else ""
    names = ", ".join(list(doubted)[:MOST_NAMED]) + others
    plural = "s" if len(doubted) > 1 else ""
    return f"sample{plural} {names}: {next(iter(doubted.values()))}"
