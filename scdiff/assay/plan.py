"""How many cells must be sequenced: sensitivity and false calls at a depth, from the programme's typical levels.

Cells are drawn from the prior mean of the mixture and pass the same caller as measured ones
(:func:`scdiff.assay.limits.error_rates`); the limits follow from the two rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import norm

from scdiff.assay.fit import Fit, fit_at
from scdiff.assay.limits import FEWEST_CELLS_FOR_VERDICT, error_rates, limits_by_cells
from scdiff.assay.mixture import Model
from scdiff.assay.table import CellTable, Floats, MarkerTable, coarse_depth
from scdiff.errors import InputError

__all__ = ["Plan", "plan_cells"]

DEPTH_SPREAD = 0.4
N_DEPTHS = 21
N_REDRAWS = 2
GRID_FROM = 500.0
TYPICAL_SOUP_SHARE = 0.1
CONTAMINATION_SPREAD = 0.5
MOST_CELLS = 10_000_000
SIZES = np.unique(np.round(np.geomspace(FEWEST_CELLS_FOR_VERDICT, MOST_CELLS, 2_000))).astype(np.int64)
"""Numbers of cells that a plan chooses from, 0.6 % apart."""


@dataclass(frozen=True)
class Plan:
    """What a depth allows.

    Parameters
    ----------
    depth
        Median counts per cell.
    sensitivity, false_call_rate
        Of the call at this depth, 0-1.
    cells_to_detect, cells_to_quantify
        Fewest cells whose LOD, and whose LLOQ, is at most the fraction asked for; 0 where no number of cells is enough.
    """

    depth: float
    sensitivity: float
    false_call_rate: float
    cells_to_detect: int
    cells_to_quantify: int


def plan_cells(
    model: Model, depths: Sequence[float], *, fraction: float, contamination: float = 0.05, rate: float = 0.05, seed: int = 0
) -> list[Plan]:
    """Say for each depth how many cells a fraction needs to be detected, and to be quantified.

    Parameters
    ----------
    model
        Typical levels and the number of markers needed.
    depths
        Median counts per cell, each 1 or more.
    fraction
        Least true fraction of interest, between 0 and 1.
    contamination
        Mean share of ambient counts, 0 to below 1; a tenth of these are taken to come from cells that express the markers,
        as beside islets. A pure MSC batch has less background and needs fewer cells.
    rate
        Expected share of false calls among the calls, between 0 and 1.
    seed
        Start of the random generator.

    Raises
    ------
    InputError
        If a fraction, a depth or the contamination is out of range.
    """
    if not 0 < fraction < 1:
        raise InputError(f"the fraction to find is {fraction:g}, but it must lie between 0 and 1: 0.001 is one cell in a thousand.")
    if not 0 <= contamination < 1:
        raise InputError(f"the contamination is {contamination:g}, but it is a share of the counts: 0 to below 1.")
    if not depths or min(depths) < 1:
        raise InputError(f"the depths are {', '.join(map(str, depths)) or 'none'}, but each must be 1 count per cell or more.")
    shallower = {float(depth): _shallower(float(depth)) for depth in depths}
    levels = sorted({*shallower, *(level for below in shallower.values() for level in below)})
    at = {level: _plan(model, level, fraction, contamination, rate, seed) for level in levels}
    return [_never_worse(at[float(depth)], [at[level] for level in shallower[float(depth)]]) for depth in depths]


def _shallower(depth: float) -> list[float]:
    """List depths up to ``depth`` that deeper cells could be thinned to, half of it at least; half-octaves from 500."""
    steps = np.arange(np.ceil(2 * np.log2(depth / 2 / GRID_FROM) - 1e-9), np.floor(2 * np.log2(depth / GRID_FROM) + 1e-9) + 1)
    return [float(level) for level in GRID_FROM * 2 ** (steps / 2) if level >= 1] or [depth]


def _never_worse(plan: Plan, shallower: Sequence[Plan]) -> Plan:
    """Take the fewest cells of all depths that the cells could be thinned to: more depth never asks for more cells."""
    detect, quantify = ([n for n in (getattr(p, name) for p in shallower) if n] for name in ("cells_to_detect", "cells_to_quantify"))
    return replace(plan, cells_to_detect=min(detect, default=0), cells_to_quantify=min(quantify, default=0))


def _plan(model: Model, depth: float, fraction: float, contamination: float, rate: float, seed: int) -> Plan:
    """Plan one depth: the caller is set as for a batch that holds 20 positive cells at the fraction asked for."""
    fit = _typical_fit(model, depth, contamination, n_cells=min(round(20 / fraction), MOST_CELLS))
    rates = [error_rates(fit, rate=rate, seed=seed * N_REDRAWS + number) for number in range(N_REDRAWS)]
    false_rate, sensitivity = (float(np.mean(values)) for values in zip(*rates, strict=True))
    detection, quantification = limits_by_cells(false_rate, sensitivity, SIZES)
    return Plan(depth, sensitivity, false_rate, _fewest(detection, fraction), _fewest(quantification, fraction))


def _typical_fit(model: Model, depth: float, contamination: float, *, n_cells: int) -> Fit:
    """Fit that stands for a typical batch: prior means, log-normal depths, all ways of being positive equally common."""
    theta, at = model.prior_mean.copy(), model.layout
    centre = np.log(np.clip(contamination * TYPICAL_SOUP_SHARE, model.nodes[0], 0.1))
    theta[at.nodes] = -((np.log(model.nodes) - centre) ** 2) / 2 / CONTAMINATION_SPREAD**2
    theta[at.tilt] = 0.0
    weight = np.where(model.positive, 20 / n_cells / model.positive.sum(), 1e-6)
    weight[0] = 1.0
    theta[at.patterns] = np.log(weight)
    spread = np.exp(DEPTH_SPREAD * norm.ppf((np.arange(N_DEPTHS) + 0.5) / N_DEPTHS))
    values, shares = np.unique(coarse_depth(depth * spread), return_counts=True)
    rows = np.arange(len(values))
    marker = MarkerTable(np.zeros(len(values)), values, rows)
    table = CellTable(shares / N_DEPTHS * n_cells, np.zeros(n_cells, dtype=np.intp), (marker,) * model.n_markers, np.array(model.level))
    return fit_at(table, model, theta, evidence_of_positives=0.0)


def _fewest(limits: Floats, fraction: float) -> int:
    """Fewest cells from which on a limit, one of each of ``SIZES``, is at most ``fraction``; 0 where none are."""
    failed = np.flatnonzero(limits > fraction)[-1:]
    start = int(failed[0]) + 1 if len(failed) else 0
    return int(SIZES[start]) if start < len(SIZES) else 0
