"""The root: the population from which the cells could come, chosen by stated evidence or named by the user."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scdiff.compute.arrays import as_csr, sort_names, take_subgraph
from scdiff.compute.blocks import get_values, read_columns, read_rows
from scdiff.errors import ConfigError
from scdiff.genes import Lookup
from scdiff.programs import load_program
from scdiff.record import read_species
from scdiff.steps.trajectory.days import days_of

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from scipy.sparse import csr_matrix

__all__ = ["Root", "choose_root"]

IDENTITY = "msc_identity"
WEIGHTS = {"identity": 2, "probability": 2, "early": 2, "potency": 1, "share": 0.5, "joined": 0.5}
"""What the parts of a candidate's score weigh; potency only where no gene of the identity is in the matrix."""

LEAST_SHARE = 0.05
"""A cluster of fewer of the component's cells is no origin: such clusters are often doublets. Its score is NaN."""

POTENCY_GENES = 200
SMOOTHING, ROUNDS = 0.9, 50
N_ROOTS = 20


@dataclass(frozen=True)
class Root:
    """Where pseudotime starts, and the clusters that were considered.

    Parameters
    ----------
    cell
        Row of the cell at which pseudotime starts.
    others
        Rows of further cells of the same cluster, spread from its centre to its rim: as good as starts.
    cluster
        Its cluster.
    candidates
        One row per cluster of the largest component, best first.
    """

    cell: int
    others: np.ndarray
    cluster: str
    candidates: pd.DataFrame


def choose_root(adata: AnnData, component: np.ndarray, rows: np.ndarray, paga: pd.DataFrame, asked: str | None) -> Root:
    """Take the user's cluster, cell or gene, else the best candidate.

    Raises
    ------
    ConfigError
        If ``asked`` is neither a cluster nor a barcode nor a gene.
    """
    candidates = _candidates(adata, component == 0, rows, paga)
    clusters = adata.obs["leiden"].astype(str).to_numpy()
    cluster = _asked_cluster(adata, asked, clusters) if asked is not None else candidates.index[0]
    cell = None if cluster is not None else int(adata.obs_names.get_loc(asked))
    if cell is not None:
        cluster, place = clusters[cell], component[cell]
    else:
        inside = component[clusters == cluster]
        place = 0 if asked is None else np.bincount(inside).argmax()
    members = rows[(clusters[rows] == cluster) & (component[rows] == place)]
    outward = _outward(np.asarray(adata.obsm["X_pca"], dtype=float), members)
    spread = outward[np.unique(np.linspace(0, len(outward) - 1, N_ROOTS).astype(int))]
    return Root(int(outward[0]) if cell is None else cell, spread, str(cluster), candidates)


def _asked_cluster(adata: AnnData, asked: str, clusters: np.ndarray) -> str | None:
    """Cluster of this name, or the one where the gene of this name is highest; None for a barcode.

    Raises
    ------
    ConfigError
        If there is no such cluster, cell or gene, or no cell expresses it.
    """
    if asked in clusters:
        return asked
    if asked in adata.obs_names:
        return None
    if asked in adata.var_names:
        import pandas as pd

        columns = np.flatnonzero(adata.var_names == asked)
        level = read_columns(get_values(adata), columns).sum(axis=1, dtype=np.float64)
        if not level.any():
            raise ConfigError(f"trajectory(): root is the gene {asked!r}, which no cell expresses. Name a gene that the start expresses.")
        return str(pd.Series(level).groupby(clusters).mean().round(9).idxmax())
    names = sorted(set(clusters))
    near = difflib.get_close_matches(asked, [*names, *adata.obs_names, *adata.var_names], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ConfigError(
        f"trajectory(): root is {asked!r}, which is neither a cluster nor a cell barcode nor a gene.{hint} "
        f"Clusters: {', '.join(names)}; barcodes look like {adata.obs_names[0]!r}. Leave it out for an automatic root."
    )


def _outward(points: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Cells ``members`` (in the order of their names) from the nearest to their mean outward."""
    distances = np.linalg.norm(points[members] - points[members].mean(axis=0), axis=1)
    return np.asarray(members[np.argsort(distances.round(9), kind="stable")])


def _candidates(adata: AnnData, inside: np.ndarray, rows: np.ndarray, paga: pd.DataFrame) -> pd.DataFrame:
    """Clusters of the largest component with what speaks for them and their score, best first."""
    import pandas as pd

    clusters = adata.obs["leiden"].astype(str).to_numpy()[inside]
    groups = pd.Series(adata.obs["scdiff_probability"].to_numpy(dtype=float)[inside]).groupby(clusters)
    table = pd.DataFrame({"n_cells": groups.size(), "identity": _identity(adata, inside, clusters), "probability": groups.mean().round(9)})
    known = table["identity"].notna().any()
    table["potency"] = np.nan if known else _scaled(pd.Series(_potency(adata, rows)[inside]).groupby(clusters).mean())
    table["early"] = _early(adata, inside, clusters)
    table.index = pd.Index([str(name) for name in table.index], dtype=object, name="cluster")
    table["joined_to"] = paga.loc[table.index, table.index].to_numpy() @ table["n_cells"].to_numpy()
    parts = table[["identity", "potency", "early"]].assign(
        probability=1 - table["probability"],
        share=table["n_cells"] / table["n_cells"].sum(),
        joined=table["joined_to"] / (table["joined_to"].max() or np.nan),
    )
    weights = parts.notna() * pd.Series(WEIGHTS)
    large = parts["share"] >= min(LEAST_SHARE, parts["share"].max())
    table["score"] = ((parts.fillna(0) * weights).sum(axis=1) / weights.sum(axis=1)).where(large)
    return table.sort_index(key=lambda index: index.str.zfill(9)).sort_values(["score", "n_cells"], ascending=False, kind="stable")


def _scaled(values: pd.Series) -> pd.Series:
    """Stretch to 0-1; NaN where all are alike."""
    reach = values.max() - values.min()
    return ((values - values.min()) / (reach or np.nan)).round(9)


def _identity(adata: AnnData, inside: np.ndarray, clusters: np.ndarray) -> pd.Series:
    """Mean level of the core markers of MSC identity by cluster, each relative to its highest cluster; 0-1, NaN without a row."""
    import pandas as pd

    species = read_species(adata)
    lookup = Lookup(list(adata.var_names), species)
    markers = {marker.name: lookup.find(marker.genes(species)) for marker in load_program(IDENTITY).core}
    values = get_values(adata)
    levels = {
        name: np.expm1(read_columns(values, np.array(rows)).astype(float)).sum(axis=1)[inside] for name, rows in markers.items() if rows
    }
    means = pd.DataFrame(levels, index=range(int(inside.sum()))).groupby(clusters).mean()
    return (means / means.max().replace(0, np.nan)).mean(axis=1).round(9)


def _early(adata: AnnData, inside: np.ndarray, clusters: np.ndarray) -> pd.Series | float:
    """Share of the cluster's cells that are of the first day; NaN where no days, or only one, are given."""
    import pandas as pd

    day = days_of(adata)[inside]
    if len(np.unique(day[np.isfinite(day)])) < 2:
        return np.nan
    return pd.Series(np.where(np.isfinite(day), day == np.nanmin(day), np.nan)).groupby(clusters).mean().round(9)


def _potency(adata: AnnData, rows: np.ndarray) -> np.ndarray:
    """Level of the genes that go with the number of genes seen, smoothed over the neighbours; shape (n_cells,).

    Cells that can still become many things transcribe more genes.

    Source
    ------
    10.1126/science.aax0249 (CytoTRACE)
    """
    genes = sort_names(adata.var_names)
    values = read_rows(get_values(adata), rows)[:, genes].astype(np.float64)
    number = np.diff(values.indptr).astype(float)
    mean, square = (np.asarray(part.mean(axis=0)).ravel() for part in (values, values.multiply(values)))
    spread = np.sqrt(np.maximum(square - mean**2, 0)) * number.std()
    covariance = np.asarray(values.T @ (number - number.mean())).ravel() / len(rows)
    together = np.divide(covariance, spread, out=np.zeros_like(covariance), where=spread > 0).round(9)
    chosen = np.sort(np.argsort(-together, kind="stable")[:POTENCY_GENES])
    level = np.asarray(values[:, chosen].mean(axis=1)).ravel()
    smoothed = np.empty(len(rows))
    smoothed[rows] = _smoothed(take_subgraph(as_csr(adata.obsp["connectivities"]), rows), level)
    return smoothed


def _smoothed(graph: csr_matrix, level: np.ndarray) -> np.ndarray:
    """Mix the level of each cell with that of its neighbours, again and again; shape (n_cells,)."""
    from scipy import sparse

    degree = np.asarray(graph.sum(axis=1, dtype=np.float64)).ravel()
    walk = sparse.diags(1 / np.maximum(degree, np.finfo(float).tiny)) @ graph
    found = level
    for _ in range(ROUNDS):
        found = SMOOTHING * (walk @ found) + (1 - SMOOTHING) * level
    return np.asarray(found)
