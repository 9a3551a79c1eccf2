"""Calibration of the called programmes on the batch's own counts: what :func:`scdiff.tl.call` adds to its result."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.compute.blocks import arrays, get_counts, is_lazy, measure_cells, read_rows, sum_blocks
from scdiff.compute.parallel import each, many
from scdiff.programs import Program
from scdiff.steps.shared.markers import MarkerCounts
from scdiff.vocabulary import POOLED

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from scipy.sparse import csr_matrix

    from scdiff.assay.calibration import Batch
    from scdiff.assay.fit import Fit

logger = logging.getLogger(__name__)

__all__ = ["batch_of", "calibrate_programs"]

BLANKS, SHARES = 20, 4


def calibrate_programs(
    adata: AnnData,
    programs: Sequence[Program],
    read: MarkerCounts,
    records: Mapping[str, dict[str, Any]],
    null_sets: int,
    rate: float,
) -> pd.DataFrame:
    """Find p-values, cells x programmes (NaN where not measurable), and put each programme's calibration into its record.

    The first programme, the main one, also gets its blank: null sets that go through the full caller.
    """
    import pandas as pd

    batch = batch_of(adata)
    p_values = pd.DataFrame(np.nan, index=adata.obs_names, columns=[program.name for program in programs])
    asked = [program for program in programs if null_sets and program.calibrate and records[program.name]["measurable"]]
    if not asked:
        return p_values
    batch.prepare()  # once, before processes share it
    work = [_Work(batch, program, read, records[program.name], null_sets, rate) for program in asked]
    shares = [(work[0], (number, SHARES)) for number in range(SHARES)] if asked[0] is programs[0] else []
    found = each(_done, [*shares, *((one, None) for one in work)], worthwhile=many(adata))
    blank = np.empty(0)
    if shares:
        blank = np.empty(sum(len(part) for part in found[:SHARES]))
        for number, part in enumerate(found[:SHARES]):
            blank[number::SHARES] = part
    for program, calibration in zip(asked, found[len(shares) :], strict=True):
        _enter(program, calibration, blank if program is programs[0] else np.empty(0), records[program.name], p_values)
    return p_values


def batch_of(adata: AnnData) -> Batch:
    """Take all counts; of those that are not in memory the sums, and the cells that the null sets need."""
    from scdiff.assay.calibration import Batch

    counts = get_counts(adata)
    if not is_lazy(counts):
        return Batch(counts, adata.obs_names, adata.var_names)
    depth = measure_cells(counts, np.zeros(adata.n_vars, dtype=bool))[:, 0]
    whole = Batch(None, adata.obs_names, adata.var_names, sums=(depth, *sum_blocks(counts, _totals).astype(float)))
    drawn = whole.drawn
    return replace(whole, counts=read_rows(counts, drawn), rows=drawn)


def _totals(block: csr_matrix) -> np.ndarray:
    """Sum the counts of each gene, and the squares of their codes, over one block; shape (2, n_genes)."""
    from scdiff.assay.null_kernel import sum_counts

    return np.array(sum_counts(*arrays(block), block.shape[1])[1:]).astype(np.int64)


@dataclass(frozen=True)
class _Work:
    """What the calibration of one programme needs."""

    batch: Batch
    program: Program
    read: MarkerCounts
    record: Mapping[str, Any]
    null_sets: int
    rate: float

    @property
    def counts(self) -> np.ndarray:
        """Counts of the markers that have a row, shape (n_cells, n_markers)."""
        found = set(self.record["found"])
        return self.read.of([marker for marker in self.program.core if marker.name in found])

    @property
    def excluded(self) -> list[int]:
        """Genes of the programme, which enter no null set."""
        return [gene for genes in self.read.genes([*self.program.markers, *self.program.sets]).values() for gene in genes]


def _done(task: tuple[_Work, tuple[int, int] | None]) -> Any:
    """Calibrate a programme, or call a share of its blank sets; where the matrix has too few genes, say so."""
    from scdiff.assay.calibration import blank_fractions, calibrate
    from scdiff.errors import InputError

    work, share = task
    fit = _pooled_fit(work.record, work.counts, work.read.depth)
    options: dict[str, Any] = {"excluded": work.excluded, "n_sets": work.null_sets}
    try:
        if share:
            return blank_fractions(work.batch, work.counts, fit.model, n_blanks=BLANKS, rate=work.rate, share=share, **options)
        return calibrate(work.batch, work.counts, fit, n_blanks=0, rate=work.rate, **options)
    except InputError as error:
        return np.empty(0) if share else str(error)


def _enter(program: Program, found: Any, blank: np.ndarray, record: dict[str, Any], p_values: pd.DataFrame) -> None:
    """Put what was found, or why nothing was, into the record and the p-values."""
    from scdiff.assay.calibration import calibration_record

    if isinstance(found, str):
        record["calibration"] = {"notes": np.array([found], dtype=str)}
        return
    for note in found.notes[: found.n_off]:
        logger.warning("%s: %s", program.name, note)
    p_values[program.name], record["calibration"] = found.p_value, calibration_record(replace(found, blank=blank))


def _pooled_fit(record: Mapping[str, Any], counts: np.ndarray, depth: np.ndarray) -> Fit:
    """Put the fit to all samples together again."""
    from scdiff.assay.samples import fit_from_record

    return fit_from_record(record["fits"].loc[POOLED].to_dict(), counts, depth)
