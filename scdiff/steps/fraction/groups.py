"""Estimates of every row of the table: each sample from its own fit, then all samples pooled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff import keys
from scdiff.programs import Marker, Program
from scdiff.steps.fraction.donors import pool_by_donor, pool_samples
from scdiff.steps.fraction.doubts import (
    add_weak_bounds,
    criticise_estimate,
    join_reasons,
    mark_lower_bound,
)
from scdiff.steps.fraction.estimate import Blank, Estimate, add_limits, estimate_from_fit
from scdiff.steps.shared.controls import select_positive_controls
from scdiff.steps.shared.markers import MarkerCounts, select_control_cells
from scdiff.vocabulary import NOT_DETECTED, POOLED

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["estimate_groups"]

Groups = Mapping[str, np.ndarray]

POOLED_FACTOR = 2.0
"""Highest ratio of the upper bound of samples without positive cells to that of all their cells in
one fit. Above 1, because one fit cannot describe samples whose contamination differs. Chosen, not
tuned."""


def estimate_groups(
    adata: AnnData,
    program: Program,
    read: MarkerCounts,
    record: Mapping[str, Any],
    groups: Groups,
    seed: int,
) -> dict[str, Estimate]:
    """Estimate prevalence and limits of one programme in each group.

    Parameters
    ----------
    adata
        Cells x genes, called.
    program
        A programme with markers.
    read
        Depth and marker counts of the cells.
    record
        What the call recorded of all programmes.
    groups
        Cells of each row of the table (:func:`scdiff.steps.shared.markers.select_table_groups`).
    seed
        Start of the random generator.
    """
    facts = record[program.name]
    called = adata.obsm[keys.POSITIVE.name][program.name].to_numpy(dtype=bool)
    n_called = {name: int(called[cells].sum()) for name, cells in groups.items()}
    is_main = program.name == record["main"]
    blanks = _count_blanks(adata, groups, called) if is_main else ()

    found = _estimate_each(adata, program, read, record, groups, blanks, seed)
    found = {name: criticise_estimate(part, n_called[name]) for name, part in found.items()}
    found[POOLED] = _pool_estimates(adata, groups, found, Blank(blanks), n_called[POOLED])
    if is_main:
        found[POOLED] = add_weak_bounds(found[POOLED], n_called[POOLED])
    if doubt := str(facts.get("doubt", "")):
        return {name: replace(part, reason=doubt) for name, part in found.items()}
    if absent := _list_absent(program, facts):
        return {name: mark_lower_bound(part, absent) for name, part in found.items()}
    return found


def _select_core(program: Program, facts: Mapping[str, Any]) -> list[Marker]:
    """Select the core markers that have a row."""
    present = set(facts["found"])
    return [marker for marker in program.core if marker.name in present]


def _list_absent(program: Program, facts: Mapping[str, Any]) -> list[str]:
    """List the core markers without a row."""
    present, absent = set(facts["found"]), set(facts["absent"])
    return [marker.name for marker in program.core if marker.name in absent - present]


def _count_blanks(
    adata: AnnData, groups: Groups, called: np.ndarray
) -> tuple[tuple[int, int], ...]:
    """Count called cells and all cells of each negative control sample."""
    blank = select_control_cells(adata) & ~select_positive_controls(adata)
    controls = [cells for name, cells in groups.items() if name != POOLED and blank[cells].all()]
    return tuple((int(called[cells].sum()), int(cells.sum())) for cells in controls)


def _estimate_each(
    adata: AnnData,
    program: Program,
    read: MarkerCounts,
    record: Mapping[str, Any],
    groups: Groups,
    blanks: tuple[tuple[int, int], ...],
    seed: int,
) -> dict[str, Estimate]:
    """Estimate each group from its own fit; groups of the same cells share one estimate."""
    from scdiff.assay.samples import fit_from_record

    facts = record[program.name]
    called = adata.obsm[keys.POSITIVE.name][program.name].to_numpy(dtype=bool)
    counts, control = read.of(_select_core(program, facts)), select_control_cells(adata)
    found: dict[str, Estimate] = {}
    for name, cells in groups.items():
        same = next((other for other in found if np.array_equal(groups[other], cells)), None)
        if same is not None:
            found[name] = found[same]
            continue
        fit = fit_from_record(facts["fits"].loc[name].to_dict(), counts[cells], read.depth[cells])
        own = () if name != POOLED and control[cells].all() else blanks
        blank = Blank(own, doublet_rate=float(record["doublet_rates"].loc[name, "rate"]))
        found[name] = estimate_from_fit(
            fit, int(called[cells].sum()), blank, float(record["fdr"]), seed
        )
    return found


def _pool_estimates(
    adata: AnnData, groups: Groups, found: Mapping[str, Estimate], blank: Blank, n_called: int
) -> Estimate:
    """Estimate row ``all`` as the mean of the samples, weighted by their cells.

    With two or more donors the interval covers differences between donors.
    """
    from scdiff.assay.donors import beta_binomial_interval
    from scdiff.assay.intervals import interval_of_mean
    from scdiff.assay.limits import joint_evidence

    donors = pool_by_donor(adata, groups)
    if len(donors) < 2:
        return found[POOLED]
    size = np.array([groups[name].sum() for name in donors], dtype=float)
    parts = [found[name] for name in donors]
    bounds = np.array([[part.prevalence, part.low, part.high] for part in parts]).T
    prevalence, low, high = cells = interval_of_mean(bounds[0], bounds[1], bounds[2], size)
    shares = pool_samples(list(donors.values()), bounds, size)
    if len(shares.names) > 1:
        donor_low, donor_high = beta_binomial_interval(shares.prevalence, shares.worth)
        low, high = min(low, donor_low), max(high, donor_high)
    joint = replace(
        found[POOLED],
        prevalence=prevalence,
        low=low,
        high=high,
        cells=cells[1:],
        evidence=joint_evidence([part.evidence for part in parts]),
        rates=tuple(size @ np.array([part.rates for part in parts]) / size.sum()),
        reason=join_reasons(dict(zip(donors, parts, strict=True)), size, high - low),
    )
    limited = add_limits(joint, n_called, int(size.sum()), blank)
    return _bound_by_pooled(limited, found[POOLED], n_called, int(size.sum()))


def _bound_by_pooled(joint: Estimate, pooled: Estimate, n_called: int, n_cells: int) -> Estimate:
    """Lower the upper bound of samples without positive cells to a multiple of the pooled one.

    Each small sample allows weak expression that its few cells cannot exclude. All cells together
    exclude more of it.
    """
    verdicts = {part.judge(n_called, n_cells) for part in (joint, pooled)}
    if verdicts != {NOT_DETECTED}:
        return joint
    most = max(POOLED_FACTOR * pooled.high, joint.prevalence)
    low, high = joint.cells or (joint.low, joint.high)
    return replace(joint, high=min(joint.high, most), cells=(low, min(high, most)))
