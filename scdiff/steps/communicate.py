"""communicate: which cells carry the two sides of the paracrine axes."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from scdiff import keys
from scdiff.config import step
from scdiff.errors import UnknownNameError, did_you_mean
from scdiff.genes import Lookup, ortholog
from scdiff.steps._blocks import columns_of, counts_of
from scdiff.steps._common import record, species_of

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["Axis", "communicate", "load_axes"]

LEVEL = 0.95
COLUMNS = (
    "axis", "side", "gene", "sample", "n_cells", "n_expressing", "fraction", "fraction_low", "fraction_high", "lod", "verdict", "reason",
)  # fmt: skip


@dataclass(frozen=True)
class Axis:
    """A ligand and its receptors, human symbols.

    Parameters
    ----------
    name
        As people write it.
    ligands, receptors
        Gene symbols of either side.
    source
        DOI.
    """

    name: str
    ligands: tuple[str, ...]
    receptors: tuple[str, ...]
    source: str

    def genes(self) -> Iterator[tuple[str, str]]:
        """Side and gene, ligands first."""
        yield from (("ligand", gene) for gene in self.ligands)
        yield from (("receptor", gene) for gene in self.receptors)


@cache
def load_axes() -> tuple[Axis, ...]:
    """Load the known axes, from the table beside the programmes.

    >>> [axis.name for axis in load_axes()]
    ['CXCL12-CXCR4', 'VEGFA-KDR/FLT1', 'HGF-MET', 'IL10-IL10RA/B']
    """
    with (resources.files("scdiff.programs") / "axes.csv").open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    return tuple(Axis(row["axis"], tuple(row["ligands"].split("|")), tuple(row["receptors"].split("|")), row["source"]) for row in rows)


@step
def communicate(adata: AnnData, *, axes: Sequence[str] = ()) -> None:
    """Count the cells that express each side of the ligand-receptor axes.

    For the paracrine function of the batch: which cells could send, which could receive. Detection is raw (a count
    above 0), so ambient transcripts count too; the transcript is no proof of the protein, nor of a signal.

    Parameters
    ----------
    adata
        Cells x genes, with counts.
    axes
        Names of axes; all where empty.

    Reads
    -----
    layers["counts"], obs["sample"], uns["scdiff"]["input"]

    Writes
    ------
    uns["scdiff"]["axes"]: one row per axis, side, gene and sample, and one with sample ``all``. Fractions are 0-1 with
    the exact 95 % interval; lod is the least fraction of which one cell would be seen with 95 % probability among so
    many cells. A gene without a row in the matrix is not measurable: absent is not zero.

    Raises
    ------
    UnknownNameError
        If an axis is unknown.

    Source
    ------
    10.1093/biomet/26.4.404 (interval)
    """
    import pandas as pd

    species = species_of(adata)
    lookup = Lookup(list(adata.var_names), species)
    samples = adata.obs["sample"].astype("category").cat.remove_unused_categories()
    chosen, rows = _chosen(axes), []
    named = [gene if species == "human" else ortholog(gene) for axis in chosen for _, gene in axis.genes()]
    counts = _counts(adata, {gene: lookup.find([gene]) for gene in named})
    for axis in chosen:
        for side, human in axis.genes():
            gene = human if species == "human" else ortholog(human)
            expressing = counts[gene] > 0 if gene in counts else None
            rows += [
                {"axis": axis.name, "side": side, "gene": gene, "sample": sample} | row for sample, row in _rows(gene, expressing, samples)
            ]
    record(adata, keys.AXES, pd.DataFrame(rows, columns=list(COLUMNS)))


def _chosen(names: Sequence[str]) -> tuple[Axis, ...]:
    """Axes by name, all where ``names`` is empty."""
    known = {axis.name: axis for axis in load_axes()}
    for name in names:
        if name not in known:
            raise UnknownNameError(f"communicate(): unknown axis {name!r}. {did_you_mean(name, known)}")
    return tuple(known[name] for name in names) or load_axes()


def _counts(adata: AnnData, genes: dict[str, list[int]]) -> dict[str, np.ndarray]:
    """Read the counts of the genes that have a row, in one pass over the cells; shape (n_cells,) each."""
    known = {gene: rows for gene, rows in genes.items() if rows}
    columns = np.unique([row for rows in known.values() for row in rows]).astype(int)
    found = columns_of(counts_of(adata), columns)
    return {gene: found[:, np.searchsorted(columns, rows)].sum(axis=1) for gene, rows in known.items()}


def _rows(gene: str, expressing: np.ndarray | None, samples: pd.Series) -> Iterator[tuple[str, dict[str, object]]]:
    """Read-out of one gene for every sample, then for all cells."""
    groups = [(str(name), (samples == name).to_numpy()) for name in samples.cat.categories]
    for name, members in [*groups, ("all", np.ones(len(samples), dtype=bool))]:
        n_cells = int(members.sum())
        yield name, _absent(gene, n_cells) if expressing is None else _measured(int(expressing[members].sum()), n_cells)


def _absent(gene: str, n_cells: int) -> dict[str, object]:
    """Read-out of a gene without a row."""
    empty = dict.fromkeys(("n_expressing", "fraction", "fraction_low", "fraction_high", "lod"), np.nan)
    return {"n_cells": n_cells, **empty, "verdict": "not measurable", "reason": f"no row for {gene} in the matrix"}


def _measured(n_expressing: int, n_cells: int) -> dict[str, object]:
    """Read-out of a measured gene: fraction, exact interval, limit of detection, verdict."""
    from scipy.stats import binomtest

    interval = binomtest(n_expressing, n_cells).proportion_ci(confidence_level=LEVEL, method="exact")
    return {
        "n_cells": n_cells,
        "n_expressing": n_expressing,
        "fraction": n_expressing / n_cells,
        "fraction_low": interval.low,
        "fraction_high": interval.high,
        "lod": 1 - (1 - LEVEL) ** (1 / n_cells),
        "verdict": "detected" if n_expressing else "not detected",
        "reason": "raw detection (count above 0), background not subtracted" if n_expressing else f"no count in {n_cells:,} cells",
    }
