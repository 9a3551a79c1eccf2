"""The sections on dose and donors: numbers, words, pictures, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from donor_rows import variation
from matplotlib.figure import Figure

from scdiff.errors import ConfigError
from scdiff.report import report
from scdiff.report.plots.donors import donor_strip
from scdiff.report.plots.dose import dose_dots
from scdiff.report.section import run_section
from scdiff.report.sections import SECTIONS
from scdiff.report.text import large
from scdiff.report.verdict import dose_sentence, main_row, verdict_sentence
from scdiff.steps.dose import COLUMNS, dose
from scdiff.steps.fraction.donors import VALUES, VARIATION

MAIN = "pancreatic_progenitor"
DASH = "\N{EN DASH}"


def section_of(name, adata):
    """A section that was done."""
    section = run_section(SECTIONS[name], adata)
    assert section.status == "done", section.description
    return section


def with_dose(adata, **options):
    adata.uns["scdiff"]["dose"] = dose(adata, **options)
    return adata


# --- dose -----------------------------------------------------------------------------------------------------------


def test_the_columns_of_both_files_are_the_interface(finished):
    assert tuple(section_of("dose", finished).tables[0].frame.columns) == COLUMNS
    donors, values = section_of("donors", finished).tables
    assert (donors.name, values.name) == ("donors.csv", "donor_values.csv")
    assert tuple(donors.frame.columns) == VARIATION
    assert tuple(values.frame.columns) == VALUES
    assert COLUMNS[6:10] == ("weight_kg", "cells", "cells_low", "cells_high")
    assert VARIATION[:4] == ("program", "state", "n_donors", "n_samples")


@pytest.mark.parametrize("verdict", ["quantified", "detected", "not detected"])
def test_table_headline_and_section_say_the_same_numbers(batch, verdict):
    adata = with_dose(batch(verdict), cells=50e6, viability=0.9, weight_kg=70)
    row = main_row(adata)
    (found,) = (
        adata.uns["scdiff"]["dose"]
        .query("program == @MAIN and state == 'progenitor_like' and sample == 'all'")
        .to_dict("records")
    )
    said = dose_sentence(row)
    assert said in section_of("dose", adata).description
    assert said.startswith(
        "A dose of 50 million cells, 90 % of them viable, is expected to contain "
    )
    if verdict == "not detected":
        assert (
            f"at most {large(found['cells_high'])} positive cells, at most {large(found['cells_per_kg_high'])} per kg"
            in said
        )
        assert (
            f"at most {large(found['cells_high'])} cells in a dose of 50 million, 90 % of them viable."
            in verdict_sentence(row)
        )
        assert np.isnan([found["cells"], found["cells_low"], found["cells_per_kg"]]).all()
    else:
        ends = f"(95 % interval {large(found['cells_low'])} to {large(found['cells_high'])})"
        assert (
            f"about {large(found['cells'])} positive cells {ends}, about {large(found['cells_per_kg'])} per kg."
            in said
        )
        assert found["cells"] == pytest.approx(row["prevalence"] * 45e6)


def test_a_larger_blank_is_the_bound_in_table_headline_and_section(batch):
    adata = batch("not detected")
    adata.uns["scdiff"]["fractions"]["lob"] = 0.03
    with_dose(adata)
    (found,) = (
        adata.uns["scdiff"]["dose"]
        .query("program == @MAIN and state == 'progenitor_like' and sample == 'all'")
        .to_dict("records")
    )
    assert (found["bound"], found["cells_high"]) == ("lob", pytest.approx(2.4e6))
    assert (
        "at most 3.0 % (limit of blank), i.e. at most 2.4 million cells in a dose of 80 million."
        in verdict_sentence(main_row(adata))
    )
    view = section_of("dose", adata).tables[0].view
    assert view["cells (95 %)"].iloc[0] == "at most 2.4 million (limit of blank)"


def test_not_measurable_stays_so(batch):
    adata = batch("not measurable")
    table = adata.uns["scdiff"]["dose"]
    rows = table[table["verdict"] == "not measurable"]
    assert len(rows) > 5
    assert rows[["cells", "cells_low", "cells_high"]].isna().all(axis=None)
    assert set(rows["bound"]) == {""}
    section = section_of("dose", adata)
    assert section.tables[0].view["cells (95 %)"].iloc[0] == DASH
    assert section.description == "Expected number of cells of each state in a dose."


def test_the_view_holds_all_samples_together_and_no_control(finished):
    view = section_of("dose", finished).tables[0].view
    assert set(view["sample"]) == {"all", "donor A", "donor B"}
    assert "per kg (95 %)" not in view
    weighed = with_dose(finished, weight_kg=70)
    section = section_of("dose", weighed)
    assert "at a body weight of 70 kg" in section.description
    assert "per kg (95 %)" in section.tables[0].view


def test_the_assumptions_stand_beside_the_numbers(finished):
    notes = " ".join(section_of("dose", finished).notes)
    for word in (
        "drawn at random",
        "captured",
        "transcripts",
        "freezing",
        "interval",
        "over donors",
        "viability",
    ):
        assert word in notes


def test_a_dose_without_blank_falls_back_to_the_raw_bound(finished):
    table = finished.uns["scdiff"]["fractions"]
    table[["prevalence", "prevalence_low", "prevalence_high"]] = np.nan
    table["verdict"], table["lob"] = "not detected", np.nan
    found = dose(finished)
    assert set(found["bound"]) == {"fraction_high"}
    assert found["cells_high"].tolist() == pytest.approx((table["fraction_high"] * 80e6).tolist())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"viability": 0.0}, "'viability' is 0.0"),
        ({"viability": 95}, "'viability' is 95"),
        ({"weight_kg": 0}, "'weight_kg' is 0"),
    ],
)
def test_options_out_of_range_are_refused_before_anything_is_written(
    options, said, finished, tmp_path
):
    with pytest.raises(ConfigError, match=said) as raised:
        report(finished, out=tmp_path / "out", **options)
    assert len(str(raised.value).splitlines()) == 1
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match=said):
        dose(finished, **options)


@pytest.mark.parametrize("cells", [0, float("nan"), float("inf"), -1])
def test_a_dose_of_no_cells_is_refused(finished, cells):
    with pytest.raises(ConfigError, match="option 'cells' is"):
        dose(finished, cells=cells)


def test_dots_arrows_and_words_stand_in_their_rows():
    ax = Figure().add_subplot()
    rows = pd.DataFrame(
        {
            "label": list("abc"),
            "colour": "#0072b2",
            "verdict": ["quantified", "not detected", "not measurable"],
            "cells": [3e6, np.nan, np.nan],
            "cells_low": [0.0, np.nan, np.nan],
            "cells_high": [8e6, 59_000.0, np.nan],
        }
    )
    assert dose_dots(rows, ax, most=80e6, n_first=2) is ax
    assert ax.get_xscale() == "log"
    low, high = ax.get_xlim()
    assert 1_000 <= low < 59_000
    assert high > 80e6
    assert [text.get_text() for text in ax.texts] == ["", "not measurable"]
    arrow = ax.texts[0]
    assert arrow.xy[0] < arrow.xyann[0] == 59_000
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]
    assert all(low <= x for line in ax.lines for x in line.get_xdata() if line.get_marker() == "o")


def test_dots_of_nothing_but_the_unmeasurable_are_drawn():
    rows = pd.DataFrame(
        [
            {
                "label": "a",
                "colour": "k",
                "verdict": "not measurable",
                "cells": np.nan,
                "cells_low": np.nan,
                "cells_high": np.nan,
            }
        ]
    )
    ax = dose_dots(rows, Figure().add_subplot(), most=80e6)
    assert ax.texts[0].get_text() == "not measurable"


# --- donors ---------------------------------------------------------------------------------------------------------


def test_one_donor_is_a_section_that_was_not_run_with_its_tables(finished):
    finished.uns["scdiff"]["donors"] = variation([0.05])
    section = run_section(SECTIONS["donors"], finished)
    assert (section.status, section.figures) == ("not run", ())
    assert section.description.startswith(
        "1 donor for the variation between donors, and at least 2 are needed: the cells of one donor do not show"
    )
    assert [(table.name, table.shown) for table in section.tables] == [
        ("donors.csv", False),
        ("donor_values.csv", False),
    ]


def test_the_section_says_range_rho_and_donors_needed(finished):
    section = section_of("donors", finished)
    row = finished.uns["scdiff"]["donors"]["variation"].iloc[0]
    assert "Over 2 donors, " in section.description
    assert " % of cells are pancreatic-progenitor-like; rho " in section.description
    assert (
        f"per group to detect a doubling: {row['donors_for_change']:,.0f} (" in section.description
    )
    assert section.notes[0].startswith("No donors are declared")
    assert section.notes[1].startswith("With fewer than 5 donors")


def test_more_donors_than_are_planned_are_said_in_words(finished):
    finished.uns["scdiff"]["donors"]["variation"]["donors_for_change_high"] = 0.0
    assert "to more than 10,000)" in section_of("donors", finished).description


def test_a_main_programme_without_variation_says_why(batch):
    section = section_of("donors", batch("not measurable"))
    assert (
        "No variation is reported for cells that are pancreatic-progenitor-like: PDX1 and INS have no row in this matrix."
        in section.description
    )
    view = section.tables[0].view.set_index("programme")
    assert view.loc[MAIN, "rho (95 %)"] == DASH
    assert view.loc["vegf", "rho (95 %)"] != DASH


def test_declared_donors_and_many_of_them_need_no_note(finished):
    finished.obs["donor"] = finished.obs["sample"]
    finished.uns["scdiff"]["donors"] = variation([0.05, 0.06, 0.1, 0.08, 0.02])
    assert section_of("donors", finished).notes == ()


def test_the_strip_has_a_dot_per_donor():
    tables = variation([0.01, 0.05, 0.15])
    ax = Figure().add_subplot()
    assert donor_strip(tables["values"], tables["variation"], ax) is ax
    (dots,) = [line for line in ax.lines if line.get_marker() == "o"]
    assert dots.get_xdata().tolist() == pytest.approx([1, 5, 15])
    assert len(ax.patches) == 1
