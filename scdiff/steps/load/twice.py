"""Detection of the same cells in two inputs, which would count twice.

The check compares barcodes and, if barcodes prove nothing, also counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scdiff.compute.blocks import is_lazy
from scdiff.errors import InputError
from scdiff.steps.load.part import Part
from scdiff.steps.load.readers.lazy import compute_first_block
from scdiff.steps.load.soup import LANE
from scdiff.steps.load.source import Source
from scdiff.steps.load.table import Table, choose_stretches

__all__ = ["refuse_same_cells"]

_FEW_CELLS = 10
"""Number of cells of two inputs that may have the same name by chance. Chosen, not tuned."""

_MOST = 0.5
"""Share of the cells of the smaller sample, 0-1, above which two samples may be the same cells.
Also the share of cells, less chance, that must match their namesake. Chosen, not tuned."""

_BASES = re.compile(r"[ACGTN]{12,}")
"""The bases of a barcode."""

_BY_CHANCE = 150_000
"""Cells of one sample up to which barcodes are proof. The smallest droplet kit has 737,280
barcodes; this number of cells uses a fifth of them."""

_LOOKED_AT = 2_000
"""Barcodes sampled to judge whether they are proof. Chosen, not tuned."""

_SPARSE = 5
"""Ratio of possible combinations of barcode halves to barcodes, above which the barcodes come from
a large space. Barcodes of the wells of a plate combine a row barcode and a column barcode, and
use almost all combinations (ratio about 1)."""

_COMPARED = 200
"""Number of cells whose counts are compared. Chosen, not tuned."""

_UNLIKE, _UNLIKE_DEPTH = 0.2, 0.4
"""Similarity of counts and rank correlation of depth below which cells with the same barcodes are
different cells, such as spots of two slides. Chosen, not tuned."""


@dataclass(frozen=True)
class _Cells:
    """The cells of one sample: the source, the table, and key -> row of the cells in the table."""

    source: Source
    table: Table
    rows: dict[str, int]


def refuse_same_cells(parts: Sequence[Part]) -> None:
    """Raise an error if two inputs hold the same cells, even if these were counted differently.

    Shared barcodes of droplets prove this, unless the counts differ completely: two samples share a
    few per cent of their barcodes by chance; slides with printed barcodes and simulated batches
    share all. Names of wells, numbers and other names from a small space prove nothing. Then the
    counts must agree too: most cells are more similar to their namesake than to any other cell.

    Parameters
    ----------
    parts
        Checked tables; after a look at files, tables of some of their cells.

    Raises
    ------
    InputError
        With the names of both samples.
    """
    cells = list(_split_cells(parts)) if len(parts) > 1 else []
    for place, this in enumerate(cells):
        for other in cells[:place]:
            if other.table is not this.table:
                _refuse_same(this, other)


def _refuse_same(this: _Cells, other: _Cells) -> None:
    """Raise an error if two samples hold the same cells."""
    shared = sorted(this.rows.keys() & other.rows.keys())
    if len(shared) <= max(_FEW_CELLS, _MOST * min(len(this.rows), len(other.rows))):
        return
    proof = _are_proof(shared, max(len(this.rows), len(other.rows)))
    likeness, depth = _compare_counts(this, other, shared)
    if likeness > _MOST or (proof and not (likeness < _UNLIKE and depth < _UNLIKE_DEPTH)):
        evidence = "barcodes" if proof else "names and counts"
        raise InputError(
            f"{_name_place(this.source)}: {len(shared):,} of {len(this.rows):,} cells of "
            f"{this.source.sample!r} are also in {other.source.sample!r} "
            f"({_name_place(other.source)}), by their {evidence}, and would count twice. "
            "Give each cell once: leave out one of the two inputs."
        )


def _name_place(source: Source) -> str:
    """Return the path of a source, including its path within an archive."""
    return "/".join([str(source.path), *source.members[:1]])


def _split_cells(parts: Sequence[Part]) -> Iterator[_Cells]:
    """Yield the samples of all parts, with the cells that have counts."""
    for part in parts:
        keys = _strip_barcodes(part.table.barcodes)
        held = _find_filled(part.table)
        for source in part.sources:
            rows = np.flatnonzero((part.samples == source.sample) & held)
            yield _Cells(source, part.table, {keys[row]: row for row in reversed(rows.tolist())})


def _find_filled(table: Table) -> np.ndarray:
    """Find the cells that have counts, shape (n_cells,); all cells if only some were read."""
    if is_lazy(table.entries) or table.entries.shape[0] != len(table.barcodes):
        return np.ones(len(table.barcodes), dtype=bool)
    return np.asarray(np.diff(table.entries.indptr) > 0)


def _strip_barcodes(barcodes: np.ndarray) -> list[str]:
    """Remove from barcodes what programs write around the bases.

    From other names, remove only the lane number.
    """
    found = [_BASES.search(str(name)) for name in barcodes]
    if sum(map(bool, found)) > 0.9 * len(found):
        return [
            match[0] if match else str(name) for match, name in zip(found, barcodes, strict=True)
        ]
    return [LANE.sub("", str(name)) for name in barcodes]


def _are_proof(shared: Sequence[str], n_cells: int) -> bool:
    """Check whether barcodes that two samples share prove that their cells are the same."""
    sampled = shared[:: max(1, len(shared) // _LOOKED_AT)]
    if n_cells > _BY_CHANCE or not all(map(_BASES.fullmatch, sampled)):
        return False
    halves = [(name[: len(name) // 2], name[len(name) // 2 :]) for name in sampled]
    n_first, n_second = (len({half[side] for half in halves}) for side in (0, 1))
    return n_first * n_second > _SPARSE * len(sampled)


def _compare_counts(this: _Cells, other: _Cells, shared: Sequence[str]) -> tuple[float, float]:
    """Compare cells with their namesakes in the other sample; NaN if too few cells were read.

    Returns
    -------
    Share of cells that are more similar to their namesake than to any other cell, less the share
    expected by chance; and the rank correlation of depth.
    """
    from scipy.stats import rankdata

    entries = [compute_first_block(cells.table.entries) for cells in (this, other)]
    read = [
        _map_rows(cells.table, values.shape[0])
        for cells, values in zip((this, other), entries, strict=True)
    ]
    known = [name for name in shared if this.rows[name] in read[0] and other.rows[name] in read[1]]
    known = known[:: max(1, len(known) // _COMPARED)]
    symbols, at_first, at_second = np.intersect1d(
        this.table.symbols, other.table.symbols, return_indices=True
    )
    if len(known) <= _FEW_CELLS or not len(symbols):
        return np.nan, np.nan
    counts = [
        values[[rows[cells.rows[name]] for name in known]][:, genes]
        for cells, values, rows, genes in (
            (this, entries[0], read[0], at_first),
            (other, entries[1], read[1], at_second),
        )
    ]
    ranks = [rankdata(np.asarray(values.sum(axis=1)).ravel()) for values in counts]
    depth = float(np.corrcoef(ranks)[0, 1]) if all(len(set(rank)) > 1 for rank in ranks) else np.nan
    first, second = map(_compute_profiles, counts)
    matches = np.argmax(first @ second.T, axis=1) == np.arange(len(known))
    return float(np.mean(matches)) - 1 / len(known), depth


def _map_rows(table: Table, n_rows: int) -> dict[int, int]:
    """Return cell -> row of the entries, for the cells that were read."""
    n_cells = len(table.barcodes)
    is_start = is_lazy(table.entries) or n_rows == n_cells
    stretches = [slice(0, n_rows)] if is_start else choose_stretches(n_cells)
    cells = [cell for stretch in stretches for cell in range(stretch.start, stretch.stop)]
    return dict(zip(cells, range(n_rows), strict=False))


def _compute_profiles(counts: Any) -> np.ndarray:
    """Compute how each cell differs from the mean of all cells, shape (n_cells, n_genes).

    The values are square roots of shares of the depth; each row has length 1.
    """
    values = np.asarray(counts.todense(), dtype=np.float64)
    values = np.sqrt(values / np.maximum(values.sum(axis=1, keepdims=True), 1))
    values -= values.mean(axis=0)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
