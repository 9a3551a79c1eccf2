"""compiled: machine code is stored wherever a folder can be written, and compiled once before processes fork."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scdiff.compiled import compile_declared, compile_loop

PACKAGE = Path(__file__).resolve().parents[1] / "scdiff"

LOOPS = """
from compiled import compile_loop

@compile_loop("(i8,)")
def double(number):
    return 2 * number
"""
DOUBLE = "import loops; print(loops.double(21))"

ONE_TYPE = """
import gc
import numpy as np
from numba.core.registry import CPUDispatcher
import scdiff
from scdiff.compiled import compile_declared
from scdiff.simulate import BatchDesign, simulate
from scdiff.steps.embed.layout import compute_layout
adata = simulate(n_cells=300, fraction=0.1, design=BatchDesign(n_genes=2_000), seed=1)
scdiff.pp.prepare(adata)
import scdiff.assay.calibration, scdiff.assay.samples, scdiff.compute.pca, scdiff.steps.qc.step
compile_declared()
declared = [
    loop for loop in gc.get_objects()
    if isinstance(loop, CPUDispatcher) and loop.py_func.__module__.startswith("scdiff") and loop.signatures
]
before = {loop: list(loop.signatures) for loop in declared}
scdiff.pp.qc(adata)
scdiff.pp.normalise(adata, store=False)
scdiff.pp.embed(adata)
scdiff.tl.score(adata, programs=["pancreatic_progenitor"])
scdiff.tl.call(adata, programs=["pancreatic_progenitor"], null_sets=20)
assert len(declared) >= 15, declared
print([loop.py_func.__name__ for loop in declared if loop.signatures != before[loop]])
"""


def run_python(code: str, folder: Path = PACKAGE.parent, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={name: text for name, text in os.environ.items() if name != "NUMBA_CACHE_DIR"}
        | environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def read_only(tmp_path):
    """A module next to which nothing can be stored, also by root, and no home."""
    shutil.copy(PACKAGE / "compiled.py", tmp_path)
    (tmp_path / "loops.py").write_text(LOOPS, encoding="utf-8")
    (tmp_path / "__pycache__").touch()
    (tmp_path / "temporary").mkdir()
    return {
        "PYTHONPATH": str(tmp_path),
        "HOME": "/dev/null",
        "XDG_CACHE_HOME": "/dev/null",
        "TMPDIR": str(tmp_path / "temporary"),
    }


def test_code_is_stored_in_a_temporary_folder_if_nothing_else_can_be_written(read_only, tmp_path):
    assert run_python(DOUBLE, tmp_path, **read_only) == "42"
    (folder,) = Path(read_only["TMPDIR"]).glob("scdiff-code-*")
    assert folder.stat().st_mode & 0o077 == 0
    assert [file.name.split("-")[0] for file in folder.rglob("*.nbi")] == ["loops.double"]


def test_code_is_not_read_from_a_folder_that_others_can_write(read_only, tmp_path):
    folder = Path(read_only["TMPDIR"], f"scdiff-code-{os.getuid()}")
    folder.mkdir()
    folder.chmod(0o777)
    assert run_python(DOUBLE, tmp_path, **read_only) == "42"
    assert list(folder.iterdir()) == []


def test_code_is_not_read_through_a_link(read_only, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    Path(read_only["TMPDIR"], f"scdiff-code-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    assert run_python(DOUBLE, tmp_path, **read_only) == "42"
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.slow
def test_no_loop_compiles_for_other_types_than_declared():
    assert run_python(ONE_TYPE, NUMBA_NUM_THREADS="1") == "[]"


def test_declared_loops_compile_once():
    @compile_loop("(i8,)")
    def triple(number):
        return 3 * number

    @compile_loop()
    def halve(number):
        return number / 2

    compile_declared()
    assert [len(triple.signatures), len(halve.signatures)] == [1, 0]
    assert triple(14) == 42
    assert len(triple.signatures) == 1
