"""Leave one marker out: the software's twin of the fluorescence-minus-one control.

A fraction that rests on one marker changes when that marker is left out; one that all markers carry does not.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from scdiff.assay.calls import call_cells
from scdiff.assay.fit import fit_mixture
from scdiff.assay.mixture import Model
from scdiff.assay.table import tabulate

__all__ = ["LeftOut", "leave_one_out"]


class LeftOut(NamedTuple):
    """What the other markers find: fraction of positive droplets, 0-1, and number of cells called."""

    prevalence: float
    n_called: int


def leave_one_out(counts: Any, depth: Any, model: Model, *, rate: float = 0.05, doublet_rate: float = 0.0) -> list[LeftOut]:
    """Fit and call without each marker in turn; empty where fewer markers than ``min_markers`` would be left.

    Parameters
    ----------
    counts
        Marker counts, shape (n_cells, n_markers).
    depth
        All counts of each cell, shape (n_cells,).
    model
        Typical levels and the number of markers needed.
    rate
        Expected share of false calls among the calls, between 0 and 1.
    doublet_rate
        Share of droplets with two cells, 0-0.3.
    """
    matrix = np.asarray(counts, dtype=float)
    if model.n_markers - 1 < model.min_markers:
        return []
    found = []
    for left_out in range(model.n_markers):
        others = [index for index in range(model.n_markers) if index != left_out]
        smaller = Model(tuple(model.level[index] for index in others), model.min_markers)
        fit = fit_mixture(tabulate(matrix[:, others], depth), smaller, doublet_rate=doublet_rate)
        found.append(LeftOut(fit.prevalence, int(call_cells(fit, rate=rate).positive.sum())))
    return found
