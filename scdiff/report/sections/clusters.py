"""Section: clusters, with the interactive map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scdiff import keys
from scdiff.report.plots.maps import category_map, state_bars
from scdiff.report.points import map_points
from scdiff.report.section import SECTIONS, Picture, Section, Table, picture
from scdiff.report.selections import shares_of, states_by_cluster
from scdiff.report.tables import cells_table
from scdiff.report.text import count

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


@SECTIONS.register(
    "clusters",
    summary="Map and clusters.",
    source="field convention",
    facts={"title": "Clusters", "reads": (keys.UMAP, keys.LEIDEN, keys.STATE)},
)
def clusters(adata: AnnData) -> Section:
    """Show the map with a choice of colours, and the states in each cluster.

    Reads
    -----
    ``obsm["X_umap"]``, ``obs["leiden"]``, ``obs["scdiff_state"]``
    """
    states = states_by_cluster(adata.obs[keys.LEIDEN.name], adata.obs[keys.STATE.name])
    frame = states.rename_axis("cluster").reset_index()
    cells = "One row per cell, with all values that this page draws."
    return Section(
        "Clusters",
        "clusters",
        f"{count(adata.n_obs)} cells in {len(states)} clusters. The map is for orientation only: "
        "no call and no fraction is computed from it.",
        figures=(
            _draw_states(states, adata.n_obs),
            *(_draw_map(adata, key) for key in (keys.STATE, keys.LEIDEN)),
        ),
        tables=(
            Table("clusters.csv", frame, "Number of cells in each state, by cluster."),
            Table("cells.csv.gz", cells_table(adata), cells, shown=False),
        ),
        points=map_points(adata),
    )


def _draw_states(states: pd.DataFrame, n_cells: int) -> Picture:
    """Draw the shares of the states in each cluster."""
    shares = shares_of(states)
    return picture(
        "clusters_states",
        lambda ax: state_bars(shares, ax),
        caption=f"Share of each state in each cluster, {count(n_cells)} cells, the largest cluster "
        "first. Positive cells in one cluster are a population; a few positive cells in every "
        "cluster are suspicious.",
        alt="Stacked bars: share of each state in each cluster",
        table="clusters.csv",
        size=(3.5, 1.9 + 0.2 * len(states)),
    )


def _draw_map(adata: AnnData, key: keys.Key) -> Picture:
    """Draw the map coloured by one category."""
    word = "state" if key is keys.STATE else "cluster"
    return picture(
        f"umap_{word}",
        lambda ax: category_map(adata.obsm[keys.UMAP.name], adata.obs[key.name], ax),
        caption=f"UMAP coloured by {word}, {count(adata.n_obs)} cells, one dot per cell. "
        "Cells close to each other have similar expression; distances are not to scale.",
        alt=f"UMAP of the cells coloured by {word}",
        table="cells.csv.gz",
        size=(3.5, 3.7),
    )
