"""trajectory: an order from a recorded root, and no exception where there is none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData
from recorded import as_loaded
from scipy import sparse
from scipy.stats import spearmanr

from scdiff import keys
from scdiff.errors import ConfigError, MissingKeyError, UnknownNameError
from scdiff.simulate import BatchDesign, simulate
from scdiff.steps.call.step import call
from scdiff.steps.embed.step import embed
from scdiff.steps.normalise import normalise
from scdiff.steps.trajectory.graph import abstract_graph
from scdiff.steps.trajectory.step import trajectory


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
    before = {
        slot: set(getattr(adata, slot)) for slot in ("obs", "var", "obsm", "obsp", "uns", "layers")
    }
    trajectory(adata)
    new = {slot: set(getattr(adata, slot)) - names for slot, names in before.items()}
    times = {"dpt_pseudotime", "dpt_pseudotime_low", "dpt_pseudotime_high"}
    obs = times | {"scdiff_component", "scdiff_position", "scdiff_fate"}
    assert new == {
        "obs": obs,
        "var": set(),
        "obsm": set(),
        "obsp": set(),
        "uns": set(),
        "layers": set(),
    }
    assert all(keys.has(adata, key) for key in keys.list_written("trajectory"))
    tables = {
        "root_candidates",
        "components",
        "paga",
        "ends",
        "committed",
        "path",
        "days",
        "trends",
        "drivers",
        "fates",
    }
    assert set(_record(adata)) == tables | {
        "root_cluster",
        "root_cell",
        "verdict",
        "together",
        "gap",
        "notes",
    }


def test_root_time_is_zero_and_the_range_is_one(ready):
    adata = ready(90, 200, n_groups=1)
    trajectory(adata)
    time = adata.obs["dpt_pseudotime"]
    assert time[_record(adata)["root_cell"]] == 0
    assert time.min() == 0
    assert time.max() == 1


def test_order_of_cells_and_genes_does_not_matter(batch, mark, shuffled):
    adata = _course(batch, mark, 300)
    other = shuffled(adata)
    trajectory(adata)
    trajectory(other)
    assert _record(adata)["root_cell"] == _record(other)["root_cell"]
    assert _record(adata)["verdict"] == _record(other)["verdict"] != "undecided"
    assert _record(adata)["gap"] == _record(other)["gap"]
    columns = [key.name for key in keys.list_written("trajectory") if key.slot == "obs"]
    pd.testing.assert_frame_equal(
        adata.obs[columns], other.obs.loc[adata.obs_names, columns], check_exact=True
    )
    for name in (
        "root_candidates",
        "components",
        "paga",
        "ends",
        "committed",
        "path",
        "days",
        "trends",
        "drivers",
        "fates",
    ):
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
    assert any(
        note.startswith("60 of 60 positive cells have no path") for note in _record(adata)["notes"]
    )


@pytest.mark.parametrize("n_cells", [2, 3, 4, 5, 6, 12, 50])
def test_few_cells_pass(ready, n_cells):
    adata = ready(n_cells, 80)
    trajectory(adata)
    time = adata.obs["dpt_pseudotime"]
    assert time[_record(adata)["root_cell"]] == 0
    assert not np.isinf(time).any()


def test_identical_cells_pass(batch, mark):
    adata = batch(40, 60)
    adata.layers["counts"] = sparse.csr_matrix(
        np.tile(adata.layers["counts"].toarray()[0], (40, 1))
    )
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
    assert candidates.columns.tolist() == [
        "n_cells",
        "identity",
        "probability",
        "potency",
        "early",
        "joined_to",
        "score",
    ]
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
    with pytest.raises(
        ConfigError,
        match=r"root is 'cell0001x', which is not a cluster, cell barcode or gene. Did you mean 'cell0",
    ):
        trajectory(adata, root="cell0001x")


def test_unknown_method_of_fates_gets_a_near_match(ready):
    with pytest.raises(
        UnknownNameError, match=r"unknown fate method 'absorbtion'\. Did you mean 'absorption'"
    ):
        trajectory(ready(40, 80), fates="absorbtion")


def test_paga_is_that_of_scanpy(ready):
    adata = ready(120, 200, n_groups=1)
    assert len(adata.obs["leiden"].cat.categories) > 1
    sc.tl.paga(adata, groups="leiden")
    np.testing.assert_allclose(
        abstract_graph(adata.obsp["distances"], adata.obs["leiden"]),
        adata.uns["paga"]["connectivities"].toarray(),
        atol=1e-12,
    )


def test_order_in_time_is_about_that_of_scanpy(batch, mark):
    adata = _course(batch, mark)
    trajectory(adata)
    ours = adata.obs["dpt_pseudotime"].copy()
    adata.uns["iroot"] = adata.obs_names.get_loc(_record(adata)["root_cell"])
    sc.tl.diffmap(adata, n_comps=10)
    sc.tl.dpt(adata, n_dcs=10)
    assert spearmanr(ours, adata.obs["dpt_pseudotime"]).statistic > 0.95


def test_time_lies_within_its_range_over_the_roots(batch, mark):
    adata = _course(batch, mark)
    trajectory(adata)
    low, high = adata.obs["dpt_pseudotime_low"], adata.obs["dpt_pseudotime_high"]
    assert (low <= adata.obs["dpt_pseudotime"]).all()
    assert (adata.obs["dpt_pseudotime"] <= high).all()
    assert low[_record(adata)["root_cell"]] == 0
    assert (high - low).max() > 0


def test_needs_the_calls(ready):
    adata = ready(20, 60)
    del adata.obs["scdiff_state"]
    with pytest.raises(
        MissingKeyError, match=r'trajectory reads obs\["scdiff_state"\].*run call first'
    ):
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
    values[:6, adata.var_names.get_indexer(["NT5E", "THY1", "ENG"])] = (
        9  # the strongest identity of all
    )
    adata.X = sparse.csr_matrix(values)
    trajectory(adata)
    candidates = _record(adata)["root_candidates"]
    assert candidates.loc["99", "identity"] == 1
    assert np.isnan(candidates.loc["99", "score"])
    assert _record(adata)["root_cluster"] != "99"


# --- the path -------------------------------------------------------------------------------------------------------


def _run(adata: AnnData, rate: float) -> AnnData:
    """Normalise to trajectory, with the calls of the assay."""
    as_loaded(adata)
    normalise(adata)
    embed(adata)
    call(adata, programs=["pancreatic_progenitor"], null_sets=0, doublet_rate=rate)
    trajectory(adata)
    return adata


@pytest.fixture(scope="module")
def joined() -> AnnData:
    """A tenth positive cells, a tenth on the way to them, and doublets."""
    return _run(
        simulate(n_cells=1_500, fraction=0.1, design=BatchDesign(doublet_rate=0.05), seed=3), 0.05
    )


@pytest.fixture(scope="module")
def apart() -> AnnData:
    """A tenth positive cells, none on the way, and doublets that look as if."""
    return _run(
        simulate(
            n_cells=1_500, fraction=0.1, design=BatchDesign(doublet_rate=0.05, continuum=0), seed=4
        ),
        0.05,
    )


@pytest.mark.slow
def test_a_continuum_and_a_separate_population_are_told_apart(joined, apart):
    assert _record(joined)["verdict"] == "continuum"
    assert _record(apart)["verdict"] == "separate population"
    assert _record(joined)["gap"]["p_continuum"] < 1e-6
    assert _record(apart)["gap"]["p_separate"] < 0.05
    assert _record(joined)["gap"]["density"] > 0.5
    assert _record(apart)["gap"]["density"] < 0.1


def test_committed_fraction_counts_the_cells_on_the_way(joined):
    truth = (joined.obs["truth_pseudotime"].fillna(0) > 0).mean()
    row = _record(joined)["committed"].loc["all"]
    assert row["committed"] == pytest.approx(truth, abs=0.02)
    assert row["low"] <= truth <= row["high"]
    assert row["n_beyond"] / row["n_cells"] < truth + 0.02
    assert _record(joined)["committed"].index.tolist() == ["all", "sample1"]


def test_position_and_fate_rise_along_the_path(joined):
    inside = joined.obs["truth_pseudotime"] > 0
    for name in ("scdiff_position", "scdiff_fate", "dpt_pseudotime"):
        assert (
            spearmanr(
                joined.obs["truth_pseudotime"][inside], joined.obs[name][inside], nan_policy="omit"
            ).statistic
            > 0.75
        )
    msc = joined.obs["truth_pseudotime"] == 0
    assert joined.obs["scdiff_fate"][msc].median() < 0.1
    assert joined.obs["scdiff_fate"][joined.obs["truth_positive"]].median() > 0.8
    assert joined.obs["scdiff_fate"].dropna().between(0, 1).all()


def test_the_table_of_the_path_counts_every_cell_and_doublet(joined):
    table = _record(joined)["path"]
    assert table["cells"].sum() == joined.n_obs
    assert table["doublets"].sum() == pytest.approx(0.05 * joined.n_obs)
    assert (table["cells"] >= table["start"] + table["end"]).all()


@pytest.mark.slow
def test_a_gap_between_batches_is_no_separate_population():
    """The genes of one sample are shuffled: its cells lie far from all others, the positive ones too."""
    drawn = simulate(n_cells=1_600, fraction=0.2, design=BatchDesign(donors=2), seed=2)
    counts, order = drawn.X.toarray(), np.arange(drawn.n_vars)
    free = order[drawn.var_names.str.startswith("GENE")]
    order[free] = np.random.default_rng(0).permutation(free)
    first = (drawn.obs["sample"] == "sample1").to_numpy()
    counts[first] = counts[first][:, order]
    drawn.layers["counts"] = sparse.csr_matrix(counts)
    drawn.X = drawn.layers["counts"].copy()
    record = _record(_run(drawn, 0.0))
    assert record["gap"].get("p_separate", 0.0) < 0.05
    assert record["verdict"] == "undecided"
    assert any("different samples" in note for note in record["notes"])


def test_few_or_no_positive_cells_leave_the_path_undecided(ready):
    adata = ready(90, 200, positive=np.arange(90) < 3)
    trajectory(adata)
    assert _record(adata)["verdict"] == "undecided"
    assert _record(adata)["gap"] == {}
    assert _record(adata)["committed"]["committed"].isna().all()
    assert adata.obs[["scdiff_position", "scdiff_fate"]].isna().all(axis=None)
    assert _record(adata)["ends"].loc["progenitor-like", "n_cells"] == 0


def test_a_gene_can_name_the_root(ready):
    adata = ready(150, 200)
    trajectory(adata, root="CXCL12")
    level = adata[:, "CXCL12"].X.toarray().ravel()
    assert (
        _record(adata)["root_cluster"]
        == pd.Series(level).groupby(adata.obs["leiden"].astype(str).to_numpy()).mean().idxmax()
    )


def test_a_gene_that_no_cell_expresses_is_no_root(ready):
    adata = ready(40, 80)
    values = adata.X.toarray()
    values[:, adata.var_names.get_loc("CXCL12")] = 0
    adata.X = sparse.csr_matrix(values)
    with pytest.raises(ConfigError, match="root is the gene 'CXCL12', which no cell expresses"):
        trajectory(adata, root="CXCL12")


def test_the_first_day_is_the_root(ready):
    adata = ready(150, 200, n_groups=2)
    adata.obs["day"] = np.where(adata.obs["group"] == "1", 0, 7)
    identity_of_the_other = adata[:, ["NT5E", "THY1", "ENG"]].X.sum()
    assert identity_of_the_other > 0
    graph = adata.obsp["connectivities"].tolil()
    first, second = (np.flatnonzero(adata.obs["group"] == name) for name in "01")
    graph[first[0], second[0]] = graph[second[0], first[0]] = 0.1
    adata.obsp["connectivities"] = graph.tocsr()
    trajectory(adata)
    root = _record(adata)["root_cluster"]
    candidates = _record(adata)["root_candidates"]
    assert candidates.loc[root, "early"] == 1
    assert (adata.obs["group"][adata.obs["leiden"] == root] == "1").all()


@pytest.mark.slow
def test_e15_pancreas_starts_in_ductal_cells_and_rises_in_their_order(shared_data):
    adata = sc.read_h5ad(shared_data / "endocrinogenesis_mouse_e15_hvg.h5ad")
    adata.layers["counts"] = adata.X.copy()
    adata.obs["sample"] = pd.Categorical(["e15"] * adata.n_obs)
    as_loaded(adata, "mouse")
    normalise(adata)
    embed(adata)
    call(adata, programs=["pancreatic_progenitor"], null_sets=0)
    trajectory(adata)
    kind = adata.obs["cell_type"].astype(str)
    assert kind[_record(adata)["root_cell"]] == "Ductal"
    order = kind.map({"Ductal": 0, "Ngn3 low EP": 1, "Ngn3 high EP": 2, "Pre-endocrine": 3}).fillna(
        4
    )
    assert spearmanr(order, adata.obs["dpt_pseudotime"]).statistic >= 0.945
    fate = adata.obs["scdiff_fate"].groupby(kind).mean()
    assert fate.idxmax() == "Beta"
    assert fate[["Ductal", "Ngn3 low EP", "Ngn3 high EP", "Pre-endocrine"]].is_monotonic_increasing
    assert _record(adata)["verdict"] == "continuum"
