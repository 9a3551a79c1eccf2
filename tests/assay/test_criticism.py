"""criticism: each check fires on a made-up case and is silent on a good fit."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import nbinom
from stated import case_of

from scdiff.assay import priors
from scdiff.assay.criticism import CHECKS, Case, Finding, criticise, joint_zeros
from scdiff.assay.densities import GRID, GRID_WEIGHT
from scdiff.assay.fit import fit_at, fit_mixture
from scdiff.assay.mixture import Model
from scdiff.assay.priors import REFERENCE_DEPTH, TAIL, TAIL_LEVEL, TAIL_SIZE
from scdiff.assay.table import tabulate

NAMES = (
    "calls",
    "contradiction",
    "contested",
    "rival",
    "bounds",
    "levels",
    "background",
    "joint zeros",
)


@pytest.fixture(scope="module")
def good(model, truth, draw):
    """Maker of a case fitted to cells that are as the model says."""
    known = {}

    def make(prevalence, ratio=0.01):
        if (prevalence, ratio) not in known:
            parameters = truth(prevalence, model, ratio=ratio)
            cells = draw(parameters, model, n_cells=3_000, depth=6_000, seed=1)
            fit = fit_mixture(tabulate(cells.counts, cells.depth), model)
            known[prevalence, ratio] = case_of(fit)
        return known[prevalence, ratio]

    return make


@pytest.fixture
def known_fit(model, truth, to_theta):
    """Maker of a fit of given counts at given parameters."""

    def make(counts, depth, parameters, made=model):
        table = tabulate(counts, depth)
        return fit_at(table, made, to_theta(parameters, made), evidence_of_positives=900.0)

    return make


def case(fit, **said):
    """A case of a fit that was detected, with an interval around its prevalence."""
    p = fit.prevalence
    plain = Case(fit, int(fit.table.n_cells * p), p, 0.8 * p, 1.2 * p, 0.9, 0.0, "quantified")
    return plain._replace(**said)


def find(name, made):
    found = CHECKS[name].function(made)
    assert criticise(made)[name] == found
    return found


def test_the_checks_are_those_that_are_tested():
    assert {card.name for card in CHECKS.cards()} == set(NAMES)


GOOD = [(0.0, 0.01), (0.05, 0.01), (0.3, 0.01), (0.05, 0.1), (1.0, 0.01)]


@pytest.mark.slow
@pytest.mark.parametrize(("prevalence", "ratio"), GOOD)
def test_no_check_fires_on_a_good_fit(good, prevalence, ratio):
    found = criticise(good(prevalence, ratio))
    assert set(found) == set(NAMES)
    assert not [finding.reason for finding in found.values() if not finding.passed]
    assert all(np.isfinite(finding.value) for finding in found.values())


def test_a_finding_fails_above_its_limit_only():
    assert Finding(1.0, 1.0, "").passed
    assert not Finding(np.nextafter(1.0, 2.0), 1.0, "").passed


# --- calls ----------------------------------------------------------------------------------------


def test_a_number_without_called_cells_is_not_believed(good):
    made = good(0.05)
    found = find("calls", made._replace(low=0.1, n_called=1))
    assert not found.passed
    assert "10.0%" in found.reason
    assert "only 1 can be called" in found.reason
    enough = int(priors.UNCALLED * 0.1 * made.fit.table.n_cells)
    assert find("calls", made._replace(low=0.1, n_called=enough, sensitivity=0.0)).passed
    assert find("calls", made._replace(low=priors.RELEVANT_DIFFERENCE / 2, n_called=0)).passed


def test_cells_that_express_the_markers_must_be_called_where_the_depth_allows(good):
    made = good(0.05)
    positive = made.fit.table.n_cells * made.prevalence
    deep, shallow = (
        made._replace(sensitivity=value, n_called=int(0.3 * positive)) for value in (0.9, 0.4)
    )
    assert not find("calls", deep).passed
    assert find("calls", shallow).passed


@settings(max_examples=40, deadline=None)
@given(low=st.floats(0, 1), n_called=st.integers(0, 3_000))
def test_law_more_called_cells_never_fail(good, low, n_called):
    made = good(0.05)
    few, more = (made._replace(low=low, n_called=n) for n in (n_called, n_called + 1))
    assert find("calls", more).value <= find("calls", few).value


# --- contradiction --------------------------------------------------------------------------------


def test_an_interval_above_zero_beside_not_detected_is_a_contradiction(good):
    made = good(0.05)._replace(low=0.04, blank=0.0)
    found = find("contradiction", made._replace(verdict="not detected"))
    assert not found.passed
    assert "4.0%" in found.reason
    for said in ("detected", "quantified", "not measurable"):
        assert find("contradiction", made._replace(verdict=said)).passed
    assert find("contradiction", made._replace(verdict="not detected", blank=0.05)).passed
    small = made._replace(verdict="not detected", low=priors.RELEVANT_DIFFERENCE)
    assert find("contradiction", small).passed


# --- contested ------------------------------------------------------------------------------------


def contested_counts(rate, pdx1=6, nkx=0):
    """900 empty cells, and 100 with PDX1 and the witness at a rate, in typical levels."""
    counts = np.zeros((1_000, 3))
    counts[:100] = pdx1, nkx, rate * 0.1 * 5_000
    return counts, np.full(1_000, 5_000.0)


def dirty(truth, model, prevalence):
    """Parameters of a batch in which every contamination is met."""
    parameters = truth(prevalence, model)
    flat = np.full(len(parameters.nodes), 1 / len(parameters.nodes))
    weight = parameters.weight.copy()
    weight[[5, 7]] = weight[7], weight[5]  # PDX1 and INS on: the most common positives
    return parameters._replace(node_weight=flat, weight=weight)


def contested_by_hand(fit):
    """Cells that are positive if INS is on and not if it is off, where it is low."""
    total, witness = 0.0, fit.table.markers[2]
    patterns = list(product([False, True], repeat=3))
    for row, weight in enumerate(fit.table.weight):
        count, depth = (values[witness.row[row]] for values in (witness.counts, witness.depth))
        chance = dict(zip(patterns, fit.pattern[row], strict=True))
        positive = sum(p for on, p in chance.items() if sum(on) >= 2)
        off = sum(p for on, p in chance.items() if not on[2])
        if count / depth < 0.1 * priors.GREY and off > priors.NO_DOUBT:
            total += weight * max(positive - chance[True, True, False] / off, 0.0)
    return total / fit.table.weight.sum()


def test_cells_that_are_positive_by_a_low_witness_alone_are_contested(model, truth, known_fit):
    parameters = dirty(truth, model, 0.1)
    made = case(known_fit(*contested_counts(0.35), parameters), prevalence=0.1)
    found = find("contested", made)
    assert not found.passed
    mass = contested_by_hand(made.fit)
    assert found.value == pytest.approx(mass / 0.1)
    assert f"{mass:.1%} of the cells" in found.reason


def test_a_high_witness_or_enough_other_markers_settle_it(model, truth, known_fit):
    parameters = dirty(truth, model, 0.1)
    high = case(known_fit(*contested_counts(1.5), parameters), prevalence=0.1)
    others = case(known_fit(*contested_counts(0.35, nkx=9), parameters), prevalence=0.1)
    assert find("contested", high).passed
    assert find("contested", others).passed


def test_nothing_is_contested_without_a_witness_or_without_positives(truth, model, known_fit):
    scarce = Model((2e-4, 3e-4, 4e-4), 2)
    assert scarce.witness is None
    parameters = dirty(truth, scarce, 0.1)
    counts = np.repeat([[6, 0, 6], [0, 0, 0]], [100, 900], axis=0)
    made = case(known_fit(counts, np.full(1_000, 5_000.0), parameters, scarce), prevalence=0.1)
    assert find("contested", made).value == 0
    low = case(known_fit(*contested_counts(0.35), dirty(truth, model, 0.1)), prevalence=0.001)
    assert find("contested", low._replace(verdict="not detected")).value == 0
    assert not find("contested", low._replace(verdict="detected")).passed


# --- bounds ---------------------------------------------------------------------------------------


def at_bound(model, truth, draw, to_theta, *, pattern, above=0.0):
    """A case whose witness is at its lowest level, the positives all of one pattern."""
    weight = np.full(8, 1e-6)
    weight[[0, pattern]] = 0.9, 0.1
    parameters = truth(0.1, model)._replace(weight=weight / weight.sum())
    cells = draw(parameters, model, n_cells=1_000, depth=6_000, seed=2)
    theta = to_theta(parameters, model)
    theta[2] = model.bounds[0][2] + above
    table = tabulate(cells.counts, cells.depth)
    return case(fit_at(table, model, theta, evidence_of_positives=900.0))


def test_a_witness_at_its_lowest_level_is_told_where_needed(model, truth, draw, to_theta):
    found = find("bounds", at_bound(model, truth, draw, to_theta, pattern=5))
    assert not found.passed
    assert found.value == pytest.approx(1.0, abs=0.05)
    assert find("bounds", at_bound(model, truth, draw, to_theta, pattern=5, above=0.01)).value == 0
    assert find("bounds", at_bound(model, truth, draw, to_theta, pattern=7)).passed
    assert find("bounds", at_bound(model, truth, draw, to_theta, pattern=6)).passed


def test_models_without_a_witness_have_no_level_to_tell(truth, known_fit):
    scarce = Model((2e-4, 3e-4), 1)
    fit = known_fit(np.zeros((60, 2)), np.full(60, 5_000.0), truth(0.2, scarce), scarce)
    found = criticise(case(fit))
    assert found["bounds"].value == found["levels"].value == found["contested"].value == 0


# --- levels ---------------------------------------------------------------------------------------


TIMES = [(0.3, False), (0.9, False), (1.2, True), (3.0, True), (20.0, True)]


@pytest.mark.parametrize(("times", "passed"), TIMES)
def test_levels_far_below_the_typical_ones_are_told(model, truth, known_fit, times, passed):
    """Relative to the lowest level that passes."""
    parameters = truth(0.1, model)
    level = parameters.level * priors.LOW_LEVEL * times
    fit = known_fit(np.zeros((60, 3)), np.full(60, 5_000.0), parameters._replace(level=level))
    found = find("levels", case(fit))
    assert found.passed is passed
    assert found.value == pytest.approx(max(1 / times, priors.LOW_LEVEL), rel=1e-6)


def test_a_high_marker_does_not_make_up_for_low_ones(model, truth, known_fit):
    parameters = truth(0.1, model)
    level = parameters.level * np.array([0.05, 0.05, 8.0])
    fit = known_fit(np.zeros((60, 3)), np.full(60, 5_000.0), parameters._replace(level=level))
    assert not find("levels", case(fit)).passed
    assert find("levels", case(fit, prevalence=0.001)).passed


@pytest.mark.parametrize(("relative", "prevalence", "witness_on", "passed"), [
    (0.5, 0.97, False, False),
    (0.9, 0.97, False, True),  # a pure culture of progenitors without insulin
    (0.5, 0.97, True, True),
    (0.5, 0.6, False, True),  # other cells show the background
])  # fmt: skip
def test_a_sample_without_negatives_needs_higher_levels(
    model, truth, known_fit, relative, prevalence, witness_on, passed
):
    parameters = truth(prevalence, model)
    without = model.patterns.sum(axis=1) == 2
    without &= ~model.patterns[:, model.witness]
    chosen = model.patterns.all(axis=1) if witness_on else without
    weight = np.where(chosen, prevalence / chosen.sum(), 0.0) + np.where(
        ~model.patterns.any(axis=1), 1 - prevalence, 0.0
    )
    level = parameters.level * np.where(np.arange(model.n_markers) == model.witness, 1.0, relative)
    fit = known_fit(
        np.zeros((60, 3)),
        np.full(60, 5_000.0),
        parameters._replace(level=level, weight=weight + 1e-9),
    )
    assert find("levels", case(fit)).passed is passed


# --- background -----------------------------------------------------------------------------------


def crowded(model, truth, known_fit, share, prevalence=0.1):
    """A case without an abundant marker in which a share of the cells is at the highest contamination."""
    model = replace(model, level=(2e-4, 3e-4, 5e-4))
    parameters = truth(prevalence, model)
    nodes = parameters.node_weight * (1 - share)
    nodes[-1] = share
    parameters = parameters._replace(node_weight=nodes / nodes.sum())
    return case(known_fit(np.zeros((60, 3)), np.full(60, 5_000.0), parameters, model))


def test_a_background_that_ends_at_the_highest_of_all_is_told(model, truth, known_fit):
    share = 2 * priors.TOP_NODE
    made = crowded(model, truth, known_fit, share)
    found = find("background", made)
    off = 1 - made.prevalence
    assert not found.passed
    assert found.value == pytest.approx(share * off, rel=1e-6)
    assert f"{share * off:.0%} of the cells" in found.reason
    assert find("background", crowded(model, truth, known_fit, 0.9 * priors.TOP_NODE)).passed


def test_a_high_background_changes_nothing_where_the_number_is_sure(model, truth, known_fit):
    made = crowded(model, truth, known_fit, 0.5)
    small = {
        "prevalence": priors.RELEVANT_DIFFERENCE,
        "low": 0.0,
        "high": priors.RELEVANT_DIFFERENCE,
    }
    assert find("background", made._replace(**small)).value == 0
    assert not find("background", made._replace(**small | {"high": 0.05})).passed
    assert not find("background", made._replace(**small | {"prevalence": 0.05})).passed


# --- joint zeros ----------------------------------------------------------------------------------


def test_markers_seen_together_in_other_numbers_are_told(model, truth, draw, known_fit):
    """Among cells as fitted, each hundredth shows the two rare markers and no INS."""
    parameters = truth(0.05, model)
    cells = draw(parameters, model, n_cells=4_000, depth=6_000, seed=3)
    assert find("joint zeros", case(known_fit(*cells[:2], parameters))).passed
    odd = cells.counts.copy()
    odd[::50] = 2, 2, 0
    assert not find("joint zeros", case(known_fit(odd, cells.depth, parameters))).passed


def test_a_fit_that_is_wrong_at_one_depth_only_is_told(model, truth, draw, known_fit):
    parameters = truth(0.05, model)
    cells = draw(parameters, model, n_cells=4_000, depth=6_000, seed=4)
    counts = cells.counts.copy()
    deep = np.argsort(cells.depth)[-1_000:]
    counts[deep[:250], :2] = 0
    counts[deep[:250], 2] = 0
    assert not find("joint zeros", case(known_fit(counts, cells.depth, parameters))).passed


def zero(size, mean):
    return nbinom.pmf(0, size, size / (size + mean))


def zeros_of(parameters, depth, g):
    """Probability of no count of a marker: on for each activity, off for each node."""
    on, off = [], []
    for z in GRID:
        activity = np.exp(parameters.activity * z - parameters.activity**2 / 2)
        mean = parameters.level[g] * depth * activity
        most, few = zero(parameters.on_size[g], mean), zero(TAIL_SIZE, TAIL_LEVEL * mean)
        on.append((1 - TAIL) * most + TAIL * few)
    for node in parameters.nodes:
        taken = node * (depth / REFERENCE_DEPTH) ** parameters.tilt
        held = parameters.most * (1 - np.exp(-taken / parameters.most))
        mean = (parameters.soup[g] * held + parameters.leak[g]) * depth
        off.append(zero(parameters.off_size[g], mean))
    return on, off


def shown_at(fit, depth, weight):
    """Probability of each set of markers seen, by a sum over all states of a cell."""
    parameters, n = fit.parameters, fit.model.n_markers
    zeros = [zeros_of(parameters, depth, g) for g in range(n)]
    found = []
    for seen in product([False, True], repeat=n):
        total = 0.0
        for pattern, share in zip(product([False, True], repeat=n), weight, strict=True):
            for a, k in product(range(len(GRID)), range(len(parameters.nodes))):
                chance = share * GRID_WEIGHT[a] * parameters.node_weight[k]
                for g in range(n):
                    none = zeros[g][0][a] if pattern[g] else zeros[g][1][k]
                    chance *= 1 - none if seen[g] else none
                total += chance
        found.append(total)
    return np.array(found)


@pytest.mark.parametrize("n_markers", [1, 2, 3])
def test_expected_joint_zeros_are_those_of_all_states(truth, draw, to_theta, n_markers):
    model = Model((4e-4, 3e-4, 0.02)[:n_markers], min(2, n_markers))
    parameters = truth(0.2, model, ratio=0.05, slope=0.5, tilt=-0.4)
    rng = np.random.default_rng(n_markers)
    depth = rng.choice([700, 2_000, 5_000, 9_000, 30_000], 80)
    table = tabulate(rng.poisson(0.7, (80, n_markers)), depth)
    fit = fit_at(table, model, to_theta(parameters, model), evidence_of_positives=0.0)
    seen, expected = joint_zeros(fit, n_depths=3)
    weights = model.weights(fit.theta, table).weight
    by_hand, counted, below = np.zeros_like(expected), np.zeros_like(seen), 0.0
    for value in np.unique(table.depth):
        rows = np.flatnonzero(table.depth == value)
        cells = table.weight[rows].sum()
        at = min(int((below + cells / 2) / 80 * 3), 2)
        below += cells
        by_hand[at] += cells * shown_at(fit, value, weights[rows[0]])
        for row in rows:
            code = 0
            for marker in table.markers:
                code = 2 * code + int(marker.counts[marker.row[row]] > 0)
            counted[at, code] += table.weight[row]
    np.testing.assert_allclose(expected, by_hand, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(seen, counted)


def test_cells_drawn_from_the_fit_show_what_is_expected(model, truth, draw, known_fit):
    parameters = truth(0.2, model, ratio=0.05, slope=0.4, tilt=-0.3)
    cells = draw(parameters, model, n_cells=100_000, depth=5_000, seed=0, between=False)
    seen, expected = joint_zeros(known_fit(*cells[:2], parameters))
    assert seen.shape == expected.shape == (priors.N_DEPTHS, 8)
    assert seen.sum() == pytest.approx(100_000)
    np.testing.assert_allclose(seen.sum(axis=1), expected.sum(axis=1))
    np.testing.assert_allclose(seen.sum(axis=1), 100_000 / priors.N_DEPTHS, rtol=0.15)
    error = 5 * np.sqrt(expected + 1) + 0.01 * expected
    assert (np.abs(seen - expected) <= error).all()


def test_order_of_cells_does_not_matter(model, truth, draw, known_fit):
    parameters = truth(0.2, model)
    cells = draw(parameters, model, n_cells=500, depth=5_000, seed=0)
    order = np.random.default_rng(1).permutation(500)
    one = joint_zeros(known_fit(*cells[:2], parameters))
    other = joint_zeros(known_fit(cells.counts[order], cells.depth[order], parameters))
    np.testing.assert_array_equal(one, other)


def test_one_depth_is_one_bin(model, truth, known_fit):
    fit = known_fit(np.zeros((60, 3)), np.full(60, 5_000.0), truth(0.1, model))
    seen, expected = joint_zeros(fit)
    assert (seen.sum(axis=1) > 0).sum() == 1
    assert expected.sum() == pytest.approx(60)
