"""embed: variable genes, principal components, neighbours, map and clusters."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt

from scdiff.config import step
from scdiff.programs import DEFAULT_PROGRAMS, load_program
from scdiff.steps._common import csr, gene_moments, name_order, numbered, one_blas_thread, row_chunks
from scdiff.steps._graph import MIN_DISTANCE, fuzzy_weights, layout, nearest
from scdiff.steps._markers import marker_columns

if TYPE_CHECKING:
    from anndata import AnnData
    from scipy.sparse import csr_matrix

__all__ = ["embed"]

log = logging.getLogger(__name__)

FEWEST_CELLS = 5
DENSE_UP_TO = 100
N_BINS = 20


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
    rows = name_order(adata.obs_names)
    matrix = csr(adata.X)
    variable = _variable_genes(adata, matrix, rows, n_hvg)
    columns = [column for column in name_order(adata.var_names) if variable[column]]
    with one_blas_thread():
        points, variance = _principal_components(_selected(matrix, rows, np.array(columns, dtype=int)), n_pcs, seed)
    flat = len(rows) < FEWEST_CELLS or not variance.any()
    indices, distances = nearest(points, min(n_neighbors, len(rows)) - 1, seed)
    weights = fuzzy_weights(indices, distances)
    if flat:
        log.info("%d cells, %d variable genes: too few for clusters and a map; all cells are one cluster.", len(rows), len(columns))
    clusters = np.zeros(len(rows), dtype=int) if flat else _clusters(weights, resolution, leiden, seed)
    drawn = np.zeros((len(rows), 2), dtype=np.float32) if flat else layout(indices, distances, points, seed)
    adata.var["highly_variable"] = variable
    _write(adata, _Embedding(points, variance, indices, distances, weights, clusters, drawn), rows)
    adata.uns |= _parameters(variance, n_neighbors, resolution, leiden, seed)


def _variable_genes(adata: AnnData, matrix: csr_matrix, rows: np.ndarray, n_hvg: int) -> np.ndarray:
    """Choose the genes with the highest normalised dispersion that are no marker of the main programme; shape (n_genes,)."""
    spread = _normalised_dispersion(*gene_moments(matrix, rows, np.expm1))
    spread[marker_columns(adata, load_program(DEFAULT_PROGRAMS[0]))] = np.nan
    by_name = name_order(adata.var_names)
    ranked = by_name[np.argsort(-spread[by_name], kind="stable")]  # NaN goes last
    chosen = np.zeros(adata.n_vars, dtype=bool)
    chosen[ranked[: min(n_hvg, int(np.isfinite(spread).sum()))]] = True
    return chosen


def _normalised_dispersion(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Dispersion as z-score among genes of similar mean (scanpy's flavour ``seurat``); NaN where a gene does not vary."""
    import pandas as pd

    varies = variance > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        dispersion = pd.Series(np.where(varies, np.log(variance / mean), np.nan))
    level = pd.cut(np.log1p(mean), bins=N_BINS, labels=False)
    groups = dispersion.groupby(level)
    average, deviation = groups.transform("mean"), groups.transform("std")
    scaled = ((dispersion - average) / deviation.where(deviation > 0)).fillna(1.0)  # 1 for a gene alone at its level
    return scaled.where(varies).to_numpy(copy=True)


def _selected(matrix: csr_matrix, rows: np.ndarray, columns: np.ndarray) -> csr_matrix:
    """Copy of the chosen columns with cells in the order ``rows``, piece by piece."""
    from scipy import sparse

    part = sparse.vstack([matrix[chunk][:, columns] for chunk in row_chunks(rows)], format="csr")
    part.sort_indices()
    return part


def _principal_components(matrix: csr_matrix, n_pcs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (n_cells, n) and variances (n,) of the first components; zeros where nothing varies."""
    n_comps = min(n_pcs, matrix.shape[0] - 1, matrix.shape[1])
    if n_comps < 1:
        return np.zeros((matrix.shape[0], 1)), np.zeros(1)
    if min(matrix.shape) <= DENSE_UP_TO or n_comps >= min(matrix.shape):
        centred = matrix.toarray().astype(np.float64)
        centred -= centred.mean(axis=0)
        left, singular, right = np.linalg.svd(centred, full_matrices=False)
        sign = np.sign(right[np.arange(len(right)), np.abs(right).argmax(axis=1)])
        return (left * singular * sign)[:, :n_comps], singular[:n_comps] ** 2 / (matrix.shape[0] - 1)
    from sklearn.decomposition import PCA

    model = PCA(n_components=n_comps, svd_solver="arpack", random_state=seed)
    return model.fit_transform(matrix.astype(np.float64)), model.explained_variance_


def _clusters(weights: csr_matrix, resolution: float, flavor: Literal["igraph", "leidenalg"], seed: int) -> np.ndarray:
    """Leiden clusters, largest first; shape (n_cells,)."""
    import scanpy as sc
    from anndata import AnnData

    graph = AnnData(obs={"cell": [str(cell) for cell in range(weights.shape[0])]}, obsp={"connectivities": weights})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.tl.leiden(
            graph,
            resolution=resolution,
            flavor=flavor,
            n_iterations=2,
            directed=False,
            random_state=seed,
            adjacency=weights,
            key_added="leiden",
        )
    found = graph.obs["leiden"].astype(int).to_numpy()
    by_size = np.argsort(-np.bincount(found), kind="stable")
    return np.argsort(by_size)[found]


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
        adata.obsp[name] = graph[back][:, back].astype(np.float32)
        adata.obsp[name].sort_indices()


def _parameters(variance: np.ndarray, n_neighbors: int, resolution: float, leiden: str, seed: int) -> dict[str, Any]:
    """Entries of uns in the shape that scanpy's own functions read."""
    graph = {"n_neighbors": n_neighbors, "method": "umap", "metric": "euclidean", "random_state": seed, "use_rep": "X_pca"}
    return {
        "pca": {"variance": variance},
        "neighbors": {"connectivities_key": "connectivities", "distances_key": "distances", "params": graph},
        "umap": {"params": {"min_dist": MIN_DISTANCE, "init_pos": "pca", "random_state": seed}},
        "leiden": {"params": {"resolution": resolution, "flavor": leiden, "n_iterations": 2, "random_state": seed}},
    }
