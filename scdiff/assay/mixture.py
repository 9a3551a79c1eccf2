"""Likelihood of the patterns of expressed markers.

An expressed marker: a negative binomial around ``level * activity * depth``; in one cell of fifty
around a fifth of the level. A marker that is not expressed: a negative binomial around
``(soup * contamination + leak) * depth``, where ``soup`` is the ambient RNA. The activity of a cell
is log-normal. Its contamination has a free distribution over fixed nodes, because batches hold
several classes of droplets (whole cells, nuclei, lysed cells, neighbours of islets) and no single
hump describes them. A droplet takes in ambient RNA by volume, so the contamination may fall with
depth: it changes with a fitted power of depth (the tilt: 0 is proportional to depth, -1 a constant
volume). All markers that are not expressed share the contamination of the cell, and all expressed
markers share its activity. An abundant marker (INS) therefore informs about a rare one (PDX1), and
an expressed INS does not explain away the ambient RNA of PDX1.

Each of the 2^G patterns has a weight. The prevalence is the weight of the patterns with at least
``min_markers`` expressed markers. The log-odds of a pattern with any expressed marker may rise or
fall with ln depth, because cells that express the programme and stromal cells differ in size.

Three markers alone cannot distinguish a cell with much ambient RNA from one that expresses little
of all markers. If the ambient RNA is unknown, contamination therefore ends at 0.15 of the typical
level of the programme, unless a fit that ends at 0.5 or 1.2 of it describes the counts clearly
better; if empty droplets were counted, it ends where a droplet would hold ambient RNA only. Weak
priors keep weight and level apart at one count per cell: on the levels, on the
composition of the ambient RNA (similar to that of positive cells, since it is made of them; as
counted if it is known), on the leak, on the dispersions. Cells with some but too few expressed
markers are expected to be rare unless the counts show otherwise, and so are positive cells. These
two priors have heavy tails: they decide nothing that the counts can decide. All values are in
:mod:`scdiff.assay.priors`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, gammaln

from scdiff.assay.arithmetic import MOST_NEWTON, TINY, log_sum, shift_of_odds, softmax
from scdiff.assay.densities import GRID, GRID_WEIGHT, Parameters, activity_factors
from scdiff.assay.kernel import Derivatives, Means, fill_densities, sum_rows
from scdiff.assay.layout import Layout
from scdiff.assay.penalties import excess_cost, mean_cost, soup_cost
from scdiff.assay.priors import (
    ABUNDANT,
    ACTIVITY,
    ACTIVITY_RANGE,
    ACTIVITY_SD,
    COMPOSITION_SPREAD,
    HIGHEST_LEVEL,
    KNOWN_SPREAD,
    LEAK,
    LEAK_SD,
    LEAST_CONTAMINATION,
    LEAST_LOG_LEAK,
    LEVEL_MAX,
    LEVEL_MIN,
    LEVEL_SD,
    MOST_CONTAMINATION,
    MOST_LEAK,
    MOST_LEAK_BESIDE_SOUP,
    MOST_MEAN,
    MOST_MEAN_SOUP,
    MOST_REACH,
    MOST_RICH,
    MOST_SCARCE,
    MOST_SOUP,
    N_NODES,
    NODE_LOGIT_BOUND,
    NODE_SD,
    OFF_SIZE,
    OFF_SIZE_RANGE,
    OFF_SIZE_SD,
    ON_SIZE,
    ON_SIZE_RANGE,
    ON_SIZE_SD,
    PATTERN_LOGIT_BOUND,
    RARE_ABOVE,
    RARE_SLOPE,
    REFERENCE_DEPTH,
    SLOPE_BOUND,
    SLOPE_SD,
    SOUP_LOG_RANGE,
    SOUP_PSEUDOCOUNT,
    TAIL,
    TAIL_LEVEL,
    TAIL_SIZE,
    TILT,
    TILT_RANGE,
    TILT_SD,
    WEIGHT_SD,
)
from scdiff.assay.table import CellTable, Floats

__all__ = ["Likelihood", "Model", "Soup", "Weights"]


class Soup(NamedTuple):
    """Ambient RNA of a sample, counted in its empty droplets.

    ``markers`` (n_markers values) are the counts of the markers, ``total`` those of all genes.
    """

    markers: tuple[float, ...]
    total: float

    @property
    def share(self) -> Floats:
        """Share of each marker, shape (n_markers,)."""
        return (np.array(self.markers) + SOUP_PSEUDOCOUNT) / (self.total + 2 * SOUP_PSEUDOCOUNT)

    @property
    def variance(self) -> Floats:
        """Variance of the logarithm of each share by its counting noise, shape (n_markers,)."""
        return 1 / (np.array(self.markers) + SOUP_PSEUDOCOUNT)

    def without(self, left_out: int) -> Soup:
        """Return the ambient RNA of the other markers."""
        return Soup(self.markers[:left_out] + self.markers[left_out + 1 :], self.total)


class Weights(NamedTuple):
    """Pattern weights by depth.

    ``weight`` (n_rows, n_patterns) is that at the depth of each row; ``log_depth`` (n_rows,) is
    relative to 4,000. If the prevalence is fixed, ``by_logit`` (n_patterns,) and ``by_slope`` are
    the derivatives of the shift that fixes it; otherwise they are 0.
    """

    weight: Floats
    log_depth: Floats
    by_logit: Floats
    by_slope: float


class Likelihood(NamedTuple):
    """Penalised negative log-likelihood at one point.

    ``value``; its ``gradient`` (n_theta,); ``curvature`` (n_theta, n_theta), the outer product of
    the scores plus the precision of the prior; ``pattern`` (n_rows, n_patterns), the posterior of
    the patterns in each row.
    """

    value: float
    gradient: Floats
    curvature: Floats
    pattern: Floats


@dataclass(frozen=True)
class Model:
    """Everything that a fit does not change.

    Parameters
    ----------
    level
        Typical level of each marker, shape (n_markers,), share of a cell's counts.
    min_markers
        Number of markers that a positive cell must express, 1 to n_markers.
    level_sd
        Prior standard deviation of ln level around the typical level.
    soup
        Counts of the empty droplets; None if they are unknown.
    reach
        Highest contamination of a cell, in units of the typical level, if the ambient RNA is
        unknown; 0 for ``MOST_CONTAMINATION``, or ``MOST_SCARCE`` if no abundant marker shows it.
    relative
        Expected level of the positive cells, relative to the typical level.
    """

    level: tuple[float, ...]
    min_markers: int
    level_sd: float = LEVEL_SD
    soup: Soup | None = None
    reach: float = 0.0
    relative: float = 1.0

    @property
    def n_markers(self) -> int:
        """Number of markers."""
        return len(self.level)

    @cached_property
    def layout(self) -> Layout:
        """Places of the parameters in theta."""
        return Layout(self.n_markers)

    @cached_property
    def patterns(self) -> NDArray[np.bool_]:
        """Patterns of expressed markers, shape (2 ** n_markers, n_markers).

        The first has no expressed marker, the last has all.
        """
        return np.array(list(product([False, True], repeat=self.n_markers)))

    @cached_property
    def positive(self) -> NDArray[np.bool_]:
        """Patterns that make a cell positive, shape (n_patterns,)."""
        return np.asarray(self.patterns.sum(axis=1) >= self.min_markers)

    @property
    def witness(self) -> int | None:
        """Number of the marker that shows the contamination of a cell; None if there is none.

        It is the most abundant marker, if it is abundant and not the only one needed.
        """
        most = int(np.argmax(self.level))
        return most if self.min_markers > 1 and self.level[most] >= ABUNDANT else None

    @property
    def has_open_reach(self) -> bool:
        """Whether the counts must show how far the contamination reaches."""
        return self.witness is not None and self.soup is None

    @cached_property
    def most(self) -> float:
        """Highest contamination of a cell.

        Its unit is the level in a positive cell of the marker that the ambient RNA is richest in.
        """
        if self.soup is None:
            return self.reach or (MOST_CONTAMINATION if self.witness is not None else MOST_SCARCE)
        richest = (self.soup.share / np.array(self.level)).max()
        return float(np.clip(MOST_SOUP * richest, 10 * LEAST_CONTAMINATION, MOST_RICH))

    @cached_property
    def nodes(self) -> Floats:
        """Contaminations that cells can have at a depth of 4,000, shape (n_nodes,)."""
        least = LEAST_CONTAMINATION * max(self.most / MOST_REACH, 1.0)
        return np.geomspace(least, self.most, N_NODES)

    @cached_property
    def composition(self) -> tuple[Floats, Floats]:
        """Prior of the ambient RNA, each of shape (n_markers,).

        Expected ln ambient level, relative to the typical level, and its spread.
        """
        if self.soup is None:
            return np.zeros(self.n_markers), np.full(self.n_markers, COMPOSITION_SPREAD)
        ratio = np.log(self.soup.share / np.array(self.level))
        return ratio - ratio.max(), np.sqrt(KNOWN_SPREAD**2 + self.soup.variance)

    @property
    def highest_mean(self) -> float:
        """Mean contamination above which a cost starts.

        It is the highest contamination, so that no mean costs, if no abundant marker shows it.
        """
        if self.soup is None:
            return MOST_MEAN if self.witness is not None else self.most
        return self.most * MOST_MEAN_SOUP / MOST_SOUP

    @cached_property
    def prior_mean(self) -> Floats:
        """Centre of the prior, shape (n_theta,), in the order of :class:`Layout`."""
        n = self.n_markers
        rare_above = RARE_ABOVE if self.soup is None else self.highest_mean
        nodes = -RARE_SLOPE * np.maximum(np.log(self.nodes / rare_above), 0.0)
        each = [
            np.log(self.level) + np.log(self.relative),
            self.composition[0],
            np.full(n, LEAK),
            np.full(n, ON_SIZE),
            np.full(n, OFF_SIZE),
        ]
        shared = [ACTIVITY, 0.0, TILT]
        return np.concatenate([*each, shared, nodes - nodes.mean(), np.zeros(len(self.patterns))])

    @cached_property
    def prior_precision(self) -> Floats:
        """Precision of the normal priors, shape (n_theta, n_theta).

        It is 0 for the ambient RNA, whose prior is :func:`scdiff.assay.penalties.soup_cost`.
        """
        n = self.n_markers
        each = [self.level_sd] * n + [np.inf] * n + [LEAK_SD] * n
        each += [ON_SIZE_SD] * n + [OFF_SIZE_SD] * n
        rest = [ACTIVITY_SD, SLOPE_SD, TILT_SD] + [NODE_SD] * N_NODES
        rest += [WEIGHT_SD] * len(self.patterns)
        return np.diag(np.array(each + rest) ** -2.0)

    @property
    def most_leak(self) -> float:
        """Ln of the highest leak, relative to the typical level."""
        return float(np.log(MOST_LEAK if self.soup is None else MOST_LEAK_BESIDE_SOUP))

    @property
    def soup_share(self) -> Floats:
        """Share of each marker in the ambient RNA, shape (n_markers,); NaN if it is unknown."""
        return np.full(self.n_markers, np.nan) if self.soup is None else self.soup.share

    def without(self, left_out: int) -> Model:
        """Return the model of the other markers."""
        soup = self.soup.without(left_out) if self.soup else None
        return replace(self, level=self.level[:left_out] + self.level[left_out + 1 :], soup=soup)

    @cached_property
    def bounds(self) -> tuple[Floats, Floats]:
        """Lower and upper bounds of theta, each of shape (n_theta,)."""
        n, level = self.n_markers, np.array(self.level)
        least = np.full(n, LEVEL_MIN)
        if self.witness is not None:
            least[self.witness] = float(np.clip(self.most, MOST_CONTAMINATION, MOST_REACH))
        least = np.minimum(least, self.relative / 2) if self.relative < 1 else least
        levels = np.log(least * level), np.log(np.minimum(LEVEL_MAX * level, HIGHEST_LEVEL))
        sizes = np.log([ON_SIZE_RANGE, OFF_SIZE_RANGE])
        each = np.array([SOUP_LOG_RANGE, (LEAST_LOG_LEAK, self.most_leak), *sizes])
        shared = np.array([np.log(ACTIVITY_RANGE), (-SLOPE_BOUND, SLOPE_BOUND), TILT_RANGE])
        logits = np.repeat([NODE_LOGIT_BOUND, PATTERN_LOGIT_BOUND], [N_NODES, len(self.patterns)])
        by_marker = np.repeat(each, n, axis=0)
        low = [levels[0], by_marker[:, 0], shared[:, 0], -logits]
        high = [levels[1], by_marker[:, 1], shared[:, 1], logits]
        return np.concatenate(low), np.concatenate(high)

    def weights(self, theta: Floats, table: CellTable, prevalence: float | None = None) -> Weights:
        """Compute the pattern weights in each row.

        Parameters
        ----------
        theta
            All parameters, shape (n_theta,).
        table
            Cells as distinct rows.
        prevalence
            Shift the positive patterns so that their mean weight is this, 0-1; None for no shift.
        """
        depth, slope = np.log(table.depth / REFERENCE_DEPTH), theta[self.layout.slope]
        logits = theta[self.layout.patterns] + slope * depth[:, None] * self.patterns.any(axis=1)
        if prevalence is None:
            return Weights(softmax(logits), depth, np.zeros(logits.shape[1]), 0.0)
        if not 0 < prevalence < 1:
            held = softmax(np.where(self.positive == bool(prevalence), logits, -np.inf))
            return Weights(held, depth, np.zeros(logits.shape[1]), 0.0)
        odds = log_sum(logits[:, self.positive]) - log_sum(logits[:, ~self.positive])
        shift = shift_of_odds(odds, table.weight, prevalence)
        weight = softmax(logits + np.where(self.positive, shift, 0.0))
        rate = weight[:, self.positive].sum(axis=1)
        steep = max(float(table.weight @ (rate * (1 - rate))), TINY)
        by_logit = -(table.weight @ (weight * (self.positive - rate[:, None]))) / steep
        any_on = weight[:, 1:].sum(axis=1)
        by_slope = -float(table.weight @ (depth * rate * (1 - any_on))) / steep
        return Weights(weight, depth, by_logit, by_slope)

    def average_weight(self, theta: Floats, table: CellTable) -> Floats:
        """Compute the weight of each pattern over all cells of ``table``, shape (n_patterns,).

        The weights of the positive patterns sum to the prevalence.
        """
        return np.asarray(table.weight @ self.weights(theta, table).weight / table.weight.sum())

    def with_weight(self, theta: Floats, table: CellTable, weight: Floats) -> Floats:
        """Return theta whose :meth:`average_weight` is ``weight``, otherwise unchanged.

        Parameters
        ----------
        theta
            All parameters, shape (n_theta,).
        table
            Cells as distinct rows.
        weight
            Weight of each pattern, shape (n_patterns,), each above 0; they sum to 1.
        """
        new = theta.copy()
        for _ in range(MOST_NEWTON):
            step = np.log(weight) - np.log(self.average_weight(new, table) + TINY)
            new[self.layout.patterns] += step
            if np.abs(step).max() < 1e-9:
                break
        return new

    def parameters(self, theta: Floats) -> Parameters:
        """Compute the natural parameters at ``theta``."""
        at, typical = self.layout, np.array(self.level)
        level, soup, leak, on_size, off_size = np.exp(at.by_marker(theta))
        activity, slope, tilt = theta[at.shared]
        nodes = (self.nodes, softmax(theta[at.nodes]), self.most)
        sizes = (on_size, off_size, float(np.exp(activity)), float(slope), float(tilt))
        weight = softmax(theta[at.patterns])
        return Parameters(level, typical * soup, typical * leak, *sizes, *nodes, weight)

    def evaluate(
        self, theta: Floats, table: CellTable, prevalence: float | None = None
    ) -> Likelihood:
        """Compute the penalised negative log-likelihood with its gradient and curvature.

        Parameters
        ----------
        theta
            All parameters, shape (n_theta,), in the order of :class:`Layout`.
        table
            Cells as distinct rows.
        prevalence
            Fix the weight of the positive patterns at this, 0-1; None for a free weight.
        """
        parameters, weights = self.parameters(theta), self.weights(theta, table, prevalence)
        derivatives, log_scale = _densities(parameters, table)
        log_likelihood, gradient, curvature, pattern = sum_rows(
            table.pair,
            table.weight,
            self.patterns,
            self.positive,
            tuple(weights),
            GRID_WEIGHT,
            parameters.node_weight,
            parameters.activity * GRID - parameters.activity**2,
            derivatives,
        )
        scale = float(table.pair_weight @ log_scale) - table.log_factorials
        pull = self.prior_precision @ (theta - self.prior_mean)
        value = float((theta - self.prior_mean) @ pull) / 2 - float(log_likelihood) - scale
        at, depth = self.layout, [table.usual_depth]
        rows = (table.weight, self.patterns, self.positive)
        usual = parameters.contamination(depth)[0], parameters.by_tilt(depth)[0]
        for cost, slope, bend in (
            soup_cost(theta, at, *self.composition),
            mean_cost(theta, at, *usual, self.highest_mean),
            excess_cost(weights, *rows, at, held=prevalence is not None),
        ):
            value, pull = value + cost, pull + slope
            curvature += bend
        return Likelihood(value, pull - gradient, curvature + self.prior_precision, pattern)


def _densities(parameters: Parameters, table: CellTable) -> tuple[Derivatives, Floats]:
    """Compute the scaled densities of all pairs with their derivatives, and ln of the scale.

    The scale, shape (n_pairs,), leaves out ln(counts!).
    """
    marker, counts, depth = table.pairs
    few_size = np.full(len(parameters.on_size), TAIL_SIZE)
    sizes = np.column_stack([parameters.on_size, few_size, parameters.off_size])
    shares = np.log([1 - TAIL, TAIL, 1.0])
    values, counted = table.distinct_counts
    summed = values[:, None, None] + sizes
    by_value = gammaln(summed) + (sizes * np.log(sizes) - gammaln(sizes) + shares)
    norm = by_value[counted, marker]
    by_size = (digamma(summed) - digamma(sizes))[counted, marker]
    rates = (parameters.level, parameters.soup, parameters.leak)
    expressed, soup, leak = (rate[marker] * depth for rate in rates)
    depths, place = table.depths
    terms = (norm, by_size, sizes[marker], np.log(sizes)[marker])
    on = np.empty((3, len(counts), len(GRID)))
    off = np.empty((5, len(counts), len(parameters.nodes)))
    derivatives, scale = Derivatives(*on, *off), np.empty(len(counts))
    means = Means(counts, expressed, soup, leak, place, *terms)
    factors = activity_factors(parameters.activity)
    held = (parameters.contamination(depths), parameters.by_tilt(depths))
    fill_densities(means, factors, *held, TAIL_LEVEL, scale, derivatives)
    return derivatives, scale
