"""Estimates of one group of cells: prevalence, interval, limits; for the step fraction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

__all__ = ["Blank", "Estimate", "add_limits", "estimate_from_fit", "estimate_from_set", "take_part"]


@dataclass(frozen=True)
class Estimate:
    """Corrected prevalence of a group of cells, with its interval, limits and doubts.

    Parameters
    ----------
    prevalence, low, high
        Fraction of positive cells with its 95 % interval, 0-1. In row ``all`` of several donors the
        interval covers differences between donors.
    lob, lod, lloq
        Limits of blank, detection and quantification, 0-1.
    evidence
        Twice the log-likelihood ratio against no positive cell, 0 or more.
    by_number
        Share of the positive cells that express exactly so many markers, 0-1.
    events
        Fraction at which 50 cells would be called, 0-1.
    cells
        95 % interval of these cells alone, without differences between donors; None if it equals
        ``low`` and ``high``.
    weak
        Upper bounds for cells that express the markers weakly, by column of the table.
    rates
        False call rate and sensitivity, 0-1.
    fit
        Fit of the group; None for gene sets and committed cells.
    reason
        Why the estimate cannot be trusted; empty if it can.
    absent
        Which markers have no row, so that the prevalence is a lower bound; empty if all have one.
    """

    prevalence: float
    low: float
    high: float
    lob: float
    lod: float
    lloq: float
    evidence: float
    by_number: Mapping[int, float]
    events: float = np.nan
    cells: tuple[float, float] | None = None
    weak: Mapping[str, float] = field(default_factory=dict)
    rates: tuple[float, float] = (0.0, 1.0)
    fit: Any = None
    reason: str = ""
    absent: str = ""

    @property
    def cv(self) -> float:
        """Coefficient of variation of the prevalence in these cells."""
        from scdiff.assay.limits import total_cv

        return total_cv(self.prevalence, *(self.cells or (self.low, self.high)))

    def judge(self, n_called: int, n_cells: int) -> str:
        """Return the verdict on a number of called cells, before any doubt is applied."""
        from scdiff.assay.limits import verdict

        return verdict(
            n_called, n_cells, blank=self.lob, evidence_of_positives=self.evidence, cv=self.cv
        )


@dataclass(frozen=True)
class Blank:
    """What sets the limit of blank of a group.

    Parameters
    ----------
    controls
        Called cells and all cells of each negative control sample.
    matched
        Limit of blank from matched gene sets, 0-1; NaN for a programme with markers.
    doublet_rate
        Share of the droplets that hold two cells, 0-1.
    """

    controls: tuple[tuple[int, int], ...]
    matched: float = np.nan
    doublet_rate: float = 0.0


def estimate_from_fit(fit: Any, n_called: int, blank: Blank, fdr: float, seed: int) -> Estimate:
    """Estimate the prevalence of cells (not of droplets) and the limits of one fit.

    Parameters
    ----------
    fit
        Fit of the mixture to the group.
    n_called
        Called cells of the group.
    blank
        What sets its limit of blank.
    fdr
        Expected share of false calls, 0-1.
    seed
        Start of the random generator that redraws counts.
    """
    from scdiff.assay.doublets import chance_positives, prevalence_of_cells
    from scdiff.assay.fit import profile_interval
    from scdiff.assay.limits import error_rates

    false_rate, sensitivity = error_rates(fit, rate=fdr, seed=seed)
    weight, patterns, positive = fit.weight, fit.model.patterns, fit.model.positive
    by_chance = chance_positives(weight, patterns, positive, blank.doublet_rate)
    value, low, high = (
        prevalence_of_cells(end, weight, patterns, positive, blank.doublet_rate)
        for end in (fit.prevalence, *profile_interval(fit))
    )
    number, total = patterns.sum(axis=1), max(float(weight[positive].sum()), 1e-300)
    by_number = {
        int(k): float(weight[positive & (number == k)].sum() / total)
        for k in np.unique(number[positive])
    }
    evidence = fit.evidence_of_positives
    rates = (false_rate + by_chance * sensitivity, sensitivity)
    estimate = Estimate(value, low, high, 0.0, 1.0, 1.0, evidence, by_number, rates=rates, fit=fit)
    return add_limits(estimate, n_called, fit.table.n_cells, blank)


def estimate_from_set(called: np.ndarray, lob: float, fdr: float) -> Estimate:
    """Estimate the prevalence of a gene set: called cells minus the expected false calls.

    Cells that express the set too weakly to be called are not counted.

    Parameters
    ----------
    called
        Whether each cell of the group is called, shape (n_cells,).
    lob
        Limit of blank from matched gene sets, 0-1.
    fdr
        Expected share of false calls, 0-1.
    """
    from scdiff.assay.intervals import clopper_pearson

    n_cells, n_called = len(called), int(called.sum())
    low, high = clopper_pearson(n_called, n_cells)
    share = n_called / max(n_cells, 1)
    estimate = Estimate((1 - fdr) * share, (1 - fdr) * low, high, lob, 1.0, 1.0, np.inf, {})
    return add_limits(estimate, n_called, n_cells, Blank((), lob))


def add_limits(estimate: Estimate, n_called: int, n_cells: int, blank: Blank) -> Estimate:
    """Add the limits that follow from error rates, blanks and the width of the interval."""
    from scdiff.assay.limits import (
        detection_limit,
        events_limit,
        limit_of_blank,
        quantification_limit,
        variance_excess,
    )

    false_rate, sensitivity = estimate.rates
    lob = limit_of_blank(false_rate, n_cells, blank.controls, blank.matched)
    lod = detection_limit(sensitivity, n_cells, lob)
    excess = variance_excess(n_called, n_cells, estimate.cv)
    lloq = quantification_limit(sensitivity, n_cells, lod, excess=excess)
    events = max(events_limit(sensitivity, n_cells), lod)
    return replace(estimate, lob=lob, lod=lod, lloq=lloq, events=events)


def take_part(estimate: Estimate, share: float, n_called: int) -> Estimate:
    """Estimate a part of the positive cells.

    The interval adds the uncertainty of the share among the called cells.

    Parameters
    ----------
    estimate
        Estimate of all positive cells.
    share
        Share of the positive cells that belongs to the part, 0-1.
    n_called
        Called cells of the group.
    """
    from scdiff.assay.intervals import clopper_pearson

    low, high = clopper_pearson(round(share * n_called), n_called)
    cells = (estimate.cells[0] * low, estimate.cells[1] * high) if estimate.cells else None
    return replace(
        estimate,
        prevalence=estimate.prevalence * share,
        low=estimate.low * low,
        high=estimate.high * high,
        cells=cells,
        weak={},
    )
