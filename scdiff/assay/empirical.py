"""Randomised empirical p-values by depth stratum, from tallies of a binned statistic.

Within a bin the p-value is uniform between the share of larger values and the share of values at
least as large. It is therefore exactly uniform under the null, with or without ties. The share of a
held-out null below a nominal level is the expectation over that randomisation: no random number
enters it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scdiff.assay.table import Floats, Ints

__all__ = ["GROUPS", "NOMINAL", "DepthStrata", "Null", "depth_strata"]

NOMINAL = np.array(
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, *np.linspace(0.2, 1.0, 9)]
)
"""Nominal levels of the QQ data."""

GROUPS = ("overall", "quartile_1", "quartile_2", "quartile_3", "quartile_4")
"""All cells, and quartiles of depth, the shallowest first."""

CELLS_PER_STRATUM, MOST_PER_QUARTILE = 25, 10
"""Fewest cells per depth stratum, and most strata per quartile of depth. Chosen, not tuned."""


@dataclass(frozen=True)
class DepthStrata:
    """Strata of depth, the same number in each quartile.

    Parameters
    ----------
    edges
        Lowest depth of each stratum except the first, shape (n_strata - 1,).
    """

    edges: Floats

    @property
    def n_strata(self) -> int:
        """Number of strata."""
        return len(self.edges) + 1

    @property
    def quartile(self) -> Ints:
        """Quartile of each stratum, 0-3, shape (n_strata,)."""
        return np.arange(self.n_strata) * 4 // self.n_strata

    def of(self, depth: Any) -> Ints:
        """Return the stratum of each depth."""
        return np.searchsorted(self.edges, np.asarray(depth, dtype=float), side="right")


def depth_strata(depth: Any) -> DepthStrata:
    """Cut depths into strata of about equal numbers of cells; equal depths stay together.

    Parameters
    ----------
    depth
        Depth of each cell, shape (n_cells,).

    >>> depth_strata([1, 2, 3, 4]).of([1, 2, 3, 4]).tolist()
    [0, 1, 2, 3]
    """
    values = np.sort(np.asarray(depth, dtype=float))
    n_strata = 4 * int(np.clip(len(values) // (4 * CELLS_PER_STRATUM), 1, MOST_PER_QUARTILE))
    return DepthStrata(values[np.arange(1, n_strata) * len(values) // n_strata])


@dataclass(frozen=True)
class Null:
    """Null distribution in each stratum, and its held-out half.

    Parameters
    ----------
    strata
        The strata of depth.
    tally
        Values per side (0 calibrates, 1 checks), stratum and bin, shape (2, n_strata, n_bins).
    """

    strata: DepthStrata
    tally: NDArray[np.int64]

    @cached_property
    def limits(self) -> tuple[Floats, Floats]:
        """Lowest and highest p-value of each stratum and bin, shape (n_strata, n_bins)."""
        at_least = np.cumsum(self.tally[0][:, ::-1], axis=1)[:, ::-1]
        everything = at_least[:, :1] + 1.0
        return (at_least - self.tally[0]) / everything, (at_least + 1.0) / everything

    def p_values(self, bins: Ints, depth: Any, uniform: Floats) -> Floats:
        """Compute the randomised p-value of each cell.

        Parameters
        ----------
        bins
            Bin of the statistic, shape (n_cells,).
        depth
            Depth of each cell, shape (n_cells,).
        uniform
            One number per cell, 0-1, that decides within the bin.
        """
        stratum, (low, high) = self.strata.of(depth), self.limits
        return np.asarray(low[stratum, bins] + uniform * (high - low)[stratum, bins])

    def share(self, tally: NDArray[np.int64]) -> Floats:
        """Compute the expected share of p-values at or below each nominal level.

        Parameters
        ----------
        tally
            Values per stratum and bin, shape (n_strata, n_bins).

        Returns
        -------
        Shape (n_levels, 5): overall and by quartile of depth; NaN for a group without values.
        """
        low, high = self.limits
        below = np.stack(
            [
                (tally * np.clip((level - low) / (high - low), 0.0, 1.0)).sum(axis=1)
                for level in NOMINAL
            ]
        )
        group = np.vstack(
            [np.ones(self.strata.n_strata), self.strata.quartile == np.arange(4)[:, None]]
        )
        cells = group @ tally.sum(axis=1)
        return np.asarray(below @ group.T / np.where(cells > 0, cells, np.nan))

    @property
    def held_out(self) -> Floats:
        """:meth:`share` of the half that did not calibrate."""
        return self.share(self.tally[1])
