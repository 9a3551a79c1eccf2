"""The one judgement on values: accept counts, round float noise, refuse and describe the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Literal

import numpy as np

from scdiff.errors import InputError

__all__ = [
    "Fault",
    "Kind",
    "Survey",
    "detect_technology",
    "find_fault",
    "make_exact",
    "recover_counts",
    "survey_values",
    "widen_values",
]

_NOISE = 1e-6
"""Largest distance from an integer that is float noise; relative for values above 1. Chosen, not
tuned."""

_MOST_COUNTS = 2**31 - 1
"""Largest count of one gene in one cell. Larger values come from damaged or invented files."""

_HALF_EXACT = 2_048
"""The number up to which float16 represents every integer."""

_CHUNK = 1 << 18
"""Values examined at a time. Chosen, not tuned."""

_SOME_CELLS = 2_000
"""Number of cells sampled for what all cells share, such as a common depth. Chosen, not tuned."""

_LOG_MAXIMUM = 20.0
"""Values below this can be logarithms: ln or log2 of any count or CP10K value stays below it."""

_READS_DEPTH = 100_000
"""Median counts per cell above which values are full-length reads, not UMIs. Chosen, not tuned."""

_LARGE = 100
"""Value above which a count is large, and number of genes from which a matrix can look imputed.
UMI data have at most about 1 % of their non-zero values above 100, full-length reads about 40
%."""

_LARGE_SHARE = 0.1
"""Share of large values, 0-1, above which values are full-length reads. It lies between the two
shares above."""

_BINARY_LEAST = 10_000
"""Non-zero values from which a matrix of ones is binarised and not only small. Chosen, not
tuned."""


_IMPUTED_SHARE = 0.8
"""Share of values above zero, 0-1, above which a matrix is imputed. At most two thirds of the
values of single cells are above zero; smoothing leaves hardly any zero."""

_FEWEST_VALUES = 10
"""Number of values of a cell that is enough to recover its counts from their ratios. Also the
number of cells needed for the check of single counts. Chosen, not tuned."""

_MANY_GENES, _SCALED_SHARE = 100, 0.5
"""Number of expressed genes from which almost every cell has a gene with a single count; and the
share of such cells without one, 0-1, above which values are scaled. Chosen, not tuned."""

_RECOVERED_ERROR = 0.02
"""Largest distance of a recovered count from an integer: a constant part. Chosen, not tuned."""

_FLOAT32_ERROR = 1e-6
"""The part of that distance that grows with the count, because float32 has relative precision."""

_BASES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "ln": np.expm1,
    "log2": lambda values: np.exp2(values) - 1,
}
"""Name of a logarithm -> the function that undoes log(1 + x)."""


@dataclass(frozen=True)
class Survey:
    """Summary of one pass over values.

    Parameters
    ----------
    minimum, maximum
        Over all values, including zeros that are not stored; NaN if any value is NaN.
    n_not_finite, n_fractional
        Number of values that are NaN or infinite; number of values further from an integer than
        float noise.
    noise
        Largest distance from an integer among the other values.
    smallest
        Smallest stored value; infinite if no value is stored.
    """

    minimum: float
    maximum: float
    n_not_finite: int
    n_fractional: int
    noise: float
    smallest: float


class Kind(Enum):
    """What values are if they are not counts."""

    NOT_NUMBERS = auto()
    NOT_FINITE = auto()
    SCALED = auto()
    NEGATIVE = auto()
    NORMALISED = auto()
    IMPUTED = auto()
    LOGGED = auto()
    CORRECTED = auto()
    EMPTY = auto()
    TOO_LARGE = auto()
    BINARY = auto()


@dataclass(frozen=True)
class Fault:
    """Why a matrix does not hold counts: the kind of its values, and a phrase that describes it."""

    kind: Kind
    sentence: str

    def __str__(self) -> str:
        return self.sentence


def widen_values(values: Any) -> Any:
    """Convert values to numbers that sparse matrices can hold.

    float16 becomes float32, and bytes get the native order.

    Raises
    ------
    InputError
        If float16 holds values so large that counts were rounded to even numbers.
    """
    if values.dtype == np.float16:
        if (np.abs(values) > _HALF_EXACT).any():
            raise InputError(
                f"counts above {_HALF_EXACT:,} are stored as float16, which rounds them. "
                "Give the original counts, stored as float32 or as integers."
            )
        return values.astype(np.float32)
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))


def survey_values(matrix: Any) -> Survey:
    """Examine every stored value of ``matrix`` (CSR) once, a slice at a time."""
    is_numeric = matrix.data.dtype.kind in "fiu"  # find_fault refuses other kinds
    data = matrix.data if is_numeric else np.empty(0)
    high, smallest = 0.0, float("inf")
    n_not_finite = n_fractional = 0
    noise = 0.0
    for start in range(0, data.size, _CHUNK):
        part = data[start : start + _CHUNK]
        if part.dtype.kind == "f" and not _are_integers(part):
            finite = np.isfinite(part)
            n_not_finite += int(part.size - np.count_nonzero(finite))
            part = part if finite.all() else part[finite]
            away = np.abs(part - np.rint(part))
            fractional = away > _NOISE * np.maximum(np.abs(part), 1)
            n_fractional += int(np.count_nonzero(fractional))
            noise = max(noise, float(away[~fractional].max(initial=0)))
        if part.size:
            smallest, high = min(smallest, float(part.min())), max(high, float(part.max()))
    return Survey(min(smallest, 0.0), high, n_not_finite, n_fractional, noise, smallest)


def _are_integers(part: np.ndarray) -> bool:
    """Check whether all values are finite integers, which is the common case and fast to check."""
    with np.errstate(invalid="ignore", over="ignore"):
        return bool(np.isfinite(part.sum())) and bool((np.rint(part) == part).all())


def find_fault(matrix: Any, seen: Survey) -> Fault | None:
    """Describe why ``matrix`` (CSR, n_cells x n_genes) does not hold counts; None if it does.

    What all cells share, such as a common depth, is measured in a sample of them.
    """
    if matrix.data.dtype.kind not in "fiu":
        return Fault(Kind.NOT_NUMBERS, f"holds {matrix.data.dtype} values, not numbers")
    if seen.n_not_finite:
        return Fault(
            Kind.NOT_FINITE, f"holds {seen.n_not_finite:,} values that are NaN or infinite"
        )
    if seen.minimum < 0:
        if seen.n_fractional:
            return Fault(
                Kind.SCALED,
                f"looks scaled, centred or integrated (min {seen.minimum:.3g}, non-integer)",
            )
        return Fault(Kind.NEGATIVE, f"holds negative values (min {seen.minimum:g})")
    if seen.n_fractional:
        return _describe_fractions(_sample_cells(matrix), seen)
    return _find_integer_fault(matrix, seen)


def _sample_cells(matrix: Any) -> Any:
    """Sample cells at equal distances; return all if there are few."""
    return matrix[:: max(1, matrix.shape[0] // _SOME_CELLS)]


def _describe_fractions(matrix: Any, seen: Survey) -> Fault:
    """Describe what non-negative fractions look like."""
    level = _find_common_depth(matrix)
    if level and _is_million(level):
        return Fault(
            Kind.NORMALISED,
            "looks like TPM or CPM (every cell sums to about 1,000,000, non-integer)",
        )
    if level:
        return Fault(
            Kind.NORMALISED,
            f"looks depth-normalised (every cell sums to about {level:,.0f}, non-integer)",
        )
    share = float(np.count_nonzero(matrix.data)) / (matrix.shape[0] * matrix.shape[1])
    if share > _IMPUTED_SHARE and matrix.shape[1] >= _LARGE:
        return Fault(
            Kind.IMPUTED,
            f"looks imputed, smoothed or denoised ({100 * share:.0f} % of its values are above "
            "zero, non-integer)",
        )
    if seen.maximum < _LOG_MAXIMUM:
        return Fault(Kind.LOGGED, f"looks log-normalised (max {seen.maximum:.1f}, non-integer)")
    return Fault(
        Kind.CORRECTED,
        f"looks like FPKM, RPKM or corrected values (max {seen.maximum:,.1f}, "
        f"{seen.n_fractional:,} values non-integer)",
    )


def _find_integer_fault(matrix: Any, seen: Survey) -> Fault | None:
    """Describe why integers are not counts; return None if they can be."""
    if seen.maximum == 0:
        return Fault(Kind.EMPTY, "holds no counts at all (every value is zero)")
    if seen.maximum > _MOST_COUNTS:
        return Fault(
            Kind.TOO_LARGE,
            f"holds a count of {seen.maximum:.3g}, more than a gene can have in a cell "
            f"(at most {_MOST_COUNTS:,})",
        )
    if seen.maximum == 1 and matrix.data.size >= _BINARY_LEAST:
        return Fault(Kind.BINARY, f"looks binarised (each of {matrix.data.size:,} values is 1)")
    some = _sample_cells(matrix)
    level = _find_common_depth(some)
    if level and _is_million(level):
        return Fault(
            Kind.NORMALISED, "looks like rounded TPM or CPM (every cell sums to about 1,000,000)"
        )
    share = _compute_share_without_ones(some)
    if share > _SCALED_SHARE:
        return Fault(
            Kind.SCALED,
            f"looks scaled and rounded (in {100 * share:.0f} % of the cells no gene has a single "
            "count)",
        )
    return None


def _compute_share_without_ones(matrix: Any) -> float:
    """Compute the share of cells with many genes whose smallest value is above one, 0-1.

    The share is 0 if fewer than ten cells have many genes.
    """
    sizes = np.diff(matrix.indptr)
    many = sizes >= _MANY_GENES
    if np.count_nonzero(many) < _FEWEST_VALUES:
        return 0.0
    values = np.where(matrix.data > 0, matrix.data, np.inf)
    filled = sizes > 0
    smallest = np.minimum.reduceat(values, matrix.indptr[:-1][filled])
    return float(np.mean(smallest[many[filled]] > 1))


def _is_million(level: float) -> bool:
    """Check whether a depth is about one million, as in TPM and CPM."""
    return abs(level - 1e6) < 5e4


def _find_common_depth(matrix: Any) -> float:
    """Return the depth that all cells share within 1 %.

    It is 0 if there is no common depth, or fewer than three cells have counts.
    """
    depth = np.asarray(matrix.sum(axis=1, dtype=np.float64)).ravel()
    depth = depth[depth > 0]
    level = float(np.median(depth)) if depth.size >= 3 else 0.0
    return level if level and bool((np.abs(depth - level) <= 0.01 * level).all()) else 0.0


def recover_counts(matrix: Any) -> tuple[Any, str]:
    """Undo the logarithm of counts that were scaled to a common depth.

    The values are log(1 + counts * target / depth). The smallest value of a cell is one count, or
    two or three if no gene has fewer. All other values must then be integers within the precision
    of float32, which suffices for up to about 200,000 counts of one gene. The target need not be
    known.

    Parameters
    ----------
    matrix
        CSR, shape (n_cells, n_genes), non-negative.

    Returns
    -------
    The counts as float64 CSR and a sentence on how they were recovered; or None and the reason why
    they cannot be recovered.
    """
    n_values = np.diff(matrix.indptr)
    for base, undo in _BASES.items():
        with np.errstate(over="ignore"):
            scaled = undo(matrix.data.astype(np.float64))
        found, is_solved = _divide_by_unit(scaled, matrix.indptr, n_values)
        if is_solved.all():
            clean = matrix.copy()
            clean.data = found
            return clean, (
                f"Counts were recovered from {base}(1 + x), as requested: in every cell all values "
                "are integer multiples of one value."
            )
    failed = (
        f"in {np.count_nonzero(~is_solved):,} of {len(is_solved):,} cells the values are not "
        "multiples of one value"
    )
    return None, f"exact counts cannot be recovered from it ({failed})"


def _divide_by_unit(
    scaled: np.ndarray, indptr: np.ndarray, n_values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Divide the values of every cell by the value of one count.

    Returns
    -------
    The counts, and for each cell whether all of them are integers.
    """
    used = n_values > 0
    starts, sizes = indptr[:-1][used], n_values[used]
    found, is_solved = scaled.copy(), ~used
    if not len(starts):
        return found, is_solved
    ratios = scaled / np.repeat(np.minimum.reduceat(scaled, starts), sizes)
    for least in (1, 2, 3):
        counts = ratios * least
        allowed = _RECOVERED_ERROR + _FLOAT32_ERROR * counts
        excess = np.where(allowed < 0.25, np.abs(counts - np.rint(counts)) - allowed, 1.0)
        whole = np.maximum.reduceat(excess, starts) <= 0
        new = whole & (sizes >= (_FEWEST_VALUES if least > 1 else 1)) & ~is_solved[used]
        values = np.repeat(new, sizes)
        found[values] = np.rint(counts[values])
        is_solved[np.flatnonzero(used)[new]] = True
    return found, is_solved


def make_exact(matrix: Any, seen: Survey) -> Any:
    """Return counts as canonical CSR of exact integers: float32, or float64 from 2**24 up.

    The values must have passed :func:`find_fault`. The matrix is copied only if something changes.
    """
    dtype = np.float32 if seen.maximum < 2**24 else np.float64
    counts = matrix.astype(dtype, copy=False)
    if seen.noise:
        counts.data = np.rint(counts.data)
    if not counts.has_canonical_format:
        counts.sum_duplicates()
    if seen.smallest <= seen.noise:
        counts.eliminate_zeros()
    return counts


def detect_technology(counts: Any) -> tuple[Literal["UMI", "reads"], str]:
    """Detect whether counts are UMIs or full-length reads; for reads, return a reason too.

    Reads have a median depth above 100,000 per cell, or more than 10 % of their non-zero values
    above 100.
    """
    counts = _sample_cells(counts)
    depth = float(np.median(np.asarray(counts.sum(axis=1)).ravel()))
    large = float(np.mean(counts.data > _LARGE)) if counts.data.size else 0.0
    if depth <= _READS_DEPTH and large <= _LARGE_SHARE:
        return "UMI", ""
    return "reads", (
        f"Values look like Smart-seq reads, not UMI: the median cell has {depth:,.0f}, "
        f"and {100 * large:.0f} % of the non-zero values are above {_LARGE}. "
        "Intervals that assume UMI are too narrow."
    )
