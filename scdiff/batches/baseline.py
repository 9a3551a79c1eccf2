"""Estimate the baseline of a control chart: mean and standard deviation between batches.

On the logit the value of a batch varies for two reasons. Batches differ (one standard deviation for
all), and each value has its own counting error, which depends on the number of cells. A p-chart
uses only the counting error and gives too many false alarms. A chart with one standard deviation
for all points is wrong if the numbers of cells differ. A value that was not detected is known to be
below a level; the likelihood treats it as left-censored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = [
    "FEWEST",
    "FEWEST_DETECTED",
    "Baseline",
    "fit_baseline",
    "quantile_score",
    "score_below",
    "values_at",
]

FEWEST = 20
"""Minimum number of batches of a locked baseline: the usual minimum for control limits."""

FEWEST_DETECTED = 4
"""Minimum number of detected values: with fewer, mean and standard deviation cannot both be
estimated."""

N_SPREADS = 121
"""Number of grid values of the standard deviation; the best one is refined by a parabola.

Chosen, not tuned.
"""

LARGEST_SCORE = 8.0
"""Largest standard score, SD: larger ones are cut. Their probability is below 1e-15."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(61)
_NODES = 5.5 * _NODES
"""Nodes and weights of the integral over true values: 61 Gauss-Legendre nodes within 5.5 SD.

Beyond 5.5 SD the probability is below 1e-7.
"""

Array = np.ndarray


@dataclass(frozen=True)
class Baseline:
    """Mean and standard deviation between batches of a process in control, on the logit.

    ``centre`` is the mean and ``spread`` the standard deviation between batches. ``centre_error``
    is the standard error of the mean, ``spread_error`` the standard error of the variance
    (``spread`` squared). ``score_mean`` is the mean score of the batches of the baseline; it is 0
    if all were detected.
    """

    centre: float
    spread: float
    centre_error: float
    spread_error: float
    n_detected: int
    score_mean: float = 0.0

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the variance between batches (Satterthwaite), at least 4."""
        if not self.spread_error > 0:
            return 1e6
        return float(
            np.clip(
                2 * (self.spread**2 + self.centre_error**2) ** 2 / self.spread_error**2, 4.0, 1e6
            )
        )

    @property
    def scale(self) -> float:
        """Standard deviation of the true logit of a new batch around the estimated mean."""
        return float(np.hypot(self.spread, self.centre_error))


def fit_baseline(values: Array, sizes: Array, censored: Array) -> Baseline | None:
    """Estimate mean and standard deviation by REML, or by adjusted likelihood if some are censored.

    Parameters
    ----------
    values
        Logit of each batch; for a batch that was not detected, the logit of the level that it is
        below; shape (batches,).
    sizes
        Effective number of cells of each value: the number whose counting error equals the error
        of the value; above 0.
    censored
        Whether the value is such a level: the batch was not detected.

    Returns
    -------
    The baseline; None if too few values are detected.

    Notes
    -----
    Adjusted profile likelihood: Cox and Reid 1987,
    https://doi.org/10.1111/j.2517-6161.1987.tb01422.x.
    """
    values, sizes, censored = (
        np.asarray(values, float),
        np.asarray(sizes, float),
        np.asarray(censored, bool),
    )
    if (~censored).sum() < FEWEST_DETECTED:
        return None
    centre = float(np.mean(values[~censored]))
    for _ in range(3):  # the errors depend on the mean only weakly
        errors = counting_error(centre, sizes)
        found = _maximise_likelihood(values, errors, censored)
        centre = found.centre
    return found


def counting_error(centre: float, sizes: Array) -> Array:
    """Return the counting error of a logit for each number of cells, at the mean of the process.

    The error is computed at the mean, not at the value. Otherwise low values would have large
    errors and would shift the limits to one side.
    """
    fraction = 1 / (1 + np.exp(-centre))
    return 1 / np.sqrt(np.maximum(sizes, 1e-9) * fraction * (1 - fraction))


def _maximise_likelihood(values: Array, errors: Array, censored: Array) -> Baseline:
    """Find the most likely standard deviation; each candidate has its most likely mean."""
    unit = max(float(np.std(values[~censored], ddof=1)), 1e-3)
    spreads = np.concatenate([[0.0], np.geomspace(0.02, 4, N_SPREADS - 1) * unit])
    centres, information, likelihood = _profile_likelihood(values, errors, censored, spreads)
    spread = _find_peak(spreads, likelihood - 0.5 * np.log(information))
    variance = (spread**2 + errors[~censored] ** 2) ** 2
    n_detected = int((~censored).sum())
    of_square = 0.5 * np.sum(1 / variance) * (n_detected - 1) / n_detected
    return Baseline(
        centre=float(np.interp(spread, spreads, centres)),
        spread=spread,
        centre_error=float(1 / np.sqrt(np.interp(spread, spreads, information))),
        spread_error=float(1 / np.sqrt(of_square)),
        n_detected=n_detected,
    )


def _profile_likelihood(
    values: Array, errors: Array, censored: Array, spreads: Array
) -> tuple[Array, Array, Array]:
    """Return for each standard deviation the most likely mean, its information, the likelihood."""
    from scipy import special

    variance = spreads[:, None] ** 2 + errors**2
    root = np.sqrt(variance)
    centres = np.full(len(spreads), values[~censored].mean())
    unit = max(float(np.ptp(values)), 1e-3)
    for _ in range(60):
        scores = (values - centres[:, None]) / root
        mills = np.exp(-0.5 * scores**2 - special.log_ndtr(scores)) / np.sqrt(2 * np.pi)
        slope = np.where(censored, -mills / root, scores / root).sum(axis=1)
        information = np.where(censored, mills * (scores + mills), 1.0) / variance
        step = np.clip(slope / information.sum(axis=1), -unit, unit)
        centres = centres + step
        if np.abs(step).max() < 1e-10 * unit:
            break
    scores = (values - centres[:, None]) / root
    likelihood = np.where(censored, special.log_ndtr(scores), -0.5 * scores**2 - np.log(root)).sum(
        axis=1
    )
    return centres, information.sum(axis=1), likelihood


def _find_peak(places: Array, heights: Array) -> float:
    """Return the position of the maximum, refined by a parabola through its neighbours."""
    best = int(np.argmax(heights))
    if not 0 < best < len(places) - 1:
        return float(places[best])
    around = slice(best - 1, best + 2)
    bend, slope, _ = np.polyfit(places[around], heights[around], 2)
    return (
        float(np.clip(-slope / (2 * bend), places[best - 1], places[best + 1]))
        if bend < 0
        else float(places[best])
    )


def quantile_score(baseline: Baseline, fractions: Array, sizes: Array) -> Array:
    """Return the standard scores of measured fractions: normal quantiles of their probability.

    The probability is exact. The count of positive cells is binomial, and the logit of the batch
    varies around the mean with Student's t, because mean and standard deviation are estimated. In
    control the scores are standard normal for any number of cells. With a normal distribution of
    the logit, a lower limit of 0.13 % would give 0.37 % false alarms at 2 % of 500 cells.

    Parameters
    ----------
    baseline
        Mean and standard deviation of the process.
    fractions
        0-1; shape (batches,).
    sizes
        Effective numbers of cells, as in :func:`fit_baseline`.

    Returns
    -------
    Scores, SD, between -8 and 8.
    """
    from scipy import special

    sizes = np.maximum(np.asarray(sizes, float), 1.0)
    counts = np.clip(np.asarray(fractions, float), 0.0, 1.0) * sizes
    counts = np.minimum(counts, sizes - 1e-6)
    below = np.zeros(counts.shape)
    for place, weight in zip(*_list_fractions(baseline), strict=True):
        at_most = special.betainc(sizes - counts, counts + 1, 1 - place)
        less = np.where(
            counts > 0,
            special.betainc(sizes - counts + 1, np.maximum(counts, 1e-9), 1 - place),
            0.0,
        )
        below += weight * (at_most + less) / 2
    return np.clip(special.ndtri(np.clip(below, 0.0, 1.0)), -LARGEST_SCORE, LARGEST_SCORE)


def _list_fractions(baseline: Baseline) -> tuple[Array, Array]:
    """Return the true fractions that a new batch may have, and their weights."""
    from scipy import special

    weights = _WEIGHTS * np.exp(-0.5 * _NODES**2)
    tails = special.stdtrit(baseline.freedom, special.ndtr(-np.abs(_NODES)))
    logits = baseline.centre - np.sign(_NODES) * baseline.scale * tails
    return 1 / (1 + np.exp(-logits)), weights / weights.sum()


def values_at(baseline: Baseline, scores: Array, sizes: Array) -> Array:
    """Find the fractions that have given standard scores, to draw control limits.

    The limits are computed on a grid of numbers of cells and interpolated in between.
    """
    sizes = np.maximum(np.asarray(sizes, float), 1.0)
    low, high = float(sizes.min(initial=1e9)), float(sizes.max(initial=1.0))
    grid = np.geomspace(low, max(high, low * (1 + 1e-9)), 12 if high > low * 1.01 else 1)
    limits = _invert_scores(baseline, np.asarray(scores, float), grid)
    columns = [np.interp(np.log(sizes), np.log(grid), column) for column in limits.T]
    return 1 / (1 + np.exp(-np.array(columns).T))


def _invert_scores(baseline: Baseline, scores: Array, sizes: Array) -> Array:
    """Return the logits at which the score has given values, by bisection."""
    low, high = np.full((len(sizes), len(scores)), -16.0), np.full((len(sizes), len(scores)), 16.0)
    spread_out = np.repeat(sizes, len(scores))
    for _ in range(24):
        middle = (low + high) / 2
        found = quantile_score(baseline, 1 / (1 + np.exp(-middle.ravel())), spread_out).reshape(
            middle.shape
        )
        low, high = np.where(found < scores, middle, low), np.where(found < scores, high, middle)
    found = (low + high) / 2
    # with few cells, even a count of zero is inside the limit: there is no limit to draw
    return np.where(np.abs(found) < 15.9, found, np.nan)


def score_below(scores: Array) -> Array:
    """Return the expected score of a batch in control whose score is below the given score.

    Source: Steiner and MacKay 2000, Journal of Quality Technology 32, 199-208 (conditional expected
    values).

    >>> score_below(np.array([0.0])).round(4).tolist()
    [-0.7979]
    """
    from scipy import special

    scores = np.asarray(scores, float)
    return -np.exp(-0.5 * scores**2 - special.log_ndtr(scores)) / np.sqrt(2 * np.pi)
