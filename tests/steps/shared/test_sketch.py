"""The sketch: rare cells stay, and the others follow their nearest."""

from __future__ import annotations

import numpy as np
import pytest

from scdiff import keys
from scdiff.steps.shared.sketch import draw_sketch, find_majority, find_sketch_cells


def test_all_cells_where_there_are_no_more():
    np.testing.assert_array_equal(draw_sketch(np.ones((5, 2)), np.ones(2), 5, 0), np.arange(5))


@pytest.mark.parametrize("seed", range(3))
def test_a_rare_population_that_lies_apart_stays(seed):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(20_000, 4))
    points[:20, 0] += 60  # one in a thousand
    chosen = draw_sketch(points - points.mean(axis=0), points.var(axis=0), 1_000, seed)
    assert len(set(chosen)) == len(chosen) == 1_000
    assert (chosen < 20).mean() > 3 * 20 / 20_000
    np.testing.assert_array_equal(
        chosen, draw_sketch(points - points.mean(axis=0), points.var(axis=0), 1_000, seed)
    )


def test_cells_of_the_sketch_keep_their_own_and_others_take_the_nearest():
    points = np.array([[0.0], [1.0], [10.0], [11.0], [12.0], [13.0], [14.0], [0.4]])
    inside = np.array([True] * 7 + [False])
    takes = find_sketch_cells(points, inside)
    np.testing.assert_array_equal(takes[:7], np.repeat(np.arange(7)[:, None], 5, axis=1))
    assert takes[7, :2].tolist() == [0, 1]


def test_majority_takes_the_nearest_of_equals():
    assert find_majority(np.array([[2, 1, 1], [3, 4, 5]])).tolist() == [1, 3]


def test_steps_on_a_sketch_give_every_cell_what_they_promise(ready, monkeypatch):
    from scdiff.steps.embed.step import embed
    from scdiff.steps.trajectory.step import trajectory

    adata = ready(400, 200)
    whole = adata.obs["leiden"].copy()
    monkeypatch.setitem(_globals(embed), "LARGEST", 150)
    embed(adata)
    assert adata.obs["scdiff_sketch"].sum() == 150
    outside = ~adata.obs["scdiff_sketch"].to_numpy()
    assert adata.obsp["connectivities"][outside].nnz == adata.obsp["distances"][:, outside].nnz == 0
    assert adata.obs["leiden"].notna().all()
    from sklearn.metrics import adjusted_rand_score

    assert adjusted_rand_score(whole, adata.obs["leiden"]) > 0.8
    trajectory(adata)
    for key in keys.list_written("trajectory"):
        assert keys.has(adata, key)
    assert adata.obs["dpt_pseudotime"].notna().mean() > 0.3  # a group is a component


def _globals(step):
    import inspect

    return inspect.unwrap(step).__globals__
