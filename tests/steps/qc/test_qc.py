"""qc: what is dropped, why, and what must never be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from scdiff import keys
from scdiff.errors import ConfigError, InputError, MissingKeyError
from scdiff.steps.qc import doublets as _doublets
from scdiff.steps.qc import step
from scdiff.steps.qc.step import qc


def _thinned(adata: AnnData, rows: np.ndarray, share: float) -> None:
    """Keep ``share`` of the counts of some cells."""
    counts = adata.layers["counts"].toarray()
    counts[rows] = np.floor(counts[rows] * share)
    adata.layers["counts"] = sparse.csr_matrix(counts)


def _table(adata: AnnData) -> pd.DataFrame:
    return adata.uns["scdiff"]["qc"]["dropped"]


def test_metrics_are_those_of_scanpy(batch):
    adata = batch(60, 120)
    adata.var["mt"] = adata.var_names.str.startswith("MT-")
    expected, _ = sc.pp.calculate_qc_metrics(
        adata, qc_vars=["mt"], percent_top=None, layer="counts"
    )
    qc(adata, min_counts=0, min_genes=0, max_mito_percent=100)
    for name in ("total_counts", "n_genes_by_counts", "pct_counts_mt"):
        np.testing.assert_allclose(
            adata.obs[name], expected.loc[adata.obs_names, name], rtol=1e-5, err_msg=name
        )


def test_good_cells_all_stay_and_every_promised_key_is_written(batch):
    adata = batch(150)
    qc(adata)
    assert adata.n_obs == 150
    for key in keys.list_written("qc"):
        assert keys.has(adata, key), key
    table = _table(adata)
    assert table.columns.tolist() == [
        "n_before",
        "empty",
        "low_counts",
        "low_genes",
        "high_mito",
        "doublet",
        "n_after",
    ]
    assert table.loc["s0", ["n_before", "n_after"]].tolist() == [150, 150]
    assert adata.uns["scdiff"]["qc"]["thresholds"].columns.tolist() == [
        "min_counts",
        "min_genes",
        "max_mito_percent",
    ]


def test_each_fault_is_counted_once_under_its_first_reason(batch):
    adata = batch(300, 400, depth=5_000)
    mito = adata.var_names.str.startswith("MT-")
    counts = adata.layers["counts"].toarray()
    counts[:, mito] = 10
    counts[0:4] = 0  # empty
    counts[4:9] = np.floor(counts[4:9] * 0.02)  # shallow
    one_gene = np.zeros(400)
    one_gene[30] = 5_000
    counts[9:15] = one_gene  # one gene only
    counts[15:22, mito] = 2_000  # dying
    adata.layers["counts"] = sparse.csr_matrix(counts)
    bad = set(adata.obs_names[:22])
    qc(adata)
    row = _table(adata).loc["s0"]
    assert row[["empty", "low_counts", "low_genes", "high_mito", "doublet"]].tolist() == [
        4,
        5,
        6,
        7,
        0,
    ]
    assert (
        row["n_before"] - row[["empty", "low_counts", "low_genes", "high_mito", "doublet"]].sum()
        == row["n_after"]
        == adata.n_obs
    )
    assert not bad & set(adata.obs_names)


def test_deep_cells_are_never_cut(batch):
    adata = batch(200, 400, depth=3_000)
    deep = adata.obs_names[:5].tolist()
    counts = adata.layers["counts"].toarray()
    counts[:5] *= 20
    adata.layers["counts"] = sparse.csr_matrix(counts)
    qc(adata)
    assert set(deep) <= set(adata.obs_names)


def test_cultured_msc_pass_whole():
    """22,000 to 32,000 counts, 4,000 to 5,000 genes, 2-3 % mitochondrial: the published range."""
    rng = np.random.default_rng(0)
    n_cells, n_genes = 90, 12_000
    shares = rng.gamma(0.12, size=n_genes)
    shares[:13] = 0
    shares /= shares.sum() / 0.975
    shares[:13] = 0.025 / 13
    counts = rng.poisson(shares * (27_000 * rng.lognormal(sigma=0.35, size=n_cells))[:, None])
    names = [f"MT-{i}" for i in range(13)] + [f"G{i}" for i in range(13, n_genes)]
    obs = pd.DataFrame(
        {"sample": pd.Categorical(["a"] * n_cells)}, index=[f"c{i}" for i in range(n_cells)]
    )
    adata = AnnData(
        obs=obs, var=pd.DataFrame(index=names), layers={"counts": sparse.csr_matrix(counts)}
    )
    qc(adata)
    assert 3_000 < adata.obs["n_genes_by_counts"].median() < 6_000
    assert 2 < adata.obs["pct_counts_mt"].median() < 3
    assert adata.n_obs == n_cells
    assert adata.uns["scdiff"]["qc"]["thresholds"].loc["a", "max_mito_percent"] == pytest.approx(10)


def test_a_rare_state_of_a_quarter_of_the_depth_is_kept(batch):
    adata = batch(400, 400, depth=20_000)
    rare = adata.obs_names[:8].tolist()
    _thinned(adata, np.arange(8), 0.25)
    # depths vary as in real batches (sd 0.45 on the log scale)
    rng = np.random.default_rng(3)
    counts = adata.layers["counts"].toarray()
    counts = np.floor(counts * rng.lognormal(sigma=0.45, size=(400, 1)))
    adata.layers["counts"] = sparse.csr_matrix(counts)
    qc(adata)
    assert set(rare) <= set(adata.obs_names)


def test_equal_cells_are_not_dropped_by_a_zero_deviation(batch):
    adata = batch(50, 100)
    adata.layers["counts"] = sparse.csr_matrix(
        np.tile(adata.layers["counts"].toarray()[0], (50, 1))
    )
    qc(adata)
    assert adata.n_obs == 50


@pytest.mark.parametrize(("n_cells", "n_genes"), [(5, 6), (40, 507)])
def test_floors_shrink_with_the_panel(n_cells, n_genes):
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.3, size=(n_cells, n_genes)) + (np.arange(n_genes) == 0)
    obs = pd.DataFrame({"sample": ["a"] * n_cells}, index=[f"c{i}" for i in range(n_cells)])
    adata = AnnData(
        obs=obs,
        var=pd.DataFrame(index=[f"G{i}" for i in range(n_genes)]),
        layers={"counts": sparse.csr_matrix(counts)},
    )
    qc(adata)
    assert adata.n_obs == n_cells


def test_debris_does_not_move_the_limits_of_the_cells(batch):
    clean, mixed = batch(200, 400, depth=8_000), batch(200, 400, depth=8_000)
    _thinned(mixed, np.arange(0, 200, 2), 0.0005)  # half of the barcodes hold a few counts
    qc(clean)
    qc(mixed)
    limits = [
        adata.uns["scdiff"]["qc"]["thresholds"].loc["s0", "min_counts"] for adata in (clean, mixed)
    ]
    assert limits[1] == pytest.approx(limits[0], rel=0.2)
    assert mixed.n_obs == 100


def test_limits_are_per_sample(batch):
    adata = batch(200, 400, n_samples=2, depth=20_000)
    _thinned(adata, np.arange(100), 0.1)  # the whole first sample is shallow, and that is no fault
    qc(adata)
    assert _table(adata)["n_after"].tolist() == [100, 100]
    thresholds = adata.uns["scdiff"]["qc"]["thresholds"]
    assert thresholds.loc["s0", "min_counts"] < thresholds.loc["s1", "min_counts"]


def test_without_mitochondrial_genes_the_percentage_is_not_known(batch):
    adata = batch(60, 200)
    adata = adata[:, ~adata.var_names.str.startswith("MT-")].copy()
    qc(adata, max_mito_percent=5)
    assert adata.obs["pct_counts_mt"].isna().all()
    assert adata.uns["scdiff"]["qc"]["thresholds"]["max_mito_percent"].isna().all()
    assert any("No mitochondrial gene" in note for note in adata.uns["scdiff"]["qc"]["notes"])


def test_mouse_mitochondrial_genes_are_found(batch):
    adata = batch(60, 200)
    adata.var_names = [name.replace("MT-", "mt-") for name in adata.var_names]
    qc(adata)
    assert adata.obs["pct_counts_mt"].gt(0).any()


def test_a_handful_of_mitochondrial_genes_is_shown_but_drops_nothing(batch):
    adata = batch(100, 300)
    adata = adata[:, ~adata.var_names.isin([f"MT-{i}" for i in range(3, 8)])].copy()
    counts = adata.layers["counts"].toarray()
    counts[:5, adata.var_names.str.startswith("MT-")] = 5_000
    adata.layers["counts"] = sparse.csr_matrix(counts)
    qc(adata)
    assert adata.n_obs == 100
    assert adata.obs["pct_counts_mt"].max() > 50
    assert any("Only 3 mitochondrial genes" in note for note in adata.uns["scdiff"]["qc"]["notes"])


def test_asked_limits_replace_the_adaptive_ones(batch):
    adata = batch(100, 300)
    total = np.asarray(adata.layers["counts"].sum(axis=1)).ravel()
    asked = int(np.median(total))
    qc(adata, min_counts=asked, min_genes=0)
    assert adata.n_obs == (total >= asked).sum()
    assert adata.uns["scdiff"]["qc"]["thresholds"].loc[
        "s0", ["min_counts", "min_genes"]
    ].tolist() == [asked, 0]


def test_empty_cells_drop_even_with_the_limits_off(batch):
    adata = batch(40, 100)
    _thinned(adata, np.arange(3), 0)
    qc(adata, min_counts=0, min_genes=0, max_mito_percent=100)
    assert adata.n_obs == 37


@settings(max_examples=20, deadline=None)
@given(low=st.integers(0, 4_000), more=st.integers(0, 2_000))
def test_a_higher_limit_never_keeps_more(low, more):
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.uniform(1, 40, size=(80, 1)), size=(80, 100))
    left = []
    for limit in (low, low + more):
        obs = pd.DataFrame({"sample": ["a"] * 80}, index=[f"c{i}" for i in range(80)])
        adata = AnnData(
            obs=obs,
            var=pd.DataFrame(index=[f"G{i}" for i in range(100)]),
            layers={"counts": sparse.csr_matrix(counts)},
        )
        try:
            qc(adata, min_counts=limit, min_genes=0)
        except InputError:
            left.append(0)
        else:
            left.append(adata.n_obs)
    assert left[0] >= left[1]


def test_all_dropped_names_the_reasons_and_the_option_and_changes_nothing(batch):
    adata = batch(50, 100)
    with pytest.raises(
        InputError,
        match=r"qc leaves 0 of 50 cells \(50 low_counts\).*loosen min_counts of qc \(now 1e\+06, as set by the user\)",
    ):
        qc(adata, min_counts=1_000_000)
    assert adata.n_obs == 50
    assert "total_counts" not in adata.obs


def test_one_cell_is_too_few(batch):
    with pytest.raises(
        InputError, match=r"leaves 1 of 1 cells \(none was dropped\), but at least 2 are needed"
    ):
        qc(batch(1, 100))


def test_a_sample_that_loses_all_its_cells_is_named(batch):
    adata = batch(100, 200, n_samples=2)
    _thinned(adata, np.arange(50), 0)
    qc(adata)
    assert _table(adata)["n_after"].tolist() == [0, 50]
    assert any(
        "Sample s0: all its 50 cells were dropped" in note
        for note in adata.uns["scdiff"]["qc"]["notes"]
    )


def test_doublets_are_flagged_and_dropped_only_on_request(batch):
    kept, dropped = (batch(400, 300, n_groups=2, depth=2_000) for _ in range(2))
    for adata in (kept, dropped):
        counts = adata.layers["counts"].toarray()
        counts[:20] += counts[21:41]  # odd with even: the two kinds of cells
        adata.layers["counts"] = sparse.csr_matrix(counts)
        adata.obs["mixed"] = np.arange(400) < 20
    qc(kept)
    qc(dropped, doublets="drop")
    assert kept.n_obs == 400
    flagged = kept.obs["predicted_doublet"]
    assert kept.obs.loc[kept.obs["mixed"], "doublet_score"].median() > kept.obs.loc[
        ~kept.obs["mixed"], "doublet_score"
    ].quantile(0.9)
    assert flagged[kept.obs["mixed"]].mean() > 0.5
    assert flagged[~kept.obs["mixed"]].mean() < 0.05
    assert dropped.n_obs == 400 - flagged.sum()
    assert _table(dropped).loc["s0", "doublet"] == flagged.sum()


def test_the_search_for_doublets_can_be_left_out(batch):
    adata = batch(200, 300)
    qc(adata, doublets="skip")
    assert adata.obs["doublet_score"].isna().all()
    assert not adata.obs["predicted_doublet"].any()
    assert (
        "Doublets were not searched for, because doublets is set to skip."
        in adata.uns["scdiff"]["qc"]["notes"]
    )


def test_few_cells_get_no_doublet_score_and_a_note(batch):
    adata = batch(60, 200)
    qc(adata)
    assert adata.obs["doublet_score"].isna().all()
    assert not adata.obs["predicted_doublet"].any()
    assert any(
        "doublets are not scored (60 cells" in note for note in adata.uns["scdiff"]["qc"]["notes"]
    )


@pytest.mark.parametrize(
    ("answer", "note"),
    [((0.0, np.nan), "found no threshold"), ((0.9, 0.1), "would flag 100%")],
)
def test_no_call_without_a_believable_threshold(batch, monkeypatch, answer, note):
    adata = batch(120, 100)
    monkeypatch.setattr(
        _doublets,
        "_scrublet",
        lambda counts, _genes, _seed: (np.full(counts.shape[0], answer[0]), answer[1]),
    )
    qc(adata, doublets="drop")
    assert adata.n_obs == 120
    assert not adata.obs["predicted_doublet"].any()
    assert any(note in text for text in adata.uns["scdiff"]["qc"]["notes"])


def test_a_failing_scrublet_is_a_note_not_an_end(batch):
    adata = batch(120, 60)
    counts = np.tile(adata.layers["counts"].toarray()[0], (120, 1))  # no gene varies
    adata.layers["counts"] = sparse.csr_matrix(counts)
    qc(adata)
    assert adata.n_obs == 120
    assert not adata.obs["predicted_doublet"].any()
    assert any("Sample s0" in text for text in adata.uns["scdiff"]["qc"]["notes"])


def test_order_of_cells_and_genes_does_not_matter(batch, shuffled):
    adata = batch(240, 300, n_samples=2)
    _thinned(adata, np.arange(7), 0.01)
    other = shuffled(adata)
    qc(adata)
    qc(other)
    columns = [
        "total_counts",
        "n_genes_by_counts",
        "pct_counts_mt",
        "doublet_score",
        "predicted_doublet",
    ]
    pd.testing.assert_frame_equal(
        adata.obs[columns].sort_index(), other.obs[columns].sort_index(), check_exact=True
    )
    pd.testing.assert_frame_equal(_table(adata), _table(other))


def test_result_can_be_written(batch, tmp_path):
    adata = batch(60, 120, n_samples=2)
    qc(adata)
    adata.write_h5ad(tmp_path / "x.h5ad")
    back = sc.read_h5ad(tmp_path / "x.h5ad")
    assert back.uns["scdiff"]["qc"]["dropped"]["n_after"].tolist() == [30, 30]
    assert back.uns["scdiff"]["qc"]["dropped"].index.tolist() == ["s0", "s1"]


def test_missing_key_and_bad_options_are_named(batch):
    adata = batch(20, 50)
    with pytest.raises(ConfigError, match="unknown option 'min_gene'"):
        qc(adata, min_gene=3)
    with pytest.raises(ConfigError, match="'mads' is 0"):
        qc(adata, mads=0)
    del adata.layers["counts"]
    with pytest.raises(
        MissingKeyError,
        match=r'qc reads layers\["counts"\].*run scdiff\.pp\.prepare\(adata\) first',
    ):
        qc(adata)


# --- thresholds --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1000.0, 4000.0])
def test_the_lower_limit_is_at_most_a_fifth_of_the_median(depth: float) -> None:
    equal = np.full(101, depth)  # no spread: the limit by deviations would be the median
    assert step._compute_lower_limit(equal, 5.0) == 0.2 * depth


@pytest.mark.parametrize(("n_cells", "limit"), [(49, 0.0), (50, 1.0), (51, 1.0)])
def test_floors_are_waived_below_fifty_cells_that_all_miss_them(n_cells: int, limit: float) -> None:
    metrics = {name: np.zeros(n_cells) for name in ("total_counts", "n_genes_by_counts", "mito")}
    limits = step._compute_adaptive_limits(
        metrics, step._Floors(500.0, 200.0), 5.0, mito_usable=True
    )
    assert (limits["min_counts"], limits["min_genes"]) == (500.0 * limit, 200.0 * limit)
