"""call: unspliced reads, in each form in which files hold them."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from recorded import as_loaded
from scipy import sparse

from scdiff.steps.call.step import call

GENES = ["PDX1", "NKX6-1", "INS"]
LEVEL = np.array([2.0, 3.0, 1_000.0]) / 1e4
UNSPLICED = np.array([0.2, 0.1, 0.3])
N_CELLS, N_OTHER, DEPTH, SOUP = 1_500, 200, 2_000.0, 0.15


@pytest.fixture(scope="module")
def parts():
    """Truth, and mature and unspliced counts of all genes; only positive cells hold unspliced reads."""
    rng = np.random.default_rng(4)
    positive = rng.random(N_CELLS) < 0.06
    own = rng.poisson(
        np.where(positive[:, None], LEVEL * DEPTH * rng.gamma(4, 0.25, (N_CELLS, 1)), 0)
    )
    unspliced = rng.binomial(own, UNSPLICED)
    soup = rng.poisson(SOUP * LEVEL * DEPTH * rng.gamma(1.5, 1 / 1.5, (N_CELLS, 1)))
    other = rng.poisson(DEPTH * rng.dirichlet(np.ones(N_OTHER)), (N_CELLS, N_OTHER))
    mature = np.hstack([own - unspliced + soup, other]).astype(np.float32)
    return positive, mature, np.hstack([unspliced, 0 * other]).astype(np.float32)


def batch(counts, layers):
    names = [*GENES, *(f"G{number}" for number in range(N_OTHER))]
    obs = pd.DataFrame({"sample": pd.Categorical(["one"] * N_CELLS)})
    obs.index = [f"c{number}" for number in range(N_CELLS)]
    adata = ad.AnnData(sparse.csr_matrix(counts), obs=obs, var=pd.DataFrame(index=names))
    adata.layers["counts"] = adata.X
    for name, values in layers.items():
        adata.layers[name] = sparse.csr_matrix(values)
    as_loaded(adata)
    call(adata, programs=["pancreatic_progenitor"], null_sets=0)
    return adata


def probability(adata):
    return adata.obsm["scdiff_probabilities"]["pancreatic_progenitor"].to_numpy()


def test_unspliced_reads_tell_expressing_cells_from_mature_soup(parts):
    positive, mature, unspliced = parts
    without = batch(mature + unspliced, {})
    beside = batch(mature + unspliced, {"spliced": mature, "unspliced": unspliced})

    def false_calls(adata):
        rank = probability(adata)
        return (rank[~positive] >= np.quantile(rank[positive], 0.2)).sum()

    assert false_calls(beside) <= false_calls(without) / 2
    fits = [
        adata.uns["scdiff"]["call"]["pancreatic_progenitor"]["fits"] for adata in (without, beside)
    ]
    pd.testing.assert_frame_equal(*fits)


def test_counts_with_and_without_the_unspliced_reads_are_understood(parts):
    _, mature, unspliced = parts
    given = batch(mature + unspliced, {"spliced": mature, "unspliced": unspliced})
    contained = batch(mature + unspliced, {"unspliced": unspliced})
    np.testing.assert_array_equal(probability(contained), probability(given))
    apart = batch(mature, {"unspliced": unspliced})
    plain = batch(mature, {})
    assert (probability(apart) != probability(plain)).any()


def test_a_layer_of_zeros_changes_no_call(parts):
    _, mature, unspliced = parts
    plain = batch(mature + unspliced, {})
    empty = batch(mature + unspliced, {"unspliced": 0 * unspliced})
    np.testing.assert_array_equal(
        empty.obsm["scdiff_positive"].to_numpy(), plain.obsm["scdiff_positive"].to_numpy()
    )
