"""Plot of the measured against the true fraction of mixtures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scdiff.report.plots.style import ACCENT, CALLED, GREY, legend_below
from scdiff.vocabulary import INCONCLUSIVE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["recovery"]

LINEAR = 0.1
"""Percentage below which the axis is linear, so that 0 has a place."""


def recovery(titration: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the measured fraction of each mixture, with its interval, next to the truth.

    Parameters
    ----------
    titration
        Columns ``true``, ``prevalence``, ``prevalence_low``, ``prevalence_high``, ``verdict``;
        fractions 0-1.
    ax
        Where to draw.
    """
    place = np.arange(len(titration))
    middle, low, high, true = (
        100 * titration[name].to_numpy(dtype=float)
        for name in ("prevalence", "prevalence_low", "prevalence_high", "true")
    )
    doubted = (titration["verdict"] == INCONCLUSIVE).to_numpy()
    for chosen, colour, marker, label in (
        (~doubted, CALLED, "o", "measured, 95 % interval"),
        (doubted, GREY, "s", "inconclusive"),
    ):
        if chosen.any():
            ends = np.abs([middle - low, high - middle])[:, chosen]
            ax.errorbar(
                place[chosen],
                middle[chosen],
                ends,
                fmt=marker,
                color=colour,
                capsize=2,
                label=label,
            )
    ax.hlines(true, place - 0.35, place + 0.35, color=ACCENT, label="truth")
    ax.set_yscale("symlog", linthresh=LINEAR, linscale=0.5)
    ax.set_ylim(0, 100)
    ax.set_yticks([0, 0.1, 1, 10, 100], ["0", "0.1", "1", "10", "100"])
    ax.set_xticks(place, [f"{value:.2g}" for value in true])
    ax.grid(visible=True, axis="y")
    ax.set_xlabel("target cells in the mixture (%)")
    ax.set_ylabel("measured (%)")
    legend_below(ax)
    return ax
