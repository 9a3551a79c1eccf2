"""trajectory: where the cells could come from and how far each has gone."""

from __future__ import annotations

import difflib
import logging
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge

from scdiff import keys
from scdiff.config import step
from scdiff.errors import ConfigError
from scdiff.genes import Lookup
from scdiff.programs import load_program
from scdiff.steps._common import csr, name_order, numbered, record, species_of, texts

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from scipy.sparse import csr_matrix

__all__ = ["trajectory"]

log = logging.getLogger(__name__)

IDENTITY = "msc_identity"
NOT_POSITIVE = ("negative", "unassigned", "unspecific")
FEWEST_CELLS = 5
STRETCHED = 0.2
WEIGHTS = {"identity": 2, "probability": 2, "share": 0.5, "joined": 0.5}
"""What the parts of a candidate's score weigh."""

LEAST_SHARE = 0.05
"""A cluster of fewer of the component's cells is no origin: such clusters are often doublets. Its score is NaN."""


@dataclass(frozen=True)
class _Root:
    """Where pseudotime starts, and the clusters that were considered."""

    cell: int
    cluster: str
    candidates: pd.DataFrame


@step
def trajectory(adata: AnnData, *, root: str | None = None, n_comps: Annotated[int, Ge(3)] = 10, seed: Annotated[int, Ge(0)] = 0) -> None:
    """Order the cells by diffusion pseudotime from an automatic, recorded root.

    Cells that no path joins to the root get NaN, never infinity: what is not connected cannot be ordered.
    An order is no proof of a course of differentiation; read it together with the fractions.

    Parameters
    ----------
    adata
        Cells x genes, embedded and called.
    root
        Name of a cluster, or barcode of a cell, at which pseudotime starts. Automatic where not given: the cluster of
        the largest component with the best mean of four parts, each 0-1: identity of MSC and low probability of the
        main programme, and at a quarter of their weight its share of the cells and how many cells the graph of the
        clusters joins it to. Clusters of less than 5 % of the cells are not considered. Within a cluster the cell
        nearest to its centre is taken.
    n_comps
        Number of diffusion components, 3 or more; fewer where cells are fewer.
    seed
        Start of the random generator, 0 or more.

    Reads
    -----
    X, obsp["connectivities"], obsp["distances"], obsm["X_pca"], obs["leiden"], obs["scdiff_state"],
    obs["scdiff_probability"]

    Writes
    ------
    obs["dpt_pseudotime"], 0-1 in the component of the root; obs["scdiff_component"]; uns["scdiff"]["trajectory"]
    with root, candidates, components, the abstracted graph (PAGA) of the clusters and notes.

    Raises
    ------
    ConfigError
        If ``root`` is neither a cluster nor a barcode.

    Source
    ------
    10.1038/nmeth.3971 (pseudotime), 10.1186/s13059-019-1663-x (PAGA)
    """
    rows = name_order(adata.obs_names)
    component = _components(csr(adata.obsp["connectivities"]), rows)
    paga = _paga(csr(adata.obsp["distances"]), adata.obs["leiden"])
    start = _root(adata, component, rows, paga, root)
    pseudotime = np.full(adata.n_obs, np.nan)
    members = rows[component[rows] == component[start.cell]]
    pseudotime[members] = _pseudotime(
        csr(adata.obsp["connectivities"])[members][:, members], members.tolist().index(start.cell), n_comps, seed
    )
    adata.obs["dpt_pseudotime"] = pseudotime
    adata.obs["scdiff_component"] = numbered(component)
    notes = _notes(adata, component, start, pseudotime)
    for note in notes:
        log.info(note)
    found = {
        "root_cluster": start.cluster,
        "root_cell": str(adata.obs_names[start.cell]),
        "root_candidates": start.candidates,
        "components": _component_table(adata, component, start),
        "paga": paga,
        "notes": texts(notes),
    }
    record(adata, keys.TRAJECTORY, found)


def _components(graph: csr_matrix, rows: np.ndarray) -> np.ndarray:
    """Label every cell with the number of its connected component, largest first; shape (n_cells,)."""
    from scipy.sparse.csgraph import connected_components

    _, labels = connected_components(graph, directed=False)
    first = np.full(labels.max() + 1, len(labels))
    np.minimum.at(first, labels[rows], np.arange(len(labels)))
    by_size = np.lexsort((first, -np.bincount(labels)))
    return np.argsort(by_size)[labels]


def _positive(adata: AnnData) -> np.ndarray:
    """Tell which cells carry a positive sub-state of the main programme; shape (n_cells,)."""
    return ~adata.obs["scdiff_state"].astype(str).isin((*NOT_POSITIVE, "nan")).to_numpy()


def _root(adata: AnnData, component: np.ndarray, rows: np.ndarray, paga: pd.DataFrame, asked: str | None) -> _Root:
    """Root by the user's choice, else the best candidate."""
    candidates = _candidates(adata, component == 0, paga)
    clusters = adata.obs["leiden"].astype(str).to_numpy()
    if asked is not None and asked not in clusters:
        cell = _barcode(adata, asked, sorted(set(clusters)))
        return _Root(cell, clusters[cell], candidates)
    cluster = candidates.index[0] if asked is None else asked
    members = rows[(clusters[rows] == cluster) & ((component[rows] == 0) | (asked is not None))]
    return _Root(_central(np.asarray(adata.obsm["X_pca"], dtype=float), members), cluster, candidates)


def _barcode(adata: AnnData, asked: str, clusters: list[str]) -> int:
    """Row of the cell ``asked``.

    Raises
    ------
    ConfigError
        If no cell has this name.
    """
    if asked in adata.obs_names:
        return int(adata.obs_names.get_loc(asked))
    near = difflib.get_close_matches(asked, [*clusters, *adata.obs_names], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ConfigError(
        f"trajectory(): root is {asked!r}, which is neither a cluster nor a cell barcode.{hint} "
        f"Clusters: {', '.join(clusters)}; barcodes look like {adata.obs_names[0]!r}. Leave it out for an automatic root."
    )


def _central(points: np.ndarray, members: np.ndarray) -> int:
    """Cell among ``members`` (in the order of their names) that is nearest to their mean."""
    distances = np.linalg.norm(points[members] - points[members].mean(axis=0), axis=1)
    return int(members[distances.round(9).argmin()])


def _candidates(adata: AnnData, inside: np.ndarray, paga: pd.DataFrame) -> pd.DataFrame:
    """Clusters of the largest component with what speaks for them and their score, best first."""
    import pandas as pd

    clusters = adata.obs["leiden"].astype(str).to_numpy()[inside]
    groups = pd.Series(adata.obs["scdiff_probability"].to_numpy(dtype=float)[inside]).groupby(clusters)
    table = pd.DataFrame({"n_cells": groups.size(), "identity": _identity(adata, inside, clusters), "probability": groups.mean().round(9)})
    table.index = pd.Index([str(name) for name in table.index], dtype=object, name="cluster")
    table["joined_to"] = paga.loc[table.index, table.index].to_numpy() @ table["n_cells"].to_numpy()
    parts = pd.DataFrame(
        {
            "identity": table["identity"],
            "probability": 1 - table["probability"],
            "share": table["n_cells"] / table["n_cells"].sum(),
            "joined": table["joined_to"] / (table["joined_to"].max() or np.nan),
        }
    )
    weights = parts.notna() * pd.Series(WEIGHTS)
    large = parts["share"] >= min(LEAST_SHARE, parts["share"].max())
    table["score"] = ((parts.fillna(0) * weights).sum(axis=1) / weights.sum(axis=1)).where(large)
    return table.sort_index(key=lambda index: index.str.zfill(9)).sort_values(["score", "n_cells"], ascending=False, kind="stable")


def _identity(adata: AnnData, inside: np.ndarray, clusters: np.ndarray) -> pd.Series:
    """Mean level of the core markers of MSC identity by cluster, each relative to its highest cluster; 0-1, NaN without a row."""
    import pandas as pd

    species = species_of(adata)
    lookup = Lookup(list(adata.var_names), species)
    markers = {marker.name: lookup.find(marker.genes(species)) for marker in load_program(IDENTITY).core}
    levels = {name: np.expm1(csr(adata.X)[:, rows].toarray().astype(float)).sum(axis=1)[inside] for name, rows in markers.items() if rows}
    means = pd.DataFrame(levels, index=range(int(inside.sum()))).groupby(clusters).mean()
    return (means / means.max().replace(0, np.nan)).mean(axis=1).round(9)


def _pseudotime(graph: csr_matrix, start: int, n_comps: int, seed: int) -> np.ndarray:
    """Diffusion pseudotime from cell ``start``, 0-1, within one connected component; shape (n_cells,).

    With fewer than five cells, or where all are alike, there is nothing to order: 0 at the start, NaN elsewhere.
    """
    n_cells = graph.shape[0]
    if n_cells >= FEWEST_CELLS:
        values = _diffusion(graph, start, min(n_comps, n_cells - 2), seed)
        if np.isfinite(values).all() and values.max() > 0:
            return values / values.max()
    alone = np.full(n_cells, np.nan)
    alone[start] = 0.0
    return alone


def _diffusion(graph: csr_matrix, start: int, n_comps: int, seed: int) -> np.ndarray:
    """Diffusion distance from cell ``start`` as scanpy computes it; shape (n_cells,)."""
    import scanpy as sc
    from anndata import AnnData

    cells = AnnData(obs={"cell": [str(cell) for cell in range(graph.shape[0])]}, obsp={"connectivities": graph, "distances": graph})
    parameters = {"n_neighbors": FEWEST_CELLS, "method": "umap"}
    cells.uns["neighbors"] = {"connectivities_key": "connectivities", "distances_key": "distances", "params": parameters}
    cells.uns["iroot"] = start
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.tl.diffmap(cells, n_comps=n_comps, random_state=seed)
        sc.tl.dpt(cells, n_dcs=n_comps)
    return cells.obs["dpt_pseudotime"].to_numpy(dtype=float)


def _component_table(adata: AnnData, component: np.ndarray, start: _Root) -> pd.DataFrame:
    """Cells and positive cells by component."""
    import pandas as pd

    sizes = np.bincount(component)
    positive = np.bincount(component, weights=_positive(adata), minlength=len(sizes)).astype(int)
    index = pd.Index([str(number) for number in range(len(sizes))], dtype=object, name="component")
    return pd.DataFrame({"n_cells": sizes, "n_positive": positive, "has_root": np.arange(len(sizes)) == component[start.cell]}, index=index)


def _paga(distances: csr_matrix, clusters: pd.Series) -> pd.DataFrame:
    """Abstracted graph of the clusters: edges between them over those expected by chance, at most 1.

    Model v1.2 of ``scanpy.tl.paga``, which fails where no edge joins two clusters.
    """
    import pandas as pd
    from scipy import sparse

    codes, names = clusters.cat.codes.to_numpy(), [str(name) for name in clusters.cat.categories]
    member = sparse.csr_matrix((np.ones(len(codes)), (np.arange(len(codes)), codes)), shape=(len(codes), len(names)))
    edges = distances.copy()
    edges.data = np.ones(len(edges.data))
    counts = (member.T @ edges @ member).toarray()
    from_cluster, sizes = counts.sum(axis=1), np.bincount(codes, minlength=len(names))
    between = counts + counts.T - 2 * np.diag(np.diag(counts))
    expected = (np.outer(from_cluster, sizes) + np.outer(sizes, from_cluster)) / max(len(codes) - 1, 1)
    weights = np.minimum(np.divide(between, expected, out=np.zeros_like(between), where=expected > 0), 1)
    return pd.DataFrame(weights, index=pd.Index(names, dtype=object), columns=names)


def _notes(adata: AnnData, component: np.ndarray, start: _Root, pseudotime: np.ndarray) -> list[str]:
    """Say what limits the reading of this trajectory."""
    reached = component == component[start.cell]
    values = pseudotime[np.isfinite(pseudotime)]
    positive = _positive(adata)
    lost = int((positive & ~reached).sum())
    notes = []
    if not reached.all():
        notes.append(f"No path joins {(~reached).sum()} of {len(reached)} cells to the root (other components): they have no pseudotime.")
    if component.max() > 0 and _one_sample_each(adata, component):
        notes.append("Every component holds cells of one sample only: differences of batch and of state cannot be told apart.")
    if len(values) == 1:
        notes.append("The cells of the root's component cannot be ordered (fewer than five, or all alike).")
    elif np.quantile(values, 0.95) < STRETCHED:
        notes.append(f"A few distant cells stretch the scale: 95 % of the cells have a pseudotime below {STRETCHED}.")
    if adata.obs["scdiff_probability"].isna().all():
        notes.append("The main programme cannot be measured here, so the root was chosen without it.")
    elif not positive.any():
        notes.append(
            "No cell is called positive: the order shows variation among the cells, not a course toward the progenitor-like state."
        )
    if lost:
        notes.append(f"{lost} of {positive.sum()} positive cells have no path from the root.")
    return notes


def _one_sample_each(adata: AnnData, component: np.ndarray) -> bool:
    """Tell whether several samples are there and no component holds cells of two."""
    if "sample" not in adata.obs or adata.obs["sample"].nunique() < 2:
        return False
    samples = adata.obs["sample"].cat.codes.to_numpy()
    return all(len(np.unique(samples[component == number])) == 1 for number in range(component.max() + 1))
