"""From the wheel to a sheet to sign: install it, run a batch, decide, and print the sheet to PDF."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAPER = {"width": 703, "height": 1047}
"""A4 less its margins, in CSS pixels."""

CUT_OFF = """() => [...document.querySelectorAll('.sheet, .sheet *')].filter((one) => {
    const box = one.getBoundingClientRect();
    return box.left < -1 || box.right > innerWidth + 1 || one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 0;
}).map((one) => one.outerHTML.slice(0, 80))"""
"""Elements of a sheet that are wider than the paper, or than their own box."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel of this tree."""
    pytest.importorskip("build", reason="build is not installed: pip install 'scdiff-markers[dev]'")
    out = tmp_path_factory.mktemp("dist")
    alone = ("--no-isolation",) if importlib.util.find_spec("hatchling") else ()
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", *alone, "--outdir", out, ROOT],
        check=True,
        capture_output=True,
    )
    return next(out.glob("*.whl"))


@pytest.mark.long
def test_from_the_wheel_to_a_sheet_to_sign(
    wheel, browser, tmp_path, capsys, record_property
) -> None:
    """The dependencies are those of this environment; their download is not part of the time."""
    begun, seconds = time.monotonic(), {}

    def step(name: str, *words: object, codes: tuple[int, ...] = (0,)) -> str:
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            check=False,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(tmp_path / "installed")},
            capture_output=True,
            text=True,
        )
        assert done.returncode in codes, done.stderr
        seconds[name] = time.monotonic() - begun
        return done.stdout

    step(
        "install", *["-m", "pip", "install", "--quiet", "--no-deps", "--target", "installed"], wheel
    )
    found = step("import", "-c", "import scdiff; print(scdiff.__file__)").strip()
    assert Path(found).is_relative_to(tmp_path / "installed")
    step(
        "batch",
        *["-m", "scdiff", "simulate", "--out", "batch.h5ad", "--cells", "700", "--seed", "3"],
    )
    step("run", *["-m", "scdiff", "run", "batch.h5ad", "--out", "lot7", "--quiet"])
    words = ["-m", "scdiff", "release", "lot7", "--spec", "progenitor_yield", "--out", "decision"]
    step("release", *words, codes=(0, 1, 2))
    step("verify", *["-m", "scdiff", "release", "--verify", "--out", "decision"])

    page = browser.new_page(viewport=PAPER)
    page.emulate_media(media="print")
    page.goto((tmp_path / "decision" / "release.html").as_uri())
    pdf = page.pdf(path=tmp_path / "sheet.pdf", prefer_css_page_size=True, print_background=True)
    seconds["PDF"] = time.monotonic() - begun
    cut, text = page.evaluate(CUT_OFF), page.locator(".sheet").inner_text()
    height = page.locator(".sheet").bounding_box()["height"]
    page.close()

    assert len(re.findall(rb"/Type\s*/Page[^s]", pdf)) == 1
    assert height <= PAPER["height"]
    assert cut == []
    for shown in ("lot7", "progenitor_yield, version", "Assessed by", "Approved by", "Signature"):
        assert shown in text
    record_property("seconds", seconds)
    with capsys.disabled():
        said = ", ".join(f"{name} {value:.0f}" for name, value in seconds.items())
        sys.stdout.write(f"\nseconds since the start of pip install: {said}\n")
