import math
import re
from dataclasses import replace
from importlib import metadata

import numpy as np
import pandas as pd
import pytest

import scdiff
from scdiff import keys
from scdiff.programs import SCORECARDS
from scdiff.report.section import MAX_SVG_BYTES, Section, picture, run_section
from scdiff.report.sections import SECTIONS
from scdiff.report.sections.programs import by_chance

SCORED = [f"scorecard_{name}" for name in SCORECARDS]
ORDER = [
    "qc",
    "clusters",
    "evidence",
    "calibration",
    "fractions",
    "dose",
    "donors",
    "trajectory",
    "programs",
    *SCORED,
    "axes",
    "methods",
]
CARDS = [card for card in SECTIONS.cards() if card.name not in SCORED]
VERDICTS = ["quantified", "detected", "not detected", "not measurable"]


def drop(adata, key):
    if key.slot == "uns":
        del adata.uns["scdiff"][key.name]
    else:
        del getattr(adata, key.slot)[key.name]


def of(sections, anchor):
    return next(section for section in sections if section.anchor == anchor)


def test_the_order_of_the_page():
    assert list(SECTIONS) == ORDER


@pytest.mark.slow
@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_every_section_is_done_on_a_whole_run(card, verdict, drawn):
    section = of(drawn(verdict)[1], card.name)
    if (card.name, verdict) == ("calibration", "not measurable"):
        assert (section.status, section.figures) == ("not run", ())
        assert (
            section.description
            == "The programme cannot be measured: PDX1 and INS have no row in this matrix."
        )
        return
    assert (section.status, section.anchor, section.name) == (
        "done",
        card.name,
        card.facts["title"],
    ), section.description
    assert section.figures or section.tables


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_every_figure_says_what_from_how_many_and_has_its_table(card, drawn):
    sections = drawn("quantified")[1]
    tables = {table.name for section in sections for table in section.tables}
    for figure in of(sections, card.name).figures:
        assert figure.table in tables
        assert len(figure.caption) > 60
        assert figure.alt
        if figure.name != "fractions":  # the number of cells stands beside each row
            assert re.search(r"\d+ (called |barcodes|cells)|up to \d+", figure.caption), figure.name


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_a_missing_key_is_not_run_and_names_the_step(card, finished):
    for key in card.facts["reads"]:
        adata = finished.copy()
        drop(adata, key)
        section = run_section(card, adata)
        assert section.status == "not run"
        assert str(key) in section.description
        assert repr(key.writer) in section.description
        assert not section.figures


@pytest.mark.parametrize(
    "error",
    [
        ValueError("the numbers\n are off"),
        KeyError("gone"),
        ZeroDivisionError(),
        RuntimeError("layout"),
    ],
)
def test_a_failing_section_says_its_error(error, finished):
    def broken(_adata):
        raise error

    section = run_section(replace(CARDS[0], function=broken), finished)
    assert section.status == "failed"
    assert section.description.startswith(type(error).__name__)
    assert "\n" not in section.description


def test_errors_of_the_disk_are_not_swallowed(finished):
    def broken(_adata):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        run_section(replace(CARDS[0], function=broken), finished)


def test_broken_data_fail_one_section_only(finished):
    finished.uns["scdiff"]["qc"] = {"dropped": "no frame"}
    assert [run_section(SECTIONS[name], finished).status for name in ("qc", "axes")] == [
        "failed",
        "done",
    ]


def test_sections_leave_the_object_as_it_is(drawn, finished):
    used = drawn("quantified")[0]
    pd.testing.assert_frame_equal(used.obs, finished.obs)
    pd.testing.assert_frame_equal(
        used.uns["scdiff"]["fractions"], finished.uns["scdiff"]["fractions"]
    )
    pd.testing.assert_frame_equal(used.obsm["scdiff_evidence"], finished.obsm["scdiff_evidence"])
    assert (used.layers["counts"] != finished.layers["counts"]).nnz == 0


def test_options_come_in_the_order_of_the_steps(finished):
    options = {"report": "", "zebra": "a: 1", "call": "a: 1", "load": "a: 1"}
    finished.uns["scdiff"]["run"]["options"] = options
    tables = {
        table.name: table.frame for table in run_section(SECTIONS["methods"], finished).tables
    }
    assert list(tables["options.csv"]["step"]) == ["load", "call", "zebra"]


def test_options_without_a_value_and_lists_are_said(finished):
    finished.uns["scdiff"]["run"]["options"] = {"load": "samples: null\ncontrol: [a, b]\n"}
    tables = {
        table.name: table.frame for table in run_section(SECTIONS["methods"], finished).tables
    }
    assert list(tables["options.csv"]["value"]) == ["not set", "a, b"]


@pytest.mark.slow
def test_evidence_names_what_has_no_row(drawn):
    section = drawn("not measurable")[1][ORDER.index("evidence")]
    assert any("No row in this matrix: PDX1, INS" in note for note in section.notes)


STATES = ["filtered out by the provider", "present", "absent", "all-zero"]


def test_evidence_shows_the_state_of_every_marker(finished):
    facts = finished.uns["scdiff"]["call"]["pancreatic_progenitor"]
    facts["markers"] = facts["markers"].assign(
        genes=["", "NKX6-1", "", "NEUROG3"], found_as=["", "NKX6A", "", "NEUROG3"], state=STATES
    )
    facts["absent"] = np.array(["PDX1", "INS"])
    section = run_section(SECTIONS["evidence"], finished)
    table = section.tables[1]
    assert table.name == "marker_states.csv"
    assert table.frame["state"].tolist() == STATES
    assert table.view.columns.tolist() == ["marker", "gene", "name in the file", "state"]
    assert table.view.iloc[:2].to_numpy().tolist() == [
        ["PDX1", "\u2013", "\u2013", "filtered out by the provider"],
        ["NKX6-1", "NKX6-1", "NKX6A", "present"],
    ]
    assert (
        "No row in this matrix: PDX1 (filtered out by the provider), INS. Their expression is unknown."
        in section.notes
    )
    assert "state" not in section.tables[0].frame


def test_evidence_of_calls_without_states_has_no_table_of_them(finished):
    assert [table.name for table in run_section(SECTIONS["evidence"], finished).tables] == [
        "markers.csv"
    ]


@pytest.mark.slow
def test_evidence_without_called_cells_has_no_heat_map(drawn):
    names = [figure.name for figure in drawn("not detected")[1][ORDER.index("evidence")].figures]
    assert "evidence_called" not in names
    assert "evidence_strips" in names


def test_evidence_of_a_blind_programme_says_why_and_draws_no_strips(finished):
    finished.obsm["scdiff_evidence"].loc[:, :] = np.nan
    finished.uns["scdiff"]["call"]["pancreatic_progenitor"] |= {
        "measurable": False,
        "reason": "PDX1 has no row.",
    }
    finished.obsm["scdiff_positive"]["pancreatic_progenitor"] = False
    section = run_section(SECTIONS["evidence"], finished)
    assert section.description == "No cell can be called: PDX1 has no row."
    assert [figure.name for figure in section.figures] == [
        "counts_PDX1",
        "counts_NKX6-1",
        "counts_INS",
        "counts_NEUROG3",
    ]
    assert section.notes == ()


def test_levels_of_markers_on_and_off(finished):
    table = run_section(SECTIONS["evidence"], finished).tables[0].frame.set_index("marker")
    counts, depth = (
        finished.layers["counts"][:, 2].toarray().ravel(),
        np.asarray(finished.layers["counts"].sum(axis=1)).ravel(),
    )
    on = finished.obsm["scdiff_evidence"]["pancreatic_progenitor:INS"].to_numpy() > 0
    assert table.loc["INS", "on_cp10k"] == pytest.approx(1e4 * counts[on].sum() / depth[on].sum())
    assert table.loc["INS", "off_cp10k"] == pytest.approx(
        1e4 * counts[~on].sum() / depth[~on].sum()
    )


def test_a_marker_without_a_row_has_no_level(finished):
    section = run_section(SECTIONS["evidence"], finished[:, finished.var_names != "PDX1"].copy())
    assert section.status == "done", section.description
    assert section.tables[0].frame.set_index("marker")["off_cp10k"].isna().to_dict() == {
        "PDX1": True,
        "NKX6-1": False,
        "INS": False,
        "NEUROG3": False,
    }
    assert "counts_PDX1" not in [figure.name for figure in section.figures]


def test_qc_without_mitochondrial_genes_leaves_that_figure_out(finished):
    finished.obs["pct_counts_mt"] = np.nan
    names = [figure.name for figure in run_section(SECTIONS["qc"], finished).figures]
    assert names == ["qc_dropped", "qc_total_counts", "qc_n_genes_by_counts"]


def test_trajectory_says_how_many_cells_are_reached(finished):
    section = run_section(SECTIONS["trajectory"], finished)
    reached = int(finished.obs["dpt_pseudotime"].notna().sum())
    assert f"Pseudotime orders {reached} of 600 cells" in section.description
    assert "The called cells form a component of their own." in section.notes


def test_trajectory_that_reaches_all_says_so(finished):
    finished.obs["dpt_pseudotime"] = 0.5
    assert (
        "Pseudotime orders all 600 cells."
        in run_section(SECTIONS["trajectory"], finished).description
    )


def test_trajectory_without_graph_still_shows_the_map(finished):
    del finished.uns["scdiff"]["trajectory"]["paga"]
    assert [figure.name for figure in run_section(SECTIONS["trajectory"], finished).figures] == [
        "trajectory_pseudotime"
    ]


def _on_the_way(adata, verdict: str) -> dict:
    """Enter a path, its gap, committed cells, days and marker trends."""
    places = np.round(np.arange(-0.2, 1.2, 0.1), 1)
    facts = adata.uns["scdiff"]["trajectory"]
    facts |= {
        "verdict": verdict,
        "gap": {
            "low": 0.15,
            "high": 0.85,
            "n_end": 40.0,
            "density": 0.9,
            "density_low": 0.5,
            "density_high": 1.6,
            "p_continuum": 2e-9,
            "p_separate": 0.43,
            "evidence": -12.0,
            "n_decide": math.nan,
            "third": 0.0,
        },
        "committed": pd.DataFrame(
            {"n_cells": 600, "n_beyond": 60, "committed": 0.12, "low": 0.08, "high": 0.16},
            index=["all"],
        ),
        "path": pd.DataFrame(
            {"position": places, "cells": 40, "start": 10, "end": 5, "doublets": 0.5}
        ),
        "trends": pd.DataFrame(
            {
                "gene": ["PDX1"] * 3,
                "place": [0, 0.5, 1],
                "n_cells": 30,
                "cp10k": [0, 1, 2.0],
                "low": 0.0,
                "high": 3.0,
            }
        ),
        "days": pd.DataFrame(
            {
                "committed": [0.0, 0.2],
                "low": [0.0, 0.1],
                "high": [0.1, 0.3],
                "state:negative": [1, 0.9],
                "state:progenitor": [0, 0.1],
            },
            index=["0", "7"],
        ),
    }
    return facts


def test_trajectory_says_its_verdict_with_both_probabilities_and_the_committed_cells(finished):
    _on_the_way(finished, "continuum")
    section = run_section(SECTIONS["trajectory"], finished)
    assert section.description.startswith("Continuum: cells fill the path")
    assert "(P below 0.001 if doublets alone fill the path.)" in section.description
    assert "0.43" not in section.description
    assert (
        "12 % of cells (95 % interval 8.0-16 %) have left the start population."
        in section.description
    )
    names = [figure.name for figure in section.figures]
    assert names[:3] == ["trajectory_path", "trajectory_genes", "trajectory_days"]
    assert {"trajectory_path.csv", "trajectory_trends.csv", "trajectory_days.csv"} <= {
        table.name for table in section.tables
    }


def _verdict_row(finished):
    tables = {
        table.name: table.frame for table in run_section(SECTIONS["trajectory"], finished).tables
    }
    return tables["trajectory.csv"].to_dict("records")[0]


def test_the_verdict_on_the_path_is_a_table_of_one_row(finished):
    _on_the_way(finished, "continuum")
    assert _verdict_row(finished) == {
        "verdict": "continuum",
        "density": 0.9,
        "density_low": 0.5,
        "density_high": 1.6,
        "p_continuum": 2e-9,
        "p_separate": 0.43,
        "n_end": 40.0,
        "n_decide": pytest.approx(math.nan, nan_ok=True),
    }


def test_the_gap_is_described_in_words(finished):
    facts = _on_the_way(finished, "undecided")
    filled = run_section(SECTIONS["trajectory"], finished).description
    assert "0.9 intermediates (0.5-1.6; 90 % interval)" in filled
    assert "third population" not in filled
    assert "would decide" not in filled
    facts["gap"] |= {"density": 0.0, "density_low": 0.0, "n_decide": 1_230.0, "third": 1.0}
    text = run_section(SECTIONS["trajectory"], finished).description
    assert "0 intermediates (at most 1.6; 90 % interval)" in text
    assert "A third population may lie between" in text
    facts["verdict"] = "separate population"
    sure = run_section(SECTIONS["trajectory"], finished).description
    assert "A third population lies between" in sure
    assert "About 1,230 positive cells would decide." in text


@pytest.mark.parametrize("looked", [True, False])
def test_a_verdict_without_a_gap_has_no_probability(finished, looked):
    facts = _on_the_way(finished, "undecided")
    facts["gap"] = facts["gap"] | {"density": math.nan} if looked else {}
    row = _verdict_row(finished)
    assert row["verdict"] == "undecided"
    assert math.isnan(row["p_continuum"])
    assert math.isnan(row["p_separate"])


def test_a_separate_population_is_named_and_has_no_committed_cells(finished):
    _on_the_way(finished, "separate population")
    description = run_section(SECTIONS["trajectory"], finished).description
    assert "contamination or a mixed-in cell line" in description
    assert "have left the start" not in description


def test_a_difference_of_batches_is_named_and_has_no_committed_cells(finished):
    facts = _on_the_way(finished, "undecided")
    facts["together"] = False
    description = run_section(SECTIONS["trajectory"], finished).description
    assert description.startswith(
        "Undecided: the start and the positive cells are in different samples"
    )
    assert "P 0.43" in description
    assert "have left the start" not in description


def test_an_undecided_way_without_an_end_draws_no_way(finished):
    facts = _on_the_way(finished, "undecided")
    facts |= {"gap": {}, "path": facts["path"].assign(cells=0), "days": facts["days"].iloc[:0]}
    section = run_section(SECTIONS["trajectory"], finished)
    assert section.description.startswith("Undecided: too few positive cells")
    assert not {"trajectory_path", "trajectory_genes", "trajectory_days"} & {
        figure.name for figure in section.figures
    }


def test_programmes_take_the_positive_state_of_each(finished):
    table = run_section(SECTIONS["programs"], finished).tables[0].frame
    assert table.groupby("program", sort=False)["state"].first().to_dict() == {
        "pancreatic_progenitor": "progenitor_like",
        "il10": "positive",
        "vegf": "positive",
        "hgf": "positive",
        "msc_identity": "positive",
    }


def test_axes_say_why_a_gene_is_not_measurable(finished):
    section = run_section(SECTIONS["axes"], finished)
    assert section.notes == (
        "IL10: not measurable, IL10 has no row in this matrix.",
        "endothelium: not measurable, because the profile has no row or the species has no such gene: Flt1.",
        "endothelium: mouse cells, matched by orthologous genes.",
    )


def test_axes_say_a_reason_that_many_genes_share_once(finished):
    table = finished.uns["scdiff"]["axes"]
    own = (table["where"] == "batch") & table["gene"].isin(["KDR", "FLT1"])
    table.loc[own, "verdict"] = "not measurable"
    table.loc[own, "reason"] = "no row for " + table["gene"] + " in the matrix"
    notes = run_section(SECTIONS["axes"], finished).notes
    assert notes[0] == "KDR, FLT1: not measurable, no row for them in the matrix."


def test_axes_put_the_batch_beside_the_receivers(finished):
    section = run_section(SECTIONS["axes"], finished)
    assert [figure.name for figure in section.figures] == ["axes_batch", "axes_receivers"]
    assert "endothelium, 139 cells (mouse)" in section.figures[1].caption
    view = section.tables[0].view.set_index("ligand \N{RIGHTWARDS ARROW} receptor")
    row = view.loc["VEGFA \N{RIGHTWARDS ARROW} KDR"]
    assert row.tolist() == ["45 % (36-54 %)", "[0 % (0-0.30 %)]", "[2.0 %]"]
    assert view.loc["VEGFA \N{RIGHTWARDS ARROW} FLT1", "receptor, endothelium"] == "no row"
    assert view.loc["IL10 \N{RIGHTWARDS ARROW} IL10RA", "ligand, batch (95 %)"] == "no row"


def test_axes_show_the_strongest_interactions_where_groups_were_run(finished):
    assert [table.name for table in run_section(SECTIONS["axes"], finished).tables] == ["axes.csv"]
    ranks = {"magnitude_rank": np.linspace(0, 1, 30), "specificity_rank": 0.012}
    facts = {
        "ligand_fraction": 0.5,
        "receptor_fraction": 0.041,
        "n_sender": 10.0,
        "n_receiver": 20.0,
    }
    found = pd.DataFrame(
        {"sender": "a", "receiver": "b", "ligand": "CXCL12", "receptor": "CXCR4", **ranks, **facts}
    )
    finished.uns["scdiff"]["interactions"] = found
    table = run_section(SECTIONS["axes"], finished).tables[1]
    assert (table.name, len(table.frame), len(table.view)) == ("interactions.csv", 30, 20)
    assert table.caption.startswith("All against all")
    assert table.view.iloc[0].tolist() == ["a", "b", "CXCL12 (50 %)", "CXCR4 (4.1 %)", "0", "0.012"]


def test_fractions_not_measurable_show_no_number(drawn):
    view = drawn("not measurable")[1][ORDER.index("fractions")].tables[0].view
    assert set(view["prevalence (95 %)"]) == set(view["raw (95 %)"]) == {"\N{EN DASH}"}


def test_methods_list_options_versions_and_hashes(finished):
    section = run_section(SECTIONS["methods"], finished)
    tables = {table.name: table.frame for table in section.tables}
    assert tables["options.csv"].to_dict("records")[1] == {
        "step": "qc",
        "option": "n_mads",
        "value": "5.0",
    }
    assert tables["input_files.csv"]["sha256"].str.len().eq(64).all()
    assert dict(tables["versions.csv"].itertuples(index=False))["scanpy"] == "1.11.5"
    assert "Repaired: 2 duplicate symbols were made unique." in section.notes


def test_methods_say_that_options_were_not_recorded(finished):
    del finished.uns["scdiff"]["run"]
    section = run_section(SECTIONS["methods"], finished)
    assert any("options were not recorded" in note for note in section.notes)
    versions = next(table for table in section.tables if table.name == "versions.csv").frame
    assert dict(versions.itertuples(index=False))["scdiff"] == scdiff.__version__
    assert dict(versions.itertuples(index=False))["anndata"] == metadata.version("anndata")


def test_a_large_figure_becomes_a_png():
    rng = np.random.default_rng(0)
    small = picture("a", lambda ax: ax.scatter([1], [2]).axes, caption="c", alt="a", table="t.csv")
    large = picture(
        "b",
        lambda ax: ax.scatter(*rng.random((2, 6000)), c=rng.random(6000)).axes,
        caption="c",
        alt="a",
        table="t.csv",
    )
    assert (small.suffix, large.suffix) == ("svg", "png")
    assert len(small.image) < MAX_SVG_BYTES
    assert large.image.startswith(b"\x89PNG")


def test_a_figure_is_the_same_each_time():
    one, two = (
        picture(
            "a", lambda ax: ax.plot([1, 2], label="$x_1$")[0].axes, caption="", alt="", table=""
        )
        for _ in range(2)
    )
    assert one.image == two.image


def test_labels_are_never_read_as_formulas():
    drawn = picture(
        "a/b",
        lambda ax: ax.text(0.1, 0.1, "cost $5 and $6_ <b>").axes,
        caption="",
        alt="",
        table="",
    )
    assert b"cost $5 and $6_ &lt;b&gt;" in drawn.image
    assert drawn.name == "a_b"


def test_keys_named_by_the_sections_are_keys():
    assert all(key in keys.KEYS for card in CARDS for key in card.facts["reads"])
    assert Section("a", "b", "c").status == "done"


def test_the_page_says_how_many_finds_chance_is_expected_to_give():
    verdicts = ["quantified", "detected", "quantified", "not detected", "not measurable"]
    pooled = pd.DataFrame({"program": ["main", "a", "b", "c", "d"], "verdict": verdicts})
    said = "In addition to the main programme, 3 programmes are measured and 2 detected; at most 0.1 of these are expected by chance"
    assert said in by_chance(pooled, "main")
    assert by_chance(pooled.assign(verdict="not detected"), "main") == ""
