"""Counts drawn from the model itself, so that the truth is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from scipy.special import softmax

from scdiff.assay.densities import GRID, Parameters
from scdiff.assay.mixture import Model
from scdiff.assay.priors import REFERENCE_DEPTH, TAIL, TAIL_LEVEL, TAIL_SIZE

LEVEL = (2e-4, 3e-4, 0.1)
"""PDX1, NKX6-1, INS: share of an expressing cell's counts."""

RATIO_SPREAD = 0.5
"""Standard deviation of ln contamination in the drawn batches."""


class Drawn(NamedTuple):
    """Drawn cells: counts (n_cells, n_markers), depth and truth (n_cells,)."""

    counts: np.ndarray
    depth: np.ndarray
    positive: np.ndarray


def draw_contamination(
    parameters: Parameters,
    depths: np.ndarray,
    rng: np.random.Generator,
    *,
    between: bool,
) -> np.ndarray:
    """Contamination of each cell; ``between`` spreads each node over the gap around it.

    The mean stays as it is.
    """
    node = rng.choice(len(parameters.nodes), len(depths), p=parameters.node_weight)
    half = np.log(parameters.nodes[1] / parameters.nodes[0]) / 2
    away = half * (2 * rng.random(len(depths)) - 1) - np.log(np.sinh(half) / half)
    at = np.log(parameters.nodes[node]) + between * away
    taken = np.exp(at + parameters.tilt * np.log(depths / REFERENCE_DEPTH))
    return parameters.most * (1 - np.exp(-taken / parameters.most))


def draw_cells(
    parameters: Parameters,
    model: Model,
    *,
    n_cells: int,
    depth: float,
    seed: int,
    between: bool = True,
) -> Drawn:
    """Draw cells one after the other as the model says, by default free of its nodes."""
    rng = np.random.default_rng(seed)
    depths = np.rint(rng.lognormal(np.log(depth), 0.4, n_cells))
    rise = parameters.slope * np.log(depths[:, None] / REFERENCE_DEPTH)
    odds = np.log(parameters.weight + 1e-300) + rise * model.patterns.any(axis=1)
    pattern = (softmax(odds, axis=1).cumsum(axis=1) < rng.random((n_cells, 1))).sum(axis=1)
    deviation = np.clip(rng.standard_normal((n_cells, 1)), GRID[0], GRID[-1])
    activity = np.exp(parameters.activity * deviation - parameters.activity**2 / 2)
    contamination = draw_contamination(parameters, depths, rng, between=between)[:, None]
    on = model.patterns[pattern]
    few = rng.random(on.shape) < TAIL
    background = parameters.soup * contamination + parameters.leak
    rate = np.where(on, np.where(few, TAIL_LEVEL, 1) * parameters.level * activity, background)
    size = np.where(on, np.where(few, TAIL_SIZE, parameters.on_size), parameters.off_size)
    counts = rng.poisson(rate * depths[:, None] * rng.gamma(size) / size)
    return Drawn(counts.astype(float), depths, model.positive[pattern])


def hump(model: Model, ratio: float) -> np.ndarray:
    """Weights of the nodes: log-normal around a mean contamination."""
    away = np.log(model.nodes / ratio) + RATIO_SPREAD**2 / 2
    weight = np.exp(-((away / RATIO_SPREAD) ** 2) / 2) + 1e-12
    return weight / weight.sum()


def natural(
    prevalence: float,
    model: Model,
    *,
    ratio: float = 0.01,
    slope: float = 0.0,
    tilt: float = 0.0,
) -> Parameters:
    """Natural parameters: nine in ten positives have all markers on, 99 in 100 negatives none."""
    n = model.n_markers
    weight = np.zeros(len(model.patterns))
    groups = ((model.positive, prevalence, -1, 0.1), (~model.positive, 1 - prevalence, 0, 0.01))
    for group, total, first, others in groups:
        weight[group] = others * total / group.sum()
        weight[first] += (1 - others) * total
    level = np.array(model.level)
    sizes, spreads = (np.full(n, 3.0), np.full(n, 10.0)), (0.2, slope, tilt)
    nodes = (model.nodes, hump(model, ratio), model.most)
    return Parameters(level, level.copy(), level * 1e-4, *sizes, *spreads, *nodes, weight)


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
def to_theta() -> Callable[[Parameters, Model], np.ndarray]:
    """Theta of natural parameters."""

    def convert(parameters: Parameters, model: Model) -> np.ndarray:
        typical = np.array(model.level)
        rates = [parameters.level, parameters.soup / typical, parameters.leak / typical]
        sizes = (parameters.on_size, parameters.off_size, [parameters.activity])
        before = np.log(np.concatenate([*rates, *sizes]))
        weights = np.log(parameters.node_weight), np.log(parameters.weight + 1e-12)
        return np.concatenate([before, [parameters.slope, parameters.tilt], *weights])

    return convert
