"""_donors: samples taken together by donor, and what is said of how donors differ."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from donor_rows import rows, variation

from scdiff.steps.fraction.donors import donor_tables


def test_donors_that_differ_have_a_rho_and_need_more_donors():
    (wide,), (narrow,) = (
        variation(values)["variation"].to_dict("records")
        for values in ([0.01, 0.05, 0.15, 0.02], [0.05, 0.055, 0.06, 0.05])
    )
    assert wide["verdict"] == narrow["verdict"] == "estimated"
    assert wide["rho_low"] > 0 == narrow["rho_low"]
    assert (wide["donor_least"], wide["donor_most"]) == (0.01, 0.15)
    for name in ("rho", "logit_variance", "donors_for_mean", "donors_for_change"):
        assert wide[f"{name}_low"] <= wide[name] <= wide[f"{name}_high"]
        assert wide[name] > narrow[name]


def test_the_order_of_the_samples_changes_nothing():
    table = rows([0.01, 0.05, 0.15])
    one = donor_tables(table, {"s0": "a", "s1": "b", "s2": "c"}, {})["variation"]
    other = donor_tables(table.iloc[::-1], {"s2": "c", "s0": "a", "s1": "b"}, {})["variation"]
    pd.testing.assert_frame_equal(one, other, rtol=1e-6)


def test_samples_of_one_donor_count_once():
    found = variation([0.01, 0.05, 0.15], ["a", "a", "b"])
    assert found["variation"]["n_donors"].tolist() == [2]
    assert found["values"]["n_samples"].tolist() == [2, 1]
    assert found["values"]["prevalence"].tolist() == pytest.approx([0.03, 0.15])


@pytest.mark.parametrize(
    ("tables", "verdict", "reason"),
    [
        (
            variation([0.05]),
            "not estimable",
            "1 donor for the variation between donors, and at least 2 are needed",
        ),
        (variation([0.01, 0.05], ["a", "a"]), "not estimable", "1 donor for the variation"),
        (variation([0.0, 0.0, 0.0]), "not estimable", "no donor of 3 has a positive cell"),
        (
            variation([0.0, 0.001], verdict="not detected"),
            "not estimable",
            "not detected in the pooled samples",
        ),
        (variation([np.nan, 0.1]), "not measurable", "a sample could not be measured"),
        (
            variation([0.1, 0.2], verdict="not measurable"),
            "not measurable",
            "a sample could not be measured",
        ),
    ],
)
def test_what_cannot_be_said_is_refused_with_the_reason(tables, verdict, reason):
    (row,) = tables["variation"].to_dict("records")
    assert row["verdict"] == verdict
    assert row["reason"].startswith(reason)
    assert np.isnan(
        [row["rho"], row["logit_variance"], row["donors_for_mean"], row["donors_for_change_high"]]
    ).all()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_interval_of_rho_holds_the_truth_of_simulated_donors(seed):
    rng, rho, mean = np.random.default_rng(seed), 0.03, 0.06
    total, hits = (1 - rho) / rho, 0
    for _ in range(8):
        drawn = rng.binomial(2000, rng.beta(mean * total, (1 - mean) * total, 5)) / 2000
        (row,) = variation(drawn)["variation"].to_dict("records")
        hits += row["rho_low"] <= rho <= row["rho_high"]
    assert hits >= 6
