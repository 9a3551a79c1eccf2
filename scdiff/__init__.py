"""scdiff: measure the fraction of pancreatic-progenitor-like cells in a batch of MSC.

``io``  from files to counts            ``tl``  scores, calls, trajectory, fractions, axes
``pp``  QC, normalisation, embedding    ``pl``  plots of an object, or ``(data, ax) -> Axes``
``get`` results as data frames          ``datasets``  a batch with known truth

MSC are mesenchymal stem (stromal) cells. Each part is imported when it is first used. Importing
scdiff changes one thing in other libraries: if anndata is imported, ``adata.scdiff`` shows the
result of an object.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from scdiff.accessor import register

__all__ = ["datasets", "get", "io", "pl", "pp", "programs", "report", "simulate", "tl"]

__version__ = "0.1.0"


register()


def __getattr__(name: str) -> Any:
    """Import the part ``name`` when it is first used."""
    if name in __all__:
        register()
        return import_module(f"scdiff.{name}")
    raise AttributeError(
        f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}"
    )


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
