"""embed: the same groups as were put in, from any order of cells and genes, and from hardly any cells."""

from __future__ import annotations

import numpy as np
import pytest
import scanpy as sc
from anndata import AnnData
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from scdiff import keys
from scdiff.compute import graph as _graph
from scdiff.compute import nearest as _nearest
from scdiff.compute.moments import normalise_dispersion
from scdiff.compute.nearest import nearest
from scdiff.errors import ConfigError, MissingKeyError
from scdiff.steps.embed.step import embed
from scdiff.steps.normalise import normalise


def _embedded(adata: AnnData, **options) -> AnnData:
    normalise(adata)
    embed(adata, **options)
    return adata


def test_finds_the_groups(batch):
    adata = _embedded(batch(240, 400, n_groups=3), resolution=0.3)
    assert adjusted_rand_score(adata.obs["group"], adata.obs["leiden"]) > 0.95


def test_writes_what_is_promised_and_nothing_else(batch):
    adata = batch(60, 120)
    normalise(adata)
    before = {
        slot: set(getattr(adata, slot))
        for slot in ("obs", "var", "obsm", "varm", "obsp", "uns", "layers")
    }
    values = adata.X.copy()
    embed(adata)
    new = {slot: set(getattr(adata, slot)) - names for slot, names in before.items()}
    assert new == {
        "obs": {"leiden", "scdiff_sketch"},
        "var": {"highly_variable"},
        "obsm": {"X_pca", "X_umap"},
        "varm": set(),
        "obsp": {"connectivities", "distances"},
        "uns": {"pca", "neighbors", "umap", "leiden"},
        "layers": set(),
    }
    assert all(keys.has(adata, key) for key in keys.list_written("embed"))
    assert (values != adata.X).nnz == 0


def test_order_of_cells_and_genes_does_not_matter(batch, shuffled):
    adata = batch(120, 300)
    other = _embedded(shuffled(adata))
    _embedded(adata)
    aligned = other[adata.obs_names, adata.var_names]
    for name in ("X_pca", "X_umap"):
        np.testing.assert_array_equal(adata.obsm[name], aligned.obsm[name], err_msg=name)
    for name in ("connectivities", "distances"):
        np.testing.assert_array_equal(
            adata.obsp[name].toarray(), aligned.obsp[name].toarray(), err_msg=name
        )
    assert adata.obs["leiden"].tolist() == aligned.obs["leiden"].tolist()
    assert adata.var["highly_variable"].tolist() == aligned.var["highly_variable"].tolist()


def test_same_seed_same_map_other_seed_other_map(batch):
    one, two, other = (_embedded(batch(60, 100), seed=seed).obsm["X_umap"] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_markers_of_the_main_programme_define_no_cluster(batch):
    adata = batch(90, 200)
    counts = adata.layers["counts"].toarray()
    for gene in ("PDX1", "NKX6-1", "INS", "NEUROG3"):
        counts[:30, adata.var_names.get_loc(gene)] += 200  # by far the most variable genes
    adata.layers["counts"] = sparse.csr_matrix(counts)
    adata.var_names = [{"NKX6-1": "Nkx6.1"}.get(name, name) for name in adata.var_names]
    _embedded(adata)
    assert not adata.var.loc[["PDX1", "Nkx6.1", "INS", "NEUROG3"], "highly_variable"].any()
    assert adata.var["highly_variable"].sum() > 100


def test_variable_genes_are_those_of_scanpy(batch):
    adata = batch(200, 600)
    normalise(adata)
    adata = adata[:, ~adata.var_names.isin(["PDX1", "NKX6-1", "INS", "NEUROG3"])].copy()
    embed(adata, n_hvg=100)
    expected = sc.pp.highly_variable_genes(adata, n_top_genes=100, inplace=False)
    assert adata.var["highly_variable"].sum() == 100
    assert (
        adata.var["highly_variable"].to_numpy() & expected["highly_variable"].to_numpy()
    ).sum() >= 98


def test_dispersion_is_unknown_for_constant_genes():
    mean, variance = np.array([1.0, 2.0, 3.0, 0.0]), np.array([1.0, 0.0, 2.0, 0.0])
    found = normalise_dispersion(mean, variance)
    assert np.isnan(found[[1, 3]]).all()
    assert np.isfinite(found[[0, 2]]).all()


def test_principal_components_agree_with_the_dense_decomposition(batch):
    adata = _embedded(batch(150, 400), n_pcs=5)
    used = adata.X[:, adata.var["highly_variable"].to_numpy()].toarray().astype(float)
    used -= used.mean(axis=0)
    singular = np.linalg.svd(used, compute_uv=False)[:5]
    np.testing.assert_allclose(np.linalg.norm(adata.obsm["X_pca"], axis=0), singular, rtol=1e-4)
    np.testing.assert_allclose(adata.uns["pca"]["variance"], singular**2 / 149, rtol=1e-4)


def test_neighbours_are_the_nearest(batch):
    adata = _embedded(batch(50, 100), n_neighbors=6)
    points = adata.obsm["X_pca"].astype(float)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    for cell in range(50):
        row = adata.obsp["distances"][cell]
        assert set(row.indices) == set(np.argsort(distances[cell])[:5])
        np.testing.assert_allclose(row.data, distances[cell, row.indices], rtol=1e-3)


def test_weights_are_a_symmetric_graph_between_0_and_1(batch):
    graph = _embedded(batch(50, 100)).obsp["connectivities"]
    assert abs(graph - graph.T).max() < 1e-6
    assert graph.data.min() > 0
    assert graph.data.max() <= 1
    assert graph.diagonal().sum() == 0


def test_width_makes_the_weights_add_up():
    rng = np.random.default_rng(0)
    beyond = np.sort(rng.gamma(2.0, size=(30, 9)), axis=1)
    beyond -= beyond[:, :1]
    width = _graph._find_widths(beyond, np.log2(10))
    np.testing.assert_allclose(np.exp(-beyond / width[:, None]).sum(axis=1), np.log2(10), rtol=1e-6)


@pytest.mark.long
def test_weights_are_those_of_umap():
    from umap.umap_ import fuzzy_simplicial_set

    points = np.random.default_rng(0).normal(size=(200, 5))
    points[1] = points[0]  # two cells at one place
    indices, distances = nearest(points, 14)
    own = np.arange(200)[:, None]
    expected, _, _ = fuzzy_simplicial_set(
        points,
        15,
        None,
        "euclidean",
        knn_indices=np.hstack([own, indices]),
        knn_dists=np.hstack([0.0 * own, distances]).astype(np.float32),
    )
    assert abs(_graph.compute_fuzzy_weights(indices, distances) - expected).max() < 5e-3


@pytest.mark.long
def test_map_is_as_trustworthy_as_that_of_umap(batch):
    from sklearn.manifold import trustworthiness

    adata = _embedded(batch(500, 400, n_groups=5))
    ours = trustworthiness(adata.obsm["X_pca"], adata.obsm["X_umap"], n_neighbors=15)
    sc.tl.umap(adata)
    assert ours > trustworthiness(adata.obsm["X_pca"], adata.obsm["X_umap"], n_neighbors=15) - 0.03


def test_approximate_neighbours_are_nearly_the_exact_ones(monkeypatch):
    points = np.random.default_rng(0).normal(size=(600, 4))
    exact, _ = nearest(points, 10)
    monkeypatch.setattr(_nearest, "EXACT_UP_TO", 100)
    monkeypatch.setattr(_nearest, "N_PROBED", 12)
    near, _ = nearest(points, 10)
    shared = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact, near, strict=True)])
    assert shared > 0.95


def test_scanpy_reads_the_graph(batch):
    adata = _embedded(batch(80, 100, n_groups=1))
    sc.tl.paga(adata, groups="leiden")
    sc.tl.diffmap(adata, n_comps=5)
    assert adata.obsm["X_diffmap"].shape == (80, 5)


def test_leidenalg_is_an_option(batch):
    adata = _embedded(batch(120, 200), leiden="leidenalg", resolution=0.3)
    assert adjusted_rand_score(adata.obs["group"], adata.obs["leiden"]) > 0.9


def test_clusters_are_numbered_by_size(batch):
    sizes = _embedded(batch(200, 200, n_groups=4)).obs["leiden"].value_counts(sort=False)
    assert sizes.index.tolist() == [str(i) for i in range(len(sizes))]
    assert (np.diff(sizes) <= 0).all()


@pytest.mark.parametrize("n_cells", [1, 2, 3, 4, 5, 8, 16])
@pytest.mark.parametrize("n_genes", [1, 3, 6, 40])
def test_small_data_pass(batch, n_cells, n_genes):
    adata = _embedded(batch(n_cells, n_genes))
    assert adata.obsm["X_umap"].shape == (n_cells, 2)
    assert np.isfinite(adata.obsm["X_umap"]).all()
    assert np.isfinite(adata.obsm["X_pca"]).all()
    assert adata.obs["leiden"].notna().all()
    assert adata.obsp["connectivities"].shape == (n_cells, n_cells)


def test_identical_cells_are_one_cluster(batch):
    adata = batch(40, 60)
    adata.layers["counts"] = sparse.csr_matrix(
        np.tile(adata.layers["counts"].toarray()[0], (40, 1))
    )
    _embedded(adata)
    assert adata.obs["leiden"].unique().tolist() == ["0"]
    assert not adata.obsm["X_umap"].any()
    assert not adata.var["highly_variable"].any()


def test_repeated_cells_pass(batch):
    adata = batch(60, 80)
    counts = adata.layers["counts"].toarray()
    counts[:40] = counts[0]  # more equal cells than neighbours
    adata.layers["counts"] = sparse.csr_matrix(counts)
    _embedded(adata)
    assert np.isfinite(adata.obsm["X_umap"]).all()
    assert np.isfinite(adata.obsp["connectivities"].data).all()


def test_needs_normalised_values_and_sane_options(batch):
    adata = batch(20, 40)
    with pytest.raises(MissingKeyError, match=r"embed reads X .* run normalise first"):
        embed(adata)
    normalise(adata)
    with pytest.raises(ConfigError, match="'n_neighbors' is 1"):
        embed(adata, n_neighbors=1)
    with pytest.raises(ConfigError, match="'leiden' is 'louvain'"):
        embed(adata, leiden="louvain")


def test_result_can_be_written(batch, tmp_path):
    _embedded(batch(20, 40)).write_h5ad(tmp_path / "x.h5ad")
    assert (
        sc.read_h5ad(tmp_path / "x.h5ad").uns["neighbors"]["connectivities_key"] == "connectivities"
    )
