"""Read the unspliced reads of markers, if the object has a layer of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.compute.arrays import as_csr
from scdiff.compute.blocks import is_lazy, read_columns
from scdiff.programs import Marker
from scdiff.steps.call.markers import Batch

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["read_nascent"]

UNSPLICED, SPLICED = "unspliced", "spliced"
"""Layers of the unspliced and of the spliced counts, as ``load`` and scVelo name them."""


def read_nascent(batch: Batch, markers: Sequence[Marker]) -> tuple[np.ndarray, np.ndarray] | None:
    """Read unspliced and other reads of each marker, shape (n_cells, n_markers) each.

    None without a layer of unspliced counts. If there is no layer of spliced counts, the other
    reads are the counts; the unspliced ones are subtracted if the counts contain them.
    """
    adata = batch.adata
    if UNSPLICED not in adata.layers:
        return None
    rows = list(batch.read.genes(markers).values())
    unspliced = _sum_genes(adata, UNSPLICED, rows)
    if SPLICED in adata.layers:
        return unspliced, _sum_genes(adata, SPLICED, rows)
    counts = batch.read.of(markers)
    contained = bool((unspliced <= counts).all())
    return unspliced, counts - unspliced if contained else counts


def _sum_genes(adata: AnnData, layer: str, rows: Sequence[list[int]]) -> np.ndarray:
    """Sum the genes of each marker in a layer; 0 for a marker without a row."""
    kept = sorted({row for genes in rows for row in genes})
    values: Any = adata.layers[layer]
    matrix = values if is_lazy(values) else as_csr(values)
    read = read_columns(matrix, np.array(kept, dtype=int))
    sums = [read[:, np.searchsorted(kept, genes)].sum(axis=1, dtype=np.float64) for genes in rows]
    return np.column_stack(sums)
