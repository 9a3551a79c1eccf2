"""Calls of the programmes whose rule is ``score``: a gene set against sets of equal abundance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.compute.blocks import get_counts, read_columns
from scdiff.compute.parallel import each, many
from scdiff.programs import Program
from scdiff.record import read_species
from scdiff.steps.call.calibration import read_batch
from scdiff.steps.shared.markers import MarkerCounts

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["SetResult", "call_sets"]

FEWEST_GENES = 3
"""Genes of a set that must have a row: fewer do not make a set. Chosen, not tuned."""
FEWEST_SHARE = 0.5
"""Share of the genes of a set that must have a row, 0-1. Chosen, not tuned."""


@dataclass(frozen=True)
class SetResult:
    """Result of one programme.

    Parameters
    ----------
    score, p_value, probability
        Of each cell, shape (n_cells,): standard deviations above what the depth predicts; p-value
        against matched sets; 1 - q. NaN if not measurable.
    positive
        Called cells, shape (n_cells,).
    record
        What goes to ``uns``.
    """

    score: np.ndarray
    p_value: np.ndarray
    probability: np.ndarray
    positive: np.ndarray
    record: dict[str, Any]


def call_sets(
    adata: AnnData, programs: Sequence[Program], read: MarkerCounts, null_sets: int, rate: float
) -> dict[str, SetResult]:
    """Call each programme by its sets, all samples pooled.

    Parameters
    ----------
    adata
        Cells x genes.
    programs
        Programmes with sets.
    read
        Columns of their genes.
    null_sets
        Number of matched sets.
    rate
        Expected share of false calls, 0-1.
    """
    if not programs:
        return {}
    columns = {
        program.name: sorted({row for rows in read.genes(program.sets).values() for row in rows})
        for program in programs
    }
    wanted = sorted({column for found in columns.values() for column in found})
    counts, batch = read_columns(get_counts(adata), np.array(wanted, dtype=int)), read_batch(adata)
    batch.prepare()

    def one(program: Program) -> SetResult:
        own = columns[program.name]
        of_program = counts[:, np.searchsorted(wanted, own)]
        return _call_program(adata, program, batch, of_program, own, null_sets, rate)

    results = each(one, list(programs), worthwhile=many(adata))
    return {program.name: result for program, result in zip(programs, results, strict=True)}


def _call_program(
    adata: AnnData,
    program: Program,
    batch: Any,
    counts: np.ndarray,
    columns: Sequence[int],
    null_sets: int,
    rate: float,
) -> SetResult:
    """Call one programme."""
    from scdiff.assay.calibration import calibration_record
    from scdiff.assay.set_calls import call_set
    from scdiff.errors import InputError

    reason = _explain(program, adata, columns, null_sets)
    try:
        found = (
            None
            if reason
            else call_set(batch, counts, excluded=columns, n_sets=null_sets, rate=rate)
        )
    except InputError as error:
        found, reason = None, str(error)
    record = _make_record(program, adata, counts, columns, reason)
    if found is None:
        unknown = np.full(adata.n_obs, np.nan)
        return SetResult(unknown, unknown, unknown, np.zeros(adata.n_obs, dtype=bool), record)
    record |= {
        "calibration": calibration_record(found.calibration),
        "lob": found.limit_of_blank,
        "chance": found.chance,
    }
    return SetResult(
        found.score, found.calibration.p_value, 1.0 - found.q_value, found.positive, record
    )


def _explain(program: Program, adata: AnnData, columns: Sequence[int], null_sets: int) -> str:
    """Return why a programme cannot be measured; empty if it can."""
    n_genes = len(program.score_genes(read_species(adata)))
    if len(columns) < max(FEWEST_GENES, FEWEST_SHARE * n_genes):
        return (
            f"only {len(columns)} of its {n_genes} genes have a row in this matrix; "
            "absent is not zero"
        )
    return "" if null_sets else "null_sets is 0, but a gene set is called against null sets"


def _make_record(
    program: Program, adata: AnnData, counts: np.ndarray, columns: Sequence[int], reason: str
) -> dict[str, Any]:
    """Return what ``uns`` keeps of one programme."""
    import pandas as pd

    names = np.array(adata.var_names[list(columns)], dtype=str)
    markers = pd.DataFrame({"genes": names, "n_detected": (counts > 0).sum(axis=0)}, index=names)
    present = set(names)
    absent = [gene for gene in program.score_genes(read_species(adata)) if gene not in present]
    return {
        "found": names,
        "absent": np.array(absent, dtype=str),
        "measurable": not reason,
        "reason": reason,
        "markers": markers,
    }
