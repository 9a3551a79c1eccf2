"""Fixtures that every test may use."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from anndata import AnnData

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data sets; the test is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the real data sets are not at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def small_batch() -> AnnData:
    """Simulated batch that a whole run takes a few seconds for: 70 cells and a control of 60, of 450 genes; not to be changed."""
    from scdiff.simulate import BatchDesign, simulate

    design = BatchDesign(n_genes=450, controls=1)
    drawn = simulate(
        n_cells=130, fraction=0.15, depth=2_000, contamination=0.05, design=design, seed=2
    )
    del drawn.layers["counts"], drawn.uns["truth"]
    return drawn


@pytest.fixture(scope="session")
def made_once(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str, Callable[[Path], object]], Path]:
    """Fill a folder once for all processes of a test run, ``made_once(name, fill)``; the others wait for it."""
    base = tmp_path_factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def made(name: str, fill: Callable[[Path], object]) -> Path:
        folder, mark = root / name, root / f"{name}.made"
        with (root / f"{name}.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if not mark.exists():
                folder.mkdir()
                fill(folder)
                mark.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def small_input(small_batch: AnnData, made_once: Callable[..., Path]) -> Path:
    """The small batch as a file; not to be changed."""
    return (
        made_once("input", lambda folder: small_batch.write_h5ad(folder / "small.h5ad"))
        / "small.h5ad"
    )


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without sections, where a test is about something else: drawing takes most of the time of a small run."""
    monkeypatch.setattr("scdiff.report.sections.all_sections", lambda _adata: [])


@pytest.fixture(scope="session")
def finished_run(small_input: Path, made_once: Callable[..., Path]) -> Path:
    """Folder of a finished run on the small batch; copy it before you change it."""
    from scdiff.cli import main

    def fill(folder: Path) -> None:
        assert (
            main(
                [
                    "run",
                    str(small_input),
                    "--control",
                    "control1",
                    "--out",
                    str(folder / "out"),
                    "--quiet",
                ]
            )
            == 0
        )

    return made_once("finished", fill) / "out"


CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]


@pytest.fixture(scope="module")
def browser():
    """Chromium; the test is skipped if it or playwright is missing."""
    sync_api = pytest.importorskip(
        "playwright.sync_api",
        reason="playwright is not installed: pip install 'scdiff-markers[dev]'",
    )
    path = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    if path is None:
        pytest.skip("no Chromium on the PATH: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield found
        found.close()
