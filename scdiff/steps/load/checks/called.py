"""Names of genes: remove genomes, split pasted ids and symbols, find the column of names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from scdiff import genes
from scdiff.errors import InputError
from scdiff.steps.load.table import Table, some

__all__ = ["clean_names", "compute_known_share", "find_gene_names", "refuse_unknown"]

_GENOME = re.compile(
    r"^((?:GRC[hmrz]\d+|hg\d\d|mm\d{1,2}|rn\d|mRatBN\d(?:\.\d)?|Rnor_\d(?:\.\d)?"
    r"|Sscrofa\d+(?:\.\d)?|HUMAN|MOUSE)"
    r"(?:[._\-]?(?:p\d+|pre_?mrna|20\d\d-[A-Z]|\d\.\d\.\d))?)[_\-.:]+(?=\S)",
    re.IGNORECASE,
)
"""A reference before the name of a gene: ``GRCh38_INS``, ``mm10___Ins1``, ``GRCh38-INS`` of
Seurat, ``HUMAN_INS`` of GSE100866."""

_ID = r"ENS[A-Z]{0,4}G\d{11}(?:\.\d+)?"
_MARK = r"[\s._|;:,/\-]+"
_PASTED = re.compile(
    rf"^(?:(?P<before>\S.*?)(?:{_MARK}|\s*\())?(?P<id>{_ID})\)?(?:{_MARK}(?P<after>\S.*))?$"
)
_ENTREZ = re.compile(r"^(?P<before>[^|]+)\|(?P<id>\d+)$|^(?P<number>\d+)\|(?P<after>[^|]+)$")
_SAME_ID = "PAR_Y"
"""What GENCODE writes after the ids of genes on both sex chromosomes; not a symbol."""

_MOST = 0.5
"""Share of the names, 0-1, that must have a genome or a pasted id before the names are split.
Also the share of Ensembl ids that makes a column one of ids. Chosen, not tuned."""

_KNOWN, _HARDLY = 0.1, 0.002
"""Shares of names that are known genes, 0-1. From the first on, a column names the genes. Below
the second, the names are not gene names (simulated genes reach 0.005)."""

_LOOKED_AT = 1_000
"""Number of names sampled. Chosen, not tuned."""


def clean_names(table: Table) -> Table:
    """Remove genomes from gene names and split names that hold symbol and id; note both."""
    return _split_pasted(_remove_genome(table))


def _remove_genome(table: Table) -> Table:
    """Remove genome names from the names of genes; they become the genome of each gene."""
    if not any(map(_GENOME.match, _sample_names(table.symbols))):
        return table
    found = [_GENOME.match(str(name)) for name in table.symbols]
    n_found = sum(map(bool, found))
    known = Counter(match[1] for match in found if match)
    if n_found < _MOST * len(found):
        return table.noted(
            f"{n_found:,} of {len(found):,} genes have the name of a genome ({some(known)}) before "
            "their own: these names were kept."
        )
    genomes = np.array([match[1] if match else "" for match in found], dtype=object)
    has_genomes = table.genomes is not None and len(set(table.genomes) - {""}) > 1
    return replace(
        table,
        symbols=_remove_prefix(table.symbols),
        gene_ids=_remove_prefix(table.gene_ids),
        genomes=table.genomes if has_genomes else genomes,
    ).repaired(
        f"The name of the genome ({some(known)}) was removed from the names of {n_found:,} genes."
    )


def _remove_prefix(names: np.ndarray) -> np.ndarray:
    """Remove genomes and versions from names."""
    return np.array(
        [genes.strip_version(_GENOME.sub("", str(name))) for name in names], dtype=object
    )


def _sample_names(names: Sequence[str] | np.ndarray, most: int = _LOOKED_AT) -> list[str]:
    """Sample names at equal distances; return all if there are few."""
    return [str(name) for name in names[:: max(1, len(names) // most)]] if len(names) else []


def _split_pasted(table: Table) -> Table:
    """Split names into symbol and id if most names hold both."""
    pairs = [_split_name(name) for name in _sample_names(table.symbols)]
    if sum(pair is not None for pair in pairs) < _MOST * max(1, len(pairs)):
        return table
    every = [_split_name(str(name)) for name in table.symbols]
    symbols = np.array(
        [pair[0] if pair else name for pair, name in zip(every, table.symbols, strict=True)],
        dtype=object,
    )
    ids = np.array(
        [pair[1] if pair else name for pair, name in zip(every, table.gene_ids, strict=True)],
        dtype=object,
    )
    n_pasted = sum(pair is not None for pair in every)
    example = next(
        f"{name} is {pair[0]}" for name, pair in zip(table.symbols, every, strict=True) if pair
    )
    return replace(table, symbols=symbols, gene_ids=ids).repaired(
        f"The names of {n_pasted:,} genes held symbol and id, and were split ({example})."
    )


def _split_name(name: str) -> tuple[str, str] | None:
    """Split a name that holds symbol and id; return None for any other name.

    >>> _split_name("INS.ENSG00000254647"), _split_name("ENSG00000254647.7_INS")
    (('INS', 'ENSG00000254647'), ('INS', 'ENSG00000254647'))
    >>> _split_name("INS"), _split_name("ENSG00000182378.15_PAR_Y")
    (None, None)
    """
    found = _PASTED.match(name) or _ENTREZ.match(name)
    if found is None:
        return None
    parts = found.groupdict()
    symbol = parts["before"] or parts["after"] or ""
    if not symbol or (parts["before"] and parts["after"]) or symbol == _SAME_ID:
        return None
    return symbol.strip(), genes.strip_version(parts["id"] or parts.get("number") or "")


def compute_known_share(names: Sequence[str] | np.ndarray, most: int = _LOOKED_AT) -> float:
    """Compute the share of names that are genes of the one species that has most of them, 0-1.

    Symbols, former symbols and Ensembl ids count. About ``most`` names are sampled.

    >>> compute_known_share(["INS", "mm10___Ins1", "PDX1.ENSG00000139515", "17"])
    0.5
    """
    listed = [_GENOME.sub("", name) for name in _sample_names(names, most)]
    listed = [(_split_name(name) or (name, ""))[0] for name in listed]
    if not listed:
        return 0.0
    return max(_compute_share_of(listed, species) for species in genes.SPECIES)


def _compute_share_of(names: Sequence[str], species: genes.Species) -> float:
    """Compute the share of names that are genes of one species, 0-1."""
    resolve = genes.annotation(species).resolve
    known = [
        genes.is_stable(genes.strip_version(name)) or (len(name) > 1 and bool(resolve(name)))
        for name in names
    ]
    return sum(known) / len(names)


def find_gene_names(
    index: np.ndarray, columns: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray, str] | None:
    """Find the columns that name the genes if the index of the gene table does not.

    Returns
    -------
    Symbols, ids and a sentence for the record; None if the index names the genes, or no column
    does.
    """
    share_of_index = compute_known_share(index) if columns else 1.0
    if share_of_index >= _KNOWN:
        return None
    texts = {name: _as_texts(column) for name, column in columns.items()}
    shares = {
        name: compute_known_share(values)
        for name, values in texts.items()
        if len(set(values)) > len(values) / 2
    }
    stable = {name: _compute_stable_share(texts[name]) for name in shares}
    symbols = [
        name
        for name, share in shares.items()
        if share >= max(_KNOWN, 2 * share_of_index) and stable[name] < _MOST
    ]
    ids = [name for name in shares if stable[name] >= _MOST]
    if not symbols and not ids:
        return None
    symbol, stable_id = (
        max(found, key=lambda name: shares[name]) if found else "" for found in (symbols, ids)
    )
    sentence = (
        f"Genes were named by column {symbol or stable_id!r}: hardly any name of the index is a "
        f"gene ({some(index)})."
    )
    return texts[symbol or stable_id], texts[stable_id or symbol], sentence


def _as_texts(column: Any) -> np.ndarray:
    """Return names as stripped str; a missing name becomes empty."""
    import pandas as pd

    values = np.asarray(column, dtype=object)
    return np.array(
        [
            "" if gone else str(value).strip()
            for value, gone in zip(values, pd.isna(values), strict=True)
        ],
        dtype=object,
    )


def _compute_stable_share(names: Iterable[str]) -> float:
    """Compute the share of sampled names that are Ensembl ids, 0-1."""
    listed = _sample_names(list(names))
    stable = [genes.is_stable(genes.strip_version(_GENOME.sub("", name))) for name in listed]
    return sum(stable) / max(1, len(listed))


def refuse_unknown(path: Path, table: Table, species: str) -> Table:
    """Raise an error if hardly any gene has a name of human, mouse or rat.

    If the species is given, note it instead. :func:`scdiff.steps.load.join.detect_species_of_parts`
    reports genes of another species that scdiff can name.

    Raises
    ------
    InputError
        With some of the names.
    """
    if (
        compute_known_share(table.symbols) >= _HARDLY
        or compute_known_share(table.symbols, len(table.symbols)) >= _HARDLY
    ):
        return table
    unknown = (
        f"hardly any of the {len(table.symbols):,} genes has a name of human, mouse or rat "
        f"({some(table.symbols, 5)})"
    )
    if species != "auto":
        return table.noted(f"H{unknown[1:]}: markers are searched by these names.")
    if genes.foreign_species(table.symbols, table.gene_ids):
        return table
    raise InputError(
        f"{path}: {unknown}. Name genes by symbol or Ensembl id; if another column has these "
        "names, make it the index. To continue with the present names, give the option species."
    )
