"""Notebooks: both halves of each pair say the same, nothing made is kept in them, and they run."""

from __future__ import annotations

import ast
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "notebooks").glob("*.py"))

jupytext = pytest.importorskip("jupytext", reason="jupytext is not installed (pip install '.[dev]')")


def content(notebook: Any) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def code(script: Path) -> str:
    return "\n".join(cell.source for cell in jupytext.read(script).cells if cell.cell_type == "code")


def test_all_notebooks_are_there() -> None:
    assert [path.stem for path in SCRIPTS] == list(ENDINGS)
    assert {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")} == {path.stem for path in SCRIPTS}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_script_and_notebook_are_in_sync(script: Path) -> None:
    notebook = jupytext.read(script.with_suffix(".ipynb"))
    assert content(jupytext.read(script)) == content(notebook), "run: jupytext --sync notebooks/*.py"
    assert notebook.metadata["jupytext"]["formats"] == "ipynb,py:percent"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_the_notebook_keeps_no_output(script: Path) -> None:
    notebook = jupytext.read(script.with_suffix(".ipynb"))
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(cells) > 5
    assert [cell for cell in cells if cell.outputs or cell.execution_count] == []
    assert notebook.metadata["kernelspec"]["name"] == "python3"


def test_the_quickstart_uses_every_front_and_step() -> None:
    calls = [
        ast.unparse(node.func) for node in ast.walk(ast.parse(code(ROOT / "notebooks" / "01_quickstart.py"))) if isinstance(node, ast.Call)
    ]
    used = [call.removeprefix("scdiff.") for call in calls if call.startswith("scdiff.") and not call.startswith("scdiff.pl.")]
    expected = ["io.load", "pp.qc", "pp.normalise", "pp.embed", "tl.score", "tl.call", "tl.trajectory", "tl.fraction", "tl.communicate"]
    assert used == expected
    assert {"scdiff.pl.forest", "scdiff.pl.evidence_strips"} <= set(calls)


@pytest.mark.slow
@pytest.mark.parametrize(("script", "folder"), zip(SCRIPTS, cycle([ROOT / "notebooks", ROOT])), ids=lambda path: path.stem)
def test_the_notebook_runs(script: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "shared/data" in code(script):
        request.getfixturevalue("shared_data")  # skips where it is absent
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed (pip install '.[dev]')")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed (pip install '.[dev]')")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = jupytext.read(script.with_suffix(".ipynb"))
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert [output for output in outputs if output.output_type == "error"] == []
    assert sum("image/png" in output.get("data", {}) for output in outputs) == code(script).count("plt.subplots")
    ENDINGS[script.stem](outputs[-1])


def quickstart_held(output: Any) -> None:
    assert held_samples(output["data"]["text/plain"]) == {"batch": "True", "batch_10x": "True", "control": "True"}


def verdicts_differ(output: Any) -> None:
    assert output["text"].strip() == "pancreas: continuum | mixture: separate population"


def scorecards_held(output: Any) -> None:
    assert output["text"].strip() == "truth inside the interval: True | IL-10: not detected"


ENDINGS = {"01_quickstart": quickstart_held, "02_trajectory": verdicts_differ, "03_scorecards": scorecards_held}
"""What the last output of each notebook must say."""


def held_samples(text: str) -> dict[str, str]:
    """The last table of the quickstart: whether the interval of each sample holds its truth."""
    rows = [line.split() for line in text.splitlines()]
    return {row[0]: row[1] for row in rows if len(row) == 2 and row[1] in {"True", "False"}}
