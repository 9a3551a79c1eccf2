"""Use clusters and embeddings of the user instead of those of ``embed``."""

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
"""Neighbours per cell, the cell itself included: the default of ``embed`` and scanpy."""


def read_clusters(adata: AnnData, cluster_key: str) -> pd.Series:
    """Return a column of ``obs`` as clusters: categories that are texts, each with cells.

    Raises
    ------
    ConfigError
        If the column does not exist, is empty for some cells, or has too many values.
    """
    import pandas as pd

    if cluster_key not in adata.obs:
        raise ConfigError(
            f"cluster_key is {cluster_key!r}, but obs has no such column. "
            f"{did_you_mean(cluster_key, map(str, adata.obs))}"
        )
    column = adata.obs[cluster_key]
    if n_missing := int(column.isna().sum()):
        raise ConfigError(
            f"cluster_key: obs[{cluster_key!r}] is empty for {n_missing:,} of "
            f"{len(column):,} cells: give each cell a cluster."
        )
    names = column.astype(str)
    if names.nunique() > max(len(names) / 2, 1):
        raise ConfigError(
            f"cluster_key: obs[{cluster_key!r}] holds {names.nunique():,} values for "
            f"{len(names):,} cells, too many for clusters: name a column with fewer values."
        )
    present = set(names)
    order = sorted(present)
    if isinstance(column.dtype, pd.CategoricalDtype):
        order = [name for name in column.cat.categories.astype(str) if name in present]
    clusters = pd.Categorical(names, categories=pd.Index(order, dtype=object))
    return pd.Series(clusters, index=adata.obs_names)


def read_points(adata: AnnData, use_rep: str, *, fewest: int = 1) -> np.ndarray:
    """Return an entry of ``obsm`` as points, shape (n_cells, n_columns).

    Raises
    ------
    ConfigError
        If the entry does not exist, is not numeric, has fewer than ``fewest`` columns, or holds NaN
        or infinity.
    """
    if use_rep not in adata.obsm:
        raise ConfigError(
            f"use_rep is {use_rep!r}, but obsm has no such entry. "
            f"{did_you_mean(use_rep, map(str, adata.obsm))}"
        )
    try:
        points = np.asarray(adata.obsm[use_rep], dtype=float)
    except (TypeError, ValueError):
        raise ConfigError(
            f"use_rep: obsm[{use_rep!r}] does not hold numbers: name an embedding such as 'X_pca'."
        ) from None
    if points.ndim != 2 or points.shape[1] < fewest:
        raise ConfigError(
            f"use_rep: obsm[{use_rep!r}] has shape {points.shape}; "
            f"at least {fewest} columns are needed."
        )
    if n_odd := int((~np.isfinite(points)).any(axis=1).sum()):
        raise ConfigError(
            f"use_rep: obsm[{use_rep!r}] holds NaN or infinity for {n_odd:,} of "
            f"{len(points):,} cells: give each cell a finite place."
        )
    return points


def replace_by_own(
    adata: AnnData, *, cluster_key: str | None, use_rep: str | None, slot_of_rep: str
) -> AnnData:
    """Return an object with the named clusters and points instead of those of ``embed``.

    If both are None, this is ``adata`` itself. A new object shares counts, values and results with
    ``adata``; if ``use_rep`` is given, it has no neighbours.

    Parameters
    ----------
    adata
        Cells x genes.
    cluster_key, use_rep
        Column of ``obs`` and entry of ``obsm``, or None.
    slot_of_rep
        Entry of ``obsm`` that the points replace: ``X_pca``, or ``X_umap`` for a map.

    Raises
    ------
    ConfigError
        If :func:`read_clusters` or :func:`read_points` raises it.
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
    made.uns[keys.ROOT] = dict(adata.uns.get("scdiff", {}))
    if cluster_key is not None:
        made.obs[keys.LEIDEN.name] = read_clusters(adata, cluster_key)
    if use_rep is not None:
        is_map = slot_of_rep == keys.UMAP.name
        points = read_points(adata, use_rep, fewest=2 if is_map else 1)
        made.obsm[slot_of_rep] = points[:, :2] if is_map else points
    return made


def join_neighbours(adata: AnnData, *, seed: int) -> None:
    """Join each cell to its neighbours in ``obsm["X_pca"]``, as ``embed`` does.

    Of more than 100,000 cells, only 100,000 are joined, drawn by their leverage.

    Reads
    -----
    obsm["X_pca"]

    Writes
    ------
    obsp["connectivities"], obsp["distances"], obs["scdiff_sketch"], and var["highly_variable"]
    (False for all genes) if it is missing
    """
    rows = sort_names(adata.obs_names)
    points = np.asarray(adata.obsm[keys.PCA.name], dtype=float)[rows]
    chosen = draw_sketch(points, points.var(axis=0), LARGEST, seed)
    indices, distances = nearest(points[chosen], min(N_NEIGHBOURS, len(chosen)) - 1)
    weights = compute_fuzzy_weights(indices, distances)
    steps = build_distance_graph(indices, distances)
    for key, graph in ((keys.CONNECTIVITIES, weights), (keys.DISTANCES, steps)):
        adata.obsp[key.name] = place_nodes(graph, rows[chosen], len(rows))
    inside = np.zeros(len(rows), dtype=bool)
    inside[rows[chosen]] = True
    adata.obs[keys.SKETCH.name] = inside
    if keys.HVG.name not in adata.var:
        adata.var[keys.HVG.name] = False
