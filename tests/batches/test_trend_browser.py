"""The page over batches in a real browser: read, pointed at, filtered and printed."""

import numpy as np
import pytest
from simulated_batches import draw, run_of

from scdiff.batches.history import Facts, open_history
from scdiff.batches.trend import compute_trend, write_trend

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sixty batches: a signal, a note, a change of version, one not detected; thirty controls."""
    out = tmp_path_factory.mktemp("trend")
    generator = np.random.default_rng(0)
    history = open_history(f"sqlite:///{out / 'batches.db'}", create=True)
    n_cells, n_called = draw(generator, 60)
    n_called[30], n_called[40] = 1, n_cells[40] // 2
    controls = zip(*draw(generator, 30, fraction=0.2, spread=0.05), strict=True)
    version = ["0.1.0"] * 45 + ["0.2.0"] * 15
    runs = [
        (
            run_of(f"B{i:03d}", int(n_cells[i]), int(n_called[i]), version=version[i]),
            Facts(donor=f"D{i % 4}", operator="AB"),
        )
        for i in range(60)
    ]
    runs += [
        (run_of(f"RC{i:03d}", int(cells), int(called)), Facts(role="run control"))
        for i, (cells, called) in enumerate(controls)
    ]
    for run, _ in runs:
        run.row["report"] = str(out / "runs" / run.name / "report.html")
    history.add_runs(runs)
    report = out / "runs" / "B059"
    report.mkdir(parents=True)
    (report / "report.html").write_text("<h1>the report of B059</h1>")
    history.add_note(
        "B040",
        {
            "cause": "wrong lot",
            "action": "discarded",
            "who": "A. Muster",
            "chart": "process",
            "rule": "1-3s",
        },
    )
    for specification, decision in (("isct", "PASS"), ("yield", "FAIL")):
        history.add_decision(
            "B059", {"specification": specification, "version": "1", "decision": decision}
        )
    write_trend(
        compute_trend(history, limits=(0.01, None), change="B030", margin=1.5), out / "page"
    )
    return out


@pytest.fixture
def visit(browser, folder):
    opened = []

    def visit(*, width=1280, scheme="light", path=None):
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
        page.goto((path or folder / "page" / "index.html").as_uri())
        opened.append(page)
        return page

    yield visit
    for page in opened:
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_and_nothing_leaves_it(visit, width, scheme):
    page = visit(width=width, scheme=scheme)
    assert (
        page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        == 0
    )
    assert page.errors == []
    assert len([url for url in page.requests if not url.startswith("data:")]) == 1
    sizes = page.evaluate(
        "[...document.querySelectorAll('.plot svg')].map((svg) => [svg.clientWidth, "
        "svg.viewBox.baseVal.width])"
    )
    assert len(sizes) == 6
    assert all(drawn == pytest.approx(box, abs=1) for drawn, box in sizes)  # text at its own size
    assert contrast(page, "h1") > 7
    assert contrast(page, ".plot text") > 4.5
    assert contrast(page, ".flag") > 4.5 or scheme == "light"


def contrast(page, selector):
    """Contrast of a text against its card, as WCAG defines it."""
    script = """(text) => { const style = getComputedStyle(document.querySelector(text));
        const card = getComputedStyle(document.querySelector('.part'));
        return [text.startsWith('.plot') ? style.fill : style.color, card.backgroundColor]; }"""
    low, high = sorted(_luminance(text) for text in page.evaluate(script, selector))
    return (high + 0.05) / (low + 0.05)


def _luminance(text):
    parts = [float(part) / 255 for part in text[text.index("(") + 1 : -1].split(",")[:3]]
    linear = [
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_point_says_what_it_is_and_leads_to_its_report(visit):
    page = visit()
    for chart in ("individuals", "range", "ewma", "cusum", "levey-jennings"):
        point = page.locator(f"#chart-{chart} .plot a").last
        point.scroll_into_view_if_needed()
        box = point.locator(".halo").bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        name = "RC029" if chart == "levey-jennings" else "B059"
        assert page.locator("#tip").inner_text().splitlines()[0] == name
        page.mouse.move(2, 2)
        assert page.locator("#tip").is_hidden()
    page.locator("#chart-individuals .plot a").last.click()
    assert page.locator("h1").inner_text() == "the report of B059"


def test_a_point_can_be_reached_by_keyboard(visit):
    page = visit()
    page.locator("#chart-individuals .plot a").first.focus()
    assert page.locator("#tip").inner_text().startswith("B000")
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()


def test_what_was_not_detected_is_an_arrow_at_its_bound(visit):
    page = visit()
    chart = page.locator("#chart-individuals .plot")
    assert chart.locator("path.arrow").count() == 1
    label = chart.locator("a", has=page.locator("path.arrow")).get_attribute("aria-label")
    assert label.startswith("B030; not detected, at most ")


def test_a_note_and_a_change_of_version_are_seen(visit):
    page = visit()
    chart = page.locator("#chart-individuals .plot")
    assert chart.locator(".dot.noted").count() == 1
    assert "note: 1-3s: wrong lot - discarded (A. Muster)" in chart.locator(
        "a", has=page.locator(".dot.noted")
    ).get_attribute("aria-label")
    assert chart.locator(".break").count() == 1
    for shown in (chart, page.locator("#process-phases ~ .scroll")):
        assert "scdiff 0.1.0 to 0.2.0" in shown.inner_text()
    assert "specification 1 %" in chart.inner_text()


def test_all_decisions_of_a_batch_are_in_the_table_and_at_its_point(visit):
    page = visit()
    row = page.locator("#rows tbody tr", has_text="B059").inner_text()
    assert "PASS (isct 1); FAIL (yield 1)" in row
    label = page.locator("#chart-individuals .plot a").last.get_attribute("aria-label")
    assert "decision: PASS (isct 1); decision: FAIL (yield 1)" in label


def test_the_table_is_filtered(visit):
    page = visit()
    rows = page.locator("#rows tbody tr")
    assert rows.count() == 90
    page.select_option("#filter-role", "run control")
    assert rows.count() == 30
    page.select_option("#filter-role", "")
    page.fill("#filter-text", "b04")
    assert rows.count() == 10
    page.check("#filter-signals")
    flags = rows.locator(".flag").all_inner_texts()
    assert 0 < len(flags) < 10
    assert all(flags)
    assert any(text.startswith("B040") for text in rows.all_inner_texts())
    page.fill("#filter-text", "nothing of the kind")
    assert rows.count() == 0
    assert "0 of 0 rows, of 90 in all" in page.locator("#rows-said").inner_text()


def test_more_points_are_shown_when_asked_for(visit):
    page = visit()
    page.select_option("#process-window", "50")
    assert page.locator("#chart-individuals .plot a").count() == 50
    page.select_option("#process-window", "60")
    assert page.locator("#chart-individuals .plot a").count() == 60


def test_it_prints_in_full(visit):
    page = visit(scheme="dark")
    page.emulate_media(media="print", color_scheme="light")
    assert page.locator(".filters").is_hidden()
    assert page.evaluate("getComputedStyle(document.querySelector('.tall')).maxHeight") == "none"
    assert len(page.pdf(format="A4")) > 20_000
