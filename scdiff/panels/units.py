"""Genes that can be markers: unambiguous, with an approved symbol and a human name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import sparse

from scdiff.errors import ConfigError
from scdiff.genes import Lookup, Species, annotation, canonical, ortholog
from scdiff.programs import load_program, program_names

__all__ = ["Unit", "find_required", "list_units", "sum_units"]

_AMBIGUOUS = re.compile(r"^(MT-|M?RP[SL]\d|RPLP\d|RPSA|FAU$|UBA52$)")
"""Mitochondrial and ribosomal genes, human symbols: they follow the state of a cell."""

_SEX = frozenset({"XIST", "TSIX", "EIF2S3Y", "NLGN4Y", "TMSB4Y", "TXLNGY", "USP9Y", "ZFY", "KDM5D"})
"""Genes that only one sex expresses, in addition to those of the shipped panel ``sex``."""


@dataclass(frozen=True)
class Unit:
    """A possible marker.

    Parameters
    ----------
    name
        Human symbol.
    genes
        Its genes in the species of the reference; their counts are summed.
    """

    name: str
    genes: tuple[str, ...]


@cache
def _map_to_human(species: Species) -> dict[str, str]:
    """Map each approved symbol of a species to a human symbol.

    The shipped programmes add genes with several orthologs, such as INS.
    """
    known = annotation(species).approved
    found = {ortholog(symbol, species): symbol for symbol in sorted(annotation("human").coding)}
    for name in program_names():
        for marker in load_program(name).markers:
            if len(marker.human) == 1:
                found |= dict.fromkeys(marker.genes(species), marker.human[0])
    return {gene: symbol for gene, symbol in found.items() if gene in known}


def list_units(genes: Sequence[str], species: Species, *, keep: Sequence[str] = ()) -> list[Unit]:
    """List the genes that can be markers, in the order of their names.

    Left out are genes that do not code for a protein, that have no approved symbol or no human
    name, and mitochondrial, ribosomal and sex genes, except those of ``keep``.

    Parameters
    ----------
    genes
        Symbols of the reference.
    species
        Its species.
    keep
        Human symbols that are kept in any case.
    """
    human = {gene: gene for gene in genes} if species == "human" else _map_to_human(species)
    coding, sexed = annotation(species).coding, _SEX | _list_sex_genes()
    found: dict[str, list[str]] = {}
    for gene in sorted(genes):
        name = human.get(gene, "")
        is_plain = gene in coding and not _AMBIGUOUS.match(name) and name not in sexed
        if name and (is_plain or name in keep):
            found.setdefault(name, []).append(gene)
    return [Unit(name, tuple(members)) for name, members in sorted(found.items())]


@cache
def _list_sex_genes() -> frozenset[str]:
    """List the human symbols of the shipped panel ``sex``."""
    return frozenset(gene for marker in load_program("sex").markers for gene in marker.human)


def find_required(
    names: Sequence[str], genes: Sequence[str], species: Species, source: str
) -> list[str]:
    """Return the human symbols of required markers, each once.

    Parameters
    ----------
    names
        Human symbols, symbols of the species, or other names in use.
    genes
        Symbols of the reference.
    species
        Its species.
    source
        Where the reference comes from, for messages.

    Raises
    ------
    ConfigError
        If a marker has no row in the reference, or no approved symbol.
    """
    lookup, found = Lookup(list(genes), species), []
    human = {gene: gene for gene in genes} if species == "human" else _map_to_human(species)
    back: dict[str, list[str]] = {}
    for gene, symbol in human.items():
        back.setdefault(symbol, []).append(gene)
    for name in names:
        known = [canonical(name, species)], back.get(canonical(name.upper()), [])
        rows = next(filter(None, map(lookup.find, ([name], *known))), [])
        symbol = next((human[genes[row]] for row in rows if genes[row] in human), "")
        if not symbol:
            near = difflib.get_close_matches(name, list(genes), n=1)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            raise ConfigError(
                f"{source}: the required marker {name!r} has no row. {hint}"
                "Absent is not zero: leave it out, or give a reference that has it."
            )
        found.append(symbol)
    return list(dict.fromkeys(found))


def sum_units(
    counts: sparse.csr_matrix, genes: Sequence[str], units: Sequence[Unit]
) -> sparse.csr_matrix:
    """Sum the counts of the genes of each unit, shape (n_cells, n_units)."""
    place = {gene: column for column, gene in enumerate(genes)}
    pairs = [(place[gene], column) for column, unit in enumerate(units) for gene in unit.genes]
    rows, columns = np.array(pairs, dtype=int).reshape(-1, 2).T
    spread = sparse.csr_matrix(
        (np.ones(len(rows)), (rows, columns)), shape=(len(genes), len(units))
    )
    return sparse.csr_matrix(counts @ spread)
