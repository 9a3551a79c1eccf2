"""Mean and variance of every gene in one pass."""

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

EXACT_BITS, MOST_LINEAR = 62, 1e5
"""Bits of a sum of whole numbers; highest value of exp(x) - 1 that must fit in it, as often as there are cells."""


def gene_moments(values: Any, *, linear: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance (n - 1) of every gene of log-normalised ``values``; with ``linear``, of exp(value) - 1.

    The sums are of whole numbers, so they agree to the last bit however the matrix is shuffled.
    """
    n_cells, n_genes = values.shape
    room = EXACT_BITS - np.log2(max(n_cells, 1))
    kinds = [
        2.0 ** np.floor(room - np.array([1, 2]) * np.log2(highest))
        for highest in (np.log(MOST_LINEAR), MOST_LINEAR)
    ]
    scales = kinds[linear]
    if is_lazy(
        getattr(values, "counts", values)
    ):  # a pass over what is on disk costs more than both sums
        found = cache_pass(
            values,
            ("moments",),
            lambda: sum_blocks(values, partial(_both_sums, n_genes=n_genes, scales=kinds)),
        )[int(linear)]
    else:
        found = sum_blocks(
            values, partial(_gene_sums, n_genes=n_genes, linear=linear, scales=scales)
        )
    sums = found / scales[:, None]
    mean = sums[0] / max(n_cells, 1)
    excess = sums[1] - n_cells * mean**2
    rounded = n_cells * (1 / scales[1] + 2 * mean / scales[0]) + ROUNDING * sums[1]
    return mean, np.where(excess > rounded, excess, 0.0) / max(n_cells - 1, 1)


def _gene_sums(block: csr_matrix, n_genes: int, *, linear: bool, scales: np.ndarray) -> np.ndarray:
    """Sum the genes over one block."""
    return np.asarray(gene_sums(*arrays(block), n_genes, linear, scales))


def _both_sums(block: csr_matrix, n_genes: int, *, scales: list[np.ndarray]) -> np.ndarray:
    """Sum the genes over one block, as they are and linear; shape (2, 2, n_genes)."""
    return np.stack(
        [
            _gene_sums(block, n_genes, linear=linear, scales=scales[linear])
            for linear in (False, True)
        ]
    )


def normalise_dispersion(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Dispersion as z-score among genes of similar mean (scanpy's flavour ``seurat``); NaN where a gene does not vary."""
    import pandas as pd

    varies = variance > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        dispersion = pd.Series(np.where(varies, np.log(variance / mean), np.nan))
    level = pd.cut(np.log1p(mean), bins=N_BINS, labels=False)
    groups = dispersion.groupby(level)
    average, deviation = groups.transform("mean"), groups.transform("std")
    scaled = ((dispersion - average) / deviation.where(deviation > 0)).fillna(
        1.0
    )  # 1 for a gene alone at its level
    return scaled.where(varies).to_numpy(copy=True)
