"""Compute the QC figures that a specification may name as ``qc/NAME``: one function each."""

from __future__ import annotations

import math
from collections.abc import Callable

from scdiff.batches.evidence import Evidence, number
from scdiff.registry import Registry
from scdiff.vocabulary import POOLED

__all__ = ["QC_FIGURES"]

DROPPED = "qc_dropped.csv"

QC_FIGURES: Registry[Callable[[Evidence, str], float]] = Registry("figure of quality control")
"""QC figures that a specification may name as ``qc/NAME``.

Each function takes the run and the name of a sample.
"""


def _compute_median(evidence: Evidence, sample: str, column: str) -> float:
    """Return the median of a QC measure over the cells of a sample; NaN without cells."""
    cells = evidence.cells_of(sample)
    return float(cells[column].median()) if column in cells and len(cells) else math.nan


@QC_FIGURES.register(
    "cells",
    summary="cells after quality control",
    source="field convention",
    facts={"kind": "cells"},
)
def count_cells(evidence: Evidence, sample: str) -> float:
    """Return the number of cells after quality control."""
    return float(len(evidence.cells_of(sample)))


@QC_FIGURES.register(
    "median_umi", summary="median counts per cell", source="field convention", facts={"kind": "UMI"}
)
def median_umi(evidence: Evidence, sample: str) -> float:
    """Return the median counts per cell."""
    return _compute_median(evidence, sample, "total_counts")


@QC_FIGURES.register(
    "median_genes",
    summary="median genes per cell",
    source="field convention",
    facts={"kind": "genes"},
)
def median_genes(evidence: Evidence, sample: str) -> float:
    """Return the median number of genes per cell."""
    return _compute_median(evidence, sample, "n_genes_by_counts")


@QC_FIGURES.register(
    "median_mito",
    summary="median share of mitochondrial counts",
    source="field convention",
    facts={"kind": "fraction"},
)
def median_mito(evidence: Evidence, sample: str) -> float:
    """Return the median share of mitochondrial counts, 0-1."""
    return _compute_median(evidence, sample, "pct_counts_mt") / 100


@QC_FIGURES.register(
    "doublets",
    summary="share of cells that are predicted doublets",
    source="field convention",
    facts={"kind": "fraction"},
)
def share_doublets(evidence: Evidence, sample: str) -> float:
    """Return the share of cells that are predicted doublets, 0-1."""
    cells = evidence.cells_of(sample)
    return (
        float(cells["predicted_doublet"].astype(bool).mean())
        if len(cells) and "predicted_doublet" in cells
        else math.nan
    )


@QC_FIGURES.register(
    "kept",
    summary="share of cells that passed quality control",
    source="field convention",
    facts={"kind": "fraction"},
)
def share_kept(evidence: Evidence, sample: str) -> float:
    """Return the share of cells that passed quality control, 0-1."""
    names = (
        {sample}
        if sample != POOLED
        else {str(name) for name in evidence.cells_of(sample)["sample"]}
    )
    rows = (
        [row for row in evidence.table(DROPPED) if row["sample"] in names]
        if evidence.has(DROPPED)
        else []
    )
    before = sum(number(row["n_before"]) for row in rows)
    return sum(number(row["n_after"]) for row in rows) / before if before > 0 else math.nan


@QC_FIGURES.register(
    "contamination",
    summary="highest background of a marker, relative to its level in positive cells",
    source="field convention",
    facts={"kind": "fraction"},
)
def marker_background(evidence: Evidence, sample: str) -> float:  # noqa: ARG001 - one figure for the whole batch
    """Return the highest background of a marker, relative to its level in positive cells."""
    rows = evidence.table("markers.csv") if evidence.has("markers.csv") else []
    shares = [
        number(row["background_cp10k"]) / number(row["level_cp10k"])
        for row in rows
        if number(row["level_cp10k"]) > 0
    ]
    return max((share for share in shares if math.isfinite(share)), default=math.nan)


def _read_null(evidence: Evidence, name: str) -> float:
    """Return the share of cells that are called under a null, at a nominal 5 %."""
    rows = evidence.table("calibration.csv") if evidence.has("calibration.csv") else []
    return next((number(row["overall"]) for row in rows if row["null"] == name), math.nan)


@QC_FIGURES.register(
    "null_matched",
    summary="share of cells called with matched genes instead of markers, nominal 5 %",
    source="field convention",
    facts={"kind": "fraction"},
)
def null_matched(evidence: Evidence, sample: str) -> float:  # noqa: ARG001
    """Return the share of cells called with genes as abundant as the markers, nominal 5 %."""
    return _read_null(evidence, "matched")


@QC_FIGURES.register(
    "null_background",
    summary="share of cells called with redrawn background counts, nominal 5 %",
    source="field convention",
    facts={"kind": "fraction"},
)
def null_background(evidence: Evidence, sample: str) -> float:  # noqa: ARG001
    """Return the share of cells called with redrawn background counts, nominal 5 %."""
    return _read_null(evidence, "background")
