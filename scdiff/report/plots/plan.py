"""Plot of the number of cells needed to measure a fraction, by depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scdiff.report.plots.style import ACCENT, CALLED, legend_below

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["cells_by_depth"]

_LINES = {
    "cells_to_detect": ("detect (LOD)", CALLED, "o", "-"),
    "cells_to_quantify": ("quantify (LLOQ)", ACCENT, "s", "--"),
}
"""Column of the plan -> label in the legend, colour, marker, line style."""


def cells_by_depth(plan: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the number of cells needed to detect and to quantify a fraction, against depth.

    Parameters
    ----------
    plan
        Columns ``depth``, ``cells_to_detect``, ``cells_to_quantify``. 0 means that no number of
        cells is enough; such points are not drawn.
    ax
        Where to draw.
    """
    for name, (label, colour, marker, line) in _LINES.items():
        reached = plan[plan[name] > 0]
        ax.plot(
            reached["depth"],
            reached[name],
            color=colour,
            marker=marker,
            linestyle=line,
            label=label,
        )
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xticks(list(plan["depth"]), [f"{depth:,.0f}" for depth in plan["depth"]])
    ax.set_xticks([], minor=True)
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.grid(visible=True)
    ax.set_xlabel("depth (median counts per cell)")
    ax.set_ylabel("cells needed")
    legend_below(ax)
    return ax
