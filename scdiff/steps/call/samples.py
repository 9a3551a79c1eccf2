"""Check the counts before the call, and estimate the doublets of each sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scdiff import keys
from scdiff.compute.arrays import sort_names
from scdiff.compute.blocks import get_counts, read_rows
from scdiff.steps.shared.markers import select_pooled_cells
from scdiff.vocabulary import POOLED

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["estimate_doublets", "explain_doubt", "refuse_unknown_genes"]

MOSTLY_KNOWN = 0.5
"""Share of the gene names that must be known coding genes before an absent gene counts as zero.

Chosen, not tuned.
"""
CELLS_SAMPLED = 2_000
"""Number of cells sampled for the check whether counts are raw. Chosen, not tuned."""


def estimate_doublets(adata: AnnData, given: float | None) -> dict[str, float]:
    """Return the share of doublets by sample, and for row ``all`` the mean over its cells.

    ``given`` is the share that the user states, or None. Then it follows from the number of cells
    for UMI, and is 0 for reads of plates.
    """
    from scdiff.assay.doublets import estimate_doublet_rate

    samples, pooled = adata.obs[keys.SAMPLE.name].astype(str), select_pooled_cells(adata)
    sizes, inside = (names.value_counts().sort_index() for names in (samples, samples[pooled]))
    is_plate = adata.uns[keys.ROOT][keys.INPUT.name].get("technology") == "reads"
    rates: dict[str, float] = {}
    for name, size in sizes.items():
        if given is not None:
            rates[str(name)] = given
        else:
            rates[str(name)] = 0.0 if is_plate else estimate_doublet_rate(int(size))
    total = sum(rates[str(name)] * size for name, size in inside.items())
    return rates | {POOLED: total / max(int(pooled.sum()), 1)}


def refuse_unknown_genes(adata: AnnData) -> None:
    """Raise ConfigError if most gene names are unknown, so that absent markers may not be zero.

    The markers may be in the file under another name.

    Raises
    ------
    ConfigError
        If the species is unknown, or fewer than half of the gene names are coding genes of it.
    """
    from scdiff.errors import ConfigError
    from scdiff.genes import SPECIES, annotation, resolve_species

    species = str(adata.uns[keys.ROOT][keys.INPUT.name].get("species"))
    if species not in SPECIES:
        raise ConfigError(
            "call.absent_as_zero is set, but the species is not known: "
            "give --species, or leave the option out."
        )
    coding = annotation(resolve_species(species)).coding
    known = sum(name in coding for name in adata.var_names) / max(adata.n_vars, 1)
    if known < MOSTLY_KNOWN:
        raise ConfigError(
            f"call.absent_as_zero is set, but only {known:.0%} of the {adata.n_vars:,} gene names "
            f"are {species} genes (the first is {adata.var_names[0]!r}): absent markers may be in "
            "the file under another name. Give gene symbols, or leave the option out."
        )


def explain_doubt(adata: AnnData, depth: np.ndarray) -> str:
    """Return why the counts may not be raw counts; empty without doubt."""
    from scdiff.assay.counts_state import doubt_counts

    chosen = sort_names(adata.obs_names)[:CELLS_SAMPLED]
    some = read_rows(get_counts(adata), np.sort(chosen))
    filled = np.flatnonzero(np.diff(some.indptr))
    smallest = np.empty(0)
    if len(filled):
        positive = np.where(some.data > 0, some.data, np.inf)
        smallest = np.minimum.reduceat(positive, some.indptr[filled])
    are_reads = adata.uns[keys.ROOT][keys.INPUT.name].get("technology") == "reads"
    return doubt_counts(depth, smallest, np.diff(some.indptr)[filled], are_reads=are_reads)
