"""What a file would give, told from some of its cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from scdiff import genes
from scdiff.steps.load.checks.counts import technology
from scdiff.steps.load.table import some

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scdiff.programs import Program
    from scdiff.steps.load.plan.inputs import Source
    from scdiff.steps.load.table import Table

__all__ = ["Look", "summarise_look"]

_LISTED = 6
"""Genes of a programme that are named one by one."""


@dataclass(frozen=True)
class Look:
    """What one sample would give.

    Parameters
    ----------
    source
        The sample.
    n_cells, n_genes
        Cells of the sample, genes of its file.
    n_looked
        Cells of the file that were looked at.
    species
        ``human``, ``mouse`` or ``unknown``.
    values
        ``UMI`` or ``reads``, and the matrix that holds them.
    seen
        Symbol -> share of the cells looked at that have a count, 0-1.
    said
        Sentences on what was seen and would be changed.
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
        """Say of each gene of a programme whether it has a row and where it is seen; of many, how many have a row."""
        of: Literal["human", "mouse"] = "mouse" if self.species == "mouse" else "human"
        names, wanted = list(self.seen), program.score_genes(of)
        lookup = genes.Lookup(names, of)
        shares = {gene: [self.seen[names[row]] for row in lookup.find([gene])] for gene in wanted}
        if len(wanted) <= _LISTED:
            return ", ".join(f"{gene} {_share(max(found), self.n_looked) if found else 'has no row'}" for gene, found in shares.items())
        missing = [gene for gene, found in shares.items() if not found]
        return f"{len(wanted) - len(missing)} of {len(wanted)} genes have a row" + f" (not {some(missing)})" * bool(missing)


def _share(share: float, n_cells: int) -> str:
    """Say a share of cells."""
    return f"in {100 * share:.3g} %" if share else f"in none of {n_cells:,} cells"


def summarise_look(source: Source, table: Table, n_cells: int, species: str, notes: Iterable[str]) -> Look:
    """Sum up what a table of some cells tells."""
    kind, reads = technology(table.entries)
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
        said=tuple(dict.fromkeys([*table.repairs, *notes, *table.notes, *([reads] if reads else [])])),
    )
