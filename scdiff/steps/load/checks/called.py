"""What the genes are called: the genome cut off their names, ids and symbols taken apart, the column that names them found."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from scdiff import genes
from scdiff.errors import InputError
from scdiff.steps.load.table import Table, some

__all__ = ["best_names", "clean_names", "compute_known_share", "refuse_unknown"]

_GENOME = re.compile(
    r"^((?:GRC[hmrz]\d+|hg\d\d|mm\d{1,2}|rn\d|mRatBN\d(?:\.\d)?|Rnor_\d(?:\.\d)?|Sscrofa\d+(?:\.\d)?|HUMAN|MOUSE)"
    r"(?:[._\-]?(?:p\d+|pre_?mrna|20\d\d-[A-Z]|\d\.\d\.\d))?)[_\-.:]+(?=\S)",
    re.IGNORECASE,
)
"""A reference before the name of a gene: ``GRCh38_INS``, ``mm10___Ins1``, ``GRCh38-INS`` of Seurat, ``HUMAN_INS`` of GSE100866."""

_ID = r"ENS[A-Z]{0,4}G\d{11}(?:\.\d+)?"
_MARK = r"[\s._|;:,/\-]+"
_PASTED = re.compile(rf"^(?:(?P<before>\S.*?)(?:{_MARK}|\s*\())?(?P<id>{_ID})\)?(?:{_MARK}(?P<after>\S.*))?$")
_ENTREZ = re.compile(r"^(?P<before>[^|]+)\|(?P<id>\d+)$|^(?P<number>\d+)\|(?P<after>[^|]+)$")
_SAME_ID = "PAR_Y"
"""What GENCODE writes after the ids of genes on both sex chromosomes; no symbol."""

_MOST = 0.5
"""Share of the names that must be pasted, or carry a genome, to be taken apart."""

_KNOWN, _HARDLY = 0.1, 0.002
"""Share of names that are genes: from the first on a column names them, under the second hardly any is (simulated genes: 0.005)."""

_LOOKED_AT = 1_000


def clean_names(table: Table) -> Table:
    """Cut genomes off the names of genes, and take apart symbols and ids that were pasted into one name; say so."""
    return _taken_apart(_without_genome(table))


def _without_genome(table: Table) -> Table:
    """Cut off the names of genomes, which tell the genes of each."""
    found = [_GENOME.match(str(name)) for name in table.symbols] if any(map(_GENOME.match, _some(table.symbols))) else []
    n_found = sum(map(bool, found))
    if not n_found:
        return table
    known = Counter(match[1] for match in found if match)
    if n_found < _MOST * len(found):
        return table.noted(f"{n_found:,} of {len(found):,} genes carry the name of a genome ({some(known)}) before theirs: they stay so.")
    told = np.array([match[1] if match else "" for match in found], dtype=object)
    has_genomes = table.genomes is not None and len(set(table.genomes) - {""}) > 1
    return replace(
        table,
        symbols=_cut(table.symbols),
        gene_ids=_cut(table.gene_ids),
        genomes=table.genomes if has_genomes else told,
    ).repaired(f"The name of the genome ({some(known)}) was cut off the names of {n_found:,} genes.")


def _cut(names: np.ndarray) -> np.ndarray:
    return np.array([genes.strip_version(_GENOME.sub("", str(name))) for name in names], dtype=object)


def _some(names: Sequence[str] | np.ndarray, most: int = _LOOKED_AT) -> list[str]:
    """Names at even distances; all where they are few."""
    return [str(name) for name in names[:: max(1, len(names) // most)]] if len(names) else []


def _taken_apart(table: Table) -> Table:
    """Take symbols and ids apart where most names hold both."""
    pairs = [_pair(name) for name in _some(table.symbols)]
    if sum(pair is not None for pair in pairs) < _MOST * max(1, len(pairs)):
        return table
    every = [_pair(str(name)) for name in table.symbols]
    symbols = np.array([pair[0] if pair else name for pair, name in zip(every, table.symbols, strict=True)], dtype=object)
    ids = np.array([pair[1] if pair else name for pair, name in zip(every, table.gene_ids, strict=True)], dtype=object)
    n_pasted = sum(pair is not None for pair in every)
    example = next(f"{name} is {pair[0]}" for name, pair in zip(table.symbols, every, strict=True) if pair)
    return replace(table, symbols=symbols, gene_ids=ids).repaired(
        f"The names of {n_pasted:,} genes held symbol and id, and were taken apart ({example})."
    )


def _pair(name: str) -> tuple[str, str] | None:
    """Symbol and id of a name that holds both; None for any other.

    >>> _pair("INS.ENSG00000254647"), _pair("ENSG00000254647.7_INS"), _pair("INS"), _pair("ENSG00000182378.15_PAR_Y")
    (('INS', 'ENSG00000254647'), ('INS', 'ENSG00000254647'), None, None)
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
    """Share of names that are genes of human, or of mouse if that is more, by symbol, former symbol or Ensembl id, 0-1.

    At most about ``most`` names are looked up.

    >>> compute_known_share(["INS", "mm10___Ins1", "PDX1.ENSG00000139515", "17"])
    0.5
    """
    listed = [_GENOME.sub("", name) for name in _some(names, most)]
    listed = [(_pair(name) or (name, ""))[0] for name in listed]
    return max((_known(listed, species) for species in ("human", "mouse")), default=0.0) if listed else 0.0


def _known(names: Sequence[str], species: Literal["human", "mouse"]) -> float:
    resolve = genes.annotation(species).resolve
    return sum(genes.is_stable(genes.strip_version(name)) or (len(name) > 1 and bool(resolve(name))) for name in names) / len(names)


def best_names(index: np.ndarray, columns: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, str] | None:
    """Find the columns beside an index of unknown names that name the genes; None where the index names them, or nothing does.

    Returns
    -------
    Symbols, ids, and the sentence that says where they stood.
    """
    share_of_index = compute_known_share(index) if columns else 1.0
    if share_of_index >= _KNOWN:
        return None
    texts = {name: _texts(column) for name, column in columns.items()}
    shares = {name: compute_known_share(values) for name, values in texts.items() if len(set(values)) > len(values) / 2}
    stable = {name: _stable_share(texts[name]) for name in shares}
    symbols = [name for name, share in shares.items() if share >= max(_KNOWN, 2 * share_of_index) and stable[name] < _MOST]
    ids = [name for name in shares if stable[name] >= _MOST]
    if not symbols and not ids:
        return None
    symbol, stable_id = (max(found, key=lambda name: shares[name]) if found else "" for found in (symbols, ids))
    told = f"Genes were named by column {symbol or stable_id!r}: hardly any name of the index is a gene ({some(index)})."
    return texts[symbol or stable_id], texts[stable_id or symbol], told


def _texts(column: Any) -> np.ndarray:
    """Names as stripped str; empty for a missing one."""
    import pandas as pd

    values = np.asarray(column, dtype=object)
    return np.array(["" if gone else str(value).strip() for value, gone in zip(values, pd.isna(values), strict=True)], dtype=object)


def _stable_share(names: Iterable[str]) -> float:
    listed = _some(list(names))
    return sum(genes.is_stable(genes.strip_version(_GENOME.sub("", name))) for name in listed) / max(1, len(listed))


def refuse_unknown(path: Path, table: Table, species: str) -> Table:
    """Refuse genes that are called like none of human or mouse; where the species was given, say so.

    Genes of a species that can be named are left to what names it, :func:`scdiff.steps.load.join.detect_species_of_parts`.

    Raises
    ------
    InputError
        Showing what they are called.
    """
    if compute_known_share(table.symbols) >= _HARDLY or compute_known_share(table.symbols, len(table.symbols)) >= _HARDLY:
        return table
    told = f"hardly any of the {len(table.symbols):,} genes is called like a gene of human or mouse ({some(table.symbols, 5)})"
    if species != "auto":
        return table.noted(f"{told[0].upper()}{told[1:]}: markers are sought by these names.")
    if genes.foreign_species(table.symbols, table.gene_ids):
        return table
    raise InputError(
        f"{path}: {told}: name them by symbol or Ensembl id, where they stand in another column make it the index; "
        "or give the option species to go on with these names."
    )
