"""Section: what each marker says about each cell, for the main programme."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scdiff import keys
from scdiff.report.plots.evidence import counts_against_depth, evidence_strips, positives_heatmap
from scdiff.report.section import SECTIONS, Picture, Section, Table, picture
from scdiff.report.tables import main_evidence, marker_counts
from scdiff.report.text import count

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from anndata import AnnData


@SECTIONS.register(
    "evidence",
    summary="Evidence per cell and marker.",
    source="field convention",
    title="Signature evidence per cell",
    reads=(keys.CALL, keys.EVIDENCE, keys.POSITIVE, keys.COUNTS),
)
def evidence(adata: AnnData) -> Section:
    """Show the markers' evidence cell by cell, and which cells were called.

    Reads
    -----
    ``uns["scdiff"]["call"]``, ``obsm["scdiff_evidence"]``, ``obsm["scdiff_positive"]``, ``layers["counts"]``
    """
    call = adata.uns["scdiff"]["call"]
    main, facts = str(call["main"]), call[str(call["main"])]
    ratios = main_evidence(adata)
    called = adata.obsm["scdiff_positive"][main].fillna(False).to_numpy(dtype=bool)
    return Section(
        "Signature evidence per cell",
        "evidence",
        f"{count(called.sum())} of {count(adata.n_obs)} cells are called. Each marker's counts are weighed against what contamination "
        "alone would give a cell of that depth; the markers' evidence is added up.",
        figures=(_strips(ratios, called), *_scatters(adata, facts["markers"], called), *_heatmap(ratios, called)),
        tables=(_markers_table(facts["markers"]),),
        notes=_notes(facts, called),
    )


def _notes(facts: dict[str, object], called: np.ndarray) -> tuple[str, ...]:
    """Say what cannot be shown."""
    absent = ", ".join(str(name) for name in facts.get("absent", ()))  # type: ignore[attr-defined]
    missing = (f"No row in this matrix: {absent}. Nothing is known about them here.",) if absent else ()
    return missing if called.any() else (*missing, "No cell was called, so there is no heat map of called cells.")


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


def _scatters(adata: AnnData, markers: pd.DataFrame, called: np.ndarray) -> list[Picture]:
    """Draw each measured marker's counts against depth."""
    import numpy as np

    counts = marker_counts(adata)
    depth = np.asarray(adata.layers["counts"].sum(axis=1), dtype=float).ravel()
    return [
        _scatter(str(name), depth, counts[name].to_numpy(), called, float(markers["background_cp10k"].get(name, "nan"))) for name in counts
    ]


def _scatter(name: str, depth: np.ndarray, counts: np.ndarray, called: np.ndarray, background_cp10k: float) -> Picture:
    """Draw one marker's counts against depth."""
    return picture(
        f"counts_{name}",
        lambda ax: counts_against_depth(depth, counts, called, ax, marker=name, background_cp10k=background_cp10k),
        caption=f"{name}: raw counts against depth, {count(len(depth))} cells, called ones in orange, dots spread a little so as not to "
        "hide each other. Dashed: the count that mean background alone would give.",
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
    frame = markers.rename_axis("marker").reset_index()
    words = {
        "background_cp10k": "background (per 10,000)",
        "level_cp10k": "level when on (per 10,000)",
        "n_on": "cells on",
        "n_detected": "cells with any count",
    }
    return Table(
        "markers.csv",
        frame,
        "Markers of the main programme: background, level, cells called on, cells with any count.",
        frame.rename(columns=words),
    )
