"""Marker counts of a programme, for the steps that read counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from scdiff.compute.blocks import get_counts, measure_cells, read_columns
from scdiff.genes import Lookup
from scdiff.programs import GeneSet, Marker, Program, Species
from scdiff.vocabulary import POOLED

if TYPE_CHECKING:
    from anndata import AnnData

    from scdiff.assay.mixture import Soup

__all__ = ["MarkerCounts", "marker_columns", "read_markers", "select_control_cells", "select_pooled_cells", "table_groups"]


@dataclass(frozen=True)
class MarkerCounts:
    """What a step reads of the counts: each cell's depth and its counts of the markers, in one pass over the matrix.

    Parameters
    ----------
    depth
        All counts of each cell, shape (n_cells,).
    rows
        Rows (columns of the object) of the genes of each marker and set, by these genes as the programme names them.
    sums
        Counts of each marker, by the same names, each of shape (n_cells,).
    species
        Whose gene symbols the markers go by.
    soups
        By sample, counts of each gene in its empty droplets, shape (n_genes,); only samples where they are known.
    """

    depth: np.ndarray
    rows: dict[tuple[str, ...], list[int]]
    sums: dict[tuple[str, ...], np.ndarray]
    species: Species
    soups: Mapping[str, np.ndarray] = field(default_factory=dict)

    def genes(self, named: Sequence[Marker | GeneSet]) -> dict[str, list[int]]:
        """Find the rows (columns of the object) of the genes of each marker or set; empty where the matrix has none."""
        return {entry.name: self.rows[entry.genes(self.species)] for entry in named}

    def of(self, markers: Sequence[Marker]) -> np.ndarray:
        """Sum the counts of each marker's genes, shape (n_cells, n_markers); zeros where a marker has no row."""
        columns = [self.sums[marker.genes(self.species)] for marker in markers]
        return np.column_stack(columns) if columns else np.empty((len(self.depth), 0))

    def soup_of(self, markers: Sequence[Marker], samples: Iterable[str]) -> Soup | None:
        """Add up what the empty droplets of some samples hold; None where those of any are not known."""
        from scdiff.assay.mixture import Soup

        names = list(samples)
        if not names or not all(name in self.soups for name in names):
            return None
        pooled = np.sum([self.soups[name] for name in names], axis=0)
        return Soup(tuple(float(pooled[rows].sum()) for rows in self.genes(markers).values()), float(pooled.sum()))


def read_markers(adata: AnnData, programs: Sequence[Program]) -> MarkerCounts:
    """Read depth and marker counts of some programmes off ``layers["counts"]``; of their sets, the rows only."""
    species: Species = "mouse" if adata.uns["scdiff"]["input"].get("species") == "mouse" else "human"
    lookup = Lookup(list(adata.var_names), species)
    markers = sorted({marker.genes(species) for program in programs for marker in program.markers})
    rows = {genes: lookup.find(genes) for genes in {*markers, *(chosen.genes(species) for program in programs for chosen in program.sets)}}
    kept = sorted({row for genes in markers for row in rows[genes]})
    counts = read_columns(get_counts(adata), np.array(kept, dtype=int))
    sums = {genes: counts[:, np.searchsorted(kept, rows[genes])].sum(axis=1, dtype=np.float64) for genes in markers}
    depth = measure_cells(get_counts(adata), np.zeros(adata.n_vars, dtype=bool))[:, 0]
    return MarkerCounts(depth, rows, sums, species, _soups(adata))


def _soups(adata: AnnData) -> dict[str, np.ndarray]:
    """Put the soups that load recorded into the order of the object's genes."""
    import pandas as pd

    if "soup" not in (record := adata.uns["scdiff"]["input"]):
        return {}
    frame = pd.DataFrame(record["soup"]["counts"], index=record["soup"]["genes"].astype(str), columns=record["soup"]["samples"].astype(str))
    soups = frame.reindex(adata.var_names, fill_value=0.0).items()
    return {str(name): counts.to_numpy() for name, counts in soups if counts.any()}


def select_control_cells(adata: AnnData) -> np.ndarray:
    """Find the cells of declared control samples, shape (n_cells,)."""
    return adata.obs["control"].to_numpy(dtype=bool) if "control" in adata.obs else np.zeros(adata.n_obs, dtype=bool)


def table_groups(adata: AnnData) -> dict[str, np.ndarray]:
    """Cells of each row of a table, shape (n_cells,): ``all`` (no controls unless there is nothing else), then each sample, sorted."""
    samples = adata.obs["sample"].astype(str).to_numpy()
    return {POOLED: select_pooled_cells(adata)} | {str(name): samples == name for name in np.unique(samples)}


def marker_columns(adata: AnnData, program: Program) -> list[int]:
    """Find the columns of all markers of a programme, in either species."""
    names = list(adata.var_names)
    genes = {species: [gene for marker in program.markers for gene in marker.genes(species)] for species in program.species}
    return [column for species, wanted in genes.items() for column in Lookup(names, species).find(wanted)]


def select_pooled_cells(adata: AnnData) -> np.ndarray:
    """Find the cells of row ``all``, shape (n_cells,): those of no control sample, or every cell where there are no others."""
    control = select_control_cells(adata)
    return ~control if not control.all() else ~np.zeros(adata.n_obs, dtype=bool)
