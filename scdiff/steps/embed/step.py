"""embed: variable genes, principal components, neighbours, map and clusters."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt

from scdiff import keys
from scdiff.compute.arrays import name_groups, sort_names
from scdiff.compute.blocks import get_values
from scdiff.compute.graph import (
    build_distance_graph,
    compute_fuzzy_weights,
    find_clusters,
    place_nodes,
)
from scdiff.compute.moments import gene_moments, normalise_dispersion
from scdiff.compute.nearest import nearest
from scdiff.compute.pca import Components
from scdiff.options import step
from scdiff.programs import DEFAULT_PROGRAMS, load_program
from scdiff.steps.embed.layout import MIN_DISTANCE, compute_layout
from scdiff.steps.shared.markers import marker_columns
from scdiff.steps.shared.sketch import LARGEST, draw_sketch, find_majority, find_sketch_cells

if TYPE_CHECKING:
    from anndata import AnnData
    from scipy.sparse import csr_matrix

__all__ = ["embed"]

log = logging.getLogger(__name__)

FEWEST_CELLS = 5
"""Number of cells from which clusters and a map are computed. Chosen, not tuned."""


@dataclass(frozen=True)
class _Embedding:
    """Results for the cells of the graph, in the order of their names.

    Parameters
    ----------
    indices, distances
        Nearest cells of each cell, shape (n_cells, n_neighbors - 1).
    weights
        Weights of the neighbour graph, 0-1, shape (n_cells, n_cells).
    clusters
        Number of the cluster, shape (n_cells,).
    map
        Place on the map, shape (n_cells, 2).
    """

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

    They serve orientation and the trajectory; calls do not depend on them. The markers of the main
    programme are excluded from the variable genes: a gene that helped to define a cluster cannot be
    tested in it. The result does not depend on the order of cells or genes. Of more than 100,000
    cells, the graph contains 100,000, drawn by their leverage. Each other cell gets the cluster and
    the place on the map of the cells of the graph that are nearest to it.

    Parameters
    ----------
    adata
        Cells x genes, log-normalised.
    n_hvg
        Number of variable genes, 1 or more, by normalised dispersion; fewer if fewer genes vary.
    n_pcs
        Number of principal components, 1 or more; fewer if there are fewer cells or genes.
    n_neighbors
        Neighbours per cell, the cell itself included, 2 or more; fewer if there are fewer cells.
    resolution
        Resolution of the clusters, above 0; a higher value gives more clusters.
    leiden
        Implementation of the clustering.
    seed
        Start of the random generators, 0 or more.

    Reads
    -----
    X

    Writes
    ------
    var["highly_variable"], obsm["X_pca"], obsm["X_umap"], obs["leiden"], obs["scdiff_sketch"],
    obsp["connectivities"], obsp["distances"], and the entries pca, neighbors, umap and leiden of
    uns that scanpy reads. With fewer than five cells, or if no gene varies, all cells are one
    cluster and the map is zero.

    Source
    ------
    10.1038/nbt.3192 (variable genes), 10.1038/s41598-019-41695-z (leiden),
    10.48550/arXiv.1802.03426 (UMAP)
    """
    rows, values = sort_names(adata.obs_names), get_values(adata)
    variable = _choose_variable_genes(adata, values, n_hvg)
    columns = np.array(
        [column for column in sort_names(adata.var_names) if variable[column]], dtype=int
    )
    components = Components.of(values, columns, n_pcs)
    points, variance = components.coordinates(values)[rows], components.variance
    chosen = draw_sketch(points, variance, LARGEST, seed)
    if len(chosen) < len(rows):
        log.info(
            "%d cells: neighbours, clusters and map are computed on %d of them; "
            "each other cell gets the values of the nearest of these.",
            len(rows),
            len(chosen),
        )
    adata.var[keys.HVG.name] = variable
    found = _embed_points(
        points[chosen],
        variance,
        n_neighbors,
        lambda weights: find_clusters(weights, resolution, leiden, seed),
        seed,
    )
    _write(adata, found, points, rows, chosen)
    adata.uns |= _list_parameters(variance, n_neighbors, resolution, leiden, seed)


def _embed_points(
    points: np.ndarray,
    variance: np.ndarray,
    n_neighbors: int,
    clustering: Callable[[csr_matrix], np.ndarray],
    seed: int,
) -> _Embedding:
    """Return neighbours, clusters and map of cells that are in the order of their names.

    All cells are one cluster if they are fewer than five, or all the same.
    """
    indices, distances = nearest(points, min(n_neighbors, len(points)) - 1)
    weights = compute_fuzzy_weights(indices, distances)
    if len(points) < FEWEST_CELLS or not variance.any():
        log.info(
            "%d cells: too few, or too similar, for clusters and a map; all cells are one cluster.",
            len(points),
        )
        one, nowhere = np.zeros(len(points), dtype=int), np.zeros((len(points), 2), np.float32)
        return _Embedding(indices, distances, weights, one, nowhere)
    clusters = clustering(weights)
    layout = compute_layout(weights, points, seed)
    return _Embedding(indices, distances, weights, clusters, layout)


def _choose_variable_genes(adata: AnnData, values: Any, n_hvg: int) -> np.ndarray:
    """Choose the genes with the highest normalised dispersion; shape (n_genes,).

    Markers of the main programme are excluded.
    """
    spread = normalise_dispersion(*gene_moments(values, linear=True))
    spread[marker_columns(adata, load_program(DEFAULT_PROGRAMS[0]))] = np.nan
    by_name = sort_names(adata.var_names)
    ranked = by_name[np.argsort(-spread[by_name], kind="stable")]  # NaN goes last
    chosen = np.zeros(adata.n_vars, dtype=bool)
    chosen[ranked[: min(n_hvg, int(np.isfinite(spread).sum()))]] = True
    return chosen


def _write(
    adata: AnnData, found: _Embedding, points: np.ndarray, rows: np.ndarray, chosen: np.ndarray
) -> None:
    """Write the results in the order of ``adata``.

    Cells outside the graph get the values of the nearest cells in it.
    """
    back, inside = np.argsort(rows), np.zeros(len(rows), dtype=bool)
    inside[chosen] = True
    takes = find_sketch_cells(points, inside)
    adata.obsm[keys.PCA.name] = points[back].astype(np.float32)
    adata.obsm[keys.UMAP.name] = found.map[takes].mean(axis=1)[back].astype(np.float32)
    adata.obs[keys.LEIDEN.name] = name_groups(find_majority(found.clusters[takes])[back])
    adata.obs[keys.SKETCH.name] = inside[back]
    distances = build_distance_graph(found.indices, found.distances)
    for name, graph in (("connectivities", found.weights), ("distances", distances)):
        adata.obsp[name] = place_nodes(graph, rows[chosen], len(rows))


def _list_parameters(
    variance: np.ndarray, n_neighbors: int, resolution: float, leiden: str, seed: int
) -> dict[str, Any]:
    """Return the entries of uns in the format that the functions of scanpy read."""
    graph = {
        "n_neighbors": n_neighbors,
        "method": "umap",
        "metric": "euclidean",
        "random_state": seed,
        "use_rep": "X_pca",
    }
    return {
        "pca": {"variance": variance},
        "neighbors": {
            "connectivities_key": "connectivities",
            "distances_key": "distances",
            "params": graph,
        },
        "umap": {"params": {"min_dist": MIN_DISTANCE, "init_pos": "pca", "random_state": seed}},
        "leiden": {
            "params": {
                "resolution": resolution,
                "flavor": leiden,
                "n_iterations": 2,
                "random_state": seed,
            }
        },
    }
