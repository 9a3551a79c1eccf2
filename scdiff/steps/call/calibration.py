"""Calibration of the called programmes on the batch's own counts, for :func:`scdiff.tl.call`."""

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

__all__ = ["calibrate_programs", "read_batch"]

BLANKS = 20
"""Null sets that go through the full caller as blanks. Chosen for time, not tuned."""
SHARES = 4
"""Parts into which the blanks are split, so that processes share the work."""


def calibrate_programs(
    adata: AnnData,
    programs: Sequence[Program],
    read: MarkerCounts,
    records: Mapping[str, dict[str, Any]],
    null_sets: int,
    rate: float,
) -> pd.DataFrame:
    """Compute p-values and write the calibration of each programme into its record.

    The first programme, the main one, also gets its blank: null sets that go through the full
    caller.

    Returns
    -------
    P-values, cells x programmes; NaN if not measurable.
    """
    import pandas as pd

    batch = read_batch(adata)
    p_values = pd.DataFrame(
        np.nan, index=adata.obs_names, columns=[program.name for program in programs]
    )
    chosen = [
        program
        for program in programs
        if null_sets and program.calibrate and records[program.name]["measurable"]
    ]
    if not chosen:
        return p_values
    batch.prepare()  # once, before processes share it
    work = [
        _Work(batch, program, read, records[program.name], null_sets, rate) for program in chosen
    ]
    has_main = chosen[0] is programs[0]
    shares = [(work[0], (number, SHARES)) for number in range(SHARES)] if has_main else []
    found = each(_calibrate, [*shares, *((one, None) for one in work)], worthwhile=many(adata))
    blank = _join_shares(found[: len(shares)])
    for program, calibration in zip(chosen, found[len(shares) :], strict=True):
        own = blank if program is programs[0] else np.empty(0)
        _write(program, calibration, own, records[program.name], p_values)
    return p_values


def _join_shares(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Join the shares of the blank sets in the order of the sets."""
    blank = np.empty(sum(len(part) for part in parts))
    for number, part in enumerate(parts):
        blank[number :: len(parts)] = part
    return blank


def read_batch(adata: AnnData) -> Batch:
    """Return the counts for the null sets.

    Counts in memory are used as they are. Of counts on disk only the sums are computed, and the
    cells that the null sets need are read.
    """
    from scdiff.assay.calibration import Batch

    counts = get_counts(adata)
    if not is_lazy(counts):
        return Batch(counts, adata.obs_names, adata.var_names)
    depth = measure_cells(counts, np.zeros(adata.n_vars, dtype=bool))[:, 0]
    whole = Batch(
        None,
        adata.obs_names,
        adata.var_names,
        sums=(depth, *sum_blocks(counts, _sum_genes).astype(float)),
    )
    drawn = whole.drawn
    return replace(whole, counts=read_rows(counts, drawn), rows=drawn)


def _sum_genes(block: csr_matrix) -> np.ndarray:
    """Sum the counts of each gene, and the squares of their codes, over one block.

    Shape (2, n_genes).
    """
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
        """Genes of the programme, which are never in a null set."""
        columns = self.read.genes([*self.program.markers, *self.program.sets])
        return [gene for genes in columns.values() for gene in genes]


def _calibrate(task: tuple[_Work, tuple[int, int] | None]) -> Any:
    """Calibrate a programme, or call a share of its blank sets.

    If the matrix has too few genes, the result is a sentence (for a share: empty).
    """
    from scdiff.assay.calibration import blank_fractions, calibrate
    from scdiff.errors import InputError

    work, share = task
    fit = _rebuild_fit(work.record, work.counts, work.read.depth)
    options: dict[str, Any] = {"excluded": work.excluded, "n_sets": work.null_sets}
    try:
        if share:
            options |= {"n_blanks": BLANKS, "rate": work.rate, "share": share}
            return blank_fractions(work.batch, work.counts, fit.model, **options)
        return calibrate(work.batch, work.counts, fit, n_blanks=0, rate=work.rate, **options)
    except InputError as error:
        return np.empty(0) if share else str(error)


def _write(
    program: Program, found: Any, blank: np.ndarray, record: dict[str, Any], p_values: pd.DataFrame
) -> None:
    """Write the calibration, or why it is missing, into the record and the p-values."""
    from scdiff.assay.calibration import calibration_record

    if isinstance(found, str):
        record["calibration"] = {"notes": np.array([found], dtype=str)}
        return
    for note in found.notes[: found.n_off]:
        logger.warning("%s: %s", program.name, note)
    p_values[program.name] = found.p_value
    record["calibration"] = calibration_record(replace(found, blank=blank))


def _rebuild_fit(record: Mapping[str, Any], counts: np.ndarray, depth: np.ndarray) -> Fit:
    """Rebuild the fit to all samples from the record."""
    from scdiff.assay.samples import fit_from_record

    return fit_from_record(record["fits"].loc[POOLED].to_dict(), counts, depth)
