"""prepare: an object that was made in scanpy is used in place, and nothing of it changes."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from scipy import sparse

import scdiff
from scdiff.errors import ConfigError, InputError, MissingKeyError
from scdiff.palette import colours
from scdiff.steps.load.step import load_object

FAST = {"programs": ["pancreatic_progenitor"], "null_sets": 0}


@pytest.fixture(scope="module")
def drawn() -> ad.AnnData:
    """A simulated batch with counts in X; not to be changed."""
    made = scdiff.simulate.simulate(
        n_cells=300,
        fraction=0.2,
        depth=3_000,
        design=scdiff.simulate.BatchDesign(n_genes=500),
        seed=3,
    )
    made.obs = made.obs[["sample"]].copy()
    made.uns.clear()
    made.layers.clear()
    return made


@pytest.fixture
def explored(drawn: ad.AnnData) -> ad.AnnData:
    """The same batch after an afternoon in scanpy: X log-normalised, counts in a layer, raw, map and clusters."""
    adata = drawn.copy()
    adata.layers["umis"] = adata.X.copy()
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    adata.raw = adata
    rng = np.random.default_rng(0)
    adata.obs["leiden"] = pd.Categorical(rng.integers(3, size=adata.n_obs).astype(str))
    adata.obs["patient"] = pd.Categorical(np.where(np.arange(adata.n_obs) < 150, "007", "7"))
    adata.obsm["X_umap"] = rng.normal(size=(adata.n_obs, 2))
    adata.obsm["X_pca"] = rng.normal(size=(adata.n_obs, 5))
    adata.obsp["connectivities"] = sparse.identity(adata.n_obs, format="csr")
    return adata


def assert_hers_is_as_it_was(before: ad.AnnData, after: ad.AnnData) -> None:
    for slot in ("obs", "var"):
        pd.testing.assert_frame_equal(
            getattr(after, slot)[list(getattr(before, slot))], getattr(before, slot)
        )
    for slot in ("obsm", "obsp", "layers"):
        for name in getattr(before, slot):
            mine, hers = getattr(after, slot)[name], getattr(before, slot)[name]
            assert np.array_equal(
                *(
                    values.toarray() if sparse.issparse(values) else np.asarray(values)
                    for values in (mine, hers)
                )
            )
    assert np.array_equal(after.X.toarray(), before.X.toarray())
    assert np.array_equal(after.raw.X.toarray(), before.raw.X.toarray())
    new = [
        name
        for slot in ("obs", "var", "obsm", "obsp", "layers", "uns")
        for name in set(getattr(after, slot)) - set(getattr(before, slot))
    ]
    assert [name for name in new if not name.startswith("scdiff")] == []


def test_four_lines_give_the_fractions_of_the_file(explored, drawn, tmp_path) -> None:
    before = explored.copy()
    scdiff.pp.prepare(explored)
    scdiff.tl.call(explored, **FAST)
    scdiff.tl.fraction(explored)
    found = explored.uns["scdiff"]["fractions"]
    assert_hers_is_as_it_was(before, explored)
    drawn.write_h5ad(tmp_path / "file.h5ad")
    loaded = scdiff.io.load(tmp_path / "file.h5ad")
    scdiff.tl.call(loaded, **FAST)
    scdiff.tl.fraction(loaded)
    expected = loaded.uns["scdiff"]["fractions"]
    pd.testing.assert_frame_equal(found.drop(columns="sample"), expected.drop(columns="sample"))


def test_clusters_and_maps_of_ours_stand_beside_hers(explored) -> None:
    before = explored.copy()
    scdiff.pp.prepare(explored)
    scdiff.pp.embed(explored)
    scdiff.tl.score(explored)
    scdiff.tl.call(explored, **FAST)
    scdiff.tl.trajectory(explored)
    assert_hers_is_as_it_was(before, explored)
    assert {"scdiff_leiden", "scdiff_fate", "scdiff_dpt_pseudotime"} <= set(explored.obs)
    assert explored.obsm["scdiff_X_umap"].shape == (explored.n_obs, 2)


def test_the_result_is_drawn_stored_and_cut_by_scanpy(explored, tmp_path) -> None:
    scdiff.pp.prepare(explored)
    scdiff.tl.call(explored, **FAST)
    states = explored.obs["scdiff_state"].cat.categories
    assert dict(zip(states, explored.uns["scdiff_state_colors"], strict=True)) == colours(
        list(states)
    )
    for draw in (
        sc.pl.dotplot,
        sc.pl.matrixplot,
        sc.pl.stacked_violin,
        sc.pl.violin,
        sc.pl.heatmap,
    ):
        draw(explored, ["INS", "PDX1"], groupby="scdiff_state", show=False)
    sc.pl.umap(explored, color=["scdiff_state", "scdiff_probability"], show=False)
    sc.tl.rank_genes_groups(explored, "scdiff_state")
    explored[::3].copy().write_h5ad(tmp_path / "part.h5ad")
    again = ad.read_h5ad(tmp_path / "part.h5ad")
    scdiff.tl.call(again, **FAST)  # a stored object is still a prepared one
    assert len(again.uns["scdiff"]["call"]["pancreatic_progenitor"]["fits"])


def test_columns_that_are_named_give_samples_and_donors(explored) -> None:
    scdiff.pp.prepare(explored, counts="umis", sample="patient", donor="patient", control=["7"])
    assert list(explored.uns["scdiff"]["input"]["files"].index) == ["007", "7"]
    scdiff.tl.call(explored, **FAST)
    scdiff.tl.fraction(explored)
    table = explored.uns["scdiff"]["fractions"]
    assert set(table["sample"]) == {"all", "007", "7"}
    assert (
        table.loc[table["sample"] == "all", "n_cells"].iloc[0] == 150
    )  # the control is no part of the batch


@pytest.mark.parametrize("has_raw", [True, False])
def test_a_layer_that_is_called_raw_gives_the_counts(explored, has_raw: bool) -> None:
    explored.layers["raw"] = explored.layers["umis"]
    del explored.layers["umis"]
    if not has_raw:
        explored.raw = None
    scdiff.pp.prepare(explored)
    assert explored.uns["scdiff"]["prepared"]["matrix"] == "layers/raw"
    scdiff.tl.score(explored, programs=["il10"])  # it reads the counts again


def test_qc_drops_cells_and_nothing_else(explored) -> None:
    scdiff.pp.prepare(explored)
    scdiff.pp.qc(explored, min_counts=2_500, min_genes=0, doublets="skip")
    assert 0 < explored.n_obs < 300
    assert {"leiden", "scdiff_total_counts"} <= set(explored.obs)
    scdiff.tl.call(explored, **FAST)
    assert len(explored.obs["scdiff_state"]) == explored.n_obs


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"counts": "nothing"}, "nothing"),
        ({"counts": "X"}, "no integer counts: X looks log-normalised"),
        ({"sample": "batch"}, "sample is 'batch', but obs has no such column"),
        ({"donor": "batch"}, "donor is 'batch', but obs has no such column"),
        ({"control": ["c1"]}, "there is no sample 'c1'"),
        ({"species": "rabbit"}, "species is 'rabbit'; allowed: auto, human, mouse"),
    ],
)
def test_what_cannot_be_used_is_refused(explored, options, said: str) -> None:
    with pytest.raises((ConfigError, InputError), match=said):
        scdiff.pp.prepare(explored, **options)
    assert "scdiff" not in explored.uns


def test_cells_of_no_sample_are_refused_and_stay(explored) -> None:
    explored.obs["sample_id"] = np.where(
        np.arange(explored.n_obs) < 5, "Multiplet", explored.obs["patient"].astype(str)
    )
    del explored.obs["sample"]
    with pytest.raises(InputError, match="5 cells belong to several samples or to no sample"):
        scdiff.pp.prepare(explored)
    assert explored.n_obs == 300


def test_missing_symbols_stay_missing(explored) -> None:
    explored.var["gene_symbols"] = pd.Series(explored.var_names, index=explored.var_names).where(
        np.arange(explored.n_vars) != 20
    )
    explored.var_names = [f"ENSG{number:011d}" for number in range(explored.n_vars)]
    made, _ = load_object(
        explored, counts="auto", sample=None, donor=None, species="human", control=[]
    )
    assert "nan" not in made.var_names
    assert made.n_vars == explored.n_vars


def test_tables_of_results_read_no_counts(explored, monkeypatch: pytest.MonkeyPatch) -> None:
    scdiff.pp.prepare(explored)
    scdiff.tl.call(explored, **FAST)
    scdiff.tl.fraction(explored)
    monkeypatch.setattr("scdiff.steps.load.prepare.load_object", None)
    assert len(scdiff.tl.dose(explored, cells=8e7))
    assert len(scdiff.tl.scorecard(explored, name="stages"))


def test_later_steps_read_only_the_matrix_that_prepare_took(
    explored, monkeypatch: pytest.MonkeyPatch
) -> None:
    explored.layers["scaled"] = explored.X.toarray() - 1
    scdiff.pp.prepare(explored)
    assert explored.uns["scdiff"]["prepared"]["matrix"] == "umis"
    assert np.array_equal(
        explored.obs["scdiff_depth"], np.asarray(explored.layers["umis"].sum(axis=1)).ravel()
    )
    read = []
    monkeypatch.setattr(
        "scdiff.steps.load.readers.object.read_group", lambda *_: read.append("all matrices")
    )
    scdiff.tl.call(explored, **FAST)
    assert read == []


def test_counts_that_are_not_in_order_stay_as_they_are(explored) -> None:
    counts = sparse.csr_matrix(explored.layers["umis"])
    data, indices = counts.data.copy(), counts.indices.copy()
    data[0] = 0  # a zero that is stored
    for start, end in zip(counts.indptr[:-1], counts.indptr[1:], strict=True):
        data[start:end], indices[start:end] = (
            data[start:end][::-1].copy(),
            indices[start:end][::-1].copy(),
        )
    explored.layers["umis"] = sparse.csr_matrix(
        (data, indices, counts.indptr.copy()), shape=counts.shape
    )
    kept = [explored.layers["umis"].data.copy(), explored.layers["umis"].indices.copy()]
    scdiff.pp.prepare(explored, counts="umis")
    scdiff.tl.call(explored, **FAST)
    assert all(
        np.array_equal(one, two)
        for one, two in zip(
            kept, (explored.layers["umis"].data, explored.layers["umis"].indices), strict=True
        )
    )


def lose(adata: ad.AnnData) -> ad.AnnData:
    del adata.layers["umis"]
    return adata


def normalise(adata: ad.AnnData) -> ad.AnnData:
    sc.pp.normalize_total(adata, layer="umis")
    return adata


def thin(adata: ad.AnnData) -> ad.AnnData:
    adata.layers["umis"].data[:] = np.where(
        adata.layers["umis"].data == 2, 3, adata.layers["umis"].data
    )
    return adata


def pool(adata: ad.AnnData) -> ad.AnnData:
    adata.obs["patient"] = pd.Categorical(["x"] * adata.n_obs)
    return adata


def forget(adata: ad.AnnData) -> ad.AnnData:
    del adata.obs["scdiff_depth"]
    return adata


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lose, r"layers\['umis'\], from which prepare read the counts, is missing"),
        (normalise, "no integer counts: umis looks"),
        (
            thin,
            r"the counts in layers\['umis'\] changed after prepare: \d+ of 300 cells have a different sum",
        ),
        (lambda adata: adata[:, 50:].copy(), "changed after prepare"),
        (pool, "sample 'x' is new since the object was prepared"),
        (forget, "scdiff_depth.*is missing"),
    ],
)
def test_counts_that_changed_after_prepare_are_refused(explored, change, said: str) -> None:
    scdiff.pp.prepare(explored, sample="patient")
    with pytest.raises(InputError, match=said):
        scdiff.tl.call(change(explored), **FAST)


def test_names_that_cells_share_are_refused(explored) -> None:
    explored.obs_names = ["a"] * explored.n_obs
    with pytest.raises(InputError, match="obs_names_make_unique"):
        scdiff.pp.prepare(explored)


def test_an_object_that_was_not_prepared_says_what_to_do(explored) -> None:
    with pytest.raises(
        MissingKeyError,
        match=r"run scdiff\.pp\.prepare\(adata\) first, or load files with scdiff\.io\.load",
    ):
        scdiff.tl.call(explored)
