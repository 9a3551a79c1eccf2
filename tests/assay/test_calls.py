"""calls: evidence, the false discovery rate, and the rule of at least two markers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import nbinom

from scdiff.assay.calls import call_cells, call_table, false_discovery_cutoff, marker_evidence
from scdiff.assay.densities import GRID, GRID_WEIGHT
from scdiff.assay.fit import fit_mixture
from scdiff.assay.mixture import Model
from scdiff.assay.priors import REFERENCE_DEPTH, TAIL, TAIL_LEVEL, TAIL_SIZE
from scdiff.assay.table import tabulate

MODEL = Model((2e-4, 3e-4, 0.1), 2)


@st.composite
def thetas(draw_one, model=MODEL):
    """Any theta inside the bounds of a fit."""
    low, high = (bound.copy() for bound in model.bounds)
    low[model.layout.patterns], high[model.layout.patterns] = -12, 12
    share = draw_one(arrays(float, len(low), elements=st.floats(0, 1)))
    return low + share * (high - low)


@settings(max_examples=60, deadline=None)
@given(theta=thetas(), depth=st.integers(200, 100_000), index=st.integers(0, 2))
def test_law_more_counts_never_lower_the_evidence(theta, depth, index):
    counts = np.arange(0, 300)
    table = tabulate(counts[:, None] * np.ones((1, 3)), np.full(300, depth))
    evidence = marker_evidence(MODEL.parameters(theta), index, table.markers[index])[
        table.markers[index].row
    ][table.cell_row]
    assert np.isfinite(evidence).all()
    assert (np.diff(evidence) >= 0).all()


@settings(max_examples=40, deadline=None)
@given(
    theta=thetas(),
    depth=st.sampled_from([500, 4_000, 60_000]),
    marker=st.integers(0, 2),
    low=st.integers(0, 50),
    more=st.integers(1, 500),
)
def test_law_more_counts_of_one_marker_leave_the_evidence_of_the_others(
    theta, depth, marker, low, more
):
    counts = np.array([[low, low, low], [low, low, low]])
    counts[1, marker] += more
    evidence = call_table(MODEL, theta, tabulate(counts, [depth, depth])).evidence
    others = np.arange(3) != marker
    np.testing.assert_array_equal(evidence[0, others], evidence[1, others])
    assert evidence[1, marker] >= evidence[0, marker]


def slow_contamination(parameters, depth):
    """Contamination of each node at a depth."""
    taken = [node * (depth / REFERENCE_DEPTH) ** parameters.tilt for node in parameters.nodes]
    return np.array([parameters.most * (1 - np.exp(-value / parameters.most)) for value in taken])


@pytest.mark.parametrize("tilt", [0.0, -0.6])
def test_evidence_is_the_likelihood_ratio_where_that_is_monotone(model, truth, tilt):
    parameters, depth = truth(0.1, model, tilt=tilt), 9_000
    table = tabulate([[0, 0, 0], [1, 1, 20], [6, 6, 800]], [depth] * 3)
    seen = float(table.markers[0].depth[0])
    contamination = slow_contamination(parameters, seen)
    for index, marker in enumerate(table.markers):
        mean = (parameters.soup[index] * contamination + parameters.leak[index]) * seen
        expressed = parameters.level[index] * np.exp(0.2 * GRID - 0.02) * seen
        parts = ((1 - TAIL, 3, expressed), (TAIL, TAIL_SIZE, TAIL_LEVEL * expressed))
        found = marker_evidence(parameters, index, marker)
        for count, evidence in zip(marker.counts, found, strict=True):
            off = parameters.node_weight @ nbinom.pmf(count, 10, 10 / (10 + mean))
            dense = [share * nbinom.pmf(count, r, r / (r + on_mean)) for share, r, on_mean in parts]
            on = GRID_WEIGHT @ sum(dense)
            assert evidence == pytest.approx(np.log(on / off), rel=1e-8)


def test_evidence_of_a_cell_does_not_hang_on_the_other_cells(model, truth, draw, to_theta):
    theta = to_theta(truth(0.1, model), model)
    cells = draw(truth(0.1, model), model, n_cells=400, depth=4_000, seed=0)
    together = call_table(model, theta, tabulate(cells.counts, cells.depth))
    for part in (slice(0, 1), slice(5, 9), slice(100, 400)):
        alone = call_table(model, theta, tabulate(cells.counts[part], cells.depth[part]))
        np.testing.assert_allclose(alone.evidence, together.evidence[part], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(
            alone.probability, together.probability[part], rtol=1e-9, atol=1e-12
        )


# --- the false discovery rate ------------------------------------------------------------------------

chances = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        arrays(float, n, elements=st.floats(0, 1).map(lambda miss: 1 - miss**4)),
        arrays(np.int64, n, elements=st.integers(1, 50)),
    )
)


@settings(max_examples=100, deadline=None)
@given(drawn=chances, rate=st.sampled_from([0.01, 0.05, 0.2]))
def test_law_the_expected_share_of_false_calls_keeps_the_rate_and_no_lower_cutoff_would(
    drawn, rate
):
    probability, weight = drawn
    cutoff = false_discovery_cutoff(probability, weight, rate=rate)
    called = probability >= cutoff
    if called.any():
        assert ((1 - probability) * weight)[called].sum() <= rate * weight[called].sum() + 1e-9
    for lower in np.unique(probability[~called]):
        more = probability >= lower
        assert ((1 - probability) * weight)[more].sum() > rate * weight[more].sum() - 1e-9


@settings(max_examples=60, deadline=None)
@given(drawn=chances)
def test_law_a_higher_rate_calls_no_fewer(drawn):
    cutoffs = [false_discovery_cutoff(*drawn, rate=rate) for rate in (0.01, 0.05, 0.2, 0.5)]
    assert (np.diff(cutoffs) <= 0).all()


@settings(max_examples=60, deadline=None)
@given(drawn=chances)
def test_law_weights_are_repeated_cells(drawn):
    probability, weight = drawn
    repeated = np.repeat(probability, weight)
    assert false_discovery_cutoff(probability, weight) == false_discovery_cutoff(
        repeated, np.ones(len(repeated))
    )


def test_nothing_probable_is_nothing_called():
    assert false_discovery_cutoff([0.5, 0.9], [1, 1], rate=0.05) > 1
    assert false_discovery_cutoff([0.0, 1.0], [10, 1], rate=0.05) == 1.0


# --- calls ---------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(theta=thetas(), seed=st.integers(0, 1_000))
def test_law_no_call_without_evidence_from_two_markers(theta, seed):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.choice([0.0, 0.3, 5.0, 300.0], (60, 3)))
    calls = call_table(MODEL, theta, tabulate(counts, rng.choice([500, 5_000], 60)))
    assert ((calls.evidence > 0).sum(axis=1)[calls.positive] >= 2).all()
    for share in (calls.probability, calls.marker_probability):
        assert ((share >= 0) & (share <= 1)).all()


@settings(max_examples=40, deadline=None)
@given(theta=thetas(), seed=st.integers(0, 1_000))
def test_law_calls_move_along_with_the_cells(theta, seed):
    rng = np.random.default_rng(seed)
    counts, depth = (
        rng.poisson(rng.choice([0.0, 0.3, 5.0, 300.0], (60, 3))),
        rng.choice([500, 5_000], 60),
    )
    order = rng.permutation(60)
    one, other = (
        call_table(MODEL, theta, tabulate(counts, depth)),
        call_table(MODEL, theta, tabulate(counts[order], depth[order])),
    )
    for name in ("evidence", "probability", "marker_probability", "positive"):
        np.testing.assert_array_equal(getattr(one, name)[order], getattr(other, name))


@pytest.fixture(scope="module")
def drawn_and_called(model, truth, draw):
    """4,000 cells, one in ten positive, with their calls."""
    cells = draw(truth(0.1, model), model, n_cells=4_000, depth=8_000, seed=0)
    fit = fit_mixture(tabulate(cells.counts, cells.depth), model)
    return cells, fit, call_cells(fit)


def test_false_calls_keep_the_rate(drawn_and_called):
    cells, _, calls = drawn_and_called
    assert calls.positive.sum() > 200
    assert (~cells.positive[calls.positive]).mean() < 0.08


def test_most_positives_are_called_at_good_depth(drawn_and_called):
    cells, _, calls = drawn_and_called
    assert calls.positive[cells.positive].mean() > 0.6


def test_probabilities_are_calibrated(drawn_and_called):
    """In each third of the probabilities as many are positive as promised, give or take."""
    cells, _, calls = drawn_and_called
    assert calls.probability.sum() == pytest.approx(cells.positive.sum(), abs=45)
    for low, high in ((0.0, 0.05), (0.05, 0.9), (0.9, 1.01)):
        part = (calls.probability >= low) & (calls.probability < high)
        assert calls.probability[part].sum() == pytest.approx(
            cells.positive[part].sum(), abs=6 + 2.5 * np.sqrt(part.sum() * 0.05)
        )


def test_one_marker_alone_is_never_enough(drawn_and_called):
    _, fit, _ = drawn_and_called
    lone = np.array([[0, 0, 3_000], [40, 0, 0], [0, 40, 0]])
    calls = call_table(fit.model, fit.theta, tabulate(lone, [8_000] * 3), rate=0.5)
    assert not calls.positive.any()


def test_call_cells_is_call_table_of_the_fit(drawn_and_called):
    _, fit, calls = drawn_and_called
    again = call_table(fit.model, fit.theta, fit.table)
    np.testing.assert_array_equal(calls.positive, again.positive)
    np.testing.assert_array_equal(calls.evidence, again.evidence)


def test_a_stricter_rate_calls_a_subset(drawn_and_called):
    _, fit, calls = drawn_and_called
    strict = call_cells(fit, rate=0.005).positive
    assert 0 < strict.sum() < calls.positive.sum()
    assert not (strict & ~calls.positive).any()
