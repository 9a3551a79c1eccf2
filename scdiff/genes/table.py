"""Read the tables of genes in the package: Ensembl id, approved symbol, other names, coding or not.

``human.csv.gz``, ``mouse.csv.gz`` and ``rat.csv.gz`` are read when a name is first looked up, never
on import.
``SOURCES.md`` in the same folder states where the facts come from.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import accumulate, chain, repeat
from pathlib import Path

from scdiff.genes.species import Species

__all__ = ["COLUMNS", "Annotation", "annotation", "fold_symbol", "fold_symbols"]

COLUMNS = ("step", "symbol", "names", "kind")
"""Columns of the tables.

- ``step``: number of the Ensembl id minus that of the line above
- ``symbol``: approved symbol
- ``names``: other names, separated by ``|``
- ``kind``: coding, or empty
"""

_STABLE = {"human": "ENSG{:011d}", "mouse": "ENSMUSG{:011d}", "rat": "ENSRNOG{:011d}"}
_GREEK = str.maketrans("\u03b1\u03b2\u03b3\u03ba", "abgk")  # alpha, beta, gamma, kappa
_MISSING = frozenset({"NAN", "NULL", "NONE", "TRUE", "FALSE"})
"""Names, in capitals, that programs write for a missing value or a truth value."""

_SHORTEST = 3
"""Number of characters of the shortest name that can be a former symbol. Chosen, not tuned: labels
of groups have one or two characters."""


def fold_symbol(name: str) -> str:
    """Fold what programs change in a symbol: case, and which separator is used.

    The position of a separator is kept.

    >>> fold_symbol("HLA.DRA") == fold_symbol("HLA-DRA")
    True
    >>> fold_symbol("Ighv1-12") == fold_symbol("Ighv11-2")
    False
    """
    return _unify_separators(name.lower())


def fold_symbols(names: Sequence[str], fold: Callable[[str], str] = fold_symbol) -> list[str]:
    """Fold many names as one text, in a tenth of the time of folding them one by one.

    >>> fold_symbols(["HLA.DRA", "INS"])
    ['hla-dra', 'ins']
    """
    found = fold("\0".join(names)).split("\0")
    return found if len(found) == len(names) else list(map(fold, names))


def _unify_separators(name: str) -> str:
    """Replace all separators by a hyphen, and Greek letters by Latin ones."""
    plain = name if name.isascii() else name.translate(_GREEK)
    return plain.replace(".", "-").replace("_", "-").replace(" ", "-")


@dataclass(frozen=True)
class Annotation:
    """Known genes of a species.

    Parameters
    ----------
    symbols
        Ensembl id -> approved symbol; a few symbols have two ids.
    names
        Approved symbol -> previous symbols and aliases that mean no other gene, separated by ``|``.
        Genes without such names are missing.
    shared
        Folded names that several genes share and that are not an approved symbol.
    coding
        Approved symbols of the protein-coding genes.
    """

    symbols: Mapping[str, str]
    names: Mapping[str, str]
    shared: frozenset[str]
    coding: frozenset[str]

    @cached_property
    def approved(self) -> frozenset[str]:
        """Return all approved symbols."""
        return frozenset(self.symbols.values())

    @cached_property
    def silent(self) -> frozenset[str]:
        """Return the coding genes of olfactory receptors.

        Hardly any cell outside the nose expresses them.
        """
        return frozenset(
            symbol for symbol in self.coding if symbol[:2].upper() == "OR" and symbol[2:3].isdigit()
        )

    @cached_property
    def _symbol_of_name(self) -> dict[str, str]:
        """Map each folded name to the symbol that it means."""
        approved, others = list(self.approved), list(self.names.values())
        owners = chain.from_iterable(
            map(repeat, self.names, (names.count("|") + 1 for names in others))
        )
        known = (
            dict(zip(fold_symbol("|".join(others)).split("|"), owners, strict=True))
            if others
            else {}
        )
        return known | dict(zip(fold_symbols(approved), approved, strict=True))

    @cached_property
    def _ids_of_symbol(self) -> dict[str, str]:
        """Map each approved symbol to its Ensembl ids, separated by ``|``."""
        found: dict[str, str] = {}
        for stable, symbol in self.symbols.items():
            found[symbol] = f"{found[symbol]}|{stable}" if symbol in found else stable
        return found

    def resolve(self, name: str) -> str:
        """Return the approved symbol of an Ensembl id, or of a name that means one gene.

        Empty for any other name. An approved symbol always means its own gene, even if it is also
        another name of a different gene.
        """
        if name in self.approved:
            return name
        return self.symbols.get(name) or self._symbol_of_name.get(fold_symbol(name), "")

    def row_names(self, names: Sequence[str]) -> list[str]:
        """Return the approved symbols of the rows of a matrix; empty for an uncertain name.

        A name must have the spelling of the table, except for separators, or be in capitals if the
        symbol is. A name of the other species, a missing value or a label of one or two letters is
        not a former symbol.
        """
        found = []
        for name, fold in zip(names, fold_symbols(names), strict=True):
            is_known = name in self.symbols or fold in self._symbol_of_name
            found.append(self._check_spelling(name, self.resolve(name)) if is_known else "")
        return found

    def _check_spelling(self, name: str, symbol: str) -> str:
        """Return the symbol that a name means if its spelling is correct, otherwise empty."""
        if not symbol or symbol == name or len(name) < _SHORTEST or name.upper() in _MISSING:
            return symbol if symbol == name else ""
        spellings = [_unify_separators(other) for other in (*self.written(symbol), symbol)]
        capitals = [other.upper() for other in spellings] if _is_upper(symbol) else []
        return symbol if _unify_separators(name) in (*spellings, *capitals) else ""

    def of_several(self, names: Sequence[str]) -> list[str]:
        """Return the names that several genes share, so that their meaning is unclear."""
        return [
            name
            for name, fold in zip(names, fold_symbols(names), strict=True)
            if fold in self.shared
        ]

    def written(self, symbol: str) -> tuple[str, ...]:
        """List the names of a gene other than its approved symbol.

        These are its Ensembl ids, then the names that mean no other gene.
        """
        return tuple(
            filter(
                None,
                f"{self._ids_of_symbol.get(symbol, '')}|{self.names.get(symbol, '')}".split("|"),
            )
        )


def _is_upper(symbol: str) -> bool:
    """Check whether a symbol is human: in capitals, except ``orf`` of an open reading frame.

    >>> _is_upper("PDX1"), _is_upper("C1orf43"), _is_upper("Pdx1")
    (True, True, False)
    """
    return symbol.replace("orf", "").isupper()


@cache
def annotation(species: Species) -> Annotation:
    """Read the table of a species; it is read only once.

    >>> annotation("human").symbols["ENSG00000139515"]
    'PDX1'
    """
    text = gzip.decompress((Path(__file__).parent / f"{species}.csv.gz").read_bytes()).decode()
    # one list, because many small lists keep the garbage collector busy
    fields = text.strip().partition("\n")[2].replace("\n", ",").split(",")
    steps, symbols, names, kinds = (
        fields[column : -len(COLUMNS) : len(COLUMNS)] for column in range(len(COLUMNS))
    )
    stable = map(_STABLE[species].format, accumulate(map(int, steps)))
    return Annotation(
        symbols=dict(zip(stable, symbols, strict=True)),
        names={symbol: others for symbol, others in zip(symbols, names, strict=True) if others},
        shared=frozenset(fields[-2].split("|")),
        coding=frozenset(symbol for symbol, kind in zip(symbols, kinds, strict=True) if kind),
    )
