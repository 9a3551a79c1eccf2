"""Counts drawn from the model itself, so that the truth is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from scipy.special import softmax

from scdiff.assay.mixture import GRID, REFERENCE_DEPTH, TAIL, TAIL_LEVEL, TAIL_SIZE, Model, Parameters

LEVEL = (2e-4, 3e-4, 0.1)
"""PDX1, NKX6-1, INS: share of an expressing cell's counts."""


class Drawn(NamedTuple):
    """Drawn cells: counts (n_cells, n_markers), depth and truth (n_cells,)."""

    counts: np.ndarray
    depth: np.ndarray
    positive: np.ndarray


def draw_cells(parameters: Parameters, model: Model, *, n_cells: int, depth: float, seed: int) -> Drawn:
    """Draw cells one after the other as the model says, the contamination free of any grid."""
    rng = np.random.default_rng(seed)
    depths = np.rint(rng.lognormal(np.log(depth), 0.4, n_cells))
    odds = np.log(parameters.weight + 1e-300) + parameters.slope * np.log(depths[:, None] / REFERENCE_DEPTH) * model.patterns.any(axis=1)
    pattern = (softmax(odds, axis=1).cumsum(axis=1) < rng.random((n_cells, 1))).sum(axis=1)
    deviation = np.clip(rng.standard_normal((n_cells, 1)), GRID[0], GRID[-1])
    contamination, activity = (np.exp(sd * deviation - sd**2 / 2) for sd in (parameters.spread, parameters.activity))
    on = model.patterns[pattern]
    few = rng.random(on.shape) < TAIL
    rate = parameters.background * np.where(on, 1, contamination) + on * np.where(few, TAIL_LEVEL, 1) * parameters.level * activity
    size = np.where(on, np.where(few, TAIL_SIZE, parameters.on_size), parameters.off_size)
    counts = rng.poisson(rate * depths[:, None] * rng.gamma(size) / size)
    return Drawn(counts.astype(float), depths, model.positive[pattern])


def natural(prevalence: float, model: Model, *, ratio: float = 0.01, slope: float = 0.0) -> Parameters:
    """Natural parameters: nine in ten positives have all markers on, and 99 in 100 negatives none."""
    n = model.n_markers
    weight = np.zeros(len(model.patterns))
    for group, total, first, others in ((model.positive, prevalence, -1, 0.1), (~model.positive, 1 - prevalence, 0, 0.01)):
        weight[group] = others * total / group.sum()
        weight[first] += (1 - others) * total
    level = np.array(model.level)
    return Parameters(level, level * ratio, np.full(n, 3.0), np.full(n, 10.0), 0.5, 0.2, slope, weight)


@pytest.fixture(scope="session")
def truth() -> Callable[..., Parameters]:
    """Maker of natural parameters at a prevalence."""
    return natural


@pytest.fixture(scope="session")
def draw() -> Callable[..., Drawn]:
    """Maker of cells."""
    return draw_cells


@pytest.fixture(scope="session")
def model() -> Model:
    """Three markers like PDX1, NKX6-1 and INS, of which two are needed."""
    return Model(LEVEL, 2)


@pytest.fixture(scope="session")
def to_theta() -> Callable[[Parameters], np.ndarray]:
    """Theta of natural parameters."""

    def convert(parameters: Parameters) -> np.ndarray:
        ratio = parameters.background / parameters.level
        spreads = [parameters.spread, parameters.activity]
        before = np.log(np.concatenate([parameters.level, ratio, parameters.on_size, parameters.off_size, spreads]))
        return np.concatenate([before, [parameters.slope], np.log(parameters.weight + 1e-12)])

    return convert
