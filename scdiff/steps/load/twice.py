"""The same cells in two inputs, which would count twice: told by their barcodes and, where those prove nothing, by their counts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scdiff.compute.blocks import is_lazy
from scdiff.errors import InputError
from scdiff.steps.load.join import Part
from scdiff.steps.load.readers.lazy import first_block
from scdiff.steps.load.soup import LANE
from scdiff.steps.load.source import Source
from scdiff.steps.load.table import Table, choose_stretches

__all__ = ["refuse_same_cells"]

_FEW_CELLS = 10
"""So many cells of two inputs may be called alike by chance."""

_MOST = 0.5
"""Share of the cells of the smaller sample from which on two samples may be the same cells."""

_BASES = re.compile(r"[ACGTN]{12,}")
_BY_CHANCE = 150_000
"""Cells of one sample up to which barcodes prove something: of 737,280, the fewest that a droplet kit has, they take a fifth."""

_LOOKED_AT = 2_000
_SPARSE = 5
"""Barcodes drawn from a large space have this many times more combinations of their halves than there are barcodes; those of the
wells of a plate, made of the barcode of a row and that of a column, have hardly more."""

_COMPARED = 200
"""Cells whose counts are compared."""

_UNLIKE, _UNLIKE_DEPTH = 0.2, 0.4
"""Cells of the same barcodes whose counts are no more alike than this, in kind and in depth, are others: spots of two slides."""


@dataclass(frozen=True)
class _Cells:
    """The cells of one sample: the source, the table, key -> row of the table's cells."""

    source: Source
    table: Table
    rows: dict[str, int]


def refuse_same_cells(parts: Sequence[Part]) -> None:
    """Refuse two inputs that hold the same cells, however these were counted.

    Barcodes of droplets are proof, unless the counts have nothing in common: two samples share a few in a hundred by chance, slides
    with printed barcodes and simulated batches share all. Names of wells, numbers and other names of a
    small space are none, so the counts must agree too: most cells are more like their namesake than like any other cell.

    Parameters
    ----------
    parts
        Checked tables; of a look at files, tables of some of their cells.

    Raises
    ------
    InputError
        Naming both samples.
    """
    cells = list(_cells(parts)) if len(parts) > 1 else []
    for place, this in enumerate(cells):
        for other in cells[:place]:
            if other.table is this.table:
                continue
            shared = sorted(this.rows.keys() & other.rows.keys())
            if len(shared) <= max(_FEW_CELLS, _MOST * min(len(this.rows), len(other.rows))):
                continue
            proof = _are_proof(shared, max(len(this.rows), len(other.rows)))
            alike, depth = _likeness(this, other, shared)
            if alike > _MOST or (proof and not (alike < _UNLIKE and depth < _UNLIKE_DEPTH)):
                raise InputError(
                    f"{_place(this.source)}: {len(shared):,} of {len(this.rows):,} cells of {this.source.sample!r} stand in "
                    f"{other.source.sample!r} ({_place(other.source)}), too, by their {'barcodes' if proof else 'names and counts'}: "
                    "they would count twice. Give each cell once: name one of the two."
                )


def _place(source: Source) -> str:
    """Name where a source stands, within its archive too."""
    return "/".join([str(source.path), *source.members[:1]])


def _cells(parts: Sequence[Part]) -> Iterator[_Cells]:
    """Yield the samples of all parts with the cells that hold counts."""
    for part in parts:
        keys = _keys(part.table.barcodes)
        held = _held(part.table)
        for source in part.sources:
            rows = np.flatnonzero((part.samples == source.sample) & held)
            yield _Cells(source, part.table, {keys[row]: row for row in reversed(rows.tolist())})


def _held(table: Table) -> np.ndarray:
    """Tell which cells hold counts, shape (n_cells,); all where not every cell was read."""
    if is_lazy(table.entries) or table.entries.shape[0] != len(table.barcodes):
        return np.ones(len(table.barcodes), dtype=bool)
    return np.asarray(np.diff(table.entries.indptr) > 0)


def _keys(barcodes: np.ndarray) -> list[str]:
    """Barcodes without what programs put around the bases; of other names all but the number of the lane."""
    found = [_BASES.search(str(name)) for name in barcodes]
    if sum(map(bool, found)) > 0.9 * len(found):
        return [match[0] if match else str(name) for match, name in zip(found, barcodes, strict=True)]
    return [LANE.sub("", str(name)) for name in barcodes]


def _are_proof(shared: Sequence[str], n_cells: int) -> bool:
    """Tell whether barcodes that two samples share prove that their cells are the same."""
    looked = shared[:: max(1, len(shared) // _LOOKED_AT)]
    if n_cells > _BY_CHANCE or not all(map(_BASES.fullmatch, looked)):
        return False
    halves = [(name[: len(name) // 2], name[len(name) // 2 :]) for name in looked]
    n_first, n_second = (len({half[side] for half in halves}) for side in (0, 1))
    return n_first * n_second > _SPARSE * len(looked)


def _likeness(this: _Cells, other: _Cells, shared: Sequence[str]) -> tuple[float, float]:
    """Compare cells with their namesakes in the other sample; NaN where too few were read.

    Returns
    -------
    Share of cells that are more like their namesake than like any other cell, less what chance gives, and rank correlation of depth.
    """
    from scipy.stats import rankdata

    entries = [first_block(cells.table.entries) for cells in (this, other)]
    read = [_read(cells.table, values.shape[0]) for cells, values in zip((this, other), entries, strict=True)]
    known = [name for name in shared if this.rows[name] in read[0] and other.rows[name] in read[1]]
    known = known[:: max(1, len(known) // _COMPARED)]
    symbols, at_first, at_second = np.intersect1d(this.table.symbols, other.table.symbols, return_indices=True)
    if len(known) <= _FEW_CELLS or not len(symbols):
        return np.nan, np.nan
    counts = [
        values[[rows[cells.rows[name]] for name in known]][:, genes]
        for cells, values, rows, genes in ((this, entries[0], read[0], at_first), (other, entries[1], read[1], at_second))
    ]
    ranks = [rankdata(np.asarray(values.sum(axis=1)).ravel()) for values in counts]
    depth = float(np.corrcoef(ranks)[0, 1]) if all(len(set(rank)) > 1 for rank in ranks) else np.nan
    first, second = map(_profiles, counts)
    return float(np.mean(np.argmax(first @ second.T, axis=1) == np.arange(len(known)))) - 1 / len(known), depth


def _read(table: Table, n_rows: int) -> dict[int, int]:
    """Cell -> row of the entries, for the cells that were read."""
    n_cells = len(table.barcodes)
    stretches = [slice(0, n_rows)] if is_lazy(table.entries) or n_rows == n_cells else choose_stretches(n_cells)
    cells = [cell for stretch in stretches for cell in range(stretch.start, stretch.stop)]
    return dict(zip(cells, range(n_rows), strict=False))


def _profiles(counts: Any) -> np.ndarray:
    """How each cell differs from the mean of all, in roots of shares, as vectors of length 1; shape (n_cells, n_genes)."""
    values = np.asarray(counts.todense(), dtype=np.float64)
    values = np.sqrt(values / np.maximum(values.sum(axis=1, keepdims=True), 1))
    values -= values.mean(axis=0)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
