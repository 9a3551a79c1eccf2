"""mixture: patterns, weights, priors and densities are what they are said to be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import gammaln
from scipy.stats import nbinom

from scdiff.assay import mixture
from scdiff.assay.mixture import GRID, GRID_WEIGHT, Model, off_log_density, on_log_density
from scdiff.assay.table import tabulate

logits = arrays(float, 8, elements=st.floats(-10, 10))


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


@settings(max_examples=50, deadline=None)
@given(values=logits, prevalence=st.one_of(st.none(), st.floats(0, 1)))
def test_weights_sum_to_one_and_hold_the_prevalence(values, prevalence):
    model = Model((2e-4, 3e-4, 0.1), 2)
    weight = model.weights(values, prevalence)
    assert (weight >= 0).all()
    assert weight.sum() == pytest.approx(1.0)
    if prevalence is not None:
        assert weight[model.positive].sum() == pytest.approx(prevalence)


@settings(max_examples=50, deadline=None)
@given(values=logits, shift=st.floats(-5, 5))
def test_weights_know_only_differences_of_logits(values, shift):
    model = Model((2e-4, 3e-4, 0.1), 2)
    np.testing.assert_allclose(model.weights(values), model.weights(values + shift), rtol=1e-9)


def test_parameters_at_the_prior_centre(model):
    parameters = model.parameters(model.prior_mean)
    np.testing.assert_allclose(parameters.level, model.level)
    np.testing.assert_allclose(parameters.background, 0.01 * np.array(model.level))
    np.testing.assert_allclose(parameters.on_size, 3.0)
    np.testing.assert_allclose(parameters.off_size, 10.0)
    np.testing.assert_allclose(parameters.weight, 1 / 8)
    assert parameters.spread == pytest.approx(0.5)


def test_prior_is_proper_and_inside_the_bounds(model):
    assert (np.linalg.eigvalsh(model.prior_precision) > 0).all()
    np.testing.assert_array_equal(model.prior_precision, model.prior_precision.T)
    low, high = model.bounds
    assert (low < model.prior_mean).all()
    assert (model.prior_mean < high).all()


@pytest.mark.parametrize("n_markers", [1, 2, 3])
def test_ratios_share_an_unknown_centre(n_markers):
    """The precision is the inverse of: own spread on the diagonal, the spread of the shared centre everywhere."""
    model = Model((1e-3,) * n_markers, 1)
    ratios = slice(n_markers, 2 * n_markers)
    covariance = mixture.RATIO_SPREAD**2 * np.eye(n_markers) + mixture.RATIO_SD**2
    np.testing.assert_allclose(np.linalg.inv(model.prior_precision[ratios, ratios]), covariance)


def test_densities_are_negative_binomials(model, truth):
    parameters = truth(0.1, model)
    counts, depth = np.array([0.0, 3.0, 400.0]), np.array([900.0, 4_000.0, 20_000.0])
    for index in range(3):
        mean, size = (parameters.background + parameters.level)[index] * depth, parameters.on_size[index]
        expected = nbinom.logpmf(counts, size, size / (size + mean))
        np.testing.assert_allclose(on_log_density(parameters, index, counts, depth) - gammaln(counts + 1), expected, rtol=1e-9)
        off, size = off_log_density(parameters, index, counts, depth) - gammaln(counts + 1)[:, None], parameters.off_size[index]
        for place, z in enumerate(GRID):
            mean = parameters.background[index] * depth * np.exp(0.5 * z - 0.125)
            np.testing.assert_allclose(off[:, place], nbinom.logpmf(counts, size, size / (size + mean)), rtol=1e-9)


def test_evaluate_leaves_theta_alone(model):
    theta = model.prior_mean.copy()
    model.evaluate(theta, tabulate([[0, 1, 20]], [4_000]), 0.3)
    np.testing.assert_array_equal(theta, model.prior_mean)
