"""Reading of files, in the module where scanpy users expect it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scdiff.accessor import register

if TYPE_CHECKING:
    from scdiff.steps.load.step import load, plan_inputs

__all__ = ["load", "plan_inputs"]


def __getattr__(name: str) -> Any:
    """Import the function ``name`` when it is first used."""
    if name in __all__:
        from scdiff.steps.load import step as module

        register()
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names."""
    return list(__all__)
