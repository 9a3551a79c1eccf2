"""The ends: single false calls make none, and the furthest state wins."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scdiff.steps.trajectory.ends import find_positive_end, find_tips

STATES = ["beta_like", "progenitor"]


def _blocks(*sizes: int) -> sparse.csr_matrix:
    """Every cell a neighbour of all others of its block."""
    return sparse.block_diag([np.ones((size, size)) - np.eye(size) for size in sizes], format="csr")


def test_scattered_calls_are_no_end():
    state = np.array(["negative"] * 100 + ["progenitor"] * 20, dtype=object)
    state[:10] = "progenitor"
    probability = np.where(state == "progenitor", 0.95, 0.01)
    end = find_positive_end(state, STATES, probability, np.linspace(0, 1, 120), _blocks(100, 20))
    assert not end[:100].any()
    assert end[100:].all()


def test_the_state_furthest_in_time_is_the_end_and_what_is_out_of_reach_is_furthest():
    state = np.array(["progenitor"] * 20 + ["beta_like"] * 20, dtype=object)
    probability, time = np.full(40, 0.9), np.repeat([0.8, 0.4], 20)
    graph = _blocks(40)
    assert (state[find_positive_end(state, STATES, probability, time, graph)] == "progenitor").all()
    time[20:] = np.nan
    assert (state[find_positive_end(state, STATES, probability, time, graph)] == "beta_like").all()


@pytest.mark.parametrize("n_positive", [0, 1, 7])
def test_too_few_positive_cells_are_no_end(n_positive):
    state = np.array(["progenitor"] * n_positive + ["negative"] * 30, dtype=object)
    assert not find_positive_end(
        state, STATES, np.full(len(state), 0.5), np.zeros(len(state)), _blocks(len(state))
    ).any()


def test_no_probability_is_no_error():
    state = np.array(["progenitor"] * 12, dtype=object)
    assert find_positive_end(state, STATES, np.full(12, np.nan), np.zeros(12), _blocks(12)).all()


def _paga(*edges: tuple[str, str]) -> pd.DataFrame:
    names = list("abcd")
    table = pd.DataFrame(0.0, index=names, columns=names)
    for one, two in edges:
        table.loc[one, two] = table.loc[two, one] = 0.5
    return table


def test_tips_are_far_clusters_beyond_all_that_they_are_joined_to():
    clusters, time = np.repeat(list("abcd"), 10), np.repeat([0.0, 0.4, 0.8, 1.0], 10)
    graph = _paga(("a", "b"), ("b", "c"), ("a", "d"))
    found = find_tips(time, clusters, graph, np.zeros(40, dtype=bool), "a")
    assert sorted(found) == ["c", "d"]
    assert (clusters[found["c"]] == "c").all()
    assert sorted(find_tips(time, clusters, graph, clusters == "d", "a")) == ["c"]


def test_a_near_cluster_and_an_unreached_one_are_no_tips():
    clusters, time = np.repeat(list("abcd"), 10), np.repeat([0.0, 0.1, 1.0, np.nan], 10)
    assert sorted(
        find_tips(time, clusters, _paga(("a", "b"), ("a", "c")), np.zeros(40, dtype=bool), "a")
    ) == ["c"]
