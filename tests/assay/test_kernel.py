"""kernel: the compiled loop against a slow, obvious twin."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from scipy.stats import nbinom

from scdiff.assay.mixture import (
    FREEDOM,
    GRID,
    GRID_WEIGHT,
    PARTIAL,
    PARTIAL_SD,
    RATIO_MEAN,
    RATIO_SD,
    RATIO_SPREAD,
    TAIL,
    TAIL_LEVEL,
    TAIL_SIZE,
    Model,
)
from scdiff.assay.table import tabulate

LEVELS = {1: (3e-4,), 2: (3e-4, 0.05), 3: (2e-4, 3e-4, 0.05)}
STEP = 1e-5


def on_log_density(count, expressed, background, size):
    """An expressed count: one cell of fifty expresses a fifth."""
    parts = [(1 - TAIL, size, expressed + background), (TAIL, TAIL_SIZE, TAIL_LEVEL * expressed + background)]
    return logsumexp([np.log(share) + nbinom.logpmf(count, r, r / (r + mean)) for share, r, mean in parts])


def row_log_likelihoods(model, theta, table, prevalence=None):
    """Log-likelihood of each row and posterior of its patterns, one term after the other."""
    n = model.n_markers
    level, ratio, on_size, off_size = (np.exp(theta[part * n : (part + 1) * n]) for part in range(4))
    (spread, activity), weight = np.exp(theta[4 * n : 4 * n + 2]), pattern_weights(model, theta, table, prevalence)
    values, posteriors = [], []
    for row in range(len(table.weight)):
        terms = []
        for pattern, share in zip(product([False, True], repeat=n), weight[row], strict=True):
            over_grid = np.log(GRID_WEIGHT) + (np.log(share) if share > 0 else -np.inf)
            for g in range(n):
                marker = table.markers[g]
                count, depth = marker.counts[marker.row[row]], marker.depth[marker.row[row]]
                background = level[g] * ratio[g]
                for k, z in enumerate(GRID):
                    if pattern[g]:
                        expressed = level[g] * np.exp(activity * z - activity**2 / 2) * depth
                        over_grid[k] += on_log_density(count, expressed, background * depth, on_size[g])
                    else:
                        mean = background * np.exp(spread * z - spread**2 / 2) * depth
                        over_grid[k] += nbinom.logpmf(count, off_size[g], off_size[g] / (off_size[g] + mean))
            terms.append(logsumexp(over_grid))
        values.append(logsumexp(terms))
        posteriors.append(np.exp(np.array(terms) - values[-1]))
    return np.array(values), np.array(posteriors)


def pattern_weights(model, theta, table, prevalence):
    """Weights of the patterns in each row; where the prevalence is held, the positive ones are shifted by bisection."""
    n, low, high = model.n_markers, -80.0, 80.0

    def shifted(shift):
        logits = theta[4 * n + 3 :] + np.where(model.positive, shift, 0.0)
        odds = [logits + theta[4 * n + 2] * np.log(depth / 4_000) * model.patterns.any(axis=1) for depth in table.depth]
        return np.array([np.exp(row - logsumexp(row)) for row in odds])

    if prevalence is None:
        return shifted(0.0)
    if prevalence in (0, 1):
        kept = shifted(0.0) * (model.positive == bool(prevalence))
        return kept / kept.sum(axis=1, keepdims=True)
    for _ in range(200):
        middle = (low + high) / 2
        found = table.weight @ shifted(middle)[:, model.positive].sum(axis=1) / table.weight.sum()
        low, high = (middle, high) if found < prevalence else (low, middle)
    return shifted((low + high) / 2)


def partial_penalty(model, theta, table, prevalence=None):
    """Half the squared excess of the patterns with some but too few markers on."""
    average = table.weight @ pattern_weights(model, theta, table, prevalence) / table.weight.sum()
    partial = ~model.positive & model.patterns.any(axis=1)
    return float((np.maximum(np.log(average[partial] + 1e-300) - PARTIAL, 0) ** 2).sum()) / PARTIAL_SD**2 / 2


def row_scores(model, theta, table, prevalence=None):
    """Derivatives of each row's log-likelihood by central differences, shape (n_rows, n_theta)."""
    columns = []
    for index in range(len(theta)):
        moved = np.zeros(len(theta))
        moved[index] = STEP
        above, below = (row_log_likelihoods(model, theta + sign * moved, table, prevalence)[0] for sign in (1, -1))
        columns.append((above - below) / (2 * STEP))
    return np.column_stack(columns)


def drawn_case(n_markers, seed, n_cells=12):
    """A small table and a theta somewhere around the prior's centre."""
    rng = np.random.default_rng(seed)
    model = Model(LEVELS[n_markers], min(2, n_markers))
    depth = rng.choice([500, 4_000, 9_000], n_cells)
    mean = np.array(model.level) * depth[:, None] * rng.choice([0.01, 1.0], (n_cells, n_markers))
    table = tabulate(rng.poisson(mean * rng.gamma(2, 0.5, mean.shape)), depth)
    theta = model.prior_mean + rng.normal(scale=0.4, size=len(model.prior_mean))
    return model, theta, table


def penalty(model, theta, table, prevalence=None):
    """Half the squared distance from the prior's centre, what the backgrounds cost, and what partial patterns cost."""
    away, ratio = theta - model.prior_mean, theta[model.n_markers : 2 * model.n_markers]
    return float(away @ model.prior_precision @ away) / 2 + background_penalty(ratio) + partial_penalty(model, theta, table, prevalence)


def background_penalty(ratio):
    """Student's tails around the best centre, found by golden sections between the ratios."""

    def cost(centre):
        tails = (FREEDOM + 1) / 2 * np.log1p((ratio - centre) ** 2 / FREEDOM / RATIO_SPREAD**2)
        return ((centre - RATIO_MEAN) / RATIO_SD) ** 2 / 2 + tails.sum()

    knots = np.unique([*ratio, RATIO_MEAN])
    brackets = [*pairwise(knots), *((knot - 0.5, knot + 0.5) for knot in knots)]
    return min(minimize_scalar(cost, bounds=bracket, method="bounded", options={"xatol": 1e-10}).fun for bracket in brackets)


def numeric(function, theta):
    """Gradient by central differences, shape (n_theta,)."""
    return np.array([(function(theta + move) - function(theta - move)) / (2 * STEP) for move in STEP * np.eye(len(theta))])


CASES = [(n, seed, held) for n in (1, 2, 3) for seed, held in ((0, None), (1, 0.2), (2, None), (3, 0.0), (4, 1.0))]


@pytest.mark.parametrize(("n_markers", "seed", "prevalence"), CASES)
def test_value_and_posterior_are_those_of_the_twin(n_markers, seed, prevalence):
    model, theta, table = drawn_case(n_markers, seed)
    here = model.evaluate(theta, table, prevalence)
    values, posterior = row_log_likelihoods(model, theta, table, prevalence)
    assert here.value == pytest.approx(penalty(model, theta, table, prevalence) - table.weight @ values, rel=1e-10)
    np.testing.assert_allclose(here.pattern, posterior, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(("n_markers", "seed", "prevalence"), [case for case in CASES if case[0] < 3 or case[1] == 1])
def test_gradient_and_curvature_are_those_of_the_twin(n_markers, seed, prevalence):
    model, theta, table = drawn_case(n_markers, seed, n_cells=6)
    here, scores = model.evaluate(theta, table, prevalence), row_scores(model, theta, table, prevalence)
    pull = numeric(lambda where: penalty(model, where, table, prevalence), theta)
    np.testing.assert_allclose(here.gradient, pull - table.weight @ scores, rtol=1e-5, atol=2e-6)
    outer = sum(weight * np.outer(score, score) for weight, score in zip(table.weight, scores, strict=True))
    rest = here.curvature - outer - model.prior_precision - model._backgrounds(theta)[2]
    np.testing.assert_allclose(rest, rest.T, atol=1e-9)
    assert np.linalg.eigvalsh(rest).min() > -1e-5
    n_partial = int((~model.positive & model.patterns.any(axis=1)).sum())
    assert np.linalg.matrix_rank(rest, tol=1e-4) <= n_partial


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
