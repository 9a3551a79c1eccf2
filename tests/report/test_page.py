import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from scdiff.report.page import MAX_ROWS, figure_html, render_page, table_cells, verdict_card
from scdiff.report.section import picture, run_section
from scdiff.report.sections import SECTIONS

EVIL = '<script>alert("x")</script>&'


class Tags(HTMLParser):
    """Collects tags, ids and references."""

    def __init__(self):
        super().__init__()
        self.tags, self.ids, self.references, self.images = [], [], [], []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append(tag)
        self.ids.extend([values["id"]] if values.get("id") else [])
        self.references.extend(
            (tag, name, value)
            for name, value in values.items()
            if name in {"src", "href", "xlink:href", "action", "srcset"}
        )
        if tag in {"img", "svg", "canvas"}:
            self.images.append(values)


def page_of(adata, *names):
    return render_page(adata, [run_section(SECTIONS[name], adata) for name in names])


def parsed(text):
    reader = Tags()
    reader.feed(text)
    return reader


@pytest.fixture
def page(drawn):
    return render_page(*drawn("quantified"))


def test_a_population_that_stands_apart_is_said_at_the_top(finished):
    finished.uns["scdiff"]["trajectory"]["verdict"] = "separate population"
    assert (
        "The positive cells are separate from all other cells"
        in verdict_card(finished)["explanation"]
    )
    del finished.uns["scdiff"]["trajectory"]
    assert "separate" not in verdict_card(finished)["explanation"]


def test_the_verdict_comes_first(page):
    body = page[page.index("<main") :]
    assert (
        body.index("quantified")
        < body.index("12 % of cells are pancreatic-progenitor-like")
        < body.index("Quality control")
    )
    assert "For research use only. The tool measures transcripts" in page


def test_nothing_is_fetched(page):
    outside = [item for item in parsed(page).references if not item[2].startswith(("#", "data:"))]
    assert outside == []
    assert "@import" not in page
    assert not re.findall(r"url\((?!#)", page)


def test_ids_are_unique_and_links_lead_somewhere(page):
    reader = parsed(page)
    assert len(reader.ids) == len(set(reader.ids))
    targets = [value[1:] for _, _, value in reader.references if value.startswith("#")]
    assert set(targets) <= set(reader.ids)
    assert len(targets) > 8


def test_every_image_has_words(page):
    images = parsed(page).images
    assert len(images) > 15
    assert all(
        image.get("alt") or image.get("aria-label")
        for image in images
        if not image.get("id", "").startswith("inner")
    )


@pytest.mark.slow
@pytest.mark.parametrize("verdict", ["quantified", "detected", "not detected", "not measurable"])
def test_every_verdict_renders(verdict, drawn):
    text = render_page(*drawn(verdict))
    assert f'class="verdict {verdict.replace(" ", "-")}"' in text
    assert "Failed:" not in text


def test_reads_are_said_at_the_top_and_other_notes_under_methods(finished):
    finished.uns["scdiff"]["input"] |= {
        "technology": "reads",
        "notes": np.array(["Counts were taken from X."]),
    }
    text = page_of(finished, "axes", "methods")
    assert (
        text.index("sequencing reads, not UMI")
        < text.index("Signalling axes")
        < text.index("Counts were taken from X.")
    )


def test_umi_need_no_warning(finished):
    assert verdict_card(finished)["alerts"] == ["At nominal 5 % the rate is off."]


def test_missing_parts_are_shown_as_not_run(finished):
    del finished.uns["scdiff"]["axes"]
    del finished.obsm["X_umap"]
    text = page_of(finished, "clusters", "trajectory", "axes")
    assert text.count("<strong>Not run:</strong>") == 3
    assert "the step &#39;communicate&#39; writes it" in text
    assert "map-data" not in text


def test_a_failed_part_is_shown_and_the_rest_stands(finished):
    finished.uns["scdiff"]["qc"] = {}
    text = page_of(finished, "qc", "axes")
    assert "<strong>Failed:</strong> KeyError" in text
    assert '<h2 id="axes-head">Signalling axes</h2>' in text


def test_names_with_markup_are_escaped(finished):
    finished.obs_names = [EVIL, *finished.obs_names[1:]]
    finished.obs["sample"] = finished.obs["sample"].cat.rename_categories({"donor A": EVIL})
    finished.uns["scdiff"]["fractions"] = finished.uns["scdiff"]["fractions"].replace(
        {"sample": {"donor A": EVIL}}
    )
    finished.uns["scdiff"]["qc"]["dropped"].index = [EVIL, "donor B", "medium control"]
    finished.uns["scdiff"]["trajectory"]["root_cell"] = EVIL
    text = page_of(finished, "qc", "clusters", "fractions", "trajectory")
    assert "alert(" in text
    assert "<script>alert" not in text
    assert parsed(text).tags.count("script") == 2


def test_not_measurable_shows_no_fraction_in_the_card(batch):
    facts = {name: value for name, value, _ in verdict_card(batch("not measurable"))["facts"]}
    assert {facts[name] for name in ("Called, raw", "LOB", "LOD", "LLOQ")} == {"\N{EN DASH}"}


def test_facts_of_the_card(finished):
    facts = {name: (value, meaning) for name, value, meaning in verdict_card(finished)["facts"]}
    assert facts["Cells"][0] == "600"
    assert facts["Controls"] == ("medium control", "200 cells, none expected to be positive")
    assert facts["LOD"][0] == "0.80 %"
    del finished.obs["control"]
    facts = {name: value for name, value, _ in verdict_card(finished)["facts"]}
    assert facts["Controls"] == "none"


def test_many_samples_are_not_all_named_in_the_title(batch):
    adata = batch()
    adata.obs["sample"] = pd.Categorical([f"s{index % 6}" for index in range(adata.n_obs)])
    assert verdict_card(adata)["title"] == "s0, s1, s2 and 3 more"


def test_figures_follow_the_page_and_keep_their_marks_apart():
    drawn = picture(
        "one", lambda ax: ax.plot([1, 2], marker="o")[0].axes, caption="", alt='a "b"', table=""
    )
    text = str(figure_html(drawn))
    assert text.startswith('<svg role="img" aria-label="a &#34;b&#34;" style="max-width:')
    assert "var(--ink)" in text
    assert "#1c2430" not in text
    assert all(name.startswith("one-") for name in re.findall(r'\bid="([^"]*)"', text))
    assert "height=" not in text[: text.index(">")]


def test_large_figures_are_embedded_on_a_plate():
    rng = np.random.default_rng(0)
    drawn = picture(
        "b",
        lambda ax: ax.scatter(*rng.random((2, 6000)), c=rng.random(6000)).axes,
        caption="",
        alt="many",
        table="",
    )
    assert str(figure_html(drawn)).startswith(
        '<img class="plate" alt="many" src="data:image/png;base64,'
    )


def test_cells_of_tables_are_said_for_readers():
    frame = pd.DataFrame(
        {
            "a": [1234567],
            "b": [0.123456],
            "c": [np.nan],
            "d": [True],
            "e": ["x"],
            "f": ["4.1 % (3-5 %)"],
            "g": [123456.7],
        }
    )
    dash = "\N{EN DASH}"
    assert table_cells(frame) == [
        [
            ("1,234,567", True),
            ("0.1235", True),
            (dash, True),
            ("yes", False),
            ("x", False),
            ("4.1 % (3-5 %)", True),
            ("123,457", True),
        ]
    ]


def test_cluster_names_are_names_not_numbers():
    assert table_cells(pd.DataFrame({"cluster": ["10"]})) == [[("10", False)]]


def test_long_tables_are_cut_and_say_so(finished):
    files = pd.DataFrame(
        {"path": [f"f{index}" for index in range(MAX_ROWS + 5)]},
        index=[f"s{index}" for index in range(MAX_ROWS + 5)],
    )
    finished.uns["scdiff"]["input"]["files"] = files
    text = page_of(finished, "methods")
    assert f"The first {MAX_ROWS} of {MAX_ROWS + 5} rows." in text
    assert f"<td>f{MAX_ROWS - 1}</td>" in text
    assert f"<td>f{MAX_ROWS}</td>" not in text
