"""Plots on the two-dimensional map, and what the clusters hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scdiff.report.plots import objects
from scdiff.report.plots.objects import of_object
from scdiff.report.plots.style import (
    CALLED,
    GREY,
    INK,
    MUTED,
    NEGATIVE,
    ON_DARK,
    ON_LIGHT,
    PAPER,
    colours,
    legend_below,
    natural,
    ramp,
)
from scdiff.report.text import short

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["category_map", "paga_graph", "pseudotime_map", "state_bars"]


_LABEL = {"boxstyle": "round,pad=0.2", "facecolor": PAPER, "edgecolor": "none", "alpha": 0.85}


def _bare(ax: Axes) -> Axes:
    """Take ticks and frame off: positions on a UMAP carry no unit."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    ax.set_xlabel("UMAP 1 (no unit)", color=MUTED)
    ax.set_ylabel("UMAP 2 (no unit)", color=MUTED)
    return ax


def _dot(n_cells: int) -> float:
    """Area of a dot, points squared: smaller for more cells."""
    return float(max(1.0, min(14.0, 9000 / max(n_cells, 1))))


@of_object(objects.category_map)
def category_map(xy: np.ndarray, categories: pd.Series, ax: Axes) -> Axes:
    """Draw the map coloured by a category, rare levels on top.

    Parameters
    ----------
    xy
        Cells x 2, no unit.
    categories
        One level per cell.
    ax
        Where to draw.
    """
    names = categories.astype(str).to_numpy()
    palette = colours(sorted(set(names), key=natural))
    rank = {level: place for place, level in enumerate(categories.astype(str).value_counts().index)}
    for level, colour in palette.items():
        chosen = names == level
        look: dict[str, Any] = {
            "s": _dot(len(xy)),
            "color": colour,
            "linewidths": 0,
            "zorder": 2 + rank[level] / len(rank),
        }
        ax.scatter(xy[chosen, 0], xy[chosen, 1], label=level, rasterized=True, **look)
    legend_below(ax, gap=20, columns=2 if max(map(len, palette)) > 4 else 6, marker_scale=2)
    return _bare(ax)


@of_object(objects.pseudotime_map)
def pseudotime_map(xy: np.ndarray, pseudotime: np.ndarray, root: int | None, ax: Axes) -> Axes:
    """Draw the map coloured by pseudotime; cells that the root does not reach are grey.

    Parameters
    ----------
    xy
        Cells x 2, no unit.
    pseudotime
        Cells, 0-1, NaN where not reached.
    root
        Row of the root cell, marked with a ring; None draws no ring.
    ax
        Where to draw.
    """
    import numpy as np

    reached = np.isfinite(pseudotime)
    size = _dot(len(xy))
    ax.scatter(
        xy[~reached, 0],
        xy[~reached, 1],
        s=size,
        color=GREY,
        alpha=0.35,
        linewidths=0,
        rasterized=True,
    )
    shown = ax.scatter(
        xy[reached, 0],
        xy[reached, 1],
        c=pseudotime[reached],
        cmap=ramp(),
        vmin=0,
        vmax=1,
        s=size,
        linewidths=0,
        rasterized=True,
    )
    if root is not None:
        ax.scatter(
            xy[root, 0], xy[root, 1], s=110, facecolors="none", edgecolors=INK, linewidths=1.6
        )
        ax.annotate(
            "root",
            tuple(xy[root]),
            xytext=(8, 8),
            textcoords="offset points",
            weight="bold",
            bbox=_LABEL,
        )
    ax.figure.colorbar(
        shown,
        ax=ax,
        label="diffusion pseudotime (0-1)",
        orientation="horizontal",
        shrink=0.7,
        aspect=30,
        pad=0.03,
    )
    return _bare(ax)


@of_object(objects.paga_graph)
def paga_graph(positions: pd.DataFrame, connectivities: pd.DataFrame, root: str, ax: Axes) -> Axes:
    """Draw clusters as a graph: area for cells, colour for the share called, line width for connectivity.

    Parameters
    ----------
    positions
        Clusters x ``x, y`` (map units), ``n_cells``, ``positive`` (share called, 0-1).
    connectivities
        Clusters x clusters, 0-1.
    root
        Name of the cluster that holds the root.
    ax
        Where to draw.
    """
    import numpy as np

    xy = positions[["x", "y"]].to_numpy()
    weights = (
        connectivities.reindex(index=positions.index, columns=positions.index).fillna(0).to_numpy()
    )
    for one, two in zip(*np.triu_indices(len(xy), 1), strict=True):
        if weights[one, two] > 0.02:
            ax.plot(
                *xy[[one, two]].T,
                color=MUTED,
                linewidth=0.4 + 3.6 * weights[one, two],
                alpha=0.6,
                zorder=1,
                solid_capstyle="round",
            )
    area = 60 + 500 * positions["n_cells"] / positions["n_cells"].max()
    edge = [CALLED if str(name) == root else MUTED for name in positions.index]
    shown = ax.scatter(
        xy[:, 0],
        xy[:, 1],
        s=area,
        c=100 * positions["positive"],
        cmap="Blues",
        vmin=0,
        vmax=max(100 * float(positions["positive"].max()), 1.0),
        edgecolors=edge,
        linewidths=1.4,
        zorder=2,
    )
    for name, point, share in zip(positions.index, xy, positions["positive"], strict=True):
        dark = share > 0.6 * max(positions["positive"].max(), 1e-9)
        ax.annotate(
            str(name),
            tuple(point),
            ha="center",
            va="center",
            color=ON_DARK if dark else ON_LIGHT,
            weight="bold",
        )
    ax.margins(0.18)
    ax.figure.colorbar(
        shown,
        ax=ax,
        label="cells called (%)",
        orientation="horizontal",
        shrink=0.7,
        aspect=30,
        pad=0.03,
    )
    return _bare(ax)


@of_object(objects.state_bars)
def state_bars(shares: pd.DataFrame, ax: Axes) -> Axes:
    """Stack the states within each cluster.

    Parameters
    ----------
    shares
        Clusters x states, percent of the cluster's cells.
    ax
        Where to draw.
    """
    import numpy as np

    left = np.zeros(len(shares))
    palette = colours([str(state) for state in shares.columns])
    for state in shares.columns:
        ax.barh(
            np.arange(len(shares)),
            shares[state],
            left=left,
            color=palette.get(str(state), NEGATIVE),
            height=0.72,
            label=str(state),
        )
        left += shares[state].to_numpy()
    ax.set_yticks(np.arange(len(shares)), [short(str(name)) for name in shares.index])
    ax.invert_yaxis()
    ax.set_xlim(0, 100)
    ax.set_xlabel("cells of the cluster (%)")
    ax.set_ylabel("cluster")
    legend_below(ax, columns=2)
    return ax
