"""Marker counts of programmes, for the steps that read counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff import keys
from scdiff.compute.blocks import get_counts, measure_cells, read_columns
from scdiff.genes import Lookup, resolve_species
from scdiff.programs import GeneSet, Marker, Program, Species
from scdiff.vocabulary import POOLED

if TYPE_CHECKING:
    from anndata import AnnData

    from scdiff.assay.mixture import Soup

__all__ = [
    "MarkerCounts",
    "marker_columns",
    "read_markers",
    "select_control_cells",
    "select_pooled_cells",
    "select_table_groups",
    "sum_genes",
]


@dataclass(frozen=True)
class MarkerCounts:
    """Depth and marker counts of each cell, read in one pass over the matrix.

    Parameters
    ----------
    depth
        All counts of each cell, shape (n_cells,).
    rows
        Columns of the object of each marker and set, by its genes as the programme names them.
    sums
        Counts of each marker, by the same names, shape (n_cells,) each.
    species
        Species of the gene symbols.
    soups
        By sample, counts of each gene in its empty droplets, shape (n_genes,); only samples with
        known empty droplets.
    """

    depth: np.ndarray
    rows: dict[tuple[str, ...], list[int]]
    sums: dict[tuple[str, ...], np.ndarray]
    species: Species
    soups: Mapping[str, np.ndarray] = field(default_factory=dict)

    def genes(self, named: Sequence[Marker | GeneSet]) -> dict[str, list[int]]:
        """Return the columns of the object of each marker or set; empty if it has no row."""
        return {entry.name: self.rows[entry.genes(self.species)] for entry in named}

    def of(self, markers: Sequence[Marker]) -> np.ndarray:
        """Sum the counts of each marker's genes, shape (n_cells, n_markers); 0 without a row."""
        columns = [self.sums[marker.genes(self.species)] for marker in markers]
        return np.column_stack(columns) if columns else np.empty((len(self.depth), 0))

    def soup_of(self, markers: Sequence[Marker], samples: Iterable[str]) -> Soup | None:
        """Pool the ambient RNA of some samples; None if any of them has no known empty droplets."""
        from scdiff.assay.mixture import Soup

        names = list(samples)
        if not names or not all(name in self.soups for name in names):
            return None
        pooled = np.sum([self.soups[name] for name in names], axis=0)
        of_markers = tuple(float(pooled[rows].sum()) for rows in self.genes(markers).values())
        return Soup(of_markers, float(pooled.sum()))


def read_markers(adata: AnnData, programs: Sequence[Program]) -> MarkerCounts:
    """Read depth and marker counts of some programmes from ``layers["counts"]``.

    Of gene sets only the columns are read.
    """
    species = resolve_species(adata.uns[keys.ROOT][keys.INPUT.name].get("species"))
    lookup = Lookup(list(adata.var_names), species)
    markers = sorted({marker.genes(species) for program in programs for marker in program.markers})
    sets = {chosen.genes(species) for program in programs for chosen in program.sets}
    rows = {genes: lookup.find(genes) for genes in {*markers, *sets}}
    sums = sum_genes(get_counts(adata), {genes: rows[genes] for genes in markers})
    depth = measure_cells(get_counts(adata), np.zeros(adata.n_vars, dtype=bool))[:, 0]
    return MarkerCounts(depth, rows, sums, species, _read_soups(adata))


def sum_genes(
    matrix: Any, rows: Mapping[tuple[str, ...], list[int]]
) -> dict[tuple[str, ...], np.ndarray]:
    """Sum the columns of each group of genes in one pass, shape (n_cells,) each; 0 without a row.

    Parameters
    ----------
    matrix
        Counts, CSR or a dask array of CSR blocks.
    rows
        Columns of each group of genes.
    """
    kept = sorted({row for found in rows.values() for row in found})
    counts = read_columns(matrix, np.array(kept, dtype=int))
    return {
        genes: counts[:, np.searchsorted(kept, found)].sum(axis=1, dtype=np.float64)
        for genes, found in rows.items()
    }


def _read_soups(adata: AnnData) -> dict[str, np.ndarray]:
    """Return the empty droplets that load recorded, in the order of the genes of the object."""
    import pandas as pd

    if "soup" not in (record := adata.uns[keys.ROOT][keys.INPUT.name]):
        return {}
    soup = record["soup"]
    genes, samples = soup["genes"].astype(str), soup["samples"].astype(str)
    frame = pd.DataFrame(soup["counts"], index=genes, columns=samples)
    by_sample = frame.reindex(adata.var_names, fill_value=0.0).items()
    return {str(name): counts.to_numpy() for name, counts in by_sample if counts.any()}


def select_control_cells(adata: AnnData) -> np.ndarray:
    """Find the cells of declared control samples, shape (n_cells,)."""
    if "control" in adata.obs:
        return adata.obs[keys.CONTROL.name].to_numpy(dtype=bool)
    return np.zeros(adata.n_obs, dtype=bool)


def select_table_groups(adata: AnnData) -> dict[str, np.ndarray]:
    """Return the cells of each row of a table, shape (n_cells,) each.

    Row ``all`` comes first (without controls, unless every sample is a control), then each sample,
    sorted.
    """
    samples = adata.obs[keys.SAMPLE.name].astype(str).to_numpy()
    by_sample = {str(name): samples == name for name in np.unique(samples)}
    return {POOLED: select_pooled_cells(adata)} | by_sample


def marker_columns(adata: AnnData, program: Program) -> list[int]:
    """Find the columns of all markers of a programme, in all species."""
    names = list(adata.var_names)
    columns = []
    for species in program.species:
        genes = [gene for marker in program.markers for gene in marker.genes(species)]
        columns += Lookup(names, species).find(genes)
    return columns


def select_pooled_cells(adata: AnnData) -> np.ndarray:
    """Find the cells of row ``all``, shape (n_cells,).

    These are all cells that do not belong to a control sample, or every cell if all are controls.
    """
    control = select_control_cells(adata)
    return ~control if not control.all() else ~np.zeros(adata.n_obs, dtype=bool)
