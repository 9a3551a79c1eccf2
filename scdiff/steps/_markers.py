"""Marker counts of a programme, for the steps that read counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from scdiff.genes import Lookup
from scdiff.programs import Marker

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["control_cells", "depth_of", "genes_of", "marker_counts", "pooled_cells"]


def genes_of(adata: AnnData, markers: Sequence[Marker]) -> dict[str, list[int]]:
    """Find the rows (columns of the object) of each marker's genes; empty where the matrix has none."""
    species = "mouse" if adata.uns["scdiff"]["input"].get("species") == "mouse" else "human"
    lookup = Lookup(list(adata.var_names), species)  # type: ignore[arg-type]
    return {marker.name: lookup.find(marker.genes(species)) for marker in markers}  # type: ignore[arg-type]


def marker_counts(adata: AnnData, markers: Sequence[Marker]) -> np.ndarray:
    """Sum the counts of each marker's genes, shape (n_cells, n_markers); zeros where a marker has no row."""
    columns = [
        np.asarray(adata.layers["counts"][:, rows].sum(axis=1, dtype=np.float64)).ravel() for rows in genes_of(adata, markers).values()
    ]
    return np.column_stack(columns) if columns else np.empty((adata.n_obs, 0))


def depth_of(adata: AnnData) -> np.ndarray:
    """Sum all counts of each cell, shape (n_cells,)."""
    return np.asarray(adata.layers["counts"].sum(axis=1, dtype=np.float64)).ravel()


def control_cells(adata: AnnData) -> np.ndarray:
    """Find the cells of declared control samples, shape (n_cells,)."""
    return adata.obs["control"].to_numpy(dtype=bool) if "control" in adata.obs else np.zeros(adata.n_obs, dtype=bool)


def pooled_cells(adata: AnnData) -> np.ndarray:
    """Find the cells of row ``all``, shape (n_cells,): those of no control sample, or every cell where there are no others."""
    control = control_cells(adata)
    return ~control if not control.all() else ~np.zeros(adata.n_obs, dtype=bool)
