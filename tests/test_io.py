"""The front of reading: names only, nothing heavy until asked."""

from __future__ import annotations

import subprocess
import sys

import pytest

import scdiff.io
from scdiff.steps.load import step as load


def test_front_names_the_functions_themselves() -> None:
    assert [getattr(scdiff.io, name) for name in scdiff.io.__all__] == [load.load, load.plan_inputs]
    assert dir(scdiff.io) == scdiff.io.__all__


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'scdiff\.io' has no attribute 'read'"):
        _ = scdiff.io.read


def test_importing_the_front_imports_nothing_heavy() -> None:
    code = "import sys, scdiff.io; print([name for name in ('numpy', 'scipy', 'pandas', 'anndata', 'scanpy', 'h5py') if name in sys.modules])"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        ).stdout.strip()
        == "[]"
    )


def test_importing_the_step_imports_no_heavy_library() -> None:
    code = "import sys, scdiff.steps.load.step; print([name for name in ('scipy', 'pandas', 'anndata', 'scanpy', 'h5py') if name in sys.modules])"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        ).stdout.strip()
        == "[]"
    )
