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

from scdiff.assay.table import CellTable, Floats, MarkerTable

__all__ = ["Likelihood", "Model", "Parameters", "off_log_density", "on_log_density"]

GRID = np.linspace(-2.8, 2.8, 15)
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
        """Penalised negative log-likelihood of ``table`` at ``theta``, with gradient and curvature."""
        parameters = self.parameters(theta, prevalence)
        states = [_marker_states(parameters, index, marker) for index, marker in enumerate(table.markers)]
        joint, on, off = _joint(self.patterns, parameters.weight, states, table)
        total = np.maximum(joint.sum(axis=1), TINY)
        value = -float((table.weight * (np.log(total) + sum(state.log_scale[m.row] for state, m in zip(states, table.markers, strict=True)))).sum())
        pattern = joint / total[:, None]
        scores = np.zeros((len(total), len(theta)))
        for index, marker in enumerate(table.markers):
            _marker_scores(scores, parameters, index, marker, on[index] / total, off[index] / total[:, None])
        scores[:, 4 * self.n_markers + 1 :] = self._weight_scores(pattern, parameters.weight, prevalence)
        pull = self.prior_precision @ (theta - self.prior_mean)
        value += float((theta - self.prior_mean) @ pull) / 2
        gradient = pull - np.einsum("r,rt->t", table.weight, scores)
        curvature = np.einsum("rs,rt->st", scores * table.weight[:, None], scores, optimize=False) + self.prior_precision
        return Likelihood(value, gradient, curvature, pattern)

    def _weight_scores(self, pattern: Floats, weight: Floats, prevalence: float | None) -> Floats:
        """Derivative of each row's log-likelihood by the logits."""
        if prevalence is None:
            return pattern - weight
        scores = np.empty_like(pattern)
        for group, total in ((self.positive, prevalence), (~self.positive, 1 - prevalence)):
            scores[:, group] = pattern[:, group] - pattern[:, group].sum(axis=1, keepdims=True) * (weight[group] / max(total, TINY))
        return scores


class _States(NamedTuple):
    """Densities of one marker, scaled per pair: ``off`` (n_pairs, n_grid), ``on`` (n_pairs,), ``log_scale`` (n_pairs,)."""

    off: Floats
    on: Floats
    log_scale: Floats


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


def _marker_states(parameters: Parameters, index: int, marker: MarkerTable) -> _States:
    """Scaled densities of one marker over its pairs."""
    on = on_log_density(parameters, index, marker.counts, marker.depth)
    off = off_log_density(parameters, index, marker.counts, marker.depth)
    scale = np.maximum(on, off.max(axis=1))
    return _States(np.exp(off - scale[:, None]), np.exp(on - scale), scale - gammaln(marker.counts + 1))


def _joint(patterns: Any, weight: Floats, states: list[_States], table: CellTable) -> tuple[Floats, list[Floats], list[Floats]]:
    """Weighted density of each row and pattern; and, per marker, its parts on (n_rows,) and off (n_rows, n_grid)."""
    n_rows = len(table.weight)
    factors = [(state.off[marker.row], state.on[marker.row][:, None]) for state, marker in zip(states, table.markers, strict=True)]
    joint = np.empty((n_rows, len(patterns)))
    on = [np.zeros(n_rows) for _ in states]
    off = [np.zeros((n_rows, len(GRID))) for _ in states]
    for number, pattern in enumerate(patterns):
        density = np.broadcast_to(GRID_WEIGHT * weight[number], (n_rows, len(GRID)))
        for factor, is_on in zip(factors, pattern, strict=True):
            density = density * factor[int(is_on)]
        joint[:, number] = density.sum(axis=1)
        for index, is_on in enumerate(pattern):
            if is_on:
                on[index] += joint[:, number]
            else:
                off[index] += density
    return joint, on, off


def _marker_scores(scores: Floats, parameters: Parameters, index: int, marker: MarkerTable, on: Floats, off: Floats) -> None:
    """Add one marker's derivatives to ``scores``; ``on`` (n_rows,) and ``off`` (n_rows, n_grid) are its posteriors."""
    n = len(parameters.level)
    counts, row = marker.counts, marker.row
    level, background, size = parameters.level[index], parameters.background[index], parameters.on_size[index]
    mean = (level + background) * marker.depth
    by_rate = on * ((counts / mean - (counts + size) / (size + mean)) * marker.depth)[row]
    scores[:, 2 * n + index] = on * _by_size(counts, mean, size)[row]
    off_size, off_mean = parameters.off_size[index], _off_mean(parameters, index, marker.depth)
    wide = counts[:, None]
    by_off = off * (wide - (wide + off_size) / (off_size + off_mean) * off_mean)[row]
    scores[:, 3 * n + index] = (off * _by_size(wide, off_mean, off_size)[row]).sum(axis=1)
    scores[:, index] = by_rate * (level + background) + by_off.sum(axis=1)
    scores[:, n + index] = by_rate * background + by_off.sum(axis=1)
    scores[:, 4 * n] += (by_off * (parameters.spread * GRID - parameters.spread**2)).sum(axis=1)


def _by_size(counts: Floats, mean: Floats, size: float) -> Floats:
    """Derivative of the negative binomial log density by ln size."""
    return np.asarray(size * (digamma(counts + size) - digamma(size) + np.log(size / (size + mean)) + 1 - (counts + size) / (size + mean)))
