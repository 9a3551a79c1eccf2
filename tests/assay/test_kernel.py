"""kernel: the compiled loop against a slow, obvious twin."""

from __future__ import annotations

import statistics
from itertools import product

import numpy as np
import pytest
from scipy.stats import nbinom

from scdiff.assay import priors
from scdiff.assay.densities import GRID, GRID_WEIGHT
from scdiff.assay.mixture import Model, Soup
from scdiff.assay.priors import N_NODES, REFERENCE_DEPTH
from scdiff.assay.table import tabulate

LEVELS = {1: (3e-4,), 2: (3e-4, 0.05), 3: (2e-4, 3e-4, 0.05)}
STEP = 1e-5


def unpack(model, theta):
    """The parts of theta by name."""
    n = model.n_markers
    names = ("level", "soup", "leak", "on_size", "off_size")
    parts = {name: theta[k * n : (k + 1) * n] for k, name in enumerate(names)}
    parts |= {"activity": theta[5 * n], "slope": theta[5 * n + 1], "tilt": theta[5 * n + 2]}
    first = 5 * n + 3
    return parts | {"nodes": theta[first : first + N_NODES], "patterns": theta[first + N_NODES :]}


def log_sum(values):
    """Logarithm of the summed exponentials."""
    return max(values) + np.log(np.exp(np.array(values) - max(values)).sum())


def log_pmf(count, mean, size):
    return nbinom.logpmf(count, size, size / (size + mean))


def on_log_densities(count, depth, level, activity, size):
    """An expressed count, for each activity: one cell of fifty expresses a fifth."""
    mean = np.array([level * np.exp(activity * z - activity**2 / 2) * depth for z in GRID])
    most = np.log(1 - priors.TAIL) + log_pmf(count, mean, size)
    few = np.log(priors.TAIL) + log_pmf(count, priors.TAIL_LEVEL * mean, priors.TAIL_SIZE)
    return np.logaddexp(most, few)


def off_log_densities(model, count, depth, soup, leak, tilt, size):
    """A background count, for each node: soup that ends at the most, and a leak."""
    means = []
    for node in model.nodes:
        taken = node * (depth / REFERENCE_DEPTH) ** tilt
        contamination = model.most * (1 - np.exp(-taken / model.most))
        means.append((soup * contamination + leak) * depth)
    return log_pmf(count, np.array(means), size)


def row_log_likelihoods(model, theta, table, prevalence=None):
    """Log-likelihood of each row and posterior of its patterns, one term after the other."""
    n, parts = model.n_markers, unpack(model, theta)
    level, on_size, off_size = (np.exp(parts[name]) for name in ("level", "on_size", "off_size"))
    soup, leak = (np.exp(parts[name]) * np.array(model.level) for name in ("soup", "leak"))
    activity, tilt = np.exp(parts["activity"]), parts["tilt"]
    log_node = parts["nodes"] - log_sum(parts["nodes"])
    weight = pattern_weights(model, theta, table, prevalence)
    values, posteriors = [], []
    for row in range(len(table.weight)):
        on, off = [], []
        for g in range(n):
            marker = table.markers[g]
            count, depth = marker.counts[marker.row[row]], marker.depth[marker.row[row]]
            on.append(on_log_densities(count, depth, level[g], activity, on_size[g]))
            off.append(off_log_densities(model, count, depth, soup[g], leak[g], tilt, off_size[g]))
        terms = []
        for pattern, share in zip(product([False, True], repeat=n), weight[row], strict=True):
            over_activity, over_nodes = np.log(GRID_WEIGHT), log_node.copy()
            for g in range(n):
                if pattern[g]:
                    over_activity = over_activity + on[g]
                else:
                    over_nodes = over_nodes + off[g]
            log_share = np.log(share) if share > 0 else -np.inf
            terms.append(log_share + log_sum(over_activity) + log_sum(over_nodes))
        values.append(log_sum(terms))
        posteriors.append(np.exp(np.array(terms) - values[-1]))
    return np.array(values), np.array(posteriors)


def pattern_weights(model, theta, table, prevalence):
    """Weights of the patterns in each row; a held prevalence shifts the positives by bisection."""
    parts, low, high = unpack(model, theta), -80.0, 80.0

    def shifted(shift):
        logits = parts["patterns"] + np.where(model.positive, shift, 0.0)
        rise = [parts["slope"] * np.log(depth / REFERENCE_DEPTH) for depth in table.depth]
        odds = [logits + by * model.patterns.any(axis=1) for by in rise]
        return np.array([np.exp(row) / np.exp(row).sum() for row in odds])

    if prevalence is None:
        return shifted(0.0)
    if prevalence in (0, 1):
        kept = shifted(0.0) * (model.positive == bool(prevalence))
        return kept / kept.sum(axis=1, keepdims=True)
    for _ in range(70):
        middle = (low + high) / 2
        found = table.weight @ shifted(middle)[:, model.positive].sum(axis=1) / table.weight.sum()
        low, high = (middle, high) if found < prevalence else (low, middle)
    return shifted((low + high) / 2)


def excesses(model, theta, table, prevalence=None):
    """How far each partial pattern, and all positive ones, are above what costs nothing."""
    weight = table.weight @ pattern_weights(model, theta, table, prevalence) / table.weight.sum()
    partial = [p for p, on in enumerate(model.patterns) if on.any() and not model.positive[p]]
    found = [(np.log(weight[p] + 1e-300) - priors.PARTIAL) / priors.PARTIAL_SD for p in partial]
    found.append(
        (np.log(weight[model.positive].sum() + 1e-300) - priors.POSITIVE) / priors.POSITIVE_SD
    )
    return np.maximum(found, 0.0)


def soup_distances(model, theta):
    """How far the composition of the soup is from what is expected, in prior spreads."""
    found = []
    for g, soup in enumerate(unpack(model, theta)["soup"]):
        centre, spread = 0.0, priors.COMPOSITION_SPREAD
        if model.soup is not None:
            pairs = zip(model.soup.markers, model.level, strict=True)
            share = [(k + 0.5) / (model.soup.total + 1) / level for k, level in pairs]
            centre = np.log(share[g]) - np.log(max(share))
            spread = np.sqrt(priors.KNOWN_SPREAD**2 + 1 / (model.soup.markers[g] + 0.5))
        found.append((soup - centre) / spread)
    return np.array(found)


def normal_prior(model):
    """Centre and standard deviation of each entry of theta; none (infinite) for the soup."""
    n = model.n_markers
    above = (
        priors.RARE_ABOVE
        if model.soup is None
        else model.most * priors.MOST_MEAN_SOUP / priors.MOST_SOUP
    )
    rare = [-priors.RARE_SLOPE * max(np.log(node / above), 0.0) for node in model.nodes]
    found = [(np.log(level), model.level_sd) for level in model.level]
    found += [(0.0, np.inf)] * n + [(priors.LEAK, priors.LEAK_SD)] * n
    found += [(priors.ON_SIZE, priors.ON_SIZE_SD)] * n + [(priors.OFF_SIZE, priors.OFF_SIZE_SD)] * n
    found += [
        (priors.ACTIVITY, priors.ACTIVITY_SD),
        (0.0, priors.SLOPE_SD),
        (priors.TILT, priors.TILT_SD),
    ]
    found += [(value - np.mean(rare), priors.NODE_SD) for value in rare]
    found += [(0.0, priors.WEIGHT_SD)] * 2**n
    return np.array(found).T


def student(distances, freedom):
    """Minus ln density of Student's t, but for a constant."""
    return sum((freedom + 1) / 2 * np.log(1 + z**2 / freedom) for z in distances)


def penalty(model, theta, table, prevalence=None):
    """What all priors cost together."""
    centre, sd = normal_prior(model)
    normal = sum(((value - c) / s) ** 2 / 2 for value, c, s in zip(theta, centre, sd, strict=True))
    excess = student(excesses(model, theta, table, prevalence), priors.EXCESS_FREEDOM)
    soup = student(soup_distances(model, theta), priors.FREEDOM)
    return normal + soup + excess + mean_excess(model, theta, table) ** 2 / 2


def mean_excess(model, theta, table):
    """How far the mean contamination is above the usual, in standard deviations."""
    logits, tilt = theta[model.layout.nodes], theta[model.layout.tilt]
    weight = np.exp(logits - log_sum(logits))
    depths = [depth for row, n in enumerate(table.weight) for depth in [table.depth[row]] * int(n)]
    stretch = (statistics.geometric_mean(depths) / priors.REFERENCE_DEPTH) ** tilt
    held = [1 - np.exp(-node * stretch / model.most) for node in model.nodes]
    mean = sum(w * share for w, share in zip(weight, held, strict=True))
    is_seen = model.min_markers > 1 and max(model.level) >= priors.ABUNDANT
    highest = priors.MOST_MEAN / model.most if is_seen else 1.0
    if model.soup is not None:
        highest = priors.MOST_MEAN_SOUP / priors.MOST_SOUP
    return max(np.log(mean / highest) / priors.MOST_MEAN_SD, 0.0)


def numeric(function, theta):
    """Derivative by central differences, shape (..., n_theta)."""
    moves = STEP * np.eye(len(theta))
    columns = [(function(theta + move) - function(theta - move)) / (2 * STEP) for move in moves]
    return np.stack(columns, axis=-1)


def student_bend(function, theta, freedom):
    """Curvature that stands for Student's tails: positive, from the slopes of the distances."""
    slopes, total = numeric(function, theta), np.zeros((len(theta), len(theta)))
    for distance, slope in zip(function(theta), slopes, strict=True):
        total += (freedom + 1) / (freedom + distance**2) * np.outer(slope, slope)
    return total


def drawn_case(n_markers, seed, n_cells=12, soup=None, reach=0.0, dirt=0.0):
    """A small table and a theta around the prior's centre; ``dirt`` moves weight to high nodes."""
    rng = np.random.default_rng(seed)
    model = Model(LEVELS[n_markers], min(2, n_markers), soup=soup, reach=reach)
    depth = rng.choice([500, 4_000, 9_000], n_cells)
    mean = np.array(model.level) * depth[:, None] * rng.choice([0.01, 1.0], (n_cells, n_markers))
    table = tabulate(rng.poisson(mean * rng.gamma(2, 0.5, mean.shape)), depth)
    theta = model.prior_mean + rng.normal(scale=0.4, size=len(model.prior_mean))
    theta[model.layout.nodes] += np.linspace(0.0, dirt, N_NODES)
    return model, theta, table


HELD = ((0, None), (1, 0.2), (2, None), (3, 0.0), (4, 1.0))
CASES = [(n, seed, held, {}) for n in (1, 2, 3) for seed, held in HELD]
CASES += [
    (1, 5, 0.3, {"soup": Soup((2.0,), 1e5)}),
    (2, 6, None, {"soup": Soup((3.0, 900.0), 1e6)}),
    (3, 7, 0.1, {"soup": Soup((0.0, 40.0, 4e4), 1e6)}),
    (2, 8, None, {"reach": 0.9}),
    (2, 9, None, {"reach": 0.9, "dirt": 9.0}),
    (3, 10, 0.2, {"dirt": 9.0}),
    (3, 11, None, {"soup": Soup((0.0, 40.0, 4e4), 1e6), "dirt": 9.0}),
]


@pytest.mark.parametrize(("n_markers", "seed", "prevalence", "known"), CASES)
def test_value_and_posterior_are_those_of_the_twin(n_markers, seed, prevalence, known):
    model, theta, table = drawn_case(n_markers, seed, **known)
    here = model.evaluate(theta, table, prevalence)
    values, posterior = row_log_likelihoods(model, theta, table, prevalence)
    expected = penalty(model, theta, table, prevalence) - table.weight @ values
    assert here.value == pytest.approx(expected, rel=1e-10)
    np.testing.assert_allclose(here.pattern, posterior, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(("n_markers", "seed", "prevalence", "known"), CASES)
def test_gradient_and_curvature_are_those_of_the_twin(n_markers, seed, prevalence, known):
    model, theta, table = drawn_case(n_markers, seed, n_cells=6, **known)
    here = model.evaluate(theta, table, prevalence)
    scores = numeric(lambda at: row_log_likelihoods(model, at, table, prevalence)[0], theta)
    pull = numeric(lambda at: penalty(model, at, table, prevalence), theta)
    np.testing.assert_allclose(here.gradient, pull - table.weight @ scores, rtol=1e-5, atol=2e-6)

    curvature = np.diag(normal_prior(model)[1] ** -2.0)
    for weight, score in zip(table.weight, scores, strict=True):
        curvature += weight * np.outer(score, score)
    curvature += student_bend(lambda at: soup_distances(model, at), theta, priors.FREEDOM)
    excess = lambda at: excesses(model, at, table, prevalence)  # noqa: E731
    curvature += student_bend(excess, theta, priors.EXCESS_FREEDOM)
    by_theta = numeric(lambda at: mean_excess(model, at, table), theta)
    curvature += np.outer(by_theta, by_theta)
    np.testing.assert_allclose(here.curvature, curvature, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(here.curvature, here.curvature.T, rtol=0, atol=1e-9)
    assert np.linalg.eigvalsh(here.curvature).min() > 0


def test_the_cases_reach_every_prior():
    """Some cost of each kind is above 0, or the comparison with the twin would be empty."""
    partial, positive, far, dirty = [], [], [], []
    for n, seed, held, known in CASES:
        model, theta, table = drawn_case(n, seed, **known)
        found = excesses(model, theta, table, held)
        partial.append(found[:-1].any())
        positive.append(found[-1] > 0 and held is None)
        far.append(np.abs(soup_distances(model, theta)).max() > 1)
        dirty.append((mean_excess(model, theta, table) > 0, model.soup is not None))
    assert sum(partial) > 3
    assert sum(positive) > 3
    assert sum(far) > 3
    assert {(True, True), (True, False)} <= set(dirty)


def test_weighted_rows_are_repeated_cells():
    model, theta, _ = drawn_case(3, 0)
    counts, depth = np.array([[0, 1, 300], [0, 0, 2]]), np.array([4_000, 4_000])
    alone = [tabulate(counts[[row]], depth[[row]]) for row in (0, 1)]
    once = [model.evaluate(theta, table).value - penalty(model, theta, table) for table in alone]
    together = tabulate(np.repeat(counts, [7, 40], axis=0), np.repeat(depth, [7, 40]))
    both = model.evaluate(theta, together).value - penalty(model, theta, together)
    assert both == pytest.approx(7 * once[0] + 40 * once[1], rel=1e-9)


def test_far_counts_stay_finite():
    model, theta, _ = drawn_case(3, 0)
    table = tabulate([[0, 0, 0], [5_000, 0, 90_000], [0, 4_000, 0]], [200, 100_000, 100_000])
    here = model.evaluate(theta, table)
    assert np.isfinite(here.value)
    assert np.isfinite(here.gradient).all()
    np.testing.assert_allclose(here.pattern.sum(axis=1), 1.0, rtol=1e-12)
