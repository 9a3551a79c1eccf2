"""One name for each gene.

Ensembl ids, former symbols and suffixed names become approved symbols; names that cannot be
resolved stay.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from scdiff import genes
from scdiff.compute.blocks import is_lazy
from scdiff.steps.load.table import Table, some

__all__ = ["approve_names"]

_SUFFIX = re.compile(r"[-.]\d+$")
"""A number after the name of a gene, which makes repeated names unique."""


@dataclass
class _Found:
    """Findings on the rows of a matrix.

    Parameters
    ----------
    given
        Row -> approved symbol, in place of the name in the file.
    by_id
        Rows whose Ensembl id determines the symbol; for the other rows only the name does.
    unknown
        Ensembl ids that the table of genes does not have.
    shared
        Names of several genes.
    contrary
        Symbols of rows whose Ensembl id is that of another gene.
    suffixed
        Names that are the name of another row plus a number.
    """

    given: dict[int, str] = field(default_factory=dict)
    by_id: set[int] = field(default_factory=set)
    unknown: list[str] = field(default_factory=list)
    shared: list[str] = field(default_factory=list)
    contrary: list[str] = field(default_factory=list)
    suffixed: list[str] = field(default_factory=list)


def approve_names(table: Table, species: str) -> Table:
    """Give the genes of a table their approved symbols, and note the changes.

    An Ensembl id determines the gene. Without one, a former symbol or alias is replaced if it means
    one gene, that gene has no other row, and no other row claims it. An approved symbol is never
    replaced. Names of several genes stay. All names stay if the species of the table is not
    detected, or is not the one that ``species`` asks for.
    """
    detected = genes.detect_species(table.symbols, table.gene_ids, likely=species)
    if detected is None or species not in ("auto", detected):
        return table
    found = _find_names(table, detected)
    _drop_clashes(table, found, once=is_lazy(table.entries))
    return _note_changes(_rename(table, found.given), table, found)


def _find_names(table: Table, species: genes.Species) -> _Found:
    """Find the rows whose name is not their approved symbol."""
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
            _resolve_by_id(found, row, name, gene_id, first[gene_id])
        elif (cut := _SUFFIX.sub("", name)) != name and cut in listed:
            found.suffixed.append(name)
        else:
            alone[row] = name
    by_name = dict(zip(alone, known.row_names(list(alone.values())), strict=True))
    found.given |= {row: symbol for row, symbol in by_name.items() if symbol}
    found.shared += known.of_several([name for row, name in alone.items() if not by_name[row]])
    return found


def _resolve_by_id(found: _Found, row: int, name: str, gene_id: str, first: str) -> None:
    """Resolve the name of a row whose Ensembl id the table of genes does not have.

    If an earlier row has the same id and the same name without suffix, both have its name.
    """
    if name == gene_id:
        found.unknown.append(name)
    elif name != first and _SUFFIX.sub("", name) == first:
        found.given[row] = first
        found.by_id.add(row)


def _drop_clashes(table: Table, found: _Found, *, once: bool) -> None:
    """Drop the new names that another row has, unless the ids show that both rows are one gene.

    ``once``: drop every new name that occurs twice.
    """
    staying = {name for row, name in enumerate(table.symbols) if row not in found.given}
    claimed = Counter(symbol for row, symbol in found.given.items() if row not in found.by_id)
    by_id = {found.given[row] for row in found.by_id}
    for row, symbol in list(found.given.items()):
        of_name = row not in found.by_id and (claimed[symbol] > 1 or symbol in by_id)
        same_gene = row in found.by_id and _SUFFIX.sub("", table.symbols[row]) == symbol
        if of_name or (symbol in staying and not same_gene):
            del found.given[row]
    if once:
        repeated = Counter([*staying, *found.given.values()])
        found.given = {row: symbol for row, symbol in found.given.items() if repeated[symbol] == 1}


def _rename(table: Table, given: dict[int, str]) -> Table:
    """Write the new names; the column ``written`` keeps those of the file."""
    if not given:
        return table
    symbols = table.symbols.copy()
    symbols[list(given)] = list(given.values())
    return replace(table, symbols=symbols, written=table.symbols)


def _note_changes(renamed: Table, table: Table, found: _Found) -> Table:
    """Note what was replaced, and what could not be resolved."""
    ids, others = list[int](), list[int]()
    for row in found.given:
        only_id = row in found.by_id and table.symbols[row] == table.gene_ids[row]
        (ids if only_id else others).append(row)
    if ids:
        renamed = renamed.repaired(
            f"{len(ids):,} genes had only an Ensembl id and were given their symbols "
            f"({_list_pairs(table, found, ids)}); the ids stay in gene_id."
        )
    if others:
        renamed = renamed.repaired(
            f"{len(others):,} genes were given their approved symbols "
            f"({_list_pairs(table, found, others)})."
        )
    for names, sentence in _list_unresolved(found):
        renamed = renamed.noted(f"{len(names):,} {sentence} ({some(names)}).") if names else renamed
    return renamed


def _list_unresolved(found: _Found) -> Iterator[tuple[list[str], str]]:
    """Yield the names that stay as they are, with the reason."""
    yield found.unknown, "Ensembl ids are not in the table of genes and are used as symbols"
    yield (
        found.shared,
        "names belong to several genes, and no Ensembl id decides which: they were kept",
    )
    yield (
        found.contrary,
        "genes have the symbol of one gene and the Ensembl id of another: the symbols were kept",
    )
    yield (
        found.suffixed,
        "names are the name of another row plus a number, and no Ensembl id links them: both stay",
    )


def _list_pairs(table: Table, found: _Found, rows: Iterable[int]) -> str:
    """List the first few replacements."""
    return some([f"{table.symbols[row]} is {found.given[row]}" for row in rows])
