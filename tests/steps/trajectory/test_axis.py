"""The axis: linear in the counts, honest about chance, and the same in any order."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from scdiff.steps.trajectory.axis import Cells, drop_strays, place_on_axis


def _two(
    n_start: int = 300, n_end: int = 60, depth: float = 3_000.0, seed: int = 0
) -> tuple[Cells, np.ndarray, np.ndarray]:
    """Two populations that differ in a fifth of 400 genes, and a hundred cells half between them."""
    rng = np.random.default_rng(seed)
    low = rng.gamma(0.5, size=400) + 0.01
    high = low * np.exp(rng.normal(scale=1.5, size=400) * (rng.random(400) < 0.2))
    low, high = low / low.sum(), high / high.sum()
    shares = np.repeat([low, high, (low + high) / 2], [n_start, n_end, 100], axis=0)
    counts = sparse.csr_matrix(rng.poisson(shares * depth).astype(np.float32))
    rows = np.arange(n_start + n_end + 100)
    cells = Cells(
        counts, np.asarray(counts.sum(axis=1), dtype=float).ravel(), np.ones(400, dtype=bool), rows
    )
    return cells, rows < n_start, (rows >= n_start) & (rows < n_start + n_end)


def test_ends_lie_at_0_and_1_and_half_way_in_between():
    cells, start, end = _two()
    axis = place_on_axis(cells, start, end)
    assert [
        np.median(axis.position[part]) for part in (start, end, ~start & ~end)
    ] == pytest.approx([0, 1, 0.5], abs=0.05)
    assert axis.apart == 1


def test_droplets_with_two_cells_lie_where_their_counts_put_them():
    cells, start, end = _two()
    axis = place_on_axis(cells, start, end)
    first, second = np.flatnonzero(start)[:50], np.flatnonzero(end)[:50]
    share = cells.depth[second] / (cells.depth[first] + cells.depth[second])
    assert np.median(axis.of_pairs(first, second) - share) == pytest.approx(0, abs=0.05)


def test_chance_alone_sets_nobody_apart():
    """Two draws from one population: weights of one half say nothing about the other."""
    cells, start, _ = _two()
    drawn = np.zeros_like(start)
    drawn[:12] = True
    axis = place_on_axis(cells, start & ~drawn, drawn)
    assert axis is None or axis.apart < 0.8


def test_genes_that_are_left_out_have_no_say():
    cells, start, end = _two()
    silent = Cells(cells.counts, cells.depth, np.arange(400) < 200, cells.order)
    changed = cells.counts.toarray()
    changed[:, 200:] = 0
    other = Cells(sparse.csr_matrix(changed), cells.depth, silent.genes, cells.order)
    np.testing.assert_array_equal(
        place_on_axis(silent, start, end).position, place_on_axis(other, start, end).position
    )


def test_order_of_cells_and_genes_does_not_matter():
    cells, start, end = _two()
    rng = np.random.default_rng(3)
    rows, columns = rng.permutation(len(start)), rng.permutation(400)
    other = Cells(cells.counts[rows][:, columns], cells.depth[rows], cells.genes, np.argsort(rows))
    np.testing.assert_array_equal(
        place_on_axis(cells, start, end).position[rows],
        place_on_axis(other, start[rows], end[rows]).position,
    )


def test_gained_only_uses_no_lost_gene():
    cells, start, end = _two()
    less = cells.counts.toarray()
    lost = less[end].mean(axis=0) < 0.5 * less[start].mean(axis=0)
    third = ~start & ~end
    less[np.ix_(third, lost)] = 0  # a third population without those genes
    other = Cells(sparse.csr_matrix(less), cells.depth, cells.genes, cells.order)
    both, gained = (
        place_on_axis(other, start, end, gained_only=only).position[third] for only in (False, True)
    )
    assert np.median(gained) < np.median(both)


@pytest.mark.parametrize("n_end", [0, 1, 7])
def test_too_few_cells_have_no_axis(n_end):
    cells, start, end = _two()
    few = np.zeros_like(end)
    few[np.flatnonzero(end)[:n_end]] = True
    assert place_on_axis(cells, start, few) is None


def test_strays_of_the_end_are_left_out():
    cells, start, end = _two()
    with_strays = end.copy()
    with_strays[:5] = True
    axis = place_on_axis(cells, start & ~with_strays, with_strays)
    np.testing.assert_array_equal(drop_strays(axis, with_strays), end)
