"""What is known of a marker in a matrix: there, never counted, or without a row, and then why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from scdiff.genes import annotation
from scdiff.record import read_record, read_species

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["FILTERED", "UNCLEAR", "WHOLE", "gene_list", "marker_states", "names_in_file"]

WHOLE, FILTERED, UNCLEAR = "whole annotation", "unseen genes left out", "cannot be told"
"""What a file's list of genes is."""

MOST_CODING, LEAST_CODING = 0.8, 0.4
MOST_SILENT, LEAST_SILENT = 0.8, 0.2


def gene_list(symbols: Iterable[str], species: str) -> str:
    """Tell whether a file lists the genes of an annotation, or only those that somebody saw.

    Hardly a cell outside the nose expresses an olfactory receptor, so a list that holds these genes was not cut to what was seen,
    and a list of many coding genes without them was: no annotation of a genome lacks them. A list of few coding genes may be a
    panel or a choice of variable genes, which cannot be told apart.

    Parameters
    ----------
    symbols
        Approved symbols of the file's genes.
    species
        ``human``, ``mouse`` or ``unknown``.

    Returns
    -------
    ``WHOLE`` (at least 0.8 of the coding genes and 0.8 of the olfactory receptors have a row), ``FILTERED`` (at least 0.4 of the
    coding genes and at most 0.2 of the receptors), else ``UNCLEAR``.
    """
    if species not in ("human", "mouse"):
        return UNCLEAR
    known, listed = annotation("human" if species == "human" else "mouse"), set(symbols)
    coding, silent = (len(genes & listed) / len(genes) for genes in (known.coding, known.silent))
    if coding >= MOST_CODING and silent >= MOST_SILENT:
        return WHOLE
    return FILTERED if coding >= LEAST_CODING and silent <= LEAST_SILENT else UNCLEAR


def marker_states(
    adata: AnnData, rows: Mapping[str, Sequence[int]], genes: Mapping[str, Sequence[str]], n_detected: Iterable[int]
) -> list[str]:
    """Say of each marker what is known of it.

    Parameters
    ----------
    rows
        By marker, the columns of the object that it is counted in; empty where there is none.
    genes
        By marker, its approved symbols.
    n_detected
        Cells with a count of each marker, in the order of ``rows``.

    Returns
    -------
    One of ``present``, ``all-zero``, ``absent from the annotation``, ``filtered out by the provider`` for each marker; ``absent``
    where it has no row and it cannot be told why.
    """
    return [
        ("present" if cells else "all-zero") if columns else _absence(adata, genes[name])
        for (name, columns), cells in zip(rows.items(), n_detected, strict=True)
    ]


def _absence(adata: AnnData, genes: Sequence[str]) -> Literal["absent from the annotation", "filtered out by the provider", "absent"]:
    """Say why genes have no row, as far as the lists of genes of all files agree."""
    lists = set(read_record(adata, "input")["files"].get("gene_list", [UNCLEAR])) if "files" in read_record(adata, "input") else {UNCLEAR}
    if lists == {WHOLE}:
        return "absent from the annotation"
    coding = any(gene in annotation(read_species(adata)).coding for gene in genes)
    return "filtered out by the provider" if lists == {FILTERED} and coding else "absent"


def names_in_file(adata: AnnData, rows: Sequence[int]) -> str:
    """Join the names that the file gives some genes, with commas; the symbols where they are not known."""
    names = adata.var["name_in_file"] if "name_in_file" in adata.var else adata.var_names.to_series()
    return ",".join(str(name) for name in names.iloc[list(rows)])
