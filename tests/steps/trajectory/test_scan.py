"""The scan of a way: against a slow oracle, and its probabilities and intervals on ways of known density."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import poisson

from scdiff.steps.trajectory import scan as module
from scdiff.steps.trajectory.scan import DENSITIES, GRID, SPARSE, STEP, Way, scan

N_BINS = 28


def _way(seed: int, density: float, *, n_end: float = 40, doublets: float = 0.1) -> Way:
    """Draw a way of a known density; ``doublets`` are expected in each bin."""
    generator = np.random.default_rng([seed, int(100 * density)])
    expected, strays = np.full(N_BINS, doublets), np.full(N_BINS, 0.01)
    return Way(
        generator.poisson(expected + strays + density * STEP * n_end), expected, strays, n_end
    )


def test_the_evidence_is_that_of_a_slow_sum():
    way = _way(3, 0.4)
    for window, found in enumerate(way.weigh_evidence(way.cells)):
        first, last = (int(edge[window]) for edge in way.windows)
        cells = way.cells[first:last].sum()
        empty = (way.doublets + way.strays)[first:last].sum()
        filled = [
            poisson.pmf(cells, empty + density * (last - first) * STEP * way.n_end)
            for density in DENSITIES
        ]
        assert found == pytest.approx(np.log(poisson.pmf(cells, empty) / np.mean(filled)))


def test_windows_are_at_least_as_wide_as_said_and_one_is_the_whole_way():
    first, last = _way(0, 0.0).windows
    assert (last - first).min() * STEP == pytest.approx(0.15)
    assert (0, N_BINS) in set(zip(first, last, strict=True))


@pytest.fixture
def fewer_draws(monkeypatch):
    monkeypatch.setattr(module, "N_DRAWS", 200)


@pytest.mark.parametrize("n_end", [20, 40])
def test_probabilities_are_calibrated(n_end):
    """At a nominal 5 %, 3-7 %, but for discrete counts, which can only make it less."""
    generator = np.random.default_rng(n_end)
    way = _way(0, 0.0, n_end=n_end, doublets=0.3)
    for density, side in ((SPARSE, 1), (0.0, -1)):
        null, new = (side * way.draw(density, 3_000, generator) for _ in range(2))
        found = np.array([np.mean(null >= value - 1e-9) for value in new])
        assert 0.03 <= np.mean(found < 0.05) <= 0.06


@pytest.mark.parametrize("density", [0.0, 0.2, 1.0])
def test_the_interval_holds_the_density(density, fewer_draws):
    found = [scan(_way(seed, density)) for seed in range(60)]
    held = np.mean([one.density_low <= density <= one.density_high for one in found])
    assert held >= 0.83
    assert all(one.density_low <= one.density <= one.density_high for one in found)
    if density:
        assert held < 1


def test_many_cells_give_a_narrow_interval():
    found = scan(_way(1, 1.0, n_end=4_000))
    assert found.density_high - found.density_low < 0.5
    assert found.p_continuum == 0.0
    assert found.p_separate == 1.0
    assert found.evidence < -100


def test_the_densities_of_the_null_are_on_the_grid():
    assert SPARSE in GRID
    assert GRID[0] == 0
