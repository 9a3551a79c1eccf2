"""Scorecards: the programmes of one claim on one page, with criteria, ambiguity and reasons."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData
from recorded import as_loaded

from scdiff.errors import UnknownNameError
from scdiff.programs import Program
from scdiff.report.sections import all_sections
from scdiff.simulate import simulate
from scdiff.steps.call.step import call
from scdiff.steps.fraction.step import fraction
from scdiff.steps.scorecard import COLUMNS, _check_criterion, programs_on, scorecard

PANEL = """
name = "panel"
title = "Panel"
summary = "A test."
source = "field convention"
rule = "each"
scorecard = "identity"
expected = "As the criterion."
markers = [
  {name = "ENG", human = ["ENG"], level_cp10k = 2.0, at_least = 0.95, source = "10.1080/14653240600855905"},
  {name = "CD34", human = ["CD34"], at_most = 0.02, source = "10.1080/14653240600855905"},
  {name = "NOGENE", human = ["NOGENE"], source = "field convention"},
]
"""
PAIR = """
name = "NAME"
title = "NAME"
summary = "A test."
source = "field convention"
scorecard = "stages"
min_markers = 2
markers = [
  {name = "SOX9", human = ["SOX9"], source = "field convention"},
  {name = "OTHER", human = ["OTHER"], source = "field convention"},
]
"""


@pytest.fixture(scope="module")
def called(tmp_path_factory) -> AnnData:
    """A simulated batch, called for a panel and for two programmes that share a marker."""
    folder: Path = tmp_path_factory.mktemp("programs")
    (folder / "panel.toml").write_text(PANEL, encoding="utf-8")
    for name, other in (("one", "PDX1"), ("two", "COL1A1")):
        (folder / f"{name}.toml").write_text(
            PAIR.replace("NAME", name).replace("OTHER", other), encoding="utf-8"
        )
    adata = simulate(n_cells=400, seed=0)
    adata.layers["counts"] = adata.X
    as_loaded(adata)
    programs = [
        "pancreatic_progenitor",
        *(str(folder / f"{name}.toml") for name in ("panel", "one", "two")),
    ]
    call(adata, programs=programs, null_sets=0)
    fraction(adata)
    return adata


def test_a_scorecard_has_a_row_per_read_out_and_sample(called):
    table = scorecard(called, name="identity")
    assert tuple(table.columns) == COLUMNS
    pooled = table[table["sample"] == "all"].set_index("title")
    assert list(pooled.index) == ["ENG", "CD34", "NOGENE"]
    assert pooled.loc["NOGENE", ["verdict", "criterion"]].tolist() == ["not measurable", ""]
    assert "NOGENE has no row in this matrix" in pooled.loc["NOGENE", "reason"]
    assert pooled.loc["ENG", "expected"] == "As the criterion."


@pytest.mark.slow
def test_only_scorecards_with_read_outs_are_sections(called):
    sections = {section.anchor: section for section in all_sections(called)}
    assert {name for name in sections if name.startswith("scorecard_")} == {
        "scorecard_identity",
        "scorecard_stages",
    }
    identity = sections["scorecard_identity"]
    assert [figure.name for figure in identity.figures] == ["scorecard_identity"]
    assert any("transcripts of the same genes may not agree" in note for note in identity.notes)
    assert any(
        note.startswith("NOGENE: not measurable, NOGENE has no row") for note in identity.notes
    )
    assert "criterion (protein)" in identity.tables[0].view
    assert "criterion (protein)" not in sections["scorecard_stages"].tables[0].view


def test_markers_that_two_programmes_share_are_named(called):
    stages = next(
        section for section in all_sections(called) if section.anchor == "scorecard_stages"
    )
    table = stages.tables[0].frame.set_index(["program", "sample"])
    assert table.loc[("one", "all"), "shared_genes"] == "PDX1: pancreatic_progenitor; SOX9: two"
    assert table.loc[("two", "all"), "shared_genes"] == "SOX9: one"
    assert any(
        note.startswith("two shares markers with other programmes (SOX9: one)")
        for note in stages.notes
    )


@pytest.mark.parametrize(
    ("bounds", "low", "high", "said"),
    [
        ({"at_least": 0.95}, 0.96, 0.99, "met"),
        ({"at_least": 0.95}, 0.90, 0.94, "not met"),
        ({"at_least": 0.95}, 0.90, 0.99, "open"),
        ({"at_most": 0.02}, 0.0, 0.01, "met"),
        ({"at_most": 0.02}, 0.03, 0.05, "not met"),
        ({"at_most": 0.02}, 0.0, 0.05, "open"),
        ({}, 0.0, 1.0, ""),
    ],
)
def test_a_criterion_is_held_to_the_interval(bounds, low, high, said):
    marker = {"name": "A", "human": ["A"], "source": "field convention"}
    program = Program(
        name="a", title="A", summary="A.", source="field convention", markers=[marker], **bounds
    )
    row = {"prevalence_low": low, "prevalence_high": high, "verdict": "detected"}
    assert _check_criterion(program, row) == said
    assert (
        _check_criterion(program, row | {"verdict": "not measurable", "prevalence_low": np.nan})
        == ""
    )


def test_a_programme_whose_file_is_gone_is_left_out_of_an_older_record(called):
    adata = called.copy()
    adata.uns["scdiff"] = dict(called.uns["scdiff"])
    older = {
        name: value for name, value in called.uns["scdiff"]["call"].items() if name != "definitions"
    }
    adata.uns["scdiff"]["call"] = older | {"programs": np.array(["hgf", "/nowhere/mine.toml"])}
    assert [program.name for program in programs_on(adata, "paracrine")] == ["hgf"]
    assert scorecard(adata, name="stages").empty


def test_an_unknown_scorecard_gets_the_near_match(called):
    with pytest.raises(
        UnknownNameError, match=r"unknown scorecard 'identify'\. Did you mean 'identity'\?"
    ):
        scorecard(called, name="identify")
