"""The tables of all genes: what resolves, what must not, and every gene of every programme under all its names."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import scdiff.genes.symbols as module
from scdiff.genes import Lookup, annotation, canonical, ortholog
from scdiff.genes.table import COLUMNS, fold_symbol
from scdiff.programs import load_program, program_names
from scdiff.programs.axes import load_axes

FOLDER = Path(module.__file__).parent
SPECIES = ("human", "mouse", "rat")
BY_HAND = module._read_names()


def asked(species) -> list[str]:
    """Every gene that a programme or an axis names in a species."""
    entries = [
        entry
        for name in program_names()
        for entry in (*load_program(name).markers, *load_program(name).sets)
    ]
    named = {gene for entry in entries for gene in entry.genes(species)}
    axes = {
        gene if species == "human" else ortholog(gene, species)
        for axis in load_axes()
        for _, gene in axis.genes()
    }
    return sorted((named | axes) - {""})


GENES = [(species, gene) for species in SPECIES for gene in asked(species)]
WANTED = set(GENES)
WITHOUT_ID = {("rat", "G6pc2"), ("rat", "Xist")}
"""Genes without an Ensembl id in RGD and in Ensembl 114; they are found by their symbols."""

FORMER = [
    (species, gene, name)
    for species, gene in GENES
    for name in annotation(species).names.get(gene, "").split("|")
    if name
]
PROTEINS = [
    (species, row[species], name)
    for species in SPECIES
    for row in BY_HAND
    if row[species]
    for name in row["aliases"].split("|")
    if name
]


# ---------------------------------------------------------------- every gene of every programme


def test_the_programmes_ask_for_hundreds_of_genes_under_thousands_of_names():
    assert Counter(species for species, _ in GENES) == {"human": 388, "mouse": 389, "rat": 382}
    assert Counter(species for species, *_ in FORMER)["human"] > 900
    assert Counter(species for species, *_ in FORMER)["mouse"] > 800
    assert Counter(species for species, *_ in FORMER)["rat"] > 450


def test_genes_of_programmes_are_approved_and_found_by_their_ensembl_ids():
    ids = {
        (species, symbol): stable
        for species in SPECIES
        for stable, symbol in annotation(species).symbols.items()
    }
    assert {gene for gene in GENES if gene not in ids} == WITHOUT_ID
    wrong = [
        (species, stable)
        for species in SPECIES
        for stable, gene in annotation(species).symbols.items()
        if (species, gene) in WANTED
        and (canonical(stable, species), Lookup(["ACTB", stable], species).find([gene]))
        != (gene, [1])
    ]
    assert wrong == []


def test_genes_of_programmes_are_found_by_their_former_symbols():
    by_hand = {(species, name): module._find_in_names(name, species) for species, _, name in FORMER}
    assert [one for one in FORMER if annotation(one[0]).resolve(one[2]) != one[1]] == []
    assert [
        one for one in FORMER if canonical(one[2], one[0]) != (by_hand[one[0], one[2]] or one[1])
    ] == []
    assert {one[1:] for one in FORMER if by_hand[one[0], one[2]] not in ("", one[1])} <= CONTESTED
    assert [one for one in FORMER if Lookup(["ACTB", one[2]], one[0]).find([one[1]]) != [1]] == []


DIFFERS = {
    "human": {("IL1RN", "IL-1RA")},
    "mouse": set(),
    "rat": {
        ("Angpt1", "ANG1"),
        ("Ccl2", "JE"),
        ("Cdkn1a", "p21"),
        ("Cenpu", "KLIP1"),
        ("Hells", "LSH"),
    },
}
"""Protein names that are followed, although the nomenclature has them as a synonym of another gene."""

CONTESTED = {("IL6R", "IL-1Ra")}
"""Names that the field uses for another gene than the nomenclature: the antagonist of the receptor of interleukin 1."""


def test_genes_are_found_by_their_protein_names():
    assert [one for one in PROTEINS if canonical(one[2], one[0]) != one[1]] == []
    assert [one for one in PROTEINS if Lookup(["ACTB", one[2]], one[0]).find([one[1]]) != [1]] == []


@pytest.mark.parametrize("species", SPECIES)
def test_rows_written_by_hand_are_approved_and_no_protein_name_is_the_symbol_of_another_gene(
    species,
):
    known = annotation(species)
    assert {row[species] for row in BY_HAND if row[species]} <= known.approved
    meant = {
        name: known.resolve(name)
        for row in BY_HAND
        for name in row["aliases"].split("|")
        if row[species]
    }
    differs = {
        (row[species], name)
        for row in BY_HAND
        for name in row["aliases"].split("|")
        if meant.get(name, row[species]) not in ("", row[species])
    }
    assert differs - {("", "insulin")} == DIFFERS[species]


# ---------------------------------------------------------------- what the tables say


FORMERLY = [
    ("human", "FAM64A", "PIMREG"), ("human", "TDGF1", "CRIPTO"), ("human", "IPF1", "PDX1"), ("human", "NKX6A", "NKX6-1"),
    ("human", "MARCH1", "MARCHF1"), ("human", "SDF1", "CXCL12"), ("human", "HLA.DRA", "HLA-DRA"), ("human", "C1ORF43", "C1orf43"),
    ("human", "ENSG00000254647", "INS"), ("mouse", "Ipf1", "Pdx1"), ("mouse", "Il6r", "Il6ra"), ("mouse", "Tdgf1", "Cripto"),
    ("mouse", "ENSMUSG00000000215", "Ins2"), ("mouse", "H2.Aa", "H2-Aa"), ("mouse", "Fam64a", "Pimreg"),
]  # fmt: skip


@pytest.mark.parametrize(("species", "name", "symbol"), FORMERLY)
def test_former_names_are_resolved(species, name, symbol):
    assert annotation(species).resolve(name) == symbol
    assert canonical(name, species) == symbol


@pytest.mark.parametrize(
    ("species", "name"),
    [
        ("human", "SEPT2"),
        ("human", "MLL2"),
        ("human", "AP-1"),
        ("mouse", "Mody4"),
        ("mouse", "Caf1"),
    ],
)
def test_names_of_several_genes_are_left_alone(species, name):
    assert annotation(species).of_several([name]) == [name]
    assert annotation(species).resolve(name) == ""
    assert canonical(name, species) == name


@pytest.mark.parametrize("name", ["H2AB1", "NKX6-1", "HLA-DRB1", "IL10", "MUC4", "HSPA1B"])
def test_approved_symbol_means_its_own_gene(name):
    assert canonical(name) == name
    assert annotation("human").of_several([name]) == []


def test_row_of_another_gene_is_not_taken_for_a_protein_name():
    assert Lookup(["H2AB1"], "human").find(["HLA-DQB1"]) == []  # a histone, not the mouse's H2-Ab1


@pytest.mark.parametrize("name", ["GENE1", "", "12", "ENSG99999999999", "AAACCTGAGAAACCAT-1"])
def test_unknown_names_stay(name):
    assert annotation("human").resolve(name) == ""
    assert canonical(name) == name


@pytest.mark.parametrize("species", SPECIES)
def test_table_contradicts_itself_nowhere(species):
    known = annotation(species)
    spelt = Counter(fold_symbol(symbol) for symbol in known.approved)
    names = Counter(
        fold_symbol(name) for listed in known.names.values() for name in listed.split("|")
    )
    assert max(spelt.values()) == max(names.values()) == 1
    assert not set(spelt) & set(names)
    assert not set(known.shared) & (set(spelt) | set(names))
    assert set(known.names) <= known.approved
    assert all(map(module.is_stable, known.symbols))


@pytest.mark.parametrize(
    ("species", "genes", "coding", "names"),
    [
        ("human", 25_806, 19_448, 33_571),
        ("mouse", 24_958, 21_637, 37_421),
        ("rat", 25_707, 19_501, 14_539),
    ],
)
def test_table_is_as_large_as_its_notes_say(species, genes, coding, names):
    known = annotation(species)
    assert (len(known.symbols), len(known.coding)) == (genes, coding)
    assert sum(len(listed.split("|")) for listed in known.names.values()) == names
    data = (FOLDER / f"{species}.csv.gz").read_bytes()
    assert len(data) < 350_000
    assert gzip.decompress(data).decode().splitlines()[0] == ",".join(COLUMNS)
    assert data[4:8] == bytes(4)  # no time of making: the same facts are the same bytes


@given(st.sampled_from(GENES), st.sampled_from([".", "_", " "]), st.booleans())
def test_marks_and_case_do_not_matter(entry, mark, upper):
    species, gene = entry
    changed = gene.replace("-", mark)
    assert annotation(species).resolve(changed.upper() if upper else changed.lower()) == gene


@pytest.mark.parametrize(
    ("species", "missing"),
    [("mouse", ["CTRB2"]), ("rat", ["CELA3A", "CTRB2", "G6PC2", "XIST"])],
)
def test_orthologs_of_the_programmes_are_approved(species, missing):
    assert [
        gene
        for gene in asked("human")
        if (symbol := ortholog(gene, species)) and symbol not in annotation(species).approved
    ] == missing


ORTHOLOGS = (
    "PDX1=Pdx1 NKX6-1=Nkx6-1 HLA-DRA=RT1-Da IL6R=Il6r IL4R=Il4r MT-CYB=Mt-cyb TBXT=Tbxt "
    "FCGR1A=Fcgr1a HSPA1A=Hspa1b CA9=Car9 CXCL8= GNLY="
)


@pytest.mark.parametrize("pair", ORTHOLOGS.split())
def test_rat_orthologs(pair):
    human, rat = pair.split("=")
    assert ortholog(human, "rat") == rat
    assert not rat or rat in annotation("rat").approved


# ---------------------------------------------------------------- cost


WHEN_READ = """
import scdiff, scdiff.cli, scdiff.programs, scdiff.genes, scdiff.steps.load, scdiff.steps.shared.markers
from scdiff.genes.table import annotation
print(annotation.cache_info().currsize)
scdiff.programs.load_programs(["all"]); scdiff.genes.ortholog("PDX1"); scdiff.genes.detect_species(["INS"])
print(annotation.cache_info().currsize)
"""


def test_tables_are_read_only_when_a_name_is_asked_for():
    done = subprocess.run(
        [sys.executable, "-c", WHEN_READ], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["0", "0"]
