"""Plots of the calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
_LEVEL, _ALLOWED = 0.05, (0.04, 0.06)


def qq_lines(qq: pd.DataFrame, ax: Axes, *, programme: pd.DataFrame | None = None) -> Axes:
    """Draw the observed share of p-values against the nominal level, overall and by quartile of depth.

    Parameters
    ----------
    qq
        One row per level, columns nominal, overall, quartile_1 to quartile_4; shares 0-1, drawn in percent.
    ax
        Where to draw.
    programme
        The same for the programme itself; its overall share is drawn beside the null.
    """
    nominal = 100 * qq["nominal"].to_numpy(dtype=float)
    ax.plot(
        [nominal.min(), 100],
        [nominal.min(), 100],
        color=MUTED,
        linewidth=0.8,
        linestyle=(0, (3, 2)),
        label="nominal",
    )
    for colour, (column, words) in zip(PALETTE[1:5], _LINES.items(), strict=True):
        ax.plot(
            nominal, 100 * qq[column].to_numpy(dtype=float), color=colour, linewidth=1, label=words
        )
    ax.plot(
        nominal,
        100 * qq["overall"].to_numpy(dtype=float),
        color=INK,
        linewidth=1.8,
        label="all cells",
    )
    if programme is not None:
        ax.plot(
            nominal,
            100 * programme["overall"].to_numpy(dtype=float),
            color=CALLED,
            linewidth=1.4,
            label="this programme",
        )
    ax.plot(
        [100 * _LEVEL] * 2,
        [100 * end for end in _ALLOWED],
        color=INK,
        linewidth=4,
        alpha=0.35,
        solid_capstyle="butt",
    )
    ticks = (0.1, 1, 5, 20, 100)
    for axis, scale in ((ax.xaxis, ax.set_xscale), (ax.yaxis, ax.set_yscale)):
        scale("log")
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.set_ticks([], minor=True)
    ax.set_ylim(0.05, 120)
    ax.set_xlabel("nominal level (%)")
    ax.set_ylabel("cells at or below it (%)")
    legend_below(ax, columns=2)
    return ax
