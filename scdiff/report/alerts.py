"""Alerts: what makes a batch unusual, so that its verdict may not be taken at face value.

An alert concerns the batch. A note says how a figure was made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff import keys
from scdiff.genes import detect_species
from scdiff.record import read_main_program, read_record
from scdiff.report.text import count, percent

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["list_alerts"]

FEWEST_CELLS = 200
"""Cells of a sample below which it gets an alert. With 200 cells and no call, the upper bound of
the fraction cannot be below 1.5 % (three in 200)."""
MOST_DROPPED = 0.5
"""Share of the barcodes that are not empty, 0-1, above which dropping them gets an alert. Field
convention: quality control keeps most cells of a batch."""
MOST_DAMAGED = 0.2
"""Share of these barcodes, 0-1, above which a high mitochondrial share gets an alert. Chosen, not
tuned."""
LEAST_DEPTH = 1_000.0
"""Median counts per cell below which a sample gets an alert: PDX1 at its typical level then shows
no count in four of five cells that express it."""
MOST_BACKGROUND = 0.1
"""Background of a marker, as a share of its typical level, above which it gets an alert: 0.15 is
the highest contamination that the assay expects."""
MOST_NAMES = 3
"""Samples that one alert names."""


def list_alerts(adata: AnnData) -> list[str]:
    """Return what makes the batch unusual, one sentence each; empty for an ordinary batch.

    Parameters
    ----------
    adata
        After any step; what a step would add is left out if it was not run.

    Reads
    -----
    ``obs["sample"]``, ``obs["total_counts"]``, ``uns["scdiff"]["input"]``, ``uns["scdiff"]["qc"]``,
    ``uns["scdiff"]["call"]`` (each if present)
    """
    sources: tuple[tuple[keys.Key, Callable[[AnnData], Iterator[str]]], ...] = (
        (keys.INPUT, _check_counts),
        (keys.INPUT, _check_species),
        (keys.QC, _check_dropped),
        (keys.SAMPLE, _check_cells),
        (keys.SAMPLE, _check_depth),
        (keys.CALL, _check_markers),
        (keys.CALL, _check_background),
        (keys.CALL, _check_calibration),
    )
    return [alert for key, check in sources if keys.has(adata, key) for alert in check(adata)]


def _check_counts(adata: AnnData) -> Iterator[str]:
    """Report counts that are not molecules."""
    if str(read_record(adata, keys.INPUT.name).get("technology", "UMI")) == "reads":
        yield (
            "The counts are sequencing reads, not UMIs: one molecule can be counted many times. "
            "Use the intervals and limits as a rough guide only."
        )


def _check_species(adata: AnnData) -> Iterator[str]:
    """Report a stated species that the gene names contradict."""
    stated = str(read_record(adata, keys.INPUT.name).get("species", ""))
    ids = adata.var.get(keys.GENE_ID.name, ())
    found = detect_species(map(str, adata.var_names), map(str, ids), likely=stated)
    if stated and found and found != stated:
        yield f"The genes have names of {found}, but the species is set to {stated}."


def _check_dropped(adata: AnnData) -> Iterator[str]:
    """Report samples of which quality control dropped an unusual share."""
    table: pd.DataFrame | None = read_record(adata, keys.QC.name).get("dropped")
    if table is None or not len(table):
        return
    cells = np.maximum((table["n_before"] - table["empty"]).to_numpy(dtype=float), 1.0)
    lost = 1 - table["n_after"].to_numpy(dtype=float) / cells
    damaged = table["high_mito"].to_numpy(dtype=float) / cells
    names = table.index.astype(str).to_numpy()
    if (high := lost > MOST_DROPPED).any():
        worst, where = percent(float(lost[high].max())), _list_names(names[high])
        yield f"Quality control dropped up to {worst} % of the barcodes of {where}."
    if (high := damaged > MOST_DAMAGED).any():
        worst, where = percent(float(damaged[high].max())), _list_names(names[high])
        yield (
            f"Up to {worst} % of the barcodes of {where} have high mitochondrial counts: "
            "cells may have died before or during the preparation."
        )


def _check_cells(adata: AnnData) -> Iterator[str]:
    """Report samples with few cells."""
    sizes = adata.obs[keys.SAMPLE.name].astype(str).value_counts().sort_index()
    few = sizes[sizes < FEWEST_CELLS]
    if len(few):
        yield (
            f"Few cells: {_list_names(few.index.to_numpy())} (at least {count(few.min())}); with "
            f"fewer than {FEWEST_CELLS} the upper bound of the fraction stays above 1.5 %."
        )


def _check_depth(adata: AnnData) -> Iterator[str]:
    """Report shallow samples."""
    if not keys.has(adata, keys.TOTAL_COUNTS):
        return
    samples = adata.obs[keys.SAMPLE.name].astype(str)
    depth = adata.obs[keys.TOTAL_COUNTS.name].groupby(samples, observed=True).median().sort_index()
    shallow = depth[depth < LEAST_DEPTH]
    if len(shallow):
        yield (
            f"Low depth: the median cell of {_list_names(shallow.index.to_numpy())} has "
            f"{count(shallow.min())} counts; below {count(LEAST_DEPTH)}, most cells that express a "
            "transcription factor show no count of it."
        )


def _check_markers(adata: AnnData) -> Iterator[str]:
    """Report markers of the main programme without a row."""
    absent = [str(name) for name in _read_main_call(adata).get("absent", ())]
    if absent:
        yield f"No row in the matrix: {', '.join(absent)}. Absent does not mean zero."


def _check_background(adata: AnnData) -> Iterator[str]:
    """Report markers of the main programme with much background."""
    import pandas as pd

    table: pd.DataFrame | None = _read_main_call(adata).get("markers")
    if table is None:
        return
    core = read_main_program(adata).core
    levels = {marker.name: marker.level_cp10k for marker in core if marker.level_cp10k}
    shares = table["background_cp10k"].reindex(list(levels)).div(pd.Series(levels))
    high = shares[shares > MOST_BACKGROUND]
    if len(high):
        listed = ", ".join(f"{name} {percent(share)} %" for name, share in high.items())
        yield (
            "Heavy contamination: the background, as a share of the level in positive cells, is "
            f"{listed}."
        )


def _check_calibration(adata: AnnData) -> Iterator[str]:
    """Report what the calibration of the main programme found."""
    record = _read_main_call(adata).get("calibration", {})
    yield from (str(note) for note in record.get("notes", ()))


def _read_main_call(adata: AnnData) -> Mapping[str, Any]:
    """Return what ``call`` recorded of the main programme; empty where it recorded none."""
    call: Mapping[str, Any] = read_record(adata, keys.CALL.name)
    return dict(call.get(str(call.get("main")), {}))


def _list_names(names: np.ndarray) -> str:
    """List the first names, and how many more there are."""
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
