"""Take the cells of the graph out of a large object, and give the results to the other cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scdiff import keys
from scdiff.compute.arrays import as_csr, sort_names, take_subgraph
from scdiff.compute.blocks import get_counts, read_rows
from scdiff.steps.shared.sketch import find_majority, find_sketch_cells

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["spread_results", "take_part"]


def take_part(adata: AnnData, inside: np.ndarray) -> AnnData:
    """Return the cells ``inside`` with their counts in memory, without X.

    The axis reads these counts many times.
    """
    from anndata import AnnData

    rows = np.flatnonzero(inside)
    part = AnnData(
        obs=adata.obs[inside].copy(),
        var=adata.var.copy(),
        uns=dict(adata.uns),
        layers={"counts": read_rows(get_counts(adata), rows)},
    )
    part.uns[keys.ROOT] = dict(adata.uns[keys.ROOT])
    part.obsm[keys.PCA.name] = adata.obsm[keys.PCA.name][inside]
    for name in ("connectivities", "distances"):
        part.obsp[name] = take_subgraph(as_csr(adata.obsp[name]), rows)
    part.obs[keys.LEIDEN.name] = part.obs[keys.LEIDEN.name].cat.remove_unused_categories()
    return part


def spread_results(part: AnnData, adata: AnnData, inside: np.ndarray) -> None:
    """Give each cell the results of the nearest cells of the graph.

    These are the mean of numbers, and the most frequent component.
    """
    import pandas as pd

    rows = sort_names(adata.obs_names)
    back = np.argsort(rows)
    takes = find_sketch_cells(adata.obsm[keys.PCA.name][rows], inside[rows])[back]
    by_name = sort_names(part.obs_names)
    for key in keys.list_written("trajectory"):
        if key.slot == "obs":
            values = part.obs[key.name].to_numpy()[by_name][takes]
            if pd.api.types.is_numeric_dtype(values):
                adata.obs[key.name] = values.mean(axis=1)
            else:
                adata.obs[key.name] = pd.Categorical(find_majority(values))
    adata.uns[keys.ROOT] |= {"trajectory": part.uns[keys.ROOT][keys.TRAJECTORY.name]}
