"""Which rows are genes, and what they are called."""

from __future__ import annotations

import anndata
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from scdiff.errors import InputError
from scdiff.steps.load.checks import features
from scdiff.steps.load.step import load
from scdiff.steps.load.table import Table


def table(symbols: list[str], entries: np.ndarray | None = None, **parts: object) -> Table:
    values = np.ones((2, len(symbols)), dtype=np.float32) if entries is None else entries
    names = np.array(symbols, dtype=object)
    return Table(
        sparse.csr_matrix(values), np.array(["c1", "c2"], dtype=object), names, names, **parts
    )  # type: ignore[arg-type]


def notes(adata: anndata.AnnData) -> str:
    return "\n".join(adata.uns["scdiff"]["input"]["notes"])


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    "column", ["gene_symbols", "gene_symbol", "symbol", "feature_name", "gene_name", "SYMBOL"]
)
def test_symbols_come_from_the_column_beside_ensembl_ids(batch, write, column: str) -> None:
    adata = batch()
    adata.var[column] = list(adata.var_names)
    adata.var_names = [f"ENSG{i:011d}.{i}" for i in range(adata.n_vars)]
    loaded = load([write(adata)])
    assert list(loaded.var_names) == list(batch().var_names)
    assert list(loaded.var["gene_id"]) == [f"ENSG{i:011d}" for i in range(adata.n_vars)]


def test_gene_without_symbol_keeps_its_id(batch, write) -> None:
    adata = batch(genes=["ENSG00000000001.4", "ENSG00000000002", "ENSG00000000004"])
    adata.var["feature_name"] = ["INS", "", None]
    assert list(load([write(adata)]).var_names) == ["INS", "ENSG00000000002", "ENSG00000000004"]


def test_ensembl_ids_of_no_known_gene_are_kept_without_version(batch, write) -> None:
    adata = load([write(batch(genes=["ENSMUSG00000000002.4", "ENSMUSG00000000004.15"]))])
    assert (
        list(adata.var_names)
        == list(adata.var["gene_id"])
        == ["ENSMUSG00000000002", "ENSMUSG00000000004"]
    )
    assert adata.uns["scdiff"]["input"]["species"] == "mouse"


def test_symbols_stay_where_a_column_repeats_them(batch, write) -> None:
    adata = batch()
    adata.var["gene_name"] = [name.lower() for name in adata.var_names]
    assert list(load([write(adata)]).var_names) == list(batch().var_names)


def test_symbol_is_its_own_id_where_none_is_known(write) -> None:
    adata = load([write()])
    assert list(adata.var["gene_id"]) == list(adata.var_names)


def test_gene_without_any_name_is_refused() -> None:
    with pytest.raises(InputError, match=r"1 genes have no name \(row 2\)"):
        features.fill_names(["INS", " ", "VIM"], ["a", None, "c"])


# ---------------------------------------------------------------- what is no gene


@pytest.mark.parametrize("layout", ["mtx", "h5", "h5ad"])
def test_only_gene_expression_is_kept(batch, write, write_mtx, write_10x_h5, layout: str) -> None:
    adata = batch(genes=["INS", "CD3_ab", "VIM", "guide1", "CD4_ab"])
    kinds = [
        "Gene Expression",
        "Antibody Capture",
        "Gene Expression",
        "CRISPR Guide Capture",
        "Antibody Capture",
    ]
    if layout == "h5ad":
        adata.var["feature_types"] = kinds
    path = {
        "mtx": lambda: write_mtx(adata, kinds=kinds),
        "h5": lambda: write_10x_h5(adata, kinds=kinds),
        "h5ad": lambda: write(adata),
    }[layout]()
    loaded = load([path])
    assert list(loaded.var_names) == ["INS", "VIM"]
    assert (loaded.layers["counts"] != adata.X[:, [0, 2]]).nnz == 0
    assert (
        "Features that are not genes were left out: 2 Antibody Capture, 1 CRISPR Guide Capture."
        in notes(loaded)
    )


def test_feature_without_a_type_is_taken_for_a_gene(batch, write) -> None:
    adata = batch(genes=["INS", "CD3_ab", "VIM"])
    adata.var["feature_types"] = ["gene expression", "Antibody Capture", ""]
    assert list(load([write(adata)]).var_names) == ["INS", "VIM"]


def test_features_without_any_type_are_all_kept(batch, write) -> None:
    adata = batch(genes=["INS", "VIM"])
    adata.var["feature_types"] = ""
    assert list(load([write(adata)]).var_names) == ["INS", "VIM"]


def test_file_of_another_assay_is_refused(batch, write_10x_h5) -> None:
    adata = batch(genes=["chr1:1-200", "chr1:300-500"])
    with pytest.raises(
        InputError, match=r"cells\.h5: no feature is of type 'Gene Expression' \(types: Peaks\)"
    ):
        load([write_10x_h5(adata, kinds=["Peaks", "Peaks"])])


def test_spike_ins_and_counters_are_left_out_but_genes_named_ercc_stay(batch, write) -> None:
    adata = batch(genes=["INS", "ERCC-00002", "ERCC1", "__no_feature", "VIM"])
    loaded = load([write(adata)])
    assert list(loaded.var_names) == ["INS", "ERCC1", "VIM"]
    assert "2 rows that are not genes (ERCC-00002, __no_feature) were left out" in notes(loaded)


def test_gene_names_that_a_spreadsheet_changed_are_said(batch, write) -> None:
    assert "A spreadsheet turned 2 gene names into dates (2-Sep, 1-Mar)" in notes(
        load([write(batch(genes=["INS", "2-Sep", "1-Mar"]))])
    )


# ---------------------------------------------------------------- genomes


@pytest.mark.parametrize(
    ("totals", "species", "chosen", "reason"),
    [
        ({"hg19": 5, "mm10": 9}, "auto", "mm10", "the human, mouse or rat one with most counts"),
        ({"hg19": 5, "mm10": 9}, "human", "hg19", "the one of human"),
        ({"GRCh38": 9, "GRCm39": 5}, "mouse", "GRCm39", "the one of mouse"),
        (
            {"GRCh38": 5, "virus": 9},
            "auto",
            "GRCh38",
            "the human, mouse or rat one with most counts",
        ),
        ({"zebra": 9, "yak": 5}, "human", "zebra", "the one with most counts"),
        ({"hg38": 5, "hg19": 5}, "auto", "hg19", "the human, mouse or rat one with most counts"),
    ],
)
def test_one_of_several_genomes_is_chosen_with_a_reason(totals, species, chosen, reason) -> None:
    picked, sentence = features.pick_genome(totals, species)
    assert picked == chosen
    assert sentence.endswith(f"{chosen} is used, {reason}.")


def test_mixed_reference_of_version_3_loses_the_other_genome_and_the_prefix(
    batch, write_10x_h5
) -> None:
    adata = batch(genes=["GRCh38_INS", "GRCh38_VIM", "mm10___Ins2"])
    loaded = load([write_10x_h5(adata, genomes=["GRCh38", "GRCh38", "mm10"])], species="human")
    assert list(loaded.var_names) == ["INS", "VIM"]
    assert (loaded.layers["counts"] != adata.X[:, :2]).nnz == 0
    assert "GRCh38 is used, the one of human" in notes(loaded)


# ---------------------------------------------------------------- each symbol once


@given(st.lists(st.sampled_from(["A", "B", "C", "D"]), min_size=1, max_size=9), st.integers(0, 100))
def test_summing_equal_symbols_agrees_with_a_plain_loop(symbols: list[str], seed: int) -> None:
    entries = np.random.default_rng(seed).poisson(2.0, (2, len(symbols))).astype(np.float32)
    merged = features.merge_symbols(table(symbols, entries))
    expected = {name: np.zeros(2) for name in symbols}
    for column, name in enumerate(symbols):
        expected[name] += entries[:, column]
    assert list(merged.symbols) == list(expected)
    assert np.array_equal(merged.entries.toarray(), np.column_stack(list(expected.values())))
    assert len(merged.repairs) == (len(expected) < len(symbols))


def test_ids_of_summed_rows_are_all_kept() -> None:
    given_ids = np.array(["e1", "e2", "e3"], dtype=object)
    names = np.array(["INS", "VIM", "INS"], dtype=object)
    merged = features.merge_symbols(
        Table(sparse.csr_matrix(np.ones((2, 3))), np.array(["a", "b"]), names, given_ids)
    )
    assert list(merged.gene_ids) == ["e1|e3", "e2"]


def test_sums_beyond_float32_stay_exact() -> None:
    merged = features.merge_symbols(
        table(["A", "A"], np.full((2, 2), 2.0**24 - 1, dtype=np.float32))
    )
    assert merged.entries.toarray().tolist() == [[2.0**25 - 2], [2.0**25 - 2]]


# ---------------------------------------------------------------- telling genes from cells


@pytest.mark.parametrize(
    "name",
    [
        "AAACCTGAGAAACCAT-1",
        "rna_AGATCGTTCTAGACCA",
        "mouse1_lib1.final_cell_0001_AAGTGAAAG-CGACTCCT_S",
        "CGTGATGATTTCAC-1-b_cells",
    ],
)
def test_barcodes_of_all_kinds_are_known(name: str) -> None:
    assert features.is_barcode(name)


@pytest.mark.parametrize("name", ["GATA3", "CAT", "TAGAP", "ACTA2", "cell_12", "A1BG", "TTC3"])
def test_genes_are_no_barcodes(name: str) -> None:
    assert not features.is_barcode(name)


def test_gene_evidence_counts_names_that_only_genes_have() -> None:
    assert features.count_gene_names(["cell1", "s2", "P3"]) == 0
    assert features.count_gene_names(["mt-Nd1", "Rpl3", "ENSG00000254647", "Pdx1", "cell"]) == 4
