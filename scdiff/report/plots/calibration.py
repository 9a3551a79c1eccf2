"""Plot of the calibration of p-values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scdiff.report.plots.style import CALLED, INK, MUTED, PALETTE, legend_below

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["qq_lines"]

_LINES = {
    "quartile_1": "shallowest quarter",
    "quartile_2": "second",
    "quartile_3": "third",
    "quartile_4": "deepest quarter",
}
"""Column of the table -> label in the legend."""

_LEVEL, _ALLOWED = 0.05, (0.04, 0.06)
"""Nominal level at which the calibration is judged, and the observed shares allowed there (0-1)."""

_TICKS = (0.1, 1, 5, 20, 100)
"""Ticks of both axes, percent."""


def qq_lines(qq: pd.DataFrame, ax: Axes, *, programme: pd.DataFrame | None = None) -> Axes:
    """Draw the observed share of p-values at or below each nominal level.

    Lines are drawn for all cells and for each quartile of depth.

    Parameters
    ----------
    qq
        One row per level, columns nominal, overall, quartile_1 to quartile_4; shares 0-1, drawn in
        percent.
    ax
        Where to draw.
    programme
        The same for the programme itself; only its column overall is drawn, next to the null.
    """
    nominal = 100 * qq["nominal"].to_numpy(dtype=float)

    def draw_shares(table: pd.DataFrame, column: str, **look: Any) -> None:
        ax.plot(nominal, 100 * table[column].to_numpy(dtype=float), **look)

    diagonal = [nominal.min(), 100]
    ax.plot(diagonal, diagonal, color=MUTED, linewidth=0.8, linestyle=(0, (3, 2)), label="nominal")
    for colour, (column, words) in zip(PALETTE[1:5], _LINES.items(), strict=True):
        draw_shares(qq, column, color=colour, linewidth=1, label=words)
    draw_shares(qq, "overall", color=INK, linewidth=1.8, label="all cells")
    if programme is not None:
        draw_shares(programme, "overall", color=CALLED, linewidth=1.4, label="this programme")
    _draw_allowed(ax)
    _set_axes(ax)
    legend_below(ax, columns=2)
    return ax


def _draw_allowed(ax: Axes) -> None:
    """Draw the range of observed shares that is allowed at the level of the test."""
    ax.plot(
        [100 * _LEVEL] * 2,
        [100 * end for end in _ALLOWED],
        color=INK,
        linewidth=4,
        alpha=0.35,
        solid_capstyle="butt",
    )


def _set_axes(ax: Axes) -> None:
    """Make both axes logarithmic, in percent."""
    for axis, scale in ((ax.xaxis, ax.set_xscale), (ax.yaxis, ax.set_yscale)):
        scale("log")
        axis.set_ticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
        axis.set_ticks([], minor=True)
    ax.set_ylim(0.05, 120)
    ax.set_xlabel("nominal level (%)")
    ax.set_ylabel("cells at or below it (%)")
