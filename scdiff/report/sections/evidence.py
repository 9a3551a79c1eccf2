"""Section: what each marker says about each cell, for the main programme."""

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


@SECTIONS.register(
    "evidence",
    summary="Evidence per cell and marker.",
    source="field convention",
    facts={"title": "Signature evidence per cell", "reads": (keys.CALL, keys.EVIDENCE, keys.POSITIVE, keys.COUNTS)},
)
def evidence(adata: AnnData) -> Section:
    """Show the markers' evidence cell by cell, and which cells were called.

    Reads
    -----
    ``uns["scdiff"]["call"]``, ``obsm["scdiff_evidence"]``, ``obsm["scdiff_positive"]``, ``layers["counts"]``
    """
    import numpy as np

    from scdiff.compute.blocks import get_counts, measure_cells

    call = adata.uns["scdiff"]["call"]
    main, facts = str(call["main"]), call[str(call["main"])]
    ratios, counts = main_evidence(adata), marker_counts(adata)
    depth = measure_cells(get_counts(adata), np.zeros(adata.n_vars, dtype=bool))[:, 0]
    levels = _levels(counts, depth, ratios)
    called = adata.obsm["scdiff_positive"][main].fillna(False).to_numpy(dtype=bool)
    return Section(
        "Signature evidence per cell",
        "evidence",
        _description(facts, called),
        figures=(
            *([_strips(ratios, called)] if ratios.notna().to_numpy().any() else []),
            *(_scatter(str(name), depth, counts[name].to_numpy(), called, off) for name, off in levels["off_cp10k"].items()),
            *_heatmap(ratios, called),
        ),
        tables=(_markers_table(facts["markers"].join(levels)), *_states_table(call, main)),
        notes=_notes(facts, called),
    )


def _description(facts: Mapping[str, Any], called: np.ndarray) -> str:
    """Say how many cells are called and how, or why none can be."""
    if not facts.get("measurable", True):
        return f"No cell can be called: {str(facts.get('reason', '')).rstrip('.') or 'the reason was not recorded'}."
    return (
        f"{count(called.sum())} of {count(len(called))} cells are called. Each marker's counts are weighed against what contamination "
        "alone would give a cell of that depth; the markers' evidence is added up."
    )


def _notes(facts: Mapping[str, Any], called: np.ndarray) -> tuple[str, ...]:
    """Say what cannot be shown."""
    markers = facts["markers"]
    why = {str(name): f" ({state})" for name, state in markers["state"].items() if state != "absent"} if "state" in markers else {}
    absent = ", ".join(f"{name}{why.get(str(name), '')}" for name in facts.get("absent", ()))
    missing = (f"No row in this matrix: {absent}. Nothing is known about them here.",) if absent else ()
    if called.any() or not facts.get("measurable", True):
        return missing
    return (*missing, "No cell was called, so there is no heat map of called cells.")


def _strips(ratios: pd.DataFrame, called: np.ndarray) -> Picture:
    """Draw the evidence of all cells, a strip per marker."""
    return picture(
        "evidence_strips",
        lambda ax: evidence_strips(ratios, called, ax),
        caption=f"Evidence per marker, {count(len(ratios))} cells, a dot each; the {count(called.sum())} called ones in orange. "
        "Right of 0 the counts speak for expression, left of it for background. A called cell is far right in two markers or more.",
        alt="Strips of evidence per marker, called cells highlighted",
        table="cells.csv.gz",
        size=(3.5, 1.1 + 0.55 * ratios.shape[1]),
    )


def _levels(counts: pd.DataFrame, depth: np.ndarray, ratios: pd.DataFrame) -> pd.DataFrame:
    """Mean level of each marker, counts per 10,000, over the cells whose evidence is for it and over the others."""
    import numpy as np
    import pandas as pd

    def level(name: Hashable, chosen: np.ndarray) -> float:
        total = float(depth[chosen].sum())
        return 1e4 * float(counts[name].to_numpy()[chosen].sum()) / total if total else float("nan")

    on = {name: (ratios[name] > 0).to_numpy() for name in counts if name in ratios}
    rows = {name: {"off_cp10k": level(name, np.logical_not(cells)), "on_cp10k": level(name, cells)} for name, cells in on.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["off_cp10k", "on_cp10k"])


def _scatter(name: str, depth: np.ndarray, counts: np.ndarray, called: np.ndarray, off_cp10k: float) -> Picture:
    """Draw one marker's counts against depth."""
    return picture(
        f"counts_{name}",
        lambda ax: counts_against_depth(depth, counts, called, ax, marker=name, background_cp10k=off_cp10k),
        caption=f"{name}: raw counts against depth, {count(len(depth))} cells, called ones in orange, dots spread a little so as not to "
        "hide each other. Dashed: the mean level of the cells whose evidence is against the marker, which is background.",
        alt=f"Scatter of {name} counts against counts per cell, called cells highlighted",
        table="cells.csv.gz",
    )


def _heatmap(ratios: pd.DataFrame, called: np.ndarray) -> tuple[Picture, ...]:
    """Draw the called cells' patterns; nothing where no cell is called."""
    if not called.any():
        return ()
    drawing = picture(
        "evidence_called",
        lambda ax: positives_heatmap(ratios[called], ax),
        caption=f"The {count(called.sum())} called cells, a column each, like patterns together. Orange: expressed; purple: background; "
        "a column with one orange field only should not be here.",
        alt="Heat map of evidence, markers by called cells",
        table="cells.csv.gz",
    )
    return (drawing,)


def _markers_table(markers: pd.DataFrame) -> Table:
    """Show what was found of each marker."""
    known = "soup_cp10k" in markers and markers["soup_cp10k"].notna().any()
    elsewhere = ["found_as", "state", *([] if known else ["soup_cp10k"])]
    frame = markers.rename_axis("marker").reset_index().drop(columns=elsewhere, errors="ignore")
    words = {
        "level_cp10k": "level when on",
        "background_cp10k": "background",
        "soup_cp10k": "in the soup",
        "prevalence_without": "prevalence without it",
        "n_called_without": "called without it",
        "n_on": "cells on",
        "n_detected": "cells with any count",
        "off_cp10k": "mean level, off",
        "on_cp10k": "mean level, on",
    }
    caption = "Markers of the main programme. Levels in counts per 10,000; on: cells whose evidence is for the marker, off: the others. "
    caption += "Without it: what the other markers find alone; a fraction that vanishes rests on that one marker."
    if known:
        of_counts = frame["background_cp10k"].sum() / frame["soup_cp10k"].sum()
        caption += f" The soup is what the empty droplets hold; about {percent(of_counts)} of a cell's counts are of it."
    return Table("markers.csv", frame, caption, frame.rename(columns=words))


def _states_table(call: Mapping[str, Any], main: str) -> Iterator[Table]:
    """Show what is known of each marker; nothing where the calls do not say."""
    import pandas as pd

    tables = {name: facts["markers"] for name, facts in call.items() if isinstance(facts, Mapping) and "markers" in facts}
    known = {name: table for name, table in tables.items() if "state" in table}
    if main not in known:
        return
    parts = [table.rename_axis("marker").reset_index().assign(program=name) for name, table in known.items()]
    frame = pd.concat(parts)[["program", "marker", "genes", "found_as", "state"]].fillna("").reset_index(drop=True)
    shown = frame.loc[frame["program"] == main, ["marker", "genes", "found_as", "state"]].replace("", DASH)
    caption = (
        "What is known of each marker of the main programme; marker_states.csv holds all programmes. Present: some cell has a count. "
        "All-zero: it has a row, but no cell has a count. Without a row nothing is known: the file lists a whole annotation that lacks "
        "the gene, or its provider left out genes that hardly any cell shows, or (absent) it cannot be told which."
    )
    yield Table("marker_states.csv", frame, caption, shown.rename(columns={"genes": "gene", "found_as": "name in the file"}))
