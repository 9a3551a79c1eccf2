"""How many donors are needed, for a mean and for a difference between two groups.

The number starts from Student's t with the variance of the beta-binomial. With few donors the interval and the comparison
of :mod:`scdiff.assay.donors` are wider than t, because their priors allow for more difference between donors than three
or four show. So both are asked, with donors at the quantiles of the distribution planned for, until they agree.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import beta, norm, t

from scdiff.assay.donors import beta_binomial_interval, compare_donors
from scdiff.assay.table import Floats
from scdiff.errors import InputError

__all__ = ["MOST_DONORS", "donors_for_change", "donors_for_mean"]

MOST_DONORS = 10_000
"""Largest number that is planned."""

MOST_ASKED = 60
"""From here on the priors no longer matter, and t alone decides."""

LARGEST_CORRELATION = 0.999


def donors_for_mean(fraction: float, rho: float, n_cells: float, *, half_width: float = 0.5, confidence: float = 0.95) -> int:
    """Fewest donors whose interval of the mean fraction has a given half-width, relative to the mean.

    Parameters
    ----------
    fraction
        Mean fraction, between 0 and 1.
    rho
        Correlation of two cells of one donor, 0-1.
    n_cells
        Cells per donor, or the cells that its prevalence is worth, 1 or more.
    half_width
        Half the width of the interval over the mean, above 0: 0.5 is 4 % with 2 % to either side.
    confidence
        Of the interval, between 0 and 1.

    Returns
    -------
    Donors, 2 or more; 0 where 10,000 are not enough.

    Raises
    ------
    InputError
        If a number is out of range.

    >>> donors_for_mean(0.04, 0.01, 1000), donors_for_mean(0.04, 0.05, 1000)
    (7, 22)
    """
    _check(fraction, rho, n_cells)
    variance, tail = _variance(fraction, rho, n_cells), (1 + confidence) / 2

    def by_t(donors: int) -> bool:
        """Half-width by Student's t."""
        return float(t.ppf(tail, donors - 1)) * np.sqrt(variance / donors) <= half_width * fraction

    def by_interval(donors: int) -> bool:
        """Half-width of the interval of typical donors."""
        low, high = beta_binomial_interval(_typical(fraction, rho, n_cells, donors), np.full(donors, n_cells), confidence=confidence)
        return (high - low) / 2 <= half_width * fraction

    return _fewest(by_t, by_interval)


def donors_for_change(fraction: float, rho: float, n_cells: float, *, fold: float = 2.0, power: float = 0.8) -> int:
    """Fewest donors per group with which a fold change between two groups is found, two-sided at 5 %.

    The groups hold different donors. The second group's mean is ``fold`` times the first's, or, where that exceeds a half,
    the ``fold``-th part of it.

    Parameters
    ----------
    fraction
        Mean fraction of the first group, between 0 and 1.
    rho, n_cells
        As in :func:`donors_for_mean`, the same in both groups.
    fold
        Change to be found, above 1.
    power
        Probability to find it, between 0.5 and 1.

    Returns
    -------
    Donors per group, 2 or more; 0 where 10,000 are not enough.

    Raises
    ------
    InputError
        If a number is out of range.

    >>> donors_for_change(0.04, 0.01, 1000), donors_for_change(0.04, 0.05, 1000)
    (8, 29)
    """
    _check(fraction, rho, n_cells)
    first, second = sorted((fraction, fraction * fold if fraction * fold <= 0.5 else fraction / fold))
    variance = _variance(first, rho, n_cells) + _variance(second, rho, n_cells)

    def by_t(donors: int) -> bool:
        """Power of Student's t."""
        freedom = 2 * donors - 2
        return float(t.cdf((second - first) / np.sqrt(variance / donors) - t.ppf(0.975, freedom), freedom)) >= power

    def by_comparison(donors: int) -> bool:
        """Distance of the interval of typical donors from 0, in standard errors."""
        a, b = (_typical(mean, rho, n_cells, donors) for mean in (first, second))
        low = compare_donors(a, np.full(donors, n_cells), b, np.full(donors, n_cells)).low
        return low >= float(norm.ppf(power)) * np.sqrt(variance / donors)

    return _fewest(by_t, by_comparison)


def _check(fraction: float, rho: float, n_cells: float) -> None:
    """Refuse numbers out of range."""
    if not 0 < fraction < 1:
        raise InputError(f"the mean fraction to plan for is {fraction:g}, but it must lie between 0 and 1.")
    if not (0 <= rho <= 1 and n_cells >= 1):
        raise InputError(f"planned with rho {rho:g} and {n_cells:g} cells per donor, but rho is 0-1 and a donor needs 1 cell or more.")


def _correlation(rho: float, n_cells: float) -> float:
    """Correlation at which one cell per donor varies as the fraction of its cells does."""
    return min(rho + (1 - rho) / n_cells, LARGEST_CORRELATION)


def _variance(fraction: float, rho: float, n_cells: float) -> float:
    """Variance of a donor's fraction: between donors, and by the count of its cells."""
    return fraction * (1 - fraction) * _correlation(rho, n_cells)


def _typical(fraction: float, rho: float, n_cells: float, donors: int) -> Floats:
    """Fractions of donors at even quantiles of the beta distribution, shape (n_donors,)."""
    correlation = _correlation(rho, n_cells)
    total = (1 - correlation) / correlation
    return np.asarray(beta.ppf((np.arange(donors) + 0.5) / donors, fraction * total, (1 - fraction) * total))


def _fewest(by_t: Callable[[int], bool], by_prior: Callable[[int], bool]) -> int:
    """Fewest donors that are enough by t, and, while they are few, by the method that will be used; 0 where none are."""
    high = 2
    while not by_t(high):
        high *= 2
        if high > 2 * MOST_DONORS:
            return 0
    least = _first(by_t, high // 2, high)
    if least < MOST_ASKED and not by_prior(least):
        least = _first(by_prior, least, MOST_ASKED)
    return least if least <= MOST_DONORS else 0


def _first(enough: Callable[[int], bool], low: int, high: int) -> int:
    """Least number above ``low`` that is enough, where ``high`` is."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return max(high, 2)
