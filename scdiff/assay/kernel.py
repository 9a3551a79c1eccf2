"""Hot loops of the assay: densities of all pairs, then all patterns of each row, with scores.

Plain arrays, one thread, a fixed order of sums: the same bits on any number of cores.
``tests/assay/test_kernel.py`` compares them with slow, obvious code. :mod:`scdiff.assay.layout`
states the order of the parameters.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import types

from scdiff.assay.table import Floats, Ints
from scdiff.compiled import compile_loop

__all__ = ["Derivatives", "Means", "fill_densities", "sum_rows"]


class Means(NamedTuple):
    """Arrays that determine the means of each pair, one marker after the other.

    ``counts``, ``expressed`` (mean count of an expressed marker), ``soup`` (mean ambient count of a
    cell with contamination 1), ``leak`` (mean count that needs no contamination) and ``place``
    (number of its depth among the distinct depths) have shape (n_pairs,). ``norm``, ``digamma``,
    ``sizes`` and ``log_sizes`` have shape (n_pairs, 3), for the three negative binomials
    (expressed, expressed at a low level, background): the part of the log density without the mean,
    digamma(count + size) - digamma(size), the size and its ln.
    """

    counts: Floats
    expressed: Floats
    soup: Floats
    leak: Floats
    place: Ints
    norm: Floats
    digamma: Floats
    sizes: Floats
    log_sizes: Floats


class Derivatives(NamedTuple):
    """Scaled densities over the pairs of all markers, and the derivatives of their logs.

    The first three, of the expressed state by ln level and ln size, have shape (n_pairs,
    n_activity). The others, of the background by ln ambient level, ln leak, ln size and the tilt,
    have shape (n_pairs, n_nodes).
    """

    on: Floats
    on_level: Floats
    on_size: Floats
    off: Floats
    off_soup: Floats
    off_leak: Floats
    off_size: Floats
    off_tilt: Floats


_F1, _F2 = types.float64[::1], types.float64[:, ::1]
_I1, _I2 = types.int64[::1], types.int64[:, ::1]
_B1, _B2 = types.boolean[::1], types.boolean[:, ::1]
_MEANS = types.NamedTuple((_F1, _F1, _F1, _F1, _I1, _F2, _F2, _F2, _F2), Means)  # type: ignore[no-untyped-call]
_DERIVATIVES = types.NamedUniTuple(_F2, len(Derivatives._fields), Derivatives)  # type: ignore[no-untyped-call]
_WEIGHTS = types.Tuple((_F2, _F1, _F1, types.float64))  # type: ignore[no-untyped-call]


@compile_loop((_MEANS, _F1, _F2, _F2, types.float64, _F1, _DERIVATIVES))
def fill_densities(means, activity, contamination, by_tilt, low_level, scale, derivatives):  # type: ignore[no-untyped-def]
    """Fill the densities and derivatives of each pair.

    Parameters
    ----------
    means
        A :class:`Means`.
    activity
        Factor of each activity, shape (n_activity,).
    contamination, by_tilt
        Contamination of each node at each distinct depth, and the derivative of its ln by the tilt,
        shape (n_depths, n_nodes).
    low_level
        Level of the cells that express little, relative to the others.
    scale
        Filled with ln of the divisor of the densities of each pair, shape (n_pairs,).
    derivatives
        A :class:`Derivatives` to fill.
    """
    on, off, log_activity = derivatives[0], derivatives[3], np.log(activity)
    for p in range(len(means[0])):
        place = means[4][p]
        on_best = _fill_on(p, means, activity, log_activity, low_level, derivatives)
        best = max(on_best, _fill_off(p, means, contamination[place], by_tilt[place], derivatives))
        scale[p] = best
        for a in range(len(activity)):
            on[p, a] = np.exp(on[p, a] - best)
        for k in range(off.shape[1]):
            off[p, k] = np.exp(off[p, k] - best)


@compile_loop()
def _fill_on(p, means, activity, log_activity, low_level, derivatives):  # type: ignore[no-untyped-def]
    """Fill the log density of an expressed count for each activity; return the highest."""
    counts, expressed, _, _, _, norm, digamma, sizes, log_sizes = means
    on, on_level, on_size = derivatives[0], derivatives[1], derivatives[2]
    count, most_size, few_size, best = counts[p], sizes[p, 0], sizes[p, 1], -np.inf
    log_low, log_expressed = np.log(low_level), np.log(expressed[p])
    for a in range(len(activity)):
        mean = expressed[p] * activity[a]
        low, log_mean = low_level * mean, log_expressed + log_activity[a]
        most_sum, few_sum = most_size + mean, few_size + low
        log_sum = np.log(most_sum)
        most = norm[p, 0] + count * log_mean - (count + most_size) * log_sum
        few = norm[p, 1] + count * (log_mean + log_low) - (count + few_size) * np.log(few_sum)
        smaller = np.exp(-abs(most - few))  # relative to the larger of the two
        on[p, a] = max(most, few) + np.log1p(smaller)
        tail = (smaller if few < most else 1.0) / (1.0 + smaller)
        pull = (count + most_size) / most_sum
        by_mean = (1 - tail) * (count - pull * mean)
        on_level[p, a] = by_mean + tail * (count - (count + few_size) / few_sum * low)
        by_size = digamma[p, 0] + log_sizes[p, 0] - log_sum + 1 - pull
        on_size[p, a] = (1 - tail) * most_size * by_size
        best = max(best, on[p, a])
    return best


@compile_loop()
def _fill_off(p, means, contamination, by_tilt, derivatives):  # type: ignore[no-untyped-def]
    """Fill the log density of a background count for each node; return the highest."""
    counts, _, soup, leak, _, norm, digamma, sizes, log_sizes = means
    _, _, _, off, off_soup, off_leak, off_size, off_tilt = derivatives
    count, size, best = counts[p], sizes[p, 2], -np.inf
    summed, of_size = count + size, digamma[p, 2] + log_sizes[p, 2] + 1
    for k in range(len(contamination)):
        ambient = soup[p] * contamination[k]
        held = ambient + leak[p]
        held_sum, pull = np.log(size + held), summed / (size + held)
        off[p, k] = norm[p, 2] + count * np.log(held) - summed * held_sum
        by_mean = count / held - pull
        off_soup[p, k], off_leak[p, k] = by_mean * ambient, by_mean * leak[p]
        off_tilt[p, k] = by_mean * ambient * by_tilt[k]
        off_size[p, k] = size * (of_size - held_sum - pull)
        best = max(best, off[p, k])
    return best


@compile_loop((_I2, _F1, _B2, _B1, _WEIGHTS, _F1, _F1, _F1, _DERIVATIVES))
def sum_rows(  # type: ignore[no-untyped-def]
    pair, weight, patterns, positive, weights, activity_weight, node_weight, slopes, derivatives
):
    """Sum log-likelihood, gradient and curvature over the rows.

    Parameters
    ----------
    pair
        Pair of each row and marker, shape (n_rows, n_markers).
    weight
        Cells per row, shape (n_rows,).
    patterns, positive
        Expressed markers, shape (n_patterns, n_markers), none in the first; positive patterns,
        shape (n_patterns,).
    weights
        Weight of the patterns in each row, shape (n_rows, n_patterns); ln depth, shape (n_rows,);
        derivatives of the shift of the positive patterns' logits that fixes the prevalence, by the
        logits, shape (n_patterns,), and by the slope.
    activity_weight, node_weight
        Weight of each activity, shape (n_activity,), and of each node, shape (n_nodes,).
    slopes
        Derivative of ln activity by the log of its spread, shape (n_activity,).
    derivatives
        A :class:`Derivatives`.

    Returns
    -------
    Log-likelihood; gradient (n_theta,); curvature (n_theta, n_theta); posterior of the patterns
    (n_rows, n_patterns).
    """
    pattern_weight, log_depth, by_logit, by_slope = weights
    n_rows, n_markers = pair.shape
    n_patterns, n_nodes, n_activity = len(patterns), len(node_weight), len(activity_weight)
    first = 5 * n_markers + 3
    n_theta = first + n_nodes + n_patterns
    gradient, curvature = np.zeros(n_theta), np.zeros((n_theta, n_theta))
    posterior, score = np.empty((n_rows, n_patterns)), np.empty(n_theta)
    on, off = np.empty((n_markers, n_activity)), np.empty((n_markers, n_nodes))
    room = np.empty((n_patterns, n_activity)), np.empty((n_patterns, n_nodes)), np.empty(n_nodes)
    value = 0.0
    for row in range(n_rows):
        total = _patterns_of_row(
            pair[row],
            patterns,
            pattern_weight[row],
            activity_weight,
            node_weight,
            derivatives,
            posterior[row],
            on,
            off,
            room,
        )
        value += weight[row] * np.log(total)
        _marker_scores(pair[row], on, off, total, slopes, derivatives, score)
        for k in range(n_nodes):
            score[first + k] = room[2][k] / total - node_weight[k]
        for p in range(n_patterns):
            posterior[row, p] /= total
        tail = score[first + n_nodes :]
        score[5 * n_markers + 1] = _weight_scores(
            posterior[row], positive, pattern_weight[row], log_depth[row], by_logit, by_slope, tail
        )
        _add_products(weight[row], score, gradient, curvature)
    for i in range(n_theta):
        for j in range(i):
            curvature[j, i] = curvature[i, j]
    return value, gradient, curvature, posterior


@compile_loop()
def _add_products(weight, score, gradient, curvature):  # type: ignore[no-untyped-def]
    """Add a row's scores and their outer product (lower half) to the sums, in place."""
    for i in range(len(score)):
        scaled = weight * score[i]
        gradient[i] += scaled
        for j in range(i + 1):
            curvature[i, j] += scaled * score[j]


@compile_loop()
def _patterns_of_row(  # type: ignore[no-untyped-def]
    pairs, patterns, pattern_weight, activity_weight, node_weight, derivatives, joint, on, off, room
):
    """Compute the weighted density of each pattern, its parts, and the total of one row.

    The parts are per marker, activity and node. Expressed markers share the cell's activity, the
    others its contamination.
    """
    of_on, of_off, node = room
    last = len(patterns) - 1
    _fill_products(pairs, activity_weight, derivatives[0], of_on)
    _fill_products(pairs, node_weight, derivatives[3], of_off)
    _clear(on)
    _clear(off)
    for k in range(len(node)):
        node[k] = 0.0
    total = 1e-300
    for p in range(last + 1):
        of_activity, of_node = _sum(of_on, p), _sum(of_off, last - p)
        joint[p] = pattern_weight[p] * of_activity * of_node
        total += joint[p]
        by_activity, by_node = pattern_weight[p] * of_node, pattern_weight[p] * of_activity
        for k in range(len(node)):
            node[k] += by_node * of_off[last - p, k]
        _share_out(on, patterns, p, True, by_activity, of_on, p)
        _share_out(off, patterns, p, False, by_node, of_off, last - p)
    return total


@compile_loop()
def _clear(values):  # type: ignore[no-untyped-def]
    """Set a table to 0 by a loop: numba takes seconds to compile the assignment of a slice."""
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            values[row, column] = 0.0


@compile_loop()
def _share_out(target, patterns, p, state, factor, products, row):  # type: ignore[no-untyped-def]
    """Add a multiple of a row of the products to the markers in one state of a pattern.

    ``target`` changes in place.
    """
    for g in range(target.shape[0]):
        if patterns[p, g] == state:
            for k in range(target.shape[1]):
                target[g, k] += factor * products[row, k]


@compile_loop()
def _fill_products(pairs, weight, density, products):  # type: ignore[no-untyped-def]
    """Multiply the weights by the densities of each set of markers.

    The sets are in the order of the patterns.
    """
    n_values, n_sets = len(weight), 1
    for k in range(n_values):
        products[0, k] = weight[k]
    for g in range(len(pairs) - 1, -1, -1):
        for p in range(n_sets):
            for k in range(n_values):
                products[n_sets + p, k] = products[p, k] * density[pairs[g], k]
        n_sets *= 2


@compile_loop(fastmath={"reassoc", "nsz"})
def _sum(values, row):  # type: ignore[no-untyped-def]
    """Sum one row of an array."""
    total = 0.0
    for k in range(values.shape[1]):
        total += values[row, k]
    return total


@compile_loop(fastmath={"reassoc", "nsz"})
def _marker_scores(pairs, on, off, total, slopes, derivatives, score):  # type: ignore[no-untyped-def]
    """Derive one row by the parameters of the markers, the activity and the tilt."""
    _, on_level, on_size, _, off_soup, off_leak, off_size, off_tilt = derivatives
    n = len(pairs)
    by_spread, by_tilt = 0.0, 0.0
    for g in range(n):
        place = pairs[g]
        level, size, soup, leak, background_size = 0.0, 0.0, 0.0, 0.0, 0.0
        for a in range(on.shape[1]):
            by_level = on[g, a] * on_level[place, a]
            level += by_level
            by_spread += by_level * slopes[a]
            size += on[g, a] * on_size[place, a]
        for k in range(off.shape[1]):
            soup += off[g, k] * off_soup[place, k]
            leak += off[g, k] * off_leak[place, k]
            background_size += off[g, k] * off_size[place, k]
            by_tilt += off[g, k] * off_tilt[place, k]
        score[g], score[n + g], score[2 * n + g] = level / total, soup / total, leak / total
        score[3 * n + g], score[4 * n + g] = size / total, background_size / total
    score[5 * n], score[5 * n + 2] = by_spread / total, by_tilt / total


@compile_loop()
def _weight_scores(posterior, positive, pattern_weight, log_depth, by_logit, by_slope, score):  # type: ignore[no-untyped-def]
    """Derive one row by the logits of the pattern weights; return the derivative by the slope.

    The derivatives are written into ``score``.
    """
    surplus = 0.0
    for p in range(len(posterior)):
        if positive[p]:
            surplus += posterior[p] - pattern_weight[p]
    for p in range(len(posterior)):
        score[p] = posterior[p] - pattern_weight[p] + surplus * by_logit[p]
    return log_depth * (pattern_weight[0] - posterior[0]) + surplus * by_slope
