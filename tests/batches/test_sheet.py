"""The sheet in a real browser: one A4 page each, nothing cut off, nothing leaves it."""

from __future__ import annotations

import re

import pytest
from run_folders import fraction_row

from scdiff.batches.release import release_batches

PAPER = {"width": 703, "height": 1047}
"""A4 less its margins, in CSS pixels."""


@pytest.mark.slow
def test_each_sheet_prints_on_one_page_without_cut_offs(browser, make_result, tmp_path) -> None:
    proteins = ("NT5E", "THY1", "ENG", "PTPRC", "CD34", "CD14", "ITGAM", "CD79A", "CD19", "HLA_DRA")
    rows = [fraction_row(), fraction_row(state="beta_like")]
    rows += [
        fraction_row(
            program=f"isct_{name}", state=f"{name}_positive", lod=0.03, prevalence_high=0.97
        )
        for name in proteins
    ]
    lot = make_result("lot", *rows, n_cells=600)
    release_batches(
        [lot],
        ["isct", "wj_msc", "progenitor_yield"],
        tmp_path / "out",
        batches=["a name without any space " + "x" * 60],
    )
    page = browser.new_page(viewport=PAPER)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto((tmp_path / "out" / "release.html").as_uri())
    pdf = page.pdf(prefer_css_page_size=True, print_background=True)
    for width in (390, 703, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert (
            page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            == 0
        )
    page.close()
    assert len(re.findall(rb"/Type\s*/Page[^s]", pdf)) == 3
    assert all(url.startswith(("file:", "data:")) for url in requests)
