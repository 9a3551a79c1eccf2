"""Likelihood of the markers' on/off patterns.

Off: a negative binomial around ``background * depth * contamination``; on: around ``(background + level * activity) * depth``,
in one cell of fifty around a fifth of the level.
Contamination and activity of a cell, relative to the batch, are log-normal, one value for all its markers: an abundant
marker (INS) so informs a rare one (PDX1), and markers that are low together in a positive cell are no sign of another kind of cell.
Both go by one deviation of the cell, integrated over a fixed grid. Each of the 2^G patterns has a weight; the
prevalence is the weight of the patterns with at least ``min_markers`` on. The log-odds of a pattern with any marker on may
rise or fall with ln depth, since cells that express the programme and stromal cells differ in size.

Weak priors keep weight and level apart at one count per cell: on the level (the programme's typical one), on the ratio
of background to level (similar for all markers, since the soup is made of the same cells) or, where empty droplets were
counted, of background to soup (the contamination, the same for all markers), with heavy tails; on the dispersions; and on cells
with some but too few markers on, which are taken to be rare unless the counts say otherwise: at low depth they look like
positive cells whose other markers dropped out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, expit, gammaln, logit

from scdiff.assay.kernel import Derivatives, best_centre, fill_densities, sum_rows
from scdiff.assay.table import CellTable, Floats

__all__ = ["Likelihood", "Model", "Parameters", "Soup", "Weights", "off_log_density", "on_log_density"]

GRID = np.linspace(-2.5, 2.5, 11)
GRID_WEIGHT = np.exp(-(GRID**2) / 2) / np.exp(-(GRID**2) / 2).sum()

LEVEL_SD, LEVEL_MAX = 0.5, 10.0
RATIO_MEAN, RATIO_SD, RATIO_SPREAD, RATIO_MAX = np.log(0.01), 1.2, 0.7, np.log(0.1)
SOUP_MEAN, SOUP_SD, SOUP_SPREAD, SOUP_PSEUDOCOUNT = np.log(0.03), 2.0, 0.3, 0.5
SOUP_MOST, SOUP_MOST_SD = np.log(0.3), 0.15
FREEDOM, CENTRE_STEPS = 2.0, 30
ON_SIZE, ON_SIZE_SD = np.log(3.0), 0.5
TAIL, TAIL_LEVEL, TAIL_SIZE = 0.02, 0.2, 3.0
OFF_SIZE, OFF_SIZE_SD = np.log(10.0), 0.7
SPREAD, SPREAD_SD = np.log(0.5), 0.5
ACTIVITY, ACTIVITY_SD = np.log(0.2), 0.5
SLOPE_SD, REFERENCE_DEPTH = 0.5, 4_000.0
WEIGHT_SD = 10.0
PARTIAL, PARTIAL_SD = np.log(0.003), 0.7
MOST_NEWTON = 50
TINY = 1e-300


class Parameters(NamedTuple):
    """The natural parameters, each of shape (n_markers,) unless said otherwise.

    ``level`` and ``background`` are per count of depth, ``on_size`` and ``off_size`` negative binomial sizes, ``spread``
    and ``activity`` (scalars) the standard deviations of ln contamination and ln activity, ``slope`` (scalar) the rise of the
    log-odds of any marker with ln depth, ``weight`` (n_patterns,) that of each pattern at a depth of 4,000.
    """

    level: Floats
    background: Floats
    on_size: Floats
    off_size: Floats
    spread: float
    activity: float
    slope: float
    weight: Floats


class Soup(NamedTuple):
    """What the empty droplets of a sample hold: counts of each marker, n_markers of them, and of all genes together."""

    markers: tuple[float, ...]
    total: float

    @property
    def share(self) -> Floats:
        """Share of each marker, shape (n_markers,)."""
        return (np.array(self.markers) + SOUP_PSEUDOCOUNT) / (self.total + 2 * SOUP_PSEUDOCOUNT)

    @property
    def variance(self) -> Floats:
        """Variance of the logarithm of each share, by the counts it rests on, shape (n_markers,)."""
        return 1 / (np.array(self.markers) + SOUP_PSEUDOCOUNT)

    def without(self, left_out: int) -> Soup:
        """Return the soup of the other markers."""
        return Soup(self.markers[:left_out] + self.markers[left_out + 1 :], self.total)


class Weights(NamedTuple):
    """Pattern weights by depth.

    ``weight`` (n_rows, n_patterns) at the depth of each row; ``log_depth`` (n_rows,) relative to 4,000; where the
    prevalence is held, ``by_logit`` (n_patterns,) and ``by_slope`` are the derivatives of the shift that holds it, and 0 elsewhere.
    """

    weight: Floats
    log_depth: Floats
    by_logit: Floats
    by_slope: float


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
    level_sd
        How far the levels may be from the typical ones, standard deviation of their logarithm.
    soup
        Counts of the empty droplets; None where they are not known.
    """

    level: tuple[float, ...]
    min_markers: int
    level_sd: float = LEVEL_SD
    soup: Soup | None = None

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
        """Centre of the prior in theta: ln level, ratio, on size, off size (each n_markers), ln spread, ln activity, slope, logits."""
        n = self.n_markers
        ratio = np.full(n, RATIO_MEAN) if self.soup is None else SOUP_MEAN + np.log(self.soup_share / np.array(self.level))
        parts = [np.log(self.level), ratio, np.full(n, ON_SIZE), np.full(n, OFF_SIZE), [SPREAD, ACTIVITY, 0.0]]
        return np.concatenate([*parts, np.zeros(len(self.patterns))])

    @cached_property
    def prior_precision(self) -> Floats:
        """Precision of the prior, shape (n_theta, n_theta), but for the backgrounds, which have one of their own."""
        n = self.n_markers
        spread = [self.level_sd] * n + [np.inf] * n + [ON_SIZE_SD] * n + [OFF_SIZE_SD] * n + [SPREAD_SD, ACTIVITY_SD, SLOPE_SD]
        return np.diag(np.array(spread + [WEIGHT_SD] * len(self.patterns)) ** -2.0)

    @property
    def soup_share(self) -> Floats:
        """Share of each marker in the soup, shape (n_markers,); NaN where it is not known."""
        return np.full(self.n_markers, np.nan) if self.soup is None else self.soup.share

    def without(self, left_out: int) -> Model:
        """Return the model of the other markers."""
        soup = self.soup.without(left_out) if self.soup else None
        return replace(self, level=self.level[:left_out] + self.level[left_out + 1 :], soup=soup)

    @cached_property
    def bounds(self) -> tuple[Floats, Floats]:
        """Lower and upper bounds of theta, each of shape (n_theta,)."""
        n, n_patterns = self.n_markers, len(self.patterns)
        ratio = np.fmax(RATIO_MAX, SOUP_MOST + np.log(self.soup_share / np.array(self.level)))  # RATIO_MAX where no soup is known
        low = [np.log(1e-7)] * n + [-16.0] * n + [np.log(0.3)] * n + [np.log(0.1)] * n + [np.log(0.1), np.log(0.02), -2.0]
        high = (
            [*np.log(np.minimum(LEVEL_MAX * np.array(self.level), 0.7))]
            + [*ratio]
            + [np.log(30)] * n
            + [np.log(40)] * n
            + [np.log(1.2), 0.0, 2.0]
        )
        return np.array(low + [-25.0] * n_patterns), np.array(high + [25.0] * n_patterns)

    @property
    def logits(self) -> slice:
        """Where theta holds the logits of the patterns."""
        return slice(4 * self.n_markers + 3, None)

    def weights(self, theta: Floats, table: CellTable, prevalence: float | None = None) -> Weights:
        """Pattern weights in each row; with ``prevalence`` given, the positive ones are shifted so that their mean is that."""
        depth, slope = np.log(table.depth / REFERENCE_DEPTH), theta[4 * self.n_markers + 2]
        logits = theta[self.logits] + slope * depth[:, None] * self.patterns.any(axis=1)
        if prevalence is None:
            return Weights(_softmax(logits), depth, np.zeros(logits.shape[1]), 0.0)
        if not 0 < prevalence < 1:
            held = _softmax(np.where(self.positive == bool(prevalence), logits, -np.inf))
            return Weights(held, depth, np.zeros(logits.shape[1]), 0.0)
        odds = _log_sum(logits[:, self.positive]) - _log_sum(logits[:, ~self.positive])
        weight = _softmax(logits + np.where(self.positive, _shift(odds, table.weight, prevalence), 0.0))
        rate = weight[:, self.positive].sum(axis=1)
        steep = max(float(table.weight @ (rate * (1 - rate))), TINY)
        by_logit = -(table.weight @ (weight * (self.positive - rate[:, None]))) / steep
        any_on = weight[:, 1:].sum(axis=1)
        return Weights(weight, depth, by_logit, -float(table.weight @ (depth * rate * (1 - any_on))) / steep)

    def average_weight(self, theta: Floats, table: CellTable) -> Floats:
        """Weight of each pattern over all cells of ``table``, shape (n_patterns,); those of the positive ones sum to the prevalence."""
        return np.asarray(table.weight @ self.weights(theta, table).weight / table.weight.sum())

    def with_weight(self, theta: Floats, table: CellTable, weight: Floats) -> Floats:
        """Theta whose :meth:`average_weight` is ``weight``, shape (n_patterns,), each above 0 and summing to 1; all else as it was."""
        new = theta.copy()
        for _ in range(MOST_NEWTON):
            step = np.log(weight) - np.log(self.average_weight(new, table) + TINY)
            new[self.logits] += step
            if np.abs(step).max() < 1e-9:
                break
        return new

    def parameters(self, theta: Floats) -> Parameters:
        """Natural parameters at ``theta``."""
        n = self.n_markers
        level, ratio, on_size, off_size = np.exp(theta[: 4 * n].reshape(4, n))
        spread, activity = (float(value) for value in np.exp(theta[4 * n : 4 * n + 2]))
        weight = _softmax(theta[self.logits])
        return Parameters(level, level * ratio, on_size, off_size, spread, activity, float(theta[4 * n + 2]), weight)

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
        parameters, weights = self.parameters(theta), self.weights(theta, table, prevalence)
        derivatives, log_scale = _densities(parameters, table)
        slopes = np.array([deviation * GRID - deviation**2 for deviation in (parameters.spread, parameters.activity)])
        log_likelihood, gradient, curvature, pattern = sum_rows(
            table.pair, table.weight, self.patterns, self.positive, *weights, GRID_WEIGHT, slopes, derivatives
        )  # fmt: skip
        scale = float(table.pair_weight @ log_scale) - table.log_factorials
        pull = self.prior_precision @ (theta - self.prior_mean)
        backgrounds, by_background, bend = self._backgrounds(theta)
        excess, by_theta = self._partial_patterns(weights, table)
        prior = float((theta - self.prior_mean) @ pull) / 2 + backgrounds + float(excess @ excess) / 2
        curvature += self.prior_precision + bend + by_theta.T @ by_theta
        return Likelihood(prior - float(log_likelihood) - scale, pull + by_background + excess @ by_theta - gradient, curvature, pattern)

    def _backgrounds(self, theta: Floats) -> tuple[float, Floats, Floats]:
        """Prior of the backgrounds: value, gradient (n_theta,) and curvature (n_theta, n_theta).

        Relative to the levels, or to the soup where it is known, the backgrounds lie around one centre. The tails are Student's: one
        marker may be far off, for stromal cells transcribe some of them a little, and a trace may be all that there is of another.
        """
        n = self.n_markers
        gradient, curvature = np.zeros(len(theta)), np.zeros((len(theta), len(theta)))
        if self.soup is None:
            value, pull, bend = _shared_centre(theta[n : 2 * n], np.full(n, RATIO_SPREAD), RATIO_MEAN, RATIO_SD)
            gradient[n : 2 * n], curvature[n : 2 * n, n : 2 * n] = pull, bend
            return value, gradient, curvature
        of_soup = theta[:n] + theta[n : 2 * n] - np.log(self.soup.share)
        value, pull, bend = _shared_centre(of_soup, np.sqrt(SOUP_SPREAD**2 + self.soup.variance), SOUP_MEAN, SOUP_SD)
        gradient[: 2 * n], curvature[: 2 * n, : 2 * n] = np.tile(pull, 2), np.tile(bend, (2, 2))
        excess, by_theta = self._contamination(theta, self.soup)
        return value + float(excess @ excess) / 2, gradient + excess @ by_theta, curvature + by_theta.T @ by_theta

    def _contamination(self, theta: Floats, soup: Soup) -> tuple[Floats, Floats]:
        """Excess of each background over three tenths of the soup, in standard deviations of its logarithm, and its derivative by theta.

        A count that is as frequent in the cells as in the soup is no contamination: the cells made it.
        """
        n = self.n_markers
        spread = np.sqrt(SOUP_MOST_SD**2 + soup.variance)
        excess = (theta[:n] + theta[n : 2 * n] - np.log(soup.share) - SOUP_MOST) / spread
        by_theta = np.zeros((n, len(theta)))
        by_theta[:, : 2 * n] = np.tile(np.diag((excess > 0) / spread), 2)
        return np.maximum(excess, 0.0), by_theta

    def _partial_patterns(self, weights: Weights, table: CellTable) -> tuple[Floats, Floats]:
        """Excess of the patterns with too few markers on, in prior standard deviations of ln weight, and its derivative by theta."""
        partial = np.flatnonzero(~self.positive & self.patterns.any(axis=1))
        weight, depth, by_logit, by_slope = weights
        of_row = table.weight[:, None] / table.weight.sum() * weight[:, partial]
        total = of_row.sum(axis=0) + TINY
        excess = np.maximum(np.log(total) - PARTIAL, 0.0) / PARTIAL_SD
        positive = of_row.T @ weight[:, self.positive].sum(axis=1)
        by_theta = np.zeros((len(partial), len(self.prior_mean)))
        by_theta[:, self.logits] = np.eye(weight.shape[1])[partial] - (of_row.T @ weight + np.outer(positive, by_logit)) / total[:, None]
        by_theta[:, 4 * self.n_markers + 2] = (of_row.T @ (depth * weight[:, 0]) - positive * by_slope) / total
        return excess, by_theta / PARTIAL_SD * (excess > 0)[:, None]


def _shared_centre(values: Floats, scale: Floats, mean: float, sd: float) -> tuple[float, Floats, Floats]:
    """Cost of values around an unknown centre, with Student's tails; the centre is normal around ``mean`` and taken at its best.

    Returns the cost, its gradient (n,) and a positive curvature (n, n).
    """
    spread, precision = FREEDOM * scale**2, sd**-2
    cost, centre = best_centre(values, spread, FREEDOM, mean, precision, CENTRE_STEPS)
    away = values - centre
    weight = (FREEDOM + 1) / (spread + away**2)
    return float(cost), weight * away, np.diag(weight) - np.outer(weight, weight) / (weight.sum() + precision)


def _softmax(logits: Floats) -> Floats:
    """Weights that sum to 1 over the last axis; scipy's takes five times as long for so few."""
    scaled = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(scaled / scaled.sum(axis=-1, keepdims=True))


def _log_sum(logits: Floats) -> Floats:
    """Logarithm of the summed exponentials over the last axis."""
    most = logits.max(axis=-1)
    return np.asarray(most + np.log(np.exp(logits - most[..., None]).sum(axis=-1)))


def _shift(odds: Floats, weight: Floats, prevalence: float) -> float:
    """Find what to add to the log-odds of the rows so that their rates have the mean ``prevalence``, by Newton's steps."""
    goal = float(logit(prevalence))
    found = goal - float(weight @ odds / weight.sum())
    for _ in range(MOST_NEWTON):
        rate = expit(found + odds)
        mean = float(np.clip(weight @ rate / weight.sum(), 1e-15, 1 - 1e-15))
        step = (goal - float(logit(mean))) * mean * (1 - mean) / max(float(weight @ (rate * (1 - rate))) / weight.sum(), TINY)
        found += float(np.clip(step, -5.0, 5.0))
        if abs(step) < 1e-10:
            break
    return found


def _negative_binomial(counts: Any, mean: Any, size: Any) -> Floats:
    """Log density without the term ln(counts!), broadcasting."""
    return np.asarray(
        gammaln(counts + size) - gammaln(size) + size * np.log(size) + counts * np.log(mean) - (counts + size) * np.log(size + mean)
    )


def on_log_density(parameters: Parameters, index: int, counts: Floats, depth: Floats) -> Floats:
    """Log density of marker ``index`` when expressed, for each activity, shape (n_pairs, n_grid), without ln(counts!)."""
    return np.logaddexp(*_on_parts(counts[:, None], *_on_mean(parameters, index, depth), parameters.on_size[index]))


def off_log_density(parameters: Parameters, index: int, counts: Floats, depth: Floats) -> Floats:
    """Log density of marker ``index`` as background, for each contamination, shape (n_pairs, n_grid), without ln(counts!)."""
    mean = _off_mean(parameters, index, depth)
    return _negative_binomial(counts[:, None], mean, parameters.off_size[index])


def _factors(deviation: float) -> Floats:
    """Log-normal factors of mean 1 on the grid, shape (n_grid,)."""
    return np.exp(deviation * GRID - deviation**2 / 2)


def _on_mean(parameters: Parameters, index: int, depth: Floats) -> tuple[Floats, Floats]:
    """Mean of what a cell expresses, shape (n_pairs, n_grid), and of its background, shape (n_pairs, 1)."""
    activity = _factors(parameters.activity)
    return parameters.level[index] * depth[:, None] * activity, parameters.background[index] * depth[:, None]


def _on_parts(counts: Floats, expressed: Floats, background: Floats, size: float) -> tuple[Floats, Floats]:
    """Log densities of expressed counts: most cells, and the few that express little; each with its weight."""
    few = _negative_binomial(counts, TAIL_LEVEL * expressed + background, TAIL_SIZE)
    return _negative_binomial(counts, expressed + background, size) + np.log1p(-TAIL), few + np.log(TAIL)


def _off_mean(parameters: Parameters, index: int, depth: Floats) -> Floats:
    """Background mean for each contamination of the grid, shape (n_pairs, n_grid)."""
    return parameters.background[index] * depth[:, None] * _factors(parameters.spread)


def _densities(parameters: Parameters, table: CellTable) -> tuple[Derivatives, Floats]:
    """Scaled densities of all pairs with their derivatives, and the ln scale without its part of the counts alone, shape (n_pairs,)."""
    marker, counts, depth = table.pairs
    sizes = np.column_stack([parameters.on_size, np.full(len(parameters.on_size), TAIL_SIZE), parameters.off_size])
    of_pair, shares = sizes[marker], np.log([1 - TAIL, TAIL, 1.0])
    summed = counts[:, None] + of_pair
    norm = gammaln(summed) + (sizes * np.log(sizes) - gammaln(sizes) + shares)[marker]
    derivatives, scale = Derivatives(*np.empty((7, len(counts), len(GRID)))), np.empty(len(counts))
    means = (parameters.level[marker] * depth, parameters.background[marker] * depth)
    terms, factors = (
        (norm, digamma(summed) - digamma(sizes)[marker], of_pair),
        (_factors(parameters.activity), _factors(parameters.spread), TAIL_LEVEL),
    )
    fill_densities(counts, *means, *terms, *factors, scale, derivatives)
    return derivatives, scale
