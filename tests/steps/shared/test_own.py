"""Clusters and embeddings of the owner: taken by name, refused where they are none, and nothing of hers is overwritten."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc

import scdiff
from scdiff.errors import ConfigError, MissingKeyError, OutputError
from scdiff.steps.shared.own import read_clusters, read_points, replace_by_own

FAST = {"programs": ["pancreatic_progenitor"], "null_sets": 0}


@pytest.fixture(scope="module")
def called() -> ad.AnnData:
    """A batch with clusters and components of its owner, called; not to be changed."""
    adata = scdiff.simulate.simulate(
        n_cells=240,
        fraction=0.2,
        depth=3_000,
        design=scdiff.simulate.BatchDesign(n_genes=400),
        seed=5,
    )
    adata.obs = adata.obs[["sample"]].copy()
    adata.uns.clear()
    adata.layers["umis"] = adata.X.copy()
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.pp.pca(adata, n_comps=8)
    adata.obsm["X_umap"] = adata.obsm["X_pca"][:, :2].copy()
    adata.obs["leiden"] = pd.Categorical(np.where(adata.obsm["X_pca"][:, 0] > 0, "left", "right"))
    scdiff.pp.prepare(adata)
    scdiff.tl.call(adata, **FAST)
    return adata


def test_a_trajectory_over_clusters_and_components_of_her_own(called) -> None:
    adata = called.copy()
    scdiff.tl.trajectory(adata, cluster_key="leiden", use_rep="X_pca")
    found = adata.uns["scdiff"]["trajectory"]
    assert set(found["paga"].index) == {"left", "right"}
    assert found["root_cluster"] in {"left", "right"}
    assert np.isfinite(adata.obs["scdiff_dpt_pseudotime"]).mean() > 0.9
    assert list(adata.obs["leiden"]) == list(called.obs["leiden"])
    assert "distances" not in adata.obsp
    assert "scdiff_distances" not in adata.obsp


def test_the_same_components_give_what_embed_gives(called) -> None:
    """Told to read the components of embed, the trajectory has its neighbours and so the same order."""
    adata = called.copy()
    scdiff.pp.embed(adata)
    scdiff.tl.trajectory(adata)
    expected = adata.obs["scdiff_dpt_pseudotime"].to_numpy()
    scdiff.tl.trajectory(adata, cluster_key="scdiff_leiden", use_rep="scdiff_X_pca")
    np.testing.assert_allclose(adata.obs["scdiff_dpt_pseudotime"], expected, atol=1e-6)


def test_without_embed_the_way_out_is_named(called) -> None:
    with pytest.raises(MissingKeyError, match="run embed first, or name your own with use_rep"):
        scdiff.tl.trajectory(called.copy())
    with pytest.raises(
        MissingKeyError, match=r"leiden.*run embed first, or name your own with cluster_key"
    ):
        scdiff.tl.trajectory(called.copy(), use_rep="X_pca")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cluster_key": "liden", "use_rep": "X_pca"}, "Did you mean 'leiden'"),
        ({"cluster_key": "leiden", "use_rep": "X_pc"}, "Did you mean 'X_pca'"),
        ({"cluster_key": "scdiff_depth", "use_rep": "X_pca"}, "too many for clusters"),
    ],
)
def test_what_is_not_there_has_a_near_match(called, options, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        scdiff.tl.trajectory(called.copy(), **options)


def test_cells_without_cluster_or_place_are_refused(called) -> None:
    adata = called.copy()
    adata.obs["part"] = adata.obs["leiden"].where(np.arange(adata.n_obs) > 3)
    with pytest.raises(ConfigError, match="empty for 4 of 240 cells"):
        read_clusters(adata, "part")
    adata.obsm["odd"] = np.where(np.arange(adata.n_obs)[:, None] == 7, np.nan, adata.obsm["X_pca"])
    with pytest.raises(ConfigError, match="NaN or infinity for 1 of 240 cells"):
        read_points(adata, "odd")
    adata.obsm["one"] = adata.obsm["X_pca"][:, :1]
    with pytest.raises(ConfigError, match="at least 2 columns"):
        replace_by_own(adata, cluster_key=None, use_rep="one", slot_of_rep="X_umap")


def test_a_page_shows_her_clusters_and_map(
    called, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(
        "scdiff.report.sections.all_sections", lambda adata: seen.append(adata) or []
    )
    adata = called.copy()
    scdiff.tl.fraction(adata)
    before = adata.copy()
    scdiff.report(
        adata, tmp_path / "new" / "out.html", cluster_key="leiden", use_rep="X_pca", weight_kg=70
    )
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out.html"]
    assert list(seen[0].obs["leiden"]) == list(before.obs["leiden"])
    assert np.array_equal(seen[0].obsm["X_umap"], before.obsm["X_pca"][:, :2])
    assert np.array_equal(adata.obsm["X_umap"], before.obsm["X_umap"])
    assert set(adata.uns["scdiff"]["dose"]["weight_kg"]) == {70.0}
    page = (tmp_path / "new" / "out.html").read_text()
    assert "tables/" not in page
    assert "result.h5ad" not in page


def test_a_page_without_a_map_says_what_was_not_run(called, tmp_path) -> None:
    adata = called.copy()
    scdiff.tl.fraction(adata)
    scdiff.report(adata, str(tmp_path / "out.HTML"))
    page = (tmp_path / "out.HTML").read_text()
    assert "the step &#39;qc&#39; writes it" in page
    assert "the step &#39;embed&#39; writes it" in page
    assert "Signature evidence per cell" in page


def test_a_folder_gives_all_files_of_a_prepared_object(called, tmp_path, no_figures) -> None:
    adata = called.copy()
    scdiff.tl.fraction(adata)
    scdiff.report(adata, tmp_path / "out")
    assert {"report.html", "result.h5ad", "tables"} <= {
        path.name for path in (tmp_path / "out").iterdir()
    }
    stored = ad.read_h5ad(tmp_path / "out" / "result.h5ad")
    assert (stored.layers["counts"] != called.layers["umis"]).nnz == 0


def test_a_page_that_cannot_be_written_is_refused(called, tmp_path, no_figures) -> None:
    adata = called.copy()
    scdiff.tl.fraction(adata)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="the page cannot be written"):
        scdiff.report(adata, tmp_path / "file" / "out.html")
    (tmp_path / "is.html").mkdir()
    with pytest.raises(OutputError, match="the page cannot be written"):
        scdiff.report(adata, tmp_path / "is.html")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "is.html"]


@pytest.fixture
def hers(called) -> ad.AnnData:
    """The batch before scdiff saw it."""
    adata = called.copy()
    adata.uns.pop("scdiff")
    return adata


def test_embed_refuses_to_overwrite_clusters_of_an_object_that_was_not_prepared(hers) -> None:
    before = hers.copy()
    with pytest.raises(
        MissingKeyError,
        match=r'embed would overwrite .*obs\["leiden"\].*run scdiff\.pp\.prepare\(adata\) first',
    ):
        scdiff.pp.embed(hers)
    assert list(hers.obs["leiden"]) == list(before.obs["leiden"])
    assert np.array_equal(hers.obsm["X_pca"], before.obsm["X_pca"])


def test_normalise_refuses_to_overwrite_values_of_an_object_that_was_not_prepared(hers) -> None:
    hers.layers["counts"] = hers.layers["umis"]
    with pytest.raises(
        MissingKeyError, match="normalise would overwrite X, which scdiff did not write"
    ):
        scdiff.pp.normalise(hers)


def test_a_copy_leaves_the_object_as_it_is(called) -> None:
    adata = called.copy()
    made = scdiff.tl.score(adata, copy=True)
    assert "scdiff_score" in made.obsm
    assert "scdiff_score" not in adata.obsm
    assert scdiff.tl.score(adata) is None
    assert scdiff.pp.prepare(adata, copy=True).uns["scdiff"].keys() == {"input", "prepared"}
    assert "call" in adata.uns["scdiff"]
