"""The page in a real browser: nothing leaves it, nothing breaks, it fits a phone."""

import pytest

from scdiff.report.page import render_page
from scdiff.report.section import run_section
from scdiff.report.sections import SECTIONS


@pytest.fixture
def visit(browser, published):
    """Opens the report of a verdict or the page at a path; remembers console errors and requests."""
    opened = []

    def visit(verdict="quantified", *, path=None, width=1280, scheme="light"):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.errors, page.requests = [], []
        page.on(
            "console",
            lambda message: (
                page.errors.append(message.text) if message.type in {"error", "warning"} else None
            ),
        )
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("request", lambda request: page.requests.append(request.url))
        page.goto((path or published(verdict) / "report.html").as_uri())
        opened.append(page)
        return page

    yield visit
    for page in opened:
        page.close()


def overflow(page):
    return page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )


@pytest.mark.slow
@pytest.mark.parametrize("verdict", ["quantified", "not detected", "not measurable"])
def test_the_verdict_is_seen_first_and_nothing_leaves_the_page(visit, verdict):
    page = visit(verdict)
    sentence = {
        "quantified": "% of cells are pancreatic-progenitor-like",
        "not detected": "Not detected: 0 of",
        "not measurable": "Not measurable: PDX1",
    }
    heading = page.locator("h1")
    assert sentence[verdict] in heading.inner_text()
    assert heading.bounding_box()["y"] < 500
    assert page.errors == []
    assert [url for url in page.requests if not url.startswith(("file:", "data:"))] == []
    assert len([url for url in page.requests if url.startswith("file:")]) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_and_can_be_read(visit, width, scheme):
    page = visit(width=width, scheme=scheme)
    assert overflow(page) == 0
    assert page.errors == []
    assert contrast(page, "h1") > 7
    assert contrast(page, ".plain") > 4.5
    assert contrast(page, "figcaption") > 4.5
    assert contrast(page, ".number") > 4.5


def contrast(page, selector):
    """Contrast ratio of the text of ``selector`` against the card behind it, as WCAG defines it."""
    script = """([text, card]) => [
        getComputedStyle(document.querySelector(text)).color, getComputedStyle(document.querySelector(card)).backgroundColor]"""
    light = sorted(
        _luminance(text)
        for text in page.evaluate(
            script, [selector, ".part" if selector == "figcaption" else ".verdict"]
        )
    )
    return (light[1] + 0.05) / (light[0] + 0.05)


def _luminance(text):
    parts = [float(part) / 255 for part in text[text.index("(") + 1 : -1].split(",")[:3]]
    linear = [
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_figures_keep_their_natural_size_on_a_phone(visit):
    page = visit(width=390)
    widths = page.evaluate(
        "[...document.querySelectorAll('.figures svg')].map(svg => svg.getBoundingClientRect().width)"
    )
    assert len(widths) > 15
    assert min(widths) > 300


def hover(page):
    """Move over the map until a cell is met."""
    canvas = page.locator("#map-canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    for row in range(int(box["height"] / 2), int(box["height"]), 20):
        for column in range(int(box["width"] / 4), int(box["width"]), 9):
            page.mouse.move(box["x"] + column, box["y"] + row)
            if page.locator("#map-tip").is_visible():
                return page.locator("#map-tip").inner_text()
    return ""


def test_hover_shows_the_cell(visit, finished):
    page = visit()
    lines = hover(page).splitlines()
    assert lines[0] in set(finished.obs_names)
    cell = finished.obs.loc[lines[0]]
    assert f"state: {cell['scdiff_state']}" in lines
    assert f"sample: {cell['sample']}" in lines
    assert f"total counts: {cell['total_counts']:,.0f}" in [
        line.replace("\u202f", ",") for line in lines
    ]


def test_a_name_with_markup_is_text_in_the_tooltip(visit, finished, tmp_path):
    finished.obs_names = [f"<img src=x onerror=alert({index})>" for index in range(finished.n_obs)]
    path = tmp_path / "page.html"
    path.write_text(
        render_page(finished, [run_section(SECTIONS["clusters"], finished)]), encoding="utf-8"
    )
    page = visit(path=path)
    assert hover(page).startswith("<img src=x onerror=alert(")
    assert page.errors == []
    assert page.locator("#map-tip img").count() == 0


def test_colours_can_be_chosen_and_levels_singled_out(visit):
    page = visit()
    picture = "document.getElementById('map-canvas').toDataURL()"
    states = page.evaluate(picture)
    page.select_option("#map-field", "cluster")
    clusters = page.evaluate(picture)
    assert clusters != states
    assert page.locator("#map-legend button").count() == 4
    page.locator("#map-legend button").first.click()
    assert page.locator("#map-legend button[aria-pressed=true]").count() == 1
    assert page.evaluate(picture) != clusters
    page.select_option("#map-field", "pseudotime")
    assert "grey: no value" in page.locator("#map-legend").inner_text()


def test_the_map_can_be_read_by_keyboard(visit, finished):
    page = visit()
    page.locator("#map-canvas").focus()
    page.keyboard.press("ArrowRight")
    assert finished.obs_names[0] in page.locator("#map-tip").inner_text()
    page.keyboard.press("Escape")
    assert page.locator("#map-tip").is_hidden()
