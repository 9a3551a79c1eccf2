"""Preprocessing, in the module where scanpy users expect it: from counts to clusters.

Each function is imported when it is first used, so importing this module is fast.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from scdiff.accessor import register

if TYPE_CHECKING:
    from scdiff.steps.embed.step import embed
    from scdiff.steps.load.prepare import prepare
    from scdiff.steps.normalise import normalise
    from scdiff.steps.qc.step import qc

__all__ = ["embed", "normalise", "prepare", "qc"]

_HOME = {
    "prepare": "scdiff.steps.load.prepare",
    "qc": "scdiff.steps.qc.step",
    "normalise": "scdiff.steps.normalise",
    "embed": "scdiff.steps.embed.step",
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
