"""The root: the population from which the cells could come, by evidence or named by the user."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scdiff import keys
from scdiff.compute.arrays import as_csr, sort_names, take_subgraph
from scdiff.compute.blocks import get_values, read_columns, read_rows
from scdiff.errors import ConfigError
from scdiff.genes import Lookup
from scdiff.programs import load_program
from scdiff.record import read_species
from scdiff.steps.trajectory.days import read_days

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from scipy.sparse import csr_matrix

__all__ = ["Root", "choose_root"]

IDENTITY = "msc_identity"
WEIGHTS = {
    "identity": 2,
    "probability": 2,
    "early": 2,
    "potency": 1,
    "share": 0.5,
    "joined": 0.5,
}
"""Weights of the parts of a candidate's score. Chosen, not tuned.

Potency counts only if the matrix holds no gene of the identity.
"""

LEAST_SHARE = 0.05
"""Share of the component's cells, 0-1, below which a cluster is not a candidate (score NaN).

Such clusters are often doublets.
"""

POTENCY_GENES = 200
"""Genes that define the potency, as in CytoTRACE."""
SMOOTHING = 0.9
"""Share of the neighbours in each round of smoothing, 0-1, as in CytoTRACE."""
ROUNDS = 50
"""Rounds of smoothing. Chosen, not tuned: what is left to change is 0.9**50, below one percent."""
N_ROOTS = 20
"""Cells of the root cluster that show how much the order depends on the root."""


@dataclass(frozen=True)
class Root:
    """Where pseudotime starts, and the clusters that were considered.

    Parameters
    ----------
    cell
        Row of the cell at which pseudotime starts.
    others
        Rows of further cells of the same cluster, from its centre to its rim: equally valid starts.
    cluster
        Its cluster.
    candidates
        One row per cluster of the largest component, best first.
    """

    cell: int
    others: np.ndarray
    cluster: str
    candidates: pd.DataFrame


def choose_root(
    adata: AnnData,
    component: np.ndarray,
    rows: np.ndarray,
    paga: pd.DataFrame,
    asked: str | None,
) -> Root:
    """Choose the user's cluster, cell or gene, otherwise the best candidate.

    Raises
    ------
    ConfigError
        If ``asked`` is not a cluster, barcode or gene.
    """
    candidates = _score_candidates(adata, component == 0, rows, paga)
    clusters = adata.obs[keys.LEIDEN.name].astype(str).to_numpy()
    cluster = _find_cluster(adata, asked, clusters) if asked is not None else candidates.index[0]
    cell = None if cluster is not None else int(adata.obs_names.get_loc(asked))
    if cell is not None:
        cluster, place = clusters[cell], component[cell]
    else:
        inside = component[clusters == cluster]
        place = 0 if asked is None else np.bincount(inside).argmax()
    members = rows[(clusters[rows] == cluster) & (component[rows] == place)]
    outward = _sort_outward(np.asarray(adata.obsm[keys.PCA.name], dtype=float), members)
    spread = outward[np.unique(np.linspace(0, len(outward) - 1, N_ROOTS).astype(int))]
    return Root(int(outward[0]) if cell is None else cell, spread, str(cluster), candidates)


def _find_cluster(adata: AnnData, asked: str, clusters: np.ndarray) -> str | None:
    """Return the cluster of this name, or the one with the highest level of this gene.

    None for a barcode.

    Raises
    ------
    ConfigError
        If it is not a cluster, cell or gene, or no cell expresses the gene.
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
            raise ConfigError(
                f"trajectory(): root is the gene {asked!r}, which no cell expresses. "
                "Name a gene that the start expresses."
            )
        return str(pd.Series(level).groupby(clusters).mean().round(9).idxmax())
    names = sorted(set(clusters))
    near = difflib.get_close_matches(asked, [*names, *adata.obs_names, *adata.var_names], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ConfigError(
        f"trajectory(): root is {asked!r}, which is not a cluster, cell barcode or gene.{hint} "
        f"Clusters: {', '.join(names)}; barcodes look like {adata.obs_names[0]!r}. "
        "Omit root to choose it automatically."
    )


def _sort_outward(points: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Sort cells from the nearest to their mean outward.

    ``members`` are in the order of their names.
    """
    distances = np.linalg.norm(points[members] - points[members].mean(axis=0), axis=1)
    return np.asarray(members[np.argsort(distances.round(9), kind="stable")])


def _score_candidates(
    adata: AnnData, inside: np.ndarray, rows: np.ndarray, paga: pd.DataFrame
) -> pd.DataFrame:
    """Score the clusters of the largest component, best first."""
    import pandas as pd

    clusters = adata.obs[keys.LEIDEN.name].astype(str).to_numpy()[inside]
    probability = pd.Series(adata.obs[keys.PROBABILITY.name].to_numpy(dtype=float)[inside])
    groups = probability.groupby(clusters)
    table = pd.DataFrame(
        {
            "n_cells": groups.size(),
            "identity": _measure_identity(adata, inside, clusters),
            "probability": groups.mean().round(9),
        }
    )
    table["potency"] = np.nan
    if not table["identity"].notna().any():
        potency = pd.Series(_measure_potency(adata, rows)[inside])
        table["potency"] = _scale(potency.groupby(clusters).mean())
    table["early"] = _measure_earliness(adata, inside, clusters)
    table.index = pd.Index([str(name) for name in table.index], dtype=object, name="cluster")
    table["joined_to"] = paga.loc[table.index, table.index].to_numpy() @ table["n_cells"].to_numpy()
    parts = table[["identity", "potency", "early"]].assign(
        probability=1 - table["probability"],
        share=table["n_cells"] / table["n_cells"].sum(),
        joined=table["joined_to"] / (table["joined_to"].max() or np.nan),
    )
    weights = parts.notna() * pd.Series(WEIGHTS)
    large = parts["share"] >= min(LEAST_SHARE, parts["share"].max())
    score = (parts.fillna(0) * weights).sum(axis=1) / weights.sum(axis=1)
    table["score"] = score.where(large)
    by_name = table.sort_index(key=lambda index: index.str.zfill(9))
    return by_name.sort_values(["score", "n_cells"], ascending=False, kind="stable")


def _scale(values: pd.Series) -> pd.Series:
    """Scale values to 0-1; NaN if all are equal."""
    reach = values.max() - values.min()
    return ((values - values.min()) / (reach or np.nan)).round(9)


def _measure_identity(adata: AnnData, inside: np.ndarray, clusters: np.ndarray) -> pd.Series:
    """Compute the mean level of the core markers of MSC identity by cluster, 0-1.

    Each marker is relative to its highest cluster. NaN if no marker has a row.
    """
    import pandas as pd

    species = read_species(adata)
    lookup = Lookup(list(adata.var_names), species)
    values, levels = get_values(adata), {}
    for marker in load_program(IDENTITY).core:
        if columns := lookup.find(marker.genes(species)):
            level = np.expm1(read_columns(values, np.array(columns)).astype(float))
            levels[marker.name] = level.sum(axis=1)[inside]
    means = pd.DataFrame(levels, index=range(int(inside.sum()))).groupby(clusters).mean()
    return (means / means.max().replace(0, np.nan)).mean(axis=1).round(9)


def _measure_earliness(
    adata: AnnData, inside: np.ndarray, clusters: np.ndarray
) -> pd.Series | float:
    """Compute the share of each cluster's cells that belong to the first day, 0-1.

    NaN with fewer than two days.
    """
    import pandas as pd

    day = read_days(adata)[inside]
    if len(np.unique(day[np.isfinite(day)])) < 2:
        return np.nan
    is_first = pd.Series(np.where(np.isfinite(day), day == np.nanmin(day), np.nan))
    return is_first.groupby(clusters).mean().round(9)


def _measure_potency(adata: AnnData, rows: np.ndarray) -> np.ndarray:
    """Compute the level of the genes that correlate with the number of genes seen.

    Shape (n_cells,). It is smoothed over the neighbours. Cells that can still become many cell
    types transcribe more genes.

    Source
    ------
    10.1126/science.aax0249 (CytoTRACE)
    """
    genes = sort_names(adata.var_names)
    values = read_rows(get_values(adata), rows)[:, genes].astype(np.float64)
    number = np.diff(values.indptr).astype(float)
    mean, square = (
        np.asarray(part.mean(axis=0)).ravel() for part in (values, values.multiply(values))
    )
    spread = np.sqrt(np.maximum(square - mean**2, 0)) * number.std()
    covariance = np.asarray(values.T @ (number - number.mean())).ravel() / len(rows)
    correlation = np.divide(covariance, spread, out=np.zeros_like(covariance), where=spread > 0)
    chosen = np.sort(np.argsort(-correlation.round(9), kind="stable")[:POTENCY_GENES])
    level = np.asarray(values[:, chosen].mean(axis=1)).ravel()
    smoothed = np.empty(len(rows))
    smoothed[rows] = _smooth(
        take_subgraph(as_csr(adata.obsp[keys.CONNECTIVITIES.name]), rows), level
    )
    return smoothed


def _smooth(graph: csr_matrix, level: np.ndarray) -> np.ndarray:
    """Mix the level of each cell with that of its neighbours repeatedly; shape (n_cells,)."""
    from scipy import sparse

    degree = np.asarray(graph.sum(axis=1, dtype=np.float64)).ravel()
    walk = sparse.diags(1 / np.maximum(degree, np.finfo(float).tiny)) @ graph
    found = level
    for _ in range(ROUNDS):
        found = SMOOTHING * (walk @ found) + (1 - SMOOTHING) * level
    return np.asarray(found)
