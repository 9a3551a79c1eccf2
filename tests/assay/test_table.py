"""table: nothing is lost but the fineness of large numbers, and the order of the cells is nowhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from scdiff.assay.table import FINE, Binning, coarse_counts, coarse_depth, count_grid, tabulate

STEPS_PER_OCTAVE, EXACT_BELOW = FINE
BIN = 2 ** (1 / STEPS_PER_OCTAVE)
cells = st.integers(1, 30).flatmap(
    lambda n: st.tuples(
        arrays(np.int64, (n, 3), elements=st.one_of(st.integers(0, 3), st.integers(0, 100_000))),
        arrays(np.int64, n, elements=st.integers(1, 200_000)),
    )
)


def same_table(one, other):
    np.testing.assert_array_equal(one.weight, other.weight)
    np.testing.assert_array_equal(one.share, other.share)
    np.testing.assert_array_equal(one.pair, other.pair)
    for marker, twin in zip(one.markers, other.markers, strict=True):
        np.testing.assert_array_equal(marker.counts, twin.counts)
        np.testing.assert_array_equal(marker.depth, twin.depth)
        np.testing.assert_array_equal(marker.row, twin.row)


def test_small_counts_are_exact():
    np.testing.assert_array_equal(coarse_counts(np.arange(EXACT_BELOW)), np.arange(EXACT_BELOW))


def test_coarse_counts_are_monotone_whole_and_close():
    counts = np.arange(200_000)
    coarse = coarse_counts(counts)
    assert (np.diff(coarse) >= 0).all()
    np.testing.assert_array_equal(coarse, np.rint(coarse))
    assert (np.abs(coarse - counts) <= counts * (np.sqrt(BIN) - 1) + 0.5).all()


@settings(max_examples=50, deadline=None)
@given(count=st.integers(0, 10**7))
def test_coarse_counts_change_nothing_the_second_time(count):
    once = coarse_counts([count])
    assert coarse_counts(once)[0] == pytest.approx(once[0], rel=BIN - 1)


def test_coarse_depths_are_monotone_and_within_half_a_bin():
    depth = np.arange(1, 100_000)
    coarse = coarse_depth(depth)
    assert (np.diff(coarse) >= 0).all()
    ratio = coarse / depth
    assert ratio.min() >= 1 / np.sqrt(BIN) - 1e-6
    assert ratio.max() <= np.sqrt(BIN) + 1e-6


def test_a_cell_without_counts_gets_the_smallest_depth():
    assert coarse_depth([0])[0] == coarse_depth([1])[0] > 0


@pytest.mark.parametrize("largest", [0, 1, 31, 32, 33, 63, 64, 65, 1_000, 4_095, 4_096, 123_456])
def test_count_grid_holds_every_coarse_count_up_to_the_largest(largest):
    grid = count_grid(float(coarse_counts([largest])[0]))
    assert (np.diff(grid) > 0).all()
    assert np.isin(coarse_counts(np.arange(largest + 1)), grid).all()


def test_count_grid_holds_nothing_else():
    assert np.isin(count_grid(5_000.0), coarse_counts(np.arange(20_000))).all()


@settings(max_examples=80, deadline=None)
@given(drawn=cells)
def test_rows_lead_back_to_the_cells(drawn):
    counts, depth = drawn
    table = tabulate(counts, depth)
    assert table.n_cells == len(depth)
    np.testing.assert_array_equal(
        np.bincount(table.cell_row, minlength=len(table.weight)), table.weight
    )
    for index, marker in enumerate(table.markers):
        np.testing.assert_array_equal(
            marker.counts[marker.row[table.cell_row]], coarse_counts(counts[:, index])
        )
        np.testing.assert_array_equal(marker.depth[marker.row[table.cell_row]], coarse_depth(depth))


@settings(max_examples=80, deadline=None)
@given(drawn=cells)
def test_pairs_are_numbered_over_all_markers(drawn):
    table = tabulate(*drawn)
    stacked = np.concatenate([marker.counts for marker in table.markers])
    for index, marker in enumerate(table.markers):
        np.testing.assert_array_equal(stacked[table.pair[:, index]], marker.counts[marker.row])
    assert table.pair.max() < len(stacked)


@settings(max_examples=80, deadline=None)
@given(drawn=cells, seed=st.integers(0, 1_000))
def test_law_shuffled_cells_give_the_same_table(drawn, seed):
    counts, depth = drawn
    order = np.random.default_rng(seed).permutation(len(depth))
    one, other = tabulate(counts, depth), tabulate(counts[order], depth[order])
    same_table(one, other)
    np.testing.assert_array_equal(one.cell_row[order], other.cell_row)


def test_equal_cells_become_one_row():
    table = tabulate(np.tile([1, 0, 200], (500, 1)), np.full(500, 4_000))
    np.testing.assert_array_equal(table.weight, [500.0])
    np.testing.assert_array_equal(table.cell_row, np.zeros(500))


def test_share_is_above_zero_for_a_marker_never_seen():
    table = tabulate([[0, 10], [0, 30]], [1_000, 3_000])
    np.testing.assert_allclose(table.share, [0.5 / 4_000, 40.5 / 4_000])


def test_input_is_left_alone():
    counts, depth = np.array([[100.0, 2.0]]), np.array([4_000.0])
    tabulate(counts, depth)
    np.testing.assert_array_equal(counts, [[100.0, 2.0]])
    np.testing.assert_array_equal(depth, [4_000.0])


@settings(max_examples=60, deadline=None)
@given(drawn=cells)
def test_law_wider_bins_hold_the_same_cells_in_fewer_rows(drawn):
    counts, depth = drawn
    table = tabulate(counts, depth)
    for binning in (Binning(4, 16), Binning(1, 8)):
        wider = table.coarser(binning)
        assert len(wider.weight) <= len(table.weight)
        assert wider.weight.sum() == len(depth)
        np.testing.assert_array_equal(
            np.bincount(wider.cell_row, minlength=len(wider.weight)), wider.weight
        )
        assert (
            np.abs(np.log2(wider.depth[wider.cell_row] / depth))
            <= 0.5 / binning.steps_per_octave + 0.04
        ).all()
        for marker, exact in zip(wider.markers, np.asarray(counts).T, strict=True):
            small = exact < binning.exact_below
            np.testing.assert_array_equal(
                marker.counts[marker.row[wider.cell_row]][small], exact[small]
            )
        table = wider
