"""donor_plan: by simulation with the interval and the comparison that will be used, and laws."""

from __future__ import annotations

import numpy as np
import pytest

from scdiff.assay.donor_plan import donors_for_change, donors_for_mean
from scdiff.assay.donors import beta_binomial_interval, compare_donors
from scdiff.errors import InputError


def donors(rng, mean, rho, n_cells, n_donors):
    """Fractions of donors."""
    total = (1 - rho) / rho
    return rng.binomial(n_cells, rng.beta(mean * total, (1 - mean) * total, n_donors)) / n_cells


@pytest.mark.parametrize(("mean", "rho"), [(0.04, 0.003), (0.04, 0.02), (0.2, 0.03)])
def test_the_interval_of_the_planned_donors_has_the_width_asked_for(mean, rho):
    n_donors, rng, widths = donors_for_mean(mean, rho, 1000), np.random.default_rng(0), []
    for _ in range(30):
        low, high = beta_binomial_interval(
            donors(rng, mean, rho, 1000, n_donors), [1000] * n_donors
        )
        widths.append((high - low) / 2 / mean)
    assert np.median(widths) < 0.6
    fewer = max(2, n_donors // 3)
    few = [
        np.ptp(beta_binomial_interval(donors(rng, mean, rho, 1000, fewer), [1000] * fewer))
        / 2
        / mean
        for _ in range(30)
    ]
    assert np.median(few) > 0.5 or n_donors < 6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mean", "rho", "seed"), [(0.04, 0.003, 1), (0.04, 0.01, 2), (0.4, 0.05, 3)]
)
def test_the_planned_donors_find_the_change(mean, rho, seed):
    n_donors, rng = donors_for_change(mean, rho, 1000), np.random.default_rng(seed)
    other = mean * 2 if mean * 2 <= 0.5 else mean / 2
    pairs = [
        (donors(rng, mean, rho, 1000, n_donors), donors(rng, other, rho, 1000, n_donors))
        for _ in range(60)
    ]
    found = [
        compare_donors(a, [1000] * n_donors, b, [1000] * n_donors).p_value <= 0.05 for a, b in pairs
    ]
    assert np.mean(found) >= 0.68


@pytest.mark.parametrize("plan", [donors_for_mean, donors_for_change])
def test_more_difference_rarer_cells_and_fewer_cells_need_more_donors(plan):
    assert 2 <= plan(0.1, 0.001, 2000) <= plan(0.1, 0.02, 2000) < plan(0.1, 0.2, 2000)
    assert plan(0.1, 0.02, 2000) < plan(0.01, 0.02, 2000)
    assert plan(0.02, 0.001, 5000) < plan(0.02, 0.001, 50)


def test_a_narrower_interval_and_more_power_need_more_donors():
    assert donors_for_mean(0.05, 0.02, 1000, half_width=0.25) > 2 * donors_for_mean(
        0.05, 0.02, 1000
    )
    assert donors_for_change(0.05, 0.02, 1000, fold=1.5) > donors_for_change(0.05, 0.02, 1000)
    assert donors_for_change(0.05, 0.02, 1000, power=0.95) > donors_for_change(0.05, 0.02, 1000)


@pytest.mark.parametrize("plan", [donors_for_mean, donors_for_change])
def test_more_than_ten_thousand_donors_are_none(plan):
    assert plan(1e-5, 0.5, 1000) == 0
    assert plan(0.3, 1.0, 1000) > 2


@pytest.mark.parametrize("plan", [donors_for_mean, donors_for_change])
@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        ((0.0, 0.1, 100), "mean fraction to plan for is 0"),
        ((0.1, 1.2, 100), "the plan has rho 1.2 and 100 cells"),
        ((0.1, 0.1, 0), "0 cells per donor"),
    ],
)
def test_numbers_out_of_range_are_refused(plan, numbers, sentence):
    with pytest.raises(InputError, match=sentence):
        plan(*numbers)
