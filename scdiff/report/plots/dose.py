"""Plot of the cells that a dose is expected to hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scdiff.report.plots.style import LINE, MUTED
from scdiff.report.text import large
from scdiff.vocabulary import NO_NUMBER, NOT_DETECTED

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["dose_dots"]

MOST_DECADES = 7
"""Width of the axis at most: fewer cells than this below the dose are drawn at its left end."""


def dose_dots(expected: pd.DataFrame, ax: Axes, *, most: float, n_first: int = 0) -> Axes:
    """Draw the expected cells of a dose with intervals; an arrow from its upper bound where a state was not detected.

    Parameters
    ----------
    expected
        Columns ``label``, ``colour``, ``verdict``, ``cells``, ``cells_low`` and ``cells_high``.
    ax
        Where to draw.
    most
        Viable cells of the dose, the right end of the axis.
    n_first
        Rows after which a line is drawn; 0 for none.
    """
    least = _left_end(expected, most)
    ax.set_xscale("log")
    ax.set_xlim(least, 1.6 * most)
    for number, row in enumerate(expected.to_dict("records")):
        _row(ax, number, row, least, most)
    ax.axvline(most, color=MUTED, linewidth=0.8, linestyle=":")
    if 0 < n_first < len(expected):
        ax.axhline(n_first - 0.5, color=LINE, linewidth=0.8)
    ax.set_yticks(range(len(expected)), [str(label) for label in expected["label"]])
    ax.set_ylim(len(expected) - 0.4, -0.6)
    ax.xaxis.set_major_formatter(lambda value, _: large(value).replace(" million", " M"))
    ax.grid(visible=True, axis="x")
    ax.set_xlabel("cells in the dose")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    return ax


def _left_end(expected: pd.DataFrame, most: float) -> float:
    """Left end of the axis: the decade below the least number, not too far out."""
    from math import floor, log10

    numbers = expected[["cells", "cells_low", "cells_high"]].to_numpy(dtype=float).ravel()
    known = [float(value) for value in numbers if value > 0]
    least = max(min([*known, most / 10]) / 3, most / 10**MOST_DECADES)
    return 10.0 ** floor(log10(least))


def _row(ax: Axes, number: int, row: dict[Any, Any], least: float, most: float) -> None:
    """Draw one state."""
    if row["verdict"] in NO_NUMBER:
        ax.annotate(
            str(row["verdict"]),
            ((least * most) ** 0.5, number),
            ha="center",
            va="center",
            color=MUTED,
        )
        return
    high, look = max(float(row["cells_high"]), least), {"color": row["colour"], "zorder": 3}
    if row["verdict"] == NOT_DETECTED:
        length = (1.6 * most / least) ** 0.09
        ax.annotate(
            "",
            (high / length, number),
            (high, number),
            arrowprops={"arrowstyle": "->", "color": row["colour"], "linewidth": 1.5},
        )
        ax.plot(
            [high],
            [number],
            linestyle="none",
            marker="|",
            markersize=9,
            markeredgewidth=1.8,
            **look,
        )
        return
    ax.plot(
        (max(float(row["cells_low"]), least), high),
        (number, number),
        linewidth=1.8,
        solid_capstyle="butt",
        **look,
    )
    ax.plot(
        [max(float(row["cells"]), least)],
        [number],
        linestyle="none",
        marker="o",
        markersize=5.5,
        **look,
    )
