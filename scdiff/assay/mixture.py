"""Likelihood of the markers' on/off patterns.

On: a negative binomial around ``level * activity * depth``, in one cell of fifty around a fifth of the level. Off: a
negative binomial around ``(soup * contamination + leak) * depth``. The activity of a cell is log-normal. Its
contamination has a free distribution over fixed nodes, because batches hold several classes of droplets (whole cells,
nuclei, lysed cells, neighbours of islets) and no single hump describes them. A droplet takes soup by volume, so that
the contamination may fall with depth: it goes with a fitted power of depth (the tilt: 0 is proportional to depth, -1 a
constant volume). All markers that are off share the cell's contamination, those that are on share its activity: an
abundant marker (INS) so informs a rare one (PDX1), and an expressed INS does not free PDX1 from the soup.

Each of the 2^G patterns has a weight; the prevalence is the weight of the patterns with at least ``min_markers`` on. The
log-odds of a pattern with any marker on may rise or fall with ln depth, since cells that express the programme and
stromal cells differ in size.

Three markers alone cannot tell a cell that holds much soup from one that expresses little of all markers. Where the soup
is not known, contamination therefore ends at half of the programme's typical level; where empty droplets were counted it
ends where a droplet would hold soup only. Weak priors keep weight and level apart at one count per cell: on the levels, on
the composition of the soup (similar to that of positive cells, since it is made of them; as counted where it is known), on
the leak, on the dispersions; cells with some but too few markers on are taken to be rare unless the counts say otherwise,
and so are positive cells. These two priors have heavy tails: they decide nothing that the counts can decide.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, gammaln

from scdiff.assay.arithmetic import MOST_NEWTON, TINY, log_sum, shift_of_odds, softmax, student_cost
from scdiff.assay.kernel import Derivatives, Means, fill_densities, sum_rows
from scdiff.assay.table import CellTable, Floats

__all__ = ["Likelihood", "Model", "Parameters", "Soup", "Weights", "draw_counts", "off_log_density", "on_log_density"]

GRID = np.linspace(-2.4, 2.4, 9)
GRID_WEIGHT = np.exp(-(GRID**2) / 2) / np.exp(-(GRID**2) / 2).sum()

LEVEL_SD, LEVEL_MIN, LEVEL_MAX = 0.8, 0.1, 10.0
N_NODES, LEAST_CONTAMINATION, MOST_CONTAMINATION, MOST_SCARCE, MOST_REACH, MOST_SOUP = 17, 1e-4, 0.5, 0.2, 1.2, 0.9
ABUNDANT, MOST_RICH = 5e-3, 100.0
MOST_MEAN_SOUP, MOST_MEAN_SD = 0.3, 0.15
NODE_SD, RARE_ABOVE, RARE_SLOPE = 2.5, 0.05, 1.0
COMPOSITION_SPREAD, KNOWN_SPREAD, SOUP_PSEUDOCOUNT, FREEDOM = 0.7, 0.3, 0.5, 2.0
LEAK, LEAK_SD, MOST_LEAK, MOST_LEAK_BESIDE_SOUP = np.log(1e-4), 2.0, 0.1, 0.01
TILT, TILT_SD = -0.3, 0.5
ON_SIZE, ON_SIZE_SD = np.log(3.0), 0.5
TAIL, TAIL_LEVEL, TAIL_SIZE = 0.02, 0.2, 3.0
OFF_SIZE, OFF_SIZE_SD = np.log(15.0), 0.5
ACTIVITY, ACTIVITY_SD = np.log(0.2), 0.5
SLOPE_SD, REFERENCE_DEPTH = 0.5, 4_000.0
WEIGHT_SD = 10.0
PARTIAL, PARTIAL_SD = np.log(0.003), 0.7
POSITIVE, POSITIVE_SD = np.log(0.05), 1.0
EXCESS_FREEDOM = 1.0
LARGEST_EXPONENT = 700.0


class Parameters(NamedTuple):
    """The natural parameters, each of shape (n_markers,) unless said otherwise.

    ``level``, ``soup`` (of a cell with contamination 1) and ``leak`` are per count of depth; ``on_size`` and
    ``off_size`` negative binomial sizes; ``activity`` (scalar) the standard deviation of ln activity; ``slope`` (scalar)
    the rise of the log-odds of any marker with ln depth; ``tilt`` (scalar) the power of depth, beside 1, that the soup
    grows with; ``nodes`` and ``node_weight`` (n_nodes,) the distribution of the contamination at a depth of 4,000;
    ``most`` (scalar) the contamination that no cell exceeds; ``weight`` (n_patterns,) that of each pattern at 4,000.
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
        """Contamination of each node at some depths, shape (n, n_nodes)."""
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
        return self.soup * float(self.node_weight @ self.contamination([REFERENCE_DEPTH])[0]) + self.leak


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
    reach
        Contamination that cells of this batch are known to hold, in units of the typical level; 0 where nothing is known.
    relative
        Level of the positive cells that is asked about, relative to the typical one.
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
    def patterns(self) -> NDArray[np.bool_]:
        """On/off patterns, shape (2 ** n_markers, n_markers); the first is all off, the last all on."""
        return np.array(list(product([False, True], repeat=self.n_markers)))

    @cached_property
    def positive(self) -> NDArray[np.bool_]:
        """Patterns that make a cell positive, shape (n_patterns,)."""
        return np.asarray(self.patterns.sum(axis=1) >= self.min_markers)

    @property
    def witness(self) -> int | None:
        """Place of the marker that tells the contamination of a cell: the most abundant, where it is abundant and not alone."""
        most = int(np.argmax(self.level))
        return most if self.min_markers > 1 and self.level[most] >= ABUNDANT else None

    @cached_property
    def most(self) -> float:
        """Contamination that no cell exceeds, in units of a positive cell's level of the marker that the soup is richest in."""
        if self.soup is None:
            return max(MOST_CONTAMINATION if self.witness is not None else MOST_SCARCE, self.reach)
        return float(np.clip(MOST_SOUP * (self.soup.share / np.array(self.level)).max(), 10 * LEAST_CONTAMINATION, MOST_RICH))

    @cached_property
    def nodes(self) -> Floats:
        """Contaminations that cells may have at a depth of 4,000, shape (n_nodes,)."""
        return np.geomspace(LEAST_CONTAMINATION * max(self.most / MOST_REACH, 1.0), self.most, N_NODES)

    @cached_property
    def composition(self) -> tuple[Floats, Floats]:
        """Ln soup relative to the typical level that the prior expects, and its spread, each of shape (n_markers,)."""
        if self.soup is None:
            return np.zeros(self.n_markers), np.full(self.n_markers, COMPOSITION_SPREAD)
        ratio = np.log(self.soup.share / np.array(self.level))
        return ratio - ratio.max(), np.sqrt(KNOWN_SPREAD**2 + self.soup.variance)

    @cached_property
    def prior_mean(self) -> Floats:
        """Centre of the prior in theta.

        Ln level, ln soup, ln leak, ln on size, ln off size (each n_markers), ln activity, slope, tilt, logits of the
        nodes, logits of the patterns. Soup and leak are relative to the typical levels.
        """
        n = self.n_markers
        rare_above = RARE_ABOVE if self.soup is None else self.most * MOST_MEAN_SOUP / MOST_SOUP
        nodes = -RARE_SLOPE * np.maximum(np.log(self.nodes / rare_above), 0.0)
        each = [
            np.log(self.level) + np.log(self.relative),
            self.composition[0],
            np.full(n, LEAK),
            np.full(n, ON_SIZE),
            np.full(n, OFF_SIZE),
        ]
        return np.concatenate([*each, [ACTIVITY, 0.0, TILT], nodes - nodes.mean(), np.zeros(len(self.patterns))])

    @cached_property
    def prior_precision(self) -> Floats:
        """Precision of the prior, shape (n_theta, n_theta), but for the soup, which has a prior of its own."""
        n = self.n_markers
        each = [self.level_sd] * n + [np.inf] * n + [LEAK_SD] * n + [ON_SIZE_SD] * n + [OFF_SIZE_SD] * n
        rest = [ACTIVITY_SD, SLOPE_SD, TILT_SD] + [NODE_SD] * N_NODES + [WEIGHT_SD] * len(self.patterns)
        return np.diag(np.array(each + rest) ** -2.0)

    @property
    def most_leak(self) -> float:
        """Ln of the highest background that needs no contamination, relative to the typical level."""
        return float(np.log(MOST_LEAK if self.soup is None else MOST_LEAK_BESIDE_SOUP))

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
        n, n_patterns, level = self.n_markers, len(self.patterns), np.array(self.level)
        least = np.full(n, LEVEL_MIN)
        if self.witness is not None:
            least[self.witness] = float(np.clip(self.most, MOST_CONTAMINATION, MOST_REACH))
        least = np.minimum(least, self.relative / 2) if self.relative < 1 else least
        low = [*np.log(least * level)] + [-12.0] * n + [-14.0] * n + [np.log(0.3)] * n + [np.log(3.0)] * n
        high = [*np.log(np.minimum(LEVEL_MAX * level, 0.7))] + [0.0] * n + [self.most_leak] * n + [np.log(30)] * n + [np.log(100)] * n
        low += [np.log(0.02), -2.0, -1.3] + [-12.0] * N_NODES + [-25.0] * n_patterns
        high += [0.0, 2.0, 1.0] + [12.0] * N_NODES + [25.0] * n_patterns
        return np.array(low), np.array(high)

    @property
    def slope_at(self) -> int:
        """Where theta holds the slope; the activity is before it, the tilt behind it."""
        return 5 * self.n_markers + 1

    @property
    def node_logits(self) -> slice:
        """Where theta holds the logits of the nodes."""
        return slice(5 * self.n_markers + 3, 5 * self.n_markers + 3 + N_NODES)

    @property
    def logits(self) -> slice:
        """Where theta holds the logits of the patterns."""
        return slice(5 * self.n_markers + 3 + N_NODES, None)

    def weights(self, theta: Floats, table: CellTable, prevalence: float | None = None) -> Weights:
        """Pattern weights in each row; with ``prevalence`` given, the positive ones are shifted so that their mean is that."""
        depth, slope = np.log(table.depth / REFERENCE_DEPTH), theta[self.slope_at]
        logits = theta[self.logits] + slope * depth[:, None] * self.patterns.any(axis=1)
        if prevalence is None:
            return Weights(softmax(logits), depth, np.zeros(logits.shape[1]), 0.0)
        if not 0 < prevalence < 1:
            held = softmax(np.where(self.positive == bool(prevalence), logits, -np.inf))
            return Weights(held, depth, np.zeros(logits.shape[1]), 0.0)
        odds = log_sum(logits[:, self.positive]) - log_sum(logits[:, ~self.positive])
        weight = softmax(logits + np.where(self.positive, shift_of_odds(odds, table.weight, prevalence), 0.0))
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
        n, typical = self.n_markers, np.array(self.level)
        level, soup, leak, on_size, off_size = np.exp(theta[: 5 * n].reshape(5, n))
        activity, slope, tilt = theta[5 * n : 5 * n + 3]
        nodes = (self.nodes, softmax(theta[self.node_logits]), self.most)
        sizes = (on_size, off_size, float(np.exp(activity)), float(slope), float(tilt))
        return Parameters(level, typical * soup, typical * leak, *sizes, *nodes, softmax(theta[self.logits]))

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
        log_likelihood, gradient, curvature, pattern = sum_rows(
            table.pair, table.weight, self.patterns, self.positive, tuple(weights), GRID_WEIGHT, parameters.node_weight,
            parameters.activity * GRID - parameters.activity**2, derivatives,
        )  # fmt: skip
        scale = float(table.pair_weight @ log_scale) - table.log_factorials
        pull = self.prior_precision @ (theta - self.prior_mean)
        value = float((theta - self.prior_mean) @ pull) / 2 - float(log_likelihood) - scale
        for cost, slope, bend in (
            self._soup_cost(theta),
            self._mean_cost(theta),
            self._excess_cost(weights, table, held=prevalence is not None),
        ):
            value, pull = value + cost, pull + slope
            curvature += bend
        return Likelihood(value, pull - gradient, curvature + self.prior_precision, pattern)

    def _soup_cost(self, theta: Floats) -> tuple[float, Floats, Floats]:
        """Prior of the soup's composition: value, gradient (n_theta,) and curvature (n_theta, n_theta).

        The tails are Student's: stromal cells transcribe some markers a little, and a trace may be all there is of another.
        """
        n = self.n_markers
        gradient, curvature = np.zeros(len(theta)), np.zeros((len(theta), len(theta)))
        centre, spread = self.composition
        cost, pull, bend = student_cost((theta[n : 2 * n] - centre) / spread, FREEDOM)
        gradient[n : 2 * n] = pull / spread
        curvature[range(n, 2 * n), range(n, 2 * n)] = bend / spread**2
        return cost, gradient, curvature

    def _mean_cost(self, theta: Floats) -> tuple[float, Floats, Floats]:
        """Prior of the mean contamination where the soup is known: value, gradient and curvature.

        Single cells may be soup for the most part, but not all of them: a count that is as frequent in the cells as in the soup
        is no contamination, for the cells made it.
        """
        gradient, curvature = np.zeros(len(theta)), np.zeros((len(theta), len(theta)))
        if self.soup is None:
            return 0.0, gradient, curvature
        weight, reached = softmax(theta[self.node_logits]), -np.expm1(-self.nodes / self.most) * MOST_SOUP
        mean = float(weight @ reached)
        excess = max(np.log(mean / MOST_MEAN_SOUP) / MOST_MEAN_SD, 0.0)
        by_theta = gradient.copy()
        by_theta[self.node_logits] = weight * (reached - mean) / mean / MOST_MEAN_SD
        return excess**2 / 2, excess * by_theta, np.outer(by_theta, by_theta) * (excess > 0)

    def _excess_cost(self, weights: Weights, table: CellTable, *, held: bool) -> tuple[float, Floats, Floats]:
        """Prior of the patterns with too few markers on, and of all positive ones: value, gradient and curvature.

        The cost rises with the logarithm of how common they are above a share at which they cost nothing.
        """
        weight, depth, by_logit, by_slope = weights
        groups = np.vstack([np.eye(weight.shape[1])[~self.positive & self.patterns.any(axis=1)], self.positive.astype(float)])
        typical = np.array([(PARTIAL, PARTIAL_SD)] * (len(groups) - 1) + [(POSITIVE, POSITIVE_SD)]).T
        share = table.weight / table.weight.sum()
        of_group = weight @ groups.T
        total = share @ of_group + TINY
        excess = np.maximum(np.log(total) - typical[0], 0.0) / typical[1]
        positive = (of_group * share[:, None]).T @ of_group[:, -1]
        by_theta = np.zeros((len(groups), len(self.prior_mean)))
        inside = groups * (share @ weight) - (of_group * share[:, None]).T @ weight
        by_theta[:, self.logits] = inside - np.outer(positive, by_logit)
        by_theta[:, self.slope_at] = (of_group * share[:, None]).T @ (depth * weight[:, 0]) - positive * by_slope
        if held:  # then the total weight of the positive patterns is a constant
            by_theta[-1] = 0.0
        by_theta *= ((excess > 0) / total / typical[1])[:, None]
        cost, pull, bend = student_cost(excess, EXCESS_FREEDOM)
        return cost, pull @ by_theta, (by_theta.T * bend) @ by_theta


def _negative_binomial(counts: Any, mean: Any, size: Any) -> Floats:
    """Log density without the term ln(counts!), broadcasting."""
    return np.asarray(
        gammaln(counts + size) - gammaln(size) + size * np.log(size) + counts * np.log(mean) - (counts + size) * np.log(size + mean)
    )


def on_log_density(parameters: Parameters, index: int, counts: Floats, depth: Floats) -> Floats:
    """Log density of marker ``index`` when expressed, for each activity, shape (n_pairs, n_activity), without ln(counts!)."""
    expressed = parameters.level[index] * depth[:, None] * _factors(parameters.activity)
    most = _negative_binomial(counts[:, None], expressed, parameters.on_size[index]) + np.log1p(-TAIL)
    return np.logaddexp(most, _negative_binomial(counts[:, None], TAIL_LEVEL * expressed, TAIL_SIZE) + np.log(TAIL))


def off_log_density(parameters: Parameters, index: int, counts: Floats, depth: Floats) -> Floats:
    """Log density of marker ``index`` as background, for each node, shape (n_pairs, n_nodes), without ln(counts!)."""
    per_count = parameters.soup[index] * parameters.contamination(depth) + parameters.leak[index]
    return _negative_binomial(counts[:, None], per_count * depth[:, None], parameters.off_size[index])


def draw_counts(parameters: Parameters, on: NDArray[np.bool_], depth: Floats, generator: np.random.Generator) -> Floats:
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
    node = generator.choice(len(parameters.nodes), size=len(depth), p=parameters.node_weight)
    contamination = parameters.contamination(depth)[np.arange(len(depth)), node]
    few = on & (generator.random(on.shape) < TAIL)
    expressed = parameters.level * activity * np.where(few, TAIL_LEVEL, 1.0)
    rate = np.where(on, expressed, parameters.soup * contamination[:, None] + parameters.leak)
    size = np.where(on, np.where(few, TAIL_SIZE, parameters.on_size), parameters.off_size)
    return generator.poisson(rate * depth[:, None] * generator.gamma(size) / size).astype(float)


def _factors(deviation: float) -> Floats:
    """Log-normal factors of mean 1 on the grid, shape (n_activity,)."""
    return np.exp(deviation * GRID - deviation**2 / 2)


def _densities(parameters: Parameters, table: CellTable) -> tuple[Derivatives, Floats]:
    """Scaled densities of all pairs with their derivatives, and the ln scale without its part of the counts alone, shape (n_pairs,)."""
    marker, counts, depth = table.pairs
    sizes = np.column_stack([parameters.on_size, np.full(len(parameters.on_size), TAIL_SIZE), parameters.off_size])
    shares = np.log([1 - TAIL, TAIL, 1.0])
    values, counted = table.distinct_counts
    summed = values[:, None, None] + sizes
    norm = (gammaln(summed) + (sizes * np.log(sizes) - gammaln(sizes) + shares))[counted, marker]
    by_size = (digamma(summed) - digamma(sizes))[counted, marker]
    expressed, soup, leak = (rate[marker] * depth for rate in (parameters.level, parameters.soup, parameters.leak))
    depths, place = table.depths
    terms = (norm, by_size, sizes[marker], np.log(sizes)[marker])
    on, off = np.empty((3, len(counts), len(GRID))), np.empty((5, len(counts), len(parameters.nodes)))
    derivatives, scale = Derivatives(*on, *off), np.empty(len(counts))
    held = (parameters.contamination(depths), parameters.by_tilt(depths))
    fill_densities(
        Means(counts, expressed, soup, leak, place, *terms), _factors(parameters.activity), *held, TAIL_LEVEL, scale, derivatives
    )
    return derivatives, scale
