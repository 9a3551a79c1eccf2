"""Plots of an object: what each plot shows of an AnnData, so that ``scdiff.pl.forest(adata)`` needs no selecting by hand.

Every plot takes its data and the axes, ``(data, ax)``. Given an object instead, it reads the data from there, under the
names of a loaded or of a prepared object, and draws on new axes unless some are given.
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
"""What a plot takes before its axes."""

_METRICS = {
    "total_counts": (keys.TOTAL_COUNTS, "min_counts", "counts per cell", True),
    "n_genes_by_counts": (keys.N_GENES, "min_genes", "genes per cell", True),
    "pct_counts_mt": (keys.PERCENT_MITO, "max_mito_percent", "mitochondrial counts (%)", False),
}
"""Metric -> its column, its threshold, the label of the axis, whether that is logarithmic."""


def of_object(
    read: Callable[..., tuple[Given, dict[str, Any]]],
) -> Callable[[Callable[..., Axes]], Callable[..., Axes]]:
    """Let a plot ``(data, ax)`` take ``(adata, ax=None)`` as well; its options are then those of ``read``.

    Parameters
    ----------
    read
        Takes an object and options; returns what the plot takes before its axes, and its keyword options.
    """

    def decorate(draw: Callable[..., Axes]) -> Callable[..., Axes]:
        @functools.wraps(draw)
        def plot(*args: Any, **options: Any) -> Axes:
            if not (args and hasattr(args[0], "obs_names")):
                return _drawn(draw, *args, **options)
            adata, *rest = args
            ax = options.pop("ax", None) or (rest[0] if rest else None)
            given, named = read(adata, **options)
            return (
                _on_new_axes(draw, *given, **named)
                if ax is None
                else _drawn(draw, *given, ax, **named)
            )

        said = (read.__doc__ or "").partition("\n")[0]
        plot.__doc__ = (
            f"{draw.__doc__}\n    Of an object: ``{draw.__name__}{_call(read)}``. {said}\n    "
        )
        return plot

    return decorate


def _call(read: Callable[..., Any]) -> str:
    """Write how a plot of an object is called."""
    options = {
        name: part.default
        for name, part in inspect.signature(read).parameters.items()
        if name != "adata"
    }
    named = [
        f"{name}={'...' if default is inspect.Parameter.empty else repr(default)}"
        for name, default in options.items()
    ]
    return f"({', '.join(['adata', 'ax=None', *named])})"


def _drawn(draw: Callable[..., Axes], *args: Any, **options: Any) -> Axes:
    """Draw; a column that the data lack is named in a sentence."""
    try:
        return draw(*args, **options)
    except ScdiffError:
        raise
    except KeyError as error:
        raise InputError(
            f"{draw.__name__}(): the data have no column or row {error.args[0]!r}."
        ) from error


def _on_new_axes(draw: Callable[..., Axes], *given: Any, **named: Any) -> Axes:
    """Draw on axes of a new figure, as pyplot does, in the look of the report."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    from scdiff.report.plots.style import STYLE

    with mpl.rc_context(cast("Any", STYLE)):
        return _drawn(draw, *given, plt.subplots(layout="constrained")[1], **named)


def _held(adata: AnnData, key: keys.Key, plot: str, hint: str = "") -> Any:
    """Take what a key holds, by the name that a prepared object gives it where there is one."""
    held = keys.slot_of(adata, key.slot)
    own = key.name if key.name.startswith("scdiff_") or key.slot == "uns" else f"scdiff_{key.name}"
    for name in (own, *([] if keys.is_prepared(adata) else [key.name])):
        if name in held:
            return held[name]
    raise MissingKeyError(
        f"{plot} reads {key} ({key.meaning}), which is not in the object: run {key.writer} first{hint}."
    )


def _xy(adata: AnnData, use_rep: str | None, plot: str) -> np.ndarray:
    """Take a map: the named one, that of embed, or the one that its owner made with scanpy."""
    import numpy as np

    from scdiff.steps.shared.own import read_points

    name = use_rep or next(
        (name for name in ("scdiff_X_umap", "X_umap") if name in adata.obsm), None
    )
    if name is None:
        _held(adata, keys.UMAP, plot, ", or name a map with use_rep")
    return np.asarray(read_points(adata, str(name), fewest=2)[:, :2])


def _clusters(adata: AnnData, cluster_key: str | None, plot: str) -> pd.Series:
    """Take clusters: the named ones, or those of embed."""
    from scdiff.steps.shared.own import read_clusters

    if cluster_key is not None:
        return read_clusters(adata, cluster_key)
    return _held(adata, keys.LEIDEN, plot, ", or name your own with cluster_key")


def _column(adata: AnnData, name: str, plot: str) -> pd.Series:
    """Take a column of ``obs``."""
    if name not in adata.obs:
        raise UnknownNameError(
            f"{plot}: obs has no column {name!r}. {did_you_mean(name, map(str, adata.obs))}"
        )
    return adata.obs[name]


def evidence_strips(adata: AnnData) -> tuple[Given, dict[str, Any]]:
    """Select the evidence of all cells for the markers of the main programme."""
    for key in (keys.CALL, keys.EVIDENCE, keys.POSITIVE):
        _held(adata, key, "evidence_strips")
    return (main_evidence(adata), selections.main_calls(adata)), {}


def positives_heatmap(adata: AnnData) -> tuple[Given, dict[str, Any]]:
    """Select the evidence of the positive cells of the main programme.

    Raises
    ------
    InputError
        If there is nothing to draw.
    """
    for key in (keys.CALL, keys.EVIDENCE, keys.POSITIVE):
        _held(adata, key, "positives_heatmap")
    called = selections.main_calls(adata)
    if not called.any():
        raise InputError(
            "positives_heatmap: no cell is called positive, so there is nothing to draw."
        )
    return (main_evidence(adata)[called],), {}


def counts_against_depth(adata: AnnData, *, marker: str = "INS") -> tuple[Given, dict[str, Any]]:
    """Select a marker of the main programme, with the background that was fitted.

    Raises
    ------
    UnknownNameError
        If a name is not there, with the near match.
    """
    import numpy as np

    from scdiff.compute.blocks import get_counts, measure_cells
    from scdiff.steps.load.prepare import working_copy

    call, called = _held(adata, keys.CALL, "counts_against_depth"), selections.main_calls(adata)
    counted = working_copy(adata) if keys.is_prepared(adata) else adata
    _held(counted, keys.COUNTS, "counts_against_depth")
    counts = marker_counts(counted)
    if marker not in counts:
        known = did_you_mean(marker, map(str, counts))
        raise UnknownNameError(
            f"counts_against_depth: no marker {marker!r} of the main programme is in the matrix. {known}"
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
    """Select a state of a programme in every sample; the main one where none is named."""
    from scdiff.record import find_positive_state
    from scdiff.report.verdict import main_row

    _held(adata, keys.FRACTIONS, "forest")
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
    table = selections.headlines(adata, _held(adata, keys.FRACTIONS, "dots"))
    fractions(adata, sample=sample)
    main = str(adata.uns["scdiff"].get("call", {}).get("main", ""))
    return (selections.estimates_of(table[table["sample"].astype(str) == sample], main),), {}


def read_outs(adata: AnnData, *, name: str) -> tuple[Given, dict[str, Any]]:
    """Select the read-outs of a scorecard, such as ``identity``, in all samples together.

    Raises
    ------
    MissingKeyError
        If a key is missing, with the step that writes it.
    """
    from scdiff.steps.scorecard import scorecard

    for key in (keys.FRACTIONS, keys.CALL):
        _held(adata, key, "read_outs")
    table = scorecard(adata, name=name)
    if table.empty:
        raise MissingKeyError(
            f"read_outs: no programme of the scorecard {name!r} was called: run call with programs=[{name!r}] first."
        )
    return (table[table["sample"].astype(str) == "all"],), {}


def axis_pairs(adata: AnnData) -> tuple[Given, dict[str, Any]]:
    """Select ligands and receptors of the batch itself."""
    rows = selections.axis_rows(_held(adata, keys.AXES, "axis_pairs").reset_index(drop=True))
    return (selections.pairs_at(rows, selections.BATCH),), {}


def receptor_dots(adata: AnnData) -> tuple[Given, dict[str, Any]]:
    """Select the receptors of every receiver.

    Raises
    ------
    MissingKeyError
        If a key is missing, with the step that writes it.
    """
    rows = selections.axis_rows(_held(adata, keys.AXES, "receptor_dots").reset_index(drop=True))
    labels = selections.pairs_at(rows, selections.BATCH)["label"]  # in the batch's species
    places = [place for place in dict.fromkeys(rows["where"]) if place != selections.BATCH]
    if not places:
        raise MissingKeyError(
            "receptor_dots: no receiver was read: run communicate with receivers first."
        )
    return ({place: selections.pairs_at(rows, place).assign(label=labels) for place in places},), {}


def category_map(
    adata: AnnData, *, color: str = "scdiff_state", use_rep: str | None = None
) -> tuple[Given, dict[str, Any]]:
    """Select a column of ``obs`` on a map; that of embed, or ``X_umap``, where none is named."""
    if color == keys.STATE.name:
        _held(adata, keys.STATE, "category_map")
    return (_xy(adata, use_rep, "category_map"), _column(adata, color, "category_map")), {}


def pseudotime_map(adata: AnnData, *, use_rep: str | None = None) -> tuple[Given, dict[str, Any]]:
    """Select pseudotime on a map, the root marked."""
    pseudotime = _held(adata, keys.PSEUDOTIME, "pseudotime_map").to_numpy(dtype=float)
    root = str(_held(adata, keys.TRAJECTORY, "pseudotime_map")["root_cell"])
    names = [str(name) for name in adata.obs_names]
    return (
        _xy(adata, use_rep, "pseudotime_map"),
        pseudotime,
        names.index(root) if root in names else None,
    ), {}


def paga_graph(
    adata: AnnData, *, cluster_key: str | None = None, use_rep: str | None = None
) -> tuple[Given, dict[str, Any]]:
    """Select the graph of the clusters that the trajectory was run on; name them as there.

    Raises
    ------
    UnknownNameError
        If a name is not there, with the near match.
    """
    found = _held(adata, keys.TRAJECTORY, "paga_graph")
    clusters = _clusters(adata, cluster_key, "paga_graph").astype(str).to_numpy()
    if missing := sorted(set(found["paga"].index) - set(clusters)):
        raise UnknownNameError(
            f"paga_graph: the trajectory has a cluster {missing[0]!r}, which these clusters lack: name its cluster_key."
        )
    positions = selections.cluster_positions(
        _xy(adata, use_rep, "paga_graph"), clusters, selections.main_calls(adata)
    )
    return (positions, found["paga"], str(found["root_cluster"])), {}


def state_bars(adata: AnnData, *, cluster_key: str | None = None) -> tuple[Given, dict[str, Any]]:
    """Select the states within each cluster."""
    states = _held(adata, keys.STATE, "state_bars")
    return (
        selections.shares_of(
            selections.states_by_cluster(_clusters(adata, cluster_key, "state_bars"), states)
        ),
    ), {}


def dropped_bars(adata: AnnData) -> tuple[Given, dict[str, Any]]:
    """Select what QC dropped, by sample."""
    return (_held(adata, keys.QC, "dropped_bars")["dropped"],), {}


def metric_histogram(
    adata: AnnData, *, metric: str = "total_counts"
) -> tuple[Given, dict[str, Any]]:
    """Select ``total_counts``, ``n_genes_by_counts`` or ``pct_counts_mt`` of the cells kept.

    Raises
    ------
    UnknownNameError
        If a name is not there, with the near match.
    """
    if metric not in _METRICS:
        raise UnknownNameError(
            f"metric_histogram: there is no metric {metric!r}. {did_you_mean(metric, _METRICS)}"
        )
    key, column, label, log = _METRICS[metric]
    values = _held(adata, key, "metric_histogram").to_numpy(dtype=float)
    limits = _held(adata, keys.QC, "metric_histogram")["thresholds"][column]
    samples = (
        adata.obs["sample"].astype(str).to_numpy() if "sample" in adata.obs else _samples(adata)
    )
    return (values, samples), {
        "label": label,
        "thresholds": {str(name): float(value) for name, value in limits.items()},
        "log": log,
    }


def _samples(adata: AnnData) -> np.ndarray:
    """Name the sample of each cell of a prepared object."""
    from scdiff.steps.load.prepare import working_copy

    return working_copy(adata).obs[keys.SAMPLE.name].astype(str).to_numpy()
