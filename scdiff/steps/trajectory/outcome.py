"""Compute the ends, the fate of each cell, and the tables of a trajectory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from scdiff import keys
from scdiff.compute.arrays import limit_blas_threads, take_subgraph
from scdiff.compute.blocks import get_values
from scdiff.record import read_main_program
from scdiff.steps.shared.controls import select_positive_controls
from scdiff.steps.shared.markers import read_markers, select_table_groups
from scdiff.steps.trajectory.days import read_days, tabulate_days
from scdiff.steps.trajectory.ends import find_positive_end, find_tips
from scdiff.steps.trajectory.trends import compute_gene_trends, find_drivers

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from scipy.sparse import csr_matrix

    from scdiff.steps.trajectory.path import Path
    from scdiff.steps.trajectory.root import Root

__all__ = [
    "POSITIVE",
    "START",
    "average_fates",
    "compute_fates",
    "count_by_day",
    "follow_genes",
    "read_gap",
    "select_ends",
    "select_positive",
    "tabulate_components",
    "tabulate_ends",
]

NOT_POSITIVE = ("negative", "unassigned", "unspecific")
"""States of cells that are not positive for the main programme."""
DIGITS, FATE_DIGITS = 9, 6
"""Decimals of a mean and of a fate: later ones depend on the order of a sum."""
POSITIVE, START = "progenitor-like", "start"
"""Names of two ends: the positive cells that went furthest, and the cells that stay at the root."""


def select_positive(adata: AnnData) -> np.ndarray:
    """Return which cells have a positive state of the main programme; shape (n_cells,)."""
    return ~adata.obs[keys.STATE.name].astype(str).isin((*NOT_POSITIVE, "nan")).to_numpy()


def select_ends(
    adata: AnnData, graph: csr_matrix, pseudotime: np.ndarray, paga: pd.DataFrame, start: Root
) -> dict[str, np.ndarray]:
    """Return the cells of the positive end, the other ends and the start; shape (n_cells,) each.

    Cells of a positive control get a position, but they are not an end.
    """
    clusters, positive = adata.obs[keys.LEIDEN.name].astype(str).to_numpy(), select_positive(adata)
    state = adata.obs[keys.STATE.name].astype(str).to_numpy()
    probability = adata.obs[keys.PROBABILITY.name].to_numpy(dtype=float)
    own = np.where(select_positive_controls(adata), "control", state)
    states = sorted(set(own[positive]) - {"control"})
    end = find_positive_end(own, states, probability, pseudotime, graph)
    other = find_tips(pseudotime, clusters, paga, end, start.cluster)
    return (
        {POSITIVE: end}
        | {f"cluster {name}": cells for name, cells in other.items()}
        | {START: (clusters == start.cluster) & ~positive}
    )


def compute_fates(
    graph: csr_matrix,
    pseudotime: np.ndarray,
    rows: np.ndarray,
    ends: dict[str, np.ndarray],
    method: Callable[..., np.ndarray],
) -> pd.DataFrame:
    """Return the probability of each end for each cell, 0-1, n_cells x n_ends.

    NaN for cells without a path from the root, and for all cells if the positive end is empty.
    """
    import pandas as pd

    found = pd.DataFrame(np.nan, index=range(len(rows)), columns=list(ends))
    members = rows[np.isfinite(pseudotime[rows])]
    if ends[POSITIVE][members].any():
        number = np.full(len(members), -1)
        for place, cells in enumerate(ends.values()):
            number[cells[members] & (number < 0)] = place
        with limit_blas_threads():
            inside = take_subgraph(graph, members)
            fates = method(inside, pseudotime[members], number, len(ends))
            found.iloc[members] = fates.round(FATE_DIGITS)
    return found


def count_by_day(adata: AnnData, path: Path, fate: np.ndarray) -> pd.DataFrame:
    """Count states, fates and committed cells by day."""
    state, positive = adata.obs[keys.STATE.name].astype(str).to_numpy(), select_positive(adata)
    return tabulate_days(read_days(adata), state, positive, fate, path.away, path.threshold)


def follow_genes(
    adata: AnnData, place: np.ndarray, fate: np.ndarray, rows: np.ndarray
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the trends of the main programme's markers, and the genes correlated with the fate.

    These genes are neither variable genes nor markers, so they did not shape the path.
    """
    program = read_main_program(adata)
    read = read_markers(adata, [program])
    genes, counts = read.genes(program.markers), read.of(program.markers)
    sums = {name: counts[:, column] for column, name in enumerate(genes) if genes[name]}
    allowed = ~adata.var[keys.HVG.name].to_numpy(dtype=bool)
    allowed[[row for found in genes.values() for row in found]] = False
    donors = adata.obs["donor" if "donor" in adata.obs else "sample"].astype(str).to_numpy()
    values, names = get_values(adata), list(adata.var_names)
    return (
        compute_gene_trends(sums, read.depth, place),
        find_drivers(values, fate, names, allowed, donors, rows),
    )


def average_fates(adata: AnnData, fates: pd.DataFrame) -> pd.DataFrame:
    """Return the mean probability of each end, 0-1, and the number of cells, by group of the table.

    Cells without a path from the root are left out; NaN for a group without other cells.
    """
    import pandas as pd

    known = np.isfinite(fates.to_numpy()).all(axis=1)
    groups = {name: cells & known for name, cells in select_table_groups(adata).items()}
    means = pd.DataFrame({name: fates[cells].mean() for name, cells in groups.items()}).T
    return means.round(DIGITS).assign(n_cells=[int(cells.sum()) for cells in groups.values()])


def tabulate_ends(ends: dict[str, np.ndarray], fates: pd.DataFrame) -> pd.DataFrame:
    """Return number of cells and mean probability of each end."""
    import pandas as pd

    table = {
        "n_cells": [int(cells.sum()) for cells in ends.values()],
        "mean_fate": fates.mean().round(DIGITS).to_numpy(),
    }
    return pd.DataFrame(table, index=pd.Index(list(ends), dtype=object, name="end"))


def tabulate_components(adata: AnnData, component: np.ndarray, start: Root) -> pd.DataFrame:
    """Return number of cells and of positive cells by component, and which one has the root."""
    import pandas as pd

    sizes = np.bincount(component)
    positive = np.bincount(component, weights=select_positive(adata), minlength=len(sizes))
    index = pd.Index([str(number) for number in range(len(sizes))], dtype=object, name="component")
    table = {
        "n_cells": sizes,
        "n_positive": positive.astype(int),
        "has_root": np.arange(len(sizes)) == component[start.cell],
    }
    return pd.DataFrame(table, index=index)


def read_gap(path: Path) -> dict[str, float]:
    """Return the numbers of the gap by name; empty if no gap was examined."""
    return {name: float(value) for name, value in vars(path.gap).items()} if path.gap else {}
