"""embed: variable genes, principal components, neighbours, map and clusters."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt

from scdiff.config import step
from scdiff.programs import DEFAULT_PROGRAMS, load_program
from scdiff.steps._blocks import values_of
from scdiff.steps._common import name_order, numbered
from scdiff.steps._graph import clusters_of, fuzzy_weights
from scdiff.steps._layout import MIN_DISTANCE, layout
from scdiff.steps._markers import marker_columns
from scdiff.steps._moments import gene_moments, normalised_dispersion
from scdiff.steps._nearest import nearest
from scdiff.steps._pca import Components

if TYPE_CHECKING:
    from anndata import AnnData
    from scipy.sparse import csr_matrix

__all__ = ["embed"]

log = logging.getLogger(__name__)

FEWEST_CELLS = 5


@dataclass(frozen=True)
class _Embedding:
    """What is computed on the cells in the order of their names."""

    points: np.ndarray
    variance: np.ndarray
    indices: np.ndarray
    distances: np.ndarray
    weights: csr_matrix
    clusters: np.ndarray
    map: np.ndarray


@step
def embed(
    adata: AnnData,
    *,
    n_hvg: Annotated[int, Ge(1)] = 2_000,
    n_pcs: Annotated[int, Ge(1)] = 30,
    n_neighbors: Annotated[int, Ge(2)] = 15,
    resolution: Annotated[float, Gt(0)] = 1.0,
    leiden: Literal["igraph", "leidenalg"] = "igraph",
    seed: Annotated[int, Ge(0)] = 0,
) -> None:
    """Find variable genes, principal components, neighbours, clusters and a map.

    For orientation and for the trajectory; no call depends on it. The markers of the main programme are left out of
    the variable genes: a gene that helped to define a cluster cannot be tested in it. The result does not depend on
    the order of cells or genes.

    Parameters
    ----------
    adata
        Cells x genes, log-normalised.
    n_hvg
        Number of variable genes, 1 or more, by normalised dispersion; fewer where fewer vary.
    n_pcs
        Number of principal components, 1 or more; fewer where cells or genes are fewer.
    n_neighbors
        Neighbours per cell, the cell itself included, 2 or more; fewer where cells are fewer.
    resolution
        Resolution of the clusters, above 0; higher gives more.
    leiden
        Implementation of the clustering.
    seed
        Start of the random generators, 0 or more.

    Reads
    -----
    X

    Writes
    ------
    var["highly_variable"], obsm["X_pca"], obsm["X_umap"], obs["leiden"], obsp["connectivities"], obsp["distances"],
    and the entries pca, neighbors, umap and leiden of uns that scanpy looks for. With fewer than five cells, or where
    no gene varies, all cells are one cluster and the map is zero.

    Source
    ------
    10.1038/nbt.3192 (variable genes), 10.1038/s41598-019-41695-z (leiden), 10.48550/arXiv.1802.03426 (UMAP)
    """
    rows, values = name_order(adata.obs_names), values_of(adata)
    variable = _variable_genes(adata, values, n_hvg)
    columns = np.array([column for column in name_order(adata.var_names) if variable[column]], dtype=int)
    components = Components.of(values, columns, n_pcs)
    points, variance = components.coordinates(values)[rows], components.variance
    flat = len(rows) < FEWEST_CELLS or not variance.any()
    indices, distances = nearest(points, min(n_neighbors, len(rows)) - 1)
    weights = fuzzy_weights(indices, distances)
    if flat:
        log.info("%d cells, %d variable genes: too few for clusters and a map; all cells are one cluster.", len(rows), len(columns))
    clusters = np.zeros(len(rows), dtype=int) if flat else clusters_of(weights, resolution, leiden, seed)
    drawn = np.zeros((len(rows), 2), dtype=np.float32) if flat else layout(weights, points, seed)
    adata.var["highly_variable"] = variable
    _write(adata, _Embedding(points, variance, indices, distances, weights, clusters, drawn), rows)
    adata.uns |= _parameters(variance, n_neighbors, resolution, leiden, seed)


def _variable_genes(adata: AnnData, values: Any, n_hvg: int) -> np.ndarray:
    """Choose the genes with the highest normalised dispersion that are no marker of the main programme; shape (n_genes,)."""
    spread = normalised_dispersion(*gene_moments(values, linear=True))
    spread[marker_columns(adata, load_program(DEFAULT_PROGRAMS[0]))] = np.nan
    by_name = name_order(adata.var_names)
    ranked = by_name[np.argsort(-spread[by_name], kind="stable")]  # NaN goes last
    chosen = np.zeros(adata.n_vars, dtype=bool)
    chosen[ranked[: min(n_hvg, int(np.isfinite(spread).sum()))]] = True
    return chosen


def _write(adata: AnnData, found: _Embedding, rows: np.ndarray) -> None:
    """Bring the results back into the order of ``adata``."""
    from scipy import sparse

    back = np.argsort(rows)
    n_cells, n_others = found.indices.shape
    starts = np.arange(n_cells + 1) * n_others
    distances = sparse.csr_matrix((found.distances.ravel(), found.indices.ravel(), starts), shape=(n_cells, n_cells))
    adata.obsm["X_pca"] = found.points[back].astype(np.float32)
    adata.obsm["X_umap"] = found.map[back]
    adata.obs["leiden"] = numbered(found.clusters[back])
    for name, graph in (("connectivities", found.weights), ("distances", distances)):
        moved = graph[back].astype(np.float32)
        moved.indices = rows[moved.indices].astype(moved.indices.dtype)
        moved.has_sorted_indices = False
        moved.sort_indices()
        adata.obsp[name] = moved


def _parameters(variance: np.ndarray, n_neighbors: int, resolution: float, leiden: str, seed: int) -> dict[str, Any]:
    """Entries of uns in the shape that scanpy's own functions read."""
    graph = {"n_neighbors": n_neighbors, "method": "umap", "metric": "euclidean", "random_state": seed, "use_rep": "X_pca"}
    return {
        "pca": {"variance": variance},
        "neighbors": {"connectivities_key": "connectivities", "distances_key": "distances", "params": graph},
        "umap": {"params": {"min_dist": MIN_DISTANCE, "init_pos": "pca", "random_state": seed}},
        "leiden": {"params": {"resolution": resolution, "flavor": leiden, "n_iterations": 2, "random_state": seed}},
    }
