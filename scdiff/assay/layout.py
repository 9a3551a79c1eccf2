"""Where theta, the vector of all fitted parameters, holds each parameter.

The compiled loops of :mod:`scdiff.assay.kernel` use the same order.
"""

from __future__ import annotations

from dataclasses import dataclass

from scdiff.assay.priors import N_NODES
from scdiff.assay.table import Floats

__all__ = ["N_PER_MARKER", "Layout"]

N_PER_MARKER = 5
"""Parameters of each marker: ln level, ln ambient level, ln leak, ln on size, ln off size."""
N_SHARED = 3
"""Parameters of all markers together: ln activity, slope, tilt."""


@dataclass(frozen=True)
class Layout:
    """Places of the parameters in theta.

    Parameters
    ----------
    n_markers
        Number of markers, 1 or more.

    >>> at = Layout(3)
    >>> at.soup, at.activity, at.slope, at.tilt
    (slice(3, 6, None), 15, 16, 17)
    """

    n_markers: int

    @property
    def level(self) -> slice:
        """Ln level of each marker in the cells that express it."""
        return slice(0, self.n_markers)

    @property
    def soup(self) -> slice:
        """Ln level of each marker in the ambient RNA, relative to the typical level."""
        return slice(self.n_markers, 2 * self.n_markers)

    @property
    def activity(self) -> int:
        """Ln standard deviation of ln activity."""
        return N_PER_MARKER * self.n_markers

    @property
    def slope(self) -> int:
        """Slope of the patterns' log-odds by ln depth."""
        return self.activity + 1

    @property
    def tilt(self) -> int:
        """Power of depth with which the contamination changes."""
        return self.activity + 2

    @property
    def shared(self) -> slice:
        """Activity, slope and tilt."""
        return slice(self.activity, self.activity + N_SHARED)

    @property
    def nodes(self) -> slice:
        """Logits of the contamination values."""
        return slice(self.shared.stop, self.shared.stop + N_NODES)

    @property
    def patterns(self) -> slice:
        """Logits of the pattern weights."""
        return slice(self.nodes.stop, None)

    def by_marker(self, theta: Floats) -> Floats:
        """View the parameters of the markers as one row per kind, shape (5, n_markers)."""
        return theta[: self.activity].reshape(N_PER_MARKER, self.n_markers)
