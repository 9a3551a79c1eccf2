"""Estimate precision: nested variance components of days, libraries, lots and operators.

The method is restricted maximum likelihood (REML). For a balanced nested design without negative
components it equals the analysis of variance of CLSI EP05. It also accepts unbalanced designs.
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
"""Name of the residual component: replicates under the same conditions."""

LEAST_SHARE = 1e-9
"""Smallest residual variance, relative to the total; it keeps the covariance invertible."""


@dataclass(frozen=True)
class Components:
    """Variance components of one level.

    Parameters
    ----------
    mean
        Estimate of the mean.
    variance
        Variance by factor, outermost first, replicates last.
    interval
        95 % interval of each standard deviation, by factor.
    total
        Variance of one measurement over all factors (within-laboratory precision).
    total_interval
        95 % interval of its standard deviation.
    n
        Number of measurements.
    """

    mean: float
    variance: dict[str, float]
    interval: dict[str, tuple[float, float]]
    total: float
    total_interval: tuple[float, float]
    n: int

    @property
    def repeatability(self) -> float:
        """Standard deviation of replicates (repeatability)."""
        return float(np.sqrt(self.variance[REPEATABILITY]))

    @property
    def within_laboratory(self) -> float:
        """Standard deviation of one measurement over all factors (within-laboratory precision)."""
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
        Labels of each measurement by factor, outermost first; each factor is nested in the factors
        before it. A factor is left out if it has one label, has the same groups as the factor
        before, or has a different label for each measurement.

    Raises
    ------
    InputError
        If there are fewer than three measurements, one is not finite, or labels are missing.

    Source
    ------
    CLSI EP05-A3; Patterson and Thompson (10.1093/biomet/58.3.545); intervals after Satterthwaite
    (10.2307/3002019)
    """
    y = np.asarray(values, dtype=float)
    if len(y) < 3 or not np.isfinite(y).all():
        raise InputError(
            f"precision needs three or more measurements with a number, but there are {len(y)}."
        )
    names, parts = _find_groups(factors, len(y))
    scale = float(np.var(y, ddof=1))
    if scale == 0:
        return _make_constant(float(y[0]), names, len(y))
    found, covariance = _maximise_likelihood(y / np.sqrt(scale), parts)
    variance = dict(zip([*names, REPEATABILITY], found * scale, strict=True))
    spread = covariance * scale**2
    ends = {
        name: _compute_interval(variance[name], spread[at, at]) for at, name in enumerate(variance)
    }
    total = float(found.sum() * scale)
    return Components(
        float(_compute_mean(y, parts, found)),
        {name: float(value) for name, value in variance.items()},
        ends,
        total,
        _compute_interval(total, spread.sum()),
        len(y),
    )


def _make_constant(value: float, names: Sequence[str], n: int) -> Components:
    """Return the components of measurements that are all equal."""
    variance = dict.fromkeys([*names, REPEATABILITY], 0.0)
    return Components(value, variance, dict.fromkeys(variance, (0.0, 0.0)), 0.0, (0.0, 0.0), n)


def _find_groups(factors: Mapping[str, Sequence[object]], n: int) -> tuple[list[str], list[Floats]]:
    """Return the informative factors, and a matrix of shared labels for each."""
    names: list[str] = []
    parts: list[Floats] = []
    path = np.zeros(n, dtype=int)
    for name, labels in factors.items():
        texts = np.array([str(label) for label in labels])
        if len(texts) != n:
            raise InputError(
                f"factor {name!r} has {len(texts)} labels, but there are {n} measurements."
            )
        _, inside = np.unique(texts, return_inverse=True)
        _, nested = np.unique(np.column_stack([path, inside]), axis=0, return_inverse=True)
        nested = nested.ravel()
        if len(np.unique(nested)) in (len(np.unique(path)), n):
            continue
        path = nested
        names.append(name)
        parts.append((path[:, None] == path[None, :]).astype(float))
    return names, [*parts, np.eye(n)]


def _project(parts: Sequence[Floats], variance: Floats) -> tuple[Floats, Floats, float, float]:
    """Return the inverse covariance, the same projected off the mean, and log determinants."""
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


def _maximise_likelihood(y: Floats, parts: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Return the REML variances, and their covariance by the expected information.

    ``y`` must have variance 1.
    """

    def loss(variance: Floats) -> tuple[float, Floats]:
        _, project, determinant, weight = _project(parts, variance)
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
    project = _project(parts, found)[1]
    moved = [project @ part for part in parts]
    information = np.array([[np.sum(one * other.T) / 2 for other in moved] for one in moved])
    return found, np.linalg.pinv(information)


def _compute_mean(y: Floats, parts: Sequence[Floats], variance: Floats) -> float:
    """Return the generalised least squares mean."""
    ones = _project(parts, variance)[0].sum(axis=0)
    return float(ones @ y / ones.sum())


def _compute_interval(variance: float, spread: Any) -> tuple[float, float]:
    """Return the 95 % interval of a standard deviation, from a variance and its variance."""
    if variance <= 0 or spread <= 0:
        return 0.0, float(np.sqrt(max(variance, 0.0) + 1.96 * np.sqrt(max(float(spread), 0.0))))
    freedom = 2 * variance**2 / float(spread)
    low, high = (
        float(np.sqrt(freedom * variance / chi2.ppf(share, freedom))) for share in (0.975, 0.025)
    )
    return low, high
