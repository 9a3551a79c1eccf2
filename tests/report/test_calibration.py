"""The calibration section: what it draws and tables, and what it says where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from scdiff.report.plots.calibration import qq_lines
from scdiff.report.section import run_section
from scdiff.report.sections import SECTIONS

CARD = next(card for card in SECTIONS.cards() if card.name == "calibration")
MAIN = "pancreatic_progenitor"


def test_lines_are_the_shares_in_percent(finished):
    qq = finished.uns["scdiff"]["call"][MAIN]["calibration"]["qq"]
    matched, own = (qq[qq["null"] == name] for name in ("matched", "programme"))
    ax = Figure().add_subplot()
    assert qq_lines(matched, ax, programme=own) is ax
    lines = {line.get_label(): line for line in ax.lines}
    np.testing.assert_allclose(lines["all cells"].get_ydata(), 100 * matched["overall"])
    np.testing.assert_allclose(lines["deepest quarter"].get_ydata(), 100 * matched["quartile_4"])
    np.testing.assert_allclose(lines["this programme"].get_ydata(), 100 * own["overall"])
    np.testing.assert_allclose(lines["all cells"].get_xdata(), 100 * matched["nominal"])
    assert "(%)" in ax.get_xlabel()
    assert "(%)" in ax.get_ylabel()
    assert "this programme" not in {
        line.get_label() for line in qq_lines(matched, Figure().add_subplot()).lines
    }


def test_tables_hold_rates_levels_and_blanks(finished):
    section = run_section(CARD, finished)
    rates, levels, blanks = section.tables
    assert rates.frame.columns.tolist() == [
        "null",
        "overall",
        "quartile_1",
        "quartile_2",
        "quartile_3",
        "quartile_4",
    ]
    assert rates.frame["null"].tolist() == ["matched", "background", "programme"]
    assert "all cells (%)" in rates.view.columns
    assert not levels.shown
    assert blanks.view.loc[0].tolist() == ["40", "0.10", "0.19", "0.20"]
    assert section.notes == ("At nominal 5 % the rate is off.",)
    assert "1,000 sets" in section.description


def test_without_blanks_there_is_no_table_of_them(finished):
    adata = finished.copy()
    record = adata.uns["scdiff"]["call"][MAIN]["calibration"]
    adata.uns["scdiff"]["call"][MAIN]["calibration"] = record | {
        "blank": record["blank"][:0],
        "limit_of_blank": float("nan"),
    }
    assert [table.name for table in run_section(CARD, adata).tables] == [
        "calibration.csv",
        "calibration_levels.csv",
    ]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (None, "The step 'call' ran with null_sets = 0, which skips the calibration."),
        ({"notes": np.array(["5 genes are too few."])}, "5 genes are too few."),
    ],
)
def test_a_run_without_calibration_says_why(finished, record, words):
    adata = finished.copy()
    facts = dict(adata.uns["scdiff"]["call"][MAIN])
    del facts["calibration"]
    adata.uns["scdiff"]["call"][MAIN] = facts if record is None else facts | {"calibration": record}
    section = run_section(CARD, adata)
    assert (section.status, section.description, section.figures) == ("not run", words, ())
