"""How many hops, from module to module, lead from a call to the arithmetic."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

import scdiff
from scdiff.assay import mixture
from scdiff.cli import main

PACKAGE = Path(scdiff.__file__).parent


@pytest.fixture
def stacks(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Modules of scdiff on the stack, outermost first, at each evaluation of the likelihood."""
    seen: list[list[str]] = []
    kernel = mixture.fill_densities

    def record(*arrays: object) -> object:
        if not seen:
            frames = [Path(frame.filename) for frame in traceback.extract_stack()]
            modules = [
                str(path.relative_to(PACKAGE)) for path in frames if path.is_relative_to(PACKAGE)
            ]
            seen.append(list(dict.fromkeys(modules)))
        return kernel(*arrays)

    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")  # fits then run in this process
    monkeypatch.setattr(mixture, "fill_densities", record)
    return seen


@pytest.mark.slow
def test_a_notebook_call_reaches_the_likelihood_in_six_hops(
    stacks: list[list[str]], tmp_path: Path
) -> None:
    scdiff.simulate.simulate(n_cells=60, seed=1).write_h5ad(tmp_path / "batch.h5ad")
    adata = scdiff.io.load(tmp_path / "batch.h5ad")
    scdiff.tl.call(adata)
    assert len(stacks[0]) - 1 <= 6, stacks[0]


@pytest.mark.slow
def test_the_command_reaches_the_likelihood_in_ten_hops(
    stacks: list[list[str]], tmp_path: Path
) -> None:
    file = tmp_path / "batch.h5ad"
    scdiff.simulate.simulate(n_cells=60, seed=1).write_h5ad(file)
    assert main(["run", str(file), "--out", str(tmp_path / "out"), "--quiet"]) == 0
    assert len(stacks[0]) - 1 <= 10, stacks[0]
