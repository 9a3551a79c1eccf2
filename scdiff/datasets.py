"""Data sets that need no network, in the module where scanpy users expect them.

Each function is imported when it is first used, so importing this module is fast.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from scdiff.accessor import register

if TYPE_CHECKING:
    from scdiff.simulate.batch import demo

__all__ = ["demo"]


def __getattr__(name: str) -> Callable[..., Any]:
    """Import the function ``name``."""
    if name not in __all__:
        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}"
        )
    register()
    return getattr(import_module("scdiff.simulate.batch"), name)


def __dir__() -> list[str]:
    """List the functions."""
    return __all__
