"""How much donors differ in a fraction, with intervals that are valid for few donors.

There are two measures: the intraclass correlation of the beta-binomial (rho, the correlation of two
cells of one donor), and the variance of the donors' logits. Neither has a prior, unlike the
intervals of :mod:`scdiff.assay.donors`: here the difference between donors is the question, not a
nuisance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq
from scipy.special import digamma, expit, logit
from scipy.stats import chi2

from scdiff.assay.donors import check_donors, overdispersion_evidence
from scdiff.assay.table import Floats
from scdiff.errors import InputError

__all__ = ["Variation", "donor_variation", "intraclass_correlation", "logit_variance"]

RHO = expit(np.linspace(logit(1e-7), logit(0.99), 100))
"""Correlations at which the likelihood is computed; it is smooth between them."""

FINE = 4_001
"""Points between them at which the interval ends are searched."""
LARGEST_VARIANCE = 1e4
"""Largest variance between donors that is searched, logits squared."""


@dataclass(frozen=True)
class Variation:
    """Variation between donors.

    Parameters
    ----------
    rho, rho_low, rho_high
        Intraclass correlation of the beta-binomial with its 95 % interval, 0-1.
    logit_variance, logit_variance_low, logit_variance_high
        Variance between donors on the logit scale with its 95 % interval, 0 or more.
    """

    rho: float
    rho_low: float
    rho_high: float
    logit_variance: float
    logit_variance_low: float
    logit_variance_high: float


def donor_variation(fractions: Any, n_cells: Any, *, confidence: float = 0.95) -> Variation:
    """Measure how much donors differ, by both measures.

    It needs two donors or more, of which at least one has a positive cell and at least one a
    negative cell.

    Parameters
    ----------
    fractions
        One fraction per donor, shape (n_donors,), 0-1.
    n_cells
        Cells of each donor, or the effective number of cells of its prevalence
        (:func:`scdiff.assay.donors.effective_cells`), shape (n_donors,).
    confidence
        Nominal coverage, between 0 and 1.

    Raises
    ------
    InputError
        With fewer than two donors, or if all cells of all donors have the same state.

    >>> found = donor_variation([0.02, 0.05, 0.11], [2000, 2000, 2000])
    >>> round(found.rho, 3), round(found.logit_variance, 2)
    (0.036, 0.79)
    """
    correlation = intraclass_correlation(fractions, n_cells, confidence=confidence)
    return Variation(*correlation, *logit_variance(fractions, n_cells, confidence=confidence))


def intraclass_correlation(
    fractions: Any, n_cells: Any, *, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Estimate the correlation of two cells of one donor, with its interval.

    The estimate is that of the analysis of variance, which stays robust with rare cells and few
    donors. The interval holds the correlations that the likelihood, with the mean integrated out,
    does not reject. The likelihood ratio is corrected for few donors by Bartlett's factor of a
    variance with (donors - 1) degrees of freedom.

    Parameters
    ----------
    fractions, n_cells, confidence
        As in :func:`donor_variation`.

    Returns
    -------
    Estimate, lower and upper end; 0-1. An end is 0 or 1 if the likelihood rejects nothing on that
    side.

    Raises
    ------
    InputError
        As :func:`donor_variation`.

    Source
    ------
    10.1111/j.0006-341X.1999.00137.x (estimate), 10.1098/rspa.1937.0109 (factor)
    """
    values, cells = _check_variation(fractions, n_cells)
    places = np.linspace(logit(RHO[0]), logit(RHO[-1]), FINE)
    evidence = CubicSpline(logit(RHO), overdispersion_evidence(values, cells, RHO))(places)
    allowed = chi2.ppf(confidence, 1) / 2 * _bartlett(len(values) - 1)
    inside = np.flatnonzero(evidence >= evidence.max() - allowed)
    low = 0.0 if inside[0] == 0 else float(expit(places[inside[0]]))
    high = 1.0 if inside[-1] == FINE - 1 else float(expit(places[inside[-1]]))
    estimate = _anova(values, cells)
    return estimate, min(low, estimate), max(high, estimate)


def _check_variation(fractions: Any, n_cells: Any) -> tuple[Floats, Floats]:
    """Check that the donors have positive and negative cells; return fractions and cells."""
    values, cells = check_donors(fractions, n_cells, "the variation between donors")
    if not values.any() or (values == 1).all():
        kind = "positive" if not values.any() else "negative"
        raise InputError(
            f"no donor of {len(values)} has a {kind} cell, so the variation between donors is "
            "unknown: more cells are needed."
        )
    return values, cells


def _bartlett(freedom: int) -> float:
    """Compute the mean likelihood ratio of a variance, relative to that of chi-squared.

    ``freedom`` are the degrees of freedom of the variance.
    """
    return float(freedom * (np.log(freedom / 2) - digamma(freedom / 2)))


def _anova(values: Floats, cells: Floats) -> float:
    """Compute the correlation by the analysis of variance, 0 or more."""
    n_donors, total = len(values), cells.sum()
    mean = (values * cells).sum() / total
    between = (cells * (values - mean) ** 2).sum() / (n_donors - 1)
    within = (cells * values * (1 - values)).sum() / max(total - n_donors, 1.0)
    size = (total - (cells**2).sum() / total) / (n_donors - 1)
    return float(np.clip((between - within) / max(between + (size - 1) * within, 1e-300), 0.0, 1.0))


def logit_variance(
    fractions: Any, n_cells: Any, *, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Estimate the variance between donors on the logit scale, with its interval.

    Fractions move inwards by half a cell, so that 0 and 1 have a logit; the variance by the count
    of cells alone is subtracted. The estimate is Paule and Mandel's, the interval is the profile of
    Cochran's Q. Both find the variance at which the weighted squares are as large as chi-squared
    with (donors - 1) degrees of freedom predicts.

    Parameters
    ----------
    fractions, n_cells, confidence
        As in :func:`donor_variation`.

    Returns
    -------
    Estimate, lower and upper end; 0 or more.

    Raises
    ------
    InputError
        As :func:`donor_variation`.

    Source
    ------
    10.6028/jres.087.022 (estimate), 10.1002/sim.2514 (interval)
    """
    values, cells = _check_variation(fractions, n_cells)
    called = values * cells
    logits = np.log((called + 0.5) / (cells - called + 0.5))
    noise = 1 / (called + 0.5) + 1 / (cells - called + 0.5)
    freedom, tail = len(values) - 1, (1 - confidence) / 2
    targets = (float(freedom), float(chi2.ppf(1 - tail, freedom)), float(chi2.ppf(tail, freedom)))
    estimate, low, high = (_variance_at(logits, noise, target) for target in targets)
    return estimate, min(low, estimate), max(high, estimate)


def _variance_at(logits: Floats, noise: Floats, target: float) -> float:
    """Find the variance between donors at which Cochran's Q is ``target``.

    It is 0 if Q is smaller at 0.
    """

    def excess(variance: float) -> float:
        """Compute Q minus its target; it falls with the variance."""
        weight = 1 / (noise + variance)
        mean = (weight * logits).sum() / weight.sum()
        return float((weight * (logits - mean) ** 2).sum() - target)

    if excess(0.0) <= 0:
        return 0.0
    return (
        LARGEST_VARIANCE
        if excess(LARGEST_VARIANCE) >= 0
        else float(brentq(excess, 0.0, LARGEST_VARIANCE, xtol=1e-10))
    )
