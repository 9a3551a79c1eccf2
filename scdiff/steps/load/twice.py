"""The same cells in two inputs, which would count twice: told by their barcodes and, where those prove nothing, by their counts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scdiff.errors import InputError
from scdiff.steps._blocks import is_lazy
from scdiff.steps.load.join import Part
from scdiff.steps.load.soup import LANE
from scdiff.steps.load.source import Source
from scdiff.steps.load.table import Table, looked_at

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


@dataclass(frozen=True)
class _Cells:
    """The cells of one sample: the source, the table, key -> row of the table's cells."""

    source: Source
    table: Table
    rows: dict[str, int]


def refuse_same_cells(parts: Sequence[Part]) -> None:
    """Refuse two inputs that hold the same cells, however these were counted.

    Barcodes of droplets are proof: two samples share a few in a hundred by chance. Names of wells, numbers and other names of a
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
            if proof or _agree(this, other, shared):
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


def _agree(this: _Cells, other: _Cells, shared: Sequence[str]) -> bool:
    """Tell whether most cells are more like their namesake in the other sample than like any other of its cells."""
    if is_lazy(this.table.entries) or is_lazy(other.table.entries):
        return False
    read = [_read(cells.table) for cells in (this, other)]
    known = [name for name in shared if this.rows[name] in read[0] and other.rows[name] in read[1]]
    known = known[:: max(1, len(known) // _COMPARED)]
    first, at_first, at_second = np.intersect1d(this.table.symbols, other.table.symbols, return_indices=True)
    if len(known) <= _FEW_CELLS or not len(first):
        return False
    profiles = [
        _profiles(cells.table.entries[[rows[cells.rows[name]] for name in known]][:, genes])
        for cells, rows, genes in ((this, read[0], at_first), (other, read[1], at_second))
    ]
    return bool(np.mean(np.argmax(profiles[0] @ profiles[1].T, axis=1) == np.arange(len(known))) > _MOST)


def _read(table: Table) -> dict[int, int]:
    """Cell -> row of the entries, for the cells that were read."""
    n_cells = len(table.barcodes)
    stretches = [slice(0, n_cells)] if table.entries.shape[0] == n_cells else looked_at(n_cells)
    cells = [cell for stretch in stretches for cell in range(stretch.start, stretch.stop)]
    return dict(zip(cells, range(table.entries.shape[0]), strict=False))


def _profiles(counts: Any) -> np.ndarray:
    """How each cell differs from the mean of all, in roots of shares, as vectors of length 1; shape (n_cells, n_genes)."""
    values = np.asarray(counts.todense(), dtype=np.float64)
    values = np.sqrt(values / np.maximum(values.sum(axis=1, keepdims=True), 1))
    values -= values.mean(axis=0)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
