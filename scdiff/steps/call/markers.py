"""The input and the result of a fit of markers: levels, ambient RNA, model, calls of cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff import keys
from scdiff.programs import Marker, Program
from scdiff.steps.call.foreign import find_foreign
from scdiff.steps.shared.markers import MarkerCounts, select_pooled_cells
from scdiff.vocabulary import POOLED

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from scdiff.assay.foreign import Foreign
    from scdiff.assay.mixture import Model, Soup
    from scdiff.assay.samples import SampleCalls
    from scdiff.steps.call.nascent import Parts

__all__ = [
    "Batch",
    "Result",
    "build_model",
    "choose_levels",
    "leave_out_markers",
    "read_ambient",
]


@dataclass
class Result:
    """Calls of one programme, per cell, and the record for ``uns``.

    Parameters
    ----------
    evidence
        ln likelihood ratio, expressed against background, n_cells x n_markers; NaN if not measured.
    on
        Probability that a cell expresses a marker, 0-1, n_cells x n_markers.
    probability
        Probability that a cell is positive, 0-1, shape (n_cells,); NaN if it was not measured.
    positive
        Cells that are called positive, shape (n_cells,).
    state
        Name of the state of each cell, shape (n_cells,).
    rates_cp10k
        By marker: background, level and ambient RNA, counts per 10,000, over all samples.
    left_out
        By marker: prevalence, and number of called cells, without it.
    foreign
        Contamination that carries the marker of another cell type; None if it was not measured.
    record
        Entries for ``uns``.
    """

    evidence: pd.DataFrame
    on: pd.DataFrame
    probability: np.ndarray
    positive: np.ndarray
    state: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=object))
    rates_cp10k: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    left_out: dict[str, tuple[float, float]] = field(default_factory=dict)
    foreign: Foreign | None = None
    record: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """Input that all programmes of a run share.

    Parameters
    ----------
    adata
        Cells x genes.
    read
        Counts of the markers, and the depth of each cell.
    fdr
        False discovery rate of the calls, between 0 and 1.
    absent_as_zero
        Whether a marker without a row counts as measured and never detected.
    doublets
        Share of doublets by sample, 0-1.
    doubt
        Why the counts may not be raw counts; empty without doubt.
    levels
        By marker: level in an expressing cell, as a share of the counts of the cell.
    parts
        Unspliced and spliced counts of the markers; None without such layers.
    """

    adata: AnnData
    read: MarkerCounts
    fdr: float
    absent_as_zero: bool
    doublets: dict[str, float]
    doubt: str
    levels: Mapping[str, float] = field(default_factory=dict)
    parts: Parts | None = None


def choose_levels(read: MarkerCounts, program: Program) -> dict[str, float]:
    """Return the level of each marker as a share of the counts of a cell.

    A level that the programme does not state is learned from the cells.
    """
    from scdiff.assay.levels import learn_levels

    levels = {
        marker.name: marker.level_cp10k / 1e4
        for marker in program.markers
        if marker.level_cp10k is not None
    }
    unknown = [marker for marker in program.markers if marker.level_cp10k is None]
    learned = learn_levels(read.of(unknown), read.depth)
    for marker, level in zip(unknown, learned, strict=True):
        levels[marker.name] = float(level)
    return levels


def build_model(batch: Batch, markers: Sequence[Marker], min_markers: int, result: Result) -> Model:
    """Build the model of some markers, with the reach of the contamination where it is measured."""
    from scdiff.assay.mixture import Model
    from scdiff.assay.priors import LEVEL_SD, MOST_REACH, UNKNOWN_LEVEL_SD

    levels = np.array([batch.levels[marker.name] for marker in markers])
    learned = any(marker.level_cp10k is None for marker in markers)
    model = Model(tuple(levels), min_markers, level_sd=UNKNOWN_LEVEL_SD if learned else LEVEL_SD)
    if model.witness is None:
        return model
    result.foreign = _measure_foreign(batch, markers, model.witness)
    reach = min(result.foreign.reach, MOST_REACH) if result.foreign else 0.0
    return replace(model, reach=reach) if reach > model.most else model


def _measure_foreign(batch: Batch, markers: Sequence[Marker], witness: int) -> Foreign | None:
    """Measure the genes that accompany the marker which indicates contamination."""
    marker, rows = markers[witness], batch.read.genes(markers)
    excluded = [gene for genes in rows.values() for gene in genes]
    counts = batch.read.of([marker])[:, 0]
    level = batch.levels[marker.name]
    return find_foreign(batch.adata, counts, batch.read.depth, level, excluded)


def read_ambient(batch: Batch, markers: Sequence[Marker]) -> dict[str, Soup]:
    """Return the ambient RNA by sample and for row ``all``; only samples where it is known."""
    samples = batch.adata.obs[keys.SAMPLE.name].astype(str)
    groups = {name: [name] for name in samples.unique()}
    groups |= {POOLED: samples[select_pooled_cells(batch.adata)].unique()}
    found = {name: batch.read.soup_of(markers, inside) for name, inside in groups.items()}
    return {name: soup for name, soup in found.items() if soup is not None}


def leave_out_markers(
    batch: Batch, core: Sequence[Marker], fits: SampleCalls
) -> dict[str, tuple[float, float]]:
    """Return prevalence and number of calls without each marker, over all samples but controls."""
    from scdiff.assay.fmo import leave_one_out

    kept, read = select_pooled_cells(batch.adata), batch.read
    found = leave_one_out(
        read.of(core)[kept],
        read.depth[kept],
        fits.fits[POOLED],
        rate=batch.fdr,
        doublet_rate=batch.doublets[POOLED],
    )
    return {
        marker.name: (without.prevalence, float(without.n_called))
        for marker, without in zip(core, found, strict=False)
    }
