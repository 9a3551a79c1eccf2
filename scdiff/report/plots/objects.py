"""Select the data of each plot from an AnnData, so that ``scdiff.pl.forest(adata)`` works directly.

Every plot takes its data and the axes, ``(data, ax)``. If it gets an object instead, it reads the
data from there, by the key names of a loaded or of a prepared object, and draws on new axes unless
``ax`` is given.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from scdiff import keys
from scdiff.errors import InputError, MissingKeyError, ScdiffError, UnknownNameError, did_you_mean
from scdiff.report import selections
from scdiff.report.columns import fractions
from scdiff.report.tables import main_evidence, marker_counts

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = [
    "axis_pairs",
    "category_map",
    "counts_against_depth",
    "dots",
    "dropped_bars",
    "evidence_strips",
    "forest",
    "metric_histogram",
    "of_object",
    "paga_graph",
    "positives_heatmap",
    "pseudotime_map",
    "read_outs",
    "receptor_dots",
    "state_bars",
]

Given = tuple[Any, ...]
"""Arguments of a plot before its axes."""

_METRICS = {
    "total_counts": (keys.TOTAL_COUNTS, "min_counts", "counts per cell", True),
    "n_genes_by_counts": (keys.N_GENES, "min_genes", "genes per cell", True),
    "pct_counts_mt": (keys.PERCENT_MITO, "max_mito_percent", "mitochondrial counts (%)", False),
}
"""Metric -> its column, its threshold, the label of the axis, whether the axis is logarithmic."""


def of_object(
    read: Callable[..., tuple[Given, dict[str, Any]]],
) -> Callable[[Callable[..., Axes]], Callable[..., Axes]]:
    """Let a plot ``(data, ax)`` accept ``(adata, ax=None)`` too.

    With an object, the options of the plot are those of ``read``.

    Parameters
    ----------
    read
        Function of an object and options. It returns the arguments of the plot before its axes, and
        its keyword options.
    """

    def decorate(draw: Callable[..., Axes]) -> Callable[..., Axes]:
        @functools.wraps(draw)
        def plot(*args: Any, **options: Any) -> Axes:
            if not (args and hasattr(args[0], "obs_names")):
                return _draw(draw, *args, **options)
            adata, *rest = args
            ax = options.pop("ax", None) or (rest[0] if rest else None)
            given, named = read(adata, **options)
            if ax is None:
                return _draw_on_new_axes(draw, *given, **named)
            return _draw(draw, *given, ax, **named)

        summary = (read.__doc__ or "").partition("\n")[0]
        usage = f"With an object: ``{draw.__name__}{_signature_of(read)}``. {summary}"
        plot.__doc__ = f"{draw.__doc__}\n    {usage}\n    "
        return plot

    return decorate


def _signature_of(read: Callable[..., Any]) -> str:
    """Write the signature of a plot that gets an object."""
    named = []
    for name, part in inspect.signature(read).parameters.items():
        if name != "adata":
            default = "..." if part.default is inspect.Parameter.empty else repr(part.default)
            named.append(f"{name}={default}")
    return f"({', '.join(['adata', 'ax=None', *named])})"


def _draw(draw: Callable[..., Axes], *args: Any, **options: Any) -> Axes:
    """Draw; raise ``InputError`` with the name of the column if the data lack one."""
    try:
        return draw(*args, **options)
    except ScdiffError:
        raise
    except KeyError as error:
        raise InputError(
            f"{draw.__name__}(): the data have no column or row {error.args[0]!r}."
        ) from error


def _draw_on_new_axes(draw: Callable[..., Axes], *given: Any, **named: Any) -> Axes:
    """Draw on axes of a new figure of pyplot, in the style of the report."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    from scdiff.report.plots.style import STYLE

    with mpl.rc_context(cast("Any", STYLE)):
        return _draw(draw, *given, plt.subplots(layout="constrained")[1], **named)


def _get_value(adata: AnnData, key: keys.Key, plot: str, hint: str = "") -> Any:
    """Return the value of a key, by its name in a prepared object first.

    Raises
    ------
    MissingKeyError
        If the key is missing, with the step that writes it and ``hint``.
    """
    slot = keys.slot_of(adata, key.slot)
    own = key.name if key.name.startswith("scdiff_") or key.slot == "uns" else f"scdiff_{key.name}"
    for name in (own, *([] if keys.is_prepared(adata) else [key.name])):
        if name in slot:
            return slot[name]
    raise MissingKeyError(
        f"{plot} reads {key} ({key.meaning}), which is not in the object: "
        f"run {key.writer} first{hint}."
    )


def _xy(adata: AnnData, use_rep: str | None, plot: str) -> np.ndarray:
    """Return a map, shape (n_cells, 2): ``use_rep``, or that of embed, or ``X_umap`` of scanpy."""
    import numpy as np

    from scdiff.steps.shared.own import read_points

    name = use_rep or next(
        (name for name in ("scdiff_X_umap", "X_umap") if name in adata.obsm), None
    )
    if name is None:
        _get_value(adata, keys.UMAP, plot, ", or name a map with use_rep")
    return np.asarray(read_points(adata, str(name), fewest=2)[:, :2])


def _clusters(adata: AnnData, cluster_key: str | None, plot: str) -> pd.Series:
    """Return clusters: those of ``cluster_key``, or those of embed."""
    from scdiff.steps.shared.own import read_clusters

    if cluster_key is not None:
        return read_clusters(adata, cluster_key)
    return _get_value(adata, keys.LEIDEN, plot, ", or name your own with cluster_key")


def _column(adata: AnnData, name: str, plot: str) -> pd.Series:
    """Return a column of ``obs``, or raise ``UnknownNameError`` if it is missing."""
    if name not in adata.obs:
        raise UnknownNameError(
            f"{plot}: obs has no column {name!r}. {did_you_mean(name, map(str, adata.obs))}"
        )
    return adata.obs[name]


def evidence_strips(adata: AnnData) -> tuple[Given, dict[str, Any]]:
    """Select the evidence of all cells for the markers of the main programme."""
    for key in (keys.CALL, keys.EVIDENCE, keys.POSITIVE):
        _get_value(adata, key, "evidence_strips")
    return (main_evidence(adata), selections.main_calls(adata)), {}


def positives_heatmap(adata: AnnData) -> tuple[Given, dict[str, Any]]:
    """Select the evidence of the positive cells of the main programme.

    Raises
    ------
    InputError
        If no cell is called positive.
    """
    for key in (keys.CALL, keys.EVIDENCE, keys.POSITIVE):
        _get_value(adata, key, "positives_heatmap")
    called = selections.main_calls(adata)
    if not called.any():
        raise InputError(
            "positives_heatmap: no cell is called positive for the main programme, "
            "so there is nothing to draw."
        )
    return (main_evidence(adata)[called],), {}


def counts_against_depth(adata: AnnData, *, marker: str = "INS") -> tuple[Given, dict[str, Any]]:
    """Select the counts of a marker of the main programme, with its fitted background.

    Raises
    ------
    UnknownNameError
        If a name is unknown, with similar names.
    """
    import numpy as np

    from scdiff.compute.blocks import get_counts, measure_cells
    from scdiff.steps.load.prepare import working_copy

    call = _get_value(adata, keys.CALL, "counts_against_depth")
    called = selections.main_calls(adata)
    counted = working_copy(adata) if keys.is_prepared(adata) else adata
    _get_value(counted, keys.COUNTS, "counts_against_depth")
    counts = marker_counts(counted)
    if marker not in counts:
        known = did_you_mean(marker, map(str, counts))
        raise UnknownNameError(
            f"counts_against_depth: the main programme has no marker {marker!r} in the matrix. "
            f"{known}"
        )
    depth = measure_cells(get_counts(counted), np.zeros(counted.n_vars, dtype=bool))[:, 0]
    found = call[str(call["main"])]["markers"]
    background = found.loc[marker, "background_cp10k"] if "background_cp10k" in found else np.nan
    return (depth, counts[marker].to_numpy(), called), {
        "marker": marker,
        "background_cp10k": float(background),
    }


def forest(
    adata: AnnData, *, program: str | None = None, state: str | None = None
) -> tuple[Given, dict[str, Any]]:
    """Select one state of a programme in every sample; the default is the main programme."""
    from scdiff.record import find_positive_state
    from scdiff.report.verdict import main_row

    _get_value(adata, keys.FRACTIONS, "forest")
    chosen = program or str(main_row(adata)["program"])
    rows = fractions(adata, program=chosen)
    if state is None:
        positive = find_positive_state(adata, chosen)
        state = (
            positive if positive in set(rows["state"].astype(str)) else str(rows["state"].iloc[0])
        )
    return (fractions(adata, program=chosen, state=state),), {}


def dots(adata: AnnData, *, sample: str = "all") -> tuple[Given, dict[str, Any]]:
    """Select the positive state of every programme in one sample."""
    table = selections.headlines(adata, _get_value(adata, keys.FRACTIONS, "dots"))
    fractions(adata, sample=sample)
    main = str(adata.uns[keys.ROOT].get("call", {}).get("main", ""))
    return (selections.estimates_of(table[table["sample"].astype(str) == sample], main),), {}


def read_outs(adata: AnnData, *, name: str) -> tuple[Given, dict[str, Any]]:
    """Select the read-outs of a scorecard, such as ``identity``, in all samples pooled.

    Raises
    ------
    MissingKeyError
        If a key is missing, with the step that writes it.
    """
    from scdiff.steps.scorecard import scorecard

    for key in (keys.FRACTIONS, keys.CALL):
        _get_value(adata, key, "read_outs")
    table = scorecard(adata, name=name)
    if table.empty:
        raise MissingKeyError(
            f"read_outs: no programme of the scorecard {name!r} was called: "
            f"run call with programs=[{name!r}] first."
        )
    return (table[table["sample"].astype(str) == "all"],), {}


def axis_pairs(adata: AnnData) -> tuple[Given, dict[str, Any]]:
    """Select the pairs of ligands and receptors in the batch itself."""
    rows = selections.axis_rows(_get_value(adata, keys.AXES, "axis_pairs").reset_index(drop=True))
    return (selections.pairs_at(rows, selections.BATCH),), {}


def receptor_dots(adata: AnnData) -> tuple[Given, dict[str, Any]]:
    """Select the receptors of every receiver.

    Raises
    ------
    MissingKeyError
        If a key is missing, with the step that writes it.
    """
    table = _get_value(adata, keys.AXES, "receptor_dots").reset_index(drop=True)
    rows = selections.axis_rows(table)
    # genes are named as in the species of the batch, for all receivers
    labels = selections.pairs_at(rows, selections.BATCH)["label"]
    places = [place for place in dict.fromkeys(rows["where"]) if place != selections.BATCH]
    if not places:
        raise MissingKeyError(
            "receptor_dots: the results have no receiver: run communicate with receivers first."
        )
    return ({place: selections.pairs_at(rows, place).assign(label=labels) for place in places},), {}


def category_map(
    adata: AnnData, *, color: str = "scdiff_state", use_rep: str | None = None
) -> tuple[Given, dict[str, Any]]:
    """Select a column of ``obs`` on a map; the default map is that of embed, or ``X_umap``."""
    if color == keys.STATE.name:
        _get_value(adata, keys.STATE, "category_map")
    return (_xy(adata, use_rep, "category_map"), _column(adata, color, "category_map")), {}


def pseudotime_map(adata: AnnData, *, use_rep: str | None = None) -> tuple[Given, dict[str, Any]]:
    """Select pseudotime on a map, and the root cell."""
    pseudotime = _get_value(adata, keys.PSEUDOTIME, "pseudotime_map").to_numpy(dtype=float)
    root = str(_get_value(adata, keys.TRAJECTORY, "pseudotime_map")["root_cell"])
    names = [str(name) for name in adata.obs_names]
    return (
        _xy(adata, use_rep, "pseudotime_map"),
        pseudotime,
        names.index(root) if root in names else None,
    ), {}


def paga_graph(
    adata: AnnData, *, cluster_key: str | None = None, use_rep: str | None = None
) -> tuple[Given, dict[str, Any]]:
    """Select the graph of the clusters of the trajectory; ``cluster_key`` names its clusters.

    Raises
    ------
    UnknownNameError
        If a name is unknown, with similar names.
    """
    found = _get_value(adata, keys.TRAJECTORY, "paga_graph")
    clusters = _clusters(adata, cluster_key, "paga_graph").astype(str).to_numpy()
    if missing := sorted(set(found["paga"].index) - set(clusters)):
        raise UnknownNameError(
            f"paga_graph: the trajectory has a cluster {missing[0]!r}, which these clusters lack: "
            "pass the cluster_key that trajectory used."
        )
    positions = selections.cluster_positions(
        _xy(adata, use_rep, "paga_graph"), clusters, selections.main_calls(adata)
    )
    return (positions, found["paga"], str(found["root_cluster"])), {}


def state_bars(adata: AnnData, *, cluster_key: str | None = None) -> tuple[Given, dict[str, Any]]:
    """Select the share of each state within each cluster."""
    states = _get_value(adata, keys.STATE, "state_bars")
    return (
        selections.shares_of(
            selections.states_by_cluster(_clusters(adata, cluster_key, "state_bars"), states)
        ),
    ), {}


def dropped_bars(adata: AnnData) -> tuple[Given, dict[str, Any]]:
    """Select the numbers of cells that QC dropped, by sample."""
    return (_get_value(adata, keys.QC, "dropped_bars")["dropped"],), {}


def metric_histogram(
    adata: AnnData, *, metric: str = "total_counts"
) -> tuple[Given, dict[str, Any]]:
    """Select ``total_counts``, ``n_genes_by_counts`` or ``pct_counts_mt`` of the kept cells.

    Raises
    ------
    UnknownNameError
        If a name is unknown, with similar names.
    """
    if metric not in _METRICS:
        raise UnknownNameError(
            f"metric_histogram: there is no metric {metric!r}. {did_you_mean(metric, _METRICS)}"
        )
    key, column, label, log = _METRICS[metric]
    values = _get_value(adata, key, "metric_histogram").to_numpy(dtype=float)
    limits = _get_value(adata, keys.QC, "metric_histogram")["thresholds"][column]
    samples = (
        adata.obs[keys.SAMPLE.name].astype(str).to_numpy()
        if "sample" in adata.obs
        else _samples(adata)
    )
    return (values, samples), {
        "label": label,
        "thresholds": {str(name): float(value) for name, value in limits.items()},
        "log": log,
    }


def _samples(adata: AnnData) -> np.ndarray:
    """Return the sample of each cell of a prepared object, shape (n_cells,)."""
    from scdiff.steps.load.prepare import working_copy

    return working_copy(adata).obs[keys.SAMPLE.name].astype(str).to_numpy()
