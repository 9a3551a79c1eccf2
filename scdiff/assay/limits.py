"""Limits of blank, detection and quantification, and the verdict, as in flow cytometry.

LOB: the highest fraction that a blank gives. LOD: the lowest fraction that is detected with 95 %
power at these cells and depths. LLOQ: the lowest fraction that is quantified with 95 % power, by
the total error of the estimate and its events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.stats import beta, binom, chi2, nbinom, norm

from scdiff.assay.calls import call_table
from scdiff.assay.densities import draw_counts
from scdiff.assay.fit import Fit
from scdiff.assay.table import Floats, tabulate
from scdiff.vocabulary import DETECTED, NOT_DETECTED, NOT_MEASURABLE, QUANTIFIED, Verdict

__all__ = [
    "CV_GOAL",
    "FEWEST_CELLS_FOR_VERDICT",
    "QUANTIFIABLE_EVENTS",
    "REFERENCE_EVENTS",
    "detection_limit",
    "error_rates",
    "events_limit",
    "joint_evidence",
    "limit_of_blank",
    "limits_by_cells",
    "quantification_limit",
    "total_cv",
    "typical_sensitivity",
    "variance_excess",
    "verdict",
]

FEWEST_CELLS_FOR_VERDICT = 50
"""Fewest cells for a verdict; fewer are ``not measurable``. Of 50 cells, one is already 2 %."""
QUANTIFIABLE_EVENTS = 50
"""Fewest called cells of a quantified fraction (ICCS flow cytometry guideline)."""
CV_GOAL = 0.3
"""Highest CV of a quantified fraction, with the sampling of the cells; flow cytometry demands 20 to
35 %."""
BETWEEN_BLANKS = 4.0
"""Shape of the gamma distribution of the rate of false calls over blanks: a CV of 50 %."""
DISAGREE = 0.05
"""Probability of the calls in the controls, by the model's rate, below which the controls replace
the model."""
DETECTABLE_CALLS = 3
"""Fewest called cells of a detected fraction: one odd droplet and its doublet can give one or
two."""
POWER = 0.95
"""Probability of the limits: a blank stays below the LOB, and a fraction at the LOD or LLOQ passes
it (CLSI EP17-A2)."""
DETECTION_LEVEL = 0.005
"""One-sided level of the likelihood ratio test of positive cells."""
MOST_DRAWS = 20_000
"""Redrawn cells of each kind, negative and positive. Limited for speed."""
REFERENCE_EVENTS, UNSEEN_EVENTS = 20, 4
"""Positive cells of the reference batch for the error rates, and cells shared equally by all
positive patterns."""
CLEAN = 0.01
"""Contamination of a clean batch, relative to the expectation of the prior."""
LEAST_LOG_P = -600.0
"""Ln probability below which double precision has no logarithm left."""


def error_rates(fit: Fit, *, rate: float = 0.05, seed: int = 0) -> tuple[float, float]:
    """Compute the false call rate of negative cells and the sensitivity for positive cells.

    Counts are redrawn from the fit. The cells are called as in a batch with 20 positive cells.
    Therefore a batch without any shows what it would have detected, and a batch full of them what a
    blank would have given.

    Parameters
    ----------
    fit
        The fitted mixture.
    rate
        Expected share of false calls among the calls, between 0 and 1.
    seed
        Seed of the random generator.

    Returns
    -------
    False call rate, sensitivity; each 0-1.
    """
    theta, prevalence = _reference(fit)
    generator = np.random.default_rng(seed)
    groups = (~fit.model.positive, fit.model.positive)
    counts, depth = zip(*(_redraw(fit, theta, group, generator) for group in groups), strict=True)
    table = tabulate(np.concatenate(counts), np.concatenate(depth))
    share = np.repeat([1 - prevalence, prevalence], MOST_DRAWS)
    weighted = replace(
        table, weight=np.asarray(np.bincount(table.cell_row, weights=share), dtype=float)
    )
    calls = call_table(fit.model, theta, weighted, rate=rate).positive
    return float(calls[:MOST_DRAWS].mean()), float(calls[MOST_DRAWS:].mean())


def typical_sensitivity(fit: Fit, *, rate: float = 0.05, seed: int = 0) -> float:
    """Compute the sensitivity for cells with typical levels in a clean background, 0-1.

    It is the best that the depths of the cells allow.

    Parameters
    ----------
    fit, rate, seed
        As in :func:`error_rates`.
    """
    model, at = fit.model, fit.model.layout
    theta = model.prior_mean.copy()
    theta[at.patterns], theta[at.slope] = fit.theta[at.patterns], fit.theta[at.slope]
    theta[at.soup] = np.log(CLEAN)
    return error_rates(replace(fit, theta=theta), rate=rate, seed=seed)[1]


def _reference(fit: Fit) -> tuple[Floats, float]:
    """Return theta of the reference batch, and its prevalence.

    The prevalence is 20 cells, at most a half. The positive patterns are as fitted, plus four cells
    shared by all of them.
    """
    model, cells = fit.model, fit.table.n_cells
    events = fit.weight * cells + np.where(
        model.positive, UNSEEN_EVENTS / model.positive.sum(), 0.0
    )
    prevalence = min(0.5, REFERENCE_EVENTS / max(cells, 1))
    weight = np.empty_like(events)
    for group, total in ((model.positive, prevalence), (~model.positive, 1 - prevalence)):
        weight[group] = total * events[group] / events[group].sum()
    weight += 1e-12
    return model.with_weight(fit.theta, fit.table, weight / weight.sum()), prevalence


def _redraw(
    fit: Fit, theta: Floats, group: Any, generator: np.random.Generator
) -> tuple[Floats, Floats]:
    """Draw counts (n_draws, n_markers) and depths of cells of some patterns."""
    parameters, patterns = fit.model.parameters(theta), fit.model.patterns[group]
    cells = fit.table.weight[:, None] * fit.model.weights(theta, fit.table).weight[:, group]
    row, pattern = np.unravel_index(
        generator.choice(cells.size, size=MOST_DRAWS, p=(cells / cells.sum()).ravel()), cells.shape
    )
    depth, on = fit.table.depth[row], patterns[pattern]
    return draw_counts(parameters, on, depth, generator), depth


def limit_of_blank(
    false_call_rate: float,
    n_cells: int,
    blanks: tuple[tuple[int, int], ...] = (),
    matched: float = float("nan"),
) -> float:
    """Compute the highest fraction that a batch without positive cells gives with 95 % probability.

    It is the highest of several sources. Blanks differ more than their cells do: the rate of false
    calls varies between batches with a CV of 50 %.

    Parameters
    ----------
    false_call_rate
        Share of negative cells that are called, 0-1, by the fitted model, including droplets that
        are positive by chance.
    n_cells
        Cells of the batch.
    blanks
        (called, cells) of declared control samples. Controls that agree with the model add their
        cells to what is known. If they show more false calls (P below 5 %), their own rate replaces
        the model's, with its uncertainty.
    matched
        95th percentile of the fraction called in sets of other genes, 0-1; NaN if there are no such
        sets.

    Source
    ------
    CLSI EP17-A2; the batch's calls are negative binomial (a gamma of rates)

    >>> limit_of_blank(0.0, 1000), limit_of_blank(0.001, 1000)
    (0.0, 0.003)
    >>> limit_of_blank(0.001, 1000, matched=0.02)
    0.02
    """
    if not n_cells:
        return 1.0
    called, cells = (sum(column) for column in zip(*blanks, strict=True)) if blanks else (0, 0)
    found = [_count_blank_calls(BETWEEN_BLANKS, false_call_rate, n_cells)]
    if cells and binom.sf(called - 1, cells, false_call_rate) < DISAGREE:
        found.append(
            _count_blank_calls(
                1 / (1 / BETWEEN_BLANKS + 1 / max(called, 1)), called / cells, n_cells
            )
        )
    elif cells and false_call_rate > 0:
        shape = BETWEEN_BLANKS + called
        found.append(
            _count_blank_calls(shape, shape / (BETWEEN_BLANKS / false_call_rate + cells), n_cells)
        )
    return float(np.nanmax([*np.array(found) / n_cells, matched]).clip(max=1.0))


def _count_blank_calls(shape: float, rate: float, n_cells: Any) -> Any:
    """Compute the 95th percentile of the calls of a blank whose rate has a gamma distribution."""
    return (
        nbinom.ppf(POWER, shape, shape / (shape + np.asarray(n_cells) * rate))
        if rate > 0
        else np.zeros(np.shape(n_cells))
    )


def detection_limit(sensitivity: float, n_cells: int, blank: float) -> float:
    """Compute the lowest true fraction whose calls exceed the blank with 95 % power; at most 1.

    Parameters
    ----------
    sensitivity
        Share of positive cells that are called, 0-1.
    n_cells
        Cells of the batch.
    blank
        Limit of blank, 0-1.

    >>> round(detection_limit(1.0, 10_000, 0.0), 5)
    0.00063
    """
    return float(
        _find_least_fraction(
            sensitivity, n_cells, max(int(np.floor(blank * n_cells + 1e-9)) + 1, DETECTABLE_CALLS)
        )
    )


def _find_least_fraction(sensitivity: float, n_cells: Any, needed: Any) -> Any:
    """Find the lowest true fraction that gives ``needed`` calls with 95 % power, broadcasting.

    The result is 1 if there is no such fraction.
    """
    cells, calls = np.asarray(n_cells), np.asarray(needed)
    if sensitivity <= 0:
        return np.ones(np.broadcast(cells, calls).shape)
    reached = (cells >= calls) & (binom.sf(calls - 1, cells, sensitivity) >= POWER)
    return np.where(
        reached,
        np.minimum(beta.ppf(POWER, calls, np.maximum(cells - calls, 0) + 1) / sensitivity, 1.0),
        1.0,
    )


def limits_by_cells(
    false_call_rate: float, sensitivity: float, n_cells: Any
) -> tuple[Floats, Floats]:
    """Compute the LOD and the LLOQ of batches of many sizes, without declared controls.

    Parameters
    ----------
    false_call_rate, sensitivity
        Share of negative, and of positive cells that are called, 0-1.
    n_cells
        Cells of each batch, shape (n_sizes,), 1 or more.

    Returns
    -------
    LOD and LLOQ, each of shape (n_sizes,).
    """
    cells = np.asarray(n_cells)
    needed = np.maximum(
        _count_blank_calls(BETWEEN_BLANKS, false_call_rate, cells) + 1, DETECTABLE_CALLS
    )
    detection = _find_least_fraction(sensitivity, cells, needed)
    return detection, np.maximum(
        _find_least_fraction(sensitivity, cells, QUANTIFIABLE_EVENTS), detection
    )


def quantification_limit(
    sensitivity: float,
    n_cells: int,
    detection: float,
    *,
    excess: float = 1.0,
    goal: float = CV_GOAL,
) -> float:
    """Compute the lowest true fraction that is ``quantified`` with 95 % probability; at most 1.

    Its total error and its events decide.

    Parameters
    ----------
    sensitivity
        Share of positive cells that are called, 0-1.
    n_cells
        Cells of the batch.
    detection
        Limit of detection, 0-1: the result is not lower.
    excess
        Ratio between the variance of the estimate and that of a plain count of the called cells, 1
        or more.
    goal
        Highest CV of the estimate, with the sampling of the cells.

    Source
    ------
    CLSI EP17-A2 (total error); 50 events and a CV of 20 to 35 %: ICCS flow cytometry guideline

    >>> round(quantification_limit(0.5, 1000, 0.003), 3)
    0.124
    >>> round(quantification_limit(0.5, 1000, 0.003, excess=9.0), 3)
    0.232
    """
    events = max(QUANTIFIABLE_EVENTS, int(np.ceil(min(excess / goal**2, n_cells + 1))))
    return max(float(_find_least_fraction(sensitivity, n_cells, events)), detection)


def events_limit(sensitivity: float, n_cells: int) -> float:
    """Compute the true fraction that has 50 called cells on average; at most 1.

    Parameters
    ----------
    sensitivity
        Share of positive cells that are called, 0-1.
    n_cells
        Cells of the batch.

    >>> events_limit(0.5, 1000)
    0.1
    """
    return (
        float(min(1.0, QUANTIFIABLE_EVENTS / (sensitivity * n_cells)))
        if sensitivity * n_cells > 0
        else 1.0
    )


def total_cv(prevalence: float, low: float, high: float) -> float:
    """Compute the CV of an estimate from its 95 % interval; infinite at 0.

    Parameters
    ----------
    prevalence, low, high
        Estimate and its interval, 0-1.

    >>> round(total_cv(0.05, 0.03, 0.08), 2)
    0.26
    """
    return (
        float((high - low) / (2 * norm.ppf(0.975) * prevalence)) if prevalence > 0 else float("inf")
    )


def variance_excess(n_called: int, n_cells: int, cv: float) -> float:
    """Compute the ratio between the variance of an estimate and that of a plain count.

    Parameters
    ----------
    n_called, n_cells
        Called cells, of all cells.
    cv
        CV of the estimate.

    Returns
    -------
    The ratio, 1 or more; 1 without calls.

    >>> round(variance_excess(100, 1000, 0.2), 1)
    4.4
    """
    if n_called < DETECTABLE_CALLS or not np.isfinite(cv):
        return 1.0
    return max(1.0, cv**2 * n_called / max(1 - n_called / n_cells, 1 / n_cells))


def joint_evidence(evidence: Sequence[float]) -> float:
    """Join the evidence of independent samples into one value.

    The value is as unlikely without positive cells as all of them together.

    Parameters
    ----------
    evidence
        Twice the log-likelihood ratio against no positive cell, of each sample, 0 or more.

    >>> joint_evidence([10.0]), round(joint_evidence([10.0, 10.0, 0.0]), 1)
    (10.0, 14.1)
    """
    total, freedom = float(np.sum(evidence)), len(evidence)
    if freedom == 1:
        return total
    log_p = float(chi2.logsf(total, freedom))
    return (
        float(chi2.isf(np.exp(log_p), 1))
        if log_p > LEAST_LOG_P
        else max(total - freedom * np.log(total), -LEAST_LOG_P)
    )


def verdict(
    n_called: int,
    n_cells: int,
    *,
    blank: float,
    evidence_of_positives: float,
    cv: float = 0.0,
    goal: float = CV_GOAL,
) -> Verdict:
    """Return the verdict on a batch.

    ``detected`` needs three called cells, more than the blank gives, and a likelihood ratio against
    no positive cell at the 0.5 % level. ``quantified`` also needs 50 called cells and a CV of the
    estimate within the goal. Fewer than 50 cells are ``not measurable``.

    Parameters
    ----------
    n_called, n_cells
        Called cells, of all cells.
    blank
        Limit of blank, 0-1.
    evidence_of_positives
        Twice the log-likelihood ratio against no positive cell, 0 or more.
    cv
        CV of the estimate (:func:`total_cv`).
    goal
        Highest CV of a quantified fraction.

    >>> verdict(0, 5000, blank=0.0, evidence_of_positives=0.0)
    'not detected'
    >>> verdict(80, 5000, blank=0.0, evidence_of_positives=300.0, cv=0.2)
    'quantified'
    """
    if n_cells < FEWEST_CELLS_FOR_VERDICT:
        return NOT_MEASURABLE
    above_blank = n_called > blank * n_cells + 1e-9 and n_called >= DETECTABLE_CALLS
    if not above_blank or evidence_of_positives < chi2.ppf(1 - 2 * DETECTION_LEVEL, 1):
        return NOT_DETECTED
    return QUANTIFIED if n_called >= QUANTIFIABLE_EVENTS and cv <= goal else DETECTED
