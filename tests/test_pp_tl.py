"""The fronts pp and tl: they name steps and load them only when asked."""

from __future__ import annotations

import subprocess
import sys

import pytest

from scdiff import pp, tl
from scdiff.run.pipeline import ROOMS

HOMES = {"prepare": "scdiff.steps.load.prepare", "panel": "scdiff.panels.learn"}


@pytest.mark.parametrize(
    ("front", "names"),
    [
        (pp, ["embed", "normalise", "prepare", "qc"]),
        (
            tl,
            [
                "call",
                "communicate",
                "compare",
                "dose",
                "fraction",
                "panel",
                "score",
                "scorecard",
                "trajectory",
            ],
        ),
    ],
)
def test_each_front_names_its_steps(front, names):
    assert front.__all__ == names
    assert dir(front) == names
    for name in names:
        function = getattr(front, name)
        assert function.__name__ == name
        assert function.__module__ == HOMES.get(
            name, f"scdiff.steps.{name}{'.step' if name in ROOMS else ''}"
        )


@pytest.mark.parametrize("front", [pp, tl])
def test_another_name_is_refused_with_the_known_ones(front):
    with pytest.raises(
        AttributeError, match=f"has no attribute 'cluster'; it has {front.__all__[0]}"
    ):
        _ = front.cluster


def test_importing_the_fronts_loads_no_heavy_library():
    code = "import sys, scdiff.pp, scdiff.tl; print(sorted({'scanpy', 'anndata', 'pandas', 'numpy', 'scipy'} & set(sys.modules)))"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )
