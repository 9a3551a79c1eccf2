"""Plots of the evidence of the markers in single cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scdiff.report.plots import objects
from scdiff.report.plots.objects import of_object
from scdiff.report.plots.style import CALLED, INK, MUTED, NEGATIVE, log_counts

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["counts_against_depth", "evidence_strips", "positives_heatmap"]

_SPREAD = 0.32
"""Half height of a strip, rows: strips do not touch, as rows are 1 apart."""


@of_object(objects.evidence_strips)
def evidence_strips(evidence: pd.DataFrame, called: np.ndarray, ax: Axes) -> Axes:
    """Draw the evidence of every cell for each marker, and highlight called cells.

    Parameters
    ----------
    evidence
        Cells x markers, natural-log likelihood ratio of expressed over background. A column of NaN
        means that the marker is absent from the matrix.
    called
        Whether each cell is called positive, shape (n_cells,).
    ax
        Where to draw.
    """
    import numpy as np

    jitter = np.random.default_rng(0).uniform(-_SPREAD, _SPREAD, len(evidence))
    for row, marker in enumerate(evidence.columns):
        values = evidence[marker].to_numpy(dtype=float)
        if not np.isfinite(values).any():
            ax.annotate(
                "not measured",
                (0.5, row),
                xycoords=("axes fraction", "data"),
                ha="center",
                va="center",
                color=MUTED,
            )
            continue
        ax.scatter(
            values[~called],
            row + jitter[~called],
            s=3,
            color=NEGATIVE,
            linewidths=0,
            rasterized=True,
        )
        ax.scatter(
            values[called], row + jitter[called], s=9, color=CALLED, linewidths=0, rasterized=True
        )
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.set_yticks(range(evidence.shape[1]), [str(name) for name in evidence.columns])
    ax.set_ylim(evidence.shape[1] - 0.5, -0.5)
    ax.set_xscale("symlog", linthresh=5)
    ax.set_xticks([-5, 0, 5, 50, 500], ["-5", "0", "5", "50", "500"])
    ax.set_xlabel("evidence: ln likelihood ratio, on : background")
    return ax


@of_object(objects.counts_against_depth)
def counts_against_depth(
    depth: np.ndarray,
    counts: np.ndarray,
    called: np.ndarray,
    ax: Axes,
    *,
    marker: str,
    background_cp10k: float,
) -> Axes:
    """Draw the counts of a marker against depth, with the counts expected from background only.

    Parameters
    ----------
    depth
        Counts per cell.
    counts
        Counts of the marker per cell.
    called
        Whether each cell is called positive, shape (n_cells,).
    ax
        Where to draw.
    marker
        Name of the marker.
    background_cp10k
        Background level, counts per 10,000; NaN draws no line.
    """
    import numpy as np

    jitter = np.random.default_rng(0).uniform(-0.3, 0.3, len(depth))
    ax.scatter(
        depth[~called],
        (counts + jitter)[~called],
        s=4,
        color=NEGATIVE,
        linewidths=0,
        rasterized=True,
    )
    ax.scatter(
        depth[called], (counts + jitter)[called], s=10, color=CALLED, linewidths=0, rasterized=True
    )
    if np.isfinite(background_cp10k) and len(depth):
        ends = np.array([max(depth.min(), 1), max(depth.max(), 2)])
        ax.plot(ends, ends * background_cp10k / 1e4, color=INK, linewidth=1, linestyle=(0, (3, 2)))
    log_counts(ax)
    ax.set_yscale("symlog", linthresh=3)
    top = max(float(counts.max(initial=0)), 3.0)
    ticks = [tick for tick in (0, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000) if tick <= top]
    ax.set_yticks(ticks, [f"{tick:,}" for tick in ticks], minor=False)
    ax.set_yticks([], minor=True)
    ax.set_ylim(-0.6, top * 1.3)
    ax.set_xlabel("counts per cell")
    ax.set_ylabel(f"{marker} counts per cell")
    return ax


@of_object(objects.positives_heatmap)
def positives_heatmap(evidence: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the evidence of called cells as a heat map, sorted by which markers are expressed.

    Parameters
    ----------
    evidence
        Called cells x markers, natural-log likelihood ratio; clipped to -10 to 10.
    ax
        Where to draw.
    """
    import numpy as np
    from matplotlib.ticker import MaxNLocator

    values = evidence.to_numpy(dtype=float)
    clipped = np.clip(np.nan_to_num(values, nan=0.0), -10, 10)
    pattern = (clipped > 0) @ (2 ** np.arange(clipped.shape[1])[::-1])
    order = np.lexsort((-clipped.sum(axis=1), -pattern))
    shown = np.where(np.isnan(values), np.nan, clipped)[order].T
    image = ax.imshow(
        shown,
        cmap="PuOr_r",
        vmin=-10,
        vmax=10,
        aspect="auto",
        interpolation="nearest",
        rasterized=True,
    )
    ax.set_yticks(range(evidence.shape[1]), [str(name) for name in evidence.columns])
    ax.set_xlabel("called cells (sorted by pattern)")
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.figure.colorbar(
        image,
        ax=ax,
        label="evidence (ln ratio, cut at ±10)",
        orientation="horizontal",
        shrink=0.8,
        aspect=30,
        pad=0.03,
    )
    return ax
