"""Plots of the cells on the path from the start to the progenitor-like end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scdiff.report.plots.style import (
    ACCENT,
    CALLED,
    GREY,
    INK,
    LINE,
    MUTED,
    NEGATIVE,
    colours,
    legend_below,
)
from scdiff.vocabulary import CONTINUUM, SEPARATE, UNDECIDED

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["day_flow", "gene_courses", "name_gap", "path_histogram"]

BETWEEN = "#009e73"
"""Colour of the cells between start and end."""


def _set_counts_axis(ax: Axes, top: float) -> None:
    """Make a vertical axis from 0 to ``top``: linear up to 1, logarithmic above.

    Ticks are plain numbers at 0 and at each power of ten.
    """
    ticks = [0, *(tick for tick in (10**power for power in range(8)) if tick <= top)]
    ax.set_yscale("symlog", linthresh=1)
    ax.set_ylim(0, top)
    ax.set_yticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.set_yticks([], minor=True)
    ax.grid(visible=True, axis="y", color=LINE)


def path_histogram(
    path: pd.DataFrame, gap: Mapping[str, float], ax: Axes, *, verdict: str = UNDECIDED
) -> Axes:
    """Draw the number of cells and of expected doublets at each position from start to end.

    The title says in words what is between start and end.

    Parameters
    ----------
    path
        One row per bin: ``position`` (its lower edge; 0 start, 1 end), and the numbers ``cells``,
        ``start``, ``end`` and ``doublets`` (expected).
    gap
        ``low`` and ``high``, positions: the scatter of the start ends at ``low``, that of the end
        begins at ``high``; ``density``, ``density_low`` and ``density_high`` of the intermediates.
        Empty if the path was not judged.
    ax
        Where to draw.
    verdict
        ``continuum``, ``separate population`` or ``undecided``.
    """
    import numpy as np

    width = float(np.diff(path["position"]).min())
    middle = path["position"] + width / 2
    ax.bar(middle, path["cells"], width=width, color=NEGATIVE, label="cells")
    ax.bar(middle, path["start"], width=width, color=GREY, label="start (root)")
    ax.bar(
        middle, path["end"], width=width, color=CALLED, label="end (called)", bottom=path["start"]
    )
    ax.step(
        middle,
        path["doublets"],
        where="mid",
        color=ACCENT,
        linewidth=1.4,
        label="doublets expected",
    )
    if gap and gap["high"] > gap["low"]:
        _mark_way(path, middle, gap, ax)
        ax.set_title(name_gap(verdict, gap), loc="left", fontsize="small", fontweight="normal")
    _set_counts_axis(ax, 5 * max(float(path["cells"].max()), 1.0))
    filled = path.loc[path["cells"] > 0, "position"]
    ax.set_xlim(min(float(filled.min()), -0.1) - width, max(float(filled.max()), 1.1) + 2 * width)
    ax.set_xlabel("position: 0 start, 1 progenitor-like end")
    ax.set_ylabel("cells")
    legend_below(ax, columns=2)
    return ax


def name_gap(verdict: str, gap: Mapping[str, float]) -> str:
    r"""Say in two lines what is between start and end; empty if it could not be measured.

    >>> ends = {"density": 0.0, "density_low": 0.0, "density_high": 0.21}
    >>> name_gap("separate population", ends)
    'A gap\nat most 0.21 cells between per cell at the end'
    """
    low, high = gap.get("density_low", float("nan")), gap.get("density_high", float("nan"))
    if not high >= 0:  # NaN
        return ""
    found = {CONTINUUM: "Filled", SEPARATE: "A gap"}.get(verdict, "Cannot tell")
    number = f"{low:.2g}-{high:.2g}" if low > 0 else f"at most {high:.2g}"
    return f"{found}\n{number} cells between per cell at the end"


def _mark_way(path: pd.DataFrame, middle: pd.Series, gap: Mapping[str, float], ax: Axes) -> None:
    """Shade the way between start and end, colour its cells, and name the three parts."""
    low, high = gap["low"], gap["high"]
    width = 2 * float((middle - path["position"]).iloc[0])
    between = middle.between(low, high)
    others = (path["cells"] - path["end"])[between].clip(lower=0)
    label = "cells between"
    ax.bar(
        middle[between],
        others,
        width=width,
        color=BETWEEN,
        label=label,
        bottom=path["end"][between],
    )
    ax.axvspan(low, high, color=BETWEEN, alpha=0.1, linewidth=0)
    for edge in (low, high):
        ax.axvline(edge, color=MUTED, linestyle="--", linewidth=1)
    for place, name in ((0.0, "start"), ((low + high) / 2, "between"), (max(1.0, high), "end")):
        look: dict[str, Any] = {"ha": "center", "va": "top", "color": INK}
        ax.text(place, 0.97, name, transform=ax.get_xaxis_transform(), **look)


def gene_courses(trends: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the level of each gene along the path, with its 95 % band.

    Parameters
    ----------
    trends
        One row per gene and bin: ``gene``, ``place`` (0-1), and ``cp10k``, ``low``, ``high``
        (counts per 10,000).
    ax
        Where to draw.
    """
    palette = colours([str(gene) for gene in trends["gene"].unique()])
    for gene, part in trends.groupby("gene", sort=False):
        colour = palette[str(gene)]
        ax.fill_between(
            part["place"], part["low"], part["high"], color=colour, alpha=0.2, linewidth=0
        )
        ax.plot(
            part["place"],
            part["cp10k"],
            color=colour,
            marker="o",
            markersize=3,
            linewidth=1.4,
            label=str(gene),
        )
    _set_counts_axis(ax, 1.5 * max(float(trends["high"].max()), 1.0))
    ax.set_xlabel("position: 0 start, 1 progenitor-like end")
    ax.set_ylabel("counts per 10,000")
    legend_below(ax, columns=2)
    return ax


def day_flow(days: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the states of each day as stacked bars, and the committed share with its interval.

    The negative state is not drawn.

    Parameters
    ----------
    days
        One row per day: ``state:<name>`` (shares, 0-1), ``committed``, ``low``, ``high`` (0-1, NaN
        if unknown).
    ax
        Where to draw.
    """
    import numpy as np

    prefix = "state:"
    states = [
        str(name)
        for name in days.columns
        if str(name).startswith(prefix) and not str(name).endswith(":negative")
    ]
    palette = colours([name.removeprefix(prefix) for name in states])
    place, bottom = np.arange(len(days)), np.zeros(len(days))
    for name in states:
        share = 100 * days[name].to_numpy(dtype=float)
        label = name.removeprefix(prefix)
        ax.bar(place, share, bottom=bottom, width=0.62, color=palette[label], label=label)
        bottom += share
    committed, low, high = (
        100 * days[name].to_numpy(dtype=float) for name in ("committed", "low", "high")
    )
    if np.isfinite(committed).any():
        look: dict[str, Any] = {
            "color": INK,
            "marker": "o",
            "markersize": 4,
            "linewidth": 1.2,
            "capsize": 3,
        }
        ax.errorbar(
            place, committed, yerr=[committed - low, high - committed], label="committed", **look
        )
    ax.set_xticks(place, [str(day) for day in days.index])
    ax.set_ylim(0, min(100.0, 1.1 * max(float(bottom.max()), float(np.nanmax(high, initial=1.0)))))
    ax.set_xlabel("day")
    ax.set_ylabel("cells (%)")
    legend_below(ax, columns=2)
    return ax
