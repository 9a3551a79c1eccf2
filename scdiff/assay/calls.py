"""Evidence per cell and marker, probabilities, and calls at a stated false discovery rate."""

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

__all__ = [
    "Calls",
    "call_cells",
    "call_table",
    "false_discovery_cutoff",
    "marker_evidence",
    "select_positive",
]

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Calls:
    """Results for each cell.

    Parameters
    ----------
    evidence
        ln likelihood ratio, expressed against background, shape (n_cells, n_markers).
    probability
        Probability that the cell expresses at least ``min_markers`` markers, shape (n_cells,), 0-1.
    marker_probability
        Probability that the cell expresses each marker, shape (n_cells, n_markers), 0-1.
    positive
        Called cells, shape (n_cells,).
    """

    evidence: Floats
    probability: Floats
    marker_probability: Floats
    positive: Bools


def marker_evidence(parameters: Parameters, index: int, marker: MarkerTable) -> Floats:
    """Compute the ln likelihood ratio, expressed against background, of one marker.

    More counts at the same depth never lower it: it is the running maximum over the counts.

    Parameters
    ----------
    parameters
        The natural parameters.
    index
        Number of the marker.
    marker
        Its distinct pairs of count and depth.

    Returns
    -------
    One value per distinct pair, shape (n_pairs,).
    """
    grid = count_grid(float(marker.counts.max(initial=0.0)))
    depths, place = np.unique(marker.depth, return_inverse=True)
    counts, depth = np.tile(grid, len(depths)), np.repeat(depths, len(grid))
    on = logsumexp(on_log_density(parameters, index, counts, depth), b=GRID_WEIGHT, axis=1)
    off = logsumexp(
        off_log_density(parameters, index, counts, depth), b=parameters.node_weight, axis=1
    )
    ratio = (on - off).reshape(len(depths), len(grid))
    return np.asarray(
        np.maximum.accumulate(ratio, axis=1)[place, np.searchsorted(grid, marker.counts)]
    )


def false_discovery_cutoff(probability: Any, weight: Any, *, rate: float = 0.05) -> float:
    """Find the lowest probability to call for an expected share of false calls.

    Parameters
    ----------
    probability
        Probability of being positive, shape (n,), 0-1.
    weight
        Number of cells of each value, shape (n,).
    rate
        Highest expected share of false calls, between 0 and 1.

    Returns
    -------
    The cutoff; a number above 1 if no cutoff keeps the rate.

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
    """Call cells positive that are probable enough and have evidence from enough markers.

    "Probable enough" keeps the false discovery rate. A cell whose markers are probably expressed
    but have no count (dropout) is not called; the prevalence accounts for it.

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
    evidence = np.column_stack(
        [marker_evidence(parameters, index, m)[m.row] for index, m in enumerate(table.markers)]
    )
    probability = np.clip(pattern[:, model.positive].sum(axis=1), 0, 1)
    positive = select_positive(model, evidence, probability, table.weight, rate)
    marker_probability = np.column_stack(
        [np.clip(pattern[:, on].sum(axis=1), 0, 1) for on in model.patterns.T]
    )
    cell = table.cell_row
    return Calls(
        evidence[cell],
        probability[cell],
        marker_probability[cell],
        positive[cell],
    )


def select_positive(
    model: Model, evidence: Floats, probability: Floats, weight: Floats, rate: float
) -> Bools:
    """Select rows that have evidence from enough markers and are probable enough.

    Parameters
    ----------
    model
        The mixture.
    evidence
        ln likelihood ratio of each marker, shape (n_rows, n_markers).
    probability, weight
        Probability of being positive, 0-1, and number of cells of each row, shape (n_rows,).
    rate
        Expected share of false calls among the calls, between 0 and 1.
    """
    supported: Bools = (evidence > 0).sum(axis=1) >= model.min_markers
    if not supported.any():
        return supported
    cutoff = false_discovery_cutoff(probability[supported], weight[supported], rate=rate)
    return np.asarray(supported & (probability >= cutoff))
