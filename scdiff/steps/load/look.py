"""A summary of a file, from a sample of its cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scdiff import genes
from scdiff.steps.load.checks.counts import detect_technology
from scdiff.steps.load.table import some

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scdiff.programs import Program
    from scdiff.steps.load.plan.inputs import Source
    from scdiff.steps.load.table import Table

__all__ = ["Look", "summarise_look"]

_LISTED = 6
"""Number of genes of a programme up to which a look lists each of them. Chosen, not tuned."""


@dataclass(frozen=True)
class Look:
    """What loading one sample would give.

    Parameters
    ----------
    source
        The sample.
    n_cells, n_genes
        Number of cells of the sample, and of genes of its file.
    n_looked
        Number of cells of the file that were read.
    species
        ``human``, ``mouse`` or ``unknown``.
    values
        ``UMI`` or ``reads``, and the matrix that holds them.
    seen
        Symbol -> share of the cells read that have a count, 0-1.
    said
        Sentences on what was observed and would be changed.
    """

    source: Source
    n_cells: int
    n_genes: int
    n_looked: int
    species: str
    values: str
    seen: dict[str, float]
    said: tuple[str, ...]

    def markers(self, program: Program) -> str:
        """State whether each gene of a programme has a row, and the share of cells that express it.

        For a programme of many genes, state only how many have a row.
        """
        species = genes.resolve_species(self.species)
        names, wanted = list(self.seen), program.score_genes(species)
        lookup = genes.Lookup(names, species)
        shares = {gene: [self.seen[names[row]] for row in lookup.find([gene])] for gene in wanted}
        if len(wanted) <= _LISTED:
            return ", ".join(
                f"{gene} {_write_share(max(found), self.n_looked) if found else 'has no row'}"
                for gene, found in shares.items()
            )
        missing = [gene for gene, found in shares.items() if not found]
        return (
            f"{len(wanted) - len(missing)} of {len(wanted)} genes have a row"
            + f" (not {some(missing)})" * bool(missing)
        )


def _write_share(share: float, n_cells: int) -> str:
    """Write a share of cells as text."""
    return f"in {100 * share:.3g} %" if share else f"in none of {n_cells:,} cells"


def summarise_look(
    source: Source, table: Table, n_cells: int, species: str, notes: Iterable[str]
) -> Look:
    """Summarise a table of some cells."""
    kind, reads = detect_technology(table.entries)
    n_looked = table.entries.shape[0]
    share = np.bincount(table.entries.indices, minlength=len(table.symbols)) / n_looked
    return Look(
        source=source,
        n_cells=n_cells,
        n_genes=len(set(table.symbols)),
        n_looked=n_looked,
        species=species,
        values=f"{kind} counts" + f" ({table.matrix})" * bool(table.matrix),
        seen=dict(zip(table.symbols.tolist(), share.tolist(), strict=True)),
        said=tuple(
            dict.fromkeys([*table.repairs, *notes, *table.notes, *([reads] if reads else [])])
        ),
    )
