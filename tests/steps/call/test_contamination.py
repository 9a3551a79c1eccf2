"""call and fraction: contamination of many shapes is not taken for expression, and the other way round.

The generator shares nothing with the model: contamination is drawn by volume, in classes and by sample.
"""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from recorded import as_loaded
from scipy import sparse

from scdiff.steps.call.step import call
from scdiff.steps.fraction.step import fraction

GENES = ["PDX1", "NKX6-1", "INS", "NEUROG3"]
CELL = np.array([2.0, 3.0, 1_000.0, 0.0]) / 1e4
SOUP = 0.2 * np.array([3.0, 2.0, 2_000.0, 0.0]) / 1e4
N_OTHER = 300


def batch(rng, depth, soup, truth, *, leak=None, sample=None):
    """Draw a batch: ``soup`` molecules of ambient RNA per droplet, ``leak`` further expression."""
    n = len(depth)
    positive = rng.random(n) < truth
    activity = rng.lognormal(-0.08, 0.4, (n, 1))
    own = np.where(positive[:, None], CELL * activity * rng.lognormal(-0.08, 0.4, (n, 4)), 0.0)
    own = own + (0.0 if leak is None else leak)
    markers = rng.poisson(own * depth[:, None]) + rng.poisson(SOUP * soup[:, None])
    profile = rng.lognormal(0, 1.2, N_OTHER)
    other = rng.poisson((depth + soup)[:, None] * profile / profile.sum())
    names = [*GENES, *(f"G{number}" for number in range(N_OTHER))]
    obs = pd.DataFrame({"sample": pd.Categorical(sample if sample is not None else ["one"] * n)})
    obs.index = [f"c{number}" for number in range(n)]
    counts = sparse.csr_matrix(np.hstack([markers, other]).astype(np.float32))
    adata = ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=names))
    adata.layers["counts"] = adata.X
    as_loaded(adata)
    return adata, float(positive.mean())


def constant_volume(rng, truth):
    depth = rng.lognormal(np.log(4_000), 0.8, 2_000) + 300
    return batch(rng, depth, 200 * rng.gamma(10, 0.1, 2_000), truth)


def two_classes(rng, truth):
    depth = rng.lognormal(np.log(4_000), 0.4, 2_000)
    share = np.where(rng.random(2_000) < 0.1, rng.uniform(0.15, 0.25, 2_000), 0.02)
    return batch(rng, depth, depth * share, truth)


def by_sample(rng, truth):
    depth, group = rng.lognormal(np.log(4_000), 0.4, 2_100), np.repeat([0, 1, 2], 700)
    share = np.array([0.01, 0.08, 0.35])[group] * rng.gamma(6, 1 / 6, 2_100)
    return batch(rng, depth, depth * share, truth, sample=[f"s{number}" for number in group])


def one_marker_leaks(rng, truth):
    depth = rng.lognormal(np.log(4_000), 0.4, 2_000)
    leak = np.zeros((2_000, 4))
    leak[rng.random(2_000) < 0.3, 1] = 3e-4
    return batch(rng, depth, depth * 0.15 * rng.gamma(1, 1, 2_000), truth, leak=leak)


def measure(made):
    adata, truth = made
    call(adata, programs=["pancreatic_progenitor"], null_sets=0)
    fraction(adata)
    table = adata.uns["scdiff"]["fractions"]
    chosen = (table["state"] == "progenitor_like") & (table["sample"] == "all")
    return table[chosen].iloc[0], truth


SHAPES = [constant_volume, two_classes, by_sample, one_marker_leaks]


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", [0, 1])
def test_contamination_alone_is_not_detected(shape, seed):
    row, _ = measure(shape(np.random.default_rng(seed), 0.0))
    assert row["verdict"] in ("not detected", "inconclusive")
    assert row["prevalence"] < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("truth", [0.03, 0.3])
def test_the_interval_holds_the_truth(shape, truth):
    row, share = measure(shape(np.random.default_rng(7), truth))
    assert row["verdict"] in ("detected", "quantified", "inconclusive")
    slack = max(0.005, share / 10)
    assert row["prevalence_low"] - slack <= share <= row["prevalence_high"] + slack


@pytest.mark.slow
def test_one_class_of_lysed_cells_is_not_positive():
    row, _ = measure(two_classes(np.random.default_rng(3), 0.0))
    assert row["verdict"] == "not detected"
    assert row["prevalence_high"] < 0.02


def test_normalised_and_rounded_counts_are_inconclusive():
    adata, truth = two_classes(np.random.default_rng(4), 0.03)
    counts = adata.layers["counts"].toarray()
    counts = np.rint(counts / counts.sum(axis=1, keepdims=True) * 10_000)
    adata.layers["counts"] = sparse.csr_matrix(counts.astype(np.float32))
    row, _ = measure((adata, truth))
    assert row["verdict"] == "inconclusive"
    assert "normalised and rounded" in row["reason"]
    assert row["prevalence"] == row["prevalence"]


def test_an_absent_marker_leaves_a_lower_bound():
    adata, truth = two_classes(np.random.default_rng(5), 0.05)
    kept = adata[:, adata.var_names != "NKX6-1"].copy()
    as_loaded(kept)
    row, _ = measure((kept, truth))
    assert row["verdict"] == "detected"
    assert row["prevalence_low"] < truth
    assert row["prevalence_high"] == 1.0
    assert "NKX6-1 has no row" in row["reason"]


def test_nothing_found_without_a_marker_is_not_measurable():
    adata, truth = two_classes(np.random.default_rng(6), 0.0)
    kept = adata[:, adata.var_names != "NKX6-1"].copy()
    as_loaded(kept)
    row, _ = measure((kept, truth))
    assert row["verdict"] == "not measurable"
    assert "NKX6-1 has no row" in row["reason"]
