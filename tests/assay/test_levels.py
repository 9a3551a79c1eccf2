"""levels: the level of a marker is learned where the programme gives none."""

from __future__ import annotations

import numpy as np
import pytest

from scdiff.assay.levels import learn_levels


@pytest.mark.parametrize("level", [2e-4, 2e-3, 0.05])
def test_levels_are_near_those_of_the_expressing_cells(level):
    rng = np.random.default_rng(0)
    depth = rng.lognormal(8.3, 0.3, 3_000)
    on = rng.random(3_000) < 0.1
    own = np.where(on, level, 0.0) * rng.gamma(3, 1 / 3, 3_000)
    counts = rng.poisson((own + 0.02 * level) * depth)
    found = learn_levels(counts[:, None], depth)[0]
    assert level / 4 < found < level * 4  # well inside the wide prior that goes with it


def test_a_marker_without_counts_gets_one_in_ten_thousand():
    assert learn_levels(np.zeros((5, 1)), np.full(5, 1_000.0)).tolist() == [1e-4]


def test_the_order_of_the_cells_does_not_matter():
    rng = np.random.default_rng(1)
    counts, depth = rng.poisson(1.0, (200, 2)), rng.lognormal(8, 0.4, 200)
    order = rng.permutation(200)
    np.testing.assert_allclose(
        learn_levels(counts, depth), learn_levels(counts[order], depth[order]), rtol=1e-12
    )
