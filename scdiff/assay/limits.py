"""Limits of blank, detection and quantification, and the verdict, as flow cytometry defines them.

LOB: the highest fraction that a blank gives. LOD: the least fraction that is found with 95 % power at these cells and
depths. LLOQ: the least fraction that gives enough events to quantify.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from scipy.stats import binom, chi2

from scdiff.assay.calls import call_table
from scdiff.assay.fit import Fit
from scdiff.assay.mixture import draw_counts
from scdiff.assay.table import Floats, tabulate

__all__ = [
    "FEWEST_CELLS",
    "NO_NUMBER",
    "QUANTIFIABLE_EVENTS",
    "Verdict",
    "detection_limit",
    "error_rates",
    "joint_evidence",
    "limit_of_blank",
    "quantification_limit",
    "typical_sensitivity",
    "verdict",
]

Verdict = Literal["not detected", "detected", "quantified", "not measurable", "inconclusive"]

NO_NUMBER = ("not measurable", "inconclusive")
"""Verdicts beside which no number is stated."""

FEWEST_CELLS = 50
QUANTIFIABLE_EVENTS = 50
DETECTABLE_CALLS = 3
"""One or two called cells are what a single odd droplet and its doublet can give."""
POWER = 0.95
DETECTION_LEVEL = 0.005
MOST_DRAWS = 20_000
REFERENCE_EVENTS = 20
CLEAN = 0.01
"""Contamination of a clean batch, relative to what the prior expects."""
LEAST_LOG_P = -600.0
"""Below it a probability has no logarithm left in double precision."""


def error_rates(fit: Fit, *, rate: float = 0.05, seed: int = 0) -> tuple[float, float]:
    """Find the false call rate of negative cells and the sensitivity for positive ones, by redrawing counts from the fit.

    The cells are called as in a batch that holds 20 positive cells, so that a batch without any still tells what it
    would have seen, and a batch full of them what a blank would have given.

    Parameters
    ----------
    fit
        The fitted mixture.
    rate
        Expected share of false calls among the calls, between 0 and 1.
    seed
        Start of the random generator.

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
    weighted = replace(table, weight=np.asarray(np.bincount(table.cell_row, weights=share), dtype=float))
    calls = call_table(fit.model, theta, weighted, rate=rate).positive
    return float(calls[:MOST_DRAWS].mean()), float(calls[MOST_DRAWS:].mean())


def typical_sensitivity(fit: Fit, *, rate: float = 0.05, seed: int = 0) -> float:
    """Find the sensitivity, 0-1, for cells that express the markers at their typical levels, in a clean background.

    It is what the depths of the cells allow at best.

    Parameters
    ----------
    fit, rate, seed
        As in :func:`error_rates`.
    """
    model, n = fit.model, fit.model.n_markers
    theta = model.prior_mean.copy()
    theta[model.logits], theta[model.slope_at] = fit.theta[model.logits], fit.theta[model.slope_at]
    theta[n : 2 * n] = np.log(CLEAN)
    return error_rates(replace(fit, theta=theta), rate=rate, seed=seed)[1]


def _reference(fit: Fit) -> tuple[Floats, float]:
    """Theta with the prevalence set to 20 cells, at most a half; the positive patterns as fitted, and one cell with all markers on."""
    model, cells = fit.model, fit.table.n_cells
    events = fit.weight * cells
    events[-1] += 1
    prevalence = min(0.5, REFERENCE_EVENTS / max(cells, 1))
    weight = np.empty_like(events)
    for group, total in ((model.positive, prevalence), (~model.positive, 1 - prevalence)):
        weight[group] = total * events[group] / events[group].sum()
    weight += 1e-12
    return model.with_weight(fit.theta, fit.table, weight / weight.sum()), prevalence


def _redraw(fit: Fit, theta: Floats, group: Any, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw counts (n_draws, n_markers) and depths of cells of some patterns."""
    parameters, patterns = fit.model.parameters(theta), fit.model.patterns[group]
    cells = fit.table.weight[:, None] * fit.model.weights(theta, fit.table).weight[:, group]
    row, pattern = np.unravel_index(generator.choice(cells.size, size=MOST_DRAWS, p=(cells / cells.sum()).ravel()), cells.shape)
    depth, on = fit.table.depth[row], patterns[pattern]
    return draw_counts(parameters, on, depth, generator), depth


def limit_of_blank(false_call_rate: float, n_cells: int, blanks: tuple[tuple[int, int], ...] = ()) -> float:
    """Highest fraction that a batch without positives gives with 95 % probability.

    Parameters
    ----------
    false_call_rate
        Share of negative cells that are called, 0-1; with what doublets make positive by chance.
    n_cells
        Cells of the batch.
    blanks
        (called, cells) of declared control samples; they win over the model's rate where they are higher.

    >>> limit_of_blank(0.0, 1000), limit_of_blank(0.001, 1000)
    (0.0, 0.003)
    """
    called, cells = (sum(column) for column in zip(*blanks, strict=True)) if blanks else (0, 0)
    rate = max(false_call_rate, called / cells if cells else 0.0)
    return float(binom.ppf(POWER, n_cells, rate) / n_cells) if n_cells else 1.0


def detection_limit(sensitivity: float, n_cells: int, blank: float) -> float:
    """Least true fraction whose calls exceed the blank with 95 % power; 1 where there is none.

    >>> round(detection_limit(1.0, 10_000, 0.0), 5)
    0.00063
    """
    if n_cells == 0 or sensitivity <= 0:
        return 1.0
    needed = max(int(np.floor(blank * n_cells + 1e-9)) + 1, DETECTABLE_CALLS)
    low, high = 0.0, 1.0
    if binom.sf(needed - 1, n_cells, sensitivity) < POWER:
        return 1.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (low, middle) if binom.sf(needed - 1, n_cells, middle * sensitivity) >= POWER else (middle, high)
    return high


def quantification_limit(sensitivity: float, n_cells: int, detection: float) -> float:
    """Least true fraction that gives 50 called cells on average, never below the detection limit; at most 1.

    >>> quantification_limit(0.5, 1000, 0.003)
    0.1
    """
    events = QUANTIFIABLE_EVENTS / (sensitivity * n_cells) if sensitivity * n_cells > 0 else 1.0
    return float(min(1.0, max(events, detection)))


def joint_evidence(evidence: Sequence[float]) -> float:
    """Join the evidence of independent samples into one value that is as unlikely without positive cells.

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
    return float(chi2.isf(np.exp(log_p), 1)) if log_p > LEAST_LOG_P else max(total - freedom * np.log(total), -LEAST_LOG_P)


def verdict(n_called: int, n_cells: int, *, blank: float, evidence_of_positives: float) -> Verdict:
    """Say what the batch shows.

    ``detected`` needs three called cells, more than the blank gives, and a likelihood ratio against no positive cell at the 0.5 % level;
    ``quantified`` needs 50 called cells besides; fewer than 50 cells are ``not measurable``.

    >>> verdict(0, 5000, blank=0.0, evidence_of_positives=0.0), verdict(80, 5000, blank=0.0, evidence_of_positives=300.0)
    ('not detected', 'quantified')
    """
    if n_cells < FEWEST_CELLS:
        return "not measurable"
    above_blank = n_called > blank * n_cells + 1e-9 and n_called >= DETECTABLE_CALLS
    if not above_blank or evidence_of_positives < chi2.ppf(1 - 2 * DETECTION_LEVEL, 1):
        return "not detected"
    return "quantified" if n_called >= QUANTIFIABLE_EVENTS else "detected"
