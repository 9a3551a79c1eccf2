"""communicate: detection of both sides, in the batch and in receivers, with limits; absent is not zero."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st
from recorded import as_loaded
from scipy import sparse
from scipy.stats import beta

from scdiff.errors import ConfigError, MissingKeyError, UnknownNameError
from scdiff.programs.receivers import receiver_names
from scdiff.steps.communicate.interactions import COLUMNS as INTERACTIONS
from scdiff.steps.communicate.readout import _guess_level, _measure_row
from scdiff.steps.communicate.step import COLUMNS, communicate


def _row(adata, gene: str, sample: str = "all"):
    table = adata.uns["scdiff"]["axes"]
    return table[(table["gene"] == gene) & (table["sample"] == sample)].iloc[0]


FIRST = ["CXCL12-CXCR4", "VEGFA-KDR/FLT1", "HGF-MET", "IL10-IL10RA/B"]


def _at(adata, where: str, gene: str):
    table = adata.uns["scdiff"]["axes"]
    return table[(table["where"] == where) & (table["gene"] == gene)].iloc[0]


def test_one_row_per_axis_side_gene_and_sample_then_one_per_receiver(batch):
    adata = batch(60, 40, n_samples=2)
    communicate(adata, axes=FIRST, receivers=["t_cell", "endothelium"])
    table = adata.uns["scdiff"]["axes"]
    assert tuple(table.columns) == COLUMNS
    assert len(table) == 10 * (3 + 2)
    assert not table.duplicated(["axis", "side", "gene", "sample"]).any()
    assert table["sample"].unique().tolist() == ["s0", "s1", "all", "t_cell", "endothelium"]
    assert table["where"].unique().tolist() == ["batch", "t_cell", "endothelium"]
    assert table.loc[table["axis"] == "VEGFA-KDR/FLT1", "gene"].unique().tolist() == [
        "VEGFA",
        "KDR",
        "FLT1",
        "Vegfa",
        "Kdr",
        "Flt1",
    ]
    assert adata.uns["scdiff"]["interactions"].columns.tolist() == list(INTERACTIONS)
    assert adata.uns["scdiff"]["interactions"].empty


def test_controls_are_not_part_of_the_batch_as_a_whole(batch):
    adata = batch(120, 40, n_samples=2)
    adata.obs["control"] = adata.obs["sample"] == "s1"
    communicate(adata, axes=["HGF-MET"], receivers=["t_cell"])
    assert [_row(adata, "HGF", sample)["n_cells"] for sample in ("s0", "s1", "all")] == [60, 60, 60]


@pytest.mark.slow
def test_counts_of_cells_are_the_truth(batch):
    adata = batch(100, 40, n_samples=2)
    values = adata.layers["counts"].toarray()
    column = adata.var_names.get_loc("CXCR4")
    values[:, column] = 0
    values[:7, column] = 3
    values[60, column] = 1
    adata.layers["counts"] = sparse.csr_matrix(values)
    communicate(adata)
    assert [_row(adata, "CXCR4", sample)["n_expressing"] for sample in ("s0", "s1", "all")] == [
        7,
        1,
        8,
    ]
    assert _row(adata, "CXCR4")["fraction"] == pytest.approx(0.08)
    assert _row(adata, "CXCR4")["fraction_low"] == pytest.approx(beta.ppf(0.025, 8, 93))
    assert _row(adata, "CXCR4")["fraction_high"] == pytest.approx(beta.ppf(0.975, 9, 92))
    assert _row(adata, "CXCR4")["verdict"] == "detected"
    assert "background not subtracted" in _row(adata, "CXCR4")["reason"]


def test_zero_has_an_upper_bound_and_a_limit(batch):
    adata = batch(50, 40)
    values = adata.layers["counts"].toarray()
    values[:, adata.var_names.get_loc("IL10")] = 0
    adata.layers["counts"] = sparse.csr_matrix(values)
    communicate(adata, axes=["IL10-IL10RA/B"], receivers=["t_cell"])
    row = _row(adata, "IL10")
    assert (row["verdict"], row["n_expressing"], row["fraction"], row["fraction_low"]) == (
        "not detected",
        0,
        0,
        0,
    )
    assert row["fraction_high"] == pytest.approx(1 - 0.025 ** (1 / 50))
    assert row["lod"] == pytest.approx(1 - 0.05 ** (1 / 50))
    assert row["reason"] == "no count in 50 cells"


def test_absent_is_not_zero(batch):
    adata = batch(50, 40)
    assert "IL10RA" not in adata.var_names
    communicate(adata)
    row = _row(adata, "IL10RA")
    assert row["verdict"] == "not measurable"
    assert row["reason"] == "no row for IL10RA in the matrix"
    assert row["n_cells"] == 50
    assert row[["n_expressing", "fraction", "fraction_low", "fraction_high", "lod"]].isna().all()


def test_mouse_and_other_names_resolve(batch):
    adata = batch(40, 40)
    adata.var_names = [{"CXCL12": "Sdf1"}.get(name, name.capitalize()) for name in adata.var_names]
    adata.uns["scdiff"]["input"]["species"] = "mouse"
    communicate(adata, axes=FIRST)
    table = adata.uns["scdiff"]["axes"]
    genes = table[table["where"] == "batch"].set_index("gene")["verdict"]
    assert genes["Cxcl12"].iloc[0] != "not measurable"
    assert (genes.drop("Il10ra") != "not measurable").all()


@given(n_cells=st.integers(1, 5_000), share=st.floats(0, 1))
def test_interval_holds_the_fraction_and_the_limit_means_what_it_says(n_cells, share):
    row = _measure_row(int(share * n_cells), n_cells)
    assert 0 <= row["fraction_low"] <= row["fraction"] <= row["fraction_high"] <= 1
    assert 1 - (1 - row["lod"]) ** n_cells == pytest.approx(0.95)


def test_order_does_not_matter_and_nothing_else_changes(batch, shuffled):
    adata = batch(60, 40, n_samples=2)
    other = shuffled(adata)
    before = adata.copy()
    communicate(adata)
    communicate(other)
    assert adata.uns["scdiff"]["axes"].equals(other.uns["scdiff"]["axes"])
    assert (adata.layers["counts"] != before.layers["counts"]).nnz == 0
    assert adata.obs.equals(before.obs)


def test_unknown_axis_gets_a_near_match(batch):
    with pytest.raises(UnknownNameError, match=r"unknown axis 'HGF-CMET'. Did you mean 'HGF-MET'"):
        communicate(batch(10, 40), axes=["HGF-CMET"])


def test_needs_counts(batch):
    adata = batch(10, 40)
    del adata.layers["counts"]
    with pytest.raises(MissingKeyError, match=r'communicate reads layers\["counts"\]'):
        communicate(adata)


def test_result_can_be_written(batch, tmp_path):
    adata = batch(20, 40)
    communicate(adata, axes=FIRST, receivers=["t_cell"])
    adata.write_h5ad(tmp_path / "x.h5ad")
    back = sc.read_h5ad(tmp_path / "x.h5ad").uns["scdiff"]
    assert back["axes"]["gene"].tolist() == adata.uns["scdiff"]["axes"]["gene"].tolist()
    assert np.isnan(back["axes"].loc[back["axes"]["where"] == "batch", "lod"]).sum() == 2
    assert back["interactions"].empty


def test_a_receiver_is_read_from_its_profile(batch, tmp_path):
    path = tmp_path / "mine.csv"
    lines = [
        "t,human,CXCR4,200,50,0.3",
        "t,human,CXCL12,200,0,0.1",
        "u,human,CXCR4,200,50,0.1",
        "v,human,CXCR4,200,50,",
    ]
    path.write_text("\n".join(["receiver,species,gene,n_cells,n_expressing,background", *lines]))
    communicate(adata := batch(20, 40), axes=["CXCL12-CXCR4"], receivers=[str(path)])
    assert _at(adata, "t", "CXCR4")["fraction"] == 0.25
    assert _at(adata, "t", "CXCR4")["fraction_low"] == pytest.approx(beta.ppf(0.025, 50, 151))
    assert [_at(adata, name, "CXCR4")["above_background"] for name in "tuv"] == [
        "no",
        "yes",
        "unknown",
    ]
    assert (
        "background alone may explain it (at most 30 % of cells)"
        in _at(adata, "t", "CXCR4")["reason"]
    )
    assert (_at(adata, "t", "CXCL12")["verdict"], _at(adata, "t", "CXCL12")["reason"]) == (
        "not detected",
        "no count in 200 cells",
    )
    absent = _at(adata, "u", "CXCL12")
    assert (absent["verdict"], absent["reason"], absent["n_cells"]) == (
        "not measurable",
        "no row for CXCL12 in the profile",
        200,
    )


def test_a_mouse_batch_meets_a_human_receiver_through_the_ortholog(batch):
    adata = batch(60, 40)
    adata.var_names = [name.capitalize() for name in adata.var_names]
    adata.uns["scdiff"]["input"]["species"] = "mouse"
    communicate(adata, axes=["CXCL12-CXCR4", "HLA-G-LILRB1/2"], receivers=["t_cell", "macrophage"])
    assert _at(adata, "t_cell", "CXCR4")["species"] == "human"
    assert _at(adata, "t_cell", "CXCR4")["reason"].endswith(
        "; human cells, read through the ortholog"
    )
    assert "ortholog" not in _at(adata, "macrophage", "Cxcr4")["reason"]
    assert _at(adata, "macrophage", "LILRB1")["reason"] == "no mouse ortholog of LILRB1"
    assert _at(adata, "batch", "HLA-G")["reason"] == "no mouse ortholog of HLA-G"
    assert _at(adata, "t_cell", "HLA-G")["n_expressing"] > 0


def test_by_default_all_large_packaged_profiles_are_read(batch):
    adata = batch(5, 40)
    communicate(adata, axes=["HGF-MET"])
    where = adata.uns["scdiff"]["axes"]["where"].unique().tolist()
    assert where[0] == "batch"
    assert where[1:] == [name for name in receiver_names() if not name.startswith("fetal_")]


def test_a_faulty_receiver_is_refused_before_anything_is_written(batch, tmp_path):
    empty = tmp_path / "empty.csv"
    empty.write_text("receiver,species,gene,n_cells,n_expressing\n")
    adata = batch(10, 40)
    with pytest.raises(ConfigError, match="the receiver file has no row"):
        communicate(adata, receivers=[str(empty)])
    with pytest.raises(UnknownNameError, match=r"unknown receiver 'tcell'. Did you mean 't_cell'"):
        communicate(adata, receivers=["tcell"])
    assert "axes" not in adata.uns["scdiff"]


def test_one_cell_has_a_fraction_and_no_prevalence(batch):
    adata = batch(1, 40)
    communicate(adata, axes=FIRST)
    row = _row(adata, "CXCL12")
    assert row["n_cells"] == 1
    assert row["fraction_low"] <= row["fraction"] <= row["fraction_high"]
    assert np.isnan(row["prevalence"])
    assert row["above_background"] in ("no", "unknown")


def _mixed(
    share: float,
    level: float,
    soup: float,
    *,
    n_cells: int = 1500,
    depth: int = 5000,
    seed: int = 0,
) -> AnnData:
    """Draw a batch in which ``share`` of the cells express HGF at ``level`` per 10,000, on contamination of ``soup`` per 10,000."""
    rng = np.random.default_rng(seed)
    on, size = rng.random(n_cells) < share, depth * rng.lognormal(0, 0.4, n_cells)
    hgf = rng.poisson(
        (on * level * rng.gamma(3, 1 / 3, n_cells) + soup * rng.lognormal(0, 0.5, n_cells))
        * size
        / 1e4
    )
    counts = sparse.csr_matrix(
        np.column_stack([hgf, np.maximum(size.round() - hgf, 1)]).astype(np.float32)
    )
    cells, genes = (
        pd.DataFrame({"sample": "s"}, index=[f"c{i}" for i in range(n_cells)]),
        pd.DataFrame(index=["HGF", "ACTB"]),
    )
    adata = AnnData(obs=cells, var=genes, layers={"counts": counts})
    as_loaded(adata)
    communicate(adata, axes=["HGF-MET"], receivers=["t_cell"])
    return adata


@pytest.mark.parametrize(
    ("share", "level", "soup"), [(0.2, 3, 0.05), (0.6, 40, 1.0), (0.9, 3, 0.02)]
)
def test_prevalence_holds_the_truth_where_the_raw_fraction_does_not(share, level, soup):
    row = _row(_mixed(share, level, soup), "HGF")
    assert row["above_background"] == "yes"
    assert row["prevalence_low"] - 0.03 <= share <= row["prevalence_high"] + 0.03
    assert abs(row["prevalence"] - share) < 0.08
    assert not row["fraction_low"] <= share <= row["fraction_high"] or share < 0.3


@pytest.mark.parametrize(("soup", "depth"), [(0.2, 5_000), (0.2, 20_000), (0.02, 5_000)])
def test_contamination_alone_is_detected_but_not_above_background(soup, depth):
    row = _row(_mixed(0.0, 1.0, soup, depth=depth), "HGF")
    assert row["verdict"] == "detected"
    assert row["above_background"] == "no"
    assert row["reason"].endswith("background alone may explain it")
    assert (row["prevalence"], row["prevalence_low"]) == (0, 0)
    assert row["prevalence_high"] < 0.1


def test_the_soup_of_empty_droplets_tells_contamination_that_all_cells_share():
    adata = _mixed(0.0, 1.0, 2.0)
    assert _row(adata, "HGF")["prevalence_low"] > 0.5, (
        "without the unfiltered matrix it looks like expression"
    )
    soup = {
        "counts": np.array([[2_000.0], [98_000.0]]),
        "genes": np.array(["HGF", "ACTB"]),
        "samples": np.array(["s"]),
    }
    adata.uns["scdiff"]["input"]["soup"] = soup
    communicate(adata, axes=["HGF-MET"], receivers=["t_cell"])
    assert _row(adata, "HGF")["prevalence_low"] == 0


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30))
def test_level_lies_between_the_typical_and_half_of_the_counts(counts):
    assert 1e-4 <= _guess_level(np.array(counts, dtype=float), np.full(len(counts), 100.0)) <= 0.5


def test_small_samples_have_no_prevalence_of_their_own(batch):
    adata = batch(90, 40)
    adata.obs["sample"] = pd.Categorical(["large"] * 70 + ["small"] * 20)
    communicate(adata, axes=["CXCL12-CXCR4"], receivers=["t_cell"])
    assert [
        np.isnan(_row(adata, "CXCL12", sample)["prevalence"])
        for sample in ("large", "small", "all")
    ] == [False, True, False]


def test_of_many_samples_only_all_of_them_have_a_prevalence(batch):
    adata = batch(250, 100)
    adata.obs["sample"] = pd.Categorical(np.repeat(["a", "b", "c", "d", "e"], 50))
    communicate(adata, axes=["CXCL12-CXCR4"], receivers=["t_cell"])
    assert [
        np.isnan(_row(adata, "CXCL12", sample)["prevalence"]) for sample in ("a", "e", "all")
    ] == [True, True, False]


@pytest.mark.slow
def test_real_msc_show_vegfa_little_hgf_and_no_il10(shared_data):
    adata = sc.read_h5ad(shared_data / "msc_mouse_bone_marrow.h5ad")
    adata.layers["counts"] = adata.X
    adata.obs["sample"] = "bone marrow"
    as_loaded(adata, "mouse")
    communicate(adata, axes=FIRST)
    assert 0.4 < _row(adata, "Vegfa")["fraction"] < 0.6
    assert _row(adata, "Vegfa")["above_background"] == "yes"
    assert _row(adata, "Hgf")["above_background"] == "no"
    assert _row(adata, "Hgf")["fraction"] < 0.02
    assert _row(adata, "Il10")["verdict"] == "not detected"
