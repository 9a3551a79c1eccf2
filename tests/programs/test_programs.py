"""Programmes: every shipped one is sound, and a faulty file is refused in one clear sentence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import anndata
import pytest
from recorded import as_loaded

from scdiff.errors import ProgramError, UnknownNameError
from scdiff.genes import Lookup, canonical, ortholog
from scdiff.programs import (
    DEFAULT_PROGRAMS,
    RESERVED,
    SCORECARDS,
    Marker,
    load_program,
    load_programs,
    program_names,
)
from scdiff.simulate import simulate
from scdiff.steps.call.step import call

DOI = re.compile(r"^10\.\d{4,9}/\S+$")
SPECIES = ("human", "mouse", "rat")


@pytest.mark.parametrize("name", program_names())
def test_program_loads_under_its_file_name(name):
    program = load_program(name)
    assert program.name == name
    assert program.title
    assert program.summary.endswith(".")


@pytest.mark.parametrize("species", SPECIES)
@pytest.mark.parametrize("name", program_names())
def test_genes_are_canonical_and_not_empty(name, species):
    program = load_program(name)
    groups = [*program.markers, *program.sets]
    genes = [gene for group in groups for gene in group.genes(species)]
    assert genes
    assert [gene for gene in genes if not gene or canonical(gene, species) != gene] == []
    for group in groups:
        assert len(set(group.genes(species))) == len(group.genes(species)), group.name


@pytest.mark.parametrize("name", program_names())
def test_every_entry_states_a_doi_or_says_that_it_is_convention(name):
    program = load_program(name)
    for source in (program.source, *(entry.source for entry in (*program.markers, *program.sets))):
        assert source == "field convention" or DOI.match(source), source


def test_default_programs_are_shipped():
    assert set(DEFAULT_PROGRAMS) <= set(program_names())
    assert [program.name for program in load_programs()] == list(DEFAULT_PROGRAMS)


@pytest.mark.parametrize(
    ("name", "core", "needed"),
    [
        ("pancreatic_progenitor", ["PDX1", "NKX6-1", "INS"], 2),
        ("il10", ["IL10"], 1),
        ("vegf", ["VEGFA"], 1),
        ("hgf", ["HGF"], 1),
        ("homing", ["CXCR4"], 1),
        ("msc_identity", ["NT5E", "THY1", "ENG"], 2),
        ("cell_cycle", [], 1),
    ],
)
def test_rules(name, core, needed):
    program = load_program(name)
    assert [marker.name for marker in program.core] == core
    assert program.min_markers == needed


def test_negative_markers_of_msc_are_shown_but_do_not_count():
    program = load_program("msc_identity")
    negative = [marker.name for marker in program.markers if not marker.counts_toward]
    assert negative == ["PTPRC", "CD34", "CD14", "CD19", "HLA-DRA"]
    assert not set(negative) & set(program.score_genes("human"))


def test_cell_cycle_is_a_score_of_two_phases_without_a_shared_gene():
    synthesis, mitosis = load_program("cell_cycle").sets
    assert (synthesis.name, mitosis.name) == ("S", "G2M")
    assert (len(synthesis.human), len(mitosis.human)) == (43, 54)
    assert not set(synthesis.human) & set(mitosis.human)
    assert all(gene[1:] == gene[1:].lower() for gene in synthesis.genes("mouse"))


def test_score_genes_hold_each_gene_once():
    genes = load_program("vegf").score_genes("mouse")
    assert genes[0] == "Vegfa"
    assert len(set(genes)) == len(genes)


def test_mouse_insulin_is_both_genes():
    insulin = load_program("pancreatic_progenitor").core[2]
    assert insulin.genes("mouse") == ("Ins1", "Ins2")


def test_gene_without_ortholog_leaves_no_empty_name():
    marker = Marker(name="IL8", human=("CXCL8", "IL6"), source="field convention")
    assert ortholog("CXCL8") == ""
    assert marker.genes("mouse") == ("Il6",)
    assert Marker(name="IL8", human=("CXCL8",), source="field convention").genes("mouse") == ()


# --- groups ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", program_names())
def test_every_shipped_programme_is_on_a_scorecard(name):
    assert load_program(name).scorecard in SCORECARDS


@pytest.mark.parametrize("name", program_names())
def test_no_programme_has_more_patterns_than_a_fit_can_hold(name):
    assert max(len(part.core) for part in load_program(name).parts) <= 6


@pytest.mark.parametrize("name", program_names())
def test_every_read_out_says_what_to_expect(name):
    assert load_program(name).expected.endswith(".")


@pytest.mark.parametrize("scorecard", SCORECARDS)
def test_every_scorecard_has_read_outs(scorecard):
    assert len(load_programs([scorecard])) >= 2


PROTEINS = {
    "T-bet": "TBX21", "RORgt": "RORC", "CD25": "IL2RA", "Helios": "IKZF2", "CD206": "MRC1", "DC-SIGN": "CD209", "PD-L1": "CD274",
    "PD-L2": "PDCD1LG2", "galectin-1": "LGALS1", "galectin-9": "LGALS9", "TSG-6": "TNFAIP6", "IL-1RA": "IL1RN", "HO-1": "HMOX1",
    "CD54": "ICAM1", "COX-2": "PTGS2", "TGF-b1": "TGFB1", "IDO": "IDO1", "KGF": "FGF7", "bFGF": "FGF2", "CD20": "MS4A1",
    "NKp46": "NCR1", "aggrecan": "ACAN", "osteocalcin": "BGLAP", "osterix": "SP7", "desmin": "DES", "p21": "CDKN1A", "p16": "CDKN2A",
    "PAI-1": "SERPINE1", "osteopontin": "SPP1", "glucagon": "GCG", "somatostatin": "SST", "ghrelin": "GHRL", "amylin": "IAPP",
    "HNF6": "ONECUT1", "OCT4": "POU5F1", "albumin": "ALB", "CXCR7": "ACKR3", "CD73": "NT5E", "CD90": "THY1", "CD105": "ENG",
    "CD45": "PTPRC", "SDF-1": "CXCL12", "IL-10": "IL10", "Nkx6.1": "NKX6-1", "perforin": "PRF1", "CD152": "CTLA4",
}  # fmt: skip


@pytest.mark.parametrize(("protein", "symbol"), PROTEINS.items())
def test_protein_names_are_the_genes_of_both_species(protein, symbol):
    assert canonical(protein) == symbol
    assert canonical(protein, "mouse") in (ortholog(symbol), ortholog(symbol) or protein)


def test_names_of_programmes_and_of_scorecards_differ():
    assert not {*SCORECARDS, "all"} & set(program_names())


def test_everything_is_all_programmes_once_and_the_default_ones_first():
    names = [program.name for program in load_programs(["all"])]
    assert names[: len(DEFAULT_PROGRAMS)] == list(DEFAULT_PROGRAMS)
    assert names == list(dict.fromkeys(names))
    assert set(names) == {
        part.name for name in program_names() for part in load_program(name).parts
    }


def test_a_scorecard_is_its_programmes():
    names = {program.name for program in load_programs(["paracrine"])}
    assert {"il10", "vegf", "hgf"} <= names
    assert {program.scorecard for program in load_programs(["paracrine"])} == {"paracrine"}


PANEL = """
name = "panel"
title = "Panel"
summary = "A test."
source = "field convention"
rule = "each"
direction = "down"
expected = "Not known."
[[markers]]
name = "HLA-DRA"
human = ["HLA-DRA"]
mouse = ["H2-Aa"]
level_cp10k = 5.0
at_most = 0.02
source = "field convention"
[[markers]]
name = "CD34"
human = ["CD34"]
expected = "None."
source = "10.1080/14653240600855905"
"""


def test_each_marker_of_a_panel_is_a_programme(tmp_path):
    first, second = load_programs([written(tmp_path, PANEL)])
    assert (first.name, first.positive, first.title, first.min_markers) == (
        "panel_HLA_DRA",
        "HLA_DRA_positive",
        "HLA-DRA",
        1,
    )
    assert (first.at_most, first.expected, first.direction) == (0.02, "Not known.", "down")
    assert (second.expected, second.source, second.core[0].level_cp10k) == (
        "None.",
        "10.1080/14653240600855905",
        None,
    )


# --- faults ----------------------------------------------------------------------------------------

GOOD = """
name = "mine"
title = "Mine"
summary = "A test."
source = "field convention"
[[markers]]
name = "PDX1"
human = ["PDX1"]
source = "field convention"
"""
STATE = '[[states]]\nname = "early"\ntitle = "early"\nwithin = true\non = ["PDX"]\n'
SECOND = GOOD[GOOD.index("[[markers]]") :]

FAULTS = {
    "unknown field": (
        GOOD.replace("title =", "tittle ="),
        r"tittle: Extra inputs are not permitted",
    ),
    "missing field": (GOOD.replace('title = "Mine"\n', ""), r"title: Field required"),
    "no source": (GOOD.replace('source = "field convention"\n[[', "[["), r"source: Field required"),
    "name with blank": (GOOD.replace('"mine"', '"my own"'), r"name: String should match pattern"),
    "reserved name": (
        GOOD.replace('"mine"', '"fdr"'),
        r"name is 'fdr', which the record of the calls uses itself",
    ),
    "too many markers needed": (
        GOOD.replace('title = "Mine"', 'title = "Mine"\nmin_markers = 2'),
        r"min_markers is 2, but only 1 markers count",
    ),
    "nothing in it": (GOOD[: GOOD.index("[[markers]]")], r"a programme needs markers or sets"),
    "marker twice": (GOOD + SECOND, r"a marker is listed twice"),
    "no genes": (
        GOOD.replace('["PDX1"]', "[]"),
        r"markers\.0\.human: Tuple should have at least 1 item",
    ),
    "level of zero": (
        GOOD + "level_cp10k = 0\n",
        r"markers\.0\.level_cp10k: Input should be greater than 0",
    ),
    "state of unknown marker": (GOOD + STATE, r"state 'early' names 'PDX'\. Did you mean 'PDX1'\?"),
    "no such scorecard": (
        GOOD.replace("[[", 'scorecard = "stage"\n[[', 1),
        r"scorecard is 'stage'\. Did you mean 'stages'\?",
    ),
    "panel with states": (
        PANEL + STATE.replace("PDX", "CD34"),
        r"a panel \(rule 'each'\) has markers only",
    ),
    "score without sets": (
        GOOD.replace("[[", 'rule = "score"\n[[', 1),
        r"a programme with the rule 'score' is called by its sets",
    ),
    "not toml": ("name = ", r"this is not a TOML text"),
}


def written(folder, text):
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_every_option_in_the_record_of_the_calls_is_a_reserved_name():
    adata = simulate(n_cells=60, seed=0)
    adata.layers["counts"] = adata.X
    as_loaded(adata)
    call(adata, programs=["hgf"], null_sets=0)
    assert set(adata.uns["scdiff"]["call"]) - {"hgf"} == set(RESERVED)


def test_own_program_loads_by_path(tmp_path):
    program = load_program(written(tmp_path, GOOD))
    assert program.score_genes("mouse") == ("Pdx1",)
    assert program.positive == "positive"


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_one_sentence_that_names_the_file(tmp_path, fault):
    text, sentence = FAULTS[fault]
    path = written(tmp_path, text)
    with pytest.raises(ProgramError, match=sentence) as caught:
        load_program(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.endswith(".")
    assert "\n" not in message
    assert "pydantic" not in message


def test_missing_file_is_said(tmp_path):
    with pytest.raises(ProgramError, match=r"none\.toml: the programme file cannot be read"):
        load_program(str(tmp_path / "none.toml"))


def test_unknown_name_gets_the_near_match():
    with pytest.raises(
        UnknownNameError, match=r"unknown programme 'vegfa'\. Did you mean 'vegf'\?"
    ):
        load_program("vegfa")


def test_two_programs_of_one_name_are_refused(tmp_path):
    with pytest.raises(ProgramError, match=r"two programmes share a name: mine, mine"):
        load_programs([written(tmp_path, GOOD), written(tmp_path, GOOD)])


ABSENT = {"human": set(), "mouse": {"Cxcl11", "H2-Ea"}}
"""Approved symbols that no annotation of the real data has: both are not transcribed in C57BL/6."""


@pytest.mark.parametrize("species", ["human", "mouse"])
def test_every_gene_has_a_row_in_a_real_annotation(
    shared_data: Path, species: Literal["human", "mouse"]
) -> None:
    files = [path for path in shared_data.glob("*.h5ad") if species in path.stem]
    annotations = [
        Lookup(list(anndata.read_h5ad(path, backed="r").var_names), species) for path in files
    ]
    programs = load_programs(["all"])
    genes = {
        gene
        for program in programs
        for named in (*program.markers, *program.sets)
        for gene in named.genes(species)
    }
    assert len(genes) > 300
    assert {gene for gene in genes if not any(rows.find([gene]) for rows in annotations)} == ABSENT[
        species
    ]
