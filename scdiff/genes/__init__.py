"""Gene identity: species, symbols, the names people write, orthologs.

The small table ``names.csv`` holds, per gene, the human and the mouse symbol and every other
name in use (protein names, earlier symbols); rows are facts of HGNC and MGI.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

__all__ = ["Lookup", "canonical", "detect_species", "ortholog"]

_SAMPLE = 5_000
_FOLDED = str.maketrans("\u03b1\u03b2\u03b3\u03ba", "abgk", "._-")  # alpha, beta, gamma, kappa
_LOWER = re.compile(r"^[A-Z][a-z0-9.\-]*[a-z][a-z0-9.\-]*$")
_ENSEMBL = re.compile(r"^(ENS[A-Z]*G\d{6,})\.\d+$")


@cache
def _table() -> tuple[dict[str, str], ...]:
    with (Path(__file__).parent / "names.csv").open(encoding="utf-8", newline="") as handle:
        return tuple(csv.DictReader(handle))


def _plain(name: str) -> str:
    """Fold what people vary: case, dots, hyphens, blanks, underscores, Greek letters."""
    return "".join(name.lower().translate(_FOLDED).split())


@cache
def _aliases(species: str) -> dict[str, str]:
    """Folded name -> symbol in ``species``; symbols win over other names."""
    known: dict[str, str] = {}
    for row in _table():
        for alias in filter(None, row["aliases"].split("|")):
            known.setdefault(_plain(alias), row[species])
    return known | {_plain(row[key]): row[species] for row in _table() for key in ("human", "mouse") if row[key]}


@cache
def _orthologs() -> dict[str, str]:
    return {row["human"]: row["mouse"] for row in _table() if row["human"]}


def ortholog(symbol: str) -> str:
    """Mouse symbol of a human gene; by capitalisation where the table has no exception.

    >>> ortholog("PDX1"), ortholog("CXCL8")
    ('Pdx1', '')
    """
    return _orthologs().get(symbol, symbol.capitalize())


def canonical(name: str, species: Literal["human", "mouse"] = "human") -> str:
    """Approved symbol for a name as people write it; unknown names are returned unchanged.

    >>> [canonical(name) for name in ("Nkx6.1", "IL-10", "VEGF", "SDF-1", "CD73")]
    ['NKX6-1', 'IL10', 'VEGFA', 'CXCL12', 'NT5E']
    >>> canonical("Nkx6.1", "mouse")
    'Nkx6-1'
    """
    return _aliases(species).get(_plain(name)) or name


def detect_species(names: Iterable[str]) -> Literal["human", "mouse"] | None:
    """Tell the species from gene symbols or Ensembl ids; None where neither style prevails.

    >>> detect_species(["COL1A1", "INS", "PDX1"]), detect_species(["Col1a1", "Ins1"]), detect_species(["1", "2"])
    ('human', 'mouse', None)
    """
    sample = [name for name, _ in zip(names, range(_SAMPLE), strict=False)]
    mouse = sum(name.startswith("ENSMUSG") or bool(_LOWER.match(name)) for name in sample)
    human = sum(name.startswith("ENSG0") or (name.isupper() and not name.startswith("ENS")) for name in sample)
    if max(mouse, human) == 0:
        return None
    return "mouse" if mouse > human else "human"


@lru_cache(maxsize=4)  # the steps of a run ask for the same genes again and again
def _rows(symbols: tuple[str, ...], species: str) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Rows of each symbol as it stands, and of each approved symbol that another name stands for."""
    exact: dict[str, list[int]] = {}
    folded: dict[str, list[int]] = {}
    aliases = _aliases(species)
    for index, symbol in enumerate(symbols):
        exact.setdefault(symbol, []).append(index)
        if resolved := aliases.get(_plain(symbol)):
            folded.setdefault(resolved, []).append(index)
    return exact, folded


class Lookup:
    """Find genes among the rows of a matrix, by symbol first, then by the other names in use.

    Parameters
    ----------
    symbols
        Gene names of the matrix, shape (n_genes,).
    species
        Whose approved symbols are asked for.

    >>> rows = Lookup(["Ins1", "Nkx6.1", "Ins2"], "mouse")
    >>> rows.find(["Ins1", "Ins2"]), rows.find(["Nkx6-1"]), rows.find(["Pdx1"])
    ([0, 2], [1], [])
    """

    def __init__(self, symbols: Sequence[str], species: Literal["human", "mouse"]) -> None:
        self._exact, self._folded = _rows(tuple(symbols), species)

    def find(self, wanted: Iterable[str]) -> list[int]:
        """Sorted row numbers of the ``wanted`` symbols; empty where none has a row."""
        rows = {row for symbol in wanted for row in (self._exact.get(symbol) or self._folded.get(symbol) or ())}
        return sorted(rows)


def strip_version(identifier: str) -> str:
    """Cut the version off an Ensembl id.

    >>> strip_version("ENSG00000254647.7"), strip_version("INS")
    ('ENSG00000254647', 'INS')
    """
    match = _ENSEMBL.match(identifier)
    return match.group(1) if match else identifier
