"""Precision: the variance of days, libraries, lots and operators, as nested components.

Restricted maximum likelihood, which for a balanced nested design gives the analysis of variance of
CLSI EP05 wherever that has no negative component, and takes unbalanced designs, and a level that
cannot be told from the next, as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.stats import chi2

from scdiff.errors import InputError

__all__ = ["REPEATABILITY", "Components", "fit_components"]

Floats = NDArray[np.float64]

REPEATABILITY = "replicate"
"""Name of what is left: replicates under the same conditions."""

LEAST_SHARE = 1e-9
"""Least residual variance, of the total, that keeps the covariance invertible."""


@dataclass(frozen=True)
class Components:
    """Variance components of one level.

    Parameters
    ----------
    mean
        Estimate of the mean.
    variance
        By factor, outermost first, the replicate last.
    interval
        95 % interval of each standard deviation, by factor.
    total
        Variance of one measurement under all factors (within-laboratory precision).
    total_interval
        95 % interval of its standard deviation.
    n
        Measurements.
    """

    mean: float
    variance: dict[str, float]
    interval: dict[str, tuple[float, float]]
    total: float
    total_interval: tuple[float, float]
    n: int

    @property
    def repeatability(self) -> float:
        """Standard deviation of replicates."""
        return float(np.sqrt(self.variance[REPEATABILITY]))

    @property
    def within_laboratory(self) -> float:
        """Standard deviation of one measurement under all factors."""
        return float(np.sqrt(self.total))


def fit_components(
    values: Sequence[float] | Floats, factors: Mapping[str, Sequence[object]]
) -> Components:
    """Fit nested variance components by restricted maximum likelihood.

    Parameters
    ----------
    values
        Measurements of one level, shape (n,), in any unit.
    factors
        Labels of each measurement by factor, outermost first; each factor is nested in those
        before it. A factor with a single label, or one that tells the same groups as the one
        before or each measurement from every other, is left out.

    Raises
    ------
    InputError
        If there are fewer than three measurements, or one is not finite.

    Source
    ------
    CLSI EP05-A3; Patterson and Thompson (10.1093/biomet/58.3.545); intervals after Satterthwaite
    (10.2307/3002019)
    """
    y = np.asarray(values, dtype=float)
    if len(y) < 3 or not np.isfinite(y).all():
        raise InputError(
            f"precision needs three or more measurements, each a number; given are {len(y)}."
        )
    names, parts = _groups(factors, len(y))
    scale = float(np.var(y, ddof=1))
    if scale == 0:
        return _constant(float(y[0]), names, len(y))
    found, covariance = _restricted_likelihood(y / np.sqrt(scale), parts)
    variance = dict(zip([*names, REPEATABILITY], found * scale, strict=True))
    spread = covariance * scale**2
    ends = {name: _interval(variance[name], spread[at, at]) for at, name in enumerate(variance)}
    total = float(found.sum() * scale)
    return Components(
        float(_mean(y, parts, found)),
        {name: float(value) for name, value in variance.items()},
        ends,
        total,
        _interval(total, spread.sum()),
        len(y),
    )


def _constant(value: float, names: Sequence[str], n: int) -> Components:
    """Give the components of measurements that are all equal."""
    variance = dict.fromkeys([*names, REPEATABILITY], 0.0)
    return Components(value, variance, dict.fromkeys(variance, (0.0, 0.0)), 0.0, (0.0, 0.0), n)


def _groups(factors: Mapping[str, Sequence[object]], n: int) -> tuple[list[str], list[Floats]]:
    """Names of the factors that tell something, and for each which measurements share a label."""
    names: list[str] = []
    parts: list[Floats] = []
    path = np.zeros(n, dtype=int)
    for name, labels in factors.items():
        texts = np.array([str(label) for label in labels])
        if len(texts) != n:
            raise InputError(f"factor {name!r} has {len(texts)} labels for {n} measurements.")
        _, inside = np.unique(texts, return_inverse=True)
        _, nested = np.unique(np.column_stack([path, inside]), axis=0, return_inverse=True)
        nested = nested.ravel()
        if len(np.unique(nested)) in (len(np.unique(path)), n):
            continue
        path = nested
        names.append(name)
        parts.append((path[:, None] == path[None, :]).astype(float))
    return names, [*parts, np.eye(n)]


def _projection(parts: Sequence[Floats], variance: Floats) -> tuple[Floats, Floats, float, float]:
    """Inverse of the covariance, without and with the mean taken out, and both log determinants."""
    total = sum(size * part for size, part in zip(variance, parts, strict=True))
    factor = cho_factor(total, lower=True)
    inverse = cho_solve(factor, np.eye(len(parts[0])))
    ones = inverse.sum(axis=0)
    weight = float(ones.sum())
    return (
        inverse,
        inverse - np.outer(ones, ones) / weight,
        2 * float(np.log(np.diag(factor[0])).sum()),
        float(np.log(weight)),
    )


def _restricted_likelihood(y: Floats, parts: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Variances of the most likely components, and their covariance by the expected information.

    Y has variance 1.
    """

    def loss(variance: Floats) -> tuple[float, Floats]:
        _, project, determinant, weight = _projection(parts, variance)
        residual = project @ y
        slope = np.array([np.sum(project * part) - residual @ part @ residual for part in parts])
        return determinant + weight + float(y @ residual), slope

    bounds = [(0.0, None)] * (len(parts) - 1) + [(LEAST_SHARE, None)]
    starts = (
        np.full(len(parts), 1 / len(parts)),
        np.r_[np.full(len(parts) - 1, 0.05), 0.9],
        np.r_[np.full(len(parts) - 1, 0.9), 0.1],
    )
    fits = [
        minimize(
            loss,
            start,
            jac=True,
            bounds=bounds,
            method="L-BFGS-B",
            options={"ftol": 1e-12, "gtol": 1e-9},
        )
        for start in starts
    ]
    found = np.asarray(min(fits, key=lambda fit: float(fit.fun)).x)
    project = _projection(parts, found)[1]
    moved = [project @ part for part in parts]
    information = np.array([[np.sum(one * other.T) / 2 for other in moved] for one in moved])
    return found, np.linalg.pinv(information)


def _mean(y: Floats, parts: Sequence[Floats], variance: Floats) -> float:
    """Weighted mean."""
    ones = _projection(parts, variance)[0].sum(axis=0)
    return float(ones @ y / ones.sum())


def _interval(variance: float, spread: Any) -> tuple[float, float]:
    """95 % interval of a standard deviation, from its variance and the variance of that."""
    if variance <= 0 or spread <= 0:
        return 0.0, float(np.sqrt(max(variance, 0.0) + 1.96 * np.sqrt(max(float(spread), 0.0))))
    freedom = 2 * variance**2 / float(spread)
    low, high = (
        float(np.sqrt(freedom * variance / chi2.ppf(share, freedom))) for share in (0.975, 0.025)
    )
    return low, high
