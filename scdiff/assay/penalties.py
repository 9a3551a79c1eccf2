"""Costs of the mixture that are not normal priors: ambient composition, contamination, weights.

Each function returns a value, its gradient (n_theta,) and a positive curvature (n_theta, n_theta).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scdiff.assay.arithmetic import TINY, softmax, student_cost
from scdiff.assay.layout import Layout
from scdiff.assay.priors import (
    EXCESS_FREEDOM,
    FREEDOM,
    MOST_MEAN_SD,
    PARTIAL,
    PARTIAL_SD,
    POSITIVE,
    POSITIVE_SD,
)
from scdiff.assay.table import Floats

__all__ = ["Cost", "excess_cost", "mean_cost", "no_cost", "soup_cost"]

Cost = tuple[float, Floats, Floats]
"""Value, gradient (n_theta,) and curvature (n_theta, n_theta)."""


def no_cost(n_theta: int) -> Cost:
    """Return a cost of 0.

    Parameters
    ----------
    n_theta
        Length of theta.
    """
    return 0.0, np.zeros(n_theta), np.zeros((n_theta, n_theta))


def soup_cost(theta: Floats, layout: Layout, centre: Floats, spread: Floats) -> Cost:
    """Compute the prior of the composition of the ambient RNA.

    The tails are Student's: stromal cells transcribe some markers a little, and of another marker
    there may be a trace only.

    Parameters
    ----------
    theta
        All parameters, shape (n_theta,).
    layout
        Their places.
    centre, spread
        Expected ln ambient level relative to the typical level, and its spread, shape (n_markers,).
    """
    _, gradient, curvature = no_cost(len(theta))
    cost, pull, bend = student_cost((theta[layout.soup] - centre) / spread, FREEDOM)
    gradient[layout.soup] = pull / spread
    place = range(layout.soup.start, layout.soup.stop)
    curvature[place, place] = bend / spread**2
    return cost, gradient, curvature


def mean_cost(
    theta: Floats, layout: Layout, contamination: Floats, by_tilt: Floats, highest: float
) -> Cost:
    """Compute the prior of the mean contamination of a cell of usual depth.

    Single cells may hold mostly ambient RNA, but not all of them. A count that is as frequent in
    the cells as in the ambient RNA is not contamination: the cells made it.

    Parameters
    ----------
    theta, layout
        As in :func:`soup_cost`.
    contamination, by_tilt
        Contamination at each node, and the derivative of its logarithm by the tilt, each of shape
        (n_nodes,).
    highest
        Mean contamination above which the cost starts.
    """
    _, gradient, _ = no_cost(len(theta))
    weight = softmax(theta[layout.nodes])
    mean = float(weight @ contamination)
    excess = max(np.log(mean / highest) / MOST_MEAN_SD, 0.0)
    gradient[layout.nodes] = weight * (contamination - mean) / mean / MOST_MEAN_SD
    gradient[layout.tilt] = float(weight @ (contamination * by_tilt)) / mean / MOST_MEAN_SD
    return excess**2 / 2, excess * gradient, np.outer(gradient, gradient) * (excess > 0)


def excess_cost(
    weights: tuple[Floats, Floats, Floats, float],
    cells: Floats,
    patterns: NDArray[np.bool_],
    positive: NDArray[np.bool_],
    layout: Layout,
    *,
    held: bool,
) -> Cost:
    """Compute the prior of the patterns with too few expressed markers, and of all positive ones.

    The cost rises with the logarithm of a share, above a share that costs nothing.

    Parameters
    ----------
    weights
        Fields of :class:`scdiff.assay.mixture.Weights`.
    cells
        Cells per row, shape (n_rows,).
    patterns, positive
        Expressed markers, shape (n_patterns, n_markers); positive patterns, shape (n_patterns,).
    layout
        Places of the parameters in theta.
    held
        Whether the prevalence is fixed.
    """
    weight, depth, by_logit, by_slope = weights
    n_patterns = weight.shape[1]
    partial = np.eye(n_patterns)[~positive & patterns.any(axis=1)]
    groups = np.vstack([partial, positive.astype(float)])
    typical = np.array([(PARTIAL, PARTIAL_SD)] * len(partial) + [(POSITIVE, POSITIVE_SD)]).T
    share = cells / cells.sum()
    of_group = weight @ groups.T
    total = share @ of_group + TINY
    excess = np.maximum(np.log(total) - typical[0], 0.0) / typical[1]
    positives = (of_group * share[:, None]).T @ of_group[:, -1]
    by_theta = np.zeros((len(groups), layout.patterns.start + n_patterns))
    inside = groups * (share @ weight) - (of_group * share[:, None]).T @ weight
    by_theta[:, layout.patterns] = inside - np.outer(positives, by_logit)
    by_depth = (of_group * share[:, None]).T @ (depth * weight[:, 0])
    by_theta[:, layout.slope] = by_depth - positives * by_slope
    if held:  # then the total weight of the positive patterns is a constant
        by_theta[-1] = 0.0
    by_theta *= ((excess > 0) / total / typical[1])[:, None]
    cost, pull, bend = student_cost(excess, EXCESS_FREEDOM)
    return cost, pull @ by_theta, (by_theta.T * bend) @ by_theta
