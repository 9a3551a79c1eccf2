"""The committed fraction: how many cells left the start on the way to the progenitor-like end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Threshold", "compute_committed_share", "find_threshold"]

N_SD = 3.0
"""Distance from the start beyond which a cell is on the way, in standard deviations of its scatter.

The usual three standard deviations.
"""

STRETCH = 0.2
"""Length of the axis beyond the threshold whose cells predict how many are hidden below it.

A fifth of the way from start to end. Chosen, not tuned.
"""


@dataclass(frozen=True)
class Threshold:
    """Median of the start and the distance from it that counts, in positions on the axis."""

    middle: float
    distance: float


def find_threshold(position: np.ndarray, start: np.ndarray) -> Threshold:
    """Find the threshold from the cells of the start that are on the side away from the end.

    No cell on the way is among them.
    """
    middle = float(np.median(position[start]))
    away = middle - position[start][position[start] < middle]
    return Threshold(middle, N_SD * float(np.quantile(away, 0.683)) if len(away) else 0.0)


def compute_committed_share(
    position: np.ndarray, threshold: Threshold
) -> tuple[int, float, float, float]:
    """Estimate the share of cells that are on the way or at the end, with a 95 % interval.

    Cells as far away on the other side of the start are subtracted (scatter of the start). Cells
    hidden below the threshold are added as if they were as dense as those just beyond it: cells
    leave the start at a steady rate. The interval ranges from no hidden cells to twice as many.

    Parameters
    ----------
    position
        Cells on the axis, shape (n_cells,).
    threshold
        From :func:`find_threshold`.

    Returns
    -------
    cells beyond, share, low, high

    >>> compute_committed_share(np.repeat([0.0, 1.0], [90, 10]), Threshold(0.0, 0.1))[:2]
    (10, 0.1)
    """
    from scipy.stats import chi2

    away = position - threshold.middle
    beyond = int((away > threshold.distance).sum())
    opposite = int((away < -threshold.distance).sum())
    near = beyond - int((away > threshold.distance + STRETCH).sum())
    hidden = threshold.distance / STRETCH * max(near - opposite, 0)
    fewest = chi2.ppf(0.025, 2 * beyond) / 2 if beyond else 0.0
    most = chi2.ppf(0.975, 2 * beyond + 2) / 2
    uncertain = 1.96 * np.sqrt(opposite)
    numbers = [
        beyond - opposite + hidden,
        fewest - opposite - uncertain,
        most - opposite + 2 * hidden + uncertain,
    ]
    share, low, high = np.clip(np.array(numbers) / max(len(position), 1), 0.0, 1.0)
    return beyond, float(share), float(min(low, share)), float(max(high, share))
