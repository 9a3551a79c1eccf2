"""Plots, in the module where scanpy users expect them: of an object, or ``(data, ax) -> Axes``.

>>> import scdiff.pl
>>> "forest" in dir(scdiff.pl)
True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from scdiff.accessor import register

if TYPE_CHECKING:
    from scdiff.report.plots.evidence import (
        counts_against_depth,
        evidence_strips,
        positives_heatmap,
    )
    from scdiff.report.plots.fractions import axis_pairs, dots, forest, read_outs, receptor_dots
    from scdiff.report.plots.maps import category_map, paga_graph, pseudotime_map, state_bars
    from scdiff.report.plots.qc import dropped_bars, metric_histogram

__all__ = [
    "axis_pairs",
    "category_map",
    "counts_against_depth",
    "dots",
    "dropped_bars",
    "evidence_strips",
    "forest",
    "metric_histogram",
    "paga_graph",
    "positives_heatmap",
    "pseudotime_map",
    "read_outs",
    "receptor_dots",
    "state_bars",
]

_MODULES = ("evidence", "fractions", "maps", "qc")


def __getattr__(name: str) -> Any:
    """Import the plot ``name`` when it is first used."""
    if name in __all__:
        register()
        modules = (import_module(f"scdiff.report.plots.{module}") for module in _MODULES)
        return next(getattr(module, name) for module in modules if name in module.__all__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names."""
    return list(__all__)
