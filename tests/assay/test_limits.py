"""limits: what a blank gives, what would have been seen, and the word for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammaln, log_ndtr
from scipy.stats import beta, binom, chi2, gamma, poisson

from scdiff.assay.calls import call_table
from scdiff.assay.fit import fit_at
from scdiff.assay.limits import (
    CV_GOAL,
    DETECTABLE_CALLS,
    LEAST_LOG_P,
    QUANTIFIABLE_EVENTS,
    _reference,
    detection_limit,
    error_rates,
    events_limit,
    joint_evidence,
    limit_of_blank,
    quantification_limit,
    total_cv,
    variance_excess,
    verdict,
)
from scdiff.assay.table import tabulate

cells = st.integers(50, 100_000)
rates = st.floats(0, 0.2)
shares = st.floats(0.01, 1)


@settings(max_examples=80, deadline=None)
@given(n_cells=cells, rate=rates, more=rates)
def test_law_a_dirtier_blank_has_a_higher_lob(n_cells, rate, more):
    assert limit_of_blank(rate, n_cells) <= limit_of_blank(rate + more, n_cells)


def blanks_at_most(events, n_cells, rate):
    """Share of blanks with at most so many calls, their rates gamma distributed with a CV of 50 %; by a sum over quantiles."""
    rates = gamma.ppf((np.arange(4_000) + 0.5) / 4_000, 4.0, scale=rate / 4.0)
    return float(poisson.cdf(events, n_cells * rates).mean())


@settings(max_examples=60, deadline=None)
@given(n_cells=cells, rate=st.floats(1e-5, 0.01))
def test_law_the_lob_holds_95_of_100_blanks_and_one_cell_less_does_not(n_cells, rate):
    events = round(limit_of_blank(rate, n_cells) * n_cells)
    assert blanks_at_most(events, n_cells, rate) >= 0.95 - 1e-3
    assert events == 0 or blanks_at_most(events - 1, n_cells, rate) < 0.95 + 1e-3


def test_a_control_counts_where_it_is_worse_than_the_model():
    model_alone = limit_of_blank(0.001, 5_000)
    assert limit_of_blank(0.001, 5_000, ((0, 3_000),)) == model_alone
    assert limit_of_blank(0.001, 5_000, ((60, 3_000),)) > model_alone
    assert limit_of_blank(0.001, 5_000, ((60, 3_000), (0, 3_000))) >= limit_of_blank(0.01, 5_000)
    assert limit_of_blank(0.001, 5_000, ((0, 0),)) == model_alone


def test_a_small_control_is_less_sure_than_a_large_one():
    small, large = (limit_of_blank(0.0001, 5_000, ((n // 100, n),)) for n in (200, 20_000))
    assert small > large > limit_of_blank(0.0001, 5_000)


def test_matched_sets_count_where_they_are_worse():
    alone = limit_of_blank(0.001, 5_000)
    assert limit_of_blank(0.001, 5_000, matched=0.02) == 0.02
    assert (
        limit_of_blank(0.001, 5_000, matched=0.0)
        == alone
        == limit_of_blank(0.001, 5_000, matched=float("nan"))
    )


def test_a_number_needs_the_goal_for_its_cv():
    said = {"blank": 0.0, "evidence_of_positives": 900.0}
    assert verdict(80, 5_000, **said, cv=CV_GOAL) == "quantified"
    assert verdict(80, 5_000, **said, cv=CV_GOAL + 0.01) == "detected"
    assert verdict(80, 5_000, **said, cv=0.2, goal=0.15) == "detected"


def test_the_cv_of_a_plain_count_has_no_excess():
    low, high = (end / 5_000 for end in (200 - 1.96 * 200**0.5, 200 + 1.96 * 200**0.5))
    cv = total_cv(0.04, low, high)
    assert cv == pytest.approx(200**-0.5, rel=1e-3)
    assert variance_excess(200, 5_000, cv) == pytest.approx(1 / 0.96, rel=1e-2)
    assert variance_excess(200, 5_000, 2 * cv) == pytest.approx(4 / 0.96, rel=1e-2)
    assert variance_excess(0, 5_000, float("inf")) == 1.0


@settings(max_examples=40, deadline=None)
@given(n_cells=st.integers(500, 100_000), sensitivity=shares, excess=st.floats(1, 20))
def test_law_a_batch_at_the_lloq_is_quantified_in_95_of_100(n_cells, sensitivity, excess):
    lloq = quantification_limit(sensitivity, n_cells, 0.0, excess=excess)
    needed = max(QUANTIFIABLE_EVENTS, int(np.ceil(excess / CV_GOAL**2)))
    assert lloq == 1 or binom.sf(needed - 1, n_cells, lloq * sensitivity) == pytest.approx(
        0.95, abs=1e-6
    )
    assert lloq >= events_limit(sensitivity, n_cells)


def test_no_cells_have_no_limits():
    assert limit_of_blank(0.0, 0) == 1.0
    assert detection_limit(1.0, 0, 0.0) == 1.0
    assert detection_limit(0.0, 5_000, 0.0) == 1.0
    assert quantification_limit(0.0, 5_000, 0.2) == 1.0
    assert quantification_limit(1.0, 0, 0.2) == 1.0


@settings(max_examples=60, deadline=None)
@given(n_cells=cells, sensitivity=shares, rate=rates)
def test_law_the_lod_is_found_with_95_percent_power_and_less_is_not(n_cells, sensitivity, rate):
    blank = limit_of_blank(rate, n_cells)
    lod = detection_limit(sensitivity, n_cells, blank)
    needed = max(round(blank * n_cells) + 1, DETECTABLE_CALLS)
    power = binom.sf(needed - 1, n_cells, lod * sensitivity)
    if lod < 1:
        assert power >= 0.95 - 1e-9
        assert binom.sf(needed - 1, n_cells, lod * sensitivity * 0.99) < 0.95
        assert lod > blank
    else:
        assert binom.sf(needed - 1, n_cells, sensitivity * (1 - 1e-8)) < 0.95 + 1e-6


@settings(max_examples=60, deadline=None)
@given(n_cells=cells, sensitivity=st.floats(0.01, 0.5), blank=st.floats(0, 0.05))
def test_law_the_lod_falls_with_sensitivity_and_rises_with_the_blank(n_cells, sensitivity, blank):
    lod = detection_limit(sensitivity, n_cells, blank)
    assert detection_limit(2 * sensitivity, n_cells, blank) <= lod + 1e-8
    assert detection_limit(sensitivity, n_cells, blank + 0.01) >= lod - 1e-8


def test_the_lod_of_a_clean_blank_gives_the_fewest_calls_over_the_sensitivity():
    """The quantile of the beta distribution is where so many calls have 95 % probability."""
    for n_cells, sensitivity in ((1_000, 1.0), (10_000, 0.4), (50_000, 0.1)):
        calls = beta.ppf(0.95, DETECTABLE_CALLS, n_cells - DETECTABLE_CALLS + 1)
        found = detection_limit(sensitivity, n_cells, 0.0)
        assert found == pytest.approx(calls / sensitivity, abs=1e-8)


def test_a_blank_below_the_fewest_calls_changes_no_lod():
    clean = detection_limit(0.5, 10_000, 0.0)
    assert detection_limit(0.5, 10_000, (DETECTABLE_CALLS - 1) / 10_000) == clean
    assert detection_limit(0.5, 10_000, DETECTABLE_CALLS / 10_000) > clean * 1.2


@settings(max_examples=60, deadline=None)
@given(n_cells=cells, sensitivity=shares, blank=st.floats(0, 0.05))
def test_law_lob_lod_lloq_are_in_order(n_cells, sensitivity, blank):
    lod = detection_limit(sensitivity, n_cells, blank)
    lloq = quantification_limit(sensitivity, n_cells, lod)
    assert blank <= lod <= lloq <= 1
    assert lloq == 1 or lloq * sensitivity * n_cells >= 50 - 1e-6


STRONG = chi2.ppf(0.99, 1) + 1


@pytest.mark.parametrize(
    ("n_called", "n_cells", "blank", "evidence", "said"),
    [
        (0, 49, 0.0, 0.0, "not measurable"),
        (49, 49, 0.0, 900.0, "not measurable"),
        (0, 50, 0.0, 0.0, "not detected"),
        (0, 5_000, 0.0, 900.0, "not detected"),
        (DETECTABLE_CALLS, 5_000, 0.0, STRONG, "detected"),
        (DETECTABLE_CALLS - 1, 5_000, 0.0, STRONG, "not detected"),
        (1, 5_000, 0.0, 900.0, "not detected"),
        (DETECTABLE_CALLS, 5_000, 0.0, STRONG - 2, "not detected"),
        (5, 5_000, 0.001, STRONG, "not detected"),
        (6, 5_000, 0.001, STRONG, "detected"),
        (QUANTIFIABLE_EVENTS - 1, 5_000, 0.0, 900.0, "detected"),
        (QUANTIFIABLE_EVENTS, 5_000, 0.0, 900.0, "quantified"),
        (50, 5_000, 0.01, 900.0, "not detected"),
        (5_000, 5_000, 0.0, 900.0, "quantified"),
    ],
)
def test_verdicts(n_called, n_cells, blank, evidence, said):
    assert verdict(n_called, n_cells, blank=blank, evidence_of_positives=evidence) == said


RANK = {"not detected": 0, "detected": 1, "quantified": 2}


@settings(max_examples=80, deadline=None)
@given(
    n_cells=cells, called=st.integers(0, 200), blank=st.floats(0, 0.02), evidence=st.floats(0, 50)
)
def test_law_more_calls_and_more_evidence_never_say_less(n_cells, called, blank, evidence):
    called = min(called, n_cells - 1)
    here = RANK[verdict(called, n_cells, blank=blank, evidence_of_positives=evidence)]
    assert RANK[verdict(called + 1, n_cells, blank=blank, evidence_of_positives=evidence)] >= here
    assert RANK[verdict(called, n_cells, blank=blank, evidence_of_positives=evidence + 5)] >= here
    assert (
        RANK[verdict(called, n_cells, blank=blank + 0.01, evidence_of_positives=evidence)] <= here
    )


def log_tail(total, freedom):
    """Ln probability of more than ``total`` by chi squared of 1 or an even number of degrees."""
    if freedom == 1:
        return float(log_ndtr(-np.sqrt(total)) + np.log(2))
    terms = np.arange(freedom // 2)
    logs = terms * np.log(max(total, 1e-300) / 2) - gammaln(terms + 1)
    return float(np.logaddexp.reduce(logs) - total / 2)


amounts = st.one_of(st.just(0.0), st.floats(0, 120))


@settings(max_examples=80, deadline=None)
@given(evidence=st.lists(amounts, min_size=1, max_size=8))
def test_law_joint_evidence_is_as_unlikely_as_its_parts_together(evidence):
    joint = joint_evidence(evidence)
    expected = chi2.sf(sum(evidence), len(evidence))
    assert chi2.sf(joint, 1) == pytest.approx(expected, rel=1e-6, abs=1e-290)


@settings(max_examples=80, deadline=None)
@given(evidence=st.lists(amounts, min_size=1, max_size=8), more=st.floats(0, 60))
def test_law_joint_evidence_grows_with_any_part_and_not_with_blank_samples(evidence, more):
    joint = joint_evidence(evidence)
    assert 0 <= joint <= sum(evidence) * (1 + 1e-9)
    assert joint_evidence(evidence[::-1]) == pytest.approx(joint)
    assert joint_evidence([evidence[0] + more, *evidence[1:]]) >= joint - 1e-9
    assert joint_evidence([*evidence, 0.0]) <= joint + 1e-9


def test_weak_evidence_of_many_samples_joins():
    strong = chi2.ppf(0.99, 1)
    assert joint_evidence([4.0]) < strong
    assert joint_evidence([4.0] * 6) > strong
    assert joint_evidence([1.0] * 20) < strong  # as much as nothing at all gives


@settings(max_examples=60, deadline=None)
@given(freedom=st.sampled_from([2, 4, 10, 40]), total=st.floats(900, 1e6))
def test_law_evidence_beyond_double_precision_is_never_overstated(freedom, total):
    joint = joint_evidence([total / freedom] * freedom)
    assert np.isfinite(joint)
    log_p = log_tail(total, freedom)
    assert log_tail(joint, 1) >= log_p - 1e-6 * abs(log_p)
    if log_p > LEAST_LOG_P:
        assert log_tail(joint, 1) == pytest.approx(log_p, rel=1e-9)
    else:
        assert joint >= -LEAST_LOG_P


@pytest.fixture(scope="module")
def known_fit(model, truth, draw, to_theta):
    """Maker of a fit whose parameters are the truth, at a depth and a background."""

    def make(depth, ratio=0.01, prevalence=0.01, n_cells=3_000):
        parameters = truth(prevalence, model, ratio=ratio)
        drawn = draw(parameters, model, n_cells=n_cells, depth=depth, seed=0)
        table = tabulate(drawn.counts, drawn.depth)
        return fit_at(table, model, to_theta(parameters, model), evidence_of_positives=0.0)

    return make


@pytest.mark.parametrize(("depth", "ratio"), [(3_000, 0.01), (8_000, 0.01), (8_000, 0.05)])
def test_error_rates_are_those_of_cells_drawn_at_large(known_fit, draw, depth, ratio):
    """200,000 cells drawn by another road, with 20 positives in 3,000, called as they are."""
    fit = known_fit(depth, ratio)
    theta, prevalence = _reference(fit)
    parameters = fit.model.parameters(theta)
    drawn = draw(parameters, fit.model, n_cells=200_000, depth=depth, seed=9, between=False)
    called = call_table(fit.model, theta, tabulate(drawn.counts, drawn.depth)).positive
    false_rate, sensitivity = error_rates(fit)
    assert prevalence == pytest.approx(20 / 3_000)
    assert sensitivity == pytest.approx(called[drawn.positive].mean(), abs=0.04)
    assert false_rate == pytest.approx(called[~drawn.positive].mean(), abs=4e-4)


def test_deeper_cells_and_cleaner_batches_are_seen_better(known_fit):
    seen = [error_rates(known_fit(depth))[1] for depth in (1_000, 3_000, 8_000, 30_000)]
    assert (np.diff(seen) > 0).all()
    assert error_rates(known_fit(8_000, 0.1))[1] < error_rates(known_fit(8_000, 0.003))[1]


def test_error_rates_hold_the_false_discovery_rate(known_fit):
    fit = known_fit(8_000)
    for rate in (0.01, 0.05, 0.2):
        false_rate, sensitivity = error_rates(fit, rate=rate)
        prevalence = 20 / 3_000
        assert (
            false_rate * (1 - prevalence)
            <= 1.5 * rate * (false_rate * (1 - prevalence) + sensitivity * prevalence) + 1e-4
        )


def test_error_rates_are_repeatable_and_hang_little_on_the_seed(known_fit):
    fit = known_fit(8_000)
    assert error_rates(fit, seed=3) == error_rates(fit, seed=3)
    rates = np.array([error_rates(fit, seed=seed) for seed in range(3)])
    assert np.ptp(rates[:, 1]) < 0.03
    assert np.ptp(rates[:, 0]) < 4e-4
    assert ((rates >= 0) & (rates <= 1)).all()


@pytest.mark.parametrize("n_cells", [1, 15, 60])
def test_error_rates_of_few_cells_are_shares(known_fit, n_cells):
    false_rate, sensitivity = error_rates(known_fit(4_000, n_cells=n_cells))
    assert 0 <= false_rate <= sensitivity <= 1


def test_a_blank_and_a_full_batch_tell_what_the_other_would_give(known_fit):
    """The rates are those of the reference batch, whatever the batch itself holds; a blank knows nothing of its positive cells."""
    empty, whole = (known_fit(8_000, prevalence=prevalence) for prevalence in (0.0, 0.9))
    shares = np.where(whole.model.positive, 0.9 / whole.model.positive.sum(), whole.weight)
    even = replace(
        whole, theta=whole.model.with_weight(whole.theta, whole.table, shares / shares.sum())
    )
    blank, full = error_rates(empty), error_rates(even)
    assert blank[1] == pytest.approx(full[1], abs=0.08)
    assert blank[1] < error_rates(whole)[1]
    assert max(blank[0], full[0]) < 2e-3


@pytest.mark.parametrize("excess", [1e20, np.inf])
def test_a_hopeless_variance_has_no_quantification_limit_below_one(excess):
    assert quantification_limit(0.5, 1000, 0.003, excess=excess) == 1.0
