"""The hot loops of the assay: densities of all pairs, then all patterns over all contaminations in each row, with scores.

Plain arrays, one thread, a fixed order of sums: the same bits whatever the machine is doing.
``tests/assay/test_kernel.py`` holds it to a slow, obvious twin.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from scdiff.assay.table import Floats

__all__ = ["Derivatives", "best_centre", "fill_densities", "sum_rows"]


class Derivatives(NamedTuple):
    """Scaled densities over the pairs of all markers, one marker after the other, and the derivatives of their logs.

    All have shape (n_pairs, n_grid): the expressed state by ln level, ln background, ln size; the background state by ln
    mean, ln size.
    """

    on: Floats
    on_level: Floats
    on_background: Floats
    on_size: Floats
    off: Floats
    off_mean: Floats
    off_size: Floats


@njit(cache=True)  # type: ignore[untyped-decorator]
def fill_densities(counts, expressed, ambient, norm, digamma, sizes, activity, contamination, low_level, scale, derivatives):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Find densities and derivatives of each pair, in one pass over pairs and deviations.

    Parameters
    ----------
    counts, expressed, ambient
        Count of each pair, its mean where the marker is on, and its background, each of shape (n_pairs,).
    norm, digamma, sizes
        Of the three negative binomials (on, on at a low level, off): what their log density has beside the terms of the mean,
        digamma(count + size) - digamma(size), and the size, each of shape (n_pairs, 3).
    activity, contamination
        Factor of each deviation, shape (n_grid,).
    low_level
        Level of the cells that express little, relative to the others.
    scale
        Filled with ln of what the densities of each pair are divided by, shape (n_pairs,).
    derivatives
        A :class:`Derivatives` to fill.
    """
    on_density, on_level, on_background, on_size, off_density, off_mean, off_size = derivatives
    for p in range(len(counts)):
        count, background, most_size, few_size, ambient_size = counts[p], ambient[p], sizes[p, 0], sizes[p, 1], sizes[p, 2]
        scale[p] = -np.inf
        for k in range(len(activity)):
            mean = expressed[p] * activity[k] + background
            low = low_level * (mean - background) + background
            held = background * contamination[k]
            most_sum, few_sum, held_sum = np.log(most_size + mean), np.log(few_size + low), np.log(ambient_size + held)
            most = norm[p, 0] + count * np.log(mean) - (count + most_size) * most_sum
            few = norm[p, 1] + count * np.log(low) - (count + few_size) * few_sum
            on = max(most, few) + np.log1p(np.exp(-abs(most - few)))
            tail = np.exp(few - on)
            by_mean = (1 - tail) * (count / mean - (count + most_size) / (most_size + mean))
            by_low = tail * (count / low - (count + few_size) / (few_size + low))
            on_density[p, k], off_density[p, k] = on, norm[p, 2] + count * np.log(held) - (count + ambient_size) * held_sum
            on_level[p, k] = (by_mean + low_level * by_low) * (mean - background)
            on_background[p, k] = (by_mean + by_low) * background
            on_size[p, k] = (1 - tail) * _by_size(count, mean, most_size, digamma[p, 0], most_sum)
            off_mean[p, k] = count - (count + ambient_size) / (ambient_size + held) * held
            off_size[p, k] = _by_size(count, held, ambient_size, digamma[p, 2], held_sum)
            scale[p] = max(scale[p], on, off_density[p, k])
        for k in range(len(activity)):
            on_density[p, k], off_density[p, k] = np.exp(on_density[p, k] - scale[p]), np.exp(off_density[p, k] - scale[p])


@njit(cache=True)  # type: ignore[untyped-decorator]
def _by_size(count, mean, size, digamma, log_sum):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Derive the negative binomial log density by ln size."""
    return size * (digamma + np.log(size) - log_sum + 1 - (count + size) / (size + mean))


@njit(cache=True)  # type: ignore[untyped-decorator]
def sum_rows(pair, weight, patterns, positive, pattern_weight, log_depth, by_logit, by_slope, grid_weight, slopes, derivatives):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Sum log-likelihood, gradient and curvature over the rows.

    Parameters
    ----------
    pair
        Pair of each row and marker, shape (n_rows, n_markers).
    weight
        Cells per row, shape (n_rows,).
    patterns, positive
        On/off, shape (n_patterns, n_markers), the first all off; which patterns are positive, shape (n_patterns,).
    pattern_weight, log_depth, by_logit, by_slope
        Weight of the patterns in each row, shape (n_rows, n_patterns); ln depth (n_rows,); derivatives of the shift of the
        positive patterns' logits that holds the prevalence, by the logits, shape (n_patterns,), and by the slope.
    grid_weight, slopes
        Weight of each deviation, shape (n_grid,); derivatives of ln contamination and of ln activity by the logs of their
        spreads, shape (2, n_grid).
    derivatives
        A :class:`Derivatives`.

    Returns
    -------
    Log-likelihood; gradient (n_theta,); curvature (n_theta, n_theta); posterior of the patterns (n_rows, n_patterns).
    """
    on_density, off_density = derivatives[0], derivatives[4]
    n_rows, n_markers = pair.shape
    n_patterns, n_theta = len(patterns), 4 * pair.shape[1] + 3 + len(patterns)
    gradient, curvature = np.zeros(n_theta), np.zeros((n_theta, n_theta))
    posterior, score = np.empty((n_rows, n_patterns)), np.empty(n_theta)
    on, off = np.empty((n_markers, len(grid_weight))), np.empty((n_markers, len(grid_weight)))
    value = 0.0
    for row in range(n_rows):
        total = _patterns_of_row(pair[row], patterns, pattern_weight[row], grid_weight, on_density, off_density, posterior[row], on, off)
        value += weight[row] * np.log(total)
        posterior[row] /= total
        score[:] = 0.0
        _marker_scores(pair[row], on, off, total, slopes, derivatives, score)
        _weight_scores(posterior[row], positive, pattern_weight[row], log_depth[row], by_logit, by_slope, score[4 * n_markers + 2 :])
        for i in range(n_theta):
            gradient[i] += weight[row] * score[i]
            for j in range(i + 1):
                curvature[i, j] += weight[row] * score[i] * score[j]
    for i in range(n_theta):
        for j in range(i):
            curvature[j, i] = curvature[i, j]
    return value, gradient, curvature, posterior


@njit(cache=True)  # type: ignore[untyped-decorator]
def _patterns_of_row(pairs, patterns, pattern_weight, grid_weight, on_density, off_density, joint, on, off):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Weighted density of each pattern, its parts per marker and deviation, and the total of one row."""
    joint[:], on[:], off[:] = 0.0, 0.0, 0.0
    density = np.empty(len(grid_weight))
    total = 1e-300
    for p in range(len(patterns)):
        for k in range(len(density)):
            density[k] = pattern_weight[p] * grid_weight[k]
        for g in range(len(pairs)):
            factor = on_density[pairs[g]] if patterns[p, g] else off_density[pairs[g]]
            for k in range(len(density)):
                density[k] *= factor[k]
        for k in range(len(density)):
            joint[p] += density[k]
        for g in range(len(pairs)):
            part = on[g] if patterns[p, g] else off[g]
            for k in range(len(density)):
                part[k] += density[k]
        total += joint[p]
    return total


@njit(cache=True)  # type: ignore[untyped-decorator]
def _marker_scores(pairs, on, off, total, slopes, derivatives, score):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Derive one row by levels, ratios, sizes and both spreads."""
    _, on_level, on_background, on_size, _, off_mean, off_size = derivatives
    n_markers = len(pairs)
    for g in range(n_markers):
        place = pairs[g]
        for k in range(on.shape[1]):
            expressed, ambient = on[g, k] / total, off[g, k] / total
            by_level, by_off = expressed * on_level[place, k], ambient * off_mean[place, k]
            by_background = expressed * on_background[place, k] + by_off
            score[g] += by_level + by_background
            score[n_markers + g] += by_background
            score[2 * n_markers + g] += expressed * on_size[place, k]
            score[3 * n_markers + g] += ambient * off_size[place, k]
            score[4 * n_markers] += by_off * slopes[0, k]
            score[4 * n_markers + 1] += by_level * slopes[1, k]


@njit(cache=True)  # type: ignore[untyped-decorator]
def _weight_scores(posterior, positive, pattern_weight, log_depth, by_logit, by_slope, score):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Derive one row by the slope and the logits of the pattern weights."""
    surplus = 0.0
    for p in range(len(posterior)):
        if positive[p]:
            surplus += posterior[p] - pattern_weight[p]
    score[0] = log_depth * (pattern_weight[0] - posterior[0]) + surplus * by_slope
    for p in range(len(posterior)):
        score[1 + p] = posterior[p] - pattern_weight[p] + surplus * by_logit[p]


@njit(cache=True)  # type: ignore[untyped-decorator]
def best_centre(values, spread, freedom, mean, precision, n_steps):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Find the centre at which ``values`` with Student's tails cost least; it is normal around ``mean`` itself.

    Each value, and the mean, is a start: there may be several optima.

    Returns
    -------
    The cost and the centre.
    """
    best, found = np.inf, mean
    for start in range(len(values) + 1):
        centre = values[start] if start < len(values) else mean
        for _ in range(n_steps):
            pull, total = mean * precision, precision
            for i in range(len(values)):
                weight = (freedom + 1) / (spread[i] + (values[i] - centre) ** 2)
                pull += weight * values[i]
                total += weight
            centre = pull / total
        cost = (centre - mean) ** 2 * precision / 2
        for i in range(len(values)):
            cost += (freedom + 1) / 2 * np.log1p((values[i] - centre) ** 2 / spread[i])
        if cost < best:
            best, found = cost, centre
    return best, found
