"""Tools, in the module where scanpy users expect them: from cells to a verdict.

Each function is imported when it is first used, so importing this module is fast.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from scdiff.accessor import register

if TYPE_CHECKING:
    from scdiff.panels.learn import panel
    from scdiff.steps.call.step import call
    from scdiff.steps.communicate.step import communicate
    from scdiff.steps.compare import compare
    from scdiff.steps.dose import dose
    from scdiff.steps.fraction.step import fraction
    from scdiff.steps.score import score
    from scdiff.steps.scorecard import scorecard
    from scdiff.steps.trajectory.step import trajectory

__all__ = [
    "call",
    "communicate",
    "compare",
    "dose",
    "fraction",
    "panel",
    "score",
    "scorecard",
    "trajectory",
]

_HOME = {
    "score": "scdiff.steps.score",
    "call": "scdiff.steps.call.step",
    "trajectory": "scdiff.steps.trajectory.step",
    "fraction": "scdiff.steps.fraction.step",
    "communicate": "scdiff.steps.communicate.step",
    "compare": "scdiff.steps.compare",
    "dose": "scdiff.steps.dose",
    "scorecard": "scdiff.steps.scorecard",
    "panel": "scdiff.panels.learn",
}


def __getattr__(name: str) -> Callable[..., Any]:
    """Import the step ``name``."""
    if name not in _HOME:
        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}"
        )
    register()
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    """List the steps."""
    return __all__
