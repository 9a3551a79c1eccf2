"""States of a marker in a matrix: present, never counted, or without a row and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from scdiff import keys
from scdiff.genes import SPECIES, annotation, resolve_species
from scdiff.record import read_record, read_species

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["FILTERED", "UNCLEAR", "WHOLE", "classify_markers", "gene_list", "names_in_file"]

WHOLE, FILTERED, UNCLEAR = "whole annotation", "unseen genes left out", "cannot be told"
"""Kinds of gene lists."""

MOST_CODING = 0.8
"""Share of the coding genes that a whole annotation has at least, 0-1. Chosen, not tuned."""
LEAST_CODING = 0.4
"""Share of the coding genes that a filtered list has at least, 0-1; a panel has less."""
MOST_SILENT = 0.8
"""Share of the olfactory receptors that a whole annotation has at least, 0-1."""
LEAST_SILENT = 0.2
"""Share of the olfactory receptors that a filtered list has at most, 0-1."""


def gene_list(symbols: Iterable[str], species: str) -> str:
    """Check whether a file lists all genes of an annotation, or only genes that were counted.

    Almost no cell outside the nose expresses an olfactory receptor. A list that holds these genes
    was not filtered by counts. A list of many coding genes without them was filtered: every
    annotation of a genome holds them. A list of few coding genes may be a panel or a choice of
    variable genes; the two look the same.

    Parameters
    ----------
    symbols
        Approved symbols of the file's genes.
    species
        ``human``, ``mouse``, ``rat`` or ``unknown``.

    Returns
    -------
    ``WHOLE`` (at least 0.8 of the coding genes and 0.8 of the olfactory receptors have a row),
    ``FILTERED`` (at least 0.4 of the coding genes and at most 0.2 of the receptors), otherwise
    ``UNCLEAR``.
    """
    if species not in SPECIES:
        return UNCLEAR
    known, listed = annotation(resolve_species(species)), set(symbols)
    coding, silent = (len(genes & listed) / len(genes) for genes in (known.coding, known.silent))
    if coding >= MOST_CODING and silent >= MOST_SILENT:
        return WHOLE
    return FILTERED if coding >= LEAST_CODING and silent <= LEAST_SILENT else UNCLEAR


def classify_markers(
    adata: AnnData,
    rows: Mapping[str, Sequence[int]],
    genes: Mapping[str, Sequence[str]],
    n_detected: Iterable[int],
) -> list[str]:
    """Return the state of each marker.

    Parameters
    ----------
    rows
        By marker, the columns of the object that it is counted in; empty without a row.
    genes
        By marker, its approved symbols.
    n_detected
        Cells with a count of each marker, in the order of ``rows``.

    Returns
    -------
    For each marker ``present``, ``all-zero``, ``absent from the annotation``, ``filtered out by the
    provider``, or ``absent`` if it has no row and the reason is unknown.
    """
    states = []
    for (name, columns), cells in zip(rows.items(), n_detected, strict=True):
        if columns:
            states.append("present" if cells else "all-zero")
        else:
            states.append(_explain_absence(adata, genes[name]))
    return states


Absence = Literal["absent from the annotation", "filtered out by the provider", "absent"]


def _explain_absence(adata: AnnData, genes: Sequence[str]) -> Absence:
    """Return why genes have no row, as far as the gene lists of all files agree."""
    record = read_record(adata, "input")
    lists = set(record["files"].get("gene_list", [UNCLEAR])) if "files" in record else {UNCLEAR}
    if lists == {WHOLE}:
        return "absent from the annotation"
    coding = any(gene in annotation(read_species(adata)).coding for gene in genes)
    return "filtered out by the provider" if lists == {FILTERED} and coding else "absent"


def names_in_file(adata: AnnData, rows: Sequence[int]) -> str:
    """Join the names of some genes in the file, with commas; the symbols if they are unknown."""
    names = (
        adata.var[keys.NAME_IN_FILE.name]
        if "name_in_file" in adata.var
        else adata.var_names.to_series()
    )
    return ",".join(str(name) for name in names.iloc[list(rows)])
