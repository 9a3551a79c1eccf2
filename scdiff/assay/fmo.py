"""Leave one marker out: the software's twin of the fluorescence-minus-one control.

A fraction that rests on one marker changes when that marker is left out; one that all markers carry does not.
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
    """What the other markers find: fraction of positive droplets, 0-1, and number of cells called."""

    prevalence: float
    n_called: int


def leave_one_out(counts: Any, depth: Any, fit: Fit, *, rate: float = 0.05, doublet_rate: float = 0.0) -> list[LeftOut]:
    """Fit and call without each marker in turn; empty where fewer markers than ``min_markers`` would be left.

    Each fit starts from what the fit with all markers says of the others.

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
    """
    matrix, model = np.asarray(counts, dtype=float), fit.model
    if model.n_markers - 1 < model.min_markers:
        return []
    found = []
    for left_out in range(model.n_markers):
        others = [index for index in range(model.n_markers) if index != left_out]
        table, start = tabulate(matrix[:, others], depth), _without(fit, left_out)
        without = fit_mixture(table, model.without(left_out), start=start, doublet_rate=doublet_rate)
        found.append(LeftOut(without.prevalence, int(call_cells(without, rate=rate).positive.sum())))
    return found


def _without(fit: Fit, left_out: int) -> Floats:
    """Theta of the other markers: theirs, and the pattern weights summed over the one left out."""
    at, n = fit.model.layout, fit.model.n_markers
    each = np.delete(at.by_marker(fit.theta), left_out, axis=1).ravel()
    weight = softmax(fit.theta[at.patterns]).reshape((2,) * n).sum(axis=left_out).ravel()
    shared = fit.theta[at.shared.start : at.nodes.stop]
    return np.concatenate([each, shared, np.log(weight + SMALLEST_WEIGHT)])
