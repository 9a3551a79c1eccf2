"""Genes by their approved symbols: told by Ensembl id, else by a name that means one gene, and said."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from scdiff.errors import InputError
from scdiff.genes import annotation
from scdiff.programs import load_program
from scdiff.steps.load.checks import names
from scdiff.steps.load.checks.features import merge_symbols
from scdiff.steps.load.step import load
from scdiff.steps.load.table import Table
from scdiff.steps.shared.markers import read_markers

HUMAN = ["ACTB", "GAPDH", "COL1A1", "VIM"]
IDS = {symbol: stable for stable, symbol in annotation("human").symbols.items()}


def table(symbols: list[str], ids: list[str] | None = None) -> Table:
    """A table of counts 1, 10, 100, ... by gene, beside four genes of known names."""
    listed, stable = (
        [*symbols, *HUMAN],
        [*(ids or symbols), *(IDS[name] if ids else name for name in HUMAN)],
    )
    entries = sparse.csr_matrix(np.tile(10.0 ** (np.arange(len(listed)) % 9), (2, 1)))
    return Table(
        entries,
        np.array(["c1", "c2"], dtype=object),
        np.array(listed, dtype=object),
        np.array(stable, dtype=object),
    )


def symbols(made: Table) -> list[str]:
    return list(made.symbols[: len(made.symbols) - len(HUMAN)])


def said(made: Table) -> str:
    return "\n".join((*made.repairs, *made.notes))


# ---------------------------------------------------------------- by Ensembl id


def test_ids_alone_become_symbols_and_the_ids_stay():
    made = names.approve_names(table([IDS["PDX1"], IDS["NKX6-1"], "ENSG00000000002"]), "auto")
    assert symbols(made) == ["PDX1", "NKX6-1", "ENSG00000000002"]
    assert list(made.gene_ids[:2]) == [IDS["PDX1"], IDS["NKX6-1"]]
    assert (
        f"2 genes had only an Ensembl id and were given their symbols ({IDS['PDX1']} is PDX1"
        in said(made)
    )
    assert (
        "1 Ensembl ids are not in the table of genes and are used as symbols (ENSG00000000002)"
        in said(made)
    )


@pytest.mark.parametrize("species", ["human", "mouse"])
def test_matrix_of_ids_alone_is_loaded_with_its_markers(batch, write, species):
    known = annotation(species)
    program = load_program("pancreatic_progenitor")
    wanted = {gene for marker in program.markers for gene in marker.genes(species)}
    stable = [stable for stable, symbol in known.symbols.items() if symbol in wanted]
    adata = load(
        [
            write(
                batch(
                    genes=[
                        f"{name}.7"
                        for name in [
                            *stable,
                            *(name for name in list(known.symbols)[:200] if name not in stable),
                        ]
                    ]
                )
            )
        ]
    )
    assert adata.uns["scdiff"]["input"]["species"] == species
    assert not len(adata.uns["scdiff"]["input"]["absent"])
    assert list(adata.var["gene_id"][: len(stable)]) == stable
    assert list(adata.var["name_in_file"][: len(stable)]) == stable
    rows = read_markers(adata, [program]).genes(program.markers)
    assert {name for row in rows.values() for name in adata.var_names[row]} == wanted


@pytest.mark.parametrize(
    ("written", "symbol"),
    [
        ("FAM64A", "PIMREG"),
        ("SEPT2", "SEPTIN2"),
        ("RP11-1.2", "LINC01409"),
        ("INS-1", "INS"),
        ("INS.1", "INS"),
    ],
)
def test_id_tells_the_gene_whatever_it_is_called(written, symbol):
    assert symbols(names.approve_names(table([written], [IDS[symbol]]), "auto")) == [symbol]


def test_symbol_of_another_gene_than_the_id_is_kept_and_said():
    made = names.approve_names(table(["PDX1"], [IDS["INS"]]), "auto")
    assert symbols(made) == ["PDX1"]
    assert (
        "1 genes have the symbol of one gene and the Ensembl id of another: the symbols were kept (PDX1)"
        in said(made)
    )


# ---------------------------------------------------------------- suffixes


def test_suffixed_rows_of_one_gene_are_one_gene_by_id():
    made = merge_symbols(
        names.approve_names(table(["INS", "INS-1", "INS-2"], [IDS["INS"]] * 3), "auto")
    )
    assert list(made.symbols) == ["INS", *HUMAN]
    assert made.entries.toarray()[0].tolist()[:2] == [111.0, 1000.0]
    assert (made.written[0], made.gene_ids[0]) == ("INS|INS-1|INS-2", IDS["INS"])


def test_suffixed_rows_of_an_id_that_no_table_has_are_one_gene():
    made = names.approve_names(
        table(["ABCD9", "ABCD9-1", "ABCD9.2"], ["ENSG00000000002"] * 3), "auto"
    )
    assert symbols(made) == ["ABCD9"] * 3


def test_two_ids_of_one_symbol_are_summed_and_said():
    twice = next(
        symbol
        for symbol in sorted(annotation("human").coding)
        if list(annotation("human").symbols.values()).count(symbol) == 2
    )
    ids = [stable for stable, symbol in annotation("human").symbols.items() if symbol == twice]
    made = merge_symbols(names.approve_names(table([twice, f"{twice}-1"], ids), "auto"))
    assert list(made.symbols) == [twice, *HUMAN]
    assert f"1 gene symbols had several rows ({twice}); their counts were summed" in said(made)


@pytest.mark.parametrize(
    "name", ["NKX6-1", "HLA-DRB1", "KRTAP5-1", "MT-ND1", "NKX2-2", "H3-3A", "IGHV1-2"]
)
@pytest.mark.parametrize("with_ids", [True, False])
def test_real_genes_with_a_number_at_the_end_are_not_cut(name, with_ids):
    stem = name.rpartition("-")[0]
    made = names.approve_names(
        table([name, stem], [IDS[name], "ENSG00000000002"] if with_ids else None), "auto"
    )
    assert symbols(made) == [name, stem]


@pytest.mark.parametrize("name", ["INS-1", "TBCE-1", "RP11-34P13.7", "GENE.1", "INS.1"])
def test_suffix_without_an_id_is_not_cut(name):
    assert symbols(names.approve_names(table([name]), "auto")) == [name]
    stem = name[:-2]
    made = names.approve_names(table([name, stem]), "auto")
    assert symbols(made) == [name, stem]
    assert (
        f"1 names are the name of another row plus a number, and no Ensembl id links them: both stay ({name})"
        in said(made)
    )


# ---------------------------------------------------------------- by name alone


@pytest.mark.parametrize(
    ("written", "symbol"),
    [
        ("IPF1", "PDX1"),
        ("NKX6.1", "NKX6-1"),
        ("HLA.DRA", "HLA-DRA"),
        ("C1ORF43", "C1orf43"),
        ("CXCR7", "ACKR3"),
        ("MARCH1", "MARCHF1"),
    ],
)
def test_former_symbol_is_replaced(written, symbol):
    made = names.approve_names(table([written]), "auto")
    assert symbols(made) == [symbol]
    assert list(made.gene_ids[:1]) == list(made.written[:1]) == [written]
    assert f"1 genes were given their approved symbols ({written} is {symbol})" in said(made)


@pytest.mark.parametrize("written", ["SEPT2", "MLL2"])
def test_name_of_several_genes_stays_and_is_said(written):
    made = names.approve_names(table([written]), "auto")
    assert symbols(made) == [written]
    assert (
        f"1 names belong to several genes, and no Ensembl id decides which: they were kept ({written})"
        in said(made)
    )


@pytest.mark.parametrize("written", ["NA", "NaN", "T", "Pdx1", "eGFP", "GENE1"])
def test_what_may_be_something_else_stays(written):
    assert symbols(names.approve_names(table([written]), "auto")) == [written]


def test_name_is_not_replaced_where_the_gene_has_its_own_row():
    assert symbols(names.approve_names(table(["IPF1", "PDX1"]), "auto")) == ["IPF1", "PDX1"]


def test_name_is_not_replaced_where_two_rows_claim_it():
    assert symbols(names.approve_names(table(["IPF1", "IDX-1"]), "auto")) == ["IPF1", "IDX-1"]


def test_approved_names_are_the_same_table():
    given_table = table(["PDX1", "INS", "HLA-DRA"])
    assert names.approve_names(given_table, "auto") is given_table


@pytest.mark.parametrize("species", ["mouse", "zebrafish"])
def test_names_of_another_species_than_the_asked_one_stay(species):
    assert symbols(names.approve_names(table(["IPF1"]), species)) == ["IPF1"]


@given(
    st.lists(
        st.sampled_from(
            ["PDX1", "IPF1", "IDX-1", "SEPT2", "INS", "INS-1", "TDGF1", "CRIPTO", "GENE1", "H2AB1"]
        ),
        unique=True,
        max_size=8,
    )
)
def test_no_two_rows_become_one_without_an_id(listed):
    made = names.approve_names(table(listed), "auto")
    assert len(set(made.symbols)) == len(made.symbols)
    assert all(
        after == before or before not in annotation("human").approved
        for before, after in zip(listed, symbols(made), strict=True)
    )
    again = names.approve_names(made, "auto")
    assert list(again.symbols) == list(made.symbols)


# ---------------------------------------------------------------- whole files


def test_files_of_an_older_and_a_newer_annotation_share_their_genes(batch, write):
    older, newer = ["FAM64A", "TDGF1", *HUMAN], ["PIMREG", "CRIPTO", *HUMAN]
    adata = load(
        [write(batch(genes=older), "old.h5ad"), write(batch(genes=newer, seed=1), "new.h5ad")]
    )
    assert list(adata.var_names) == newer
    assert list(adata.var["name_in_file"]) == older


def test_counts_on_disk_keep_suffixed_names_apart(batch, write):
    pytest.importorskip("dask")
    adata = batch(genes=["INS", "INS-1", "FAM64A", *HUMAN])
    adata.var["gene_id"] = [IDS["INS"], IDS["INS"], IDS["PIMREG"], *(IDS[name] for name in HUMAN)]
    assert list(load([write(adata)], engine="dask").var_names) == ["INS", "INS-1", "PIMREG", *HUMAN]
    assert list(load([write(adata)]).var_names) == ["INS", "PIMREG", *HUMAN]


@pytest.mark.parametrize("by_id", [True, False])
def test_names_of_a_large_matrix_cost_little(by_id):
    known = annotation("human")
    listed = [name for text in known.names.values() for name in text.split("|")]
    given_table = table((list(known.symbols) if by_id else listed)[:25_000])
    names.approve_names(given_table, "auto")
    start = time.process_time()
    names.approve_names(given_table, "auto")
    assert time.process_time() - start < 1.0  # 0.1 s, although no name is an approved symbol


def test_gene_without_a_name_is_still_refused(batch, write):
    adata = batch(genes=["INS", "", "VIM"])
    with pytest.raises(InputError, match="have no name"):
        load([write(adata)])
