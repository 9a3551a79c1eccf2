"""Plots on the two-dimensional map, and of the composition of clusters."""

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
    from matplotlib.collections import PathCollection

__all__ = ["category_map", "paga_graph", "pseudotime_map", "state_bars"]

_LABEL = {"boxstyle": "round,pad=0.2", "facecolor": PAPER, "edgecolor": "none", "alpha": 0.85}
"""Box behind a text on the map."""

_SMALLEST_WEIGHT = 0.02
"""Connectivity of clusters (0-1) up to which no line is drawn; chosen, not tuned."""


def _strip_axes(ax: Axes) -> Axes:
    """Remove ticks and frame, because positions on a UMAP have no unit."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    ax.set_xlabel("UMAP 1 (no unit)", color=MUTED)
    ax.set_ylabel("UMAP 2 (no unit)", color=MUTED)
    return ax


def _dot_area(n_cells: int) -> float:
    """Return the area of a dot, points squared: smaller for more cells."""
    return float(max(1.0, min(14.0, 9000 / max(n_cells, 1))))


@of_object(objects.category_map)
def category_map(xy: np.ndarray, categories: pd.Series, ax: Axes) -> Axes:
    """Draw the map coloured by a category, with rare levels on top.

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
            "s": _dot_area(len(xy)),
            "color": colour,
            "linewidths": 0,
            "zorder": 2 + rank[level] / len(rank),
        }
        ax.scatter(xy[chosen, 0], xy[chosen, 1], label=level, rasterized=True, **look)
    legend_below(ax, gap=20, columns=2 if max(map(len, palette)) > 4 else 6, marker_scale=2)
    return _strip_axes(ax)


@of_object(objects.pseudotime_map)
def pseudotime_map(xy: np.ndarray, pseudotime: np.ndarray, root: int | None, ax: Axes) -> Axes:
    """Draw the map coloured by pseudotime; cells that the root does not reach are grey.

    Parameters
    ----------
    xy
        Cells x 2, no unit.
    pseudotime
        Pseudotime of each cell, 0-1; NaN if the root does not reach it. Shape (n_cells,).
    root
        Row of the root cell, which gets a ring; None draws no ring.
    ax
        Where to draw.
    """
    import numpy as np

    reached = np.isfinite(pseudotime)
    look: dict[str, Any] = {"s": _dot_area(len(xy)), "linewidths": 0, "rasterized": True}
    ax.scatter(xy[~reached, 0], xy[~reached, 1], color=GREY, alpha=0.35, **look)
    shown = ax.scatter(
        xy[reached, 0],
        xy[reached, 1],
        c=pseudotime[reached],
        cmap=ramp(),
        vmin=0,
        vmax=1,
        **look,
    )
    if root is not None:
        _mark_root(ax, xy[root])
    _add_colour_bar(ax, shown, "diffusion pseudotime (0-1)")
    return _strip_axes(ax)


def _mark_root(ax: Axes, point: np.ndarray) -> None:
    """Draw a ring around the root cell, with its name."""
    ax.scatter(point[0], point[1], s=110, facecolors="none", edgecolors=INK, linewidths=1.6)
    ax.annotate(
        "root",
        tuple(point),
        xytext=(8, 8),
        textcoords="offset points",
        weight="bold",
        bbox=_LABEL,
    )


def _add_colour_bar(ax: Axes, shown: PathCollection, label: str) -> None:
    """Add a horizontal colour bar below the map."""
    ax.figure.colorbar(
        shown, ax=ax, label=label, orientation="horizontal", shrink=0.7, aspect=30, pad=0.03
    )


@of_object(objects.paga_graph)
def paga_graph(positions: pd.DataFrame, connectivities: pd.DataFrame, root: str, ax: Axes) -> Axes:
    """Draw the clusters as a graph.

    Area shows the number of cells, colour the share called, line width the connectivity.

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
    xy = positions[["x", "y"]].to_numpy()
    weights = connectivities.reindex(index=positions.index, columns=positions.index).fillna(0)
    _draw_edges(ax, xy, weights.to_numpy())
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
    _name_clusters(ax, xy, positions["positive"])
    ax.margins(0.18)
    _add_colour_bar(ax, shown, "cells called (%)")
    return _strip_axes(ax)


def _draw_edges(ax: Axes, xy: np.ndarray, weights: np.ndarray) -> None:
    """Draw a line between each two clusters that are connected."""
    import numpy as np

    for one, two in zip(*np.triu_indices(len(xy), 1), strict=True):
        if weights[one, two] > _SMALLEST_WEIGHT:
            ax.plot(
                *xy[[one, two]].T,
                color=MUTED,
                linewidth=0.4 + 3.6 * weights[one, two],
                alpha=0.6,
                zorder=1,
                solid_capstyle="round",
            )


def _name_clusters(ax: Axes, xy: np.ndarray, shares: pd.Series) -> None:
    """Write the name of each cluster, light on dark clusters (many cells called), else dark."""
    for name, point, share in zip(shares.index, xy, shares, strict=True):
        is_dark = share > 0.6 * max(shares.max(), 1e-9)
        ax.annotate(
            str(name),
            tuple(point),
            ha="center",
            va="center",
            color=ON_DARK if is_dark else ON_LIGHT,
            weight="bold",
        )


@of_object(objects.state_bars)
def state_bars(shares: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the states within each cluster as stacked bars.

    Parameters
    ----------
    shares
        Clusters x states, percent of the cells of the cluster.
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
