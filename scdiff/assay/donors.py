"""Fractions over donors: the donor is the unit, because cells of one donor are not independent.

A donor's fraction is drawn from a beta distribution around the mean of its group, and the counts
from a binomial. Two to six donors show little of how much donors differ, so a prior is needed. The
posterior over the mean and this difference, summed over a grid, gives intervals and p-values;
``tests/benchmarks/bench_donors.py`` compares their coverage and errors with other methods.

The interval of one group uses the standard deviation of the donors' logits, half-normal with a
scale of 0.6: donors then differ by the same factor at 0.5 % as at 20 % (about the CV if cells are
rare). The comparison uses the overdispersion (the correlation of two cells of one donor),
log-normal around 0.034 (95 % within 0.009 to 0.13): without it, three donors a group find little.
It errs in 5 % of comparisons on average over overdispersions of 0.01 to 0.1, but not evenly: about
1.5 % at the lower end, 9 % at the upper, 13 % at 0.2. For the same donors under two conditions the
comparison errs in at most 3 % if their responses differ by up to 0.2 logits, in 3 to 8 % at 0.5,
and in up to 15 % (two donors) at 0.8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, gammaln, logit, logsumexp
from scipy.stats import chi2, norm

from scdiff.assay.intervals import divergence
from scdiff.assay.table import Floats
from scdiff.errors import InputError

__all__ = [
    "Comparison",
    "ComparisonVerdict",
    "beta_binomial_interval",
    "check_donors",
    "compare_donors",
    "compare_pairs",
    "effective_cells",
    "overdispersion_evidence",
]

ComparisonVerdict = Literal["different", "equivalent within the margin", "undecided"]
"""Verdict of a comparison, in words."""

DONOR_SD = 0.6
"""Scale of the half-normal prior on the standard deviation of the donors' logits, for the interval
of one group."""

COMPARISON_PRIOR = (0.034, 0.7)
"""Log-normal prior of the overdispersion: its median, and the standard deviation of its
logarithm."""

PAIRS_PRIOR = (0.5, 0.7)
"""Log-normal prior of how differently donors respond (standard deviation of the shift, logits): its
median, and the standard deviation of its logarithm."""

GRID = np.geomspace(1e-4, 0.6, 20)
"""Overdispersions at which the posterior of a comparison is computed."""
RESPONSES = np.geomspace(0.01, 3.0, 25)
"""Standard deviations of the shift (logits) at which the posterior of pairs is computed."""
SPREADS = np.geomspace(0.02, 4.0, 20)
"""Standard deviations of the donors' logits at which the posterior of one group is computed."""
OVERDISPERSED = (1e-7, 0.98)
"""Lowest and highest overdispersion: at 0 and at 1 the beta distribution is not defined."""
N_MEANS, N_SHIFTS, REACH, FINEST = 241, 601, 15.0, 0.02
"""Number of means and of shifts on the grid; half the width of the grid of means, and its finest
step, both in logits. Chosen, not tuned."""
SIGNIFICANT = 0.05
"""Level of the tests."""


@dataclass(frozen=True)
class Comparison:
    """Difference between two groups of donors.

    Parameters
    ----------
    effect
        Mean fraction of the second group minus that of the first, over donors, -1 to 1.
    low, high
        Its 95 % interval.
    p_value
        Two-sided, of no difference.
    p_equivalence
        Of a difference as large as the margin, the larger of both sides; NaN without a margin.
    verdict
        The verdict in words.
    """

    effect: float
    low: float
    high: float
    p_value: float
    p_equivalence: float
    verdict: ComparisonVerdict


@dataclass(frozen=True)
class _Posterior:
    """Posterior of the mean fraction of one group.

    ``logits`` (n_means,), ln ``weight`` (n_overdispersions, n_means).
    """

    logits: Floats
    weight: Floats

    def below(self, fraction: Any) -> Floats:
        """Compute the share of the posterior below each ``fraction`` (n,), for each overdispersion.

        Shape (n_overdispersions, n).
        """
        mass = np.exp(self.weight - logsumexp(self.weight, axis=1, keepdims=True))
        middle = np.cumsum(mass, axis=1) - mass / 2
        with np.errstate(divide="ignore"):
            place = logit(np.clip(fraction, 0.0, 1.0))
        return np.array([np.interp(place, self.logits, row, left=0.0, right=1.0) for row in middle])

    @property
    def evidence(self) -> Floats:
        """Ln marginal likelihood of each overdispersion, shape (n_overdispersions,)."""
        return np.asarray(logsumexp(self.weight, axis=1))


def effective_cells(prevalence: Any, low: Any, high: Any, n_cells: Any) -> Floats:
    """Compute the number of cells whose plain count would be as certain as an estimate.

    It is at most the number of measured cells. A prevalence that is corrected for dropout and
    background is less certain than a count of the same number of cells. This function turns it into
    a count that the beta-binomial can use.

    Parameters
    ----------
    prevalence, low, high
        Estimates and ends of their 95 % intervals, shape (n,), 0-1.
    n_cells
        Measured cells, shape (n,).

    >>> effective_cells([0.0], [0.0], [0.0037], [5000]).round()
    array([518.])
    """
    p, cells = np.asarray(prevalence, dtype=float), np.asarray(n_cells, dtype=float)
    drop = chi2.ppf(0.95, 1) / 2
    ends = [np.asarray(end, dtype=float) for end in (low, high)]
    sizes = [drop / np.maximum(divergence(p, end), 1e-300) for end in ends]
    inside = [(end > 0) & (end < 1) & (end != p) for end in ends]
    known = np.sum(inside, axis=0)
    mean = np.where(inside[0], sizes[0], 0.0) + np.where(inside[1], sizes[1], 0.0)
    worth = np.where(known > 0, mean / np.maximum(known, 1), cells)
    return np.asarray(np.clip(worth, 1.0, np.maximum(cells, 1.0)))


def beta_binomial_interval(
    fractions: Any, n_cells: Any, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Compute the interval of the mean fraction over donors.

    It starts at 0 if no donor has a positive cell, and ends at 1 if all cells are positive.

    Parameters
    ----------
    fractions
        One fraction per donor, shape (n_donors,), 0-1.
    n_cells
        Cells of each donor, or the effective number of cells of its prevalence
        (:func:`effective_cells`), shape (n_donors,).
    confidence
        Nominal coverage, between 0 and 1.

    Raises
    ------
    InputError
        With fewer than two donors.

    >>> low, high = beta_binomial_interval([0.02, 0.05, 0.11], [2000, 2000, 2000])
    >>> round(low, 3), round(high, 3)
    (0.031, 0.207)
    """
    values, cells = check_donors(fractions, n_cells, "this interval")
    posterior = _posterior(values, cells, spreads=SPREADS)
    weight = posterior.evidence + np.log(SPREADS) - (SPREADS / DONOR_SD) ** 2 / 2
    share = np.exp(weight - logsumexp(weight))
    tail = (1 - confidence) / 2
    ends = [
        _find_root(
            lambda mean, level=level: float(share @ posterior.below([mean])[:, 0]) - level, 0.0, 1.0
        )
        for level in (tail, 1 - tail)
    ]
    mean = float((values * cells).sum() / cells.sum())
    return (0.0 if not values.any() else min(ends[0], mean)), (
        1.0 if (values == 1).all() else max(ends[1], mean)
    )


def check_donors(fractions: Any, n_cells: Any, purpose: str) -> tuple[Floats, Floats]:
    """Check fractions and cells of donors, and return them as arrays.

    Parameters
    ----------
    fractions
        One fraction per donor, shape (n_donors,), 0-1.
    n_cells
        Cells of each donor, or the effective number of cells of its prevalence, shape (n_donors,),
        above 0.
    purpose
        What they are for, in words for the error.

    Raises
    ------
    InputError
        With fewer than two donors, or values out of range.
    """
    values = np.atleast_1d(np.asarray(fractions, dtype=float))
    cells = np.atleast_1d(np.asarray(n_cells, dtype=float))
    if len(values) < 2:
        raise InputError(
            f"{len(values)} donor for {purpose}, and at least 2 are needed: the cells of one donor "
            "do not show how much donors differ."
        )
    if not (np.isfinite(values) & (values >= 0) & (values <= 1) & (cells > 0)).all():
        raise InputError(
            "a donor's fraction is not between 0 and 1, or a donor has no cells: leave that donor "
            "out."
        )
    return values, cells


def overdispersion_evidence(fractions: Any, n_cells: Any, overdispersions: Any) -> Floats:
    """Compute the ln likelihood of each overdispersion, with the mean fraction integrated out.

    Parameters
    ----------
    fractions, n_cells
        As in :func:`check_donors`.
    overdispersions
        Correlations of two cells of one donor, shape (n_overdispersions,), between 0 and 1.

    Returns
    -------
    One value per overdispersion, shape (n_overdispersions,).
    """
    values, cells = check_donors(fractions, n_cells, "the overdispersion")
    return _posterior(values, cells, np.asarray(overdispersions, dtype=float)).evidence


def _posterior(
    values: Floats, cells: Floats, grid: Floats = GRID, spreads: Floats | None = None
) -> _Posterior:
    """Compute the posterior of the mean fraction for each overdispersion of the grid.

    The prior of the mean is Jeffreys' prior of a binomial. With ``spreads``, compute it for each
    standard deviation of the donors' logits instead.
    """
    called = values * cells
    centre = logit((called.sum() + 0.5) / (cells.sum() + 1))
    spread = np.linspace(-1, 1, N_MEANS) * np.arcsinh(REACH / FINEST)
    logits = centre + FINEST * np.sinh(spread)
    width = np.log(np.cosh(spread))
    mean, rest = expit(logits), expit(-logits)
    rho = grid[:, None]
    if spreads is not None:
        rho = np.clip(spreads[:, None] ** 2 * mean * rest, *OVERDISPERSED)
    total = (1 - rho) / rho
    likelihood = -len(cells) * (gammaln(mean * total) + gammaln(rest * total) - gammaln(total))
    for x, n in zip(called, cells, strict=True):
        likelihood += gammaln(x + mean * total) + gammaln(n - x + rest * total) - gammaln(n + total)
    jeffreys = (np.log(mean) + np.log(rest)) / 2
    return _Posterior(logits, likelihood + jeffreys + width)


def _shares(evidence: Floats, prior: tuple[float, float], grid: Floats) -> Floats:
    """Compute the posterior of the values of a grid, shape (n_values,); it sums to 1."""
    median, spread = prior
    weight = evidence - (np.log(grid / median) / spread) ** 2 / 2
    return np.asarray(np.exp(weight - logsumexp(weight)))


def compare_donors(
    fractions_a: Any,
    n_cells_a: Any,
    fractions_b: Any,
    n_cells_b: Any,
    *,
    margin: float | None = None,
    confidence: float = 0.95,
) -> Comparison:
    """Compare two groups of different donors: the difference of their mean fractions.

    The overdispersion is the same in both groups. For the same donors under two conditions use
    :func:`compare_pairs`.

    Parameters
    ----------
    fractions_a, fractions_b
        One fraction per donor, shapes (n_donors_a,) and (n_donors_b,), two or more donors, 0-1.
    n_cells_a, n_cells_b
        Cells of each donor, or the effective number of cells of its prevalence
        (:func:`effective_cells`).
    margin
        Difference that does not matter, above 0: also tests equivalence, by two one-sided tests at
        5 %.
    confidence
        Nominal coverage, between 0 and 1.

    Raises
    ------
    InputError
        With fewer than two donors in a group.

    >>> found = compare_donors([0.02, 0.03, 0.04], [2000] * 3, [0.21, 0.25, 0.28], [2000] * 3)
    >>> round(found.effect, 3), found.verdict
    (0.217, 'different')
    """
    a, cells_a = check_donors(fractions_a, n_cells_a, "the first group")
    b, cells_b = check_donors(fractions_b, n_cells_b, "the second group")
    first, second = _posterior(a, cells_a), _posterior(b, cells_b)
    share = _shares(first.evidence + second.evidence, COMPARISON_PRIOR, GRID)
    mass = share[:, None] * np.exp(first.weight - first.evidence[:, None])

    def below(difference: float) -> float:
        """Compute the probability that the difference is smaller."""
        return float((mass * second.below(expit(first.logits) + difference)).sum())

    return _compare(float(b.mean() - a.mean()), below, margin, confidence)


def compare_pairs(
    fractions_a: Any,
    n_cells_a: Any,
    fractions_b: Any,
    n_cells_b: Any,
    *,
    margin: float | None = None,
    confidence: float = 0.95,
) -> Comparison:
    """Compare the same donors under two conditions: the mean of their differences.

    The shift is computed in logits, because donors that start from different fractions respond
    similarly there; it is reported in fractions. Each shift varies by the count of cells and by how
    differently donors respond. The latter has a weak prior (standard deviation 0.5 logits; 95 %
    within 0.13 to 2.0).

    Parameters
    ----------
    fractions_a, fractions_b
        One fraction per donor, in the same order, shape (n_donors,), two or more donors, 0-1.
    n_cells_a, n_cells_b
        Cells of each donor, or the effective number of cells of its prevalence
        (:func:`effective_cells`).
    margin
        Difference that does not matter, above 0: also tests equivalence, by two one-sided tests at
        5 %.
    confidence
        Nominal coverage, between 0 and 1.

    Raises
    ------
    InputError
        With fewer than two pairs, or if the groups differ in size.
    """
    a, cells_a = check_donors(fractions_a, n_cells_a, "a comparison of pairs")
    b, cells_b = check_donors(fractions_b, n_cells_b, "a comparison of pairs")
    if len(a) != len(b):
        raise InputError(
            f"{len(a)} donors of the first condition and {len(b)} of the second make no pairs: "
            "give each donor once in both."
        )
    (logits_a, noise_a), (logits_b, noise_b) = _logits(a, cells_a), _logits(b, cells_b)
    precision = 1 / (noise_a + noise_b + RESPONSES[:, None] ** 2)
    total = precision.sum(axis=1)
    centre = (precision * (logits_b - logits_a)).sum(axis=1) / total
    misfit = (precision * (logits_b - logits_a - centre[:, None]) ** 2).sum(axis=1)
    share = _shares(
        (np.log(precision).sum(axis=1) - np.log(total) - misfit) / 2, PAIRS_PRIOR, RESPONSES
    )
    shifts = FINEST * np.sinh(np.linspace(-1, 1, N_SHIFTS) * np.arcsinh(2 * REACH / FINEST))
    middle = (logits_a + logits_b)[:, None] / 2
    differences = (expit(middle + shifts / 2) - expit(middle - shifts / 2)).mean(axis=0)

    def below(difference: float) -> float:
        """Compute the probability that the difference is smaller."""
        shift = np.interp(difference, differences, shifts, left=-np.inf, right=np.inf)
        return float(share @ norm.cdf((shift - centre) * np.sqrt(total)))

    return _compare(float((b - a).mean()), below, margin, confidence)


def _logits(values: Floats, cells: Floats) -> tuple[Floats, Floats]:
    """Compute the logit of each fraction, finite at 0 and 1, and its variance by counting."""
    positive, negative = values * cells + 0.5, (1 - values) * cells + 0.5
    return np.log(positive / negative), 1 / positive + 1 / negative


def _compare(effect: float, below: Any, margin: float | None, confidence: float) -> Comparison:
    """Turn the distribution of the difference into interval, p-values and verdict."""
    tail = (1 - confidence) / 2
    low, high = (
        _find_root(lambda value, level=level: below(value) - level, -1.0, 1.0)
        for level in (tail, 1 - tail)
    )
    p_value = min(1.0, 2 * min(below(0.0), 1 - below(0.0)))
    p_equivalence = float("nan") if margin is None else max(below(-margin), 1 - below(margin))
    verdict: ComparisonVerdict = "undecided"
    if margin is not None and p_equivalence <= SIGNIFICANT:
        verdict = "equivalent within the margin"
    elif p_value <= SIGNIFICANT:
        verdict = "different"
    return Comparison(
        effect, min(low, effect), max(high, effect), max(p_value, 0.0), p_equivalence, verdict
    )


def _find_root(function: Any, low: float, high: float) -> float:
    """Find the zero of a rising function; return the end of the range if it has no zero."""
    if function(low) >= 0:
        return low
    if function(high) <= 0:
        return high
    return float(brentq(function, low, high, xtol=1e-7))
