"""Calls of the programmes whose rule is ``score``: a gene set against sets that are as abundant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.compute.blocks import get_counts, read_columns
from scdiff.compute.parallel import each, many
from scdiff.programs import Program
from scdiff.record import read_species
from scdiff.steps.call.calibration import batch_of
from scdiff.steps.shared.markers import MarkerCounts

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["SetResult", "call_sets"]

FEWEST_GENES, FEWEST_SHARE = 3, 0.5


@dataclass(frozen=True)
class SetResult:
    """What is found for one programme.

    Parameters
    ----------
    score, p_value, probability
        Of each cell, shape (n_cells,): standard deviations above what depth predicts; against matched sets; 1 - q. NaN where
        not measurable.
    positive
        Called cells, shape (n_cells,).
    record
        For ``uns``.
    """

    score: np.ndarray
    p_value: np.ndarray
    probability: np.ndarray
    positive: np.ndarray
    record: dict[str, Any]


def call_sets(adata: AnnData, programs: Sequence[Program], read: MarkerCounts, null_sets: int, rate: float) -> dict[str, SetResult]:
    """Call each programme by its sets, all samples together, at an expected share of false calls of ``rate``."""
    if not programs:
        return {}
    columns = {program.name: sorted({row for rows in read.genes(program.sets).values() for row in rows}) for program in programs}
    wanted = sorted({column for found in columns.values() for column in found})
    counts, batch = read_columns(get_counts(adata), np.array(wanted, dtype=int)), batch_of(adata)
    batch.prepare()

    def one(program: Program) -> SetResult:
        own = columns[program.name]
        return _called(adata, program, batch, counts[:, np.searchsorted(wanted, own)], own, null_sets, rate)

    made = each(one, list(programs), worthwhile=many(adata))
    return {program.name: result for program, result in zip(programs, made, strict=True)}


def _called(
    adata: AnnData, program: Program, batch: Any, counts: np.ndarray, columns: Sequence[int], null_sets: int, rate: float
) -> SetResult:
    """Call one programme."""
    from scdiff.assay.calibration import calibration_record
    from scdiff.assay.set_calls import call_set
    from scdiff.errors import InputError

    reason = _why_not(program, adata, columns, null_sets)
    try:
        found = None if reason else call_set(batch, counts, excluded=columns, n_sets=null_sets, rate=rate)
    except InputError as error:
        found, reason = None, str(error)
    record = _record(program, adata, counts, columns, reason)
    if found is None:
        unknown = np.full(adata.n_obs, np.nan)
        return SetResult(unknown, unknown, unknown, np.zeros(adata.n_obs, dtype=bool), record)
    record |= {"calibration": calibration_record(found.calibration), "lob": found.limit_of_blank, "chance": found.chance}
    return SetResult(found.score, found.calibration.p_value, 1.0 - found.q_value, found.positive, record)


def _why_not(program: Program, adata: AnnData, columns: Sequence[int], null_sets: int) -> str:
    """Say why a programme cannot be measured; empty if it can."""
    n_genes = len(program.score_genes(read_species(adata)))
    if len(columns) < max(FEWEST_GENES, FEWEST_SHARE * n_genes):
        return f"only {len(columns)} of its {n_genes} genes have a row in this matrix; absent is not zero"
    return "" if null_sets else "null_sets is 0, and a gene set is called against null sets only"


def _record(program: Program, adata: AnnData, counts: np.ndarray, columns: Sequence[int], reason: str) -> dict[str, Any]:
    """Put together what ``uns`` keeps of one programme."""
    import pandas as pd

    names = np.array(adata.var_names[list(columns)], dtype=str)
    markers = pd.DataFrame({"genes": names, "n_detected": (counts > 0).sum(axis=0)}, index=names)
    absent = [gene for gene in program.score_genes(read_species(adata)) if gene not in set(names)]
    return {"found": names, "absent": np.array(absent, dtype=str), "measurable": not reason, "reason": reason, "markers": markers}
