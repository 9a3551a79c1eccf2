"""How many cells must be sequenced: sensitivity and false calls at a depth, from typical levels.

Cells are drawn from the prior mean of the mixture and pass the same caller as measured cells
(:func:`scdiff.assay.limits.error_rates`). The limits follow from the two rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import norm

from scdiff.assay.fit import Fit, fit_at
from scdiff.assay.limits import (
    FEWEST_CELLS_FOR_VERDICT,
    REFERENCE_EVENTS,
    error_rates,
    limits_by_cells,
)
from scdiff.assay.mixture import Model
from scdiff.assay.table import CellTable, Floats, MarkerTable, coarse_depth
from scdiff.errors import InputError

__all__ = ["Plan", "plan_cells"]

DEPTH_SPREAD = 0.4
"""Standard deviation of ln depth between the cells of a typical batch. Chosen, not tuned."""
N_DEPTHS = 21
"""Quantiles of depth that represent the cells."""
N_REDRAWS = 2
"""Independent redraws whose error rates are averaged."""
GRID_FROM = 500.0
"""Lowest depth of the grid of depths, counts per cell; the grid has half-octave steps."""
TYPICAL_SOUP_SHARE = 0.1
"""Share of the ambient counts that comes from cells that express the markers."""
CONTAMINATION_SPREAD = 0.5
"""Standard deviation of ln contamination between the cells. Chosen, not tuned."""
MOST_CELLS = 10_000_000
"""Most cells that are planned."""
SIZES = np.unique(np.round(np.geomspace(FEWEST_CELLS_FOR_VERDICT, MOST_CELLS, 2_000))).astype(
    np.int64
)
"""Numbers of cells that a plan chooses from, 0.6 % apart."""


@dataclass(frozen=True)
class Plan:
    """Limits at one depth.

    Parameters
    ----------
    depth
        Median counts per cell.
    sensitivity, false_call_rate
        Error rates of the call at this depth, 0-1.
    cells_to_detect, cells_to_quantify
        Fewest cells whose LOD, and whose LLOQ, is at most the fraction of interest; 0 if no number
        of cells is enough.
    """

    depth: float
    sensitivity: float
    false_call_rate: float
    cells_to_detect: int
    cells_to_quantify: int


def plan_cells(
    model: Model,
    depths: Sequence[float],
    *,
    fraction: float,
    contamination: float = 0.05,
    rate: float = 0.05,
    seed: int = 0,
) -> list[Plan]:
    """Compute for each depth how many cells detect, and quantify, a fraction.

    Parameters
    ----------
    model
        Typical levels and the number of markers needed.
    depths
        Median counts per cell, each 1 or more.
    fraction
        Least true fraction of interest, between 0 and 1.
    contamination
        Mean share of ambient counts, 0 to below 1. A tenth of these is assumed to come from cells
        that express the markers, as near islets. A pure MSC batch has less background and needs
        fewer cells.
    rate
        Expected share of false calls among the calls, between 0 and 1.
    seed
        Seed of the random generator.

    Raises
    ------
    InputError
        If a fraction, a depth or the contamination is out of range.
    """
    if not 0 < fraction < 1:
        raise InputError(
            f"the fraction to find is {fraction:g}, but it must lie between 0 and 1: 0.001 is one "
            "cell in a thousand."
        )
    if not 0 <= contamination < 1:
        raise InputError(
            f"the contamination is {contamination:g}, but it is a share of the counts: 0 to below "
            "1."
        )
    if not depths or min(depths) < 1:
        given = ", ".join(map(str, depths)) or "missing"
        raise InputError(f"the depths are {given}, but each must be 1 count per cell or more.")
    shallower = {float(depth): _list_shallower(float(depth)) for depth in depths}
    levels = sorted({*shallower, *(level for below in shallower.values() for level in below)})
    at = {level: _plan(model, level, fraction, contamination, rate, seed) for level in levels}
    return [
        _take_best(at[float(depth)], [at[level] for level in shallower[float(depth)]])
        for depth in depths
    ]


def _list_shallower(depth: float) -> list[float]:
    """List depths up to ``depth`` to which deeper cells can be thinned: half of it or more.

    The depths are half-octaves from 500.
    """
    first = np.ceil(2 * np.log2(depth / 2 / GRID_FROM) - 1e-9)
    last = np.floor(2 * np.log2(depth / GRID_FROM) + 1e-9)
    steps = np.arange(first, last + 1)
    return [float(level) for level in GRID_FROM * 2 ** (steps / 2) if level >= 1] or [depth]


def _take_best(plan: Plan, shallower: Sequence[Plan]) -> Plan:
    """Take the fewest cells of all depths to which the cells can be thinned.

    More depth therefore never needs more cells.
    """
    detect = min((p.cells_to_detect for p in shallower if p.cells_to_detect), default=0)
    quantify = min((p.cells_to_quantify for p in shallower if p.cells_to_quantify), default=0)
    return replace(plan, cells_to_detect=detect, cells_to_quantify=quantify)


def _plan(
    model: Model, depth: float, fraction: float, contamination: float, rate: float, seed: int
) -> Plan:
    """Plan one depth.

    The caller is set as for a batch with 20 positive cells at the fraction of interest.
    """
    n_cells = min(round(REFERENCE_EVENTS / fraction), MOST_CELLS)
    fit = _typical_fit(model, depth, contamination, n_cells=n_cells)
    seeds = range(seed * N_REDRAWS, (seed + 1) * N_REDRAWS)
    rates = [error_rates(fit, rate=rate, seed=number) for number in seeds]
    false_rate, sensitivity = (float(np.mean(values)) for values in zip(*rates, strict=True))
    detection, quantification = limits_by_cells(false_rate, sensitivity, SIZES)
    return Plan(
        depth,
        sensitivity,
        false_rate,
        _find_fewest(detection, fraction),
        _find_fewest(quantification, fraction),
    )


def _typical_fit(model: Model, depth: float, contamination: float, *, n_cells: int) -> Fit:
    """Build the fit of a typical batch.

    It has prior means, log-normal depths, and equal weights of all positive patterns.
    """
    theta, at = model.prior_mean.copy(), model.layout
    centre = np.log(np.clip(contamination * TYPICAL_SOUP_SHARE, model.nodes[0], 0.1))
    theta[at.nodes] = -((np.log(model.nodes) - centre) ** 2) / 2 / CONTAMINATION_SPREAD**2
    theta[at.tilt] = 0.0
    weight = np.where(model.positive, REFERENCE_EVENTS / n_cells / model.positive.sum(), 1e-6)
    weight[0] = 1.0
    theta[at.patterns] = np.log(weight)
    spread = np.exp(DEPTH_SPREAD * norm.ppf((np.arange(N_DEPTHS) + 0.5) / N_DEPTHS))
    values, shares = np.unique(coarse_depth(depth * spread), return_counts=True)
    rows = np.arange(len(values))
    marker = MarkerTable(np.zeros(len(values)), values, rows)
    table = CellTable(
        shares / N_DEPTHS * n_cells,
        np.zeros(n_cells, dtype=np.intp),
        (marker,) * model.n_markers,
        np.array(model.level),
    )
    return fit_at(table, model, theta, evidence_of_positives=0.0)


def _find_fewest(limits: Floats, fraction: float) -> int:
    """Find the fewest cells from which a limit stays at or below ``fraction``; 0 if there are none.

    ``limits`` has one limit per number of cells in ``SIZES``.
    """
    failed = np.flatnonzero(limits > fraction)[-1:]
    start = int(failed[0]) + 1 if len(failed) else 0
    return int(SIZES[start]) if start < len(SIZES) else 0
