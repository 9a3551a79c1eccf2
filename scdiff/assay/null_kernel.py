"""Hot loops of the calibration: counts of a few genes as codes, and the tally over cells and sets.

Plain arrays, one thread, sums of whole numbers: the same bits for any order of cells and genes and
any chunk size. ``tests/assay/test_null_kernel.py`` compares them with slow, obvious code.
"""

from __future__ import annotations

import numpy as np

from scdiff.compiled import compile_loop

__all__ = [
    "BINS",
    "BINS_PER_UNIT",
    "LARGEST_CODE",
    "bin_rows",
    "fill_codes",
    "root_bins",
    "sum_counts",
    "tally_sets",
]

LARGEST_CODE = 255
"""Largest code of a count: a code fits into one byte."""
EXACT_BELOW = 32
"""Counts below this are their own code."""
STEPS_PER_OCTAVE = 16
"""Bins per octave of larger counts, of rates and of depths: 4.4 % wide."""
BINS, BINS_PER_UNIT = 1_280, 8.0
"""Number of bins of the statistic, and bins per unit of ln odds: -80 to 80 in eighths."""
LEAST = 1e-300
"""Smallest probability added before a logarithm, so that it is finite."""


@compile_loop()
def _code(count):  # type: ignore[no-untyped-def]
    """Return the code of a count: itself below 32, above that its 16th-octave bin."""
    if count < EXACT_BELOW:
        return int(count)
    return min(
        LARGEST_CODE,
        EXACT_BELOW + int(np.floor(np.log2(count / EXACT_BELOW) * STEPS_PER_OCTAVE + 1e-9)),
    )


@compile_loop("(i4[::1], i4[::1], f4[::1], i8)")
def sum_counts(indptr, indices, data, n_genes):  # type: ignore[no-untyped-def]
    """Sum a CSR matrix in one pass.

    Returns
    -------
    Counts by cell, shape (n_cells,); counts by gene, and squares of the codes by gene, shape
    (n_genes,).
    """
    depth, totals, squares = np.zeros(len(indptr) - 1), np.zeros(n_genes), np.zeros(n_genes)
    for cell in range(len(indptr) - 1):
        for place in range(indptr[cell], indptr[cell + 1]):
            count, code = data[place], _code(data[place])
            depth[cell] += count
            totals[indices[place]] += count
            squares[indices[place]] += code * code
    return depth, totals, squares


@compile_loop("(i4[::1], i4[::1], f4[::1], i4[::1], i8[::1], u1[:, ::1])")
def fill_codes(indptr, indices, data, column_of_gene, cells, codes):  # type: ignore[no-untyped-def]
    """Write the codes of some cells into ``codes``, shape (n_chunk, n_columns).

    ``column_of_gene`` is -1 for a gene without a column.
    """
    for row in range(len(codes)):
        for column in range(codes.shape[1]):
            codes[row, column] = 0
        for place in range(indptr[cells[row]], indptr[cells[row] + 1]):
            column = column_of_gene[indices[place]]
            if column >= 0:
                codes[row, column] = _code(data[place])


@compile_loop()
def _bin(codes, columns, columns_bin, depth_bin, on, off, count):  # type: ignore[no-untyped-def]
    """Compute the bin of ln odds that at least ``len(count) - 1`` markers are expressed.

    ``count`` is scratch space: the probability of 0, 1, ... expressed markers.
    """
    needed = len(count) - 1
    count[0] = 1.0
    for n in range(1, needed + 1):
        count[n] = 0.0
    for g in range(len(columns)):
        code, rate = codes[columns[g]], columns_bin[columns[g]] + depth_bin
        this_on, this_off = on[rate, code], off[rate, code]
        count[needed] += count[needed - 1] * this_on
        for n in range(needed - 1, 0, -1):
            count[n] = count[n] * this_off + count[n - 1] * this_on
        count[0] *= this_off
    fewer = LEAST
    for n in range(needed):
        fewer += count[n]
    value = (np.log((count[needed] + LEAST) / fewer)) * BINS_PER_UNIT + BINS / 2
    return int(min(max(value, 0.0), BINS - 1.0))


@compile_loop(
    "(u1[:, ::1], i8[:, ::1], i8[::1], i8[::1], i8[::1], i8[::1], f8[:, ::1], f8[:, ::1], i8,"
    "i8[:, ::1], i8[:, :, ::1])"
)
def tally_sets(  # type: ignore[no-untyped-def]
    codes, sets, columns_bin, depth_bin, stratum, side, on, off, min_markers, empty_bin, tally
):
    """Add the cells of one chunk to ``tally``.

    Parameters
    ----------
    codes
        Coded counts, shape (n_chunk, n_columns).
    sets
        Columns of each set, shape (n_sets, n_markers).
    columns_bin, depth_bin
        Rate bin of each column and depth bin of each cell; their sum is the row of ``on`` and
        ``off``.
    stratum
        Depth stratum of each cell, shape (n_chunk,).
    side
        0 for a set that calibrates, 1 for one that checks, shape (n_sets,).
    on, off
        Probability that a marker is expressed, or not expressed, shape (n_rates, n_codes).
    min_markers
        Number of markers that must be expressed.
    empty_bin
        Bin of a cell in which a set has no count, shape (n_depth_bins, n_sets).
    tally
        Cells, shape (2, n_strata, n_bins); the function adds to it.
    """
    count = np.empty(min_markers + 1)
    for cell in range(len(codes)):
        row, depth = codes[cell], depth_bin[cell]
        for s in range(len(sets)):
            seen = 0
            for g in range(sets.shape[1]):
                seen |= row[sets[s, g]]
            here = (
                empty_bin[depth, s]
                if seen == 0
                else _bin(row, sets[s], columns_bin, depth, on, off, count)
            )
            tally[side[s], stratum[cell], here] += 1


@compile_loop("(u1[:, ::1], i8[:, ::1], i8[::1], i8[::1], f8[:, ::1], f8[:, ::1], i8)")
def bin_rows(codes, sets, columns_bin, depth_bin, on, off, min_markers):  # type: ignore[no-untyped-def]
    """Compute the bins of all rows of ``codes`` and all sets, shape (n_rows, n_sets)."""
    count = np.empty(min_markers + 1)
    bins = np.empty((len(codes), len(sets)), dtype=np.int64)
    for row in range(len(codes)):
        for s in range(len(sets)):
            bins[row, s] = _bin(codes[row], sets[s], columns_bin, depth_bin[row], on, off, count)
    return bins


@compile_loop()
def root_bins(codes, sets, columns_bin, depth_bin, roots, width):  # type: ignore[no-untyped-def]
    """Compute the bins of the sum of ``roots`` over each set, shape (n_rows, n_sets).

    ``roots`` are whole numbers of shape (n_rates, n_codes). ``width`` is the width of a bin; a sum
    of 0 is in the middle.
    """
    bins = np.empty((len(codes), len(sets)), dtype=np.int16)
    for row in range(len(codes)):
        for s in range(len(sets)):
            total = 0
            for g in range(sets.shape[1]):
                column = sets[s, g]
                total += roots[columns_bin[column] + depth_bin[row], codes[row, column]]
            bins[row, s] = min(max(int(np.floor(total / width)) + BINS // 2, 0), BINS - 1)
    return bins
