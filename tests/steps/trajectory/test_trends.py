"""Trends with bands that hold the truth, and drivers that are honest about donors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import rankdata

from scdiff.steps.trajectory.trends import compute_gene_trends, find_drivers


def test_bands_hold_the_true_level():
    rng, held = np.random.default_rng(0), []
    for _ in range(60):
        place, depth = rng.random(2_000), rng.lognormal(np.log(3_000), 0.4, 2_000)
        level = np.where(place < 0.5, 1e-4, 2e-3)
        counts = rng.poisson(rng.gamma(3, level / 3) * depth).astype(float)
        table = compute_gene_trends({"G": counts}, depth, place)
        truth = np.where(table["place"] < 0.5, 1.0, 20.0)
        held.append(((table["low"] <= truth) & (truth <= table["high"])).mean())
    assert len(table) == 10
    assert 0.91 <= np.mean(held) <= 0.98


def test_bins_hold_twenty_cells_and_every_known_cell_once():
    place = np.concatenate([np.zeros(500), np.full(7, 0.35), np.full(30, 0.95), [np.nan] * 5])
    table = compute_gene_trends({"A": np.ones(542), "B": np.zeros(542)}, np.full(542, 1e3), place)
    assert table.groupby("gene")["n_cells"].sum().tolist() == [537, 537]
    assert (table["n_cells"] >= 20).all()
    zero = table[table["gene"] == "B"]
    assert (zero["cp10k"] == 0).all()
    assert (zero["high"] > 0).all()


def test_no_place_no_trend():
    assert len(compute_gene_trends({"A": np.ones(3)}, np.ones(3), np.full(3, np.nan))) == 0


def _levels(n_cells: int, seed: int = 0) -> tuple[sparse.csr_matrix, np.ndarray]:
    rng = np.random.default_rng(seed)
    fate = rng.random(n_cells)
    values = rng.poisson(
        np.column_stack([np.full((n_cells, 6), 1.0), 3 * fate, 3 * (1 - fate)])
    ).astype(float)
    return sparse.csr_matrix(values), fate


def test_drivers_are_the_genes_that_go_with_the_fate_and_no_forbidden_one():
    values, fate = _levels(600)
    allowed = np.array([True] * 6 + [True, False])
    table = find_drivers(
        values, fate, list("abcdefgh"), allowed, np.repeat(list("xyz"), 200), np.arange(600)
    )
    assert table.index[0] == "g"
    assert "h" not in table.index
    assert table.loc["g", "same_sign"]
    assert table.loc["g", "p_value"] < 0.05 < table.drop(index="g")["p_value"].median()
    each = [
        np.corrcoef(values.toarray()[part, 6], rankdata(fate[part]))[0, 1]
        for part in np.split(np.arange(600), 3)
    ]
    assert table.loc["g", "correlation"] == pytest.approx(np.mean(each))


def test_a_gene_that_never_varies_does_no_harm():
    values, fate = _levels(600)
    silent = sparse.csr_matrix(np.column_stack([np.zeros(600), values.toarray()[:, 6]]))
    table = find_drivers(
        silent,
        fate,
        ["silent", "g"],
        np.ones(2, dtype=bool),
        np.repeat(list("xyz"), 200),
        np.arange(600),
    )
    assert table.index.tolist() == ["g"]
    assert table.loc["g", "q_value"] == pytest.approx(
        min(2 * table.loc["g", "p_value"], 1), abs=1e-8
    )


def test_fewer_than_three_donors_have_no_p_value():
    values, fate = _levels(400)
    table = find_drivers(
        values,
        fate,
        list("abcdefgh"),
        np.ones(8, dtype=bool),
        np.repeat(list("xy"), 200),
        np.arange(400),
    )
    assert table["p_value"].isna().all()
    assert (table["n_donors"] == 2).all()


def test_no_fate_no_driver():
    values, _ = _levels(50)
    table = find_drivers(
        values,
        np.full(50, np.nan),
        list("abcdefgh"),
        np.ones(8, dtype=bool),
        np.array(["x"] * 50),
        np.arange(50),
    )
    assert len(table) == 0
