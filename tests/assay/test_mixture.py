"""mixture: patterns, weights, priors and densities are what they are said to be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import gammaln, logsumexp
from scipy.stats import nbinom

from scdiff.assay import penalties, priors
from scdiff.assay.densities import GRID, GRID_WEIGHT, draw_counts, off_log_density, on_log_density
from scdiff.assay.mixture import Model, Soup
from scdiff.assay.priors import N_NODES, REFERENCE_DEPTH
from scdiff.assay.table import tabulate

MODEL = Model((2e-4, 3e-4, 0.1), 2)
SOUP = slice(3, 6)
"""Where the theta of three markers holds ln soup."""
logits = arrays(float, 8, elements=st.floats(-10, 10))
slopes = st.floats(-2, 2)


def test_the_grid_is_a_symmetric_distribution():
    assert GRID_WEIGHT.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(GRID, -GRID[::-1])
    np.testing.assert_allclose(GRID_WEIGHT, GRID_WEIGHT[::-1])
    variance = float(GRID_WEIGHT @ GRID**2)
    assert variance == pytest.approx(1.0, abs=0.1)


def test_mean_activity_is_one_for_every_spread():
    for spread in (0.1, 0.5, 1.0):
        assert GRID_WEIGHT @ np.exp(spread * GRID - spread**2 / 2) == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize(
    ("n_markers", "min_markers", "n_positive"),
    [(1, 1, 1), (2, 2, 1), (3, 2, 4), (3, 1, 7), (3, 3, 1)],
)
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
    theta[16], theta[MODEL.layout.patterns] = slope, values
    return theta


def test_the_parts_of_theta_lie_end_to_end():
    n_theta = len(MODEL.prior_mean)
    places = np.arange(n_theta)
    assert MODEL.layout.slope == 16
    assert places[MODEL.layout.nodes].tolist() == list(range(18, 18 + N_NODES))
    assert places[MODEL.layout.patterns].tolist() == list(range(18 + N_NODES, n_theta))
    assert n_theta == 18 + N_NODES + 8


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
@given(values=arrays(float, N_NODES, elements=st.floats(-12, 12)), shift=st.floats(-5, 5))
def test_law_node_weights_sum_to_one_and_know_only_differences(values, shift):
    found = []
    for by in (0.0, shift):
        theta = MODEL.prior_mean.copy()
        theta[MODEL.layout.nodes] = values + by
        found.append(MODEL.parameters(theta).node_weight)
    assert found[0].sum() == pytest.approx(1.0)
    np.testing.assert_allclose(found[0], np.exp(values - logsumexp(values)), rtol=1e-9)
    np.testing.assert_allclose(*found, rtol=1e-9)


@settings(max_examples=50, deadline=None)
@given(weight=arrays(float, 8, elements=st.floats(1e-6, 1)), slope=slopes)
def test_law_theta_with_a_weight_has_that_weight(table, weight, slope):
    weight = weight / weight.sum()
    theta = MODEL.with_weight(theta_of(np.zeros(8), slope), table, weight)
    np.testing.assert_allclose(MODEL.average_weight(theta, table), weight, atol=1e-7)
    assert theta[16] == slope
    before = slice(0, MODEL.layout.patterns.start)
    np.testing.assert_array_equal(theta[before], theta_of(0.0, slope)[before])


def test_a_slope_makes_deep_cells_express_more_often_and_leaves_the_kinds_of_expression_alike(
    table,
):
    weight = MODEL.weights(theta_of(np.zeros(8), 0.8), table).weight
    order = np.argsort(table.depth)
    assert (np.diff(weight[order, 0]) <= 1e-12).all()
    np.testing.assert_allclose(weight[:, 1:], np.broadcast_to(weight[:, 1:2], (len(weight), 7)))
    flat = MODEL.weights(theta_of(np.zeros(8), 0.0), table).weight
    np.testing.assert_allclose(flat, 1 / 8)


# --- the prior of partial and of positive patterns ------------------------------------------------


def excess_cost(table, weight, *, held=False):
    weights = MODEL.weights(theta_of(np.log(weight), 0.0), table)
    return penalties.excess_cost(
        weights, table.weight, MODEL.patterns, MODEL.positive, MODEL.layout, held=held
    )


def student(away, freedom):
    return (freedom + 1) / 2 * np.log(1 + away**2 / freedom)


def test_partial_patterns_cost_only_where_they_are_many(table):
    few, many = np.full(8, 1e-4), np.full(8, 1e-4)
    many[4], few[0], many[0] = 0.2, 1.0, 0.8
    cost, gradient, curvature = excess_cost(table, few)
    assert cost == 0
    assert not gradient.any()
    assert not curvature.any()
    away = (np.log(0.2 / many.sum()) - priors.PARTIAL) / priors.PARTIAL_SD
    expected = student(away, priors.EXCESS_FREEDOM)
    assert away > 1
    assert excess_cost(table, many)[0] == pytest.approx(expected, abs=1e-9)


def test_positive_patterns_cost_by_their_sum(table):
    """Of the four positive patterns each is below the share that costs nothing; together not."""
    weight = np.full(8, 1e-4)
    weight[MODEL.positive] = np.exp(priors.POSITIVE) * 0.9
    weight[0] = 1 - weight[1:].sum()
    away = (np.log(weight[MODEL.positive].sum()) - priors.POSITIVE) / priors.POSITIVE_SD
    cost = excess_cost(table, weight)[0]
    assert cost == pytest.approx(student(away, priors.EXCESS_FREEDOM), abs=1e-9)
    assert cost > 0.3


def test_the_excess_has_heavy_tails(table):
    """Each doubling costs less than the one before: far off, the counts decide."""
    costs = []
    for share in (0.1, 0.2, 0.4, 0.8):
        weight = np.full(8, 1e-7)
        weight[4], weight[0] = share, 1 - share
        costs.append(excess_cost(table, weight)[0])
    steps = np.diff(costs)
    assert (steps > 0).all()
    assert (np.diff(steps) < 0).all()
    assert costs[-1] < (priors.EXCESS_FREEDOM + 1) * np.log(1 + 9)
    curvature = excess_cost(table, np.full(8, 1 / 8))[2]
    assert np.linalg.eigvalsh(curvature).min() > -1e-9


def test_a_held_prevalence_costs_but_does_not_pull(table):
    weight = np.full(8, 1e-6)
    weight[7], weight[0] = 0.5, 0.5
    free, held = excess_cost(table, weight), excess_cost(table, weight, held=True)
    assert free[0] == pytest.approx(held[0])
    assert np.abs(free[1]).max() > 0.1
    assert not held[1].any()
    assert not held[2].any()


# --- the prior of the soup ------------------------------------------------------------------------


def soup_cost(model, *moved):
    """Cost of a composition of the soup that is moved away from the expected one."""
    theta = model.prior_mean.copy()
    theta[SOUP] = model.composition[0] + moved
    return penalties.soup_cost(theta, model.layout, *model.composition)


def test_an_unknown_soup_is_expected_to_be_like_positive_cells(model):
    centre, spread = model.composition
    np.testing.assert_array_equal(centre, 0.0)
    np.testing.assert_array_equal(spread, priors.COMPOSITION_SPREAD)
    assert soup_cost(model, 0, 0, 0)[0] == 0
    assert soup_cost(model, 0.7, 0, 0)[0] == pytest.approx(soup_cost(model, 0, -0.7, 0)[0])


def test_a_counted_soup_is_expected_as_counted(model):
    """Relative to the richest marker; a marker with few counts in the soup may differ more."""
    soupy = replace(model, soup=Soup((3.0, 900.0, 9000.0), 1e6))
    centre, spread = soupy.composition
    ratio = np.array([3.5, 900.5, 9000.5]) / (1e6 + 1) / np.array(model.level)
    np.testing.assert_allclose(np.exp(centre), ratio / ratio.max())
    noise = 1 / np.array([3.5, 900.5, 9000.5])
    np.testing.assert_allclose(spread**2, priors.KNOWN_SPREAD**2 + noise)
    costs = [soup_cost(soupy, *(1.0 * np.eye(3)[marker]))[0] for marker in range(3)]
    assert costs[0] < costs[1] - 0.2
    assert costs[1] <= costs[2] + 1e-9
    assert costs[1] > soup_cost(model, 0, 1, 0)[0] + 0.5


@settings(max_examples=60, deadline=None)
@given(moved=arrays(float, 3, elements=st.floats(-12, 3)), known=st.booleans())
def test_law_the_soup_costs_what_students_tails_cost(moved, known):
    model = replace(MODEL, soup=Soup((3.0, 900.0, 9000.0), 1e6) if known else None)
    cost, gradient, curvature = soup_cost(model, *moved)
    spread = model.composition[1]
    assert cost == pytest.approx(student(moved / spread, priors.FREEDOM).sum())
    bend = (priors.FREEDOM + 1) / (priors.FREEDOM + (moved / spread) ** 2) / spread**2
    np.testing.assert_allclose(np.diag(curvature)[SOUP], bend)
    np.testing.assert_allclose(gradient[SOUP], bend * moved, atol=1e-12)
    rest = curvature - np.diag(np.diag(curvature))
    assert not rest.any()
    assert not np.delete(gradient, range(3, 6)).any()
    assert not np.delete(np.diag(curvature), range(3, 6)).any()


def test_one_soup_far_off_costs_little_more_than_one_off(model):
    near, off, farther = (soup_cost(model, 0.3, -0.3, by)[0] for by in (0, -4, -9))
    assert near < 1
    assert farther - off < 3
    assert off - near < 8


def test_the_soup_enters_the_value_and_its_gradient(table, model):
    soupy = replace(model, soup=Soup((3.0, 5.0, 2000.0), 1e6))
    theta = soupy.prior_mean.copy()
    theta[SOUP] -= 2.0
    here, step = soupy.evaluate(theta, table), 1e-5
    for index in range(len(theta)):
        moves = [sign * step * np.eye(len(theta))[index] for sign in (-1, 1)]
        ends = [soupy.evaluate(theta + move, table).value for move in moves]
        slope = (ends[1] - ends[0]) / (2 * step)
        assert here.gradient[index] == pytest.approx(slope, rel=1e-3, abs=1e-4)


# --- what is fixed --------------------------------------------------------------------------------


def test_parameters_at_the_prior_centre(model):
    parameters, level = model.parameters(model.prior_mean), np.array(model.level)
    np.testing.assert_allclose(parameters.level, level)
    np.testing.assert_allclose(parameters.soup, level)
    np.testing.assert_allclose(parameters.leak, np.exp(priors.LEAK) * level)
    np.testing.assert_allclose(parameters.on_size, np.exp(priors.ON_SIZE))
    np.testing.assert_allclose(parameters.off_size, np.exp(priors.OFF_SIZE))
    np.testing.assert_allclose(parameters.weight, 1 / 8)
    spreads = (parameters.activity, parameters.slope, parameters.tilt)
    assert spreads == pytest.approx((np.exp(priors.ACTIVITY), 0.0, priors.TILT))
    np.testing.assert_array_equal(parameters.nodes, model.nodes)
    assert parameters.most == model.most


def test_the_prior_takes_much_contamination_for_rare(model):
    """Nodes up to a share are alike; beyond it a node costs in proportion to its logarithm."""
    weight = model.parameters(model.prior_mean).node_weight
    low = model.nodes <= priors.RARE_ABOVE
    np.testing.assert_allclose(weight[low], weight[0])
    times = (model.nodes[~low] / priors.RARE_ABOVE) ** -priors.RARE_SLOPE
    np.testing.assert_allclose(weight[~low] / weight[0], times)
    assert weight[~low].size > 0


def test_theta_of_natural_parameters_comes_back(model, truth, to_theta):
    parameters = truth(0.1, model, ratio=0.03, slope=0.4, tilt=-0.5)
    again = model.parameters(to_theta(parameters, model))
    for name, value in parameters._asdict().items():
        np.testing.assert_allclose(getattr(again, name), value, rtol=1e-7, atol=1e-11, err_msg=name)


def test_prior_is_proper_and_inside_the_bounds(model):
    soup = penalties.soup_cost(model.prior_mean + 0.1, model.layout, *model.composition)[2]
    assert (np.linalg.eigvalsh(model.prior_precision + soup) > 0).all()
    np.testing.assert_array_equal(model.prior_precision, model.prior_precision.T)
    low, high = model.bounds
    assert (low < model.prior_mean).all()
    at_most = np.zeros(len(low), dtype=bool)
    at_most[SOUP] = True  # the soup is relative to the most there can be
    assert (model.prior_mean[~at_most] < high[~at_most]).all()
    assert (model.prior_mean[at_most] <= high[at_most]).all()


def test_the_witness_is_the_most_abundant_marker_where_it_is_abundant_and_not_alone():
    high, low = priors.ABUNDANT, priors.ABUNDANT * 0.99
    assert Model((1e-4, high, 2e-4), 2).witness == 1
    assert Model((high, 1e-4, 2 * high), 2).witness == 2
    assert Model((1e-4, low), 2).witness is None
    assert Model((1e-4, high), 1).witness is None
    assert Model((high,), 1).witness is None


def test_how_far_contamination_may_reach(model):
    assert model.most == priors.MOST_CONTAMINATION
    assert Model((1e-4, 2e-4), 2).most == priors.MOST_SCARCE
    assert replace(model, reach=0.01).most == 0.01
    assert replace(model, reach=0.8).most == 0.8
    assert replace(Model((1e-4, 2e-4), 2), reach=0.8).most == 0.8


def test_a_rich_soup_allows_more_contamination_than_a_poor_one(model):
    """A droplet full of soup holds the richest marker at some share of a positive cell's level."""
    soups = [Soup((count, 10.0, 1e3), 1e6) for count in (1.0, 100.0, 1e4)]
    most = [replace(model, soup=soup).most for soup in soups]
    shares = [(soup.share / np.array(model.level)).max() for soup in soups]
    assert most[0] == pytest.approx(priors.MOST_SOUP * shares[0])
    assert most[1] == pytest.approx(priors.MOST_SOUP * shares[1])
    assert most[2] == pytest.approx(priors.MOST_SOUP * shares[2])
    assert most[0] < most[1] < most[2]
    nothing = replace(model, soup=Soup((0.0, 0.0, 0.0), 1e9))
    assert nothing.most == 10 * priors.LEAST_CONTAMINATION
    assert replace(model, soup=soups[0], reach=1.0).most == most[0]


POOR, RICH = Soup((0.0, 0.0, 0.0), 1e9), Soup((9.0, 9.0, 9e4), 1e6)


@pytest.mark.parametrize("known", [{}, {"reach": 1.1}, {"soup": POOR}, {"soup": RICH}])
def test_nodes_go_in_equal_steps_from_the_least_to_the_most(model, known):
    made = replace(model, **known)
    nodes = made.nodes
    assert nodes.shape == (N_NODES,)
    assert (nodes[0], nodes[-1]) == pytest.approx((priors.LEAST_CONTAMINATION, made.most))
    np.testing.assert_allclose(np.diff(np.log(nodes)), np.log(nodes[-1] / nodes[0]) / (N_NODES - 1))


def test_the_level_of_the_witness_stays_above_all_contamination(model):
    """A cell that expresses it is not to be taken for one full of soup."""
    for made in (model, replace(model, reach=0.8), replace(model, soup=Soup((5.0, 5.0, 8e4), 1e6))):
        least = np.exp(made.bounds[0][:3]) / np.array(model.level)
        expected = max(priors.MOST_CONTAMINATION, made.most)
        np.testing.assert_allclose(least, [priors.LEVEL_MIN, priors.LEVEL_MIN, expected])
    scarce = Model((1e-4, 2e-4), 2)
    least = np.exp(scarce.bounds[0][:2]) / np.array(scarce.level)
    np.testing.assert_allclose(least, priors.LEVEL_MIN)


def test_the_model_of_the_other_markers_keeps_their_levels_and_soup(model):
    smaller = replace(model, soup=Soup((3.0, 5.0, 2000.0), 1e6)).without(1)
    assert smaller == Model((2e-4, 0.1), 2, soup=Soup((3.0, 2000.0), 1e6))
    assert model.without(0) == Model((3e-4, 0.1), 2)


# --- contamination and depth ----------------------------------------------------------------------


def test_contamination_grows_with_the_node_and_ends_at_the_most(model, truth):
    parameters = truth(0.1, model, tilt=0.7)._replace(nodes=np.array([1e-4, 0.01, 0.4, 50.0]))
    found = parameters.contamination([500, REFERENCE_DEPTH, 40_000])
    assert found.shape == (3, 4)
    assert (np.diff(found, axis=1) > 0).all()
    assert (found <= parameters.most).all()
    assert found[1, -1] == pytest.approx(parameters.most)
    np.testing.assert_allclose(found[1, :2], [1e-4, 0.01], rtol=0.02)
    np.testing.assert_allclose(found[:, 0], 1e-4 * np.array([1 / 8, 1, 10]) ** 0.7, rtol=1e-2)


@settings(max_examples=60, deadline=None)
@given(tilt=st.floats(-1.3, 1), depth=st.floats(100, 1e5), most=st.floats(0.1, 1.2))
def test_law_contamination_is_below_the_node_and_follows_the_tilt(truth, tilt, depth, most):
    parameters = truth(0.1, MODEL)._replace(tilt=tilt, most=most)
    found = parameters.contamination([depth])[0]
    taken = parameters.nodes * (depth / REFERENCE_DEPTH) ** tilt
    assert (found <= np.minimum(taken, most) * (1 + 1e-12)).all()
    expected = [most * (1 - np.exp(-value / most)) for value in taken]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_constant_volume_of_soup_gives_the_same_counts_at_every_depth(model, truth):
    parameters = truth(0.0, model, tilt=-1.0)
    depth = np.array([2_000.0, 4_000.0, 16_000.0])
    counts = parameters.contamination(depth)[:, :5] * depth[:, None]
    np.testing.assert_allclose(counts, np.broadcast_to(counts[:1], counts.shape), rtol=0.01)


def test_background_is_the_mean_over_the_nodes(model, truth):
    parameters = truth(0.1, model, ratio=0.05)
    expected = 0.0
    for node, weight in zip(parameters.nodes, parameters.node_weight, strict=True):
        held = parameters.most * (1 - np.exp(-node / parameters.most))
        expected = expected + weight * (parameters.soup * held + parameters.leak)
    np.testing.assert_allclose(parameters.background, expected)
    np.testing.assert_allclose(parameters.background, 0.05 * np.array(model.level), rtol=0.1)


def test_densities_are_negative_binomials(model, truth):
    parameters = truth(0.1, model, tilt=-0.4)
    counts, depth = np.array([0.0, 3.0, 400.0]), np.array([900.0, 4_000.0, 20_000.0])
    tail, few_level, few_size = priors.TAIL, priors.TAIL_LEVEL, priors.TAIL_SIZE
    for index in range(3):
        on, size = on_log_density(parameters, index, counts, depth), parameters.on_size[index]
        on = on - gammaln(counts + 1)[:, None]
        for place, z in enumerate(GRID):
            expressed = parameters.level[index] * np.exp(0.2 * z - 0.02) * depth
            parts = ((size, expressed), (few_size, few_level * expressed))
            most, few = (nbinom.pmf(counts, r, r / (r + mean)) for r, mean in parts)
            expected = np.log((1 - tail) * most + tail * few)
            np.testing.assert_allclose(on[:, place], expected, rtol=1e-9)
        off, size = off_log_density(parameters, index, counts, depth), parameters.off_size[index]
        off = off - gammaln(counts + 1)[:, None]
        assert off.shape == (3, N_NODES)
        for place, node in enumerate(model.nodes):
            taken = node * (depth / REFERENCE_DEPTH) ** -0.4
            held = model.most * (1 - np.exp(-taken / model.most))
            mean = (parameters.soup[index] * held + parameters.leak[index]) * depth
            expected = nbinom.logpmf(counts, size, size / (size + mean))
            np.testing.assert_allclose(off[:, place], expected, rtol=1e-9)


@pytest.mark.parametrize("on", [(0, 0, 0), (1, 0, 1), (0, 1, 0), (1, 1, 1)])
def test_drawn_counts_follow_the_densities(model, truth, on):
    """Shares of every small count among 40,000 draws, give or take five standard errors."""
    n_draws, depth = 40_000, 6_000.0
    parameters = truth(0.1, model, ratio=0.03, tilt=-0.5)
    states = np.tile(np.array(on, dtype=bool), (n_draws, 1))
    drawn = draw_counts(parameters, states, np.full(n_draws, depth), np.random.default_rng(0))
    assert drawn.shape == (n_draws, 3)
    for index in range(3):
        counts = np.arange(drawn[:, index].max() + 1)
        at = np.full(len(counts), depth)
        if on[index]:
            log_density, weight = on_log_density(parameters, index, counts, at), GRID_WEIGHT
        else:
            log_density = off_log_density(parameters, index, counts, at)
            weight = parameters.node_weight
        share = np.exp(log_density - gammaln(counts + 1)[:, None]) @ weight
        mean = float(counts @ share)
        error = 5 * np.sqrt(mean / n_draws)
        assert drawn[:, index].mean() == pytest.approx(mean, rel=0.03, abs=error)
        seen = np.bincount(drawn[:, index].astype(int)) / n_draws
        error = 5 * np.sqrt(share / n_draws) + 0.02 * share + 1e-4
        assert (np.abs(seen - share)[:30] <= error[:30]).all()


def test_drawn_markers_share_contamination_where_off_and_activity_where_on(model, truth):
    n_draws, depth = 20_000, np.full(20_000, 50_000.0)
    rates = {"level": np.full(3, 0.01), "soup": np.full(3, 0.1)}
    sizes = {"activity": 0.5, "on_size": np.full(3, 30.0), "off_size": np.full(3, 90.0)}
    parameters = truth(0.1, model, ratio=0.05)._replace(**rates, **sizes)
    generator = np.random.default_rng(0)
    found = []
    for on in ((0, 0, 0), (1, 1, 1), (1, 0, 0), (1, 1, 0)):
        states = np.tile(np.array(on, dtype=bool), (n_draws, 1))
        counts = draw_counts(parameters, states, depth, generator)
        found.append(np.corrcoef(np.log(counts + 1).T))
    assert found[0][0, 1] > 0.5
    assert found[1][0, 1] > 0.5
    assert abs(found[2][0, 1]) < 0.05
    assert found[2][1, 2] > 0.5
    assert found[3][0, 1] > 0.5
    assert abs(found[3][0, 2]) < 0.05


def test_evaluate_leaves_theta_alone(model):
    theta = model.prior_mean.copy()
    model.evaluate(theta, tabulate([[0, 1, 20]], [4_000]), 0.3)
    np.testing.assert_array_equal(theta, model.prior_mean)
