"""One name for each gene: Ensembl ids, former symbols and suffixed names become approved symbols, and what cannot be told stays."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from scdiff import genes
from scdiff.compute.blocks import is_lazy
from scdiff.steps.load.table import Table, some

__all__ = ["approve_names"]

_SUFFIX = re.compile(r"[-.]\d+$")


@dataclass
class _Found:
    """What was found of the rows of a matrix.

    Parameters
    ----------
    given
        Row -> approved symbol in place of the name in the file.
    by_id
        Rows whose Ensembl id tells the symbol; those of the others were told from the name alone.
    unknown, shared, contrary, suffixed
        Names: ids that the table does not have, names of several genes, symbols whose id is another gene's, names that end in a
        number after that of another row.
    """

    given: dict[int, str] = field(default_factory=dict)
    by_id: set[int] = field(default_factory=set)
    unknown: list[str] = field(default_factory=list)
    shared: list[str] = field(default_factory=list)
    contrary: list[str] = field(default_factory=list)
    suffixed: list[str] = field(default_factory=list)


def approve_names(table: Table, species: str) -> Table:
    """Give the genes of a table their approved symbols, and say which.

    An Ensembl id tells the gene. Without one, a former symbol or alias is replaced where it means one gene, that gene has no other
    row, and no other row claims it. An approved symbol is never replaced. Names of several genes stay, as do all names of a table
    whose species cannot be told or is not the one asked for.
    """
    told = genes.detect_species(table.symbols)
    if told is None or species not in ("auto", told):
        return table
    found = _found(table, told)
    _without_clashes(table, found, once=is_lazy(table.entries))
    return _said(_renamed(table, found.given), table, found)


def _found(table: Table, species: Literal["human", "mouse"]) -> _Found:
    """Find what each row is called that does not go by its approved symbol."""
    known, found = genes.annotation(species), _Found()
    symbols, stable, listed = known.symbols, known.approved, set(table.symbols)
    first = dict(zip(reversed(table.gene_ids), reversed(table.symbols), strict=True))
    alone: dict[int, str] = {}
    for row, (name, gene_id) in enumerate(zip(table.symbols, table.gene_ids, strict=True)):
        meant = symbols.get(gene_id, "")
        if name in stable:
            if meant and meant != name:
                found.contrary.append(name)
        elif meant:
            found.given[row] = meant
            found.by_id.add(row)
        elif genes.is_stable(gene_id):
            _by_same_id(found, row, name, gene_id, first[gene_id])
        elif (cut := _SUFFIX.sub("", name)) != name and cut in listed:
            found.suffixed.append(name)
        else:
            alone[row] = name
    by_name = dict(zip(alone, known.row_names(list(alone.values())), strict=True))
    found.given |= {row: symbol for row, symbol in by_name.items() if symbol}
    found.shared += known.of_several([name for row, name in alone.items() if not by_name[row]])
    return found


def _by_same_id(found: _Found, row: int, name: str, gene_id: str, first: str) -> None:
    """Find the name of a row whose Ensembl id the table does not have: that of an earlier row of the same id, without its suffix."""
    if name == gene_id:
        found.unknown.append(name)
    elif name != first and _SUFFIX.sub("", name) == first:
        found.given[row] = first
        found.by_id.add(row)


def _without_clashes(table: Table, found: _Found, *, once: bool) -> None:
    """Drop the new names that another row has, unless the ids say that both are one gene; ``once``: drop each that repeats."""
    staying = {name for row, name in enumerate(table.symbols) if row not in found.given}
    claimed = Counter(symbol for row, symbol in found.given.items() if row not in found.by_id)
    by_id = {found.given[row] for row in found.by_id}
    for row, symbol in list(found.given.items()):
        of_name = row not in found.by_id and (claimed[symbol] > 1 or symbol in by_id)
        if of_name or (symbol in staying and not (row in found.by_id and _SUFFIX.sub("", table.symbols[row]) == symbol)):
            del found.given[row]
    if once:
        repeated = Counter([*staying, *found.given.values()])
        found.given = {row: symbol for row, symbol in found.given.items() if repeated[symbol] == 1}


def _renamed(table: Table, given: dict[int, str]) -> Table:
    """Put the new names in place; those of the file are kept beside them."""
    if not given:
        return table
    symbols = table.symbols.copy()
    symbols[list(given)] = list(given.values())
    return replace(table, symbols=symbols, written=table.symbols)


def _said(renamed: Table, table: Table, found: _Found) -> Table:
    """Say what was replaced, and what could not be told."""
    nameless = {row: row in found.by_id and table.symbols[row] == table.gene_ids[row] for row in found.given}
    ids, others = ([row for row, without in nameless.items() if without == wanted] for wanted in (True, False))
    if ids:
        renamed = renamed.repaired(
            f"{len(ids):,} genes were named by Ensembl id alone and were given their symbols ({_pairs(table, found, ids)}); "
            "the ids stay in gene_id."
        )
    if others:
        renamed = renamed.repaired(f"{len(others):,} genes were given their approved symbols ({_pairs(table, found, others)}).")
    for names, sentence in _left(found):
        renamed = renamed.noted(f"{len(names):,} {sentence} ({some(names)}).") if names else renamed
    return renamed


def _left(found: _Found) -> Iterator[tuple[list[str], str]]:
    """Yield the names that were left as they stand, with why."""
    yield found.unknown, "Ensembl ids are not in the table of genes and stand in place of symbols"
    yield found.shared, "names are those of several genes, and no Ensembl id tells which: they stay as they are"
    yield found.contrary, "genes have the symbol of one gene and the Ensembl id of another: the symbols were kept"
    yield found.suffixed, "names are that of another row and a number, and no Ensembl id tells whether they are one gene: they stay apart"


def _pairs(table: Table, found: _Found, rows: Iterable[int]) -> str:
    """Name the first few replacements."""
    return some([f"{table.symbols[row]} is {found.given[row]}" for row in rows])
