"""Plot of the prevalence in each donor, by programme."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scdiff.report.plots.fractions import name_rows, percent_axis
from scdiff.report.plots.style import ACCENT, CALLED, INK

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["donor_strip"]


def donor_strip(values: pd.DataFrame, pooled: pd.DataFrame, ax: Axes) -> Axes:
    """Draw one dot per donor for each programme, with the mean and its interval.

    Parameters
    ----------
    values
        Columns ``program`` and ``prevalence`` (0-1), one row per programme and donor; drawn
        in percent.
    pooled
        Columns ``program``, ``prevalence``, ``prevalence_low`` and ``prevalence_high`` (0-1), one
        row per programme to draw.
    ax
        Where to draw.
    """
    import numpy as np

    for number, row in enumerate(pooled.to_dict("records")):
        is_program = values["program"].astype(str) == str(row["program"])
        shares = 100 * np.sort(values.loc[is_program, "prevalence"].to_numpy(dtype=float))
        low, middle, high = (
            100 * float(row[name]) for name in ("prevalence_low", "prevalence", "prevalence_high")
        )
        ax.barh(number, high - low, left=low, height=0.56, color=ACCENT, alpha=0.22, linewidth=0)
        ax.vlines(middle, number - 0.28, number + 0.28, color=ACCENT, linewidth=1.8)
        places = number + 0.3 * (np.arange(len(shares)) % 3 - 1) * 0.5
        ax.plot(
            shares,
            places,
            linestyle="none",
            marker="o",
            markersize=4.5,
            color=CALLED,
            markeredgecolor=INK,
            markeredgewidth=0.4,
        )
    name_rows(ax, [str(program) for program in pooled["program"]])
    return percent_axis(ax, "cells (%)")
