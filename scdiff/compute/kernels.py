"""Loops over the counts, compiled by numba: they take one block of cells and return sums or rows.

The loops take plain arrays and release Python's global lock. Sums over cells are sums of whole
numbers (values times a power of two, rounded). Therefore they are the same to the last bit for any
order of the cells, any size of the blocks and any number of threads.
"""

from __future__ import annotations

import numpy as np

from scdiff.compiled import compile_loop

LOW = 32
"""Counts below this use a table of logarithms per cell. Chosen, not tuned: most counts are low."""

LATELY = 1 << 12
"""Number of values whose scaled amounts are stored, a power of two. Chosen, not tuned."""

__all__ = [
    "cell_sums",
    "gene_sums",
    "group_sums",
    "log_values",
    "moment_sums",
    "products",
    "projections",
    "ranks",
    "set_means",
    "some_columns",
    "weight_sums",
]


@compile_loop("(i8[::1], i4[::1], f4[::1], b1[::1])")
def cell_sums(indptr, indices, data, marked):  # type: ignore[no-untyped-def]
    """Return the total, the total over the ``marked`` genes and the number of genes of every cell.

    Shape (n_cells, 3). A gene counts if its count is not 0.
    """
    sums = np.zeros((len(indptr) - 1, 3))
    for cell in range(len(sums)):
        for place in range(indptr[cell], indptr[cell + 1]):
            count = data[place]
            sums[cell, 0] += count
            sums[cell, 1] += count if marked[indices[place]] else 0
            sums[cell, 2] += count != 0
    return sums


@compile_loop("(i8[::1], f4[::1], f8)")
def log_values(indptr, data, target):  # type: ignore[no-untyped-def]
    """Return ln(1 + count / total * target) of every stored count, shape (n_stored,).

    The values of a cell without counts are 0. Most counts are low, so their logarithms are computed
    once per cell.
    """
    values = np.zeros(len(data), dtype=np.float32)
    low = np.empty(LOW, dtype=np.float32)
    for cell in range(len(indptr) - 1):
        total = 0.0
        for place in range(indptr[cell], indptr[cell + 1]):
            total += data[place]
        factor = target / total if total > 0 else 0.0
        for count in range(LOW):
            low[count] = np.log1p(count * factor)
        for place in range(indptr[cell], indptr[cell + 1]):
            count = data[place]
            is_low = 0 <= count < LOW and count == np.int64(count)
            values[place] = low[np.int64(count)] if is_low else np.log1p(count * factor)
    return values


@compile_loop("(i8[::1], i4[::1], f4[::1], i8, i8[::1], i8)")
def group_sums(indptr, indices, data, n_genes, group, n_groups):  # type: ignore[no-untyped-def]
    """Return the sum of the counts of every gene in each group of cells, shape (n_groups, n_genes).

    A cell whose group is below 0 is ignored.
    """
    sums = np.zeros((n_groups, n_genes), dtype=np.int64)
    for cell in range(len(indptr) - 1):
        if group[cell] >= 0:
            for place in range(indptr[cell], indptr[cell + 1]):
                sums[group[cell], indices[place]] += np.int64(data[place])
    return sums


@compile_loop("(i8[::1], i4[::1], f4[::1], f8[:, ::1])")
def weight_sums(indptr, indices, data, weights):  # type: ignore[no-untyped-def]
    """Return the sums of every cell's counts times the weights of their genes.

    ``weights`` has the shape (n_genes, n_weights), the result (n_cells, n_weights).
    """
    sums = np.zeros((len(indptr) - 1, weights.shape[1]))
    for cell in range(len(sums)):
        for place in range(indptr[cell], indptr[cell + 1]):
            for column in range(weights.shape[1]):
                sums[cell, column] += data[place] * weights[indices[place], column]
    return sums


@compile_loop("(i8[::1], i4[::1], f4[::1], f8[::1], i8)")
def moment_sums(indptr, indices, data, factor, n_genes):  # type: ignore[no-untyped-def]
    """Return three sums of every gene: of value times ``factor``, of values, and of their squares.

    ``factor`` has one number per cell; the result has the shape (3, n_genes).
    """
    sums = np.zeros((3, n_genes))
    for cell in range(len(indptr) - 1):
        for place in range(indptr[cell], indptr[cell + 1]):
            gene, value = indices[place], np.float64(data[place])
            sums[0, gene] += value * factor[cell]
            sums[1, gene] += value
            sums[2, gene] += value * value
    return sums


@compile_loop("(i8[::1], i4[::1], f4[::1], i8, b1, f8[::1])")
def gene_sums(indptr, indices, data, n_genes, linear, scales):  # type: ignore[no-untyped-def]
    """Return the sums of every gene and of its squares, times ``scales``, as whole numbers.

    Shape (2, n_genes). If ``linear``, the sums are of exp(value) - 1 instead of the value. The
    amounts of recent values are stored and not computed again.
    """
    sums = np.zeros((2, n_genes), dtype=np.int64)
    met, first, second = (
        np.full(LATELY, -1.0),
        np.zeros(LATELY, dtype=np.int64),
        np.zeros(LATELY, dtype=np.int64),
    )
    for place in range(indptr[0], indptr[-1]):
        value = np.float64(data[place])
        slot = np.int64(value * 1e5) & (LATELY - 1)
        if met[slot] != value:
            amount = np.expm1(value) if linear else value
            met[slot] = value
            first[slot] = np.int64(np.rint(amount * scales[0]))
            second[slot] = np.int64(np.rint(amount * amount * scales[1]))
        sums[0, indices[place]] += first[slot]
        sums[1, indices[place]] += second[slot]
    return sums


@compile_loop("(i8[::1], i4[::1], f4[::1], i4[::1], i8, f8)")
def products(indptr, indices, data, column_of_gene, n_columns, scale):  # type: ignore[no-untyped-def]
    """Return the sums of x_a * x_b over cells for pairs of chosen genes, x = value * scale rounded.

    Shape (n_columns + 1, n_columns). Only the upper triangle is filled; the last row has the sums
    of x. A gene that is not chosen has column -1. The loop is fast if the columns rise with the
    genes.
    """
    sums = np.zeros((n_columns + 1, n_columns), dtype=np.int64)
    columns, values = np.empty(n_columns, dtype=np.int64), np.empty(n_columns, dtype=np.int64)
    for cell in range(len(indptr) - 1):
        n = 0
        for place in range(indptr[cell], indptr[cell + 1]):
            column = column_of_gene[indices[place]]
            if column < 0:
                continue
            x = np.int64(np.rint(data[place] * scale))
            slot = n
            while slot > 0 and columns[slot - 1] > column:
                columns[slot], values[slot] = columns[slot - 1], values[slot - 1]
                slot -= 1
            columns[slot], values[slot] = column, x
            n += 1
        for i in range(n):
            row, x = sums[columns[i]], values[i]
            sums[n_columns, columns[i]] += x
            for j in range(i, n):
                row[columns[j]] += x * values[j]
    return sums


@compile_loop()
def _add(point, times, vector):  # type: ignore[no-untyped-def]
    """Add a multiple of ``vector`` to ``point`` in place."""
    for component in range(len(point)):
        point[component] += times * vector[component]


@compile_loop("(i8[::1], i4[::1], f4[::1], i4[::1], f8[:, ::1], f8[::1])")
def projections(indptr, indices, data, column_of_gene, loadings, origin):  # type: ignore[no-untyped-def]
    """Return the coordinates of every cell: chosen genes times ``loadings``, minus ``origin``.

    Shape (n_cells, n_components). The sum runs over the columns in their order, whatever the order
    of the genes.
    """
    points = np.zeros((len(indptr) - 1, loadings.shape[1]))
    row = np.zeros(len(loadings))
    for cell in range(len(points)):
        for place in range(indptr[cell], indptr[cell + 1]):
            if column_of_gene[indices[place]] >= 0:
                row[column_of_gene[indices[place]]] = data[place]
        for column in range(len(row)):
            if row[column] != 0:
                _add(points[cell], row[column], loadings[column])
                row[column] = 0
        _add(points[cell], -1.0, origin)
    return points


@compile_loop("(i8[::1], i4[::1], f4[::1], i4[::1], i8)")
def some_columns(indptr, indices, data, column_of_gene, n_columns):  # type: ignore[no-untyped-def]
    """Return the values of chosen genes in every cell, shape (n_cells, n_columns).

    A gene that is not chosen has column -1.
    """
    values = np.zeros((len(indptr) - 1, n_columns), dtype=data.dtype)
    for cell in range(len(values)):
        for place in range(indptr[cell], indptr[cell + 1]):
            if column_of_gene[indices[place]] >= 0:
                values[cell, column_of_gene[indices[place]]] = data[place]
    return values


@compile_loop("(f4[:, ::1], i8[::1], i8[::1])")
def set_means(values, members, ends):  # type: ignore[no-untyped-def]
    """Return the mean of each set's columns of ``values`` in every cell, shape (n_cells, n_sets).

    Set s has the columns ``members[ends[s]:ends[s + 1]]``.
    """
    means = np.zeros((len(values), len(ends) - 1))
    for cell in range(len(values)):
        for s in range(len(ends) - 1):
            for member in range(ends[s], ends[s + 1]):
                means[cell, s] += values[cell, members[member]]
            means[cell, s] /= ends[s + 1] - ends[s]
    return means


@compile_loop()
def _rank(row, value):  # type: ignore[no-untyped-def]
    """Return the average descending rank of a value among the values of ``row``."""
    above, ties = 0, 0
    for other in row:
        above += other > value
        ties += other == value
    return above + (ties + 1) / 2


@compile_loop("(i8[::1], f4[::1], f4[:, ::1], i8)")
def ranks(indptr, data, wanted, n_genes):  # type: ignore[no-untyped-def]
    """Return the average descending rank of each ``wanted`` value in its cell, 1 for the highest.

    The rank is among the ``n_genes`` genes of the cell. Same shape as ``wanted``.
    """
    found = np.empty(wanted.shape)
    for cell in range(len(wanted)):
        row = data[indptr[cell] : indptr[cell + 1]]
        n_positive = 0
        for value in row:
            n_positive += value > 0
        asked = 0.0
        rank = n_positive + (n_genes - n_positive + 1) / 2  # all zeros tie below the positive ones
        of_zero = rank
        for column in range(wanted.shape[1]):
            value = wanted[cell, column]
            if value == 0:
                found[cell, column] = of_zero
                continue
            if value != asked:
                asked, rank = value, _rank(row, value)
            found[cell, column] = rank
    return found
