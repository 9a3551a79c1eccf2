"""Plots of fractions with their intervals and limits, in percent."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scdiff.report.plots import objects
from scdiff.report.plots.objects import of_object
from scdiff.report.plots.style import ACCENT, CALLED, GREY, LINE, MUTED, PAPER, legend_below
from scdiff.report.text import short
from scdiff.vocabulary import NO_NUMBER, NOT_DETECTED, NOT_MEASURABLE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = [
    "axis_pairs",
    "dots",
    "forest",
    "name_rows",
    "percent_axis",
    "read_outs",
    "receptor_dots",
]

_TICKS = (0, 0.1, 1, 10, 100)
"""Ticks of the axis, percent."""

_LIMITS: dict[str, tuple[Any, str]] = {
    "lob": (":", "LOB"),
    "lod": ("--", "LOD"),
    "lloq": ("-", "LLOQ"),
}
"""Limit -> line style, label in the legend."""

_SIDES = {"ligand": (ACCENT, "ligand, batch"), "receptor": (CALLED, "receptor")}
"""Side of a pair -> colour, label in the legend."""

_DRAWN = ("value", "low", "high", "above", "absent")
"""Columns of one side of a pair that are drawn."""

_LEGEND_SHARES = (0.05, 0.25, 1.0)
"""Shares of cells (0-1) whose dots the legend of the receptors shows."""

_LANES = {"ligand": -0.18, "receptor": 0.18}
"""Vertical offset of each side from the middle of its row, rows; positive is down."""


def percent_axis(ax: Axes, label: str) -> Axes:
    """Make a horizontal axis from 0 to 100 percent: linear to 0.1 %, logarithmic above."""
    ax.set_xscale("symlog", linthresh=0.1, linscale=0.6)
    ax.set_xlim(-0.012, 140)
    ax.set_xticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
    ax.set_xticks([], minor=True)
    ax.grid(visible=True, axis="x")
    ax.set_xlabel(label)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    return ax


def name_rows(ax: Axes, labels: list[str]) -> None:
    """Label the rows, the first on top, with a small margin."""
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.4, -0.6)


def _draw_interval(ax: Axes, row: float, values: tuple[Any, Any, Any], **look: Any) -> None:
    """Draw one estimate with its interval; ``values`` are fractions, drawn in percent."""
    import numpy as np

    middle, low, high = (100.0 * float(value) for value in values)
    if not np.isfinite(middle):
        return
    ends = (low if np.isfinite(low) else middle, high if np.isfinite(high) else middle)
    ax.plot(
        ends,
        (row, row),
        color=look["color"],
        linewidth=look.pop("width", 1.8),
        solid_capstyle="butt",
        zorder=3,
    )
    ax.plot([middle], [row], linestyle="none", markersize=5.5, zorder=4, **look)


@of_object(objects.forest)
def forest(fractions: pd.DataFrame, ax: Axes) -> Axes:
    """Draw prevalence and raw called fraction per sample, with intervals and limits.

    Parameters
    ----------
    fractions
        Rows of the table of fractions for one programme and state; fractions 0-1, drawn in percent.
    ax
        Where to draw.
    """
    for number, row in enumerate(fractions.to_dict("records")):
        if row["verdict"] in NO_NUMBER:
            ax.annotate(str(row["verdict"]), (1, number), ha="center", va="center", color=MUTED)
            continue
        corrected = (row["prevalence"], row["prevalence_low"], row["prevalence_high"])
        raw = (row["fraction"], row["fraction_low"], row["fraction_high"])
        _draw_interval(ax, number - 0.13, corrected, color=CALLED, marker="o")
        _draw_interval(
            ax, number + 0.17, raw, color=GREY, marker="s", markerfacecolor="none", width=1.0
        )
        for name, (line, _) in _LIMITS.items():
            ax.vlines(
                100 * row[name],
                number - 0.38,
                number + 0.38,
                color=ACCENT,
                linestyles=line,
                linewidth=1.3,
                zorder=2,
            )
    name_rows(
        ax, [f"{short(str(row.sample))}\n{row.n_cells:,} cells" for row in fractions.itertuples()]
    )
    legend_below(ax, handles=_forest_legend())
    return percent_axis(ax, "cells (%)")


def _forest_legend() -> list[Any]:
    """Build the legend entries of the forest plot."""
    from matplotlib.lines import Line2D

    look: dict[str, Any] = {"markersize": 5.5, "linewidth": 1.5}
    points = [Line2D([], [], color=CALLED, marker="o", label="prevalence", **look)]
    points += [
        Line2D([], [], color=GREY, marker="s", markerfacecolor="none", label="raw called", **look)
    ]
    return points + [
        Line2D([], [], color=ACCENT, linestyle=line, linewidth=1.3, label=label)
        for line, label in _LIMITS.values()
    ]


@of_object(objects.dots)
def dots(estimates: pd.DataFrame, ax: Axes) -> Axes:
    """Draw one estimate with its interval per row.

    Parameters
    ----------
    estimates
        Columns ``label``, ``colour``, and ``value``, ``low``, ``high`` (0-1, NaN if not
        measurable), drawn in percent.
    ax
        Where to draw.
    """
    for number, row in enumerate(estimates.to_dict("records")):
        _draw_interval(
            ax, number, (row["value"], row["low"], row["high"]), color=row["colour"], marker="o"
        )
        if row["value"] != row["value"]:
            ax.annotate(
                str(row.get("verdict", NOT_MEASURABLE)),
                (1, number),
                ha="center",
                va="center",
                color=MUTED,
            )
    name_rows(ax, [str(label) for label in estimates["label"]])
    return percent_axis(ax, "cells (%)")


@of_object(objects.read_outs)
def read_outs(rows: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the read-outs of a scorecard, with its criteria as vertical bars.

    A read-out that was not detected is hollow and shows its upper bound.

    Parameters
    ----------
    rows
        Columns ``title``, ``verdict``, and ``prevalence``, ``prevalence_low``, ``prevalence_high``,
        ``at_least``, ``at_most`` (0-1, NaN if missing), drawn in percent.
    ax
        Where to draw.
    """
    for number, row in enumerate(rows.to_dict("records")):
        if row["verdict"] in NO_NUMBER:
            ax.annotate(str(row["verdict"]), (1, number), ha="center", va="center", color=MUTED)
            continue
        absent = row["verdict"] == NOT_DETECTED
        look = {"color": GREY if absent else CALLED, "marker": "o"} | (
            {"markerfacecolor": "white", "width": 1.0} if absent else {}
        )
        _draw_interval(
            ax, number, (row["prevalence"], row["prevalence_low"], row["prevalence_high"]), **look
        )
        bounds = [
            100 * float(row[name])
            for name in ("at_least", "at_most")
            if row[name] is not None and row[name] == row[name]
        ]
        ax.vlines(bounds, number - 0.35, number + 0.35, color=ACCENT, linewidth=1.6, zorder=2)
    name_rows(ax, [short(str(title)) for title in rows["title"]])
    return percent_axis(ax, "cells (%)")


@of_object(objects.axis_pairs)
def axis_pairs(pairs: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the shares of cells that express the ligand and the receptor of each pair.

    The ligand is drawn above the receptor.

    Parameters
    ----------
    pairs
        One row per axis and receptor: ``axis``, ``label``, and with the prefixes ``ligand_`` and
        ``receptor_`` the columns ``value``, ``low``, ``high`` (0-1, drawn in percent), ``above``
        (more than background) and ``absent`` (reason if the value is missing, else empty).
    ax
        Where to draw.
    """
    previous = ""
    for number, row in enumerate(pairs.to_dict("records")):
        if row["axis"] != previous and number:
            ax.axhline(number - 0.5, color=LINE, linewidth=0.8)
        previous = row["axis"]
        for side, (colour, _) in _SIDES.items():
            values = {key: row[f"{side}_{key}"] for key in _DRAWN}
            _draw_side(ax, number + _LANES[side], values, colour)
    name_rows(ax, [str(label) for label in pairs["label"]])
    legend_below(ax, handles=_pair_legend(), columns=1)
    return percent_axis(ax, "cells expressing (%)")


def _draw_side(ax: Axes, height: float, row: Mapping[Any, Any], colour: str) -> None:
    """Draw one side of a pair: a full dot above background, else hollow; a text if no value."""
    if row["absent"]:
        ax.annotate(
            str(row["absent"]), (0.004, height), ha="left", va="center", color=colour, fontsize=6.5
        )
        return
    fill = colour if row["above"] else PAPER
    _draw_interval(
        ax,
        height,
        (row["value"], row["low"], row["high"]),
        color=colour,
        marker="o",
        markerfacecolor=fill,
    )


def _pair_legend() -> list[Any]:
    """Build the legend entries of the pairs."""
    from matplotlib.lines import Line2D

    look: dict[str, Any] = {"markersize": 5.5, "linewidth": 1.5, "marker": "o"}
    handles = [
        Line2D([], [], color=colour, label=label, **look) for colour, label in _SIDES.values()
    ]
    return [
        *handles,
        Line2D([], [], color=MUTED, label="not above background", markerfacecolor=PAPER, **look),
    ]


@of_object(objects.receptor_dots)
def receptor_dots(pairs: Mapping[str, pd.DataFrame], ax: Axes) -> Axes:
    """Draw the share of cells that express each receptor in each receiver, as the area of a dot.

    Parameters
    ----------
    pairs
        Receiver -> rows as in :func:`axis_pairs`, the same rows for each receiver.
    ax
        Where to draw.
    """
    for column, rows in enumerate(pairs.values()):
        _draw_receiver(ax, column, rows)
    name_rows(ax, [str(label) for label in next(iter(pairs.values()))["label"]])
    ax.set_xticks(
        range(len(pairs)),
        [name.replace("_", " ") for name in pairs],
        rotation=60,
        ha="left",
        rotation_mode="anchor",
    )
    ax.xaxis.tick_top()
    ax.set_xlim(-0.6, len(pairs) - 0.4)
    ax.grid(visible=True)
    ax.tick_params(length=0)
    ax.spines[["left", "bottom"]].set_visible(False)
    legend_below(ax, handles=_receptor_legend(), columns=2)
    return ax


def _draw_receiver(ax: Axes, column: int, rows: pd.DataFrame) -> None:
    """Draw one receiver: a dot per receptor, or the reason for a missing value."""
    has_value = rows["receptor_absent"].eq("") & rows["receptor_value"].gt(0)
    for above, fill in ((True, CALLED), (False, PAPER)):
        shown = rows[has_value & rows["receptor_above"].eq(above)]
        ax.scatter(
            [column] * len(shown),
            shown.index,
            s=[_dot_area(value) for value in shown["receptor_value"]],
            facecolor=fill,
            edgecolor=CALLED,
            linewidth=1.0,
            zorder=3,
        )
    for number, reason in rows["receptor_absent"][rows["receptor_absent"].ne("")].items():
        ax.annotate(
            textwrap.fill(reason, 8),
            (column, number),
            ha="center",
            va="center",
            color=MUTED,
            fontsize=5.5,
            linespacing=0.9,
        )


def _dot_area(value: float) -> float:
    """Return the area of a dot for a share of cells (0-1), points squared."""
    return 5 + 90 * value


def _receptor_legend() -> list[Any]:
    """Build the legend entries of the receptors."""
    from matplotlib.lines import Line2D

    look: dict[str, Any] = {"color": CALLED, "marker": "o", "linestyle": "none"}
    sizes = [
        Line2D([], [], label=f"{100 * share:g} %", markersize=_dot_area(share) ** 0.5, **look)
        for share in _LEGEND_SHARES
    ]
    return [
        *sizes,
        Line2D([], [], label="not above background", markersize=5.5, markerfacecolor=PAPER, **look),
    ]
