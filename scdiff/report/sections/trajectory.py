"""Section: pseudotime, the path to the positive cells, and the graph of clusters."""

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

SMALLEST_P = 0.001
"""P-value below which only ``below 0.001`` is shown; smaller values are not exact."""


@SECTIONS.register(
    "trajectory",
    summary="Pseudotime, root and components.",
    source="10.1038/nmeth.3971",
    facts={
        "title": "Trajectory",
        "reads": (keys.TRAJECTORY, keys.PSEUDOTIME, keys.UMAP, keys.LEIDEN),
    },
)
def trajectory(adata: AnnData) -> Section:
    """Show pseudotime from the recorded root, and how the clusters are connected.

    Reads
    -----
    ``uns["scdiff"]["trajectory"]``, ``obs["dpt_pseudotime"]``, ``obsm["X_umap"]``,
    ``obs["leiden"]``

    Source
    ------
    Diffusion pseudotime: 10.1038/nmeth.3971; PAGA: 10.1186/s13059-019-1663-x
    """
    facts = adata.uns[keys.ROOT][keys.TRAJECTORY.name]
    reached = int(adata.obs[keys.PSEUDOTIME.name].notna().sum())
    return Section(
        "Trajectory",
        "trajectory",
        f"{_describe_verdict(facts)} Root: cell {facts['root_cell']} in cluster "
        f"{facts['root_cluster']}. {_describe_reach(reached, adata.n_obs)} "
        "An order of states does not prove that cells move along it.",
        figures=(
            *_draw_path(facts),
            *_draw_markers(facts),
            *_draw_days(facts),
            _draw_map(adata, facts, reached),
            *_draw_graph(adata, facts),
        ),
        tables=_build_tables(facts),
        notes=tuple(str(note) for note in facts.get("notes", ())),
    )


_MEANING = {
    CONTINUUM: "Continuum: cells fill the path from the root to the positive cells, more than "
    "doublets explain.",
    SEPARATE: "Separate population: the path from the root to the positive cells has a gap, with "
    "no more cells than the doublets of two mixed populations. This suggests contamination or a "
    "mixed-in cell line, not differentiation.",
    UNDECIDED: "Undecided: too few positive cells, or too much scatter, to distinguish a continuum "
    "from a separate population.",
}
"""Verdict on the path -> its meaning."""

_BATCHES = (
    "Undecided: the start and the positive cells are in different samples. A difference between "
    "batches would look like a gap between them."
)
_PROBABILITIES = {
    "p_continuum": "P {} if doublets alone fill the path",
    "p_separate": "P {} if a sparse continuum leaves such a gap",
}
"""Key of a p-value -> the p-value in words."""
_NUMBERS = ("density", "density_low", "density_high", *_PROBABILITIES, "n_end", "n_decide")
"""Numbers of the gap in the table of the verdict."""


def _describe_verdict(facts: dict[str, Any]) -> str:
    """Describe the verdict on the path with its p-values, and the committed fraction."""
    name, together = str(facts.get("verdict", UNDECIDED)), bool(facts.get("together", True))
    sentence = _MEANING.get(name, name) if together or name == CONTINUUM else _BATCHES
    parts = (_format_p_values(facts, name), _describe_gap(facts), _describe_committed(facts, name))
    return sentence + "".join(parts)


def _read_measured_gap(facts: dict[str, Any]) -> dict[str, float]:
    """Return the numbers of the gap; empty if its density could not be measured."""
    gap: dict[str, float] = facts.get("gap", {})
    return gap if gap and gap["density"] == gap["density"] else {}


def _format_p_values(facts: dict[str, Any], name: str) -> str:
    """Format the p-values of the verdict, in brackets; empty if no gap was tested."""
    gap = _read_measured_gap(facts)
    if not gap:
        return ""
    tests = {CONTINUUM: ("p_continuum",), SEPARATE: ("p_separate",)}
    texts = [
        _PROBABILITIES[test].format(_format_p(gap[test]))
        for test in tests.get(name, ("p_continuum", "p_separate"))
    ]
    return f" ({'; '.join(texts)}.)"


def _describe_gap(facts: dict[str, Any]) -> str:
    """Describe the density of intermediates and what would decide; empty if no gap was tested."""
    gap = _read_measured_gap(facts)
    if not gap:
        return ""
    low, high = gap["density_low"], gap["density_high"]
    bounds = f"{low:.2g}-{high:.2g}" if low > 0 else f"at most {high:.2g}"
    text = (
        f" The emptiest stretch of the path holds {gap['density']:.2g} intermediates ({bounds}; "
        "90 % interval) per positive cell and length of the path."
    )
    if gap["third"]:
        is_sure = facts["verdict"] == SEPARATE
        text += (
            f" A third population {'lies' if is_sure else 'may lie'} between: cells fill the path "
            "to the positive cells, but there is a gap between all of them and the start."
        )
    if gap["n_decide"] == gap["n_decide"]:
        text += f" About {gap['n_decide']:,.0f} positive cells would decide."
    return text


def _describe_committed(facts: dict[str, Any], name: str) -> str:
    """Describe the committed fraction; empty if it has no meaning for this verdict."""
    committed = facts.get("committed")
    if committed is None or name == SEPARATE or not facts.get("together", True):
        return ""
    row = committed.loc[POOLED]
    if not row["committed"] >= 0:  # NaN
        return ""
    ends, width = interval(row["low"], row["high"]), row["high"] - row["low"]
    share = percent(row["committed"], width=width)
    return f" {share} % of cells (95 % interval {ends}) have left the start population."


def _format_p(value: float) -> str:
    """Format a p-value.

    >>> _format_p(3e-9), _format_p(0.034)
    ('below 0.001', '0.034')
    """
    return f"below {SMALLEST_P}" if value < SMALLEST_P else f"{value:.2g}"


def _draw_path(facts: dict[str, Any]) -> tuple[Picture, ...]:
    """Draw the path from start to end; empty if no end was found."""
    table = facts.get("path")
    if table is None or not table["cells"].sum():
        return ()
    drawing = picture(
        "trajectory_path",
        lambda ax: path_histogram(table, facts.get("gap", {}), ax, verdict=facts["verdict"]),
        caption=f"{count(table['cells'].sum())} cells between the cluster of the root (0) and the "
        "positive cells that are furthest from it (1), by all genes except the markers. "
        "Differentiation fills the path with cells; two mixed populations fill it with doublets "
        "only (blue line). Cells on the left are not on the path.",
        alt="Histogram of cells between start and end, with the doublets expected",
        table="trajectory_path.csv",
        size=(3.5, 3.1),
    )
    return (drawing,)


def _describe_reach(reached: int, n_cells: int) -> str:
    """Describe how many cells pseudotime orders."""
    if reached == n_cells:
        return f"Pseudotime orders all {count(n_cells)} cells."
    return (
        f"Pseudotime orders {count(reached)} of {count(n_cells)} cells; the others are not "
        "connected to the root."
    )


def _draw_markers(facts: dict[str, Any]) -> tuple[Picture, ...]:
    """Draw the markers along the path; empty without a path."""
    table = facts.get("trends")
    if table is None or not len(table) or not facts.get("gap"):
        return ()
    drawing = picture(
        "trajectory_genes",
        lambda ax: gene_courses(table, ax),
        caption="Markers of the programme along the path: counts per 10,000 of all cells in a bin, "
        "with 95 % bands. The position of a cell does not depend on these genes.",
        alt="Level of each marker from start to end",
        table="trajectory_trends.csv",
        size=(3.5, 3.1),
    )
    return (drawing,)


def _draw_days(facts: dict[str, Any]) -> tuple[Picture, ...]:
    """Draw the states by day; empty if no days are declared."""
    table = facts.get("days")
    if table is None or not len(table):
        return ()
    drawing = picture(
        "trajectory_days",
        lambda ax: day_flow(table, ax),
        caption="Cells that are not negative, by day and called state, and the committed share "
        "with its 95 % interval. Cells on the path count as committed before their markers are "
        "expressed.",
        alt="Stacked shares of states by day",
        table="trajectory_days.csv",
        size=(3.5, 3.3),
    )
    return (drawing,)


def _draw_map(adata: AnnData, facts: dict[str, Any], reached: int) -> Picture:
    """Draw the map coloured by pseudotime."""
    names = [str(name) for name in adata.obs_names]
    root = names.index(str(facts["root_cell"])) if str(facts["root_cell"]) in names else None
    values = adata.obs[keys.PSEUDOTIME.name].to_numpy(dtype=float)
    return picture(
        "trajectory_pseudotime",
        lambda ax: pseudotime_map(adata.obsm[keys.UMAP.name], values, root, ax),
        caption=f"Pseudotime of {count(reached)} cells, from dark at the root (ring) to bright. "
        "Grey cells are not connected to the root. A low pseudotime means that the expression is "
        "similar to that of the root.",
        alt="UMAP coloured by pseudotime, root marked",
        table="cells.csv.gz",
        size=(3.5, 3.7),
    )


def _draw_graph(adata: AnnData, facts: dict[str, Any]) -> tuple[Picture, ...]:
    """Draw the graph of clusters; empty if it was not computed."""
    graph = facts.get("paga")
    if graph is None or len(graph) == 0:
        return ()
    clusters = adata.obs[keys.LEIDEN.name].astype(str).to_numpy()
    positions = cluster_positions(adata.obsm[keys.UMAP.name], clusters, main_calls(adata))
    drawing = picture(
        "trajectory_paga",
        lambda ax: paga_graph(positions, graph, str(facts["root_cluster"]), ax),
        caption=f"Clusters of {count(adata.n_obs)} cells as a graph (PAGA). Area: number of cells. "
        "Blue: share of called cells. Thick lines: strong connection. Orange rim: cluster of the "
        "root. Called cells without a line to the root did not come from it in these data.",
        alt="Graph of clusters, node area by cells, colour by share called",
        table="trajectory_paga.csv",
        size=(3.5, 3.7),
    )
    return (drawing,)


_TABLES = (
    (
        "committed",
        "sample",
        "Cells beyond the scatter of the start; committed share (0-1, 95 % interval); mean fate.",
        True,
    ),
    ("ends", "end", "Possible ends of the walk: cells, and mean probability to end there.", True),
    (
        "components",
        "component",
        "Connected parts of the neighbour graph: cells, called cells, whether the root is inside.",
        True,
    ),
    (
        "root_candidates",
        "cluster",
        "Clusters that were considered as root, with the parts of their score.",
        True,
    ),
    ("paga", "cluster", "Connectivity between clusters, 0-1.", False),
    ("days", "day", "Cells, called cells, committed cells, mean fate and states by day.", False),
    ("trends", "row", "Level of the markers along the path.", False),
    (
        "drivers",
        "gene",
        "Genes that follow the fate, not used for the path; p-value over donors (3 or more); FDR.",
        False,
    ),
    ("path", "bin", "Cells and expected doublets by position from start (0) to end (1).", False),
)
"""Name, name of the index, caption, and whether the page shows the table."""


def _build_tables(facts: dict[str, Any]) -> tuple[Table, ...]:
    """Build all tables of the trajectory."""
    tables = []
    for name, index, caption, shown in _TABLES:
        if name in facts and len(facts[name]):
            frame = facts[name].rename_axis(index).reset_index()
            tables.append(Table(f"trajectory_{name}.csv", frame, caption, shown=shown))
    caption = "Verdict on the path, with its p-values."
    return (*tables, Table("trajectory.csv", _build_verdict(facts), caption, shown=False))


def _build_verdict(facts: dict[str, Any]) -> pd.DataFrame:
    """Build a table of one row with the verdict on the path, for tools that gather many batches.

    The numbers are NaN if no gap was tested.
    """
    import pandas as pd

    gap = _read_measured_gap(facts)
    numbers = {name: gap.get(name, float("nan")) for name in _NUMBERS}
    return pd.DataFrame([{"verdict": str(facts.get("verdict", UNDECIDED)), **numbers}])
