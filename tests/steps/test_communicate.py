"""communicate: detection of both sides, with limits; absent is not zero."""

from __future__ import annotations

import numpy as np
import pytest
import scanpy as sc
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.stats import beta

from scdiff.errors import MissingKeyError, UnknownNameError
from scdiff.genes import canonical
from scdiff.steps.communicate import COLUMNS, _measured, communicate, load_axes


def _row(adata, gene: str, sample: str = "all"):
    table = adata.uns["scdiff"]["axes"]
    return table[(table["gene"] == gene) & (table["sample"] == sample)].iloc[0]


def test_axes_state_genes_by_their_symbols_and_a_source():
    for axis in load_axes():
        assert axis.source.startswith("10.")
        assert all(canonical(gene) == gene for _, gene in axis.genes())


def test_one_row_per_axis_side_gene_and_sample(batch):
    adata = batch(60, 40, n_samples=2)
    communicate(adata)
    table = adata.uns["scdiff"]["axes"]
    assert tuple(table.columns) == COLUMNS
    assert len(table) == 10 * 3
    assert not table.duplicated(["axis", "side", "gene", "sample"]).any()
    assert table["sample"].unique().tolist() == ["s0", "s1", "all"]
    assert table.loc[table["axis"] == "VEGFA-KDR/FLT1", "gene"].unique().tolist() == ["VEGFA", "KDR", "FLT1"]


def test_counts_of_cells_are_the_truth(batch):
    adata = batch(100, 40, n_samples=2)
    values = adata.layers["counts"].toarray()
    column = adata.var_names.get_loc("CXCR4")
    values[:, column] = 0
    values[:7, column] = 3
    values[60, column] = 1
    adata.layers["counts"] = sparse.csr_matrix(values)
    communicate(adata)
    assert [_row(adata, "CXCR4", sample)["n_expressing"] for sample in ("s0", "s1", "all")] == [7, 1, 8]
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
    communicate(adata, axes=["IL10-IL10RA/B"])
    row = _row(adata, "IL10")
    assert (row["verdict"], row["n_expressing"], row["fraction"], row["fraction_low"]) == ("not detected", 0, 0, 0)
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
    communicate(adata)
    genes = adata.uns["scdiff"]["axes"].set_index("gene")["verdict"]
    assert genes["Cxcl12"].iloc[0] != "not measurable"
    assert (genes.drop("Il10ra") != "not measurable").all()


@given(n_cells=st.integers(1, 5_000), share=st.floats(0, 1))
def test_interval_holds_the_fraction_and_the_limit_means_what_it_says(n_cells, share):
    row = _measured(int(share * n_cells), n_cells)
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
    communicate(adata)
    adata.write_h5ad(tmp_path / "x.h5ad")
    back = sc.read_h5ad(tmp_path / "x.h5ad").uns["scdiff"]["axes"]
    assert back["gene"].tolist() == adata.uns["scdiff"]["axes"]["gene"].tolist()
    assert np.isnan(back["lod"]).sum() == 2


def test_real_msc_show_vegfa_little_hgf_and_no_il10(shared_data):
    adata = sc.read_h5ad(shared_data / "msc_mouse_bone_marrow.h5ad")
    adata.layers["counts"] = adata.X
    adata.obs["sample"] = "bone marrow"
    adata.uns["scdiff"] = {"input": {"species": "mouse"}}
    communicate(adata)
    assert 0.4 < _row(adata, "Vegfa")["fraction"] < 0.6
    assert _row(adata, "Hgf")["fraction"] < 0.02
    assert _row(adata, "Il10")["verdict"] == "not detected"
