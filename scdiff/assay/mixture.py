"""Likelihood of the markers' on/off patterns.

Off: a negative binomial around ``background * depth * contamination``; on: around ``(background + level) * depth``.
The contamination of a cell, relative to the batch, is log-normal, one value for all its markers, integrated
over a fixed grid: an abundant marker (INS) so informs a rare one (PDX1). Each of the 2^G patterns has a weight;
the prevalence is the weight of the patterns with at least ``min_markers`` on.

Weak priors keep weight and level apart at one count per cell: on the level (the programme's typical one), on the ratio
of background to level (similar for all markers, since the soup is made of the same cells), on the dispersions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, gammaln

from scdiff.assay.kernel import Derivatives, sum_rows
from scdiff.assay.table import CellTable, Floats, MarkerTable

__all__ = ["Likelihood", "Model", "Parameters", "off_log_density", "on_log_density"]

GRID = np.linspace(-2.5, 2.5, 11)
GRID_WEIGHT = np.exp(-(GRID**2) / 2) / np.exp(-(GRID**2) / 2).sum()

LEVEL_SD = 0.7
RATIO_MEAN, RATIO_SD, RATIO_SPREAD, RATIO_MAX = np.log(0.01), 1.2, 0.7, np.log(0.1)
ON_SIZE, ON_SIZE_SD = np.log(3.0), 0.5
OFF_SIZE, OFF_SIZE_SD = np.log(10.0), 0.7
SPREAD, SPREAD_SD = np.log(0.5), 0.5
WEIGHT_SD = 10.0
TINY = 1e-300


class Parameters(NamedTuple):
    """The natural parameters, each of shape (n_markers,) unless said otherwise.

    ``level`` and ``background`` are per count of depth, ``on_size`` and ``off_size`` negative binomial sizes,
    ``spread`` (scalar) the standard deviation of ln contamination, ``weight`` (n_patterns,) sums to 1.
    """

    level: Floats
    background: Floats
    on_size: Floats
    off_size: Floats
    spread: float
    weight: Floats


class Likelihood(NamedTuple):
    """Penalised negative log-likelihood at one point.

    ``value``; its ``gradient`` (n_theta,); ``curvature`` (n_theta, n_theta), the outer product of the scores plus the
    prior's precision; ``pattern`` (n_rows, n_patterns), the posterior of the patterns in each row.
    """

    value: float
    gradient: Floats
    curvature: Floats
    pattern: Floats


@dataclass(frozen=True)
class Model:
    """What is fixed in a fit.

    Parameters
    ----------
    level
        Typical level of each marker, shape (n_markers,), share of a cell's counts.
    min_markers
        Markers that must be on in a positive cell, 1 to n_markers.
    """

    level: tuple[float, ...]
    min_markers: int

    @property
    def n_markers(self) -> int:
        """Number of markers."""
        return len(self.level)

    @cached_property
    def patterns(self) -> NDArray[np.bool_]:
        """On/off patterns, shape (2 ** n_markers, n_markers); the first is all off, the last all on."""
        return np.array(list(product([False, True], repeat=self.n_markers)))

    @cached_property
    def positive(self) -> NDArray[np.bool_]:
        """Patterns that make a cell positive, shape (n_patterns,)."""
        return np.asarray(self.patterns.sum(axis=1) >= self.min_markers)

    @cached_property
    def prior_mean(self) -> Floats:
        """Centre of the prior in theta: ln level, ln ratio, ln on size, ln off size (each n_markers), ln spread, logits."""
        n = self.n_markers
        parts = [np.log(self.level), np.full(n, RATIO_MEAN), np.full(n, ON_SIZE), np.full(n, OFF_SIZE), [SPREAD]]
        return np.concatenate([*parts, np.zeros(len(self.patterns))])

    @cached_property
    def prior_precision(self) -> Floats:
        """Precision of the prior, shape (n_theta, n_theta); the ratios share an unknown centre that is integrated out."""
        n = self.n_markers
        spread = [LEVEL_SD] * n + [RATIO_SPREAD] * n + [ON_SIZE_SD] * n + [OFF_SIZE_SD] * n + [SPREAD_SD]
        precision = np.diag(np.array(spread + [WEIGHT_SD] * len(self.patterns)) ** -2.0)
        ratios = slice(n, 2 * n)
        precision[ratios, ratios] -= RATIO_SPREAD**-4 / (n * RATIO_SPREAD**-2 + RATIO_SD**-2)
        return precision

    @cached_property
    def bounds(self) -> tuple[Floats, Floats]:
        """Lower and upper bounds of theta, each of shape (n_theta,)."""
        n, n_patterns = self.n_markers, len(self.patterns)
        low = [np.log(1e-7)] * n + [-16.0] * n + [np.log(0.3)] * n + [np.log(0.1)] * n + [np.log(0.1)] + [-25.0] * n_patterns
        high = [np.log(0.7)] * n + [RATIO_MAX] * n + [np.log(30)] * n + [np.log(40)] * n + [np.log(1.2)] + [25.0] * n_patterns
        return np.array(low), np.array(high)

    def weights(self, logits: Floats, prevalence: float | None = None) -> Floats:
        """Pattern weights from logits; with ``prevalence`` given, the positive patterns sum to it."""
        if prevalence is None:
            return _softmax(logits)
        weight = np.empty(len(logits))
        for group, total in ((self.positive, prevalence), (~self.positive, 1 - prevalence)):
            weight[group] = total * _softmax(logits[group])
        return weight

    def parameters(self, theta: Floats, prevalence: float | None = None) -> Parameters:
        """Natural parameters at ``theta``."""
        n = self.n_markers
        level, ratio, on_size, off_size = np.exp(theta[: 4 * n].reshape(4, n))
        weight = self.weights(theta[4 * n + 1 :], prevalence)
        return Parameters(level, level * ratio, on_size, off_size, float(np.exp(theta[4 * n])), weight)

    def evaluate(self, theta: Floats, table: CellTable, prevalence: float | None = None) -> Likelihood:
        """Penalised negative log-likelihood of ``table`` at ``theta``, with gradient and curvature.

        Parameters
        ----------
        theta
            Where, shape (n_theta,); see :attr:`prior_mean` for the order.
        table
            Cells as distinct rows.
        prevalence
            Hold the weight of the positive patterns at this, 0-1.
        """
        parameters = self.parameters(theta, prevalence)
        group = self.positive.astype(np.intp) if prevalence is not None else np.zeros(len(self.patterns), dtype=np.intp)
        total = np.bincount(group, weights=parameters.weight, minlength=2)
        share = parameters.weight / np.maximum(total[group], TINY)
        states = [_states(parameters, index, marker) for index, marker in enumerate(table.markers)]
        derivatives = Derivatives(*(np.concatenate(parts) for parts in zip(*(state for state, _ in states), strict=True)))
        slope = parameters.spread * GRID - parameters.spread**2
        log_likelihood, gradient, curvature, pattern = sum_rows(
            table.pair, table.weight, self.patterns, parameters.weight, group, share, GRID_WEIGHT, slope,
            parameters.level, parameters.background, derivatives,
        )  # fmt: skip
        scale = sum(float((table.weight * log_scale[m.row]).sum()) for (_, log_scale), m in zip(states, table.markers, strict=True))
        pull = self.prior_precision @ (theta - self.prior_mean)
        value = float((theta - self.prior_mean) @ pull) / 2 - float(log_likelihood) - scale
        return Likelihood(value, pull - gradient, curvature + self.prior_precision, pattern)


def _softmax(logits: Floats) -> Floats:
    raised = np.exp(logits - logits.max())
    return np.asarray(raised / raised.sum())


def _negative_binomial(counts: Any, mean: Any, size: Any) -> Floats:
    """Log density without the term ln(counts!), broadcasting."""
    return np.asarray(
        gammaln(counts + size) - gammaln(size) + size * np.log(size) + counts * np.log(mean) - (counts + size) * np.log(size + mean)
    )


def on_log_density(parameters: Parameters, index: int, counts: Floats, depth: Floats) -> Floats:
    """Log density of marker ``index`` when expressed, shape (n_pairs,), without ln(counts!)."""
    return _negative_binomial(counts, (parameters.background[index] + parameters.level[index]) * depth, parameters.on_size[index])


def off_log_density(parameters: Parameters, index: int, counts: Floats, depth: Floats) -> Floats:
    """Log density of marker ``index`` as background, for each contamination, shape (n_pairs, n_grid), without ln(counts!)."""
    mean = _off_mean(parameters, index, depth)
    return _negative_binomial(counts[:, None], mean, parameters.off_size[index])


def _off_mean(parameters: Parameters, index: int, depth: Floats) -> Floats:
    """Background mean for each contamination of the grid, shape (n_pairs, n_grid)."""
    contamination = np.exp(parameters.spread * GRID - parameters.spread**2 / 2)
    return parameters.background[index] * depth[:, None] * contamination


def _states(parameters: Parameters, index: int, marker: MarkerTable) -> tuple[Derivatives, Floats]:
    """Scaled densities of one marker over its pairs with their derivatives, and the ln scale, shape (n_pairs,)."""
    counts, wide = marker.counts, marker.counts[:, None]
    on, off = on_log_density(parameters, index, counts, marker.depth), off_log_density(parameters, index, counts, marker.depth)
    scale = np.maximum(on, off.max(axis=1))
    on_size, off_size = parameters.on_size[index], parameters.off_size[index]
    mean = (parameters.level[index] + parameters.background[index]) * marker.depth
    off_mean = _off_mean(parameters, index, marker.depth)
    derivatives = Derivatives(
        on=np.exp(on - scale),
        on_rate=(counts / mean - (counts + on_size) / (on_size + mean)) * marker.depth,
        on_size=_by_size(counts, mean, on_size),
        off=np.exp(off - scale[:, None]),
        off_mean=wide - (wide + off_size) / (off_size + off_mean) * off_mean,
        off_size=_by_size(wide, off_mean, off_size),
    )
    return derivatives, scale - gammaln(counts + 1)


def _by_size(counts: Floats, mean: Floats, size: float) -> Floats:
    """Derive the negative binomial log density by ln size."""
    return np.asarray(size * (digamma(counts + size) - digamma(size) + np.log(size / (size + mean)) + 1 - (counts + size) / (size + mean)))
