"""Step 8: the table of fractions, with intervals, limits and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from annotated_types import Ge

from scdiff.compute.parallel import each, many
from scdiff.options import step
from scdiff.programs import Program, StateRule
from scdiff.record import read_programs, read_record
from scdiff.steps.fraction.donors import donor_tables, over_donors, pool_by_donor
from scdiff.steps.shared.controls import positive_controls
from scdiff.steps.shared.markers import MarkerCounts, read_markers, select_control_cells, table_groups
from scdiff.vocabulary import DETECTED, INCONCLUSIVE, NOT_DETECTED, NOT_MEASURABLE, POOLED, QUANTIFIED, SEPARATE

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["COLUMNS", "fraction"]

COLUMNS = (
    "program", "state", "sample", "n_cells", "n_called", "fraction", "fraction_low", "fraction_high",
    "prevalence", "prevalence_low", "prevalence_high", "lob", "lod", "lloq", "verdict", "reason",
    "prevalence_low_cells", "prevalence_high_cells", "lloq_events", "high_at_third", "high_at_tenth",
)  # fmt: skip
"""Columns of the table, an interface. The last five: the interval of these cells alone (that of the donors is in
``prevalence_low`` and ``prevalence_high``), the fraction that gives 50 called cells, and, where nothing is detected, the upper bound
for cells that express the markers at a third and at a tenth of their typical levels."""

LIMITS = ("lob", "lod", "lloq", "lloq_events")
WEAK_LEVELS = {"high_at_third": 1 / 3, "high_at_tenth": 1 / 10}

LEAST_DOUBT, MOST_NAMED = 0.01, 3
"""Share of the cells in doubted samples that makes the whole doubtful, and how many of these samples are named."""

FALSE_DISCOVERIES = 0.05
"""Expected share of chance finds among the read-outs that are detected."""

LEAST_SEEN = 1.0
"""Called cells, by their posterior, that a pattern needs to tell the share of a state in it."""

COMMITTED = "committed"
NUMBERS = ("no", "single", "double", "triple", "quadruple")


@dataclass(frozen=True)
class _Estimate:
    """Corrected prevalence with its interval, the limits, the evidence against no positive cell, and positives by markers on.

    ``cells`` is the interval of these cells alone, where ``low`` and ``high`` are those of donors like these; ``events`` the
    fraction that gives 50 called cells; ``weak`` the upper bounds for weak expression, by column.
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
    events: float = np.nan
    cells: tuple[float, float] | None = None
    weak: Mapping[str, float] = field(default_factory=dict)
    rates: tuple[float, float] = (0.0, 1.0)
    fit: Any = None
    reason: str = ""
    absent: str = ""

    @property
    def cv(self) -> float:
        """CV of the prevalence in these cells."""
        from scdiff.assay.limits import total_cv

        return total_cv(self.prevalence, *(self.cells or (self.low, self.high)))

    def said(self, n_called: int, n_cells: int) -> str:
        """Verdict on a number of called cells, before any doubt."""
        from scdiff.assay.limits import verdict

        return verdict(n_called, n_cells, blank=self.lob, evidence_of_positives=self.evidence, cv=self.cv)


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
    programs = [program for program in read_programs(adata).values() if program.is_called]
    read = read_markers(adata, programs)
    by_chance = _by_chance(programs, record)
    order = sorted(programs, key=lambda program: -len(program.markers))  # the longest first
    made = each(
        lambda program: _program_rows(adata, program, read, record, seed, likely=program.name not in by_chance),
        order,
        worthwhile=many(adata),
    )
    rows = [row for program in programs for row in made[order.index(program)]]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"n_cells": int, "n_called": int})
    adata.uns["scdiff"]["fractions"] = table
    adata.uns["scdiff"]["donors"] = _donor_tables(adata, programs, table)


def _by_chance(programs: Sequence[Program], record: Mapping[str, Any]) -> set[str]:
    """Name the read-outs beside the main one that many read-outs may show by chance: above a false discovery rate of 5 %."""
    from scipy.stats import chi2

    from scdiff.assay.set_calls import q_values

    p_values = {}
    for program in programs:
        facts = record[program.name]
        if program.name == record["main"] or not bool(facts["measurable"]):
            continue
        p_values[program.name] = (
            float(chi2.sf(facts["fits"].loc[POOLED, "evidence_of_positives"], 1)) / 2 if program.markers else float(facts["chance"])
        )
    return {name for name, q in zip(p_values, q_values(list(p_values.values())), strict=True) if q > FALSE_DISCOVERIES}


def _donor_tables(adata: AnnData, programs: list[Program], table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Variation between donors of the positive state of each programme."""
    record, positive = adata.uns["scdiff"]["call"], {program.name: program.positive for program in programs}
    reasons = {name: str(record[name].get("reason", "")) for name in positive}
    return donor_tables(table[table["state"] == table["program"].map(positive)], pool_by_donor(adata, table_groups(adata)), reasons)


def _program_rows(
    adata: AnnData, program: Program, read: MarkerCounts, record: dict[str, Any], seed: int, *, likely: bool = True
) -> list[dict[str, Any]]:
    """All rows of one programme; nothing is detected of one that is not ``likely``."""
    called = adata.obsm["scdiff_positive"][program.name].to_numpy(dtype=bool)
    groups, measurable = table_groups(adata), bool(record[program.name]["measurable"])
    estimates: dict[str, _Estimate] = {}
    if measurable and program.markers:
        estimates = _estimates(adata, program, read, record, groups, called, seed)
    elif measurable:
        lob, fdr = float(record[program.name]["lob"]), float(record["fdr"])
        estimates = {name: _estimate_of_set(called[cells], lob, fdr) for name, cells in groups.items()}
    if not likely:
        estimates = {name: replace(estimate, evidence=0.0) for name, estimate in estimates.items()}
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
    counts, depth, control = read.of(core), read.depth, select_control_cells(adata)
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
        blank_of = _Blank(own, doublet_rate=float(record["doublet_rates"].loc[name, "rate"]))
        estimates[name] = _estimate(fit, int(called[cells].sum()), blank_of, float(record["fdr"]), seed)
    estimates = {name: _criticised(estimate, int(called[groups[name]].sum())) for name, estimate in estimates.items()}
    estimates[POOLED] = _over_samples(adata, groups, estimates, _Blank(blanks), called)
    if is_main:
        estimates[POOLED] = _bounded_when_weak(estimates[POOLED], int(called[groups[POOLED]].sum()))
    doubt = str(record[program.name].get("doubt", ""))
    absent = [marker.name for marker in program.core if marker.name in set(record[program.name]["absent"]) and marker not in core]
    if doubt:
        return {name: replace(estimate, reason=doubt) for name, estimate in estimates.items()}
    return {name: _bounded_below(estimate, absent) for name, estimate in estimates.items()} if absent else estimates


@dataclass(frozen=True)
class _Blank:
    """What tells the limit of blank: (called, cells) of each control, the limit of matched sets, the doublets of the group."""

    controls: tuple[tuple[int, int], ...]
    matched: float = np.nan
    doublet_rate: float = 0.0


def _bounded_when_weak(estimate: _Estimate, n_called: int) -> _Estimate:
    """Add the upper bounds for cells that express the markers weakly, where nothing was detected."""
    from scdiff.assay.fit import upper_bound_at

    if estimate.fit is None or estimate.said(n_called, estimate.fit.table.n_cells) != NOT_DETECTED:
        return estimate
    bounds = {name: max(upper_bound_at(estimate.fit, level), estimate.high) for name, level in WEAK_LEVELS.items()}
    return replace(estimate, weak=bounds)


def _bounded_below(estimate: _Estimate, absent: Sequence[str]) -> _Estimate:
    """Take the upper end away: cells that are positive by a marker without a row cannot be counted."""
    verb, which = ("has", "this marker") if len(absent) == 1 else ("have", "these markers")
    told = (
        f"{' and '.join(absent)} {verb} no row in this matrix: cells that are positive by {which} are not counted, so this is a lower bound"
    )
    return replace(estimate, high=1.0, cells=estimate.cells and (estimate.cells[0], 1.0), absent=told)


def _criticised(estimate: _Estimate, n_called: int) -> _Estimate:
    """Add why an estimate cannot be believed, where there is a reason."""
    from scdiff.assay.criticism import Case, criticise
    from scdiff.assay.limits import typical_sensitivity

    n_cells = estimate.fit.table.n_cells
    said = estimate.said(n_called, n_cells)
    few = estimate.fit.model.witness is not None and n_called < estimate.prevalence * n_cells / 2  # else it makes no difference
    sensitivity = typical_sensitivity(estimate.fit) if few else 1.0
    case = Case(estimate.fit, n_called, estimate.prevalence, estimate.low, estimate.high, sensitivity, estimate.lob, said)
    reasons = [finding.reason for finding in criticise(case).values() if not finding.passed]
    return replace(estimate, reason=reasons[0] if reasons else "")


def _estimate(fit: Any, n_called: int, blank: _Blank, fdr: float, seed: int) -> _Estimate:
    """Prevalence with its profile interval, and the limits, of one fit; both of cells, not of droplets."""
    from scdiff.assay.doublets import chance_positives, prevalence_of_cells
    from scdiff.assay.fit import profile_interval
    from scdiff.assay.limits import error_rates

    false_rate, sensitivity = error_rates(fit, rate=fdr, seed=seed)
    weight, patterns, positive = fit.weight, fit.model.patterns, fit.model.positive
    by_chance = chance_positives(weight, patterns, positive, blank.doublet_rate)
    value, low, high = (
        prevalence_of_cells(end, weight, patterns, positive, blank.doublet_rate) for end in (fit.prevalence, *profile_interval(fit))
    )
    number, total = patterns.sum(axis=1), max(float(weight[positive].sum()), 1e-300)
    by_number = {int(k): float(weight[positive & (number == k)].sum() / total) for k in np.unique(number[positive])}
    rates = (false_rate + by_chance * sensitivity, sensitivity)
    made = _Estimate(value, low, high, 0.0, 1.0, 1.0, fit.evidence_of_positives, by_number, rates=rates, fit=fit)
    return _limited(made, n_called, fit.table.n_cells, blank)


def _limited(estimate: _Estimate, n_called: int, n_cells: int, blank: _Blank) -> _Estimate:
    """Add the limits that follow from the error rates, the blanks, and how sure the estimate is."""
    from scdiff.assay.limits import detection_limit, events_limit, limit_of_blank, quantification_limit, variance_excess

    false_rate, sensitivity = estimate.rates
    lob = limit_of_blank(false_rate, n_cells, blank.controls, blank.matched)
    lod = detection_limit(sensitivity, n_cells, lob)
    lloq = quantification_limit(sensitivity, n_cells, lod, excess=variance_excess(n_called, n_cells, estimate.cv))
    return replace(estimate, lob=lob, lod=lod, lloq=lloq, events=max(events_limit(sensitivity, n_cells), lod))


def _estimate_of_set(called: np.ndarray, lob: float, fdr: float) -> _Estimate:
    """Prevalence of cells above matched sets: the called ones, less the expected false ones; those that hide below are not counted."""
    from scdiff.assay.intervals import clopper_pearson

    n_cells, n_called = len(called), int(called.sum())
    low, high = clopper_pearson(n_called, n_cells)
    made = _Estimate((1 - fdr) * (n_called / max(n_cells, 1)), (1 - fdr) * low, high, lob, 1.0, 1.0, np.inf, {})
    return _limited(made, n_called, n_cells, _Blank((), lob))


def _over_samples(
    adata: AnnData, groups: dict[str, np.ndarray], estimates: dict[str, _Estimate], blank: _Blank, called: np.ndarray
) -> _Estimate:
    """Put row ``all`` together from the samples' own fits: their mean by cells; with several donors, the interval over donors."""
    from scdiff.assay.donors import beta_binomial_interval
    from scdiff.assay.intervals import interval_of_mean
    from scdiff.assay.limits import joint_evidence

    pooled, donors = estimates[POOLED], pool_by_donor(adata, groups)
    if len(donors) < 2:
        return pooled
    size = np.array([groups[name].sum() for name in donors], dtype=float)
    parts = [estimates[name] for name in donors]
    bounds = np.array([[part.prevalence, part.low, part.high] for part in parts]).T
    prevalence, low, high = cells = interval_of_mean(bounds[0], bounds[1], bounds[2], size)
    shares = over_donors(list(donors.values()), bounds, size)
    if len(shares.names) > 1:
        donor_low, donor_high = beta_binomial_interval(shares.prevalence, shares.worth)
        low, high = min(low, donor_low), max(high, donor_high)
    rates = tuple(size @ np.array([part.rates for part in parts]) / size.sum())
    evidence = joint_evidence([part.evidence for part in parts])
    reason = _joint_reason(dict(zip(donors, parts, strict=True)), size, high - low)
    joint = replace(pooled, prevalence=prevalence, low=low, high=high, cells=cells[1:], evidence=evidence, rates=rates, reason=reason)
    return _limited(joint, int(called[groups[POOLED]].sum()), int(size.sum()), blank)


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

    n_cells, n_called = len(called), int(called.sum())
    row: dict[str, Any] = {"program": program.name, "state": state, "sample": sample, "n_cells": n_cells, "n_called": n_called}
    if estimate is None:
        return dict.fromkeys(COLUMNS, np.nan) | row | {"verdict": NOT_MEASURABLE, "reason": ""}
    low, high = clopper_pearson(n_called, n_cells)
    said = estimate.said(n_called, n_cells)
    said = INCONCLUSIVE if estimate.reason and said != NOT_MEASURABLE else said
    if estimate.absent and not estimate.reason:  # a lower bound: it says nothing where nothing was found, and is no quantity
        said = NOT_MEASURABLE if said == NOT_DETECTED else DETECTED if said == QUANTIFIED else said
    return row | {
        "fraction": n_called / n_cells, "fraction_low": low, "fraction_high": high,
        "prevalence": estimate.prevalence, "prevalence_low": estimate.low, "prevalence_high": estimate.high,
        "lob": estimate.lob, "lod": estimate.lod, "lloq": estimate.lloq, "verdict": said, "reason": estimate.reason or estimate.absent,
        "lloq_events": estimate.events, **dict.fromkeys(WEAK_LEVELS, np.nan), **(estimate.weak if said == NOT_DETECTED else {}),
        **dict(zip(("prevalence_low_cells", "prevalence_high_cells"), estimate.cells or (estimate.low, estimate.high), strict=True)),
    }  # fmt: skip


def _state_row(
    program: Program, rule: StateRule, sample: str, in_state: np.ndarray, called: np.ndarray, estimate: _Estimate | None
) -> dict[str, Any]:
    """Row of a sub-state: its share of the prevalence; other states stand as counted."""
    from scdiff.assay.intervals import clopper_pearson

    if estimate is None:
        return _row(program, rule.name, sample, in_state, None)
    n_state, n_called = int(in_state.sum()), int(called.sum())
    if rule.within:
        share = _share_of_positives(estimate.fit, in_state, called)
        return _row(program, rule.name, sample, in_state, _part(estimate, share, n_called))
    low, high = clopper_pearson(n_state, len(called))
    counted = replace(estimate, prevalence=n_state / max(len(called), 1), low=low, high=high, cells=None, weak={}, lob=0.0, evidence=np.inf)
    return _row(program, rule.name, sample, in_state, counted) | dict.fromkeys(LIMITS, np.nan)


def _share_of_positives(fit: Any, in_state: np.ndarray, called: np.ndarray) -> float:
    """Estimate the share of the positive cells that are in a state, 0-1.

    Cells that express few markers are called less often than those that express all. So the called cells tell the share within each
    pattern of markers, and the fit tells how common each pattern is among the positive cells.
    """
    if not called.any():
        return 0.0
    of_cell = fit.pattern[fit.table.cell_row[called]][:, fit.model.positive]
    seen, in_it = of_cell.sum(axis=0), in_state[called] @ of_cell
    weight = np.where(seen >= LEAST_SEEN, fit.weight[fit.model.positive], 0.0)
    if weight.sum() <= 0:
        return float(in_state.sum() / called.sum())
    return float(weight @ (in_it / np.maximum(seen, LEAST_SEEN)) / weight.sum())


def _committed_rows(adata: AnnData, program: Program, groups: list[str]) -> list[dict[str, Any]]:
    """Rows of the cells that left the start of the trajectory; none where it was not run.

    Not measurable where the positive cells are a separate population, or of other samples than the start.
    """
    found = read_record(adata, "trajectory")
    if "committed" not in found:
        return []
    rows, on_the_way = [], found["verdict"] != SEPARATE and found.get("together", True)
    for name, cells in found["committed"].loc[groups].iterrows():
        share, low, high = (float(cells[column]) for column in ("committed", "low", "high"))
        known = bool(on_the_way and np.isfinite(share))
        beyond = np.arange(int(cells["n_cells"])) < (int(cells["n_beyond"]) if known else 0)
        evidence = np.inf if low > 0 else 0.0
        estimate = _Estimate(share, low, high, 0.0, np.nan, np.nan, evidence, {}) if known else None
        rows.append(_row(program, COMMITTED, str(name), beyond, estimate) | dict.fromkeys(LIMITS, np.nan))
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
    cells = (estimate.cells[0] * low, estimate.cells[1] * high) if estimate.cells else None
    found = estimate.prevalence * share
    return replace(estimate, prevalence=found, low=estimate.low * low, high=estimate.high * high, cells=cells, weak={})
