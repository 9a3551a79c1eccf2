"""scdiff: how many cells of a mesenchymal stromal cell batch became pancreatic-progenitor-like.

``io``  from files to counts            ``tl``  scores, calls, trajectory, fractions, axes
``pp``  QC, normalisation, embedding    ``pl``  plots ``(data, ax) -> Axes``

Everything is loaded when it is first used; importing scdiff changes nothing in other libraries.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["io", "pl", "pp", "programs", "simulate", "tl"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load a part when it is first asked for."""
    if name in __all__:
        return import_module(f"scdiff.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
