"""Clusters and embeddings that the owner of an object has made herself, in the place of those of ``embed``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scdiff import keys
from scdiff.compute.arrays import sort_names
from scdiff.compute.graph import build_distance_graph, compute_fuzzy_weights, place_nodes
from scdiff.compute.nearest import nearest
from scdiff.errors import ConfigError, did_you_mean
from scdiff.steps.shared.sketch import LARGEST, draw_sketch

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["join_neighbours", "read_clusters", "read_points", "replace_by_own"]

N_NEIGHBOURS = 15
"""Neighbours per cell, the cell itself included: as ``embed`` and scanpy have it."""


def read_clusters(adata: AnnData, cluster_key: str) -> pd.Series:
    """Take a column of ``obs`` as clusters: categories that are texts, none without cells.

    Raises
    ------
    ConfigError
        If there is no such column, it names no cluster for some cells, or nearly every cell has its own.
    """
    import pandas as pd

    if cluster_key not in adata.obs:
        raise ConfigError(
            f"cluster_key is {cluster_key!r}, but obs has no such column. {did_you_mean(cluster_key, map(str, adata.obs))}"
        )
    column = adata.obs[cluster_key]
    if n_missing := int(column.isna().sum()):
        raise ConfigError(
            f"cluster_key: obs[{cluster_key!r}] is empty for {n_missing:,} of {len(column):,} cells: give each cell a cluster."
        )
    names = column.astype(str)
    if names.nunique() > max(len(names) / 2, 1):
        raise ConfigError(
            f"cluster_key: obs[{cluster_key!r}] holds {names.nunique():,} values for {len(names):,} cells, which are no clusters: "
            "name a column with fewer."
        )
    order = (
        column.cat.categories.astype(str)
        if isinstance(column.dtype, pd.CategoricalDtype)
        else sorted(names.unique())
    )
    kept = [name for name in order if name in set(names)]
    return pd.Series(
        pd.Categorical(names, categories=pd.Index(kept, dtype=object)), index=adata.obs_names
    )


def read_points(adata: AnnData, use_rep: str, *, fewest: int = 1) -> np.ndarray:
    """Take an entry of ``obsm`` as points, shape (n_cells, n_columns).

    Raises
    ------
    ConfigError
        If there is no such entry, it has fewer than ``fewest`` columns, or it holds NaN or infinity.
    """
    if use_rep not in adata.obsm:
        raise ConfigError(
            f"use_rep is {use_rep!r}, but obsm has no such entry. {did_you_mean(use_rep, map(str, adata.obsm))}"
        )
    try:
        points = np.asarray(adata.obsm[use_rep], dtype=float)
    except (TypeError, ValueError):
        raise ConfigError(
            f"use_rep: obsm[{use_rep!r}] does not hold numbers: name an embedding such as 'X_pca'."
        ) from None
    if points.ndim != 2 or points.shape[1] < fewest:
        raise ConfigError(
            f"use_rep: obsm[{use_rep!r}] has shape {points.shape}; at least {fewest} columns are needed."
        )
    if n_odd := int((~np.isfinite(points)).any(axis=1).sum()):
        raise ConfigError(
            f"use_rep: obsm[{use_rep!r}] holds NaN or infinity for {n_odd:,} of {len(points):,} cells."
        )
    return points


def replace_by_own(
    adata: AnnData, *, cluster_key: str | None, use_rep: str | None, slot_of_rep: str
) -> AnnData:
    """Put the named clusters and points in the place of those of ``embed``, in a new object; the same one where none is named.

    The new object shares counts, values and results with ``adata`` and has no neighbours where points are named.

    Parameters
    ----------
    adata
        Cells x genes.
    cluster_key, use_rep
        Column of ``obs`` and entry of ``obsm``, or None.
    slot_of_rep
        Entry of ``obsm`` that the points take the place of: ``X_pca``, or ``X_umap`` for a map of two columns.

    Raises
    ------
    ConfigError
        As :func:`read_clusters` and :func:`read_points`.
    """
    from anndata import AnnData

    if cluster_key is None and use_rep is None:
        return adata
    layers = {name: values for name, values in adata.layers.items() if name is not None}
    frames = {"obs": adata.obs.copy(), "var": adata.var.copy(), "uns": dict(adata.uns)}
    made = AnnData(
        X=adata.X,
        **frames,
        layers=layers,
        obsm=dict(adata.obsm),
        obsp={} if use_rep else dict(adata.obsp),
    )
    made.uns["scdiff"] = dict(adata.uns.get("scdiff", {}))
    if cluster_key is not None:
        made.obs[keys.LEIDEN.name] = read_clusters(adata, cluster_key)
    if use_rep is not None:
        is_map = slot_of_rep == keys.UMAP.name
        points = read_points(adata, use_rep, fewest=2 if is_map else 1)
        made.obsm[slot_of_rep] = points[:, :2] if is_map else points
    return made


def join_neighbours(adata: AnnData, *, seed: int) -> None:
    """Join each cell to its neighbours in ``obsm["X_pca"]``, as ``embed`` does; of very many cells, those of a draw.

    Reads
    -----
    obsm["X_pca"]

    Writes
    ------
    obsp["connectivities"], obsp["distances"], obs["scdiff_sketch"], var["highly_variable"] (none where it is not there)
    """
    rows = sort_names(adata.obs_names)
    points = np.asarray(adata.obsm[keys.PCA.name], dtype=float)[rows]
    chosen = draw_sketch(points, points.var(axis=0), LARGEST, seed)
    indices, distances = nearest(points[chosen], min(N_NEIGHBOURS, len(chosen)) - 1)
    adata.obsp[keys.CONNECTIVITIES.name] = place_nodes(
        compute_fuzzy_weights(indices, distances), rows[chosen], len(rows)
    )
    adata.obsp[keys.DISTANCES.name] = place_nodes(
        build_distance_graph(indices, distances), rows[chosen], len(rows)
    )
    inside = np.zeros(len(rows), dtype=bool)
    inside[rows[chosen]] = True
    adata.obs[keys.SKETCH.name] = inside
    if keys.HVG.name not in adata.var:
        adata.var[keys.HVG.name] = False
