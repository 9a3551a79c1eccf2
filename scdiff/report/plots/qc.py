"""Plots of quality control."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from scdiff.report.plots import objects
from scdiff.report.plots.objects import of_object
from scdiff.report.plots.style import (
    ACCENT,
    CALLED,
    GREY,
    INK,
    NEGATIVE,
    PALETTE,
    colours,
    legend_below,
    log_counts,
)
from scdiff.report.text import short

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.ticker import Locator

__all__ = ["REASONS", "dropped_bars", "metric_histogram"]

REASONS = {
    "n_after": ("kept", NEGATIVE),
    "empty": ("empty", GREY),
    "low_counts": ("few counts", PALETTE[4]),
    "low_genes": ("few genes", ACCENT),
    "high_mito": ("high mito.", PALETTE[1]),
    "doublet": ("doublet", CALLED),
}
"""Column of the table of dropped cells -> label in the legend, colour."""


@of_object(objects.dropped_bars)
def dropped_bars(dropped: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the kept and the dropped cells of each sample as stacked bars, by reason.

    Parameters
    ----------
    dropped
        Samples x the columns of :data:`REASONS`, numbers of cells.
    ax
        Where to draw.
    """
    import numpy as np

    left = np.zeros(len(dropped))
    for column, (label, colour) in REASONS.items():
        numbers = dropped[column].to_numpy(dtype=float)
        if column == "n_after" or numbers.any():
            ax.barh(
                np.arange(len(dropped)), numbers, left=left, color=colour, height=0.62, label=label
            )
        left += numbers
    ax.set_yticks(np.arange(len(dropped)), [short(str(name)) for name in dropped.index])
    ax.invert_yaxis()
    ax.set_xlabel("cells (barcodes)")
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.xaxis.set_major_locator(_few_ticks())
    legend_below(ax)
    return ax


def _few_ticks() -> Locator:
    """Return a locator that sets at most five ticks, at round numbers."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=4, integer=True)


@of_object(objects.metric_histogram)
def metric_histogram(
    values: np.ndarray,
    samples: np.ndarray,
    ax: Axes,
    *,
    label: str,
    thresholds: Mapping[str, float],
    log: bool = False,
) -> Axes:
    """Draw the distribution of one QC metric, one line per sample, with its thresholds.

    Parameters
    ----------
    values
        One value per cell, in the unit that ``label`` names.
    samples
        Sample of each cell.
    ax
        Where to draw.
    label
        Label of the horizontal axis, with its unit.
    thresholds
        Threshold of each sample, in the same unit; NaN is not drawn.
    log
        Whether the horizontal axis is logarithmic.
    """
    import numpy as np

    finite = np.isfinite(values) & ((values > 0) if log else True)
    edges = _bin_edges(values[finite], log=log)
    for sample, colour in colours(sorted({str(name) for name in samples})).items():
        numbers, _ = np.histogram(values[finite & (samples == sample)], bins=edges)
        ax.stairs(numbers, edges, color=colour, linewidth=1.3, label=sample)
        if np.isfinite(thresholds.get(sample, np.nan)):
            ax.axvline(thresholds[sample], color=colour, linestyle=(0, (3, 2)), linewidth=1)
    if log:
        log_counts(ax)
    ax.set_xlabel(label, color=INK)
    ax.set_ylabel("cells")
    if ax.patches:
        legend_below(ax)
    return ax


def _bin_edges(values: np.ndarray, *, log: bool) -> np.ndarray:
    """Return the edges of 30 bins over the range of ``values``; of one bin if it is empty."""
    import numpy as np

    if values.size == 0:
        return np.array([1.0, 10.0])
    low, high = float(values.min()), float(values.max())
    high = high if high > low else low + 1.0
    return np.geomspace(low, high, 31) if log else np.linspace(low, high, 31)
