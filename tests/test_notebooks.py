"""Notebooks: both halves of each pair say the same, they run, and what comes out is what they keep."""

from __future__ import annotations

import ast
import re
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "notebooks").glob("*.py"))

EXECUTE = "python tests/execute_notebooks.py"

TAKE_MINUTES = ("03_scorecards", "04_batches")

NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*\.?\d*(?:e-?\d+)?")

jupytext = pytest.importorskip(
    "jupytext", reason="jupytext is not installed (pip install '.[dev]')"
)


def content(notebook: Any) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def code(script: Path) -> str:
    return "\n".join(
        cell.source for cell in jupytext.read(script).cells if cell.cell_type == "code"
    )


def test_all_notebooks_are_there() -> None:
    assert [path.stem for path in SCRIPTS] == list(ENDINGS)
    assert {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")} == {
        path.stem for path in SCRIPTS
    }


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_script_and_notebook_are_in_sync(script: Path) -> None:
    notebook = jupytext.read(script.with_suffix(".ipynb"))
    assert content(jupytext.read(script)) == content(notebook), f"run: {EXECUTE}"
    assert notebook.metadata["jupytext"]["formats"] == "ipynb,py:percent"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_the_notebook_keeps_its_outputs(script: Path) -> None:
    notebook = jupytext.read(script.with_suffix(".ipynb"))
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), (
        f"run: {EXECUTE}"
    )
    outputs = [output for cell in cells for output in cell.outputs]
    assert len(outputs) > 5
    assert [
        output
        for output in outputs
        if output.output_type == "error" or output.get("name") == "stderr"
    ] == []
    assert not [
        path
        for path in (str(ROOT), str(Path.home()), "/tmp/")
        if any(path in text for text in texts(notebook))
    ]
    assert notebook.metadata["kernelspec"]["name"] == "python3"


def test_the_quickstart_uses_every_front_and_step() -> None:
    calls = [
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(code(ROOT / "notebooks" / "01_quickstart.py")))
        if isinstance(node, ast.Call)
    ]
    used = [
        call.removeprefix("scdiff.")
        for call in calls
        if call.startswith("scdiff.") and not call.startswith("scdiff.pl.")
    ]
    expected = [
        "io.load",
        "pp.qc",
        "pp.normalise",
        "pp.embed",
        "tl.score",
        "tl.call",
        "tl.trajectory",
        "tl.fraction",
        "tl.communicate",
    ]
    assert used == expected
    assert {"scdiff.pl.forest", "scdiff.pl.evidence_strips"} <= set(calls)


@pytest.mark.parametrize(
    ("script", "folder"),
    [
        pytest.param(
            script,
            folder,
            id=script.stem,
            marks=pytest.mark.long if script.stem in TAKE_MINUTES else pytest.mark.slow,
        )
        for script, folder in zip(SCRIPTS, cycle([ROOT / "notebooks", ROOT]))
    ],
)
def test_the_notebook_runs(script: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = run(script, folder, monkeypatch)
    kept = jupytext.read(script.with_suffix(".ipynb"))
    assert n_pictures(notebook) == n_pictures(kept) > 0, f"run: {EXECUTE}"
    found, expected = texts(notebook), texts(kept)
    assert [words(text) for text in found] == [words(text) for text in expected], f"run: {EXECUTE}"
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(
            numbers(one), numbers(other), rtol=0.02, atol=0.002, err_msg=f"run: {EXECUTE}"
        )
    ENDINGS[script.stem](last_output(notebook))


@pytest.mark.long
def test_the_course_of_real_cells_says_the_same(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCDIFF_E15", str(shared_data / "endocrinogenesis_mouse_e15_hvg.h5ad"))
    script = ROOT / "notebooks" / "02_trajectory.py"
    verdicts_differ(last_output(run(script, ROOT, monkeypatch)))


def run(script: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Execute a notebook in a folder; an error in a cell fails the test."""
    nbclient = pytest.importorskip(
        "nbclient", reason="nbclient is not installed (pip install '.[dev]')"
    )
    pytest.importorskip("ipykernel", reason="ipykernel is not installed (pip install '.[dev]')")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = jupytext.read(script.with_suffix(".ipynb"))
    nbclient.NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    return notebook


def last_output(notebook: Any) -> Any:
    """Last output of a notebook."""
    return [
        output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
    ][-1]


def n_pictures(notebook: Any) -> int:
    """Figures that a notebook shows."""
    outputs = [
        output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
    ]
    return sum("image/png" in output.get("data", {}) for output in outputs)


def texts(notebook: Any) -> list[str]:
    """What a notebook prints and shows in words; versions of pandas name types differently, and figures have no words."""
    outputs = [
        output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
    ]
    said = [
        output.get("text") or output.get("data", {}).get("text/plain", "")
        for output in outputs
        if output.get("name") != "stderr"
    ]
    kept = ("\n".join(line for line in text.splitlines() if "dtype: " not in line) for text in said)
    return [text for text in kept if text and not text.startswith("<")]


def words(text: str) -> list[str]:
    """Words of a text, numbers left out."""
    return NUMBER.sub("#", text).split()


def numbers(text: str) -> list[float]:
    """Numbers of a text."""
    return [float(found.replace(",", "")) for found in NUMBER.findall(text)]


def test_numbers_and_words_are_told_apart() -> None:
    assert words("31 of 900 cells, 4.8 % (PDX1, NKX6-1)") == words(
        "30 of 1,900 cells, 5 % (PDX1, NKX6-1)"
    )
    assert numbers("31 of 1,900 cells, -4.8 % in PDX1, 1e-3") == [31, 1900, -4.8, 0.001]


def quickstart_held(output: Any) -> None:
    assert held_samples(output["data"]["text/plain"]) == {
        "batch": "True",
        "batch_10x": "True",
        "control": "True",
    }


def verdicts_differ(output: Any) -> None:
    assert output["text"].strip() == "course: continuum | mixture: separate population"


def scorecards_held(output: Any) -> None:
    assert output["text"].strip() == "truth inside the interval: True | IL-10: not detected"


def nothing_else_is_new(output: Any) -> None:
    assert output["text"].splitlines() == ["still there: True", "not of scdiff: []"]


def everything_is_verified(output: Any) -> None:
    assert output["text"].startswith("Verified: 15 rows.")
    assert "every decision is the same" in output["text"]


ENDINGS = {
    "00_from_a_scanpy_object": nothing_else_is_new,
    "01_quickstart": quickstart_held,
    "02_trajectory": verdicts_differ,
    "03_scorecards": scorecards_held,
    "04_batches": everything_is_verified,
}
"""What the last output of each notebook must say."""


def held_samples(text: str) -> dict[str, str]:
    """The last table of the quickstart: whether the interval of each sample holds its truth."""
    rows = [line.split() for line in text.splitlines()]
    return {row[0]: row[1] for row in rows if len(row) == 2 and row[1] in {"True", "False"}}
