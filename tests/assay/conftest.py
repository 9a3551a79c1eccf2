"""Counts drawn from the model itself, so that the truth is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from scdiff.assay.mixture import GRID, Model, Parameters

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
    pattern = rng.choice(len(model.patterns), size=n_cells, p=parameters.weight)
    deviation = np.clip(rng.standard_normal((n_cells, 1)), GRID[0], GRID[-1])
    contamination = np.exp(parameters.spread * deviation - parameters.spread**2 / 2)
    on = model.patterns[pattern]
    rate = np.where(on, parameters.background + parameters.level, parameters.background * contamination)
    size = np.where(on, parameters.on_size, parameters.off_size)
    counts = rng.poisson(rate * depths[:, None] * rng.gamma(size) / size)
    return Drawn(counts.astype(float), depths, model.positive[pattern])


def natural(prevalence: float, model: Model, *, ratio: float = 0.01) -> Parameters:
    """Natural parameters in which nine in ten positives have all markers on, and nine in ten negatives none."""
    n = model.n_markers
    weight = np.zeros(len(model.patterns))
    for group, total, first in ((model.positive, prevalence, -1), (~model.positive, 1 - prevalence, 0)):
        weight[group] = 0.1 * total / group.sum()
        weight[first] += 0.9 * total
    level = np.array(model.level)
    return Parameters(level, level * ratio, np.full(n, 3.0), np.full(n, 10.0), 0.5, weight)


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
        parts = [parameters.level, ratio, parameters.on_size, parameters.off_size, [parameters.spread], parameters.weight + 1e-12]
        return np.log(np.concatenate(parts))

    return convert
