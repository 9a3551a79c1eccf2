"""Section: evidence of each marker for each cell, for the main programme."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from scdiff import keys
from scdiff.report.plots.evidence import counts_against_depth, evidence_strips, positives_heatmap
from scdiff.report.section import SECTIONS, Picture, Section, Table, picture
from scdiff.report.tables import main_evidence, marker_counts
from scdiff.report.text import DASH, count, percent

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from anndata import AnnData

TITLE = "Signature evidence per cell"


@SECTIONS.register(
    "evidence",
    summary="Evidence per cell and marker.",
    source="field convention",
    facts={"title": TITLE, "reads": (keys.CALL, keys.EVIDENCE, keys.POSITIVE, keys.COUNTS)},
)
def evidence(adata: AnnData) -> Section:
    """Show the evidence of each marker in each cell, and which cells were called.

    Reads
    -----
    ``uns["scdiff"]["call"]``, ``obsm["scdiff_evidence"]``, ``obsm["scdiff_positive"]``,
    ``layers["counts"]``
    """
    import numpy as np

    from scdiff.compute.blocks import get_counts, measure_cells

    call = adata.uns[keys.ROOT][keys.CALL.name]
    main, facts = str(call["main"]), call[str(call["main"])]
    ratios, counts = main_evidence(adata), marker_counts(adata)
    depth = measure_cells(get_counts(adata), np.zeros(adata.n_vars, dtype=bool))[:, 0]
    levels = _compute_levels(counts, depth, ratios)
    called = adata.obsm[keys.POSITIVE.name][main].fillna(False).to_numpy(dtype=bool)
    scatters = (
        _draw_counts(str(name), depth, counts[name].to_numpy(), called, level)
        for name, level in levels["off_cp10k"].items()
    )
    markers = facts["markers"].join(levels)
    return Section(
        TITLE,
        "evidence",
        _describe(facts, called),
        figures=(*_draw_evidence(ratios, called), *scatters, *_draw_called(ratios, called)),
        tables=(_build_markers(markers), *_build_states(call, main)),
        notes=_list_notes(facts, called),
    )


def _describe(facts: Mapping[str, Any], called: np.ndarray) -> str:
    """Describe how many cells are called and how, or why no cell can be called."""
    if not facts.get("measurable", True):
        reason = str(facts.get("reason", "")).rstrip(".") or "the reason was not recorded"
        return f"No cell can be called: {reason}."
    return (
        f"{count(called.sum())} of {count(len(called))} cells are called. For each marker, the "
        "counts of a cell are compared with the counts that contamination alone would give at its "
        "depth. The evidence of all markers is added up."
    )


def _list_notes(facts: Mapping[str, Any], called: np.ndarray) -> tuple[str, ...]:
    """Return what cannot be shown, and why."""
    markers, why = facts["markers"], {}
    if "state" in markers:
        known = markers["state"][markers["state"] != "absent"]
        why = {str(name): f" ({state})" for name, state in known.items()}
    absent = ", ".join(f"{name}{why.get(str(name), '')}" for name in facts.get("absent", ()))
    notes = []
    if absent:
        notes.append(f"No row in this matrix: {absent}. Their expression is unknown.")
    if not called.any() and facts.get("measurable", True):
        notes.append("No cell was called, so there is no heat map of called cells.")
    return tuple(notes)


def _draw_evidence(ratios: pd.DataFrame, called: np.ndarray) -> Iterator[Picture]:
    """Draw the evidence of all cells, one strip per marker; nothing without evidence."""
    if ratios.notna().to_numpy().any():
        yield picture(
            "evidence_strips",
            lambda ax: evidence_strips(ratios, called, ax),
            caption=f"Evidence of each marker in {count(len(ratios))} cells, one dot per cell; the "
            f"{count(called.sum())} called cells in orange. Right of 0, the counts support "
            "expression; left of 0, they support background. A called cell is far to the right in "
            "two or more markers.",
            alt="Strips of evidence per marker, called cells highlighted",
            table="cells.csv.gz",
            size=(3.5, 1.1 + 0.55 * ratios.shape[1]),
        )


def _compute_levels(counts: pd.DataFrame, depth: np.ndarray, ratios: pd.DataFrame) -> pd.DataFrame:
    """Compute the mean level of each marker, counts per 10,000, in two groups of cells.

    Returns one row per marker: ``on_cp10k`` over the cells whose evidence supports expression,
    ``off_cp10k`` over all other cells; NaN for a group without counts.
    """
    import numpy as np
    import pandas as pd

    def compute_level(name: Hashable, group: np.ndarray) -> float:
        total = float(depth[group].sum())
        return 1e4 * float(counts[name].to_numpy()[group].sum()) / total if total else float("nan")

    columns = ["off_cp10k", "on_cp10k"]
    rows = {}
    for name in counts.columns.intersection(ratios.columns, sort=False):
        on = (ratios[name] > 0).to_numpy()
        rows[name] = [compute_level(name, np.logical_not(on)), compute_level(name, on)]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def _draw_counts(
    name: str, depth: np.ndarray, counts: np.ndarray, called: np.ndarray, off_cp10k: float
) -> Picture:
    """Draw the counts of one marker against depth."""
    return picture(
        f"counts_{name}",
        lambda ax: counts_against_depth(
            depth, counts, called, ax, marker=name, background_cp10k=off_cp10k
        ),
        caption=f"{name}: raw counts against depth, {count(len(depth))} cells, called cells in "
        "orange. Dots are shifted a little so that they do not hide each other. Dashed: mean level "
        "of the cells whose evidence is against the marker, which is background.",
        alt=f"Scatter of {name} counts against counts per cell, called cells highlighted",
        table="cells.csv.gz",
    )


def _draw_called(ratios: pd.DataFrame, called: np.ndarray) -> tuple[Picture, ...]:
    """Draw the evidence of the called cells; empty if no cell is called."""
    if not called.any():
        return ()
    drawing = picture(
        "evidence_called",
        lambda ax: positives_heatmap(ratios[called], ax),
        caption=f"The {count(called.sum())} called cells, one column per cell, similar patterns "
        "next to each other. Orange: expressed. Purple: background. A column with only one orange "
        "field should not occur.",
        alt="Heat map of evidence, markers by called cells",
        table="cells.csv.gz",
    )
    return (drawing,)


_MARKER_WORDS = {
    "level_cp10k": "level if expressed",
    "background_cp10k": "background",
    "soup_cp10k": "in ambient RNA",
    "prevalence_without": "prevalence without it",
    "n_called_without": "called without it",
    "n_on": "cells expressing it",
    "n_detected": "cells with any count",
    "off_cp10k": "mean level, not expressed",
    "on_cp10k": "mean level, expressed",
}
"""Column of the table of markers -> its heading on the page."""


def _build_markers(markers: pd.DataFrame) -> Table:
    """Build the table of the markers of the main programme."""
    has_ambient = "soup_cp10k" in markers and markers["soup_cp10k"].notna().any()
    elsewhere = ["found_as", "state", *([] if has_ambient else ["soup_cp10k"])]
    frame = markers.rename_axis("marker").reset_index().drop(columns=elsewhere, errors="ignore")
    caption = (
        "Markers of the main programme. Levels in counts per 10,000. Expressed: cells whose "
        "evidence supports the marker; not expressed: all other cells. Without it: what the other "
        "markers detect alone. If the fraction vanishes, it depends on this one marker."
    )
    if has_ambient:
        share = frame["background_cp10k"].sum() / frame["soup_cp10k"].sum()
        caption += (
            " The level in ambient RNA is measured in the empty droplets; about "
            f"{percent(share)} % of the counts of a cell are ambient RNA."
        )
    return Table("markers.csv", frame, caption, frame.rename(columns=_MARKER_WORDS))


def _build_states(call: Mapping[str, Any], main: str) -> Iterator[Table]:
    """Build the table of marker states; nothing if the calls have no states."""
    import pandas as pd

    tables = {
        name: facts["markers"]
        for name, facts in call.items()
        if isinstance(facts, Mapping) and "markers" in facts
    }
    known = {name: table for name, table in tables.items() if "state" in table}
    if main not in known:
        return
    parts = [
        table.rename_axis("marker").reset_index().assign(program=name)
        for name, table in known.items()
    ]
    columns = ["marker", "genes", "found_as", "state"]
    frame = pd.concat(parts)[["program", *columns]].fillna("").reset_index(drop=True)
    shown = frame.loc[frame["program"] == main, columns].replace("", DASH)
    caption = (
        "State of each marker of the main programme in this matrix; marker_states.csv has all "
        "programmes. Present: at least one cell has a count. All-zero: the marker has a row, but "
        "no cell has a count. Without a row, the expression is unknown: the file lists a whole "
        "annotation that lacks the gene, or its provider removed genes that hardly any cell "
        "expresses, or (absent) the reason is unknown."
    )
    view = shown.rename(columns={"genes": "gene", "found_as": "name in the file"})
    yield Table("marker_states.csv", frame, caption, view)
