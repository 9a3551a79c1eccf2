"""Section: pseudotime and the graph of clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scdiff import keys
from scdiff.report.plots.maps import paga_graph, pseudotime_map
from scdiff.report.plots.path import day_flow, gene_courses, path_histogram
from scdiff.report.section import SECTIONS, Picture, Section, Table, picture
from scdiff.report.selections import cluster_positions, main_calls
from scdiff.report.text import count, interval, percent
from scdiff.vocabulary import CONTINUUM, POOLED, SEPARATE, UNDECIDED

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


@SECTIONS.register(
    "trajectory",
    summary="Pseudotime, root and components.",
    source="10.1038/nmeth.3971",
    facts={"title": "Trajectory", "reads": (keys.TRAJECTORY, keys.PSEUDOTIME, keys.UMAP, keys.LEIDEN)},
)
def trajectory(adata: AnnData) -> Section:
    """Show pseudotime from the recorded root, and how the clusters connect.

    Reads
    -----
    ``uns["scdiff"]["trajectory"]``, ``obs["dpt_pseudotime"]``, ``obsm["X_umap"]``, ``obs["leiden"]``

    Source
    ------
    Diffusion pseudotime: 10.1038/nmeth.3971; PAGA: 10.1186/s13059-019-1663-x
    """
    facts = adata.uns["scdiff"]["trajectory"]
    reached = int(adata.obs["dpt_pseudotime"].notna().sum())
    return Section(
        "Trajectory",
        "trajectory",
        f"{_verdict(facts)} Root: cell {facts['root_cell']} in cluster {facts['root_cluster']}. {_reach(reached, adata.n_obs)} "
        "An order of states is not a proof that cells move along it.",
        figures=(*_path(facts), *_courses(facts), *_days(facts), _map(adata, facts, reached), *_paga(adata, facts)),
        tables=_tables(facts),
        notes=tuple(str(note) for note in facts.get("notes", ())),
    )


_MEANING = {
    CONTINUUM: "Continuum: cells fill the way from the root to the positive cells, more than doublets explain.",
    SEPARATE: "Separate population: between the root and the positive cells is a gap, but for the doublets that two mixed "
    "populations give. This speaks for contamination or a mixed-in cell line, not for differentiation.",
    UNDECIDED: "Undecided: too few positive cells, or too much scatter, to tell a continuum from a separate population.",
}


def _verdict(facts: dict[str, Any]) -> str:
    """Say the verdict on the path with its p-values, and the committed fraction where it means something."""
    said, together = str(facts.get("verdict", UNDECIDED)), bool(facts.get("together", True))
    gap = facts.get("gap", {})
    sentence = _MEANING.get(said, said) if together or said == CONTINUUM else _BATCHES
    if gap and gap["density"] == gap["density"]:
        says = {CONTINUUM: ("p_continuum",), SEPARATE: ("p_separate",)}.get(said, ("p_continuum", "p_separate"))
        sentence += f" ({'; '.join(_PROBABILITIES[name].format(_p(gap[name])) for name in says)}.)"
    committed = facts.get("committed")
    if committed is None or said == SEPARATE or not together or not committed.loc[POOLED, "committed"] >= 0:
        return sentence
    row = committed.loc[POOLED]
    return f"{sentence} {percent(row['committed'])} % of cells ({interval(row['low'], row['high'])}) have left the start."


_BATCHES = (
    "Undecided: the start and the positive cells are of different samples, and a difference of batches would look like a gap between them."
)
_PROBABILITIES = {
    "p_continuum": "doublets alone fill the way so with P {}",
    "p_separate": "a sparse continuum leaves such a gap with P {}",
}


def _p(value: float) -> str:
    """Say a probability.

    >>> _p(3e-9), _p(0.034)
    ('below 0.001', '0.034')
    """
    return "below 0.001" if value < 0.001 else f"{value:.2g}"


def _path(facts: dict[str, Any]) -> tuple[Picture, ...]:
    """Draw the way from start to end; nothing where there was no end."""
    table = facts.get("path")
    if table is None or not table["cells"].sum():
        return ()
    drawing = picture(
        "trajectory_path",
        lambda ax: path_histogram(table, facts.get("gap", {}), ax),
        caption=f"{count(table['cells'].sum())} cells between the root's cluster (0) and the positive cells that went furthest (1), by "
        "all genes but the markers. Differentiation fills the way; two mixed populations leave it to doublets (blue line). "
        "Cells at the left are not on the way.",
        alt="Histogram of cells between start and end, with the doublets expected",
        table="trajectory_path.csv",
        size=(3.5, 3.1),
    )
    return (drawing,)


def _reach(reached: int, n_cells: int) -> str:
    """Say how many cells pseudotime orders."""
    if reached == n_cells:
        return f"Pseudotime orders all {count(n_cells)} cells."
    return f"Pseudotime orders {count(reached)} of {count(n_cells)} cells; the others are not connected to the root."


def _courses(facts: dict[str, Any]) -> tuple[Picture, ...]:
    """Draw the markers along the way; nothing without a way."""
    table = facts.get("trends")
    if table is None or not len(table) or not facts.get("gap"):
        return ()
    drawing = picture(
        "trajectory_genes",
        lambda ax: gene_courses(table, ax),
        caption="The programme's markers along the way: counts per 10,000 of the cells of each bin together, with 95 % bands. "
        "The place of a cell does not rest on these genes.",
        alt="Level of each marker from start to end",
        table="trajectory_trends.csv",
        size=(3.5, 3.1),
    )
    return (drawing,)


def _days(facts: dict[str, Any]) -> tuple[Picture, ...]:
    """Draw the states by day; nothing where no days were given."""
    table = facts.get("days")
    if table is None or not len(table):
        return ()
    drawing = picture(
        "trajectory_days",
        lambda ax: day_flow(table, ax),
        caption="Cells that are not negative, by day and state as called, and the committed share with its 95 % interval: cells on the way "
        "count as committed before their markers show.",
        alt="Stacked shares of states by day",
        table="trajectory_days.csv",
        size=(3.5, 3.3),
    )
    return (drawing,)


def _map(adata: AnnData, facts: dict[str, Any], reached: int) -> Picture:
    """Draw the map coloured by pseudotime."""
    names = [str(name) for name in adata.obs_names]
    root = names.index(str(facts["root_cell"])) if str(facts["root_cell"]) in names else None
    return picture(
        "trajectory_pseudotime",
        lambda ax: pseudotime_map(adata.obsm["X_umap"], adata.obs["dpt_pseudotime"].to_numpy(dtype=float), root, ax),
        caption=f"Pseudotime of {count(reached)} cells, dark to bright from the root (ring) outward; grey cells are not reached. "
        "Near the root: like it in expression.",
        alt="UMAP coloured by pseudotime, root marked",
        table="cells.csv.gz",
        size=(3.5, 3.7),
    )


def _paga(adata: AnnData, facts: dict[str, Any]) -> tuple[Picture, ...]:
    """Draw the graph of clusters; nothing where it was not computed."""
    graph = facts.get("paga")
    if graph is None or len(graph) == 0:
        return ()
    drawing = picture(
        "trajectory_paga",
        lambda ax: paga_graph(_positions(adata), graph, str(facts["root_cluster"]), ax),
        caption=f"Clusters of {count(adata.n_obs)} cells as a graph (PAGA): area for cells, blue for the share called, thick lines for "
        "strong connection, orange rim for the root's cluster. Called cells without a line to the root did not come from it in these data.",
        alt="Graph of clusters, node area by cells, colour by share called",
        table="trajectory_paga.csv",
        size=(3.5, 3.7),
    )
    return (drawing,)


def _positions(adata: AnnData) -> pd.DataFrame:
    """Middle, size and share called of each cluster."""
    return cluster_positions(adata.obsm["X_umap"], adata.obs["leiden"].astype(str).to_numpy(), main_calls(adata))


def _tables(facts: dict[str, Any]) -> tuple[Table, ...]:
    """All tables of the trajectory."""
    tables = (
        ("committed", "sample", "Cells beyond the scatter of the start; share committed (0-1) with its 95 % interval; mean fate.", True),
        ("ends", "end", "Where the walk may end: cells, and the mean probability of ending there.", True),
        ("components", "component", "Connected parts of the neighbour graph: cells, called cells, whether the root is inside.", True),
        ("root_candidates", "cluster", "Clusters considered as root, with the parts of their score.", True),
        ("paga", "cluster", "Connectivity of clusters, 0-1.", False),
        ("days", "day", "Cells, called cells, committed cells, mean fate and states by day.", False),
        ("trends", "row", "Level of the markers along the way.", False),
        (
            "drivers",
            "gene",
            "Genes that go with the fate and had no part in the path; P over donors, three or more, and its false discovery rate.",
            False,
        ),
        ("path", "bin", "Cells and expected doublets by position between start (0) and end (1).", False),
    )
    found = tuple(
        Table(f"trajectory_{name}.csv", facts[name].rename_axis(index).reset_index(), caption, shown=shown)
        for name, index, caption, shown in tables
        if name in facts and len(facts[name])
    )
    return (*found, Table("trajectory.csv", _verdict_row(facts), "The verdict on the path, with its probabilities.", shown=False))


def _verdict_row(facts: dict[str, Any]) -> pd.DataFrame:
    """Put the verdict on the path into a table of one row, for those who gather many batches; no probability where none was found."""
    import pandas as pd

    gap = facts.get("gap") or {"density": float("nan")}
    known = gap["density"] == gap["density"]
    numbers = {name: gap[name] if known else float("nan") for name in ("p_continuum", "p_separate")}
    return pd.DataFrame([{"verdict": str(facts.get("verdict", UNDECIDED)), **numbers}])
