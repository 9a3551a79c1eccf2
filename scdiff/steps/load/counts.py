"""Are these counts? The one judgement on values: accepted, rounded, or refused with what they look like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

__all__ = ["Survey", "exact", "fault", "survey", "technology"]

_NOISE = 1e-6
"""Distance from an integer, relative above 1, that is still float noise."""

_CHUNK = 1 << 20
_LOG_MAXIMUM = 20.0
"""ln or log2 of any count or CP10K value stays below this."""

_READS_DEPTH = 100_000
_LARGE = 100
_LARGE_SHARE = 0.1
"""UMI data have at most about 1 % of their non-zero values above 100, full-length reads about 40 %."""

_BINARY_LEAST = 10_000


@dataclass(frozen=True)
class Survey:
    """One pass over values.

    Parameters
    ----------
    minimum, maximum
        Over all values, zeros that are not stored included; NaN if any value is.
    n_not_finite, n_fractional
        Values that are NaN or infinite; values further from an integer than float noise.
    noise
        Greatest distance from an integer among the others.
    """

    minimum: float
    maximum: float
    n_not_finite: int
    n_fractional: int
    noise: float


def survey(matrix: Any) -> Survey:
    """Look at every stored value of ``matrix`` (CSR) once, a slice at a time."""
    data = matrix.data if matrix.data.dtype.kind in "fiu" else np.empty(0)  # other kinds are refused as such
    low = high = 0.0
    n_not_finite = n_fractional = 0
    noise = 0.0
    for start in range(0, data.size, _CHUNK):
        part = data[start : start + _CHUNK]
        if part.dtype.kind == "f":
            finite = np.isfinite(part)
            n_not_finite += int(part.size - np.count_nonzero(finite))
            part = part if finite.all() else part[finite]
            away = np.abs(part - np.rint(part))
            fractional = away > _NOISE * np.maximum(np.abs(part), 1)
            n_fractional += int(np.count_nonzero(fractional))
            noise = max(noise, float(away[~fractional].max(initial=0)))
        low, high = min(low, float(part.min(initial=0))), max(high, float(part.max(initial=0)))
    return Survey(low, high, n_not_finite, n_fractional, noise)


def fault(matrix: Any, seen: Survey) -> str:
    """Say why ``matrix`` (CSR, n_cells x n_genes) does not hold counts; empty where it does."""
    if matrix.data.dtype.kind not in "fiu":
        return f"holds {matrix.data.dtype} values, not numbers"
    if seen.n_not_finite:
        return f"holds {seen.n_not_finite:,} values that are NaN or infinite"
    if seen.minimum < 0:
        return (
            f"looks scaled or centred (min {seen.minimum:.3g}, non-integer)"
            if seen.n_fractional
            else f"holds negative values (min {seen.minimum:g})"
        )
    if seen.n_fractional:
        return _fractional(matrix, seen)
    return _integer(matrix, seen)


def _fractional(matrix: Any, seen: Survey) -> str:
    """Say what non-negative fractions look like."""
    level = _common_depth(matrix)
    if level and _is_million(level):
        return "looks like TPM or CPM (every cell sums to about 1,000,000, non-integer)"
    if level:
        return f"looks depth-normalised (every cell sums to about {level:,.0f}, non-integer)"
    if seen.maximum < _LOG_MAXIMUM:
        return f"looks log-normalised (max {seen.maximum:.1f}, non-integer)"
    return f"looks like FPKM, RPKM or corrected values (max {seen.maximum:,.1f}, {seen.n_fractional:,} values non-integer)"


def _integer(matrix: Any, seen: Survey) -> str:
    """Say why whole numbers can still be no counts."""
    if seen.maximum == 0:
        return "holds no counts at all (every value is zero)"
    if seen.maximum == 1 and matrix.data.size >= _BINARY_LEAST:
        return f"looks binarised (each of {matrix.data.size:,} values is 1)"
    level = _common_depth(matrix)
    if level and _is_million(level):
        return "looks like rounded TPM or CPM (every cell sums to about 1,000,000)"
    return ""


def _is_million(level: float) -> bool:
    return abs(level - 1e6) < 5e4


def _common_depth(matrix: Any) -> float:
    """Depth that all cells share within 1 %; 0 where they do not, or where fewer than three cells could tell."""
    depth = np.asarray(matrix.sum(axis=1, dtype=np.float64)).ravel()
    depth = depth[depth > 0]
    level = float(np.median(depth)) if depth.size >= 3 else 0.0
    return level if level and bool((np.abs(depth - level) <= 0.01 * level).all()) else 0.0


def exact(matrix: Any, seen: Survey) -> Any:
    """Return counts as canonical CSR of exact integers: float32, or float64 from 2**24 up.

    The values must have passed :func:`fault`; copies are made only where something changes.
    """
    dtype = np.float32 if seen.maximum < 2**24 else np.float64
    counts = matrix.astype(dtype, copy=False)
    if seen.noise:
        counts.data = np.rint(counts.data)
    if not counts.has_canonical_format:
        counts.sum_duplicates()
    if np.count_nonzero(counts.data) < counts.data.size:
        counts.eliminate_zeros()
    return counts


def technology(counts: Any) -> tuple[Literal["UMI", "reads"], str]:
    """Tell UMI counts from full-length reads, with the sentence that says why.

    Reads have a median depth above 100,000 per cell, or more than 10 % of their non-zero values above 100.
    """
    depth = float(np.median(np.asarray(counts.sum(axis=1)).ravel()))
    large = float(np.mean(counts.data > _LARGE)) if counts.data.size else 0.0
    if depth <= _READS_DEPTH and large <= _LARGE_SHARE:
        return "UMI", ""
    return "reads", (
        f"Values look like Smart-seq reads, not UMI: the median cell has {depth:,.0f}, "
        f"and {100 * large:.0f} % of the non-zero values are above {_LARGE}; intervals that assume UMI are too narrow."
    )
