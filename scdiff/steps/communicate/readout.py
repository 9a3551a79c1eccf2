"""Cells that express the genes of the axes: in the batch above background, and in receivers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff import keys
from scdiff.compute.parallel import each, many
from scdiff.programs import Marker, Program, Species
from scdiff.programs.axes import Axis, symbol_in
from scdiff.programs.receivers import Receiver
from scdiff.steps.shared.markers import MarkerCounts, read_markers, select_table_groups
from scdiff.vocabulary import DETECTED, NOT_DETECTED, NOT_MEASURABLE, POOLED

if TYPE_CHECKING:
    from anndata import AnnData

    from scdiff.assay.fit import Fit

__all__ = ["BATCH", "COLUMNS", "batch_rows", "receiver_rows"]

COLUMNS = (
    "axis", "side", "gene", "sample", "n_cells", "n_expressing", "fraction", "fraction_low",
    "fraction_high", "lod", "verdict", "reason", "prevalence", "prevalence_low", "prevalence_high",
    "above_background", "where", "species",
)  # fmt: skip
"""Columns of the table of axes, an interface."""

BATCH = "batch"
"""Value of the column ``where`` for cells of the batch."""
LEVEL = 0.95
"""Probability at which one expressing cell would be seen at the limit of detection, 0-1."""
FEWEST_CELLS_OF_FIT = 50
"""Cells of a group below which no mixture is fitted, as for the programmes.

The prevalence of fewer cells is too uncertain to be of use.
"""
MOST_SAMPLES = 3
"""Number of samples above which only row ``all`` has a prevalence.

A fit per gene and sample would take longer than the programmes.
"""
TYPICAL = 1e-4
"""Lowest level of an expressing cell that a fit starts from, share of its counts, 0-1."""
REACH = 0.6
"""Contamination that the fit allows in a cell, in units of the level of an expressing cell.

The level is guessed from the cells, so it may be too high. Chosen, not tuned.
"""
WIDTH = (4, 16)
"""Width of the bins of depth and of count.

Coarser than those of the calls: half the time, and the same prevalence to 0.001.
"""
TRACE = 1e-6
"""Prevalence, 0-1, below which it is numerical residue of the fit and is set to 0."""
NUMBERS = (
    "n_expressing", "fraction", "fraction_low", "fraction_high", "lod", "prevalence",
    "prevalence_low", "prevalence_high",
)  # fmt: skip
EXPLAINED = {
    "yes": "; more than background explains",
    "no": "; background alone may explain it",
    "unknown": "",
}
"""End of the reason, by the value of ``above_background``."""

Row = dict[str, Any]
Estimate = tuple[float, float, float]


@dataclass(frozen=True)
class _Batch:
    """What the fits of all genes share.

    Parameters
    ----------
    read
        Depth and counts of the genes.
    groups
        Cells of each row of the table, shape (n_cells,) each.
    samples
        Sample of each cell, shape (n_cells,).
    markers
        Marker of each gene, by the human symbol.
    """

    read: MarkerCounts
    groups: dict[str, np.ndarray]
    samples: np.ndarray
    markers: Mapping[str, Marker] = field(default_factory=dict)


def batch_rows(adata: AnnData, axes: Sequence[Axis], species: Species) -> dict[str, list[Row]]:
    """Return the rows of the batch: by axis, one row per side, gene and group; ``all`` comes last.

    Parameters
    ----------
    adata
        Cells x genes.
    axes
        Axes to read.
    species
        Species of the batch.
    """
    batch = _read_batch(adata, axes, species)
    known = [gene for gene, marker in batch.markers.items() if batch.read.genes([marker])[gene]]
    estimates = each(partial(_estimate_gene, batch), known, worthwhile=many(adata), what="genes")
    found = dict(zip(known, estimates, strict=True))
    return {axis.name: list(_axis_rows(axis, batch, found, species)) for axis in axes}


def _read_batch(adata: AnnData, axes: Sequence[Axis], species: Species) -> _Batch:
    """Read the counts of all genes that the species has, in one pass."""
    symbols = {gene: symbol_in(gene, species) for axis in axes for _, gene in axis.genes()}
    markers = {
        gene: Marker(name=gene, human=(name,), mouse=(name,), source="axes")
        for gene, name in symbols.items()
        if name
    }
    program = Program(
        name="axes",
        title="axes",
        summary="Genes of the axes.",
        source="axes",
        markers=tuple(markers.values()),
    )
    groups = select_table_groups(adata)
    pooled = groups.pop(POOLED)
    samples = adata.obs[keys.SAMPLE.name].astype(str).to_numpy()
    return _Batch(read_markers(adata, [program]), groups | {POOLED: pooled}, samples, markers)


def _axis_rows(
    axis: Axis, batch: _Batch, found: Mapping[str, Mapping[str, Estimate]], species: Species
) -> Iterator[Row]:
    """Yield the rows of one axis."""
    for side, gene in axis.genes():
        name = symbol_in(gene, species)
        for group, cells in batch.groups.items():
            head = {"axis": axis.name, "side": side, "gene": name or gene, "sample": group}
            head |= {"where": BATCH, "species": species}
            if gene not in found:
                missing = f"no {species} ortholog of {gene}"
                reason = f"no row for {name} in the matrix" if name else missing
                yield head | _absent_row(reason, int(cells.sum()))
                continue
            seen = batch.read.of([batch.markers[gene]])[cells, 0] > 0
            yield head | _batch_row(int(seen.sum()), int(cells.sum()), found[gene].get(group))


def _batch_row(n_expressing: int, n_cells: int, estimate: Estimate | None) -> Row:
    """Return the row of a gene that has counts in the matrix."""
    row = _measure_row(n_expressing, n_cells)
    if estimate is not None:
        row |= dict(zip(("prevalence", "prevalence_low", "prevalence_high"), estimate, strict=True))
    above = _compare(n_expressing, None if estimate is None else estimate[1] > 0)
    reason = f"no count in {n_cells:,} cells"
    if n_expressing:
        reason = f"raw detection (count above 0), background not subtracted{EXPLAINED[above]}"
    return row | {"above_background": above, "reason": reason}


def _compare(n_expressing: int, is_above: bool | None) -> str:
    """Return yes, no or unknown: whether more cells express a gene than background explains."""
    if not n_expressing:
        return "no"
    if is_above is None:
        return "unknown"
    return "yes" if is_above else "no"


def _estimate_gene(batch: _Batch, gene: str) -> dict[str, Estimate]:
    """Estimate the prevalence of one gene with its 95 % interval, by group.

    The mixture of one marker: background by depth and contamination, plus cells that express the
    gene. A transcript that every cell holds to the same degree looks like contamination unless the
    unfiltered matrix is known; it counts as expressed. Groups of fewer than 50 cells are left out,
    and single samples if there are more than three.
    """
    from scdiff.assay.fit import profile_interval

    pooled, marker = batch.groups[POOLED], batch.markers[gene]
    if pooled.sum() < FEWEST_CELLS_OF_FIT:
        return {}
    counts, depth = batch.read.of([marker]), np.maximum(batch.read.depth, 1)
    first = _fit(batch, marker, counts, depth, pooled, None)
    fits = {POOLED: first}
    for name, cells in batch.groups.items() if len(batch.groups) - 1 <= MOST_SAMPLES else ():
        if cells.sum() >= FEWEST_CELLS_OF_FIT and name != POOLED:
            same = np.array_equal(cells, pooled)
            fits[name] = first if same else _fit(batch, marker, counts, depth, cells, first)
    return {
        name: (fit.prevalence if fit.prevalence > TRACE else 0.0, *profile_interval(fit))
        for name, fit in fits.items()
    }


def _fit(
    batch: _Batch,
    marker: Marker,
    counts: np.ndarray,
    depth: np.ndarray,
    cells: np.ndarray,
    pooled: Fit | None,
) -> Fit:
    """Fit the mixture to the cells of one group; the fit to all cells is the start, if given."""
    from scdiff.assay.fit import fit_mixture
    from scdiff.assay.mixture import Model
    from scdiff.assay.table import Binning, tabulate

    if pooled is None:
        level = _guess_level(counts[cells, 0], depth[cells])
    else:
        level = float(pooled.parameters.level[0])
    soup = batch.read.soup_of([marker], np.unique(batch.samples[cells]))
    model = Model((level,), 1, reach=REACH, soup=soup)
    table = tabulate(counts[cells], depth[cells]).coarser(Binning(*WIDTH))
    return fit_mixture(table, model, start=None if pooled is None else pooled.theta)


def _guess_level(counts: np.ndarray, depth: np.ndarray) -> float:
    """Guess the level of an expressing cell, as a share of its counts.

    It is the sum of the counts beyond the first in cells with a count, divided by their depth.
    """
    seen = counts > 0
    beyond = float((counts[seen] - 1).sum()) / max(float(depth[seen].sum()), 1.0)
    return float(np.clip(beyond, TYPICAL, 0.5))


def receiver_rows(axis: Axis, receivers: Sequence[Receiver], species: Species) -> Iterator[Row]:
    """Yield the rows of one axis from profiles of cells outside the batch.

    One row per side, gene and receiver.

    Parameters
    ----------
    axis
        Axis to read.
    receivers
        The profiles.
    species
        Species of the batch. A profile of another species is read through the ortholog, and its
        rows state that.
    """
    for receiver in receivers:
        for side, gene in axis.genes():
            symbol, seen = receiver.read(gene)
            head = {
                "axis": axis.name,
                "side": side,
                "gene": symbol or gene,
                "sample": receiver.name,
            }
            head |= {"where": receiver.name, "species": receiver.species}
            through = ""
            if receiver.species != species:
                through = f"; {receiver.species} cells, read through the ortholog"
            if seen is None:
                missing = f"no {receiver.species} ortholog of {gene}"
                reason = f"no row for {symbol} in the profile" if symbol else missing
                yield head | _absent_row(reason + (through if symbol else ""), receiver.n_cells)
                continue
            yield head | _receiver_row(seen.n_expressing, seen.n_cells, seen.background, through)


def _receiver_row(n_expressing: int, n_cells: int, background: float | None, through: str) -> Row:
    """Return the row of a gene that the profile counted."""
    row = _measure_row(n_expressing, n_cells)
    is_above = None if background is None else row["fraction_low"] > background
    above = _compare(n_expressing, is_above)
    reason = f"no count in {n_cells:,} cells"
    if n_expressing:
        reason = f"count above 0 in the cells of the profile{EXPLAINED[above]}"
        if background is not None:
            reason += f" (at most {100 * background:.2g} % of cells)"
    return row | {"above_background": above, "reason": reason + through}


def _absent_row(reason: str, n_cells: int) -> Row:
    """Return the row of a gene without a row in the matrix or profile."""
    row = {"n_cells": n_cells, **dict.fromkeys(NUMBERS, np.nan)}
    return row | {"verdict": NOT_MEASURABLE, "above_background": "", "reason": reason}


def _measure_row(n_expressing: int, n_cells: int) -> Row:
    """Return fraction, exact interval, limit of detection and verdict of a gene."""
    from scdiff.assay.intervals import clopper_pearson

    low, high = clopper_pearson(n_expressing, n_cells)
    return {
        "n_cells": n_cells,
        **dict.fromkeys(NUMBERS, np.nan),
        "n_expressing": n_expressing,
        "fraction": n_expressing / n_cells,
        "fraction_low": low,
        "fraction_high": high,
        "lod": 1 - (1 - LEVEL) ** (1 / n_cells),
        "verdict": DETECTED if n_expressing else NOT_DETECTED,
    }
