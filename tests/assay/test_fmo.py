"""Leaving a marker out: what the others find alone."""

from __future__ import annotations

import numpy as np
import pytest

from scdiff.assay.fit import fit_mixture
from scdiff.assay.fmo import leave_one_out
from scdiff.assay.mixture import Model
from scdiff.assay.table import tabulate

LEVEL = (1e-3, 1e-3, 1e-2)


def cells(on_markers: list[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """1,500 cells of depth 5,000, one in ten expressing some markers at their level, a little background in all."""
    rng = np.random.default_rng(seed)
    depth = np.full(1500, 5000.0)
    mean = np.full((1500, 3), 0.005)
    mean[:150, on_markers] += np.array(LEVEL)[on_markers] * 5000
    return rng.poisson(mean * rng.gamma(5, 1 / 5, mean.shape)), depth


def without_each(counts, depth, min_markers=2):
    return leave_one_out(
        counts, depth, fit_mixture(tabulate(counts, depth), Model(LEVEL, min_markers))
    )


def test_the_start_makes_no_difference():
    """As found from scratch without the marker."""
    counts, depth = cells([0, 1, 2], seed=3)
    for left_out, without in enumerate(without_each(counts, depth)):
        others = [index for index in range(3) if index != left_out]
        scratch = fit_mixture(
            tabulate(counts[:, others], depth), Model(tuple(LEVEL[index] for index in others), 2)
        )
        assert without.prevalence == pytest.approx(scratch.prevalence, abs=2e-3)


def test_signature_of_three_markers_stands_without_any_of_them():
    counts, depth = cells([0, 1, 2])
    found = without_each(counts, depth)
    assert [without.prevalence for without in found] == pytest.approx([0.1] * 3, abs=0.015)
    assert all(120 <= without.n_called <= 160 for without in found)


def test_signature_that_rests_on_a_marker_vanishes_without_it():
    counts, depth = cells([0, 2])
    without_first, without_second, without_third = without_each(counts, depth)
    assert without_second.prevalence == pytest.approx(0.1, abs=0.015)
    assert without_first.prevalence < 0.01
    assert without_third.prevalence < 0.01
    assert without_first.n_called <= 2


def test_nothing_is_left_out_where_all_markers_are_needed():
    counts, depth = cells([0, 1, 2])
    assert without_each(counts, depth, 3) == []


def test_order_of_cells_does_not_matter():
    counts, depth = cells([0, 1, 2])
    order = np.random.default_rng(1).permutation(len(depth))
    assert without_each(counts, depth) == without_each(counts[order], depth[order])
