"""Row ``all`` of several samples: the bound of nothing is not many times that of all cells at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scdiff.steps.fraction.estimate import Estimate
from scdiff.steps.fraction.groups import POOLED_FACTOR, _bound_by_pooled

NOTHING = Estimate(0.0005, 0.0, 0.03, 0.001, 0.01, 1.0, 0.5, {}, cells=(0.0, 0.02))
POOLED = replace(NOTHING, high=0.004, cells=None)


def test_the_bound_of_samples_without_positive_cells_is_limited_by_all_their_cells():
    found = _bound_by_pooled(NOTHING, POOLED, 0, 2_000)
    assert found.high == pytest.approx(POOLED_FACTOR * 0.004)
    assert found.cells == pytest.approx((0.0, POOLED_FACTOR * 0.004))


def test_a_bound_that_is_lower_stays():
    low = replace(NOTHING, high=0.002, cells=None)
    assert _bound_by_pooled(low, POOLED, 0, 2_000).high == 0.002


def test_the_bound_is_never_below_the_prevalence():
    some = replace(NOTHING, prevalence=0.02)
    assert _bound_by_pooled(some, POOLED, 0, 2_000).high == 0.02


@pytest.mark.parametrize(("joint", "pooled"), [(50.0, 0.5), (0.5, 50.0)])
def test_found_cells_keep_the_interval_of_the_samples(joint, pooled):
    estimates = replace(NOTHING, evidence=joint), replace(POOLED, evidence=pooled)
    assert _bound_by_pooled(*estimates, 20, 2_000) == estimates[0]
