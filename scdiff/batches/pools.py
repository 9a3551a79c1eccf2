"""Read or simulate the cells of known kind from which batches are mixed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from scdiff.errors import InputError
from scdiff.programs import Program

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["REST", "SIMULATED", "Pool", "Pools", "as_object", "read_pool"]

REST = "rest"
"""Name of the column with the counts of all genes except the markers."""

SIMULATED = "simulated"
"""Source name for cells that :func:`scdiff.simulate.simulate` simulates."""

DRAWN_CELLS, DRAWN_DEPTH = 4_000, 12_000.0
"""Number of cells and median counts of a simulated pool.

The counts must exceed the depth of a protocol, because batches are thinned to it. Both are chosen,
not tuned.
"""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pool:
    """Cells of one kind, reduced to marker counts and depth.

    Parameters
    ----------
    counts
        Counts of the markers, shape (n_cells, n_markers).
    depth
        All counts of each cell, shape (n_cells,).
    origin
        Source of the cells.
    """

    counts: Floats
    depth: Floats
    origin: str

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.depth)

    def take(self, rows: Any) -> Pool:
        """Return a pool of the selected cells."""
        return Pool(self.counts[rows], self.depth[rows], self.origin)


@dataclass(frozen=True)
class Pools:
    """All kinds of cells of a study: negatives, positives, and further lineages by name."""

    markers: tuple[str, ...]
    negatives: Pool
    positives: Pool
    off_target: Mapping[str, Pool] = field(default_factory=dict)


def as_object(pool: Pool, markers: tuple[str, ...], prefix: str) -> AnnData:
    """Return a pool as AnnData with the markers and one column for all other genes.

    Marker counts and depths do not change, and mixing is much faster.
    """
    import anndata as ad
    import pandas as pd

    rest = pool.depth - pool.counts.sum(axis=1)
    matrix = sparse.csr_matrix(np.column_stack([pool.counts, rest]).astype(np.float32))
    names = [f"{prefix}{number}" for number in range(len(pool))]
    return ad.AnnData(
        matrix, obs=pd.DataFrame(index=names), var=pd.DataFrame(index=[*markers, REST])
    )


def read_pool(source: str, program: Program, *, positive: bool = False, seed: int = 0) -> Pool:
    """Read cells from a file, or simulate them.

    Parameters
    ----------
    source
        Any input of ``scdiff run``, or ``simulated``.
    program
        Programme whose markers are counted.
    positive
        Whether simulated cells are positive.
    seed
        Seed of the random generator of simulated cells.

    Raises
    ------
    InputError
        If the source has no cells, or a marker is missing.
    """
    from scdiff.steps.load.step import load
    from scdiff.steps.shared.markers import read_markers

    adata = _simulate(positive, seed) if source == SIMULATED else load(Path(source))
    found = read_markers(adata, [program])
    absent = [name for name, rows in found.genes(program.core).items() if not rows]
    if absent or not len(found.depth):
        what = f"it has no row for {', '.join(absent)}" if absent else "it has no cells"
        raise InputError(f"{source}: cannot be used for a validation of {program.name}: {what}.")
    return Pool(found.of(program.core), found.depth, source)


def _simulate(positive: bool, seed: int) -> AnnData:
    """Simulate cells of one kind, without ambient RNA and doublets."""
    from scdiff.simulate import BatchDesign, simulate
    from scdiff.steps.load.step import load_object

    design = BatchDesign(n_genes=450, nuisance=0.0, continuum=0.0, donor_cv=0.0)
    drawn = simulate(
        n_cells=DRAWN_CELLS,
        fraction=float(positive),
        depth=DRAWN_DEPTH,
        contamination=0.0,
        design=design,
        seed=seed,
    )
    kept = drawn[drawn.obs["truth_positive"].to_numpy(dtype=bool) == positive].copy()
    adata, _ = load_object(
        kept, counts="auto", sample=None, donor=None, species="human", control=()
    )
    return adata
