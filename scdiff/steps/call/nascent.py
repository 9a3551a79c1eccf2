"""Read the unspliced reads of markers, if the object has a layer of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.compute.arrays import as_csr
from scdiff.compute.blocks import is_lazy
from scdiff.programs import Marker
from scdiff.steps.shared.markers import MarkerCounts, sum_genes

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Parts", "read_parts"]

UNSPLICED, SPLICED = "unspliced", "spliced"
"""Layers of the unspliced and of the spliced counts, as ``load`` and scVelo name them."""

Sums = Mapping[tuple[str, ...], np.ndarray]


@dataclass(frozen=True)
class Parts:
    """Unspliced and spliced counts of each marker, by its genes, shape (n_cells,) each.

    ``spliced`` is None without a layer of spliced counts.
    """

    unspliced: Sums
    spliced: Sums | None

    def of(self, read: MarkerCounts, markers: Sequence[Marker]) -> tuple[np.ndarray, np.ndarray]:
        """Return unspliced and other reads of each marker, shape (n_cells, n_markers) each.

        Without spliced counts the other reads are the counts; the unspliced ones are subtracted if
        the counts contain them.
        """
        genes = [marker.genes(read.species) for marker in markers]
        unspliced = np.column_stack([self.unspliced[names] for names in genes])
        if self.spliced is not None:
            return unspliced, np.column_stack([self.spliced[names] for names in genes])
        counts = read.of(markers)
        contained = bool((unspliced <= counts).all())
        return unspliced, counts - unspliced if contained else counts


def read_parts(adata: AnnData, read: MarkerCounts) -> Parts | None:
    """Read the layers of unspliced and spliced counts once for all markers.

    None without a layer of unspliced counts.
    """
    if UNSPLICED not in adata.layers:
        return None
    spliced = _sum_genes(adata, SPLICED, read) if SPLICED in adata.layers else None
    return Parts(_sum_genes(adata, UNSPLICED, read), spliced)


def _sum_genes(adata: AnnData, layer: str, read: MarkerCounts) -> Sums:
    """Sum the genes of each marker in a layer; 0 for a marker without a row."""
    values: Any = adata.layers[layer]
    matrix = values if is_lazy(values) else as_csr(values)
    return sum_genes(matrix, {genes: read.rows[genes] for genes in read.sums})
