"""trajectory: where the cells may come from, and how far each has gone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge

from scdiff import keys
from scdiff.compute.arrays import as_csr, name_groups, sort_names
from scdiff.compute.blocks import is_lazy
from scdiff.options import step
from scdiff.record import as_text_array, write_record
from scdiff.steps.shared.own import join_neighbours, replace_by_own
from scdiff.steps.shared.sketch import select_sketch
from scdiff.steps.trajectory.fate import FATES
from scdiff.steps.trajectory.graph import abstract_graph, find_components, order_cells
from scdiff.steps.trajectory.notes import list_notes
from scdiff.steps.trajectory.outcome import (
    POSITIVE,
    START,
    average_fates,
    compute_fates,
    count_by_day,
    follow_genes,
    read_gap,
    select_ends,
    select_positive,
    tabulate_components,
    tabulate_ends,
)
from scdiff.steps.trajectory.part import spread_results, take_part
from scdiff.steps.trajectory.path import follow
from scdiff.steps.trajectory.root import choose_root

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["trajectory"]

log = logging.getLogger(__name__)


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
    """Order the cells from a root, and judge the path to the positive cells.

    The path separates differentiation from contamination. An order does not prove a course of
    differentiation; a path without intermediates is evidence against one. Cells that no path joins
    to the root get NaN, never infinity: cells that are not connected cannot be ordered.

    Parameters
    ----------
    adata
        Cells x genes, called; embedded, unless ``cluster_key`` and ``use_rep`` are given.
    root
        Start of the pseudotime: a cluster, the barcode of a cell, or a gene (the cluster where it
        is highest). If missing, the root is the cluster of the largest component with the highest
        score. The score is the mean of these parts, each 0-1: identity of MSC, low probability of
        the main programme, and share of cells of the first day (``obs["day"]``); at a quarter of
        their weight, its share of the cells, and the number of cells that the graph of the clusters
        joins it to. If no gene of the identity is in the matrix, potency (genes transcribed) counts
        half. Clusters of less than 5 % of the cells are not considered. The root cell is the one
        nearest to the centre of the cluster.
    n_comps
        Number of diffusion components, 3 or more; fewer if there are fewer cells.
    fates
        Name of a registered method: ``absorption``, or ``cellrank`` and ``palantir`` of the extra
        ``trajectory``.
    seed
        Start of the random generator, 0 or more.
    cluster_key
        Column of ``obs`` with the clusters to use, such as your own. If missing, those of
        :func:`scdiff.pp.embed`.
    use_rep
        Entry of ``obsm`` in which cells are joined to their 15 nearest, such as your own ``X_pca``.
        If missing, the neighbours of :func:`scdiff.pp.embed`. A map of two dimensions distorts
        distances: give the components.

    Reads
    -----
    layers["counts"], X, obs["sample"], obs["day"] (if present), var["highly_variable"],
    obsp["connectivities"], obsp["distances"], obsm["X_pca"], obs["leiden"], obs["scdiff_state"],
    obs["scdiff_probability"], uns["scdiff"]["call"]

    Writes
    ------
    obs["dpt_pseudotime"], 0-1 in the component of the root, and its range over cells of the root's
    cluster in obs["dpt_pseudotime_low"] and obs["dpt_pseudotime_high"]; obs["scdiff_component"];
    obs["scdiff_position"], 0 at the start and 1 at the positive end; obs["scdiff_fate"],
    probability of that end; uns["scdiff"]["trajectory"] with root, candidates, components, the
    abstracted graph (PAGA) of the clusters, ends, verdict, gap, committed, path, days, trends,
    drivers and notes.

    Raises
    ------
    ConfigError
        If ``root`` is neither a cluster nor a barcode nor a gene, ``cluster_key`` or ``use_rep``
        does not exist, or the package of ``fates`` is not installed.
    UnknownNameError
        If no method ``fates`` is registered.

    Source
    ------
    10.1038/nmeth.3971 (pseudotime), 10.1186/s13059-019-1663-x (PAGA),
    10.1038/s41592-021-01346-6 (fates)
    """
    method = FATES[fates].function
    work = replace_by_own(adata, cluster_key=cluster_key, use_rep=use_rep, slot_of_rep="X_pca")
    if use_rep is not None:
        join_neighbours(work, seed=seed)
    inside = select_sketch(work)
    if inside.all() and not is_lazy(work.layers[keys.COUNTS.name]):
        _order_from_root(work, root, n_comps, method, seed)
    else:
        part = take_part(work, inside)
        _order_from_root(part, root, n_comps, method, seed)
        spread_results(part, work, inside)
    if work is not adata:
        for key in keys.list_written("trajectory"):
            keys.slot_of(adata, key.slot)[key.name] = keys.slot_of(work, key.slot)[key.name]


def _order_from_root(
    adata: AnnData, root: str | None, n_comps: int, method: Callable[..., np.ndarray], seed: int
) -> None:
    """Run the step on cells that are all in the graph."""
    rows = sort_names(adata.obs_names)
    graph = as_csr(adata.obsp[keys.CONNECTIVITIES.name])
    component = find_components(graph, rows)
    paga = abstract_graph(as_csr(adata.obsp[keys.DISTANCES.name]), adata.obs[keys.LEIDEN.name])
    start = choose_root(adata, component, rows, paga, root)
    times = order_cells(graph, component, rows, start, n_comps, seed)
    pseudotime = times[0]
    ends = select_ends(adata, graph, pseudotime, paga, start)
    path = follow(adata, ends[START], ends[POSITIVE], select_positive(adata))
    probabilities = compute_fates(graph, pseudotime, rows, ends, method)
    fate, fates = probabilities[POSITIVE].to_numpy(), average_fates(adata, probabilities)
    for name, values in zip(("", "_low", "_high"), times, strict=True):
        adata.obs[f"dpt_pseudotime{name}"] = values
    adata.obs[keys.COMPONENT.name] = name_groups(component)
    adata.obs[keys.POSITION.name] = path.position
    adata.obs[keys.FATE.name] = fate
    days = count_by_day(adata, path, fate)
    trends, genes = follow_genes(adata, path.position if path.gap else pseudotime, fate, rows)
    notes = list_notes(adata, component, start, pseudotime, path, days)
    for note in notes:
        log.info(note)
    found = {
        "root_cluster": start.cluster,
        "root_cell": str(adata.obs_names[start.cell]),
        "root_candidates": start.candidates,
        "components": tabulate_components(adata, component, start),
        "paga": paga,
        "ends": tabulate_ends(ends, probabilities),
        "verdict": path.verdict,
        "together": path.together,
        "gap": read_gap(path),
        "committed": path.committed.assign(fate_weighted=fates[POSITIVE].to_numpy()),
        "fates": fates,
        "path": path.histogram,
        "days": days,
        "trends": trends,
        "drivers": genes,
        "notes": as_text_array(notes),
    }
    write_record(adata, keys.TRAJECTORY, found)
