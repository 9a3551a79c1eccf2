"""Number of donors that a mean, or a difference between two groups, needs.

The number starts from Student's t with the variance of the beta-binomial. With few donors the
interval and the comparison of :mod:`scdiff.assay.donors` are wider than t, because their priors
allow for more difference between donors than three or four show. Therefore both are evaluated, with
donors at the quantiles of the planned distribution, until they agree.
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
"""Largest number of donors that is planned."""

MOST_BY_PRIOR = 60
"""Number of donors above which the priors no longer matter, so that t alone decides."""

LARGEST_CORRELATION = 0.999
"""Largest correlation of two cells of one donor: at 1 the beta distribution is not defined."""


def donors_for_mean(
    fraction: float,
    rho: float,
    n_cells: float,
    *,
    half_width: float = 0.5,
    confidence: float = 0.95,
) -> int:
    """Find the fewest donors whose interval of the mean fraction has a given half-width.

    Parameters
    ----------
    fraction
        Mean fraction, between 0 and 1.
    rho
        Correlation of two cells of one donor, 0-1.
    n_cells
        Cells per donor, or the effective number of cells of its prevalence, 1 or more.
    half_width
        Half the width of the interval, relative to the mean, above 0: 0.5 is 4 % with 2 % to either
        side.
    confidence
        Confidence of the interval, between 0 and 1.

    Returns
    -------
    Donors, 2 or more; 0 if 10,000 are not enough.

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
        """Check the half-width by Student's t."""
        half = float(t.ppf(tail, donors - 1)) * np.sqrt(variance / donors)
        return bool(half <= half_width * fraction)

    def by_interval(donors: int) -> bool:
        """Check the half-width of the interval of typical donors."""
        low, high = beta_binomial_interval(
            _typical_fractions(fraction, rho, n_cells, donors),
            np.full(donors, n_cells),
            confidence=confidence,
        )
        return (high - low) / 2 <= half_width * fraction

    return _find_fewest(by_t, by_interval)


def donors_for_change(
    fraction: float, rho: float, n_cells: float, *, fold: float = 2.0, power: float = 0.8
) -> int:
    """Find the fewest donors per group that detect a fold change between two groups.

    The test is two-sided at 5 %. The groups hold different donors. The mean of the second group is
    ``fold`` times that of the first. If that exceeds a half, it is the ``fold``-th part of it.

    Parameters
    ----------
    fraction
        Mean fraction of the first group, between 0 and 1.
    rho, n_cells
        As in :func:`donors_for_mean`, the same in both groups.
    fold
        Change to detect, above 1.
    power
        Probability to detect it, between 0.5 and 1.

    Returns
    -------
    Donors per group, 2 or more; 0 if 10,000 are not enough.

    Raises
    ------
    InputError
        If a number is out of range.

    >>> donors_for_change(0.04, 0.01, 1000), donors_for_change(0.04, 0.05, 1000)
    (8, 29)
    """
    _check(fraction, rho, n_cells)
    first, second = sorted(
        (fraction, fraction * fold if fraction * fold <= 0.5 else fraction / fold)
    )
    variance = _variance(first, rho, n_cells) + _variance(second, rho, n_cells)

    def by_t(donors: int) -> bool:
        """Check the power of Student's t."""
        freedom = 2 * donors - 2
        return (
            float(
                t.cdf(
                    (second - first) / np.sqrt(variance / donors) - t.ppf(0.975, freedom), freedom
                )
            )
            >= power
        )

    def by_comparison(donors: int) -> bool:
        """Check the distance of the interval of typical donors from 0, in standard errors."""
        a, b = (_typical_fractions(mean, rho, n_cells, donors) for mean in (first, second))
        low = compare_donors(a, np.full(donors, n_cells), b, np.full(donors, n_cells)).low
        return bool(low >= float(norm.ppf(power)) * np.sqrt(variance / donors))

    return _find_fewest(by_t, by_comparison)


def _check(fraction: float, rho: float, n_cells: float) -> None:
    """Raise ``InputError`` if a number is out of range."""
    if not 0 < fraction < 1:
        raise InputError(
            f"the mean fraction to plan for is {fraction:g}, but it must lie between 0 and 1."
        )
    if not (0 <= rho <= 1 and n_cells >= 1):
        raise InputError(
            f"the plan has rho {rho:g} and {n_cells:g} cells per donor, but rho must be 0-1 and a "
            "donor needs 1 cell or more."
        )


def _correlation(rho: float, n_cells: float) -> float:
    """Compute the correlation at which one cell per donor varies as its fraction does."""
    return min(rho + (1 - rho) / n_cells, LARGEST_CORRELATION)


def _variance(fraction: float, rho: float, n_cells: float) -> float:
    """Compute the variance of a donor's fraction: between donors, and by the count of its cells."""
    return fraction * (1 - fraction) * _correlation(rho, n_cells)


def _typical_fractions(fraction: float, rho: float, n_cells: float, donors: int) -> Floats:
    """Compute fractions of donors at even quantiles of the beta distribution, shape (n_donors,)."""
    correlation = _correlation(rho, n_cells)
    total = (1 - correlation) / correlation
    return np.asarray(
        beta.ppf((np.arange(donors) + 0.5) / donors, fraction * total, (1 - fraction) * total)
    )


def _find_fewest(by_t: Callable[[int], bool], by_prior: Callable[[int], bool]) -> int:
    """Find the fewest donors that are enough by t and, if they are few, by the method in use.

    Return 0 if no number is enough.
    """
    high = 2
    while not by_t(high):
        high *= 2
        if high > 2 * MOST_DONORS:
            return 0
    least = _bisect(by_t, high // 2, high)
    if least < MOST_BY_PRIOR and not by_prior(least):
        least = _bisect(by_prior, least, MOST_BY_PRIOR)
    return least if least <= MOST_DONORS else 0


def _bisect(enough: Callable[[int], bool], low: int, high: int) -> int:
    """Find the least number above ``low`` that is enough, if ``high`` is."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return max(high, 2)
