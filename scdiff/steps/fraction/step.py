"""fraction: the table of fractions, with intervals, limits and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge

from scdiff import keys
from scdiff.compute.parallel import each, many
from scdiff.options import step
from scdiff.programs import Program
from scdiff.record import read_programs
from scdiff.steps.fraction.donors import donor_tables, pool_by_donor
from scdiff.steps.fraction.estimate import Estimate, estimate_from_set
from scdiff.steps.fraction.groups import Groups, estimate_groups
from scdiff.steps.fraction.rows import COLUMNS, main_rows, program_rows
from scdiff.steps.shared.markers import MarkerCounts, read_markers, select_table_groups
from scdiff.vocabulary import POOLED

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["COLUMNS", "FALSE_DISCOVERIES", "fraction"]

FALSE_DISCOVERIES = 0.05
"""False discovery rate of the detected read-outs next to the main one, 0-1; the usual 5 %."""


@step
def fraction(adata: AnnData, *, seed: Annotated[int, Ge(0)] = 0) -> None:
    """Write the table of fractions: raw and dropout-corrected, with intervals, limits, verdicts.

    Use it after :func:`scdiff.tl.call`. Row ``all`` holds every sample except the controls. With
    two or more donors its 95 % interval is donor-level (beta-binomial) and never narrower than the
    pooled one, since cells of one donor are not independent evidence. The main programme also has
    rows for its sub-states and for positive cells by number of expressed markers. After
    :func:`scdiff.tl.trajectory` it has a row for the committed cells: those that left the start on
    the way to the positive end, the positive ones among them. Control samples are blanks of the
    main programme only.

    Parameters
    ----------
    adata
        Cells x genes.
    seed
        Start of the random generator that redraws counts for the limits.

    Reads
    -----
    layers["counts"], obs["sample"], obs["control"], obs["donor"] (if given), obs["scdiff_state"],
    obsm["scdiff_evidence"], obsm["scdiff_positive"], uns["scdiff"]["call"],
    uns["scdiff"]["trajectory"] (if present)

    Writes
    ------
    uns["scdiff"]["fractions"]; uns["scdiff"]["donors"]: per programme how much donors differ
    (``variation``: intraclass correlation, variance of the logits, number of donors needed, or the
    reason why they are missing), and the fraction of each donor (``values``)
    """
    import pandas as pd

    record = adata.uns[keys.ROOT][keys.CALL.name]
    programs = [program for program in read_programs(adata).values() if program.is_called]
    read = read_markers(adata, programs)
    by_chance = _find_chance_readouts(programs, record)
    order = sorted(programs, key=lambda program: -len(program.markers))  # the slowest first
    made = each(
        lambda program: _rows_of_program(
            adata, program, read, record, seed, likely=program.name not in by_chance
        ),
        order,
        worthwhile=many(adata),
    )
    rows = [row for program in programs for row in made[order.index(program)]]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"n_cells": int, "n_called": int})
    adata.uns[keys.ROOT][keys.FRACTIONS.name] = table
    adata.uns[keys.ROOT][keys.DONORS.name] = _compare_donors(adata, programs, table)


def _find_chance_readouts(programs: Sequence[Program], record: Mapping[str, Any]) -> set[str]:
    """Name the read-outs, except the main one, with a q-value above the false discovery rate."""
    from scipy.stats import chi2

    from scdiff.assay.set_calls import q_values

    p_values = {}
    for program in programs:
        facts = record[program.name]
        if program.name == record["main"] or not bool(facts["measurable"]):
            continue
        if program.markers:
            evidence = facts["fits"].loc[POOLED, "evidence_of_positives"]
            p_values[program.name] = float(chi2.sf(evidence, 1)) / 2
        else:
            p_values[program.name] = float(facts["chance"])
    q = q_values(list(p_values.values()))
    return {name for name, value in zip(p_values, q, strict=True) if value > FALSE_DISCOVERIES}


def _compare_donors(
    adata: AnnData, programs: list[Program], table: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """Return how much the positive state of each programme differs between donors."""
    record = adata.uns[keys.ROOT][keys.CALL.name]
    positive = {program.name: program.positive for program in programs}
    reasons = {name: str(record[name].get("reason", "")) for name in positive}
    chosen = table[table["state"] == table["program"].map(positive)]
    return donor_tables(chosen, pool_by_donor(adata, select_table_groups(adata)), reasons)


def _rows_of_program(
    adata: AnnData,
    program: Program,
    read: MarkerCounts,
    record: Mapping[str, Any],
    seed: int,
    *,
    likely: bool,
) -> list[dict[str, Any]]:
    """Return all rows of one programme; if it is not ``likely``, nothing is detected."""
    groups = select_table_groups(adata)
    estimates = _estimate(adata, program, read, record, groups, seed)
    if not likely:
        estimates = {name: replace(estimate, evidence=0.0) for name, estimate in estimates.items()}
    rows = program_rows(adata, program, groups, estimates)
    if program.name == record["main"]:
        rows += main_rows(adata, program, groups, estimates)
    return rows


def _estimate(
    adata: AnnData,
    program: Program,
    read: MarkerCounts,
    record: Mapping[str, Any],
    groups: Groups,
    seed: int,
) -> dict[str, Estimate]:
    """Estimate each group by markers or by a gene set; empty if the programme is not measurable."""
    facts = record[program.name]
    if not bool(facts["measurable"]):
        return {}
    if program.markers:
        return estimate_groups(adata, program, read, record, groups, seed)
    lob, fdr = float(facts["lob"]), float(record["fdr"])
    called = adata.obsm[keys.POSITIVE.name][program.name].to_numpy(dtype=bool)
    return {name: estimate_from_set(called[cells], lob, fdr) for name, cells in groups.items()}
