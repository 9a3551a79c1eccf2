"""donors: against a slow twin, by simulation with known truth, and laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import betaln, expit, logit
from scipy.stats import norm

from scdiff.assay import donors
from scdiff.assay.donors import (
    beta_binomial_interval,
    compare_donors,
    compare_pairs,
    effective_cells,
)
from scdiff.assay.intervals import clopper_pearson
from scdiff.errors import InputError

group = st.lists(st.tuples(st.floats(0.0, 1.0), st.integers(50, 10_000)), min_size=2, max_size=6)


def unzipped(drawn):
    """Fractions of whole cells, and cells."""
    cells = np.array([n for _, n in drawn])
    return np.round([f * n for f, n in drawn]) / cells, cells


def slow_below(values, cells, mean, spread):
    """Posterior probability that the mean is below ``mean`` at one standard deviation of the logits, by adaptive integration."""

    def log_density(x):
        m, r = 1 / (1 + np.exp(-x)), 1 / (1 + np.exp(x))
        rho = min(max(spread**2 * m * r, 1e-7), 0.98)
        total = (1 - rho) / rho
        pairs = zip(values * cells, cells, strict=True)
        return (
            sum(
                betaln(k + m * total, n - k + r * total) - betaln(m * total, r * total)
                for k, n in pairs
            )
            + (np.log(m) + np.log(r)) / 2
        )

    grid = np.linspace(-14, 14, 20_001)
    peak = grid[np.argmax([log_density(x) for x in grid])]

    def part(low, high):
        return quad(
            lambda x: np.exp(log_density(x) - log_density(peak)),
            low,
            high,
            points=[peak] if low < peak < high else None,
            limit=400,
        )[0]

    place = np.log(mean / (1 - mean))
    return part(-14, place) / part(-14, 14)


@pytest.mark.parametrize(
    ("fractions", "cells"), [([0.02, 0.05, 0.11], [2000, 1500, 900]), ([0.0, 0.004], [500, 1000])]
)
@pytest.mark.parametrize("spread", [0.2, 1.0])
def test_the_interval_holds_95_percent_of_the_posterior(fractions, cells, spread, monkeypatch):
    monkeypatch.setattr(donors, "SPREADS", np.array([spread]))
    values = np.array(fractions)
    low, high = beta_binomial_interval(values, cells)
    below = [slow_below(values, np.array(cells), end, spread) for end in (low, high)]
    assert below == pytest.approx([0.025, 0.975], abs=0.002)


@settings(max_examples=40, deadline=None)
@given(drawn=group)
def test_the_interval_is_ordered_holds_the_pooled_fraction_and_ignores_the_order(drawn):
    values, cells = unzipped(drawn)
    low, high = beta_binomial_interval(values, cells)
    assert 0 <= low <= (values * cells).sum() / cells.sum() + 1e-12
    assert (values * cells).sum() / cells.sum() - 1e-12 <= high <= 1
    assert beta_binomial_interval(values[::-1], cells[::-1]) == pytest.approx((low, high), abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(drawn=group)
def test_the_interval_mirrors(drawn):
    values, cells = unzipped(drawn)
    low, high = beta_binomial_interval(values, cells)
    other = beta_binomial_interval(1 - values, cells)
    assert (1 - other[1], 1 - other[0]) == pytest.approx((low, high), abs=2e-4)


def test_donors_without_a_positive_start_at_zero_and_all_end_at_one():
    low, high = beta_binomial_interval([0.0, 0.0, 0.0], [1000, 2000, 3000])
    assert low == 0
    assert 0.0005 < high < 0.1
    assert beta_binomial_interval([1.0, 1.0], [500, 500])[1] == 1


def test_more_donors_narrow_the_interval_more_cells_hardly():
    widths = [
        np.diff(beta_binomial_interval([0.05, 0.1] * n, [2000] * 2 * n))[0] for n in (1, 2, 4)
    ]
    assert (np.diff(widths) < 0).all()
    few, many = (np.diff(beta_binomial_interval([0.02, 0.2], [n] * 2))[0] for n in (2_000, 200_000))
    assert many / few == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    "call",
    [
        lambda: beta_binomial_interval([0.1], [100]),
        lambda: compare_donors([0.1], [9], [0.1, 0.2], [9, 9]),
    ],
)
def test_one_donor_is_refused_with_the_reason(call):
    with pytest.raises(
        InputError,
        match=r"1 donor for .*, and at least 2 are needed: the cells of one donor do not show",
    ):
        call()


@pytest.mark.parametrize(
    ("fractions", "cells"),
    [([0.1, 1.2], [10, 10]), ([0.1, np.nan], [10, 10]), ([0.1, 0.2], [10, 0])],
)
def test_values_that_are_no_fractions_are_refused(fractions, cells):
    with pytest.raises(InputError, match="not between 0 and 1, or a donor has no cells"):
        beta_binomial_interval(fractions, cells)


def test_unequal_pairs_are_refused():
    with pytest.raises(
        InputError, match=r"3 donors of the first condition and 2 of the second make no pairs"
    ):
        compare_pairs([0.1] * 3, [100] * 3, [0.1] * 2, [100] * 2)


COMPARISONS = [compare_donors, compare_pairs]


@pytest.mark.parametrize("compare", COMPARISONS)
@settings(max_examples=12, deadline=None)
@given(
    drawn=st.lists(
        st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(50, 5000)), min_size=2, max_size=5
    )
)
def test_swapping_the_groups_turns_the_sign(compare, drawn):
    a, b, cells = (np.array(column) for column in zip(*drawn, strict=True))
    one, other = compare(a, cells, b, cells, margin=0.02), compare(b, cells, a, cells, margin=0.02)
    assert (one.effect, one.low, one.high) == pytest.approx(
        (-other.effect, -other.high, -other.low), abs=5e-3
    )
    assert one.p_value == pytest.approx(other.p_value, abs=5e-3)
    assert one.p_equivalence == pytest.approx(other.p_equivalence, abs=5e-3)
    assert -1 <= one.low <= one.effect <= one.high <= 1


@pytest.mark.parametrize("compare", COMPARISONS)
def test_interval_p_value_and_words_agree(compare):
    base, cells = np.array([0.04, 0.05, 0.06]), [2000] * 3
    for shift in np.linspace(0, 0.3, 16):
        found = compare(base, cells, base + shift, cells)
        assert (found.low > 0) == (found.p_value < 0.05) == (found.verdict == "different")
        assert found.effect == pytest.approx(shift)


@pytest.mark.parametrize("compare", COMPARISONS)
def test_equivalence_needs_a_margin_and_enough_donors(compare):
    fractions, cells = np.array([0.02, 0.025] * 4), [3000] * 8
    assert compare(fractions, cells, fractions, cells).verdict == "undecided"
    wide, narrow = (
        compare(fractions, cells, fractions, cells, margin=margin) for margin in (0.05, 0.001)
    )
    assert wide.verdict == "equivalent within the margin"
    assert narrow.verdict == "undecided"
    assert wide.p_equivalence < 0.05 < narrow.p_equivalence
    assert np.isnan(compare(fractions, cells, fractions, cells).p_equivalence)


def test_a_tost_interval_of_90_percent_lies_within_the_margin():
    a, b, cells = (
        np.array([0.02, 0.03, 0.025, 0.02]),
        np.array([0.025, 0.03, 0.03, 0.02]),
        [3000] * 4,
    )
    inner = compare_donors(a, cells, b, cells, confidence=0.90)
    edge = max(-inner.low, inner.high)
    assert (
        compare_donors(a, cells, b, cells, margin=edge * 1.01).verdict
        == "equivalent within the margin"
    )
    assert (
        compare_donors(a, cells, b, cells, margin=edge * 0.99).verdict
        != "equivalent within the margin"
    )


def test_pairs_see_through_donors_that_differ():
    before, cells = np.array([0.02, 0.1, 0.3, 0.5]), [2000] * 4
    after = expit(logit(before) + 0.8)
    assert compare_pairs(before, cells, after, cells).p_value < 0.02
    assert compare_donors(before, cells, after, cells).p_value > 0.2


def test_pairs_by_normal_theory_where_the_spread_of_responses_is_known(monkeypatch):
    monkeypatch.setattr(donors, "RESPONSES", np.array([0.3]))
    a, b, cells = (
        np.array([0.1, 0.2, 0.3]),
        np.array([0.15, 0.22, 0.41]),
        np.array([1000, 2000, 500]),
    )
    counts = [part for x in (a, b) for part in (x * cells + 0.5, (1 - x) * cells + 0.5)]
    weight = 1 / (sum(1 / part for part in counts) + 0.3**2)
    before, after = np.log(counts[0] / counts[1]), np.log(counts[2] / counts[3])
    centre, sd = (weight * (after - before)).sum() / weight.sum(), weight.sum() ** -0.5
    found = compare_pairs(a, cells, b, cells)
    assert found.p_value == pytest.approx(2 * norm.sf(centre / sd), abs=1e-4)
    ends = [centre - 1.959964 * sd, centre + 1.959964 * sd]
    told = [
        np.mean(expit((before + after + end) / 2) - expit((before + after - end) / 2))
        for end in ends
    ]
    assert (found.low, found.high) == pytest.approx(told, abs=1e-4)


def test_the_interval_of_pairs_holds_the_truth_at_its_rate():
    rng, held = np.random.default_rng(3), []
    for _ in range(300):
        before = rng.uniform(0.02, 0.3, 4)
        after = expit(logit(before) + 0.7 + rng.normal(0, 0.3, 4))
        a, b = (rng.binomial(1500, x) / 1500 for x in (before, after))
        found = compare_pairs(a, [1500] * 4, b, [1500] * 4)
        held.append(found.low <= (after - before).mean() <= found.high)
    assert 0.93 < np.mean(held) <= 1


@settings(max_examples=40, deadline=None)
@given(n=st.integers(200, 5000), share=st.floats(0.0, 1.0))
def test_a_plain_count_is_worth_about_its_cells(n, share):
    called = round(n * share)
    low, high = clopper_pearson(called, n)
    (worth,) = effective_cells([called / n], [low], [high], [n])
    assert 0.5 * n < worth <= n


def test_a_wider_interval_is_worth_fewer_cells():
    worth = effective_cells(
        [0.05] * 4, [0.045, 0.04, 0.03, 0.01], [0.055, 0.061, 0.08, 0.15], [10_000] * 4
    )
    assert (np.diff(worth) < 0).all()
    assert effective_cells([0.3], [0.3], [0.3], [700]).tolist() == [700.0]


def coverage(truth, cv, n_donors, n_draws=120):
    """Share of intervals that hold the truth; the donors' fractions are beta distributed with the given CV."""
    rng, rho = np.random.default_rng(5), cv**2 * truth / (1 - truth)
    total, hits = (1 - rho) / rho, 0
    for _ in range(n_draws):
        cells = rng.integers(500, 3001, n_donors)
        low, high = beta_binomial_interval(
            rng.binomial(cells, rng.beta(truth * total, (1 - truth) * total, n_donors)) / cells,
            cells,
        )
        hits += low <= truth <= high
    return hits / n_draws


@pytest.mark.slow
@pytest.mark.parametrize(
    ("truth", "cv", "n_donors"), [(0.005, 0.5, 3), (0.02, 0.3, 5), (0.04, 0.5, 3), (0.3, 0.2, 3)]
)
def test_the_interval_covers(truth, cv, n_donors):
    assert coverage(truth, cv, n_donors) > 0.9


def test_three_donors_without_a_positive_cell_are_hardly_less_sure_than_one_batch():
    _, apart = beta_binomial_interval([0.0] * 3, [667] * 3)
    _, together = clopper_pearson(0, 2_001)
    assert together / 2 < apart < 2 * together


def rejected(effect, n_draws, seed):
    """Share of p-values at most 0.05 over overdispersions of 0.01-0.1; effect in standard errors."""
    rng, hits = np.random.default_rng(seed), 0
    for _ in range(n_draws):
        truth, rho = (
            np.exp(rng.uniform(np.log(0.01), np.log(0.4))),
            np.exp(rng.uniform(np.log(0.01), np.log(0.1))),
        )
        means = (truth, min(truth + effect * np.sqrt(truth * (1 - truth) * rho * 2 / 3), 0.97))
        cells = rng.integers(500, 3001, (2, 3))
        total = (1 - rho) / rho
        a, b = (
            rng.binomial(n, rng.beta(m * total, (1 - m) * total, 3)) / n
            for m, n in zip(means, cells, strict=True)
        )
        hits += compare_donors(a, cells[0], b, cells[1]).p_value <= 0.05
    return hits / n_draws


@pytest.mark.long
def test_false_discoveries_and_power_of_three_against_three():
    assert rejected(0, 1_000, 1) <= 0.065
    assert rejected(4, 300, 2) >= 0.7
