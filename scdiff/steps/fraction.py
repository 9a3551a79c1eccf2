"""Step 8: the table of fractions, with intervals, limits and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from annotated_types import Ge

from scdiff.config import step
from scdiff.programs import Program, StateRule
from scdiff.steps._common import recorded
from scdiff.steps._controls import positive_controls
from scdiff.steps._donors import donor_tables, over_donors, pooled_donors
from scdiff.steps._markers import POOLED, MarkerCounts, control_cells, read_markers, table_groups
from scdiff.steps._parallel import each, many
from scdiff.steps._programs import called_programs

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["COLUMNS", "fraction"]

COLUMNS = (
    "program", "state", "sample", "n_cells", "n_called", "fraction", "fraction_low", "fraction_high",
    "prevalence", "prevalence_low", "prevalence_high", "lob", "lod", "lloq", "verdict", "reason",
)  # fmt: skip
"""Columns of the table, an interface."""

LEAST_DOUBT, MOST_NAMED = 0.01, 3
"""Share of the cells in doubted samples that makes the whole doubtful, and how many of these samples are named."""

COMMITTED, SEPARATE = "committed", "separate population"
NUMBERS = ("no", "single", "double", "triple", "quadruple")


@dataclass(frozen=True)
class _Estimate:
    """Corrected prevalence with its interval, the limits, the evidence against no positive cell, and positives by markers on.

    ``rates`` are the false call rate and the sensitivity; ``fit`` is the fit of the group, None where none is to be criticised;
    ``reason`` says why the estimate cannot be believed, and is empty where it can;
    ``absent`` says which markers have no row, so that the prevalence is a lower bound.
    """

    prevalence: float
    low: float
    high: float
    lob: float
    lod: float
    lloq: float
    evidence: float
    by_number: Mapping[int, float]
    rates: tuple[float, float] = (0.0, 1.0)
    fit: Any = None
    reason: str = ""
    absent: str = ""


@step
def fraction(adata: AnnData, *, seed: Annotated[int, Ge(0)] = 0) -> None:
    """Write the table of fractions: raw and dropout-corrected, with 95 % intervals, limits and a verdict.

    Use it after :func:`scdiff.tl.call`. Row ``all`` holds every sample that is no control. With two or more donors its
    interval is donor-level (beta-binomial) and never narrower than the pooled one, since cells of one donor are no
    independent evidence. Of the main programme, sub-states, positives by number of markers on and, after
    :func:`scdiff.tl.trajectory`, the committed cells follow: those that left the start on the way to the positive end,
    the positive ones among them. Control samples are blanks of the main programme, and of no other.

    Parameters
    ----------
    adata
        Cells x genes.
    seed
        Start of the random generator that redraws counts for the limits.

    Reads
    -----
    layers["counts"], obs["sample"], obs["control"], obs["donor"] (where given), obs["scdiff_state"],
    obsm["scdiff_evidence"], obsm["scdiff_positive"], uns["scdiff"]["call"], uns["scdiff"]["trajectory"] (where it is there)

    Writes
    ------
    uns["scdiff"]["fractions"]; uns["scdiff"]["donors"]: per programme how much donors differ (``variation``: intraclass
    correlation, variance of the logits, donors that are needed, or the reason why not), and the donors (``values``)
    """
    import pandas as pd

    record = adata.uns["scdiff"]["call"]
    programs = [program for program in called_programs(adata).values() if program.is_called]
    read = read_markers(adata, programs)
    order = sorted(programs, key=lambda program: -len(program.markers))  # the longest first
    made = each(lambda program: _program_rows(adata, program, read, record, seed), order, worthwhile=many(adata))
    rows = [row for program in programs for row in made[order.index(program)]]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"n_cells": int, "n_called": int})
    adata.uns["scdiff"]["fractions"] = table
    adata.uns["scdiff"]["donors"] = _donor_tables(adata, programs, table)


def _donor_tables(adata: AnnData, programs: list[Program], table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Variation between donors of the positive state of each programme."""
    record, positive = adata.uns["scdiff"]["call"], {program.name: program.positive for program in programs}
    reasons = {name: str(record[name].get("reason", "")) for name in positive}
    return donor_tables(table[table["state"] == table["program"].map(positive)], pooled_donors(adata, table_groups(adata)), reasons)


def _program_rows(adata: AnnData, program: Program, read: MarkerCounts, record: dict[str, Any], seed: int) -> list[dict[str, Any]]:
    """All rows of one programme."""
    called = adata.obsm["scdiff_positive"][program.name].to_numpy(dtype=bool)
    groups, measurable = table_groups(adata), bool(record[program.name]["measurable"])
    estimates: dict[str, _Estimate] = {}
    if measurable and program.markers:
        estimates = _estimates(adata, program, read, record, groups, called, seed)
    elif measurable:
        lob, fdr = float(record[program.name]["lob"]), float(record["fdr"])
        estimates = {name: _estimate_of_set(called[cells], lob, fdr) for name, cells in groups.items()}
    rows = [_row(program, program.positive, name, called[cells], estimates.get(name)) for name, cells in groups.items()]
    if program.name != record["main"]:
        return rows
    state = adata.obs["scdiff_state"].astype(str).to_numpy()
    for rule in program.states:
        for name, cells in groups.items():
            rows.append(_state_row(program, rule, name, state[cells] == rule.name, called[cells], estimates.get(name)))
    rows += _committed_rows(adata, program, list(groups))
    evidence = np.column_stack([adata.obsm["scdiff_evidence"][f"{program.name}:{marker.name}"] for marker in program.core])
    n_on = np.where(called, (evidence > 0).sum(axis=1), 0)
    numbers = range(program.min_markers, len(program.core) + 1)
    return rows + [
        _number_row(program, number, name, n_on[cells], called[cells], estimates.get(name))
        for number in (numbers if len(numbers) > 1 else ())
        for name, cells in groups.items()
    ]


def _estimates(
    adata: AnnData,
    program: Program,
    read: MarkerCounts,
    record: dict[str, Any],
    groups: dict[str, np.ndarray],
    called: np.ndarray,
    seed: int,
) -> dict[str, _Estimate]:
    """Prevalence and limits of each group."""
    from scdiff.assay.samples import fit_from_record

    core = [marker for marker in program.core if marker.name in set(record[program.name]["found"])]
    counts, depth, control = read.of(core), read.depth, control_cells(adata)
    blank = control & ~positive_controls(adata)
    table = record[program.name]["fits"]
    is_main = program.name == record["main"]
    blanks = tuple((int(called[c].sum()), int(c.sum())) for name, c in groups.items() if is_main and name != POOLED and blank[c].all())

    estimates: dict[str, _Estimate] = {}
    for name, cells in groups.items():
        same = next((other for other in estimates if np.array_equal(groups[other], cells)), None)
        if same is not None:
            estimates[name] = estimates[same]
            continue
        fit = fit_from_record(table.loc[name].to_dict(), counts[cells], depth[cells])
        own = () if name != POOLED and control[cells].all() else blanks
        estimates[name] = _estimate(fit, own, float(record["doublet_rates"].loc[name, "rate"]), float(record["fdr"]), seed)
    estimates = {name: _criticised(estimate, int(called[groups[name]].sum())) for name, estimate in estimates.items()}
    estimates[POOLED] = _over_samples(adata, groups, estimates, blanks)
    doubt = str(record[program.name].get("doubt", ""))
    absent = [marker.name for marker in program.core if marker.name in set(record[program.name]["absent"]) and marker not in core]
    if doubt:
        return {name: replace(estimate, reason=doubt) for name, estimate in estimates.items()}
    return {name: _bounded_below(estimate, absent) for name, estimate in estimates.items()} if absent else estimates


def _bounded_below(estimate: _Estimate, absent: Sequence[str]) -> _Estimate:
    """Take the upper end away: cells that are positive by a marker without a row cannot be counted."""
    verb, which = ("has", "this marker") if len(absent) == 1 else ("have", "these markers")
    told = (
        f"{' and '.join(absent)} {verb} no row in this matrix: cells that are positive by {which} are not counted, so this is a lower bound"
    )
    return replace(estimate, high=1.0, absent=told)


def _criticised(estimate: _Estimate, n_called: int) -> _Estimate:
    """Add why an estimate cannot be believed, where there is a reason."""
    from scdiff.assay.criticism import Case, criticise
    from scdiff.assay.limits import verdict

    said = verdict(n_called, estimate.fit.table.n_cells, blank=estimate.lob, evidence_of_positives=estimate.evidence)
    case = Case(estimate.fit, n_called, estimate.prevalence, estimate.low, estimate.high, estimate.rates[1], estimate.lob, said)
    reasons = [finding.reason for finding in criticise(case).values() if not finding.passed]
    return replace(estimate, reason=reasons[0] if reasons else "")


def _estimate(fit: Any, blanks: tuple[tuple[int, int], ...], doublet_rate: float, fdr: float, seed: int) -> _Estimate:
    """Prevalence with its profile interval, and the limits, of one fit; both of cells, not of droplets."""
    from scdiff.assay.doublets import chance_positives, prevalence_of_cells
    from scdiff.assay.fit import profile_interval
    from scdiff.assay.limits import detection_limit, error_rates, limit_of_blank, quantification_limit

    n_cells = fit.table.n_cells
    false_rate, sensitivity = error_rates(fit, rate=fdr, seed=seed)
    weight, patterns, positive = fit.weight, fit.model.patterns, fit.model.positive
    by_chance = chance_positives(weight, patterns, positive, doublet_rate)
    lob = limit_of_blank(false_rate + by_chance * sensitivity, n_cells, blanks)
    lod = detection_limit(sensitivity, n_cells, lob)
    estimate, low, high = (
        prevalence_of_cells(value, weight, patterns, positive, doublet_rate) for value in (fit.prevalence, *profile_interval(fit))
    )
    number, total = patterns.sum(axis=1), max(float(weight[positive].sum()), 1e-300)
    by_number = {int(k): float(weight[positive & (number == k)].sum() / total) for k in np.unique(number[positive])}
    lloq = quantification_limit(sensitivity, n_cells, lod)
    rates = (false_rate + by_chance * sensitivity, sensitivity)
    return _Estimate(estimate, low, high, lob, lod, lloq, fit.evidence_of_positives, by_number, rates, fit)


def _estimate_of_set(called: np.ndarray, lob: float, fdr: float) -> _Estimate:
    """Prevalence of cells above matched sets: the called ones, less the expected false ones; those that hide below are not counted."""
    from scdiff.assay.intervals import clopper_pearson
    from scdiff.assay.limits import detection_limit, quantification_limit

    n_cells, n_called = len(called), int(called.sum())
    low, high = clopper_pearson(n_called, n_cells)
    lod = detection_limit(1.0, n_cells, lob)
    lloq = quantification_limit(1.0, n_cells, lod)
    share = n_called / max(n_cells, 1)
    return _Estimate((1 - fdr) * share, (1 - fdr) * low, high, lob, lod, lloq, np.inf, {})


def _over_samples(
    adata: AnnData, groups: dict[str, np.ndarray], estimates: dict[str, _Estimate], blanks: tuple[tuple[int, int], ...]
) -> _Estimate:
    """Put row ``all`` together from the samples' own fits: their mean by cells; with several donors, the interval over donors."""
    from scdiff.assay.donors import beta_binomial_interval
    from scdiff.assay.intervals import interval_of_mean
    from scdiff.assay.limits import detection_limit, joint_evidence, limit_of_blank, quantification_limit

    pooled, donors = estimates[POOLED], pooled_donors(adata, groups)
    if len(donors) < 2:
        return pooled
    size = np.array([groups[name].sum() for name in donors], dtype=float)
    parts = [estimates[name] for name in donors]
    bounds = np.array([[part.prevalence, part.low, part.high] for part in parts]).T
    prevalence, low, high = interval_of_mean(bounds[0], bounds[1], bounds[2], size)
    shares = over_donors(list(donors.values()), bounds, size)
    if len(shares.names) > 1:
        donor_low, donor_high = beta_binomial_interval(shares.prevalence, shares.worth)
        low, high = min(low, donor_low), max(high, donor_high)
    n_cells, (false_rate, sensitivity) = int(size.sum()), size @ np.array([part.rates for part in parts]) / size.sum()
    lob = limit_of_blank(float(false_rate), n_cells, blanks)
    lod = detection_limit(float(sensitivity), n_cells, lob)
    lloq = quantification_limit(float(sensitivity), n_cells, lod)
    evidence = joint_evidence([part.evidence for part in parts])
    reason = _joint_reason(dict(zip(donors, parts, strict=True)), size, high - low)
    rates = (float(false_rate), float(sensitivity))
    return replace(
        pooled, prevalence=prevalence, low=low, high=high, lob=lob, lod=lod, lloq=lloq, evidence=evidence, rates=rates, reason=reason
    )


def _joint_reason(parts: Mapping[str, _Estimate], size: np.ndarray, width: float) -> str:
    """Say which samples cannot be believed, where they could move the mean."""
    doubted = {name: part.reason for name, part in parts.items() if part.reason}
    share = sum(cells for name, cells in zip(parts, size, strict=True) if name in doubted) / size.sum()
    if not doubted or share < min(LEAST_DOUBT, width):
        return ""
    names = ", ".join(list(doubted)[:MOST_NAMED]) + (" and others" if len(doubted) > MOST_NAMED else "")
    return f"sample{'s' if len(doubted) > 1 else ''} {names}: {next(iter(doubted.values()))}"


def _row(program: Program, state: str, sample: str, called: np.ndarray, estimate: _Estimate | None) -> dict[str, Any]:
    """One row of the table; NaN throughout where the programme is not measurable."""
    from scdiff.assay.intervals import clopper_pearson
    from scdiff.assay.limits import verdict

    n_cells, n_called = len(called), int(called.sum())
    row: dict[str, Any] = {"program": program.name, "state": state, "sample": sample, "n_cells": n_cells, "n_called": n_called}
    if estimate is None:
        return dict.fromkeys(COLUMNS, np.nan) | row | {"verdict": "not measurable", "reason": ""}
    low, high = clopper_pearson(n_called, n_cells)
    said = verdict(n_called, n_cells, blank=estimate.lob, evidence_of_positives=estimate.evidence)
    said = "inconclusive" if estimate.reason and said != "not measurable" else said
    if estimate.absent and not estimate.reason:  # a lower bound: it says nothing where nothing was found, and is no quantity
        said = "not measurable" if said == "not detected" else "detected" if said == "quantified" else said
    return row | {
        "fraction": n_called / n_cells, "fraction_low": low, "fraction_high": high,
        "prevalence": estimate.prevalence, "prevalence_low": estimate.low, "prevalence_high": estimate.high,
        "lob": estimate.lob, "lod": estimate.lod, "lloq": estimate.lloq, "verdict": said, "reason": estimate.reason or estimate.absent,
    }  # fmt: skip


def _state_row(
    program: Program, rule: StateRule, sample: str, in_state: np.ndarray, called: np.ndarray, estimate: _Estimate | None
) -> dict[str, Any]:
    """Row of a sub-state: the prevalence is shared out as the called cells are; other states stand as counted."""
    from scdiff.assay.intervals import clopper_pearson

    if estimate is None:
        return _row(program, rule.name, sample, in_state, None)
    n_state, n_called = int(in_state.sum()), int(called.sum())
    if rule.within:
        return _row(program, rule.name, sample, in_state, _part(estimate, n_state / n_called if n_called else 0.0, n_called))
    low, high = clopper_pearson(n_state, len(called))
    counted = replace(estimate, prevalence=n_state / max(len(called), 1), low=low, high=high, lob=0.0, evidence=np.inf)
    return _row(program, rule.name, sample, in_state, counted) | dict.fromkeys(("lob", "lod", "lloq"), np.nan)


def _committed_rows(adata: AnnData, program: Program, groups: list[str]) -> list[dict[str, Any]]:
    """Rows of the cells that left the start of the trajectory; none where it was not run.

    Not measurable where the positive cells are a separate population, or of other samples than the start.
    """
    found = recorded(adata, "trajectory")
    if "committed" not in found:
        return []
    rows, on_the_way = [], found["verdict"] != SEPARATE and found.get("together", True)
    for name, cells in found["committed"].loc[groups].iterrows():
        share, low, high = (float(cells[column]) for column in ("committed", "low", "high"))
        known = bool(on_the_way and np.isfinite(share))
        beyond = np.arange(int(cells["n_cells"])) < (int(cells["n_beyond"]) if known else 0)
        evidence = np.inf if low > 0 else 0.0
        estimate = _Estimate(share, low, high, 0.0, np.nan, np.nan, evidence, {}) if known else None
        rows.append(_row(program, COMMITTED, str(name), beyond, estimate) | dict.fromkeys(("lob", "lod", "lloq"), np.nan))
    return rows


def _number_row(
    program: Program, number: int, sample: str, n_on: np.ndarray, called: np.ndarray, estimate: _Estimate | None
) -> dict[str, Any]:
    """Row of the positive cells with exactly ``number`` markers on: as seen, and as the fitted patterns share the prevalence out."""
    state = f"{NUMBERS[number] if number < len(NUMBERS) else number}_positive"
    part = _part(estimate, estimate.by_number.get(number, 0.0), int(called.sum())) if estimate else None
    return _row(program, state, sample, n_on == number, part)


def _part(estimate: _Estimate, share: float, n_called: int) -> _Estimate:
    """Estimate of a share of the positive cells, as uncertain as that share is among the called ones."""
    from scdiff.assay.intervals import clopper_pearson

    low, high = clopper_pearson(round(share * n_called), n_called)
    return replace(estimate, prevalence=estimate.prevalence * share, low=estimate.low * low, high=estimate.high * high)
