"""Plot of the expected number of cells of each state in a dose."""

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
"""Largest width of the axis, powers of ten; chosen, not tuned.

Smaller numbers of cells are drawn at the left end."""


def dose_dots(expected: pd.DataFrame, ax: Axes, *, most: float, n_first: int = 0) -> Axes:
    """Draw the expected cells of a dose with intervals.

    A state that was not detected gets an arrow that points left from its upper bound.

    Parameters
    ----------
    expected
        Columns ``label``, ``colour``, ``verdict``, ``cells``, ``cells_low`` and ``cells_high``.
    ax
        Where to draw.
    most
        Viable cells of the dose, the right end of the axis.
    n_first
        Number of rows above the line that separates the states; 0 draws no line.
    """
    least = _left_end(expected, most)
    ax.set_xscale("log")
    ax.set_xlim(least, 1.6 * most)
    for number, row in enumerate(expected.to_dict("records")):
        _draw_state(ax, number, row, least, most)
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
    """Return the left end of the axis: a power of ten below the smallest positive number.

    The axis spans about ``MOST_DECADES`` powers of ten at most.
    """
    from math import floor, log10

    numbers = expected[["cells", "cells_low", "cells_high"]].to_numpy(dtype=float).ravel()
    known = [float(value) for value in numbers if value > 0]
    least = max(min([*known, most / 10]) / 3, most / 10**MOST_DECADES)
    return 10.0 ** floor(log10(least))


def _draw_state(ax: Axes, number: int, row: dict[Any, Any], least: float, most: float) -> None:
    """Draw the row of one state."""
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
        _draw_upper_bound(ax, number, high, length=(1.6 * most / least) ** 0.09, look=look)
        return
    ends = (max(float(row["cells_low"]), least), high)
    ax.plot(ends, (number, number), linewidth=1.8, solid_capstyle="butt", **look)
    middle = max(float(row["cells"]), least)
    ax.plot([middle], [number], linestyle="none", marker="o", markersize=5.5, **look)


def _draw_upper_bound(
    ax: Axes, number: int, high: float, *, length: float, look: dict[str, Any]
) -> None:
    """Draw the upper bound of a state that was not detected, with an arrow to the left.

    ``length`` is the ratio of the two ends of the arrow, because the axis is logarithmic.
    """
    ax.annotate(
        "",
        (high / length, number),
        (high, number),
        arrowprops={"arrowstyle": "->", "color": look["color"], "linewidth": 1.5},
    )
    mark: dict[str, Any] = {
        "linestyle": "none",
        "marker": "|",
        "markersize": 9,
        "markeredgewidth": 1.8,
    }
    ax.plot([high], [number], **mark, **look)
