"""Gene identity: the names people write, species, orthologs, look-up in a matrix."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scdiff.genes.symbols as module
from scdiff.genes import Lookup, canonical, detect_species, ortholog

TABLE = Path(module.__file__).parent / "names.csv"
ROWS = list(csv.DictReader(TABLE.read_text(encoding="utf-8").splitlines()))
HUMAN = [row["human"] for row in ROWS if row["human"]]

WRITTEN = [
    ("Nkx6.1", "NKX6-1", "Nkx6-1"),
    ("NKX6_1", "NKX6-1", "Nkx6-1"),
    ("nkx6-1", "NKX6-1", "Nkx6-1"),
    ("pdx-1", "PDX1", "Pdx1"),
    ("IPF1", "PDX1", "Pdx1"),
    ("Ngn3", "NEUROG3", "Neurog3"),
    ("IL-10", "IL10", "Il10"),
    ("interleukin-10", "IL10", "Il10"),
    ("VEGF", "VEGFA", "Vegfa"),
    ("VEGF-A", "VEGFA", "Vegfa"),
    ("VEGFR2", "KDR", "Kdr"),
    ("VEGFR-1", "FLT1", "Flt1"),
    ("c-Met", "MET", "Met"),
    ("scatter factor", "HGF", "Hgf"),
    ("SDF-1", "CXCL12", "Cxcl12"),
    ("SDF-1\u03b1", "CXCL12", "Cxcl12"),
    ("CD184", "CXCR4", "Cxcr4"),
    ("CXCR7", "ACKR3", "Ackr3"),
    ("CD73", "NT5E", "Nt5e"),
    ("CD90", "THY1", "Thy1"),
    ("CD105", "ENG", "Eng"),
    ("endoglin", "ENG", "Eng"),
    ("CD45", "PTPRC", "Ptprc"),
    ("Oct4", "POU5F1", "Pou5f1"),
    ("HLA-DR", "HLA-DRA", "H2-Ea"),
    ("MLF1IP", "CENPU", "Cenpu"),
    ("FAM64A", "PIMREG", "Pimreg"),
    ("HN1", "JPT1", "Jpt1"),
    ("Ki-67", "MKI67", "Mki67"),
    ("GLUT1", "SLC2A1", "Slc2a1"),
]


@pytest.mark.parametrize(("written", "human", "mouse"), WRITTEN)
def test_names_as_people_write_them(written, human, mouse):
    assert canonical(written) == human
    assert canonical(written, "mouse") == mouse


def test_table_has_no_name_of_two_genes():
    owners = defaultdict(set)
    for row in ROWS:
        for name in (*row["aliases"].split("|"), row["human"], row["mouse"]):
            if name:
                owners[module._fold(name)].add((row["human"], row["mouse"]))
    assert {name: genes for name, genes in owners.items() if len(genes) > 1} == {}


def test_table_lists_each_gene_once_without_blanks():
    for column in ("human", "mouse", "rat"):
        symbols = [row[column] for row in ROWS if row[column]]
        assert len(symbols) == len(set(symbols))
        assert all(symbol == symbol.strip() for symbol in symbols)
    assert all(row["human"] or row["mouse"] for row in ROWS)


@pytest.mark.parametrize("gene", HUMAN)
def test_symbols_are_their_own_canonical_form(gene):
    assert canonical(gene) == gene
    assert not ortholog(gene) or canonical(ortholog(gene), "mouse") == ortholog(gene)


@pytest.mark.parametrize(
    ("human", "mouse"),
    [
        ("PDX1", "Pdx1"),
        ("HLA-DRA", "H2-Ea"),
        ("HLA-DQA1", "H2-Aa"),
        ("CXCL8", ""),
        ("MT-CYB", "mt-Cytb"),
        ("MT-ND4L", "mt-Nd4l"),
        ("TTN", "Ttn"),
    ],
)
def test_orthologs(human, mouse):
    assert ortholog(human) == mouse


@settings(deadline=None)  # the first call reads the tables
@given(st.text(max_size=12))
def test_canonical_never_yields_an_empty_name_and_is_idempotent(name):
    for species in ("human", "mouse", "rat"):
        once = canonical(name, species)
        assert once or not name
        assert canonical(once, species) == once


@given(
    st.sampled_from([name for name, _, _ in WRITTEN]),
    st.sampled_from(["upper", "lower", "blank", "dot"]),
)
def test_case_and_punctuation_do_not_matter(name, change):
    changed = {
        "upper": name.upper(),
        "lower": name.lower(),
        "blank": name.replace("-", " "),
        "dot": name.replace("-", "."),
    }[change]
    assert canonical(changed) == canonical(name)


@pytest.mark.parametrize(
    ("names", "species"),
    [
        (["COL1A1", "VIM", "GENE0001"], "human"),
        (["Col1a1", "Vim", "Gene0001"], "mouse"),
        (["ENSG00000254647", "ENSG00000139515"], "human"),
        (["ENSMUSG00000000001", "ENSMUSG00000000003"], "mouse"),
        (["1", "2"], None),
        ([], None),
    ],
)
def test_species_from_names(names, species):
    assert detect_species(names) == species


def test_lookup_prefers_the_exact_symbol_over_an_alias():
    rows = Lookup(["CD73", "NT5E", "SDF-1"], "human")
    assert rows.find(["NT5E"]) == [1]
    assert rows.find(["CXCL12"]) == [2]
    assert rows.find(["IL10"]) == []
