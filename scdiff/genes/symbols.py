"""Identify genes: species, symbols, other names in use, orthologs.

The small table ``names.csv`` has the symbols of each gene in human, mouse and rat, and other names
in use (protein names, earlier symbols). The tables of all genes (:mod:`scdiff.genes.table`) are
read only for a name that the small table does not have.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from pathlib import Path

from scdiff.genes.species import SPECIES, Species
from scdiff.genes.table import annotation, fold_symbols

__all__ = ["Lookup", "canonical", "is_stable", "ortholog", "strip_version"]

_FOLDED = str.maketrans("\u03b1\u03b2\u03b3\u03ba", "abgk", "._-")  # alpha, beta, gamma, kappa
_STABLE = re.compile(r"^ENS[A-Z]*G\d{6,}$")
_ENSEMBL = re.compile(r"^(ENS[A-Z]*G\d{6,})\.\d+$")


@cache
def _read_names() -> tuple[dict[str, str], ...]:
    """Read ``names.csv``, one dictionary per gene."""
    with (Path(__file__).parent / "names.csv").open(encoding="utf-8", newline="") as handle:
        return tuple(csv.DictReader(handle))


def _fold(name: str) -> str:
    """Fold what people vary: case, dots, hyphens, spaces, underscores, Greek letters."""
    return "".join(name.lower().translate(_FOLDED).split())


@cache
def _map_aliases(species: str) -> dict[str, str]:
    """Map each folded name to the symbol in ``species``; symbols take priority over other names."""
    known: dict[str, str] = {}
    for row in _read_names():
        for alias in filter(None, row["aliases"].split("|")):
            known.setdefault(_fold(alias), row[species])
    return known | {
        _fold(row[key]): row[species] for row in _read_names() for key in SPECIES if row[key]
    }


@cache
def _map_orthologs(species: Species) -> dict[str, str]:
    """Map each human symbol of ``names.csv`` to the symbol in ``species``."""
    return {row["human"]: row[species] for row in _read_names() if row["human"]}


def ortholog(symbol: str, species: Species = "mouse") -> str:
    """Return the symbol of a human gene in another species.

    It is the human symbol in mouse capitalisation unless ``names.csv`` has another one; empty if
    the species has no such gene.

    >>> ortholog("PDX1"), ortholog("CXCL8"), ortholog("HLA-DRA", "rat")
    ('Pdx1', '', 'RT1-Da')
    """
    return _map_orthologs(species).get(symbol, symbol.capitalize())


def canonical(name: str, species: Species = "human") -> str:
    """Return the approved symbol of an Ensembl id or of a name in use.

    Unknown names, and names that several genes share, are returned unchanged.

    >>> [canonical(name) for name in ("Nkx6.1", "IL-10", "VEGF", "SDF-1", "CD73")]
    ['NKX6-1', 'IL10', 'VEGFA', 'CXCL12', 'NT5E']
    >>> canonical("Nkx6.1", "mouse"), canonical("ENSMUSG00000029644", "mouse")
    ('Nkx6-1', 'Pdx1')
    >>> canonical("FAM64A"), canonical("SEPT2")
    ('PIMREG', 'SEPT2')
    """
    return _find_in_names(name, species) or annotation(species).resolve(name) or name


def _find_in_names(name: str, species: Species) -> str:
    """Return the symbol that ``names.csv`` has for a name.

    Empty if it has no symbol, or if the name is the approved symbol of another gene.
    """
    symbol = _map_aliases(species).get(_fold(name), "")
    return symbol if symbol == name or name not in annotation(species).approved else ""


@lru_cache(maxsize=4)  # the steps of a run look up the same genes many times
def _index_rows(
    symbols: tuple[str, ...], species: Species
) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Map each symbol, and each approved symbol that another name means, to its rows."""
    exact: dict[str, list[int]] = {}
    folded: dict[str, list[int]] = {}
    aliases = _map_aliases(species)
    for index, (symbol, plain) in enumerate(
        zip(symbols, fold_symbols(symbols, _fold), strict=True)
    ):
        exact.setdefault(symbol, []).append(index)
        if (resolved := aliases.get(plain)) and (
            resolved == symbol or symbol not in annotation(species).approved
        ):
            folded.setdefault(resolved, []).append(index)
    return exact, folded


class Lookup:
    """Find genes among the rows of a matrix.

    A gene is found by its symbol; without such a row by another name in use; otherwise by its
    Ensembl id or a former symbol.

    Parameters
    ----------
    symbols
        Gene names of the matrix, shape (n_genes,).
    species
        Species of the approved symbols to find.
    former
        Whether Ensembl ids and former symbols count; this reads the table of all genes.

    >>> rows = Lookup(["Ins1", "Nkx6.1", "Ins2", "Ipf1"], "mouse")
    >>> rows.find(["Ins1", "Ins2"]), rows.find(["Nkx6-1"]), rows.find(["Pdx1"])
    ([0, 2], [1], [3])
    >>> rows.find(["Neurog3"])
    []
    """

    def __init__(self, symbols: Sequence[str], species: Species, *, former: bool = True) -> None:
        self._exact, self._folded = _index_rows(tuple(symbols), species)
        self._species, self._former = species, former

    def find(self, wanted: Iterable[str]) -> list[int]:
        """Return the sorted row numbers of the ``wanted`` symbols; empty if no symbol has a row."""
        rows: set[int] = set()
        for symbol in wanted:
            rows.update(
                self._exact.get(symbol)
                or self._folded.get(symbol)
                or self._find_former_names(symbol)
            )
        return sorted(rows)

    def _find_former_names(self, symbol: str) -> list[int]:
        """List the rows whose name is an Ensembl id or a former symbol of a gene."""
        names = annotation(self._species).written(symbol) if self._former else ()
        return [row for name in names for row in self._exact.get(name, ())]


def is_stable(name: str) -> bool:
    """Check whether a name is an Ensembl id of a gene, without version.

    >>> is_stable("ENSG00000254647"), is_stable("ENSA")
    (True, False)
    """
    return bool(_STABLE.match(name))


def strip_version(identifier: str) -> str:
    """Return an Ensembl id without its version; other names are returned unchanged.

    >>> strip_version("ENSG00000254647.7"), strip_version("INS")
    ('ENSG00000254647', 'INS')
    """
    match = _ENSEMBL.match(identifier) if identifier.startswith("ENS") else None
    return match.group(1) if match else identifier
