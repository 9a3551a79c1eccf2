"""fit: what went into the counts comes out again, with an interval that is honest at 0 and at 1."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammaln
from scipy.stats import chi2, norm

from scdiff.assay.densities import off_log_density
from scdiff.assay.fit import (
    _choose_reach,
    _descend,
    _is_contested,
    fit_at,
    fit_mixture,
    profile_interval,
    start_of,
)
from scdiff.assay.mixture import Model, Soup
from scdiff.assay.priors import (
    ABUNDANT,
    CONTESTED_ABOVE,
    FEWEST_CONTESTED,
    FINE_GAIN,
    FIT_ROWS,
    MOST_REACH,
    NEAR_REACH,
    RIVAL_IN_INTERVAL,
    STARTS,
    WORTH_A_CLASS,
    WORTH_A_REACH,
)
from scdiff.assay.table import tabulate

N_CELLS = 3_000
DEPTH = 6_000


@pytest.fixture(scope="module")
def fitted(model, truth, draw):
    """Maker of (cells, fit) at a prevalence; each is fitted once."""
    known = {}

    def make(prevalence, seed=0):
        if (prevalence, seed) not in known:
            cells = draw(truth(prevalence, model), model, n_cells=N_CELLS, depth=DEPTH, seed=seed)
            known[prevalence, seed] = cells, fit_mixture(tabulate(cells.counts, cells.depth), model)
        return known[prevalence, seed]

    return make


TRUTHS = [(0.0, 0), (0.001, 1), (0.05, 2), (0.05, 3), (0.3, 4), (1.0, 5)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prevalence", "seeds"),
    [(0.0, (0,)), (0.001, (1,)), (0.05, (2, 3)), (0.3, (4, 14, 15)), (1.0, (5,))],
    ids=str,
)
def test_prevalence_within_a_percentage_point(fitted, prevalence, seeds):
    """At 30 % the interval of one batch is 1.8 points wide to each side; the mean error of three must be below one."""
    errors = [
        fit.prevalence - cells.positive.mean()
        for cells, fit in (fitted(prevalence, seed) for seed in seeds)
    ]
    assert np.mean(errors) == pytest.approx(0, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("prevalence", "seed"), TRUTHS)
def test_interval_holds_the_estimate_and_the_truth(fitted, prevalence, seed):
    cells, fit = fitted(prevalence, seed)
    low, high = profile_interval(fit)
    assert 0 <= low <= fit.prevalence <= high <= 1
    assert low <= cells.positive.mean() <= high


def test_interval_reaches_zero_when_there_is_nothing(fitted):
    _, fit = fitted(0.0)
    low, high = profile_interval(fit)
    assert low == 0
    assert 0 < high < 0.01
    assert fit.evidence_of_positives < chi2.ppf(0.99, 1)


def test_interval_starts_where_wider_levels_lead(fitted):
    """A fit without positive cells, of cells that have some: the wider levels find them again."""
    cells, found = fitted(0.001, 1)
    without = found.theta.copy()
    place = found.model.layout.patterns
    without[place] = np.where(found.model.positive, found.model.bounds[0][place], without[place])
    fit = fit_at(found.table, found.model, without, evidence_of_positives=WORTH_A_CLASS)
    low, high = profile_interval(fit)
    assert low <= fit.prevalence < 1e-6
    assert high > cells.positive.mean()


@pytest.mark.slow
def test_interval_reaches_one_when_there_is_nothing_else(fitted):
    _, fit = fitted(1.0, 5)
    low, high = profile_interval(fit)
    assert high == 1
    assert 0.97 < low < 1


def test_profile_has_dropped_by_half_the_quantile_at_both_ends(fitted):
    """Each end, fitted anew from the optimum at its prevalence, is 1.92 below it."""
    fit = replace(fitted(0.05, 2)[1], rival=(np.inf, np.nan))
    for end in profile_interval(fit):
        there = _descend(fit.table, fit.model, fit.theta, prevalence=end)[1].value
        assert there - fit.value == pytest.approx(chi2.ppf(0.95, 1) / 2, abs=0.15)


@pytest.mark.slow
def test_more_confidence_is_wider(fitted):
    _, fit = fitted(0.05, 2)
    ends = [profile_interval(fit, confidence=level) for level in (0.5, 0.8, 0.95, 0.99)]
    lows, highs = zip(*ends, strict=True)
    assert (np.diff(lows) < 0).all()
    assert (np.diff(highs) > 0).all()


def ln_background(parameters):
    """Mean of ln background per count over the nodes, (n_markers,)."""
    contamination = parameters.contamination([DEPTH])[0]
    rates = parameters.soup * contamination[:, None] + parameters.leak
    return parameters.node_weight @ np.log(rates)


def off_shares(parameters, index):
    """Share of the cells that hold each count of a marker that is off."""
    counts = np.arange(400.0)
    log_density = off_log_density(parameters, index, counts, np.full(400, float(DEPTH)))
    return np.exp(log_density - gammaln(counts + 1)[:, None]) @ parameters.node_weight


def spread_of(shares):
    """Half the distance between the counts one standard deviation off, in logarithms."""
    edges = np.interp(norm.cdf([-1, 1]), shares.cumsum(), np.arange(len(shares)) + 0.5)
    return float(np.diff(np.log(edges))[0]) / 2


@pytest.mark.parametrize(("prevalence", "seed"), [(0.05, 2), (0.3, 4)])
def test_rates_come_out_within_a_fifth(fitted, model, truth, prevalence, seed):
    """Of the background the logarithms: few cells at a high node make the mean, and hide."""
    _, fit = fitted(prevalence, seed)
    expected = truth(prevalence, model)
    np.testing.assert_allclose(fit.parameters.level, expected.level, rtol=0.2)
    found, true = (ln_background(parameters) for parameters in (fit.parameters, expected))
    assert found[2] == pytest.approx(true[2], abs=np.log(1.06))
    np.testing.assert_allclose(np.exp(found[:2]), np.exp(true[:2]), rtol=0.8)
    found, true = (spread_of(off_shares(p, 2)) for p in (fit.parameters, expected))
    assert found == pytest.approx(true, abs=0.15)


@pytest.mark.parametrize("case", [(0.0, 0), (0.05, 2), (0.3, 4)])
def test_the_distribution_of_the_background_comes_out(fitted, model, truth, case):
    """Of 100 cells that are off, at most four show another count than they should."""
    _, fit = fitted(*case)
    for index in range(3):
        one, other = (off_shares(p, index) for p in (fit.parameters, truth(case[0], model)))
        assert np.abs(one - other).sum() / 2 < 0.04


@pytest.mark.parametrize("tilt", [-1.0, 0.0])
def test_the_tilt_comes_out(model, truth, draw, tilt):
    parameters = truth(0.05, model, ratio=0.03, tilt=tilt)
    cells = draw(parameters, model, n_cells=N_CELLS, depth=DEPTH, seed=11)
    fit = fit_mixture(tabulate(cells.counts, cells.depth), model)
    assert fit.parameters.tilt == pytest.approx(tilt, abs=0.2)
    assert fit.prevalence == pytest.approx(cells.positive.mean(), abs=0.01)


@pytest.mark.slow
def test_two_classes_of_droplets_do_not_make_positives(model, truth, draw):
    """A fifth of the cells holds thirty times the soup of the others: no single hump fits both."""
    for prevalence in (0.0, 0.1):
        clean, rich = (truth(prevalence, model, ratio=ratio) for ratio in (0.005, 0.15))
        both = 0.8 * clean.node_weight + 0.2 * rich.node_weight
        parameters = clean._replace(node_weight=both)
        cells = draw(parameters, model, n_cells=N_CELLS, depth=DEPTH, seed=12)
        fit = fit_mixture(tabulate(cells.counts, cells.depth), model)
        low, high = profile_interval(fit)
        assert fit.prevalence == pytest.approx(cells.positive.mean(), abs=0.015)
        assert low <= cells.positive.mean() <= high


# --- how far contamination reaches ----------------------------------------------------------------


def rates_of(model, rates):
    """Cells with the witness at some rates, in typical levels, and nothing else."""
    counts = np.zeros((len(rates) + 60, 3))
    counts[: len(rates), 2] = np.array(rates) * model.level[2] * 5_000
    return tabulate(counts, np.full(len(counts), 5_000.0))


def test_contamination_is_in_question_where_enough_cells_are_between_the_ends(model):
    between = (CONTESTED_ABOVE + MOST_REACH) / 2
    enough = rates_of(model, [between] * FEWEST_CONTESTED)
    assert _is_contested(enough, model)
    assert not _is_contested(rates_of(model, [between] * (FEWEST_CONTESTED - 1)), model)
    assert not _is_contested(rates_of(model, [CONTESTED_ABOVE * 0.8] * 20), model)
    assert not _is_contested(rates_of(model, [MOST_REACH * 1.2] * 20), model)
    assert not _is_contested(enough, replace(model, soup=Soup((1.0, 1.0, 100.0), 1e4)))
    assert not _is_contested(enough, replace(model, reach=MOST_REACH))
    assert _is_contested(enough, replace(model, reach=0.8))
    assert not _is_contested(enough, replace(model, level=(1e-4, 1e-4, ABUNDANT / 2)))


def test_reach_is_open_without_counted_soup_and_with_a_witness(model):
    assert model.has_open_reach
    assert not replace(model, soup=Soup((1.0, 1.0, 100.0), 1e4)).has_open_reach
    assert not replace(model, level=(1e-4, 1e-4, ABUNDANT / 2)).has_open_reach


def fit_with(fit, *, reach, value, prevalence):
    return replace(fit, model=replace(fit.model, reach=reach), value=value, prevalence=prevalence)


@pytest.mark.parametrize(
    ("gains", "chosen", "gap"),
    [
        ((0.9, 0.8), NEAR_REACH, 0.8),
        ((1.1, 0.0), 0.0, 1.1),
        ((1.1, 2.0), 0.0, 0.9),
        ((1.1, 2.2), MOST_REACH, 1.1),
        ((-1.0, 1.1), MOST_REACH, 1.1),
    ],
)
def test_a_farther_reach_must_be_worth_it(fitted, gains, chosen, gap):
    """Gains of the default reach and of the farthest one over the nearest, in ``WORTH_A_REACH``."""
    _, fit = fitted(0.05, 2)
    fits = [
        fit_with(fit, reach=reach, value=100.0 - gain * WORTH_A_REACH, prevalence=reach / 10)
        for reach, gain in zip((NEAR_REACH, 0.0, MOST_REACH), (0.0, *gains), strict=True)
    ]
    found = _choose_reach(fits)
    assert found.model.reach == chosen
    assert found.rival[0] == pytest.approx(gap * WORTH_A_REACH)


def test_the_interval_holds_a_rival_that_is_nearly_as_good(fitted):
    fit = replace(fitted(0.05, 2)[1], rival=(np.inf, np.nan))
    low, high = profile_interval(fit)
    rival = fit.prevalence / 2
    near = profile_interval(replace(fit, rival=(RIVAL_IN_INTERVAL * 0.9, rival)))
    assert near == (pytest.approx(low - rival), high)
    assert profile_interval(replace(fit, rival=(RIVAL_IN_INTERVAL * 1.1, rival))) == (low, high)


@pytest.mark.slow
def test_graded_expression_of_the_witness_is_not_contamination(model):
    """One cell in ten is positive; its INS is spread evenly over ln level, from hardly any to much."""
    errors, held = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        depth = np.rint(rng.lognormal(np.log(4_000), 0.4, 2_000))
        positive = np.arange(len(depth)) < 200
        level = np.tile(model.level, (len(depth), 1))
        level[:, 2] = np.exp(rng.uniform(np.log(1e-4), np.log(0.25), len(depth)))
        made = level * positive[:, None] * rng.gamma(6, 1 / 6, level.shape)
        soup = 0.05 * np.mean(made, axis=0) * rng.gamma(4, 1 / 4, (len(depth), 1))
        counts = rng.poisson(depth[:, None] * (made + soup)).astype(float)
        fit = fit_mixture(tabulate(counts, depth), model)
        low, high = profile_interval(fit)
        errors.append(fit.prevalence / positive.mean() - 1)
        held.append(low <= positive.mean() <= high)
    assert abs(np.mean(errors)) < 0.15, "without the nearer fit: 0.20"
    assert sum(held) >= 5, "without the nearer fit: 1"


def test_a_given_start_keeps_the_reach_of_the_model(model, truth, draw):
    far = replace(model, reach=MOST_REACH)
    cells = draw(truth(0.0, far, ratio=0.5), far, n_cells=600, depth=DEPTH, seed=1)
    table = tabulate(cells.counts, cells.depth)
    assert _is_contested(table, model)
    assert fit_mixture(table, model, start=model.prior_mean).model.reach == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_expression_is_not_taken_for_far_reaching_soup(model, truth, draw, seed):
    """Clean cells, one in twenty positive: contamination up to the level must not win."""
    cells = draw(truth(0.05, model), model, n_cells=N_CELLS, depth=DEPTH, seed=20 + seed)
    fit = fit_mixture(tabulate(cells.counts, cells.depth), model)
    low, high = profile_interval(fit)
    assert fit.model.reach < MOST_REACH
    assert fit.prevalence == pytest.approx(cells.positive.mean(), abs=0.01)
    assert low <= cells.positive.mean() <= high


def test_background_of_a_blank_comes_out_within_a_twentieth(fitted, model, truth):
    _, fit = fitted(0.0)
    np.testing.assert_allclose(
        fit.parameters.background[2], truth(0.0, model).background[2], rtol=0.05
    )


def test_weights_of_the_patterns_come_out(fitted, model, truth):
    _, fit = fitted(0.3, 4)
    np.testing.assert_allclose(fit.weight, truth(0.3, model).weight, atol=0.03)


def test_many_cells_of_one_marker_are_not_taken_for_positives(model, truth, draw):
    """A gut tube that expresses PDX1 alone: the prior against such cells gives way to the counts."""
    parameters = truth(0.0, model)
    weight = np.zeros(8)
    weight[[0, 4]] = 0.7, 0.3
    cells = draw(parameters._replace(weight=weight), model, n_cells=N_CELLS, depth=DEPTH, seed=7)
    fit = fit_mixture(tabulate(cells.counts, cells.depth), model)
    assert fit.prevalence < 0.01
    assert fit.weight[4] == pytest.approx(0.3, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("slope", [-1.0, 1.0])
def test_positives_may_be_larger_or_smaller_cells(model, truth, draw, slope):
    """The weights of ``truth`` are those at a depth of 4,000; what counts is the share of the cells drawn."""
    cells = draw(truth(0.2, model, slope=slope), model, n_cells=N_CELLS, depth=1_500, seed=8)
    fit = fit_mixture(tabulate(cells.counts, cells.depth), model)
    assert fit.prevalence == pytest.approx(cells.positive.mean(), abs=0.03)
    assert np.sign(fit.parameters.slope) == np.sign(slope)


def test_positives_that_add_nothing_are_not_fitted(fitted):
    _, fit = fitted(0.0)
    assert fit.evidence_of_positives < WORTH_A_CLASS
    assert fit.prevalence < 1e-6


def test_evidence_grows_with_the_truth(fitted):
    evidence = [fitted(*case)[1].evidence_of_positives for case in ((0.0, 0), (0.05, 2), (0.3, 4))]
    assert evidence[0] < 10
    assert 100 < evidence[1] < evidence[2]


def test_optimum_is_flat_and_no_start_beats_it(fitted):
    _, fit = fitted(0.05, 3)
    for kind in STARTS:
        assert (
            _descend(fit.table, fit.model, start_of(fit.table, fit.model, kind))[1].value
            >= fit.value - 0.05
        )


def test_fit_stays_inside_the_bounds(fitted):
    for case in TRUTHS:
        _, fit = fitted(*case)
        low, high = fit.model.bounds
        assert (fit.theta >= low).all()
        assert (fit.theta <= high).all()


def test_cells_in_another_order_give_the_same_bits(fitted, model):
    cells, fit = fitted(0.05, 2)
    order = np.random.default_rng(1).permutation(N_CELLS)
    other = fit_mixture(tabulate(cells.counts[order], cells.depth[order]), model)
    np.testing.assert_array_equal(fit.theta, other.theta)
    assert (fit.value, fit.prevalence, fit.evidence_of_positives) == (
        other.value,
        other.prevalence,
        other.evidence_of_positives,
    )
    assert profile_interval(fit) == profile_interval(other)


def test_fit_at_puts_the_same_fit_together(fitted):
    _, fit = fitted(0.3, 4)
    again = fit_at(fit.table, fit.model, fit.theta, evidence_of_positives=fit.evidence_of_positives)
    assert (again.value, again.prevalence, again.evidence_of_positives) == (
        fit.value,
        fit.prevalence,
        fit.evidence_of_positives,
    )
    np.testing.assert_array_equal(again.pattern, fit.pattern)


@pytest.mark.slow
def test_another_start_beside_the_three_never_makes_the_fit_worse(fitted):
    _, fit = fitted(0.05, 2)
    poor = fit.model.prior_mean
    again = fit_mixture(fit.table, fit.model, also=poor)
    assert again.value <= fit.value + 2  # other optima differ in their contamination only
    assert again.prevalence == pytest.approx(fit.prevalence, abs=1e-3)
    better = fit_mixture(fit.table, fit.model, also=fit.theta)
    assert better.value <= fit.value + FINE_GAIN


def test_a_given_start_leads_to_the_same_optimum(fitted):
    _, fit = fitted(0.3, 4)
    again = fit_mixture(fit.table, fit.model, start=fit.model.prior_mean)
    assert again.value == pytest.approx(fit.value, abs=0.5)
    assert again.prevalence == pytest.approx(fit.prevalence, abs=1e-3)


@pytest.mark.parametrize("prevalence", [0.0, 0.2])
def test_one_marker_alone_comes_out(truth, draw, prevalence):
    model = Model((2e-3,), 1)
    cells = draw(truth(prevalence, model), model, n_cells=N_CELLS, depth=DEPTH, seed=3)
    fit = fit_mixture(tabulate(cells.counts, cells.depth), model)
    assert fit.prevalence == pytest.approx(cells.positive.mean(), abs=0.01)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(
    kind=st.sampled_from(["zeros", "ones", "huge", "one cell high"]),
    n_cells=st.integers(1, 40),
    n_markers=st.integers(1, 2),
    depth=st.sampled_from([1, 300, 50_000]),
)
def test_odd_batches_give_a_finite_fit(kind, n_cells, n_markers, depth):
    counts = np.full(
        (n_cells, n_markers), {"zeros": 0, "ones": 1, "huge": 10_000, "one cell high": 0}[kind]
    )
    if kind == "one cell high":
        counts[0] = 500
    fit = fit_mixture(tabulate(counts, np.full(n_cells, depth)), Model((1e-3,) * n_markers, 1))
    low, high = profile_interval(fit)
    assert np.isfinite(fit.theta).all()
    assert np.isfinite(fit.value)
    assert 0 <= low <= fit.prevalence <= high <= 1


@pytest.mark.slow
def test_a_large_batch_is_fitted_on_wider_bins_and_gives_the_same(model, truth, draw):
    cells = draw(truth(0.3, model), model, n_cells=40_000, depth=20_000, seed=9)
    table = tabulate(cells.counts, cells.depth)
    assert len(table.weight) > FIT_ROWS
    fit = fit_mixture(table, model)
    theta, _ = _descend(table, fit.model, fit.theta)
    finer = float(fit.model.average_weight(theta, table)[model.positive].sum())
    assert len(fit.pattern) == len(table.weight)
    low, high = profile_interval(fit)
    assert fit.prevalence == pytest.approx(finer, abs=(high - low) / 6)
    assert low < cells.positive.mean() < high


@pytest.mark.long
def test_interval_covers_the_truth_at_about_its_rate(model, truth, draw):
    """95 % aimed at; 40 batches at 3 % leave room down to 34 (probability 1.4 % below it)."""
    inside = 0
    for seed in range(40):
        cells = draw(truth(0.03, model), model, n_cells=1_500, depth=DEPTH, seed=100 + seed)
        low, high = profile_interval(fit_mixture(tabulate(cells.counts, cells.depth), model))
        inside += low <= 0.03 <= high
    assert inside >= 34


@pytest.mark.slow
def test_blank_batches_are_not_found_positive(model, truth, draw):
    """One batch in 200 may be at the 0.5 % level: of 40, at most two."""
    found = 0
    for seed in range(40):
        cells = draw(truth(0.0, model), model, n_cells=1_500, depth=DEPTH, seed=200 + seed)
        fit = fit_mixture(tabulate(cells.counts, cells.depth), model)
        found += fit.evidence_of_positives > chi2.ppf(0.99, 1)
    assert found <= 2


@pytest.mark.parametrize(
    ("share", "positive"),
    [(5e-5, True), (5e-4, False)],
    ids=["as much in the cells as in the soup", "a tenth of it"],
)
def test_the_soup_tells_weak_expression_from_contamination(share, positive):
    """The same counts: every cell holds 0.5 per 10,000. Nothing but the empty droplets says where they come from."""
    rng = np.random.default_rng(0)
    depth = np.rint(rng.lognormal(np.log(5_000), 0.4, 1_000))
    table = tabulate(rng.poisson(5e-5 * depth * rng.gamma(4, 1 / 4, 1_000))[:, None], depth)
    fit = fit_mixture(table, Model((4e-4,), 1, soup=Soup((share * 1e7,), 1e7)))
    low, high = profile_interval(fit)
    assert (low > 0.35) if positive else (high < 0.025)
    assert (
        fit_mixture(table, Model((4e-4,), 1)).prevalence < 1e-6
    )  # without it, background is the simpler answer


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_tenth_of_negatives_with_one_marker_moves_the_prevalence_by_little(
    model, truth, draw, seed
):
    """They are taken to be rare (the prior on partial patterns), so some are read as positives: at most 3 points of 800 cells."""
    parameters, negative = truth(0.2, model), ~model.positive
    weight = parameters.weight.copy()
    weight[negative] = 0.08 / negative.sum()
    weight[0] += 0.72
    drawn = draw(parameters._replace(weight=weight), model, n_cells=800, depth=8_000, seed=seed)
    fit = fit_mixture(tabulate(drawn.counts, drawn.depth), model)
    low, high = profile_interval(fit)
    assert fit.prevalence == pytest.approx(drawn.positive.mean(), abs=0.03)
    assert low <= drawn.positive.mean() <= high
