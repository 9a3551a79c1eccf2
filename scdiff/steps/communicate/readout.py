"""Cells that express the genes of the axes: of the batch, with the background left out, and of receiver profiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.compute.parallel import each, many
from scdiff.programs import Marker, Program, Species
from scdiff.programs.axes import Axis, symbol_in
from scdiff.programs.receivers import Receiver
from scdiff.steps.shared.markers import MarkerCounts, read_markers, table_groups
from scdiff.vocabulary import DETECTED, NOT_DETECTED, NOT_MEASURABLE, POOLED

if TYPE_CHECKING:
    from anndata import AnnData

    from scdiff.assay.fit import Fit

__all__ = ["BATCH", "COLUMNS", "batch_rows", "receiver_rows"]

COLUMNS = (
    "axis", "side", "gene", "sample", "n_cells", "n_expressing", "fraction", "fraction_low", "fraction_high", "lod", "verdict", "reason",
    "prevalence", "prevalence_low", "prevalence_high", "above_background", "where", "species",
)  # fmt: skip
"""Columns of the table of axes, an interface."""

BATCH = "batch"
LEVEL = 0.95
FEWEST_CELLS = 50
"""As for the programmes: a prevalence of fewer cells says nothing."""
MOST_SAMPLES = 3
"""Of more samples, only row ``all`` has a prevalence: a fit per gene and sample would take longer than the programmes."""
TYPICAL = 1e-4
"""Level of an expressing cell that the mixture expects at least, share of its counts."""
REACH = 0.6
"""Contamination of a cell, in units of its level, that a level guessed from the cells leaves room for."""
WIDTH = (4, 16)
"""Bins of depth and count, coarser than the calls': half the time, and the same prevalence to 0.001."""
TRACE = 1e-6
"""A smaller prevalence is what the fit leaves to a class that it does not need."""
NUMBERS = ("n_expressing", "fraction", "fraction_low", "fraction_high", "lod", "prevalence", "prevalence_low", "prevalence_high")
EXPLAINED = {"yes": "; more than background explains", "no": "; background alone may explain it", "unknown": ""}

Row = dict[str, Any]
Estimate = tuple[float, float, float]


@dataclass(frozen=True)
class _Batch:
    """What the fits of all genes share: counts, groups of cells by name, samples, markers."""

    read: MarkerCounts
    groups: dict[str, np.ndarray]
    samples: np.ndarray
    markers: Mapping[str, Marker] = field(default_factory=dict)


def batch_rows(adata: AnnData, axes: Sequence[Axis], species: Species) -> dict[str, list[Row]]:
    """Read-outs of the batch: by axis, one row per side, gene and sample, then one of all samples.

    Parameters
    ----------
    adata
        Cells x genes.
    axes
        What to read.
    species
        Of the batch.
    """
    batch = _read(adata, axes, species)
    known = [gene for gene, marker in batch.markers.items() if batch.read.genes([marker])[gene]]
    found = dict(zip(known, each(partial(_estimates, batch), known, worthwhile=many(adata), what="genes"), strict=True))
    return {axis.name: list(_axis_rows(axis, batch, found, species)) for axis in axes}


def _read(adata: AnnData, axes: Sequence[Axis], species: Species) -> _Batch:
    """Read the counts of all genes that the species has, in one pass."""
    symbols = {gene: symbol_in(gene, species) for axis in axes for _, gene in axis.genes()}
    markers = {gene: Marker(name=gene, human=(name,), mouse=(name,), source="axes") for gene, name in symbols.items() if name}
    program = Program(name="axes", title="axes", summary="Genes of the axes.", source="axes", markers=tuple(markers.values()))
    groups = table_groups(adata)
    pooled = groups.pop(POOLED)
    samples = adata.obs["sample"].astype(str).to_numpy()
    return _Batch(read_markers(adata, [program]), groups | {POOLED: pooled}, samples, markers)


def _axis_rows(axis: Axis, batch: _Batch, found: Mapping[str, Mapping[str, Estimate]], species: Species) -> Iterator[Row]:
    """Rows of one axis."""
    for side, gene in axis.genes():
        name = symbol_in(gene, species)
        for group, cells in batch.groups.items():
            head = {"axis": axis.name, "side": side, "gene": name or gene, "sample": group, "where": BATCH, "species": species}
            if gene not in found:
                reason = f"no row for {name} in the matrix" if name else f"no {species} ortholog of {gene}"
                yield head | _absent(reason, int(cells.sum()))
                continue
            seen = batch.read.of([batch.markers[gene]])[cells, 0] > 0
            yield head | _batch_row(int(seen.sum()), int(cells.sum()), found[gene].get(group))


def _batch_row(n_expressing: int, n_cells: int, estimate: Estimate | None) -> Row:
    """Read-out of a gene that has a row."""
    row = _measured(n_expressing, n_cells)
    if estimate is not None:
        row |= dict(zip(("prevalence", "prevalence_low", "prevalence_high"), estimate, strict=True))
    above = "no" if not n_expressing else "unknown" if estimate is None else "yes" if estimate[1] > 0 else "no"
    raw = f"raw detection (count above 0), background not subtracted{EXPLAINED[above]}"
    return row | {"above_background": above, "reason": raw if n_expressing else f"no count in {n_cells:,} cells"}


def _estimates(batch: _Batch, gene: str) -> dict[str, Estimate]:
    """Prevalence of one gene with its 95 % interval, by group; only groups of 50 cells and more, and no single samples of many.

    The mixture of one marker: background by depth and contamination, and cells that express the gene on top. A transcript that
    every cell holds alike cannot be told from contamination without the unfiltered matrix; it counts as expressed.
    """
    from scdiff.assay.fit import profile_interval

    pooled, marker = batch.groups[POOLED], batch.markers[gene]
    if pooled.sum() < FEWEST_CELLS:
        return {}
    counts, depth = batch.read.of([marker]), np.maximum(batch.read.depth, 1)
    first = _fit(batch, marker, counts, depth, pooled, None)
    fits = {POOLED: first}
    for name, cells in batch.groups.items():
        if cells.sum() >= FEWEST_CELLS and name != POOLED and len(batch.groups) - 1 <= MOST_SAMPLES:
            fits[name] = first if np.array_equal(cells, pooled) else _fit(batch, marker, counts, depth, cells, first)
    found = {name: (fit.prevalence, *profile_interval(fit)) for name, fit in fits.items()}
    return {name: (prevalence if prevalence > TRACE else 0.0, low, high) for name, (prevalence, low, high) in found.items()}


def _fit(batch: _Batch, marker: Marker, counts: np.ndarray, depth: np.ndarray, cells: np.ndarray, pooled: Fit | None) -> Fit:
    """Fit the mixture to the cells of one group, starting from the fit to all where it is given."""
    from scdiff.assay.fit import fit_mixture
    from scdiff.assay.mixture import Model
    from scdiff.assay.table import Binning, tabulate

    level = _level(counts[cells, 0], depth[cells]) if pooled is None else float(pooled.parameters.level[0])
    model = Model((level,), 1, reach=REACH, soup=batch.read.soup_of([marker], np.unique(batch.samples[cells])))
    table = tabulate(counts[cells], depth[cells]).coarser(Binning(*WIDTH))
    return fit_mixture(table, model, start=None if pooled is None else pooled.theta)


def _level(counts: np.ndarray, depth: np.ndarray) -> float:
    """Level of an expressing cell to start from: the counts beyond the first in the cells that show the gene, by their depth."""
    seen = counts > 0
    beyond = float((counts[seen] - 1).sum()) / max(float(depth[seen].sum()), 1.0)
    return float(np.clip(beyond, TYPICAL, 0.5))


def receiver_rows(axis: Axis, receivers: Sequence[Receiver], species: Species) -> Iterator[Row]:
    """Read-outs of one axis from profiles of cells that are not in the batch, one row per side, gene and receiver.

    Parameters
    ----------
    axis
        What to read.
    receivers
        The profiles.
    species
        Of the batch: a profile of the other is read through the ortholog, and says so.
    """
    for receiver in receivers:
        for side, gene in axis.genes():
            symbol, seen = receiver.read(gene)
            head = {"axis": axis.name, "side": side, "gene": symbol or gene, "sample": receiver.name}
            head |= {"where": receiver.name, "species": receiver.species}
            through = "" if receiver.species == species else f"; {receiver.species} cells, read through the ortholog"
            if seen is None:
                reason = f"no row for {symbol} in the profile" if symbol else f"no {receiver.species} ortholog of {gene}"
                yield head | _absent(reason + (through if symbol else ""), receiver.n_cells)
                continue
            yield head | _receiver_row(seen.n_expressing, seen.n_cells, seen.background, through)


def _receiver_row(n_expressing: int, n_cells: int, background: float | None, through: str) -> Row:
    """Read-out of a gene that the profile counted."""
    row = _measured(n_expressing, n_cells)
    above = "no" if not n_expressing else "unknown" if background is None else "yes" if row["fraction_low"] > background else "no"
    seen = f"count above 0 in the cells of the profile{EXPLAINED[above]}" if n_expressing else f"no count in {n_cells:,} cells"
    bound = f" (at most {100 * background:.2g} % of cells)" if background is not None and n_expressing else ""
    return row | {"above_background": above, "reason": seen + bound + through}


def _absent(reason: str, n_cells: int) -> Row:
    """Read-out of a gene without a row."""
    return {"n_cells": n_cells, **dict.fromkeys(NUMBERS, np.nan), "verdict": NOT_MEASURABLE, "above_background": "", "reason": reason}


def _measured(n_expressing: int, n_cells: int) -> Row:
    """Numbers of a gene with a row: fraction, exact interval, limit of detection, verdict."""
    from scdiff.assay.intervals import clopper_pearson

    low, high = clopper_pearson(n_expressing, n_cells)
    numbers = {"n_expressing": n_expressing, "fraction": n_expressing / n_cells, "fraction_low": low, "fraction_high": high}
    limit = {"lod": 1 - (1 - LEVEL) ** (1 / n_cells), "verdict": DETECTED if n_expressing else NOT_DETECTED}
    return {"n_cells": n_cells, **dict.fromkeys(NUMBERS, np.nan), **numbers, **limit}
