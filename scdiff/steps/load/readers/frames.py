"""From the tables of cells and genes of an AnnData to a table with named genes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.compute.blocks import is_lazy
from scdiff.steps.load.checks.called import find_gene_names
from scdiff.steps.load.checks.features import fill_names, looks_stable
from scdiff.steps.load.readers.lists import name_cells
from scdiff.steps.load.readers.values import as_csr
from scdiff.steps.load.table import Table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["IDS", "SYMBOLS", "build_table", "name_genes", "pick_first"]

SYMBOLS = (
    "gene_symbols",
    "gene_symbol",
    "symbol",
    "symbols",
    "feature_name",
    "gene_name",
    "gene_names",
    "gene",
    "hgnc_symbol",
)
"""Columns that hold symbols, the first that is present; casefolded."""

IDS = (
    "gene_id",
    "gene_ids",
    "ensembl_id",
    "ensembl_ids",
    "ensembl",
    "ensembl_gene_id",
    "feature_id",
    "accession",
)
"""Columns that hold stable identifiers, the first that is present; casefolded."""

_KINDS = ("feature_types", "feature_type", "modality", "feature_biotype")
"""Columns that hold feature types, the first that is present; casefolded."""


def build_table(values: Any, obs: pd.DataFrame, var: pd.DataFrame, name: str) -> Table:
    """Build the table of one matrix from its values and its tables of cells and genes."""
    columns = {str(column).casefold(): var[column] for column in reversed(var.columns)}
    index = np.array([str(gene) for gene in var.index], dtype=object)
    symbols, gene_ids, sentence = name_genes(index, columns)
    kinds, genomes = pick_first(_KINDS, columns), None
    if "genome" in columns:
        genomes = np.asarray(columns["genome"].astype(str).astype(object))
    table = Table(
        entries=values if is_lazy(values) else as_csr(values),
        barcodes=name_cells(obs),
        symbols=symbols,
        gene_ids=gene_ids,
        obs=obs,
        kinds=None if kinds is None else np.asarray(columns[kinds].astype(object)),
        genomes=genomes,
        matrix=name,
    )
    return table.repaired(sentence) if sentence else table


def name_genes(index: np.ndarray, columns: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, str]:
    """Find symbols and identifiers in the index and the casefolded columns of the table of genes.

    Returns
    -------
    Symbols and identifiers, str, shape (n_genes,) each; and a sentence for the record, empty if
    nothing is worth a note.
    """
    if (found := find_gene_names(index, columns)) is not None:
        return *fill_names(*found[:2]), found[2]
    symbol_column = pick_first(SYMBOLS, columns)
    if symbol_column is not None and looks_stable(index):
        return *fill_names(np.asarray(columns[symbol_column], dtype=object), index), ""
    id_column = pick_first(IDS, columns)
    ids = index if id_column is None else np.asarray(columns[id_column], dtype=object)
    return *fill_names(index, ids), ""


def pick_first(wanted: Iterable[str], columns: Iterable[str]) -> str | None:
    """Return the first of the wanted names that is a column; None if no name is."""
    present = set(columns)
    return next((name for name in wanted if name in present), None)
