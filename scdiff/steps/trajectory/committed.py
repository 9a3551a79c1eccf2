"""The committed fraction: how many cells have left the start on the way to the progenitor-like end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Threshold", "compute_committed_share", "scatter_of_start"]

N_SD = 3.0
"""Distance from the start, in standard deviations of its scatter, beyond which a cell counts as seen on the way."""

STRETCH = 0.2
"""Length of the axis beyond the threshold whose cells tell how many are hidden below it."""


@dataclass(frozen=True)
class Threshold:
    """Middle of the start and the distance from it that counts, both in positions on the axis."""

    middle: float
    distance: float


def scatter_of_start(position: np.ndarray, start: np.ndarray) -> Threshold:
    """Find the threshold from the cells of the start that lie away from the end: no cell on the way is among them."""
    middle = float(np.median(position[start]))
    away = middle - position[start][position[start] < middle]
    return Threshold(middle, N_SD * float(np.quantile(away, 0.683)) if len(away) else 0.0)


def compute_committed_share(position: np.ndarray, threshold: Threshold) -> tuple[int, float, float, float]:
    """Cells seen beyond the threshold, and the share of all cells that are on the way or at the end, with a 95 % interval.

    From the cells beyond the threshold, those as far on the other side are taken off (scatter of the start). The cells
    hidden below it are added as if they lay as densely as those just beyond: cells leave the start at a steady rate. The
    interval reaches from none hidden to twice as many.

    Parameters
    ----------
    position
        Cells on the axis, shape (n_cells,).
    threshold
        From :func:`scatter_of_start`.

    Returns
    -------
    cells beyond, share, low, high

    >>> compute_committed_share(np.repeat([0.0, 1.0], [90, 10]), Threshold(0.0, 0.1))[:2]
    (10, 0.1)
    """
    from scipy.stats import chi2

    away = position - threshold.middle
    beyond, opposite = int((away > threshold.distance).sum()), int((away < -threshold.distance).sum())
    near = beyond - int((away > threshold.distance + STRETCH).sum())
    hidden = threshold.distance / STRETCH * max(near - opposite, 0)
    surely, at_most = chi2.ppf(0.025, 2 * beyond) / 2 if beyond else 0.0, chi2.ppf(0.975, 2 * beyond + 2) / 2
    uncertain = 1.96 * np.sqrt(opposite)
    shares = np.array([beyond - opposite + hidden, surely - opposite - uncertain, at_most - opposite + 2 * hidden + uncertain])
    share, low, high = np.clip(shares / max(len(position), 1), 0.0, 1.0)
    return beyond, float(share), float(min(low, share)), float(max(high, share))
