"""Fixtures that every test may use."""

from __future__ import annotations

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
    drawn = simulate(n_cells=130, fraction=0.15, depth=2_000, contamination=0.05, design=design, seed=2)
    del drawn.layers["counts"], drawn.uns["truth"]
    return drawn


@pytest.fixture(scope="session")
def small_input(small_batch: AnnData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small batch as a file; not to be changed."""
    path = tmp_path_factory.mktemp("input") / "small.h5ad"
    small_batch.write_h5ad(path)
    return path


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without sections, where a test is about something else: drawing takes most of the time of a small run."""
    monkeypatch.setattr("scdiff.report.sections.all_sections", lambda _adata: [])


@pytest.fixture(scope="session")
def finished_run(small_input: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a finished run on the small batch; copy it before you change it."""
    from scdiff.cli import main

    out = tmp_path_factory.mktemp("finished") / "out"
    assert main(["run", str(small_input), "--control", "control1", "--out", str(out), "--quiet"]) == 0
    return out
