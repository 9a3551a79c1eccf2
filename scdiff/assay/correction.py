"""Correct a called fraction by the calls in a negative and in a positive control.

Rogan and Gladen: (called - false rate) / (sensitivity - false rate). The rule must be the same in
the sample and in both controls, and the controls must be as deep as the sample: only then do their
two rates apply to the sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import norm

from scdiff.errors import InputError

__all__ = ["Corrected", "Counted", "rogan_gladen"]

Counted = tuple[int, int]
"""Number of called cells and number of all cells."""

N_DRAWS = 40_000
"""Random draws for the interval. Chosen, not tuned."""


@dataclass(frozen=True)
class Corrected:
    """A corrected fraction.

    Parameters
    ----------
    prevalence, low, high
        Estimate and interval, 0-1.
    false_rate, sensitivity
        Fraction called in the negative and in the positive control, 0-1.
    """

    prevalence: float
    low: float
    high: float
    false_rate: float
    sensitivity: float


def rogan_gladen(
    sample: Counted,
    negative: Counted,
    positive: Counted,
    *,
    method: Literal["propagated", "lang-reiczigel"] = "propagated",
    confidence: float = 0.95,
    seed: int = 0,
) -> Corrected:
    """Correct a called fraction for the false calls and the misses in two controls.

    ``propagated`` draws all three rates from their beta distributions (Jeffreys' prior) and takes
    the quantiles of the corrected value. Its coverage is that of ``lang-reiczigel``, and it is
    narrower near 0.

    Parameters
    ----------
    sample, negative, positive
        Called cells and all cells: of the sample, of a control without positive cells, and of a
        control with positive cells only.
    method
        Method of the interval.
    confidence
        Nominal coverage, between 0 and 1.
    seed
        Seed of the random generator of ``propagated``.

    Raises
    ------
    InputError
        If a sample has no cells, or the positive control is not called more often than the negative
        one.

    Source
    ------
    10.1093/oxfordjournals.aje.a112510; the interval of Lang and Reiczigel:
    10.1016/j.prevetmed.2013.09.015

    >>> found = rogan_gladen((60, 1000), (10, 1000), (900, 1000))
    >>> round(found.prevalence, 4), found.sensitivity
    (0.0562, 0.9)
    """
    for name, (_, cells) in (
        ("sample", sample),
        ("negative control", negative),
        ("positive control", positive),
    ):
        if cells < 1:
            raise InputError(
                f"the {name} has no cells left, but the correction by controls needs 1 or more in "
                "each. Check the controls and the limits of quality control."
            )
    called, false_rate, sensitivity = (
        n_called / n_cells for n_called, n_cells in (sample, negative, positive)
    )
    if sensitivity <= false_rate:
        raise InputError(
            f"the positive control is called in {sensitivity:.2%} of its cells and the negative "
            f"control in {false_rate:.2%}, but the positive control must be called more often. "
            "Check which control is which."
        )
    value = float(np.clip((called - false_rate) / (sensitivity - false_rate), 0, 1))
    if method == "propagated":
        ends = _propagate(sample, negative, positive, confidence, seed)
    else:
        ends = _lang_reiczigel(sample, negative, positive, confidence)
    return Corrected(value, min(ends[0], value), max(ends[1], value), false_rate, sensitivity)


def _propagate(
    sample: Counted, negative: Counted, positive: Counted, confidence: float, seed: int
) -> tuple[float, float]:
    """Compute quantiles of the corrected value over random draws of the three rates."""
    generator = np.random.default_rng(seed)
    called, false_rate, sensitivity = (
        generator.beta(k + 0.5, n - k + 0.5, N_DRAWS) for k, n in (sample, negative, positive)
    )
    gap = sensitivity - false_rate
    values = np.clip((called - false_rate)[gap > 0] / gap[gap > 0], 0, 1)
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _lang_reiczigel(
    sample: Counted, negative: Counted, positive: Counted, confidence: float
) -> tuple[float, float]:
    """Compute the interval of Lang and Reiczigel.

    It is Wald's interval on counts with a few added successes and failures, plus a shift.
    """
    z2 = norm.ppf((1 + confidence) / 2) ** 2
    n, n_negative, n_positive = sample[1] + z2, negative[1] + 2, positive[1] + 2
    called = (sample[0] + z2 / 2) / n
    false_rate, sensitivity = (negative[0] + 1) / n_negative, (positive[0] + 1) / n_positive
    gap = sensitivity - false_rate
    value = (called - false_rate) / gap
    by_sensitivity, by_false_rate = (
        sensitivity * (1 - sensitivity) / n_positive,
        false_rate * (1 - false_rate) / n_negative,
    )
    shift = 2 * z2 * (value * by_sensitivity - (1 - value) * by_false_rate)
    spread = (
        np.sqrt(
            called * (1 - called) / n + value**2 * by_sensitivity + (1 - value) ** 2 * by_false_rate
        )
        / gap
    )
    low, high = np.clip(value + shift + np.array([-1, 1]) * np.sqrt(z2) * spread, 0, 1)
    return float(low), float(high)
