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
    """Show the map with a choice of colours, and which states each cluster holds.

    Reads
    -----
    ``obsm["X_umap"]``, ``obs["leiden"]``, ``obs["scdiff_state"]``
    """
    states = states_by_cluster(adata.obs["leiden"], adata.obs["scdiff_state"])
    return Section(
        "Clusters",
        "clusters",
        f"{count(adata.n_obs)} cells in {len(states)} clusters. The map is for the eye only: no call and no fraction is computed from it.",
        figures=(_bars(states, adata.n_obs), *(_still(adata, key) for key in (keys.STATE, keys.LEIDEN))),
        tables=(
            Table("clusters.csv", states.rename_axis("cluster").reset_index(), "Cells of each cluster by state."),
            Table("cells.csv.gz", cells_table(adata), "One row per cell: all that is drawn on this page.", shown=False),
        ),
        points=map_points(adata),
    )


def _bars(states: pd.DataFrame, n_cells: int) -> Picture:
    """Draw the shares of the states in each cluster."""
    shares = shares_of(states)
    return picture(
        "clusters_states",
        lambda ax: state_bars(shares, ax),
        caption=f"States within each cluster, {count(n_cells)} cells, largest cluster first. "
        "Positive cells that stand in one cluster are a population; a sprinkle over all of them is suspicious.",
        alt="Stacked bars: share of each state in each cluster",
        table="clusters.csv",
        size=(3.5, 1.9 + 0.2 * len(states)),
    )


def _still(adata: AnnData, key: keys.Key) -> Picture:
    """Draw the map coloured by one category."""
    word = "state" if key is keys.STATE else "cluster"
    return picture(
        f"umap_{word}",
        lambda ax: category_map(adata.obsm["X_umap"], adata.obs[key.name], ax),
        caption=f"The map coloured by {word}, {count(adata.n_obs)} cells, a dot each. "
        "Near dots have similar expression; distances are not to scale.",
        alt=f"UMAP of the cells coloured by {word}",
        table="cells.csv.gz",
        size=(3.5, 3.7),
    )
