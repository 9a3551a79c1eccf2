"""The named ligand-receptor axes, one line each in a table, with its source."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from scdiff.errors import UnknownNameError, did_you_mean
from scdiff.genes import ortholog
from scdiff.programs import Species

__all__ = ["Axis", "choose_axes", "load_axes", "symbol_in"]


@dataclass(frozen=True)
class Axis:
    """A ligand and its receptors, human symbols.

    Parameters
    ----------
    name
        As people write it.
    ligands, receptors
        Gene symbols of either side.
    source
        DOI of the claim that the one binds the other.
    """

    name: str
    ligands: tuple[str, ...]
    receptors: tuple[str, ...]
    source: str

    def genes(self) -> Iterator[tuple[str, str]]:
        """Side and gene, ligands first."""
        yield from (("ligand", gene) for gene in self.ligands)
        yield from (("receptor", gene) for gene in self.receptors)


@cache
def load_axes() -> tuple[Axis, ...]:
    """Load the known axes.

    >>> [axis.name for axis in load_axes()][:3]
    ['CXCL12-CXCR4', 'CXCL12-ACKR3', 'VEGFA-KDR/FLT1']
    """
    with (resources.files("scdiff.programs") / "axes.csv").open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    return tuple(
        Axis(
            row["axis"],
            tuple(row["ligands"].split("|")),
            tuple(row["receptors"].split("|")),
            row["source"],
        )
        for row in rows
    )


def choose_axes(names: Sequence[str]) -> tuple[Axis, ...]:
    """Find axes by name; all where ``names`` is empty.

    Raises
    ------
    UnknownNameError
        If an axis is unknown.

    >>> [axis.name for axis in choose_axes(["HGF-MET"])]
    ['HGF-MET']
    """
    known = {axis.name: axis for axis in load_axes()}
    for name in names:
        if name not in known:
            raise UnknownNameError(
                f"communicate(): unknown axis {name!r}. {did_you_mean(name, known)}"
            )
    return tuple(known[name] for name in names) or load_axes()


def symbol_in(gene: str, species: Species) -> str:
    """Symbol of a human gene in ``species``; empty where it has no ortholog there.

    >>> symbol_in("CXCR4", "mouse"), symbol_in("HLA-G", "mouse"), symbol_in("HLA-G", "human")
    ('Cxcr4', '', 'HLA-G')
    """
    return gene if species == "human" else ortholog(gene, species)
