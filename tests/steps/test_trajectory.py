"""trajectory: an order from a recorded root, and no exception where there is none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData
from scipy import sparse
from scipy.stats import spearmanr

from scdiff import keys
from scdiff.errors import ConfigError, MissingKeyError
from scdiff.steps.embed import embed
from scdiff.steps.normalise import normalise
from scdiff.steps.trajectory import _paga, trajectory


def _record(adata: AnnData) -> dict:
    return adata.uns["scdiff"]["trajectory"]


def _course(batch, mark, n_cells: int = 200) -> AnnData:
    """Cells along a line from MSC (time 0) to positive (time 1)."""
    adata = batch(n_cells, 300, n_groups=1, depth=6_000)
    rng = np.random.default_rng(5)
    time = np.linspace(0, 1, n_cells)
    start, end = rng.gamma(0.5, size=(2, 300)) + 0.01
    for gene in ("NT5E", "THY1", "ENG"):
        start[adata.var_names.get_loc(gene)] = 8
    shares = start / start.sum() * (1 - time[:, None]) + end / end.sum() * time[:, None]
    adata.layers["counts"] = sparse.csr_matrix(rng.poisson(shares * 6_000).astype(np.float32))
    adata.obs["time"] = time
    normalise(adata)
    embed(adata)
    return mark(adata, time > 0.9)


def test_pseudotime_follows_the_course_from_the_msc_end(batch, mark):
    adata = _course(batch, mark)
    trajectory(adata)
    inside = adata.obs["dpt_pseudotime"].notna()
    assert inside.mean() > 0.95
    assert spearmanr(adata.obs["time"][inside], adata.obs["dpt_pseudotime"][inside]).statistic > 0.9
    assert adata.obs.loc[_record(adata)["root_cell"], "time"] < 0.5


def test_writes_what_is_promised_and_nothing_else(ready):
    adata = ready(60, 100)
    before = {slot: set(getattr(adata, slot)) for slot in ("obs", "var", "obsm", "obsp", "uns", "layers")}
    trajectory(adata)
    new = {slot: set(getattr(adata, slot)) - names for slot, names in before.items()}
    assert new == {"obs": {"dpt_pseudotime", "scdiff_component"}, "var": set(), "obsm": set(), "obsp": set(), "uns": set(), "layers": set()}
    assert all(keys.has(adata, key) for key in keys.written_by("trajectory"))
    assert set(_record(adata)) == {"root_cluster", "root_cell", "root_candidates", "components", "paga", "notes"}


def test_root_time_is_zero_and_the_range_is_one(ready):
    adata = ready(90, 200, n_groups=1)
    trajectory(adata)
    time = adata.obs["dpt_pseudotime"]
    assert time[_record(adata)["root_cell"]] == 0
    assert time.min() == 0
    assert time.max() == 1


def test_order_of_cells_and_genes_does_not_matter(batch, mark, shuffled):
    adata = _course(batch, mark, 90)
    other = shuffled(adata)
    trajectory(adata)
    trajectory(other)
    assert _record(adata)["root_cell"] == _record(other)["root_cell"]
    columns = ["dpt_pseudotime", "scdiff_component"]
    pd.testing.assert_frame_equal(adata.obs[columns], other.obs.loc[adata.obs_names, columns], check_exact=True)
    for name in ("root_candidates", "components", "paga"):
        pd.testing.assert_frame_equal(_record(adata)[name], _record(other)[name], check_exact=True)


def test_islands_are_components_without_a_time(ready):
    adata = ready(93, 200, n_groups=1)
    island = np.arange(3)
    for name in ("connectivities", "distances"):
        graph = adata.obsp[name].tolil()
        graph[island] = 0
        graph[:, island] = 0
        graph[0, 1] = graph[1, 0] = graph[1, 2] = graph[2, 1] = 0.5
        adata.obsp[name] = graph.tocsr()
    trajectory(adata)
    assert adata.obs["dpt_pseudotime"].iloc[:3].isna().all()
    assert not np.isinf(adata.obs["dpt_pseudotime"]).any()
    assert adata.obs["scdiff_component"].iloc[:3].unique().tolist() == ["1"]
    table = _record(adata)["components"]
    assert (np.diff(table["n_cells"]) <= 0).all()
    assert table["n_cells"].sum() == 93
    assert table["has_root"].tolist() == [True, *[False] * (len(table) - 1)]
    assert any("No path joins" in note for note in _record(adata)["notes"])


def test_samples_that_do_not_mix_are_named(batch, mark):
    adata = batch(120, 200, n_groups=2)
    adata.obs["sample"] = adata.obs["group"].map({"0": "a", "1": "b"}).astype("category")
    normalise(adata)
    embed(adata)
    trajectory(mark(adata))
    assert _record(adata)["components"].shape[0] == 2
    assert any("one sample only" in note for note in _record(adata)["notes"])


def test_positive_cells_out_of_reach_are_counted(ready):
    adata = ready(120, 200, n_groups=2, positive=np.arange(120) % 2 == 1)
    trajectory(adata, root=adata.obs["leiden"][adata.obs["group"] == "0"].iloc[0])
    assert _record(adata)["components"]["n_positive"].sum() == 60
    assert any(note.startswith("60 of 60 positive cells have no path") for note in _record(adata)["notes"])


@pytest.mark.parametrize("n_cells", [2, 3, 4, 5, 6, 12, 50])
def test_few_cells_pass(ready, n_cells):
    adata = ready(n_cells, 80)
    trajectory(adata)
    time = adata.obs["dpt_pseudotime"]
    assert time[_record(adata)["root_cell"]] == 0
    assert not np.isinf(time).any()


def test_identical_cells_pass(batch, mark):
    adata = batch(40, 60)
    adata.layers["counts"] = sparse.csr_matrix(np.tile(adata.layers["counts"].toarray()[0], (40, 1)))
    normalise(adata)
    embed(adata)
    trajectory(mark(adata))
    time = adata.obs["dpt_pseudotime"]
    assert not np.isinf(time).any()
    assert time[_record(adata)["root_cell"]] == 0


@pytest.mark.parametrize(("share", "note"), [(0.0, "No cell is called positive"), (1.0, "")])
def test_none_or_all_positive(ready, share, note):
    adata = ready(60, 100, positive=np.full(60, bool(share)))
    trajectory(adata)
    notes = " ".join(_record(adata)["notes"])
    assert note in notes
    assert ("No cell is called positive" in notes) is (share == 0)
    assert _record(adata)["components"]["n_positive"].sum() == 60 * share


def test_unmeasurable_programme_chooses_the_root_without_it(ready):
    adata = ready(60, 100)
    adata.obs["scdiff_probability"] = np.nan
    trajectory(adata)
    assert _record(adata)["root_candidates"]["probability"].isna().all()
    assert _record(adata)["root_candidates"]["score"].notna().all()
    assert any("cannot be measured" in note for note in _record(adata)["notes"])


def test_candidates_without_identity_genes(ready):
    adata = ready(60, 100)
    adata = adata[:, ~adata.var_names.isin(["NT5E", "THY1", "ENG"])].copy()
    trajectory(adata)
    assert _record(adata)["root_candidates"]["identity"].isna().all()
    assert _record(adata)["root_candidates"]["score"].between(0, 1).all()


def test_root_is_the_best_candidate_and_never_the_positive_cluster(batch, mark):
    adata = _course(batch, mark)
    trajectory(adata)
    candidates = _record(adata)["root_candidates"]
    assert candidates.index[0] == _record(adata)["root_cluster"]
    assert candidates["score"].dropna().is_monotonic_decreasing
    assert candidates.columns.tolist() == ["n_cells", "identity", "probability", "joined_to", "score"]
    assert _record(adata)["root_cluster"] != adata.obs["leiden"][adata.obs["time"] > 0.9].mode()[0]


def test_the_users_root_wins(ready):
    adata = ready(90, 200)
    cluster = adata.obs["leiden"].cat.categories[-1]
    trajectory(adata, root=cluster)
    assert _record(adata)["root_cluster"] == cluster
    assert adata.obs.loc[_record(adata)["root_cell"], "leiden"] == cluster
    barcode = adata.obs_names[17]
    trajectory(adata, root=barcode)
    assert _record(adata)["root_cell"] == barcode
    assert _record(adata)["root_cluster"] == adata.obs["leiden"].iloc[17]
    assert adata.obs["dpt_pseudotime"].iloc[17] == 0


def test_unknown_root_gets_a_near_match(ready):
    adata = ready(40, 80)
    with pytest.raises(ConfigError, match=r"root is 'cell0001x', which is neither a cluster nor a cell barcode. Did you mean 'cell0"):
        trajectory(adata, root="cell0001x")


def test_paga_is_that_of_scanpy(ready):
    adata = ready(120, 200, n_groups=1)
    assert len(adata.obs["leiden"].cat.categories) > 1
    sc.tl.paga(adata, groups="leiden")
    np.testing.assert_allclose(
        _paga(adata.obsp["distances"], adata.obs["leiden"]), adata.uns["paga"]["connectivities"].toarray(), atol=1e-12
    )


def test_pseudotime_is_that_of_scanpy(ready):
    adata = ready(90, 200, n_groups=1)
    trajectory(adata)
    adata.uns["iroot"] = adata.obs_names.get_loc(_record(adata)["root_cell"])
    ours = adata.obs["dpt_pseudotime"].copy()
    sc.tl.diffmap(adata, n_comps=10)
    sc.tl.dpt(adata, n_dcs=10)
    np.testing.assert_allclose(ours, adata.obs["dpt_pseudotime"], atol=1e-3)


def test_needs_the_calls(ready):
    adata = ready(20, 60)
    del adata.obs["scdiff_state"]
    with pytest.raises(MissingKeyError, match=r'trajectory reads obs\["scdiff_state"\].*run call first'):
        trajectory(adata)


def test_result_can_be_written(ready, tmp_path):
    adata = ready(30, 60)
    trajectory(adata)
    adata.write_h5ad(tmp_path / "x.h5ad")
    back = sc.read_h5ad(tmp_path / "x.h5ad")
    assert back.uns["scdiff"]["trajectory"]["root_cell"] == _record(adata)["root_cell"]
    assert back.uns["scdiff"]["trajectory"]["paga"].shape == _record(adata)["paga"].shape


def test_a_tiny_cluster_is_no_root(ready):
    adata = ready(200, 200, n_groups=1)
    clusters = adata.obs["leiden"].astype(str).to_numpy()
    clusters[:6] = "99"
    adata.obs["leiden"] = pd.Categorical(clusters)
    values = adata.X.toarray()
    values[:6, adata.var_names.get_indexer(["NT5E", "THY1", "ENG"])] = 9  # the strongest identity of all
    adata.X = sparse.csr_matrix(values)
    trajectory(adata)
    candidates = _record(adata)["root_candidates"]
    assert candidates.loc["99", "identity"] == 1
    assert np.isnan(candidates.loc["99", "score"])
    assert _record(adata)["root_cluster"] != "99"
