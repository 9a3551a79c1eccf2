"""plan: against the limits themselves, laws, and batches drawn from the plan's own model."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from scdiff.assay.fit import fit_mixture
from scdiff.assay.limits import (
    DETECTABLE_CALLS,
    detection_limit,
    limit_of_blank,
    limits_by_cells,
    quantification_limit,
)
from scdiff.assay.mixture import Model
from scdiff.assay.plan import plan_cells
from scdiff.assay.table import tabulate
from scdiff.errors import InputError


@pytest.fixture(scope="module")
def plans(model):
    return plan_cells(model, [1_000, 4_000, 20_000], fraction=0.001)


def test_the_cells_meet_the_limits_and_fewer_do_not(plans):
    for plan in plans:
        at = [
            detection_limit(plan.sensitivity, n, limit_of_blank(plan.false_call_rate, n))
            for n in (plan.cells_to_detect, 1_000)
        ]
        assert at[0] <= 0.001 * (1 + 1e-6)
        assert at[1] > 0.001
        assert quantification_limit(plan.sensitivity, plan.cells_to_quantify, at[0]) <= 0.001 * (
            1 + 1e-6
        )
        assert (
            quantification_limit(plan.sensitivity, int(plan.cells_to_quantify * 0.85), 0.0) > 0.001
        )


def test_depth_buys_sensitivity(plans):
    sensitivity = [plan.sensitivity for plan in plans]
    assert sensitivity == sorted(sensitivity)
    assert sensitivity[0] < 0.5
    assert sensitivity[-1] > 0.85
    assert all(plan.false_call_rate < 0.002 for plan in plans)


@pytest.mark.slow
def test_law_more_depth_never_needs_more_cells(model):
    depths = [500, 640, 900, 1_000, 1_400, 2_000, 2_900, 4_000, 7_000, 11_000, 20_000]
    made = plan_cells(model, depths, fraction=0.002)
    for name in ("cells_to_detect", "cells_to_quantify"):
        needed = [getattr(plan, name) for plan in made]
        assert needed == sorted(needed, reverse=True), name
        assert min(needed) > 0


@pytest.mark.parametrize("false_rate", [0.0, 1e-5, 1e-3])
def test_law_more_cells_lower_the_limits(false_rate):
    """From size to size the LOD may rise by what one more call of the blank costs, never over a doubling."""
    sizes = 100 * 2 ** np.arange(14)
    for limits in limits_by_cells(false_rate, 0.5, sizes):
        assert (np.diff(limits) <= 0).all()
        assert limits[-1] < 0.05 * limits[0]


def test_limits_of_many_sizes_are_those_of_each():
    sizes = [60, 700, 5_000, 90_000]
    detection, quantification = limits_by_cells(2e-4, 0.4, sizes)
    for n, lod, lloq in zip(sizes, detection, quantification, strict=True):
        assert lod == detection_limit(0.4, n, limit_of_blank(2e-4, n))
        assert lloq == quantification_limit(0.4, n, lod)


def test_rarer_cells_need_more_cells(model):
    found = [plan_cells(model, [4_000], fraction=fraction)[0] for fraction in (0.0005, 0.005, 0.05)]
    assert np.all(np.diff([plan.cells_to_detect for plan in found]) < 0)
    assert np.all(np.diff([plan.cells_to_quantify for plan in found]) < 0)


def test_without_background_the_cells_are_those_of_the_fewest_calls(model):
    (plan,) = plan_cells(model, [4_000], fraction=0.01, contamination=0.0)
    assert plan.false_call_rate < 1e-4
    cells = [plan.cells_to_detect, int(plan.cells_to_detect * 0.97)]
    power = binom.sf(DETECTABLE_CALLS - 1, cells, 0.01 * plan.sensitivity)
    assert power[0] >= 0.95 > power[1]


def test_the_same_seed_gives_the_same_plan(model, plans):
    assert plan_cells(model, [4_000], fraction=0.001)[0] == plans[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fraction": 0.0}, r"the fraction to find is 0, but it must lie between 0 and 1"),
        ({"fraction": 1.0}, r"the fraction to find is 1, but"),
        ({"fraction": 0.1, "contamination": 1.0}, r"the contamination is 1, but it is a share"),
    ],
)
def test_numbers_out_of_range_are_refused(model, options, message):
    with pytest.raises(InputError, match=message):
        plan_cells(model, [4_000], **options)


@pytest.mark.parametrize("depths", [[], [4_000, 0.5]])
def test_depths_out_of_range_are_refused(model, depths):
    with pytest.raises(InputError, match="each must be 1 count per cell or more"):
        plan_cells(model, depths, fraction=0.1)


@pytest.mark.long
def test_a_batch_as_planned_holds_called_cells(model, truth, draw):
    from scdiff.assay.calls import call_cells

    (plan,) = plan_cells(model, [4_000], fraction=0.005)
    found = 0
    for seed in range(20):
        cells = draw(
            truth(0.005, model), model, n_cells=plan.cells_to_detect, depth=4_000, seed=seed
        )
        found += call_cells(
            fit_mixture(tabulate(cells.counts, cells.depth), Model(model.level, 2))
        ).positive.any()
    assert found >= 17
