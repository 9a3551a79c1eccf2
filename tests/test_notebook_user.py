"""A user of scanpy, line by line: her object goes in as it is, and comes out with a fraction and nothing else changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata as ad
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from scipy import sparse

import scdiff

MARKERS = ["PDX1", "NKX6-1", "INS"]


def drawn_batch() -> ad.AnnData:
    """Raw counts of a simulated batch, with one column about the cells."""
    design = scdiff.simulate.BatchDesign(n_genes=800, donors=2)
    made = scdiff.simulate.simulate(n_cells=700, fraction=0.1, depth=3_000, design=design, seed=7)
    made.obs = made.obs[["sample"]].astype(str)
    made.uns.clear()
    made.layers.clear()
    return made


def explored(made: ad.AnnData) -> ad.AnnData:
    """The object as ``sc.datasets.pbmc68k_reduced`` is: scaled X, log-normalised raw, map, graph, clusters, ranked genes."""
    adata = made.copy()
    adata.layers["raw_counts"] = adata.X.copy()
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    adata.raw = adata
    sc.pp.highly_variable_genes(adata, n_top_genes=300)
    sc.pp.scale(adata, max_value=10)
    sc.pp.pca(adata, n_comps=15)
    sc.pp.neighbors(adata)
    sc.tl.umap(adata)
    sc.tl.leiden(adata, flavor="igraph", n_iterations=2, directed=False)
    adata.obs["phase"] = pd.Categorical(np.where(np.arange(adata.n_obs) % 3, "G1", "S"))
    adata.uns["leiden_colors"] = ["#123456"] * adata.obs["leiden"].nunique()
    sc.tl.rank_genes_groups(adata, "leiden")
    return adata


def same(one: Any, other: Any) -> bool:
    """Whether two values of any slot are equal."""
    if isinstance(one, dict):
        return set(one) == set(other) and all(same(one[name], other[name]) for name in one)
    if sparse.issparse(one):
        return (one != other).nnz == 0
    if isinstance(one, np.ndarray) and one.dtype.names:
        return one.dtype == other.dtype and one.tolist() == other.tolist()
    if isinstance(one, np.ndarray | pd.DataFrame | pd.Series):
        return pd.DataFrame(np.asarray(one)).equals(pd.DataFrame(np.asarray(other)))
    return one == other


@pytest.mark.slow
def test_four_lines_to_a_fraction_and_then_every_plot(tmp_path: Path) -> None:
    made = drawn_batch()
    adata = explored(made)
    before = adata.copy()

    scdiff.pp.prepare(adata)
    scdiff.tl.call(adata, programs=["pancreatic_progenitor"], null_sets=20)
    scdiff.tl.fraction(adata)
    fractions = scdiff.get.fractions(adata)

    for slot in ("obs", "var", "obsm", "varm", "obsp", "layers", "uns"):
        hers, now = getattr(before, slot), getattr(adata, slot)
        assert all(same(hers[name], now[name]) for name in hers if name is not None), slot
        assert [name for name in set(now) - set(hers) if not name.startswith("scdiff")] == [], slot
    assert same(before.X, adata.X)
    assert same(before.raw.X, adata.raw.X)

    made.write_h5ad(tmp_path / "file.h5ad")
    loaded = scdiff.io.load(tmp_path / "file.h5ad")
    scdiff.tl.call(loaded, programs=["pancreatic_progenitor"], null_sets=20)
    scdiff.tl.fraction(loaded)
    pd.testing.assert_frame_equal(fractions, scdiff.get.fractions(loaded))

    with mpl.rc_context({"backend": "agg"}):
        for draw in (
            sc.pl.dotplot,
            sc.pl.matrixplot,
            sc.pl.stacked_violin,
            sc.pl.violin,
            sc.pl.heatmap,
        ):
            draw(adata, MARKERS, groupby="scdiff_state", show=False)
        adata.obs = adata.obs.join(scdiff.get.obs_df(adata, ["evidence:PDX1", "positive"]))
        sc.pl.umap(
            adata,
            color=["scdiff_state", "scdiff_probability", "evidence:PDX1", "positive"],
            show=False,
        )
        plt.close("all")
    sc.tl.rank_genes_groups(adata, "scdiff_state")
    assert set(adata.uns["rank_genes_groups"]["names"].dtype.names) == set(
        adata.obs["scdiff_state"].cat.categories
    )

    scdiff.tl.trajectory(adata, cluster_key="leiden", use_rep="X_pca")
    scdiff.report(adata, tmp_path / "out.html", cluster_key="leiden", use_rep="X_umap")
    page = (tmp_path / "out.html").read_text()
    assert all(
        heading in page for heading in ("Clusters", "Trajectory", "Signature evidence per cell")
    )
    assert "failed" not in page.lower().split("</style>")[1].split("<script")[0]
    adata.write_h5ad(tmp_path / "hers.h5ad")
    again = ad.read_h5ad(tmp_path / "hers.h5ad")[::2].copy()
    scdiff.tl.call(again, programs=["pancreatic_progenitor"], null_sets=0)
