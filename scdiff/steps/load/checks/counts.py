"""Are these counts? The one judgement on values: accepted, rounded, or refused with what they look like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Literal

import numpy as np

from scdiff.errors import InputError

__all__ = ["Fault", "Kind", "Survey", "exact", "fault", "recover_counts", "survey", "technology", "widen_values"]

_NOISE = 1e-6
"""Distance from an integer, relative above 1, that is still float noise."""

_MOST_COUNTS = 2**31 - 1
"""No gene of a cell has more; larger values come from damaged or made-up files."""

_HALF_EXACT = 2_048
"""The largest number up to which float16 holds every whole number."""

_CHUNK = 1 << 18
_SOME_CELLS = 2_000
"""Number of cells sampled for what all cells share, such as a common depth."""

_LOG_MAXIMUM = 20.0
"""ln or log2 of any count or CP10K value stays below this."""

_READS_DEPTH = 100_000
_LARGE = 100
_LARGE_SHARE = 0.1
"""UMI data have at most about 1 % of their non-zero values above 100, full-length reads about 40 %."""

_BINARY_LEAST = 10_000

_IMPUTED_SHARE = 0.8
"""Of the values of single cells, at most two thirds are above zero; smoothing leaves hardly a zero."""

_TOLD_LEAST = 10
"""Values that a cell must have for its counts to be told from their ratios."""

_MANY_GENES, _SCALED_SHARE = 100, 0.5
"""Of cells in which so many genes are seen, hardly one has no gene with a single count; scaled values have that of most."""

_RECOVERED_ERROR = 0.02
_FLOAT32_ERROR = 1e-6
"""Distance from a whole number that recovered counts may have: in any case, and for each count, of which float32 takes so much."""

_BASES: dict[str, Callable[[np.ndarray], np.ndarray]] = {"ln": np.expm1, "log2": lambda values: np.exp2(values) - 1}


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
    smallest
        Of the stored values; infinite where none is stored.
    """

    minimum: float
    maximum: float
    n_not_finite: int
    n_fractional: int
    noise: float
    smallest: float


class Kind(Enum):
    """What values that are no counts are instead."""

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
    """Why a matrix does not hold counts: what kind of values it holds, and the words for it, which follow its name."""

    kind: Kind
    sentence: str

    def __str__(self) -> str:
        return self.sentence


def widen_values(values: Any) -> Any:
    """Return values as numbers that sparse matrices can hold: float16 as float32, and the bytes in the order of this machine.

    Raises
    ------
    InputError
        If float16 holds values so large that counts were rounded to even numbers.
    """
    if values.dtype == np.float16:
        if (np.abs(values) > _HALF_EXACT).any():
            raise InputError(
                f"counts above {_HALF_EXACT:,} are stored as float16, which rounds them: give the counts as they were, "
                "stored as float32 or as integers."
            )
        return values.astype(np.float32)
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))


def survey(matrix: Any) -> Survey:
    """Look at every stored value of ``matrix`` (CSR) once, a slice at a time."""
    data = matrix.data if matrix.data.dtype.kind in "fiu" else np.empty(0)  # other kinds are refused as such
    high, smallest = 0.0, float("inf")
    n_not_finite = n_fractional = 0
    noise = 0.0
    for start in range(0, data.size, _CHUNK):
        part = data[start : start + _CHUNK]
        if part.dtype.kind == "f" and not _whole_numbers(part):
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


def _whole_numbers(part: np.ndarray) -> bool:
    """Tell whether all values are finite whole numbers, which is the common case and quickly told."""
    with np.errstate(invalid="ignore", over="ignore"):
        return bool(np.isfinite(part.sum())) and bool((np.rint(part) == part).all())


def fault(matrix: Any, seen: Survey) -> Fault | None:
    """Say why ``matrix`` (CSR, n_cells x n_genes) does not hold counts; None where it does.

    What all cells share, such as a common depth, is looked for in a sample of them.
    """
    if matrix.data.dtype.kind not in "fiu":
        return Fault(Kind.NOT_NUMBERS, f"holds {matrix.data.dtype} values, not numbers")
    if seen.n_not_finite:
        return Fault(Kind.NOT_FINITE, f"holds {seen.n_not_finite:,} values that are NaN or infinite")
    if seen.minimum < 0:
        if seen.n_fractional:
            return Fault(Kind.SCALED, f"looks scaled, centred or integrated (min {seen.minimum:.3g}, non-integer)")
        return Fault(Kind.NEGATIVE, f"holds negative values (min {seen.minimum:g})")
    if seen.n_fractional:
        return _fractional(_some_cells(matrix), seen)
    return _integer(matrix, seen)


def _some_cells(matrix: Any) -> Any:
    """Cells at even distances; all where they are few."""
    return matrix[:: max(1, matrix.shape[0] // _SOME_CELLS)]


def _fractional(matrix: Any, seen: Survey) -> Fault:
    """Say what non-negative fractions look like."""
    level = _common_depth(matrix)
    if level and _is_million(level):
        return Fault(Kind.NORMALISED, "looks like TPM or CPM (every cell sums to about 1,000,000, non-integer)")
    if level:
        return Fault(Kind.NORMALISED, f"looks depth-normalised (every cell sums to about {level:,.0f}, non-integer)")
    share = float(np.count_nonzero(matrix.data)) / (matrix.shape[0] * matrix.shape[1])
    if share > _IMPUTED_SHARE and matrix.shape[1] >= _LARGE:
        return Fault(Kind.IMPUTED, f"looks imputed, smoothed or denoised ({100 * share:.0f} % of its values are above zero, non-integer)")
    if seen.maximum < _LOG_MAXIMUM:
        return Fault(Kind.LOGGED, f"looks log-normalised (max {seen.maximum:.1f}, non-integer)")
    return Fault(
        Kind.CORRECTED, f"looks like FPKM, RPKM or corrected values (max {seen.maximum:,.1f}, {seen.n_fractional:,} values non-integer)"
    )


def _integer(matrix: Any, seen: Survey) -> Fault | None:
    """Say why whole numbers can still be no counts."""
    if seen.maximum == 0:
        return Fault(Kind.EMPTY, "holds no counts at all (every value is zero)")
    if seen.maximum > _MOST_COUNTS:
        return Fault(
            Kind.TOO_LARGE, f"holds a count of {seen.maximum:.3g}, more than any gene of a cell can have (at most {_MOST_COUNTS:,})"
        )
    if seen.maximum == 1 and matrix.data.size >= _BINARY_LEAST:
        return Fault(Kind.BINARY, f"looks binarised (each of {matrix.data.size:,} values is 1)")
    some = _some_cells(matrix)
    level = _common_depth(some)
    if level and _is_million(level):
        return Fault(Kind.NORMALISED, "looks like rounded TPM or CPM (every cell sums to about 1,000,000)")
    share = _share_without_ones(some)
    if share > _SCALED_SHARE:
        return Fault(Kind.SCALED, f"looks scaled and rounded (in {100 * share:.0f} % of the cells no gene has a single count)")
    return None


def _share_without_ones(matrix: Any) -> float:
    """Share of the cells with many genes in which the smallest value is above one; 0 where fewer than ten cells have many."""
    sizes = np.diff(matrix.indptr)
    many = sizes >= _MANY_GENES
    if np.count_nonzero(many) < _TOLD_LEAST:
        return 0.0
    values = np.where(matrix.data > 0, matrix.data, np.inf)
    filled = sizes > 0
    smallest = np.minimum.reduceat(values, matrix.indptr[:-1][filled])
    return float(np.mean(smallest[many[filled]] > 1))


def _is_million(level: float) -> bool:
    return abs(level - 1e6) < 5e4


def _common_depth(matrix: Any) -> float:
    """Depth that all cells share within 1 %; 0 where they do not, or where fewer than three cells could tell."""
    depth = np.asarray(matrix.sum(axis=1, dtype=np.float64)).ravel()
    depth = depth[depth > 0]
    level = float(np.median(depth)) if depth.size >= 3 else 0.0
    return level if level and bool((np.abs(depth - level) <= 0.01 * level).all()) else 0.0


def recover_counts(matrix: Any) -> tuple[Any, str]:
    """Undo the logarithm of counts that were scaled to a common depth: log(1 + counts * target / depth).

    The least value of a cell stands for one count, or for two or three where no gene has fewer; all others must then be whole
    numbers, as far as float32 tells them: up to some 200,000 counts of one gene. Nothing is assumed of the target.

    Parameters
    ----------
    matrix
        CSR, shape (n_cells, n_genes), non-negative.

    Returns
    -------
    The counts as float64 CSR and the sentence that says how they were told; None and what stands against it where they cannot be.
    """
    n_values = np.diff(matrix.indptr)
    for base, undo in _BASES.items():
        with np.errstate(over="ignore"):
            scaled = undo(matrix.data.astype(np.float64))
        found, told = _whole(scaled, matrix.indptr, n_values)
        if told.all():
            clean = matrix.copy()
            clean.data = found
            return clean, f"Counts were recovered from {base}(1 + x), as asked: in every cell all values are whole multiples of one."
    failed = f"{np.count_nonzero(~told):,} of {len(told):,} cells hold no multiples of one value"
    return None, f"exact counts cannot be recovered from it ({failed})"


def _whole(scaled: np.ndarray, indptr: np.ndarray, n_values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Divide the values of every cell by what one count is worth; say for which cells whole numbers come out."""
    used = n_values > 0
    starts, sizes = indptr[:-1][used], n_values[used]
    found, told = scaled.copy(), ~used
    if not len(starts):
        return found, told
    ratios = scaled / np.repeat(np.minimum.reduceat(scaled, starts), sizes)
    for least in (1, 2, 3):
        counts = ratios * least
        allowed = _RECOVERED_ERROR + _FLOAT32_ERROR * counts
        excess = np.where(allowed < 0.25, np.abs(counts - np.rint(counts)) - allowed, 1.0)
        whole = np.maximum.reduceat(excess, starts) <= 0
        new = whole & (sizes >= (_TOLD_LEAST if least > 1 else 1)) & ~told[used]
        values = np.repeat(new, sizes)
        found[values] = np.rint(counts[values])
        told[np.flatnonzero(used)[new]] = True
    return found, told


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
    if seen.smallest <= seen.noise:
        counts.eliminate_zeros()
    return counts


def technology(counts: Any) -> tuple[Literal["UMI", "reads"], str]:
    """Tell UMI counts from full-length reads, with the sentence that says why.

    Reads have a median depth above 100,000 per cell, or more than 10 % of their non-zero values above 100.
    """
    counts = _some_cells(counts)
    depth = float(np.median(np.asarray(counts.sum(axis=1)).ravel()))
    large = float(np.mean(counts.data > _LARGE)) if counts.data.size else 0.0
    if depth <= _READS_DEPTH and large <= _LARGE_SHARE:
        return "UMI", ""
    return "reads", (
        f"Values look like Smart-seq reads, not UMI: the median cell has {depth:,.0f}, "
        f"and {100 * large:.0f} % of the non-zero values are above {_LARGE}; intervals that assume UMI are too narrow."
    )
