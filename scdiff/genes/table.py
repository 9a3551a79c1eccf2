"""The tables of genes that ship with the package: Ensembl id, approved symbol, every other name, whether it is a coding gene.

``human.csv.gz`` and ``mouse.csv.gz`` are read when a name is first asked for, never on import. ``SOURCES.md`` beside them
says where the facts come from.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import accumulate, chain, repeat
from pathlib import Path
from typing import Literal

__all__ = ["COLUMNS", "Annotation", "annotation", "fold_symbol", "fold_symbols"]

COLUMNS = ("step", "symbol", "names", "kind")
"""``step``: number of the Ensembl id less that of the line above; ``names``: other names with bars between; ``kind``: coding or empty."""

_STABLE = {"human": "ENSG{:011d}", "mouse": "ENSMUSG{:011d}"}
_GREEK = str.maketrans("\u03b1\u03b2\u03b3\u03ba", "abgk")  # alpha, beta, gamma, kappa
_MISSING = frozenset({"NAN", "NULL", "NONE", "TRUE", "FALSE"})
_SHORTEST = 3


def fold_symbol(name: str) -> str:
    """Fold what programs change in a symbol: case, and which mark stands in a place; the place itself counts.

    >>> fold_symbol("HLA.DRA") == fold_symbol("HLA-DRA"), fold_symbol("Ighv1-12") == fold_symbol("Ighv11-2")
    (True, False)
    """
    return _marked(name.lower())


def fold_symbols(names: Sequence[str], fold: Callable[[str], str] = fold_symbol) -> list[str]:
    """Fold many names as one text, which takes a tenth of the time of one by one.

    >>> fold_symbols(["HLA.DRA", "INS"])
    ['hla-dra', 'ins']
    """
    found = fold("\0".join(names)).split("\0")
    return found if len(found) == len(names) else list(map(fold, names))


def _marked(name: str) -> str:
    """Write all marks alike."""
    plain = name if name.isascii() else name.translate(_GREEK)
    return plain.replace(".", "-").replace("_", "-").replace(" ", "-")


@dataclass(frozen=True)
class Annotation:
    """The known genes of a species.

    Parameters
    ----------
    symbols
        Ensembl id -> approved symbol; a few symbols have two ids.
    names
        Approved symbol -> previous symbols and aliases that mean no other gene, with bars between; genes without any left out.
    shared
        Folded names that several genes go by, none of them as its approved symbol.
    coding
        Approved symbols of the protein-coding genes.
    """

    symbols: Mapping[str, str]
    names: Mapping[str, str]
    shared: frozenset[str]
    coding: frozenset[str]

    @cached_property
    def approved(self) -> frozenset[str]:
        """All approved symbols."""
        return frozenset(self.symbols.values())

    @cached_property
    def silent(self) -> frozenset[str]:
        """Coding genes of olfactory receptors, which hardly any cell outside the nose expresses."""
        return frozenset(
            symbol for symbol in self.coding if symbol[:2].upper() == "OR" and symbol[2:3].isdigit()
        )

    @cached_property
    def _meant(self) -> dict[str, str]:
        """Folded name -> the symbol that it means."""
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
    def _ids(self) -> dict[str, str]:
        """Approved symbol -> Ensembl ids with bars between."""
        found: dict[str, str] = {}
        for stable, symbol in self.symbols.items():
            found[symbol] = f"{found[symbol]}|{stable}" if symbol in found else stable
        return found

    def resolve(self, name: str) -> str:
        """Approved symbol of an Ensembl id, or of a name that means one gene; empty for any other.

        An approved symbol means its own gene, whatever else goes by that name.
        """
        if name in self.approved:
            return name
        return self.symbols.get(name) or self._meant.get(fold_symbol(name), "")

    def row_names(self, names: Sequence[str]) -> list[str]:
        """Approved symbols of rows of a matrix; empty where a name might be something else.

        Marks aside, a name must be spelt as the table spells it, or in capitals where the symbol is: a name of the other
        species, a missing value or a label of one or two letters is no former symbol.
        """
        meant = zip(names, fold_symbols(names), strict=True)
        return [
            self._row_name(name, self.resolve(name))
            if name in self.symbols or fold in self._meant
            else ""
            for name, fold in meant
        ]

    def _row_name(self, name: str, symbol: str) -> str:
        """Symbol that a name may stand for, if it is spelt as it must be."""
        if not symbol or symbol == name or len(name) < _SHORTEST or name.upper() in _MISSING:
            return symbol if symbol == name else ""
        spelt = [_marked(other) for other in (*self.written(symbol), symbol)]
        capitals = [other.upper() for other in spelt] if _is_upper(symbol) else []
        return symbol if _marked(name) in (*spelt, *capitals) else ""

    def of_several(self, names: Sequence[str]) -> list[str]:
        """Those of the names that several genes go by, none as its approved symbol: each could mean either."""
        return [
            name
            for name, fold in zip(names, fold_symbols(names), strict=True)
            if fold in self.shared
        ]

    def written(self, symbol: str) -> tuple[str, ...]:
        """List what a gene may be called in place of its approved symbol: Ensembl ids, then the names that mean no other gene."""
        return tuple(
            filter(None, f"{self._ids.get(symbol, '')}|{self.names.get(symbol, '')}".split("|"))
        )


def _is_upper(symbol: str) -> bool:
    """Whether a symbol is one of human genes: in capitals, but for the open reading frames.

    >>> _is_upper("PDX1"), _is_upper("C1orf43"), _is_upper("Pdx1")
    (True, True, False)
    """
    return symbol.replace("orf", "").isupper()


@cache
def annotation(species: Literal["human", "mouse"]) -> Annotation:
    """Read the table of a species, once.

    >>> annotation("human").symbols["ENSG00000139515"]
    'PDX1'
    """
    text = gzip.decompress((Path(__file__).parent / f"{species}.csv.gz").read_bytes()).decode()
    fields = (
        text.strip().partition("\n")[2].replace("\n", ",").split(",")
    )  # one list, since many small ones keep the collector busy
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
