"""From a fraction to a dose: how many of the given cells are expected to be positive.

The sequenced cells represent the dose. A dose is so much larger than a sample that its own sampling
adds nothing to the interval of the fraction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scdiff.assay.table import Floats
from scdiff.errors import InputError
from scdiff.vocabulary import NO_NUMBER, NOT_DETECTED

__all__ = ["DOSE_CELLS", "Dose", "Expected", "estimate_cells", "upper_bound"]

DOSE_CELLS = 80_000_000
"""Cells of a dose if no other number is given. A default, not a recommendation."""


@dataclass(frozen=True)
class Dose:
    """A dose of cells.

    Parameters
    ----------
    cells
        Administered cells, above 0.
    viability
        Viable share of them, above 0 to 1; 1 if ``cells`` counts viable cells only.
    weight_kg
        Body weight, kg, above 0; None if it is unknown.

    Raises
    ------
    InputError
        If a number is out of range.

    >>> Dose(100e6, viability=0.75).viable_cells
    75000000.0
    """

    cells: float = DOSE_CELLS
    viability: float = 1.0
    weight_kg: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.cells) and self.cells > 0):
            raise InputError(
                f"the dose is {self.cells:g} cells, but it must be more than 0: 80000000 is 80 "
                "million."
            )
        if not 0 < self.viability <= 1:
            raise InputError(
                f"the viability is {self.viability:g}, but it is a share of the cells, above 0 to "
                "1: 0.9 is 90 %."
            )
        if self.weight_kg is not None and not (
            math.isfinite(self.weight_kg) and self.weight_kg > 0
        ):
            raise InputError(
                f"the body weight is {self.weight_kg:g} kg, but it must be more than 0; leave it "
                "out if it is unknown."
            )

    @property
    def viable_cells(self) -> float:
        """Number of viable cells of the dose."""
        return self.cells * self.viability


@dataclass(frozen=True)
class Expected:
    """Expected positive cells of a dose, each of shape (n,).

    Parameters
    ----------
    cells, low, high
        Expected number with its 95 % interval. NaN if not measurable; only ``high`` if not
        detected.
    by_blank
        Whether the limit of blank gives ``high``.
    """

    cells: Floats
    low: Floats
    high: Floats
    by_blank: NDArray[np.bool_]


def upper_bound(high: Any, blank: Any) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the upper bound of a fraction that was not detected.

    It is the end of its interval or, if that is larger, the limit of blank: a batch that reads no
    higher than a blank may hold as many positive cells as the blank hides.

    Parameters
    ----------
    high
        Upper ends of the intervals, shape (n,), 0-1.
    blank
        Limits of blank, shape (n,), 0-1; NaN if it is missing.

    Returns
    -------
    The bounds, and whether each is the limit of blank; shapes (n,).

    >>> upper_bound([0.001, 0.001], [0.0004, 0.003])
    (array([0.001, 0.003]), array([False,  True]))
    """
    ends, blanks = np.asarray(high, dtype=float), np.asarray(blank, dtype=float)
    by_blank = np.asarray(blanks > ends)
    return np.where(by_blank, blanks, ends), by_blank


def estimate_cells(
    fractions: Any, low: Any, high: Any, *, blank: Any, verdicts: Any, dose: Dose
) -> Expected:
    """Compute how many cells of a dose are expected to be positive.

    Parameters
    ----------
    fractions, low, high
        Fractions with their 95 % intervals, shapes (n,), 0-1.
    blank
        Limits of blank, shape (n,), 0-1; NaN if it is missing.
    verdicts
        One verdict per fraction, shape (n,): ``not measurable`` and ``inconclusive`` give no
        number, ``not detected`` an upper bound.
    dose
        The dose.

    >>> found = estimate_cells([0.04, 0.0], [0.03, 0.0], [0.05, 0.001], blank=[0.0, 0.0],
    ...                        verdicts=["quantified", "not detected"], dose=Dose(1e6))
    >>> found.cells.tolist(), found.high.tolist()
    ([40000.0, nan], [50000.0, 1000.0])
    """
    verdict = np.asarray(verdicts, dtype=str)
    measured = ~np.isin(verdict, NO_NUMBER)
    found = measured & (verdict != NOT_DETECTED)
    bounds, by_blank = upper_bound(high, blank)
    shares = (
        np.where(found, np.asarray(fractions, dtype=float), np.nan),
        np.where(found, np.asarray(low, dtype=float), np.nan),
        np.where(found, np.asarray(high, dtype=float), np.where(measured, bounds, np.nan)),
    )
    cells, least, most = (share * dose.viable_cells for share in shares)
    return Expected(cells, least, most, by_blank & measured & ~found)
