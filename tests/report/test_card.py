"""The card of a result, and the name under which a notebook finds it."""

from __future__ import annotations

import subprocess
import sys
from xml.etree import ElementTree as ET

import anndata as ad
import numpy as np
import pytest

import scdiff
from scdiff.report.card import card_html, card_text
from scdiff.report.verdict import main_row


def test_the_card_says_sentence_limits_and_markers(finished):
    text = card_text(finished)
    row = main_row(finished)
    assert "of cells are pancreatic-progenitor-like" in text
    assert f"{int(row['n_called'])} of {int(row['n_cells'])} cells called" in text
    assert "LOB" in text
    assert "LOD" in text
    positive = int(finished.obsm["scdiff_positive"]["pancreatic_progenitor"].sum())
    seen = int(
        (
            finished.obsm["scdiff_evidence"]["pancreatic_progenitor:INS"][
                finished.obsm["scdiff_positive"]["pancreatic_progenitor"]
            ]
            > 0
        ).sum()
    )
    assert f"Of {positive} positive cells: " in text
    assert f"INS in {seen}" in text


def test_the_interval_is_drawn_against_the_limits(finished):
    html = card_html(finished)
    drawing = ET.fromstring(html[html.index("<svg") : html.index("</svg>") + 6])
    assert [text.text for text in drawing.iter("text")][-2:] == ["LOB", "LOD"]
    bar, point = next(drawing.iter("rect")), next(drawing.iter("circle"))
    low, width = float(bar.get("x")), float(bar.get("width"))
    assert low <= float(point.get("cx")) <= low + width
    lines = [float(line.get("x1")) for line in drawing.iter("line")][1:]
    row = main_row(finished)
    assert (lines[0] < lines[1]) == (row["lob"] < row["lod"])


def test_names_of_the_owner_cannot_break_the_page(finished):
    finished.uns["scdiff"]["call"]["pancreatic_progenitor"]["reason"] = ""
    pooled = finished.uns["scdiff"]["fractions"]["sample"] == "all"
    finished.uns["scdiff"]["fractions"].loc[pooled, "verdict"] = "inconclusive"
    finished.uns["scdiff"]["fractions"].loc[pooled, "reason"] = "<script>alert(1)</script>"
    html = card_html(finished)
    assert "<script>" not in html
    assert "<svg" not in html


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        (("fractions",), "Next: scdiff.tl.fraction(adata)"),
        (("fractions", "call"), "Next: scdiff.tl.call(adata)"),
        (("fractions", "call", "input"), "scdiff.pp.prepare(adata)"),
    ],
)
def test_an_unfinished_object_says_what_comes_next(finished, lost, said):
    for name in lost:
        del finished.uns["scdiff"][name]
    assert said in card_text(finished)
    assert said in card_html(finished)


def test_a_table_without_the_main_row_is_no_crash(finished):
    finished.uns["scdiff"]["fractions"] = finished.uns["scdiff"]["fractions"].iloc[:0]
    assert "run fraction again" in card_text(finished)


def test_no_positive_cell_has_no_markers(finished):
    finished.obsm["scdiff_positive"].loc[:, :] = False
    assert "positive cells" not in card_text(finished)


def test_the_namespace_reads_the_same_results(finished, tmp_path):
    assert finished.scdiff.fractions(sample="all").equals(
        scdiff.get.fractions(finished, sample="all")
    )
    assert finished.scdiff.obs_df(["positive"]).equals(scdiff.get.obs_df(finished, ["positive"]))
    assert finished.scdiff._repr_html_() == card_html(finished)
    assert repr(finished.scdiff) == card_text(finished)


def test_the_namespace_writes_the_page(finished, tmp_path, no_figures):
    finished.scdiff.report(tmp_path / "out.html")
    assert (tmp_path / "out.html").is_file()


def test_an_object_that_scdiff_has_not_seen_has_the_name():
    assert "scdiff.pp.prepare(adata)" in repr(ad.AnnData(np.ones((2, 2))).scdiff)


ORDERS = """
import scdiff.pp, sys
assert "anndata" not in sys.modules
import anndata
scdiff.pp.prepare
assert hasattr(anndata.AnnData, "scdiff")
import importlib
importlib.reload(scdiff)
"""


def test_the_name_is_there_in_either_order_of_imports_and_without_a_warning():
    subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", ORDERS], check=True)
