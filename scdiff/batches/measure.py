"""Measure one batch with the core of the assay, from marker counts and depths.

The result is what a run would report for one sample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from scdiff.assay.mixture import Model
from scdiff.programs import Program

__all__ = ["Measured", "Measurer", "measure_counts", "model_of"]


@dataclass(frozen=True)
class Measured:
    """The result of the assay for one batch.

    Parameters
    ----------
    n_cells, n_called
        Number of cells, and of called cells.
    prevalence, low, high
        Fraction with its 95 % interval, 0-1.
    lob, lod, lloq
        Limits of blank, detection and quantification of this batch, 0-1.
    verdict
        As in ``fractions.csv``.
    """

    n_cells: int
    n_called: int
    prevalence: float
    low: float
    high: float
    lob: float
    lod: float
    lloq: float
    verdict: str

    def row(self) -> dict[str, Any]:
        """Return the result as a row of a table."""
        return asdict(self)


Measurer = Callable[[Any, Any, Model, float], Measured]
"""Takes marker counts (n_cells, n_markers), depths (n_cells,), model and doublet rate."""


def model_of(program: Program) -> Model:
    """Return the model of a programme: typical levels of its markers, and number of markers."""
    return Model(
        tuple((marker.level_cp10k or 1.0) / 1e4 for marker in program.core), program.min_markers
    )


def measure_counts(
    counts: Any, depth: Any, model: Model, doublet_rate: float = 0.0, *, fdr: float = 0.05
) -> Measured:
    """Measure one sample as the steps ``call`` and ``fraction`` do: calls, limits, verdict.

    A run also uses the other genes, to find the source of the contamination. This is not done here.

    Parameters
    ----------
    counts
        Counts of the markers, shape (n_cells, n_markers).
    depth
        All counts of each cell, shape (n_cells,).
    model
        Typical levels of the markers, and the required number of expressed markers.
    doublet_rate
        Share of droplets with two cells, 0-0.3.
    fdr
        Expected share of false calls among the calls, between 0 and 1.
    """
    from scdiff.assay.calls import call_cells
    from scdiff.assay.doublets import chance_positives, prevalence_of_cells
    from scdiff.assay.fit import fit_mixture, profile_interval
    from scdiff.assay.limits import (
        detection_limit,
        error_rates,
        limit_of_blank,
        quantification_limit,
        total_cv,
        variance_excess,
    )
    from scdiff.assay.table import tabulate

    fit = fit_mixture(tabulate(counts, depth), model, doublet_rate=doublet_rate)
    called = int(call_cells(fit, rate=fdr).positive.sum())
    patterns = fit.weight, fit.model.patterns, fit.model.positive, doublet_rate
    value, low, high = (
        prevalence_of_cells(end, *patterns) for end in (fit.prevalence, *profile_interval(fit))
    )
    false_rate, sensitivity = error_rates(fit, rate=fdr)
    n_cells, cv = len(depth), total_cv(value, low, high)
    lob = limit_of_blank(false_rate + chance_positives(*patterns) * sensitivity, n_cells)
    lod = detection_limit(sensitivity, n_cells, lob)
    lloq = quantification_limit(
        sensitivity, n_cells, lod, excess=variance_excess(called, n_cells, cv)
    )
    made = Measured(n_cells, called, value, low, high, lob, lod, lloq, "")
    return _add_verdict(made, fit, cv)


def _add_verdict(made: Measured, fit: Any, cv: float) -> Measured:
    """Add the verdict of the calls; it is ``inconclusive`` if a check of the fit fails."""
    from dataclasses import replace

    from scdiff.assay.criticism import Case, criticise
    from scdiff.assay.limits import verdict
    from scdiff.vocabulary import INCONCLUSIVE, NOT_MEASURABLE

    stated = verdict(
        made.n_called,
        made.n_cells,
        blank=made.lob,
        evidence_of_positives=fit.evidence_of_positives,
        cv=cv,
    )
    case = Case(fit, made.n_called, made.prevalence, made.low, made.high, 1.0, made.lob, stated)
    doubted = stated != NOT_MEASURABLE and any(
        not finding.passed for finding in criticise(case).values()
    )
    return replace(made, verdict=INCONCLUSIVE if doubted else stated)
