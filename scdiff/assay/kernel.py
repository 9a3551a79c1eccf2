"""The one hot loop of the assay: all patterns over all contaminations in each row, with scores.

Plain arrays, one thread, a fixed order of sums: the same bits whatever the machine is doing.
``tests/assay/test_kernel.py`` holds it to a slow, obvious twin.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from scdiff.assay.table import Floats

__all__ = ["Derivatives", "sum_rows"]


class Derivatives(NamedTuple):
    """Scaled densities over the pairs of all markers, one marker after the other, and the derivatives of their logs.

    ``on``, ``on_rate``, ``on_size`` have shape (n_pairs,); ``off``, ``off_mean``, ``off_size`` (n_pairs, n_grid).
    """

    on: Floats
    on_rate: Floats
    on_size: Floats
    off: Floats
    off_mean: Floats
    off_size: Floats


@njit(cache=True)  # type: ignore[untyped-decorator]
def sum_rows(pair, weight, patterns, pattern_weight, group, group_share, grid_weight, spread_slope, level, background, derivatives):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Sum log-likelihood, gradient and curvature over the rows.

    Parameters
    ----------
    pair
        Pair of each row and marker, shape (n_rows, n_markers).
    weight
        Cells per row, shape (n_rows,).
    patterns, pattern_weight
        On/off, shape (n_patterns, n_markers), and weight, shape (n_patterns,).
    group, group_share
        Group whose weights sum to a constant, and the share of each pattern in it, shape (n_patterns,).
    grid_weight, spread_slope
        Weight of each contamination, and the derivative of its log by ln spread, shape (n_grid,).
    level, background
        Rates of each marker, shape (n_markers,).
    derivatives
        A :class:`Derivatives`.

    Returns
    -------
    Log-likelihood; gradient (n_theta,); curvature (n_theta, n_theta); posterior of the patterns (n_rows, n_patterns).
    """
    on_density, on_rate, on_size, off_density, off_mean, off_size = derivatives
    n_rows, n_markers = pair.shape
    n_patterns, n_grid, n_theta = len(patterns), len(grid_weight), 4 * pair.shape[1] + 1 + len(patterns)
    gradient, curvature = np.zeros(n_theta), np.zeros((n_theta, n_theta))
    posterior, score = np.empty((n_rows, n_patterns)), np.empty(n_theta)
    on, off = np.empty(n_markers), np.empty((n_markers, n_grid))
    value = 0.0
    for row in range(n_rows):
        total = _patterns_of_row(pair[row], patterns, pattern_weight, grid_weight, on_density, off_density, posterior[row], on, off)
        value += weight[row] * np.log(total)
        posterior[row] /= total
        score[:] = 0.0
        for g in range(n_markers):
            place = pair[row, g]
            by_rate, by_off, by_spread, by_size = on[g] / total * on_rate[place], 0.0, 0.0, 0.0
            for k in range(n_grid):
                share = off[g, k] / total
                by_off += share * off_mean[place, k]
                by_spread += share * off_mean[place, k] * spread_slope[k]
                by_size += share * off_size[place, k]
            score[g] = by_rate * (level[g] + background[g]) + by_off
            score[n_markers + g] = by_rate * background[g] + by_off
            score[2 * n_markers + g] = on[g] / total * on_size[place]
            score[3 * n_markers + g] = by_size
            score[4 * n_markers] += by_spread
        _weight_scores(posterior[row], group, group_share, score[4 * n_markers + 1 :])
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
    """Weighted density of each pattern, its parts per marker, and the total of one row."""
    joint[:], on[:], off[:] = 0.0, 0.0, 0.0
    density = np.empty(len(grid_weight))
    total = 1e-300
    for p in range(len(patterns)):
        density[:] = grid_weight
        scale = pattern_weight[p]
        for g in range(len(pairs)):
            if patterns[p, g]:
                scale *= on_density[pairs[g]]
            else:
                density *= off_density[pairs[g]]
        density *= scale
        for k in range(len(density)):
            joint[p] += density[k]
        for g in range(len(pairs)):
            if patterns[p, g]:
                on[g] += joint[p]
            else:
                off[g] += density
        total += joint[p]
    return total


@njit(cache=True)  # type: ignore[untyped-decorator]
def _weight_scores(posterior, group, group_share, score):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Derive one row by the logits of the pattern weights."""
    for p in range(len(posterior)):
        in_group = 0.0
        for other in range(len(posterior)):
            if group[other] == group[p]:
                in_group += posterior[other]
        score[p] = posterior[p] - in_group * group_share[p]
