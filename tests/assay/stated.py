"""What the assay states from a fit."""

from __future__ import annotations

from scdiff.assay.calls import call_cells
from scdiff.assay.criticism import Case
from scdiff.assay.fit import profile_interval
from scdiff.assay.limits import error_rates, limit_of_blank, verdict


def case_of(fit):
    """What is said from a fit, as the pipeline says it."""
    low, high = profile_interval(fit)
    false_rate, sensitivity = error_rates(fit)
    blank = limit_of_blank(false_rate, fit.table.n_cells)
    n_called = int(call_cells(fit).positive.sum())
    evidence = fit.evidence_of_positives
    said = verdict(n_called, fit.table.n_cells, blank=blank, evidence_of_positives=evidence)
    return Case(fit, n_called, fit.prevalence, low, high, sensitivity, blank, said)
