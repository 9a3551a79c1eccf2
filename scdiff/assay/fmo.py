"""Leave one marker out: the software version of the fluorescence-minus-one control.

A fraction that depends on one marker changes when that marker is left out; a fraction that all
markers support does not.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.special import softmax

from scdiff.assay.calls import call_cells
from scdiff.assay.fit import Fit, fit_mixture
from scdiff.assay.table import Floats, tabulate

__all__ = ["LeftOut", "leave_one_out"]

SMALLEST_WEIGHT = 1e-10
"""Weight added to each pattern, so that its logarithm is finite."""


class LeftOut(NamedTuple):
    """Results without one marker.

    ``prevalence`` is the fraction of positive droplets, 0-1; ``n_called`` the number of called
    cells.
    """

    prevalence: float
    n_called: int


def leave_one_out(
    counts: Any, depth: Any, fit: Fit, *, rate: float = 0.05, doublet_rate: float = 0.0
) -> list[LeftOut]:
    """Fit and call without each marker in turn.

    Each fit starts from the parameters that the fit with all markers has for the other markers.

    Parameters
    ----------
    counts
        Marker counts, shape (n_cells, n_markers).
    depth
        All counts of each cell, shape (n_cells,).
    fit
        The fit with all markers, to the same cells.
    rate
        Expected share of false calls among the calls, between 0 and 1.
    doublet_rate
        Share of droplets with two cells, 0-0.3.

    Returns
    -------
    One result per marker; empty if fewer markers than ``min_markers`` would remain.
    """
    matrix, model = np.asarray(counts, dtype=float), fit.model
    if model.n_markers - 1 < model.min_markers:
        return []
    found = []
    for left_out in range(model.n_markers):
        others = [index for index in range(model.n_markers) if index != left_out]
        table, start = tabulate(matrix[:, others], depth), _drop_marker(fit, left_out)
        without = fit_mixture(
            table, model.without(left_out), start=start, doublet_rate=doublet_rate
        )
        found.append(
            LeftOut(without.prevalence, int(call_cells(without, rate=rate).positive.sum()))
        )
    return found


def _drop_marker(fit: Fit, left_out: int) -> Floats:
    """Return theta of the other markers; the pattern weights are summed over the marker."""
    at, n = fit.model.layout, fit.model.n_markers
    each = np.delete(at.by_marker(fit.theta), left_out, axis=1).ravel()
    weight = softmax(fit.theta[at.patterns]).reshape((2,) * n).sum(axis=left_out).ravel()
    shared = fit.theta[at.shared.start : at.nodes.stop]
    return np.concatenate([each, shared, np.log(weight + SMALLEST_WEIGHT)])
