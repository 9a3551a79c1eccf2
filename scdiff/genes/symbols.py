"""Gene identity: species, symbols, the names people write, orthologs.

The small table ``names.csv`` holds, per gene, the human and the mouse symbol and every other
name in use (protein names, earlier symbols). Behind it stand the tables of all genes (:mod:`scdiff.genes.table`),
which are read only when a name is asked for that the small one does not have.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

from scdiff.genes.species import foreign_species
from scdiff.genes.table import Annotation, annotation, fold_symbols

__all__ = [
    "Annotation",
    "Lookup",
    "annotation",
    "canonical",
    "detect_species",
    "foreign_species",
    "is_stable",
    "ortholog",
    "strip_version",
]

_SAMPLE = 5_000
_FOLDED = str.maketrans("\u03b1\u03b2\u03b3\u03ba", "abgk", "._-")  # alpha, beta, gamma, kappa
_LOWER = re.compile(r"^[A-Z][a-z0-9.\-]*[a-z][a-z0-9.\-]*$")
_STABLE = re.compile(r"^ENS[A-Z]*G\d{6,}$")
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
    return known | {
        _plain(row[key]): row[species] for row in _table() for key in ("human", "mouse") if row[key]
    }


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
    """Approved symbol for an Ensembl id or a name as people write it.

    Names that are not known, and those that several genes go by, are returned unchanged.

    >>> [canonical(name) for name in ("Nkx6.1", "IL-10", "VEGF", "SDF-1", "CD73")]
    ['NKX6-1', 'IL10', 'VEGFA', 'CXCL12', 'NT5E']
    >>> canonical("Nkx6.1", "mouse"), canonical("ENSMUSG00000029644", "mouse")
    ('Nkx6-1', 'Pdx1')
    >>> canonical("FAM64A"), canonical("SEPT2")
    ('PIMREG', 'SEPT2')
    """
    return _by_hand(name, species) or annotation(species).resolve(name) or name


def _by_hand(name: str, species: Literal["human", "mouse"]) -> str:
    """Symbol that the small table gives a name; empty where it has none, or where the name is another gene's symbol."""
    symbol = _aliases(species).get(_plain(name), "")
    return symbol if symbol == name or name not in annotation(species).approved else ""


def detect_species(names: Iterable[str]) -> Literal["human", "mouse"] | None:
    """Tell the species from gene symbols or Ensembl ids; None where neither style prevails.

    >>> detect_species(["COL1A1", "INS", "PDX1"]), detect_species(["Col1a1", "Ins1"]), detect_species(["1", "2"])
    ('human', 'mouse', None)
    """
    sample = [name for name, _ in zip(names, range(_SAMPLE), strict=False)]
    mouse = sum(name.startswith("ENSMUSG") or bool(_LOWER.match(name)) for name in sample)
    human = sum(
        name.startswith("ENSG0") or (name.isupper() and not name.startswith("ENS"))
        for name in sample
    )
    if max(mouse, human) == 0:
        return None
    return "mouse" if mouse > human else "human"


@lru_cache(maxsize=4)  # the steps of a run ask for the same genes again and again
def _rows(
    symbols: tuple[str, ...], species: Literal["human", "mouse"]
) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Rows of each symbol as it stands, and of each approved symbol that another name stands for."""
    exact: dict[str, list[int]] = {}
    folded: dict[str, list[int]] = {}
    aliases = _aliases(species)
    for index, (symbol, plain) in enumerate(
        zip(symbols, fold_symbols(symbols, _plain), strict=True)
    ):
        exact.setdefault(symbol, []).append(index)
        if (resolved := aliases.get(plain)) and (
            resolved == symbol or symbol not in annotation(species).approved
        ):
            folded.setdefault(resolved, []).append(index)
    return exact, folded


class Lookup:
    """Find genes among the rows of a matrix, by symbol first, then by the other names in use, then by Ensembl id or former symbol.

    Parameters
    ----------
    symbols
        Gene names of the matrix, shape (n_genes,).
    species
        Whose approved symbols are asked for.
    former
        Whether Ensembl ids and former symbols count, which takes the table of all genes.

    >>> rows = Lookup(["Ins1", "Nkx6.1", "Ins2", "Ipf1"], "mouse")
    >>> rows.find(["Ins1", "Ins2"]), rows.find(["Nkx6-1"]), rows.find(["Pdx1"]), rows.find(["Neurog3"])
    ([0, 2], [1], [3], [])
    """

    def __init__(
        self, symbols: Sequence[str], species: Literal["human", "mouse"], *, former: bool = True
    ) -> None:
        self._exact, self._folded = _rows(tuple(symbols), species)
        self._species, self._former = species, former

    def find(self, wanted: Iterable[str]) -> list[int]:
        """Sorted row numbers of the ``wanted`` symbols; empty where none has a row."""
        rows = {
            row
            for symbol in wanted
            for row in (
                self._exact.get(symbol) or self._folded.get(symbol) or self._formerly(symbol)
            )
        }
        return sorted(rows)

    def _formerly(self, symbol: str) -> list[int]:
        """Rows that go by an Ensembl id or a former symbol of a gene."""
        written = annotation(self._species).written(symbol) if self._former else ()
        return [row for name in written for row in self._exact.get(name, ())]


def is_stable(name: str) -> bool:
    """Tell whether a name is an Ensembl id of a gene, without version.

    >>> is_stable("ENSG00000254647"), is_stable("ENSA")
    (True, False)
    """
    return bool(_STABLE.match(name))


def strip_version(identifier: str) -> str:
    """Cut the version off an Ensembl id.

    >>> strip_version("ENSG00000254647.7"), strip_version("INS")
    ('ENSG00000254647', 'INS')
    """
    match = _ENSEMBL.match(identifier) if identifier.startswith("ENS") else None
    return match.group(1) if match else identifier
