"""Evidence per cell and marker, probabilities, and hard calls at a stated false discovery rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from scdiff.assay.densities import GRID_WEIGHT, Parameters, off_log_density, on_log_density
from scdiff.assay.fit import Fit
from scdiff.assay.mixture import Model
from scdiff.assay.table import CellTable, Floats, MarkerTable, count_grid

__all__ = ["Calls", "call_cells", "call_table", "false_discovery_cutoff", "marker_evidence"]

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Calls:
    """What is said of each cell.

    Parameters
    ----------
    evidence
        ln likelihood ratio on : off, shape (n_cells, n_markers).
    probability
        Probability that at least ``min_markers`` markers are on, shape (n_cells,), 0-1.
    marker_probability
        Probability that each marker is on, shape (n_cells, n_markers), 0-1.
    positive
        Hard calls, shape (n_cells,).
    """

    evidence: Floats
    probability: Floats
    marker_probability: Floats
    positive: Bools


def marker_evidence(parameters: Parameters, index: int, marker: MarkerTable) -> Floats:
    """Natural-log likelihood ratio, expressed against background, for each distinct pair of one marker.

    More counts at the same depth never lower it: it is the running maximum over the counts.

    Returns
    -------
    Shape (n_pairs,).
    """
    grid = count_grid(float(marker.counts.max(initial=0.0)))
    depths, place = np.unique(marker.depth, return_inverse=True)
    counts, depth = np.tile(grid, len(depths)), np.repeat(depths, len(grid))
    on = logsumexp(on_log_density(parameters, index, counts, depth), b=GRID_WEIGHT, axis=1)
    off = logsumexp(off_log_density(parameters, index, counts, depth), b=parameters.node_weight, axis=1)
    ratio = (on - off).reshape(len(depths), len(grid))
    return np.asarray(np.maximum.accumulate(ratio, axis=1)[place, np.searchsorted(grid, marker.counts)])


def false_discovery_cutoff(probability: Any, weight: Any, *, rate: float = 0.05) -> float:
    """Lowest probability to call so that the expected share of false calls is at most ``rate``; above 1 if there is none.

    Parameters
    ----------
    probability
        Probability of being positive, shape (n,), 0-1.
    weight
        Cells that each value stands for, shape (n,).

    >>> false_discovery_cutoff([0.99, 0.95, 0.6], [1, 1, 1], rate=0.05)
    0.95
    """
    values, place = np.unique(-np.asarray(probability, dtype=float), return_inverse=True)
    cells = np.bincount(place.ravel(), weights=np.asarray(weight, dtype=float))
    expected = np.cumsum(cells * (1 + values)) / np.cumsum(cells)
    allowed = np.flatnonzero(expected <= rate)
    return float(-values[allowed[-1]]) if len(allowed) else 1.1


def call_cells(fit: Fit, *, rate: float = 0.05) -> Calls:
    """Call the cells of a fit; see :func:`call_table`."""
    return call_table(fit.model, fit.theta, fit.table, rate=rate)


def call_table(model: Model, theta: Floats, table: CellTable, *, rate: float = 0.05) -> Calls:
    """Call cells positive: probable enough for the false discovery rate, and with evidence from enough markers.

    A cell whose markers are probably on but unseen (dropout) is not called; the prevalence accounts for it.

    Parameters
    ----------
    model, theta
        The mixture and its parameters, shape (n_theta,).
    table
        The cells.
    rate
        Expected share of false calls among the calls, between 0 and 1.
    """
    parameters, pattern = model.parameters(theta), model.evaluate(theta, table).pattern
    evidence = np.column_stack([marker_evidence(parameters, index, m)[m.row] for index, m in enumerate(table.markers)])
    probability = np.clip(pattern[:, model.positive].sum(axis=1), 0, 1)
    supported = (evidence > 0).sum(axis=1) >= model.min_markers
    cutoff = false_discovery_cutoff(probability[supported], table.weight[supported], rate=rate) if supported.any() else 1.1
    marker_probability = np.column_stack([np.clip(pattern[:, on].sum(axis=1), 0, 1) for on in model.patterns.T])
    cell = table.cell_row
    return Calls(evidence[cell], probability[cell], marker_probability[cell], (supported & (probability >= cutoff))[cell])
