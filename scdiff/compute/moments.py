"""Compute the mean and the variance of every gene in one pass."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.compute.arrays import ROUNDING
from scdiff.compute.blocks import arrays, cache_pass, is_lazy, sum_blocks
from scdiff.compute.kernels import gene_sums

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["EXACT_BITS", "gene_moments", "normalise_dispersion"]

N_BINS = 20
"""Number of bins of mean expression, as in scanpy's flavour ``seurat``."""

EXACT_BITS = 62
"""Bits that a sum of whole numbers may use; an int64 has 63 and a sign."""

MOST_LINEAR = 1e5
"""Highest value of exp(x) - 1. The scale leaves room for a sum of this value over all cells.
Chosen, not tuned: ten times the usual counts per cell."""


def gene_moments(values: Any, *, linear: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the variance (n - 1) of every gene of log-normalised ``values``.

    If ``linear``, they are those of exp(value) - 1. The sums are of whole numbers, so they are the
    same to the last bit for any order of the matrix.
    """
    n_cells, n_genes = values.shape
    room = EXACT_BITS - np.log2(max(n_cells, 1))
    kinds = [
        2.0 ** np.floor(room - np.array([1, 2]) * np.log2(highest))
        for highest in (np.log(MOST_LINEAR), MOST_LINEAR)
    ]
    scales = kinds[linear]
    if is_lazy(getattr(values, "counts", values)):  # a pass over the disk costs more than both sums
        found = cache_pass(
            values,
            ("moments",),
            lambda: sum_blocks(values, partial(_sum_genes_twice, n_genes=n_genes, scales=kinds)),
        )[int(linear)]
    else:
        found = sum_blocks(
            values, partial(_sum_genes, n_genes=n_genes, linear=linear, scales=scales)
        )
    sums = found / scales[:, None]
    mean = sums[0] / max(n_cells, 1)
    excess = sums[1] - n_cells * mean**2
    rounded = n_cells * (1 / scales[1] + 2 * mean / scales[0]) + ROUNDING * sums[1]
    return mean, np.where(excess > rounded, excess, 0.0) / max(n_cells - 1, 1)


def _sum_genes(block: csr_matrix, n_genes: int, *, linear: bool, scales: np.ndarray) -> np.ndarray:
    """Return the sums of the genes over one block."""
    return np.asarray(gene_sums(*arrays(block), n_genes, linear, scales))


def _sum_genes_twice(block: csr_matrix, n_genes: int, *, scales: list[np.ndarray]) -> np.ndarray:
    """Return the sums over one block, logarithmic and linear; shape (2, 2, n_genes)."""
    return np.stack(
        [
            _sum_genes(block, n_genes, linear=linear, scales=scales[linear])
            for linear in (False, True)
        ]
    )


def normalise_dispersion(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return the dispersion as a z-score among genes of similar mean (scanpy's flavour ``seurat``).

    NaN for a gene that does not vary.
    """
    import pandas as pd

    varies = variance > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        dispersion = pd.Series(np.where(varies, np.log(variance / mean), np.nan))
    level = pd.cut(np.log1p(mean), bins=N_BINS, labels=False)
    groups = dispersion.groupby(level)
    average, deviation = groups.transform("mean"), groups.transform("std")
    scaled = (dispersion - average) / deviation.where(deviation > 0)
    scaled = scaled.fillna(1.0)  # 1 for a gene that is alone in its bin
    return scaled.where(varies).to_numpy(copy=True)
