"""Parameters of the mixture in natural units, densities of a count, and random draws of counts."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from scdiff.assay.priors import REFERENCE_DEPTH, TAIL, TAIL_LEVEL, TAIL_SIZE
from scdiff.assay.table import Floats

__all__ = [
    "GRID",
    "GRID_WEIGHT",
    "Parameters",
    "activity_factors",
    "draw_counts",
    "off_log_density",
    "on_log_density",
]

GRID = np.linspace(-2.4, 2.4, 9)
"""Standard deviations at which the activity is evaluated: nine points cover 98 % of a normal."""
GRID_WEIGHT = np.exp(-(GRID**2) / 2) / np.exp(-(GRID**2) / 2).sum()
"""Weight of each point of ``GRID``, summing to 1."""
LARGEST_EXPONENT = 700.0
"""Largest exponent whose exponential is finite in double precision."""


class Parameters(NamedTuple):
    """Natural parameters, each of shape (n_markers,) if nothing else is stated.

    ``level``, ``soup`` (ambient RNA of a cell with contamination 1) and ``leak`` are per count of
    depth; ``on_size`` and ``off_size`` are negative binomial sizes; ``activity`` (scalar) is the
    standard deviation of ln activity; ``slope`` (scalar) is the rise of the log-odds of any
    expressed marker with ln depth; ``tilt`` (scalar) is the power of depth, in addition to 1, with
    which the ambient counts grow; ``nodes`` and ``node_weight`` (n_nodes,) are the distribution of
    the contamination at a depth of 4,000; ``most`` (scalar) is the highest contamination of a
    cell; ``weight`` (n_patterns,) is the weight of each pattern at a depth of 4,000.
    """

    level: Floats
    soup: Floats
    leak: Floats
    on_size: Floats
    off_size: Floats
    activity: float
    slope: float
    tilt: float
    nodes: Floats
    node_weight: Floats
    most: float
    weight: Floats

    def contamination(self, depth: Any) -> Floats:
        """Compute the contamination of each node at some depths, shape (n, n_nodes)."""
        stretch = (np.asarray(depth, dtype=float)[:, None] / REFERENCE_DEPTH) ** self.tilt
        return np.asarray(-np.expm1(-self.nodes * stretch / self.most) * self.most)

    def by_tilt(self, depth: Any) -> Floats:
        """Derive ln contamination of each node at some depths by the tilt, shape (n, n_nodes)."""
        log_depth = np.log(np.asarray(depth, dtype=float) / REFERENCE_DEPTH)[:, None]
        reached = self.nodes * np.exp(self.tilt * log_depth) / self.most
        reached = np.minimum(reached, LARGEST_EXPONENT)
        return np.asarray(reached / np.expm1(reached) * log_depth)

    @property
    def background(self) -> Floats:
        """Mean background per count of depth at a depth of 4,000, shape (n_markers,)."""
        contamination = self.contamination([REFERENCE_DEPTH])[0]
        return self.soup * float(self.node_weight @ contamination) + self.leak


def _negative_binomial(counts: Any, mean: Any, size: Any) -> Floats:
    """Compute the log density without the term ln(counts!), broadcasting."""
    return np.asarray(
        gammaln(counts + size)
        - gammaln(size)
        + size * np.log(size)
        + counts * np.log(mean)
        - (counts + size) * np.log(size + mean)
    )


def on_log_density(parameters: Parameters, index: int, counts: Floats, depth: Floats) -> Floats:
    """Compute the log density of an expressed marker, without ln(counts!).

    Parameters
    ----------
    parameters
        The natural parameters.
    index
        Number of the marker.
    counts, depth
        Count of the marker and depth of each pair, shape (n_pairs,).

    Returns
    -------
    One value per pair and activity, shape (n_pairs, n_activity).
    """
    expressed = parameters.level[index] * depth[:, None] * activity_factors(parameters.activity)
    most = _negative_binomial(counts[:, None], expressed, parameters.on_size[index])
    few = _negative_binomial(counts[:, None], TAIL_LEVEL * expressed, TAIL_SIZE)
    mixed: Floats = np.logaddexp(most + np.log1p(-TAIL), few + np.log(TAIL))
    return mixed


def off_log_density(parameters: Parameters, index: int, counts: Floats, depth: Floats) -> Floats:
    """Compute the log density of a marker as background, without ln(counts!).

    Parameters
    ----------
    parameters, index, counts, depth
        As in :func:`on_log_density`.

    Returns
    -------
    One value per pair and node, shape (n_pairs, n_nodes).
    """
    per_count = parameters.soup[index] * parameters.contamination(depth) + parameters.leak[index]
    return _negative_binomial(
        counts[:, None], per_count * depth[:, None], parameters.off_size[index]
    )


def activity_factors(deviation: float) -> Floats:
    """Compute log-normal factors of mean 1 on the grid, shape (n_activity,)."""
    return np.exp(deviation * GRID - deviation**2 / 2)


def draw_counts(
    parameters: Parameters, on: NDArray[np.bool_], depth: Floats, generator: np.random.Generator
) -> Floats:
    """Draw counts of cells from the model, shape (n_cells, n_markers).

    Parameters
    ----------
    parameters
        The natural parameters.
    on
        Markers that each cell expresses, shape (n_cells, n_markers).
    depth
        All counts of each cell, shape (n_cells,).
    generator
        The random generator.
    """
    deviation = np.clip(generator.standard_normal((len(depth), 1)), GRID[0], GRID[-1])
    activity = np.exp(parameters.activity * deviation - parameters.activity**2 / 2)
    n_nodes = len(parameters.nodes)
    node = generator.choice(n_nodes, size=len(depth), p=parameters.node_weight)
    contamination = parameters.contamination(depth)[np.arange(len(depth)), node]
    few = on & (generator.random(on.shape) < TAIL)
    expressed = parameters.level * activity * np.where(few, TAIL_LEVEL, 1.0)
    background = parameters.soup * contamination[:, None] + parameters.leak
    rate = np.where(on, expressed, background)
    size = np.where(on, np.where(few, TAIL_SIZE, parameters.on_size), parameters.off_size)
    return generator.poisson(rate * depth[:, None] * generator.gamma(size) / size).astype(float)
