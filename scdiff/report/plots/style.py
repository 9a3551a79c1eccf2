"""Style shared by all figures: font sizes, greys, and the palette of :mod:`scdiff.palette`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from scdiff.palette import ACCENT, CALLED, GREY, NEGATIVE, PALETTE, STATES, colours

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

__all__ = [
    "ACCENT",
    "CALLED",
    "GREY",
    "INK",
    "LINE",
    "MUTED",
    "NEGATIVE",
    "ON_DARK",
    "ON_LIGHT",
    "PALETTE",
    "PAPER",
    "STATES",
    "STYLE",
    "colours",
    "legend_below",
    "log_counts",
    "natural",
    "ramp",
]

INK = "#1c2430"
MUTED = "#5b6675"
LINE = "#d5dae1"
PAPER = "#ffffff"
ON_LIGHT = "#1b2431"
"""Colour of text on a light mark; it is the same on a light and on a dark page."""

ON_DARK = "#fefefe"
"""Colour of text on a dark mark; it is the same on a light and on a dark page."""

STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.handlelength": 1.2,
    "legend.columnspacing": 1.2,
    "text.color": INK,
    "text.parse_math": False,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "axes.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "scdiff",
}
"""Settings of matplotlib for drawing and saving; labels are never parsed as formulas."""


def ramp() -> Colormap:
    """Return the colour map of numbers, from dark to bright.

    The ends of viridis are cut off: they are hard to see on a dark or on a light page.
    """
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps["viridis"](np.linspace(0.2, 0.95, 256)), name="scdiff")


def natural(level: str) -> tuple[int, int, str]:
    """Return a sort key that puts cluster 10 after cluster 9.

    >>> sorted(["10", "b", "9"], key=natural)
    ['9', '10', 'b']
    """
    return (0, int(level), "") if level.isdecimal() else (1, 0, level)


def legend_below(
    ax: Axes,
    *,
    columns: int = 3,
    gap: float = 32.0,
    marker_scale: float | None = None,
    handles: Sequence[Artist] | None = None,
) -> None:
    """Put the legend ``gap`` points below the axes, whatever their height.

    It shows ``handles``, or all drawn artists if there are no handles.
    """
    from matplotlib.transforms import ScaledTranslation

    place = ax.transAxes + ScaledTranslation(0, -gap / 72, ax.figure.dpi_scale_trans)
    entries: dict[str, Any] = {} if handles is None else {"handles": handles}
    ax.legend(
        loc="upper left",
        bbox_to_anchor=(0, 0),
        bbox_transform=place,
        ncols=columns,
        borderaxespad=0,
        borderpad=0,
        markerscale=marker_scale,
        **entries,
    )


def log_counts(ax: Axes) -> None:
    """Make the horizontal axis logarithmic with plain numbers on a few ticks."""
    from math import log10

    from matplotlib.ticker import LogLocator, NullLocator

    ax.set_xscale("log")
    low, high = ax.get_xlim()
    decades = log10(max(high, 1e-9)) - log10(max(low, 1e-9))
    subs: tuple[float, ...] = (1.0,)
    if decades < 0.6:
        subs = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
    elif decades < 1.2:
        subs = (1.0, 2.0, 5.0)
    elif decades < 2.4:
        subs = (1.0, 3.0)
    ax.xaxis.set_major_locator(LogLocator(subs=subs))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter("{x:,.0f}")
