"""mixture: patterns, weights, priors and densities are what they are said to be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import gammaln
from scipy.stats import nbinom

from scdiff.assay import mixture
from scdiff.assay.mixture import GRID, GRID_WEIGHT, Model, Soup, off_log_density, on_log_density
from scdiff.assay.table import tabulate

MODEL = Model((2e-4, 3e-4, 0.1), 2)
logits = arrays(float, 8, elements=st.floats(-10, 10))
slopes = st.floats(-2, 2)


def test_the_grid_is_a_symmetric_distribution():
    assert GRID_WEIGHT.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(GRID, -GRID[::-1])
    np.testing.assert_allclose(GRID_WEIGHT, GRID_WEIGHT[::-1])
    variance = float(GRID_WEIGHT @ GRID**2)
    assert variance == pytest.approx(1.0, abs=0.1)


def test_mean_contamination_is_one_for_every_spread():
    for spread in (0.1, 0.5, 1.0):
        assert GRID_WEIGHT @ np.exp(spread * GRID - spread**2 / 2) == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize(("n_markers", "min_markers", "n_positive"), [(1, 1, 1), (2, 2, 1), (3, 2, 4), (3, 1, 7), (3, 3, 1)])
def test_positive_patterns_have_enough_markers(n_markers, min_markers, n_positive):
    model = Model((1e-4,) * n_markers, min_markers)
    assert model.patterns.shape == (2**n_markers, n_markers)
    assert len({tuple(row) for row in model.patterns.tolist()}) == 2**n_markers
    assert not model.patterns[0].any()
    assert model.patterns[-1].all()
    assert model.positive.sum() == n_positive
    assert (model.patterns[model.positive].sum(axis=1) >= min_markers).all()


@pytest.fixture(scope="module")
def table():
    """Cells of several depths."""
    rng = np.random.default_rng(0)
    return tabulate(rng.poisson(0.3, (60, 3)), rng.lognormal(8, 1, 60).round())


def theta_of(values, slope):
    theta = MODEL.prior_mean.copy()
    theta[14], theta[MODEL.logits] = slope, values
    return theta


@settings(max_examples=50, deadline=None)
@given(values=logits, slope=slopes, prevalence=st.one_of(st.none(), st.floats(0, 1)))
def test_law_weights_sum_to_one_and_hold_the_prevalence(table, values, slope, prevalence):
    weight = MODEL.weights(theta_of(values, slope), table, prevalence).weight
    assert weight.shape == (len(table.weight), 8)
    assert (weight >= 0).all()
    np.testing.assert_allclose(weight.sum(axis=1), 1.0)
    if prevalence is not None:
        positive = weight[:, MODEL.positive].sum(axis=1)
        assert table.weight @ positive / table.weight.sum() == pytest.approx(prevalence, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(values=logits, slope=slopes, shift=st.floats(-5, 5))
def test_law_weights_know_only_differences_of_logits(table, values, slope, shift):
    one, other = (MODEL.weights(theta_of(values + by, slope), table).weight for by in (0.0, shift))
    np.testing.assert_allclose(one, other, rtol=1e-9)


@settings(max_examples=50, deadline=None)
@given(weight=arrays(float, 8, elements=st.floats(1e-6, 1)), slope=slopes)
def test_law_theta_with_a_weight_has_that_weight(table, weight, slope):
    weight = weight / weight.sum()
    theta = MODEL.with_weight(theta_of(np.zeros(8), slope), table, weight)
    np.testing.assert_allclose(MODEL.average_weight(theta, table), weight, atol=1e-7)
    assert theta[14] == slope


def test_a_slope_makes_deep_cells_express_more_often_and_leaves_the_kinds_of_expression_alike(table):
    weight = MODEL.weights(theta_of(np.zeros(8), 0.8), table).weight
    order = np.argsort(table.depth)
    assert (np.diff(weight[order, 0]) <= 1e-12).all()
    np.testing.assert_allclose(weight[:, 1:], np.broadcast_to(weight[:, 1:2], (len(weight), 7)))
    flat = MODEL.weights(theta_of(np.zeros(8), 0.0), table).weight
    np.testing.assert_allclose(flat, 1 / 8)


def test_partial_patterns_cost_only_where_they_are_many(table):
    few, many = np.full(8, 1e-4), np.full(8, 1e-4)
    many[4], few[0], many[0] = 0.2, 1.0, 0.8
    excess = [MODEL._partial_patterns(MODEL.weights(theta_of(np.log(w), 0.0), table), table)[0] for w in (few, many)]
    np.testing.assert_array_equal(excess[0], 0.0)
    assert excess[1].max() == pytest.approx((np.log(0.2 / 1.0006) - mixture.PARTIAL) / mixture.PARTIAL_SD, abs=1e-3)
    assert (excess[1] > 0).sum() == 1


def test_parameters_at_the_prior_centre(model):
    parameters = model.parameters(model.prior_mean)
    np.testing.assert_allclose(parameters.level, model.level)
    np.testing.assert_allclose(parameters.background, 0.01 * np.array(model.level))
    np.testing.assert_allclose(parameters.on_size, 3.0)
    np.testing.assert_allclose(parameters.off_size, 10.0)
    np.testing.assert_allclose(parameters.weight, 1 / 8)
    assert (parameters.spread, parameters.activity, parameters.slope) == pytest.approx((0.5, 0.2, 0.0))


def test_prior_is_proper_and_inside_the_bounds(model):
    backgrounds = model._backgrounds(model.prior_mean + 0.1)[2]
    assert (np.linalg.eigvalsh(model.prior_precision + backgrounds) > 0).all()
    np.testing.assert_array_equal(model.prior_precision, model.prior_precision.T)
    low, high = model.bounds
    assert (low < model.prior_mean).all()
    assert (model.prior_mean < high).all()


def costs(values, scale, mean, sd):
    """Cost at every centre of a fine grid; the oracle takes the best."""
    centre = np.linspace(-30, 10, 200_001)[:, None]
    tails = (mixture.FREEDOM + 1) / 2 * np.log1p((values - centre) ** 2 / mixture.FREEDOM / scale**2)
    return float(((centre[:, 0] - mean) ** 2 / sd**2 / 2 + tails.sum(axis=1)).min())


@settings(max_examples=60, deadline=None)
@given(values=arrays(float, st.integers(1, 3), elements=st.floats(-20, 2)), scale=st.floats(0.2, 2))
def test_law_the_backgrounds_lie_around_the_best_of_all_centres(values, scale):
    cost, gradient, curvature = mixture._shared_centre(values, np.full(len(values), scale), -4.6, 1.2)
    assert cost == pytest.approx(costs(values, scale, -4.6, 1.2), abs=2e-3)
    assert (np.linalg.eigvalsh(curvature) >= -1e-9).all()
    for index in range(len(values)):
        step = 1e-5 * np.eye(len(values))[index]
        low, high = (mixture._shared_centre(values + sign * step, np.full(len(values), scale), -4.6, 1.2)[0] for sign in (-1, 1))
        slope = (high - low) / 2e-5
        assert gradient[index] == pytest.approx(slope, abs=0.02) or abs(slope) < np.abs(gradient).max()  # at a tie of two centres


def test_one_background_far_off_costs_little_more_than_one_far_off():
    near, off, farther = (mixture._shared_centre(np.array([-5.0, -4.5, value]), np.full(3, 0.7), -4.6, 1.2)[0] for value in (-5, -9, -14))
    assert near < 1
    assert farther - off < 3
    assert off - near < 8


def test_densities_are_negative_binomials(model, truth):
    parameters = truth(0.1, model)
    counts, depth = np.array([0.0, 3.0, 400.0]), np.array([900.0, 4_000.0, 20_000.0])
    for index in range(3):
        on, size = on_log_density(parameters, index, counts, depth) - gammaln(counts + 1)[:, None], parameters.on_size[index]
        for place, z in enumerate(GRID):
            expressed, background = parameters.level[index] * np.exp(0.2 * z - 0.02) * depth, parameters.background[index] * depth
            parts = ((size, expressed + background), (mixture.TAIL_SIZE, 0.2 * expressed + background))
            most, few = (nbinom.pmf(counts, r, r / (r + mean)) for r, mean in parts)
            np.testing.assert_allclose(on[:, place], np.log(0.98 * most + 0.02 * few), rtol=1e-9)
        off, size = off_log_density(parameters, index, counts, depth) - gammaln(counts + 1)[:, None], parameters.off_size[index]
        for place, z in enumerate(GRID):
            mean = parameters.background[index] * depth * np.exp(0.5 * z - 0.125)
            np.testing.assert_allclose(off[:, place], nbinom.logpmf(counts, size, size / (size + mean)), rtol=1e-9)


def test_evaluate_leaves_theta_alone(model):
    theta = model.prior_mean.copy()
    model.evaluate(theta, tabulate([[0, 1, 20]], [4_000]), 0.3)
    np.testing.assert_array_equal(theta, model.prior_mean)


def test_with_a_soup_the_backgrounds_share_an_unknown_contamination(model):
    """The same contamination of all markers costs as much whatever the levels are; a marker with few counts in the soup may differ."""
    soupy = replace(model, soup=Soup((3.0, 900.0, 9000.0), 1e6))
    theta = soupy.prior_mean.copy()
    theta[3:6] += 0.5
    shifted = theta.copy()
    shifted[:3] += [0.3, -0.2, 1.0]
    shifted[3:6] -= [0.3, -0.2, 1.0]
    assert soupy._backgrounds(shifted)[0] == pytest.approx(soupy._backgrounds(theta)[0])
    costs = []
    for marker in range(3):
        other = theta.copy()
        other[3 + marker] += 1.0
        costs.append(soupy._backgrounds(other)[0])
    assert costs[0] < costs[1] - 0.2
    assert costs[1] <= costs[2] + 1e-9


def test_more_background_than_three_tenths_of_the_soup_costs(model):
    soupy = replace(model, soup=Soup((100.0, 100.0, 1e5), 1e6))
    theta = soupy.prior_mean.copy()
    theta[3:6] += np.log([0.1, 0.6, 0.29]) - mixture.SOUP_MEAN
    excess, by_theta = soupy._contamination(theta, soupy.soup)
    np.testing.assert_array_equal(excess > 0, [False, True, False])
    assert excess[1] == pytest.approx(np.log(2) / np.hypot(mixture.SOUP_MOST_SD, (1 / 100.5) ** 0.5))
    assert np.flatnonzero(by_theta[1]).tolist() == [1, 4]
    assert not by_theta[[0, 2]].any()


def test_the_soup_enters_the_value_and_its_gradient(table, model):
    soupy = replace(model, soup=Soup((3.0, 5.0, 2000.0), 1e6))
    theta = soupy.prior_mean.copy()
    theta[3:6] += 2.0
    here, step = soupy.evaluate(theta, table), 1e-5
    for index in range(len(theta)):
        ends = [soupy.evaluate(theta + sign * step * np.eye(len(theta))[index], table).value for sign in (-1, 1)]
        assert here.gradient[index] == pytest.approx((ends[1] - ends[0]) / (2 * step), rel=1e-3, abs=1e-4)


def test_the_model_of_the_other_markers_keeps_their_levels_and_soup(model):
    smaller = replace(model, soup=Soup((3.0, 5.0, 2000.0), 1e6)).without(1)
    assert smaller == Model((2e-4, 0.1), 2, soup=Soup((3.0, 2000.0), 1e6))
    assert model.without(0) == Model((3e-4, 0.1), 2)


def test_a_rich_soup_allows_more_background_than_the_levels_alone_would(model):
    poor, rich = (replace(model, soup=Soup((counts, counts, 1e5), 1e6)) for counts in (1.0, 1e4))
    highest = [np.exp(made.bounds[1][3:6]) for made in (model, poor, rich)]
    np.testing.assert_allclose(highest[0], 0.1)
    np.testing.assert_allclose(highest[1][:2], 0.1)
    np.testing.assert_allclose(highest[2][:2], 0.3 * 1e-2 / np.array(model.level[:2]), rtol=1e-3)
