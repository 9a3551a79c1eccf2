"""variation: against slow twins, by simulation with known truth, and laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import betaln, logit
from scipy.stats import chi2

from scdiff.assay.donors import overdispersion_evidence
from scdiff.assay.variation import donor_variation, intraclass_correlation, logit_variance
from scdiff.errors import InputError

VALUES, CELLS = np.array([0.02, 0.05, 0.11, 0.04]), np.array([2000, 1500, 900, 1200])
group = st.lists(st.tuples(st.floats(0.0, 0.6), st.integers(50, 10_000)), min_size=2, max_size=6)


def drawn_donors(rng, truth, rho, n_donors):
    """Fractions and cells of donors with this mean and correlation."""
    cells = rng.integers(500, 3001, n_donors)
    total = (1 - rho) / rho if rho else np.inf
    means = (
        rng.beta(truth * total, (1 - truth) * total, n_donors) if rho else np.full(n_donors, truth)
    )
    return rng.binomial(cells, means) / cells, cells


def slow_evidence(rho):
    """Ln likelihood of one correlation, the mean integrated out by adaptive quadrature."""
    total = (1 - rho) / rho

    def log_density(x):
        m, r = 1 / (1 + np.exp(-x)), 1 / (1 + np.exp(x))
        pairs = zip(VALUES * CELLS, CELLS, strict=True)
        return (
            sum(
                betaln(k + m * total, n - k + r * total) - betaln(m * total, r * total)
                for k, n in pairs
            )
            + (np.log(m) + np.log(r)) / 2
        )

    grid = np.linspace(-14, 14, 5_001)
    peak = grid[np.argmax(log_density(grid))]
    area = quad(
        lambda x: np.exp(log_density(x) - log_density(peak)), -14, 14, points=[peak], limit=400
    )[0]
    return np.log(area) + log_density(peak)


def test_the_interval_of_rho_is_where_the_likelihood_falls_by_the_corrected_ratio():
    _, low, high = intraclass_correlation(VALUES, CELLS)
    middle = np.exp(np.linspace(np.log(low), np.log(high), 15))
    best = max(
        np.polynomial.Polynomial.fit(
            np.log(middle), [slow_evidence(rho) for rho in middle], 8
        ).linspace(500)[1]
    )
    factor = 1.107  # of 3 degrees of freedom: 3 (ln 1.5 - digamma 1.5), digamma 1.5 = 0.03649
    drops = [2 * (best - slow_evidence(end)) for end in (low, high)]
    assert drops == pytest.approx([factor * chi2.ppf(0.95, 1)] * 2, rel=0.02)


def test_the_evidence_is_that_of_the_slow_twin():
    rhos = [0.002, 0.02, 0.2]
    fast = overdispersion_evidence(VALUES, CELLS, rhos)
    assert np.diff(fast) == pytest.approx(np.diff([slow_evidence(rho) for rho in rhos]), abs=2e-3)


def test_rho_of_equal_cells_is_the_textbook_analysis_of_variance():
    cells = np.repeat(100, 4)
    cells_of = [np.repeat([1.0, 0.0], [k, 100 - k]) for k in (5, 20, 10, 41)]
    mean = np.concatenate(cells_of).mean()
    between = sum(100 * (donor.mean() - mean) ** 2 for donor in cells_of) / 3
    within = sum(((donor - donor.mean()) ** 2).sum() for donor in cells_of) / (400 - 4)
    estimate = intraclass_correlation([donor.mean() for donor in cells_of], cells)[0]
    assert estimate == pytest.approx((between - within) / (between + 99 * within))


def test_the_logit_variance_of_many_cells_is_the_plain_variance_and_its_interval_chi_squared():
    values, cells = np.array([0.05, 0.1, 0.2, 0.08, 0.3]), np.full(5, 10**9)
    plain = logit(values).var(ddof=1)
    found = logit_variance(values, cells)
    assert found == pytest.approx(
        [plain, 4 * plain / chi2.ppf(0.975, 4), 4 * plain / chi2.ppf(0.025, 4)], rel=1e-3
    )


def test_q_at_the_ends_is_what_chi_squared_asks():
    called = VALUES * CELLS
    y, noise = (
        np.log((called + 0.5) / (CELLS - called + 0.5)),
        1 / (called + 0.5) + 1 / (CELLS - called + 0.5),
    )
    for variance, target in zip(
        logit_variance(VALUES, CELLS), (3, chi2.ppf(0.975, 3), chi2.ppf(0.025, 3)), strict=True
    ):
        weight = 1 / (noise + variance)
        assert (weight * (y - np.average(y, weights=weight)) ** 2).sum() == pytest.approx(
            target, rel=1e-5
        )


@settings(max_examples=25, deadline=None)
@given(drawn=group, seed=st.integers(0, 99))
def test_the_order_of_the_donors_changes_nothing_and_ends_enclose_the_estimate(drawn, seed):
    cells = np.array([n for _, n in drawn])
    values = np.round([f * n for f, n in drawn]) / cells
    if not values.any():
        return
    order = np.random.default_rng(seed).permutation(len(values))
    one, other = donor_variation(values, cells), donor_variation(values[order], cells[order])
    assert list(vars(other).values()) == pytest.approx(list(vars(one).values()), rel=1e-6, abs=1e-9)
    assert 0 <= one.rho_low <= one.rho <= one.rho_high <= 1
    assert 0 <= one.logit_variance_low <= one.logit_variance <= one.logit_variance_high


def test_equal_donors_do_not_differ():
    found = donor_variation([0.1] * 5, [2000] * 5)
    assert (found.rho, found.rho_low, found.logit_variance, found.logit_variance_low) == (
        0,
        0,
        0,
        0,
    )
    assert 0 < found.rho_high < 0.01


@pytest.mark.parametrize("measure", [donor_variation, intraclass_correlation, logit_variance])
def test_one_donor_is_refused_with_the_reason(measure):
    with pytest.raises(
        InputError,
        match=r"1 donor for the variation between donors, and at least 2 are needed: the cells of one donor do not show how much donors differ",
    ):
        measure([0.1], [1000])


@pytest.mark.parametrize(
    ("fractions", "kind"), [([0.0, 0.0], "positive"), ([1.0, 1.0, 1.0], "negative")]
)
def test_cells_all_alike_are_refused(fractions, kind):
    with pytest.raises(
        InputError,
        match=f"no donor of {len(fractions)} has a {kind} cell, so the variation between donors is unknown",
    ):
        donor_variation(fractions, [1000] * len(fractions))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("truth", "rho"), [(0.3, 0.05), (0.1, 0.01)])
def test_the_estimate_of_rho_finds_the_truth(truth, rho, seed):
    rng = np.random.default_rng(seed)
    found = [intraclass_correlation(*drawn_donors(rng, truth, rho, 8))[0] for _ in range(30)]
    assert np.mean(found) == pytest.approx(rho, rel=0.35)


@pytest.mark.parametrize(
    ("truth", "rho", "n_donors"), [(0.02, 0.05, 3), (0.3, 0.05, 2), (0.3, 0.2, 6), (0.02, 0.0, 4)]
)
def test_the_interval_of_rho_covers(truth, rho, n_donors):
    rng, hits, n_draws = np.random.default_rng(7), 0, 60
    for _ in range(n_draws):
        values, cells = drawn_donors(rng, truth, rho, n_donors)
        _, low, high = intraclass_correlation(values, cells) if values.any() else (0.0, 0.0, 1.0)
        hits += low <= rho <= high
    assert hits / n_draws >= 0.88


@pytest.mark.parametrize(("spread", "n_donors"), [(0.5, 3), (1.0, 6), (0.0, 4)])
def test_the_interval_of_the_logit_variance_covers(spread, n_donors):
    rng, hits, n_draws = np.random.default_rng(11), 0, 300
    for _ in range(n_draws):
        cells = rng.integers(500, 3001, n_donors)
        means = 1 / (1 + np.exp(-rng.normal(-2.0, spread, n_donors)))
        _, low, high = logit_variance(rng.binomial(cells, means) / cells, cells)
        hits += low <= spread**2 <= high
    assert hits / n_draws >= 0.92
