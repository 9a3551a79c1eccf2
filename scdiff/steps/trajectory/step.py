"""trajectory: where the cells could come from and how far each has gone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge

from scdiff import keys
from scdiff.compute.arrays import as_csr, limit_blas_threads, name_groups, sort_names, take_subgraph
from scdiff.compute.blocks import get_counts, get_values, is_lazy, read_rows
from scdiff.options import step
from scdiff.record import as_text_array, read_main_program, write_record
from scdiff.steps.shared.controls import select_positive_controls
from scdiff.steps.shared.days import DAY, list_unreadable_days
from scdiff.steps.shared.markers import read_markers, select_table_groups
from scdiff.steps.shared.own import join_neighbours, replace_by_own
from scdiff.steps.shared.sketch import find_sketch_cells, find_majority, select_sketch
from scdiff.steps.trajectory.days import read_days, find_falls, tabulate_days
from scdiff.steps.trajectory.ends import find_positive_end, find_tips
from scdiff.steps.trajectory.fate import FATES
from scdiff.steps.trajectory.path import Path, follow
from scdiff.steps.trajectory.pseudotime import diffusion_pseudotime
from scdiff.steps.trajectory.root import Root, choose_root
from scdiff.steps.trajectory.trends import find_drivers, compute_gene_trends

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from scipy.sparse import csr_matrix

__all__ = ["trajectory"]

log = logging.getLogger(__name__)

NOT_POSITIVE = ("negative", "unassigned", "unspecific")
STRETCHED = 0.2
DIGITS, FATE_DIGITS = 9, 6
APART = "The start and the positive end are of different samples: a difference of batches would look like a gap between them."
POSITIVE, START = "progenitor-like", "start"
"""Names of the ends: the positive cells that went furthest, and the cells of the root's cluster that stay."""


@step
def trajectory(
    adata: AnnData,
    *,
    root: str | None = None,
    n_comps: Annotated[int, Ge(3)] = 10,
    fates: str = "absorption",
    seed: Annotated[int, Ge(0)] = 0,
    cluster_key: str | None = None,
    use_rep: str | None = None,
) -> None:
    """Tell differentiation from contamination: order the cells from a root, and judge the way to the positive ones.

    Cells that no path joins to the root get NaN, never infinity: what is not connected cannot be ordered.
    An order is no proof of a course of differentiation; a way without intermediates speaks against one.

    Parameters
    ----------
    adata
        Cells x genes, called; embedded, unless ``cluster_key`` and ``use_rep`` are given.
    root
        Name of a cluster, barcode of a cell, or a gene (the cluster where it is highest) at which pseudotime starts.
        Automatic where not given: the cluster of the largest component with the best mean of parts of 0-1: identity of
        MSC, low probability of the main programme, and share of cells of the first day (``obs["day"]``); at a quarter
        of their weight its share of the cells and how many cells the graph of the clusters joins it to. Where no
        gene of the identity is in the matrix, potency (genes transcribed) counts half. Clusters of less than 5 % of the
        cells are not considered. Within a cluster the cell nearest to its centre is taken.
    n_comps
        Number of diffusion components, 3 or more; fewer where cells are fewer.
    fates
        Name of a registered method: ``absorption``, or ``cellrank`` and ``palantir`` of the extra ``trajectory``.
    seed
        Start of the random generator, 0 or more.
    cluster_key
        Column of ``obs`` with the clusters to use, such as your own; those of :func:`scdiff.pp.embed` where not given.
    use_rep
        Entry of ``obsm`` in which cells are joined to their 15 nearest, such as your own ``X_pca``; where it is not given,
        the neighbours of :func:`scdiff.pp.embed`. A map of two dimensions distorts distances: give the components.

    Reads
    -----
    layers["counts"], X, obs["sample"], obs["day"] (where given), var["highly_variable"], obsp["connectivities"],
    obsp["distances"], obsm["X_pca"], obs["leiden"], obs["scdiff_state"], obs["scdiff_probability"], uns["scdiff"]["call"]

    Writes
    ------
    obs["dpt_pseudotime"], 0-1 in the component of the root, and its range over cells of the root's cluster in
    obs["dpt_pseudotime_low"] and obs["dpt_pseudotime_high"]; obs["scdiff_component"]; obs["scdiff_position"], 0 at the
    start and 1 at the positive end; obs["scdiff_fate"], probability of that end; uns["scdiff"]["trajectory"] with root,
    candidates, components, the abstracted graph (PAGA) of the clusters, ends, verdict, gap, committed, path, days,
    trends, drivers and notes.

    Raises
    ------
    ConfigError
        If ``root`` is neither a cluster nor a barcode nor a gene, ``cluster_key`` or ``use_rep`` is not there, or the package of
        ``fates`` is not installed.
    UnknownNameError
        If no method ``fates`` is registered.

    Source
    ------
    10.1038/nmeth.3971 (pseudotime), 10.1186/s13059-019-1663-x (PAGA), 10.1038/s41592-021-01346-6 (fates)
    """
    method = FATES[fates].function
    seen = replace_by_own(adata, cluster_key=cluster_key, use_rep=use_rep, slot_of_rep="X_pca")
    if use_rep is not None:
        join_neighbours(seen, seed=seed)
    inside = select_sketch(seen)
    if inside.all() and not is_lazy(seen.layers["counts"]):
        _follow(seen, root, n_comps, method, seed)
    else:
        part = _part(seen, inside)
        _follow(part, root, n_comps, method, seed)
        _carry(part, seen, inside)
    if seen is not adata:
        for key in keys.list_written("trajectory"):
            keys.slot_of(adata, key.slot)[key.name] = keys.slot_of(seen, key.slot)[key.name]


def _part(adata: AnnData, inside: np.ndarray) -> AnnData:
    """Take the cells of the graph with their counts in memory, which the axis goes through many times; without X."""
    from anndata import AnnData

    rows = np.flatnonzero(inside)
    part = AnnData(
        obs=adata.obs[inside].copy(),
        var=adata.var.copy(),
        uns=dict(adata.uns),
        layers={"counts": read_rows(get_counts(adata), rows)},
    )
    part.uns["scdiff"] = dict(adata.uns["scdiff"])
    part.obsm["X_pca"] = adata.obsm["X_pca"][inside]
    for name in ("connectivities", "distances"):
        part.obsp[name] = take_subgraph(as_csr(adata.obsp[name]), rows)
    part.obs["leiden"] = part.obs["leiden"].cat.remove_unused_categories()
    return part


def _carry(part: AnnData, adata: AnnData, inside: np.ndarray) -> None:
    """Give the other cells what the nearest cells of the graph have: the mean of numbers, the most frequent component."""
    import pandas as pd

    rows = sort_names(adata.obs_names)
    back = np.argsort(rows)
    takes = find_sketch_cells(adata.obsm["X_pca"][rows], inside[rows])[back]
    by_name = sort_names(part.obs_names)
    for key in keys.list_written("trajectory"):
        if key.slot == "obs":
            values = part.obs[key.name].to_numpy()[by_name]
            is_number = pd.api.types.is_numeric_dtype(values)
            adata.obs[key.name] = (
                values[takes].mean(axis=1) if is_number else pd.Categorical(find_majority(values[takes]))
            )
    adata.uns["scdiff"] |= {"trajectory": part.uns["scdiff"]["trajectory"]}


def _follow(
    adata: AnnData, root: str | None, n_comps: int, method: Callable[..., np.ndarray], seed: int
) -> None:
    """Do the step on cells that are all in the graph."""
    rows = sort_names(adata.obs_names)
    graph = as_csr(adata.obsp["connectivities"])
    component = _components(graph, rows)
    paga = _paga(as_csr(adata.obsp["distances"]), adata.obs["leiden"])
    start = choose_root(adata, component, rows, paga, root)
    pseudotime, low, high = _pseudotime(graph, component, rows, start, n_comps, seed)
    ends = _ends(adata, graph, pseudotime, paga, start)
    path = follow(adata, ends[START], ends[POSITIVE], _positive(adata), select_table_groups(adata))
    probabilities = _fates(graph, pseudotime, rows, ends, method)
    fate = probabilities[POSITIVE].to_numpy()
    (
        adata.obs["dpt_pseudotime"],
        adata.obs["dpt_pseudotime_low"],
        adata.obs["dpt_pseudotime_high"],
    ) = pseudotime, low, high
    adata.obs["scdiff_component"] = name_groups(component)
    adata.obs["scdiff_position"] = path.position
    adata.obs["scdiff_fate"] = fate
    days = _days(adata, path, fate)
    trends, genes = _genes_along(adata, path.position if path.gap else pseudotime, fate, rows)
    notes = (
        _notes(adata, component, start, pseudotime)
        + _notes_on_days(adata, days)
        + ([] if path.together else [APART])
    )
    for note in notes:
        log.info(note)
    found = {
        "root_cluster": start.cluster,
        "root_cell": str(adata.obs_names[start.cell]),
        "root_candidates": start.candidates,
        "components": _component_table(adata, component, start),
        "paga": paga,
        "ends": _end_table(ends, probabilities),
        "verdict": path.verdict,
        "together": path.together,
        "gap": _gap_record(path),
        "committed": path.committed.assign(fate_weighted=_fate_weighted(adata, fate)),
        "path": path.histogram,
        "days": days,
        "trends": trends,
        "drivers": genes,
        "notes": as_text_array(notes),
    }
    write_record(adata, keys.TRAJECTORY, found)


def _days(adata: AnnData, path: Path, fate: np.ndarray) -> pd.DataFrame:
    """Count states, fates and committed cells by day."""
    state = adata.obs["scdiff_state"].astype(str).to_numpy()
    return tabulate_days(read_days(adata), state, _positive(adata), fate, path.away, path.threshold)


def _ends(
    adata: AnnData, graph: csr_matrix, pseudotime: np.ndarray, paga: pd.DataFrame, start: Root
) -> dict[str, np.ndarray]:
    """Cells of the positive end, of the other ends, and of the start; shape (n_cells,) each."""
    clusters, positive = adata.obs["leiden"].astype(str).to_numpy(), _positive(adata)
    state = adata.obs["scdiff_state"].astype(str).to_numpy()
    probability = adata.obs["scdiff_probability"].to_numpy(dtype=float)
    own = np.where(
        select_positive_controls(adata), "control", state
    )  # a control is placed, but it is no end
    end = find_positive_end(
        own, sorted(set(own[positive]) - {"control"}), probability, pseudotime, graph
    )
    other = find_tips(pseudotime, clusters, paga, end, start.cluster)
    return (
        {POSITIVE: end}
        | {f"cluster {name}": cells for name, cells in other.items()}
        | {START: (clusters == start.cluster) & ~positive}
    )


def _fates(
    graph: csr_matrix,
    pseudotime: np.ndarray,
    rows: np.ndarray,
    ends: dict[str, np.ndarray],
    method: Callable[..., np.ndarray],
) -> pd.DataFrame:
    """Probability of each end for each cell that the root reaches; NaN elsewhere, and throughout where no cell is at the positive end."""
    import pandas as pd

    found = pd.DataFrame(np.nan, index=range(len(rows)), columns=list(ends))
    members = rows[np.isfinite(pseudotime[rows])]
    if ends[POSITIVE][members].any():
        number = np.full(len(members), -1)
        for place, cells in enumerate(ends.values()):
            number[cells[members] & (number < 0)] = place
        with limit_blas_threads():
            found.iloc[members] = method(
                take_subgraph(graph, members), pseudotime[members], number, len(ends)
            ).round(FATE_DIGITS)
    return found


def _end_table(ends: dict[str, np.ndarray], fates: pd.DataFrame) -> pd.DataFrame:
    """Size and mean probability of each end."""
    import pandas as pd

    table = {
        "n_cells": [int(cells.sum()) for cells in ends.values()],
        "mean_fate": fates.mean().round(DIGITS).to_numpy(),
    }
    return pd.DataFrame(table, index=pd.Index(list(ends), dtype=object, name="end"))


def _fate_weighted(adata: AnnData, fate: np.ndarray) -> list[float]:
    """Mean probability of the positive end in each group, cells that the root does not reach left out."""
    known = (fate[cells & np.isfinite(fate)] for cells in select_table_groups(adata).values())
    return [round(float(values.mean()), DIGITS) if len(values) else np.nan for values in known]


def _genes_along(
    adata: AnnData, place: np.ndarray, fate: np.ndarray, rows: np.ndarray
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Trends of the main programme's markers, and genes that go with the fate and had no part in the path."""
    program = read_main_program(adata)
    read = read_markers(adata, [program])
    genes, counts = read.genes(program.markers), read.of(program.markers)
    sums = {name: counts[:, place] for place, name in enumerate(genes) if genes[name]}
    allowed = ~adata.var["highly_variable"].to_numpy(dtype=bool)
    allowed[[row for found in genes.values() for row in found]] = False
    donors = adata.obs["donor" if "donor" in adata.obs else "sample"].astype(str).to_numpy()
    return compute_gene_trends(sums, read.depth, place), find_drivers(
        get_values(adata), fate, list(adata.var_names), allowed, donors, rows
    )


def _notes_on_days(adata: AnnData, days: pd.DataFrame) -> list[str]:
    """Say where the share of called cells falls from a day to the next, and what cannot be read as a day."""
    odd = list_unreadable_days(adata.obs[DAY].dropna().unique()) if DAY in adata.obs else []
    listed = ", ".join(odd[:3]) + ", ..." * (len(odd) > 3)
    notes = (
        [
            f'{len(odd)} values of obs["{DAY}"] cannot be read as a day ({listed}): their cells have none.'
        ]
        if odd
        else []
    )
    fell = find_falls(days) if len(days) else []
    sentence = f"Fewer cells are called on day {', '.join(fell)} than on the day before, beyond chance: no course runs backwards."
    return [
        *notes,
        *([f"{sentence} Cells may have been lost, or the batches differ."] if fell else []),
    ]


def _gap_record(path: Path) -> dict[str, float]:
    """Numbers of the gap by name; empty where there was none to look at."""
    return {name: float(value) for name, value in vars(path.gap).items()} if path.gap else {}


def _components(graph: csr_matrix, rows: np.ndarray) -> np.ndarray:
    """Label every cell with the number of its connected component, largest first; shape (n_cells,)."""
    from scipy.sparse.csgraph import connected_components

    _, labels = connected_components(graph, directed=False)
    first = np.full(labels.max() + 1, len(labels))
    np.minimum.at(first, labels[rows], np.arange(len(labels)))
    by_size = np.lexsort((first, -np.bincount(labels)))
    return np.argsort(by_size)[labels]


def _pseudotime(
    graph: csr_matrix, component: np.ndarray, rows: np.ndarray, start: Root, n_comps: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pseudotime from the root, and its range over the other roots; shape (n_cells,) each, NaN in other components."""
    members = rows[component[rows] == component[start.cell]]
    place = {cell: number for number, cell in enumerate(members)}
    roots = np.array([place[cell] for cell in (start.cell, *start.others)])
    with limit_blas_threads():
        found = diffusion_pseudotime(take_subgraph(graph, members), roots, n_comps, seed).round(
            DIGITS
        )
    whole = np.full((3, len(rows)), np.nan)
    whole[:, members] = found[0], found.min(axis=0), found.max(axis=0)
    return whole[0], whole[1], whole[2]


def _positive(adata: AnnData) -> np.ndarray:
    """Tell which cells carry a positive sub-state of the main programme; shape (n_cells,)."""
    return ~adata.obs["scdiff_state"].astype(str).isin((*NOT_POSITIVE, "nan")).to_numpy()


def _component_table(adata: AnnData, component: np.ndarray, start: Root) -> pd.DataFrame:
    """Cells and positive cells by component."""
    import pandas as pd

    sizes = np.bincount(component)
    positive = np.bincount(component, weights=_positive(adata), minlength=len(sizes)).astype(int)
    index = pd.Index([str(number) for number in range(len(sizes))], dtype=object, name="component")
    return pd.DataFrame(
        {
            "n_cells": sizes,
            "n_positive": positive,
            "has_root": np.arange(len(sizes)) == component[start.cell],
        },
        index=index,
    )


def _paga(distances: csr_matrix, clusters: pd.Series) -> pd.DataFrame:
    """Abstracted graph of the clusters: edges between them over those expected by chance, at most 1.

    Model v1.2 of ``scanpy.tl.paga``, which fails where no edge joins two clusters.
    """
    import pandas as pd
    from scipy import sparse

    codes, names = clusters.cat.codes.to_numpy(), [str(name) for name in clusters.cat.categories]
    member = sparse.csr_matrix(
        (np.ones(len(codes)), (np.arange(len(codes)), codes)), shape=(len(codes), len(names))
    )
    edges = distances.copy()
    edges.data = np.ones(len(edges.data))
    counts = (member.T @ edges @ member).toarray()
    from_cluster, sizes = counts.sum(axis=1), np.bincount(codes, minlength=len(names))
    between = counts + counts.T - 2 * np.diag(np.diag(counts))
    expected = (np.outer(from_cluster, sizes) + np.outer(sizes, from_cluster)) / max(
        len(codes) - 1, 1
    )
    weights = np.minimum(
        np.divide(between, expected, out=np.zeros_like(between), where=expected > 0), 1
    )
    return pd.DataFrame(weights, index=pd.Index(names, dtype=object), columns=names)


def _notes(adata: AnnData, component: np.ndarray, start: Root, pseudotime: np.ndarray) -> list[str]:
    """Say what limits the reading of this trajectory."""
    reached = component == component[start.cell]
    values = pseudotime[np.isfinite(pseudotime)]
    positive = _positive(adata)
    lost = int((positive & ~reached).sum())
    notes = []
    if not reached.all():
        notes.append(
            f"No path joins {(~reached).sum()} of {len(reached)} cells to the root (other components): they have no pseudotime."
        )
    if component.max() > 0 and _one_sample_each(adata, component):
        notes.append(
            "Every component holds cells of one sample only: differences of batch and of state cannot be told apart."
        )
    if len(values) == 1:
        notes.append(
            "The cells of the root's component cannot be ordered (fewer than five, or all alike)."
        )
    elif np.quantile(values, 0.95) < STRETCHED:
        notes.append(
            f"A few distant cells stretch the scale: 95 % of the cells have a pseudotime below {STRETCHED}."
        )
    if adata.obs["scdiff_probability"].isna().all():
        notes.append(
            "The main programme cannot be measured here, so the root was chosen without it."
        )
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
    samples = adata.obs["sample"].astype(str).to_numpy()
    return all(
        len(np.unique(samples[component == number])) == 1 for number in range(component.max() + 1)
    )
