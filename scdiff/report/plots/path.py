"""The path from the start to the progenitor-like end, filled or empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from scdiff.report.plots.style import ACCENT, CALLED, GREY, INK, LINE, MUTED, NEGATIVE, legend_below

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["path_histogram"]


def path_histogram(path: pd.DataFrame, gap: Mapping[str, float], ax: Axes) -> Axes:
    """Draw how many cells lie at each place between start and end, and how many doublets would.

    Parameters
    ----------
    path
        One row per bin: ``position`` (its lower edge; 0 start, 1 end), ``cells``, ``start``, ``end``, ``doublets`` (expected).
    gap
        ``low`` and ``high``: where the scatter of the start ends and that of the end begins; empty where nothing was judged.
    ax
        Where to draw.
    """
    import numpy as np

    width = float(np.diff(path["position"]).min())
    middle = path["position"] + width / 2
    ax.bar(middle, path["cells"], width=width, color=NEGATIVE, label="cells")
    ax.bar(middle, path["start"], width=width, color=GREY, label="start (root)")
    ax.bar(middle, path["end"], width=width, color=CALLED, label="end (called)", bottom=path["start"])
    ax.step(middle, path["doublets"], where="mid", color=ACCENT, linewidth=1.4, label="doublets expected")
    if gap and gap["high"] > gap["low"]:
        for edge in (gap["low"], gap["high"]):
            ax.axvline(edge, color=MUTED, linestyle="--", linewidth=1)
        ax.text((gap["low"] + gap["high"]) / 2, 0.97, "the way", ha="center", va="top", transform=ax.get_xaxis_transform(), color=INK)
    ax.set_yscale("symlog", linthresh=1)
    ax.set_ylim(0, max(float(path["cells"].max()), 1.0) * 3)
    ticks = [tick for tick in (0, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000) if tick <= max(float(path["cells"].max()), 1.0) * 3]
    ax.set_yticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.set_yticks([], minor=True)
    ax.grid(visible=True, axis="y", color=LINE)
    filled = path.loc[path["cells"] > 0, "position"]
    ax.set_xlim(min(float(filled.min()), -0.1) - width, max(float(filled.max()), 1.1) + 2 * width)
    ax.set_xlabel("position: 0 start, 1 progenitor-like end")
    ax.set_ylabel("cells")
    legend_below(ax, columns=2)
    return ax
