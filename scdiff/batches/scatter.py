"""Evaluate the sections of a validation on random error.

Precision, linearity, limits, total error and uncertainty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.batches.decide import Figure
from scdiff.batches.limits import (
    Bounded,
    find_blank_limit,
    find_detection_limit,
    find_quantification_limit,
    fit_profile,
    total_error,
)
from scdiff.batches.linearity import fit_linearity
from scdiff.batches.precision import REPEATABILITY, fit_components
from scdiff.batches.study import FACTORS, WET
from scdiff.batches.summaries import (
    Finding,
    make_table,
    require_rows,
    select_decided,
    select_sections,
    split_levels,
)
from scdiff.errors import InputError
from scdiff.vocabulary import FOUND

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COVERAGE_FACTOR", "find_limits", "find_linearity", "find_precision", "find_total_error"]

COVERAGE_FACTOR = 2.0
"""Coverage factor k of the expanded uncertainty: about 95 % for a normal distribution."""


def find_precision(rows: pd.DataFrame) -> Finding:
    """Estimate precision by level: nested variance components, and CVs.

    Parameters
    ----------
    rows
        The measurements.

    Raises
    ------
    InputError
        If the study has no data for this section.
    """
    table: list[dict[str, Any]] = []
    figures: dict[str, Figure] = {}
    for level, part in split_levels(
        require_rows(select_sections(rows, "precision"), "nested design")
    ):
        if len(part) >= 3:
            row, figures = _estimate_precision(level, part)
            table.append(row)
    if not table:
        raise InputError("the study has no level with three or more measurements.")
    last = figures["within_laboratory_cv"]
    sentence = (
        f"At the highest level the within-laboratory CV is {last.value:.1%} "
        f"({last.low:.1%} to {last.high:.1%}), by restricted maximum likelihood."
    )
    return Finding("Precision", sentence, make_table(table).fillna(0.0), figures)


def _estimate_precision(
    level: float, part: pd.DataFrame
) -> tuple[dict[str, Any], dict[str, Figure]]:
    """Return the row of one level in the table, and its CVs with their intervals."""
    factors = {
        name: part[name].tolist() for name in FACTORS if name in part and len(set(part[name])) > 1
    }
    fitted = fit_components(part["prevalence"].to_numpy(dtype=float), factors)
    mean = max(fitted.mean, 1e-300)
    sds = {f"sd_{name}": float(np.sqrt(value)) for name, value in fitted.variance.items()}
    cvs = {
        "repeatability_cv": (fitted.repeatability, fitted.interval[REPEATABILITY]),
        "within_laboratory_cv": (fitted.within_laboratory, fitted.total_interval),
    }
    figures = {
        name: Figure(sd / mean, low / mean, high / mean) for name, (sd, (low, high)) in cvs.items()
    }
    total = figures["within_laboratory_cv"]
    row = {"expected": level, "n": fitted.n, "mean": fitted.mean, **sds}
    row |= {name: figure.value for name, figure in figures.items()} | {
        "low": total.low,
        "high": total.high,
    }
    return row, figures


def find_linearity(rows: pd.DataFrame) -> Finding:
    """Evaluate linearity: fitted line, deviation of each level, and test of deviation.

    Parameters
    ----------
    rows
        The measurements.

    Raises
    ------
    InputError
        If the study has no data for this section.
    """
    part = require_rows(select_sections(rows, "recovery"), "levels")
    part = part[part["expected"] > 0]
    line = fit_linearity(part["expected"], part["prevalence"])
    ends = zip(line.levels, line.deviation, line.deviation_low, line.deviation_high, strict=True)
    table = [
        {"expected": level, "deviation": gap, "low": low, "high": high}
        for level, gap, low, high in ends
    ]
    verdict = "no deviation" if line.p_deviation >= 0.05 else "a deviation"
    sentence = (
        f"Slope {line.slope:.3f} ({line.slope_interval[0]:.3f} to "
        f"{line.slope_interval[1]:.3f}), intercept {line.intercept:.5f}. The test finds {verdict} "
        f"from the line (P = {line.p_deviation:.2g}; for a curve, P = {line.p_curve:.2g}). The "
        f"largest deviation is {line.worst:.1%} of the line."
    )
    return Finding(
        "Linearity",
        sentence,
        make_table(table),
        {"linearity": Figure(line.worst, line.worst, line.worst)},
    )


def find_limits(rows: pd.DataFrame, goal: float) -> Finding:
    """Estimate LoB, LoD and LoQ, next to the limits that the assay reports.

    Parameters
    ----------
    rows
        The measurements.
    goal
        Allowable total error, relative to the level.

    Raises
    ------
    InputError
        If the study has no data for this section.
    """
    blanks = _select_blanks(rows)
    lob = find_blank_limit(blanks["n_called"] / blanks["n_cells"])
    lod = _estimate_lod(rows)
    printed = float(rows.loc[rows["section"].isin(["detection", WET]), "lod"].median())
    loq = _estimate_loq(rows, lod.value, goal)
    limits = {
        "blank (rank)": (lob, float(blanks["lob"].median())),
        "detection (probit)": (lod, printed),
        "quantification (total error)": (loq, float(rows["lloq"].median())),
    }
    table = [
        {"limit": name, "found": one.value, "low": one.low, "high": one.high, "printed": claim}
        for name, (one, claim) in limits.items()
    ]
    figures = {
        name: Figure(one.value, one.low, one.high)
        for name, one in (("lob", lob), ("lod", lod), ("loq", loq))
    }
    figures["lod_of_claim"] = Figure(lod.value / printed, lod.low / printed, lod.high / printed)
    sentence = (
        f"A fraction of {lod.value:.3%} ({lod.low:.3%} to {lod.high:.3%}) is detected in 95 of 100 "
        f"batches (LoD); the assay reports an LOD of {printed:.3%}. "
        f"At {loq.value:.3%} and above the total error is within {goal:.0%} (LoQ)."
    )
    return Finding("Limits", sentence, make_table(table), figures)


def _select_blanks(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the blanks under nominal conditions."""
    blanks = select_sections(rows, "blanks")
    nominal = blanks["section"].eq(WET) | blanks["condition"].eq("nominal")
    return require_rows(blanks[(blanks["expected"] == 0) & nominal], "blanks")


def _estimate_lod(rows: pd.DataFrame) -> Bounded:
    """Estimate the limit of detection; inconclusive batches are left out."""
    levels = split_levels(require_rows(select_sections(rows, "detection"), "levels"))
    kept = [(level, part) for level, one in levels if len(part := select_decided(one))]
    hits = [int(part["verdict"].isin(FOUND).sum()) for _, part in kept]
    return find_detection_limit([level for level, _ in kept], hits, [len(part) for _, part in kept])


def _estimate_loq(rows: pd.DataFrame, lod: float, goal: float) -> Bounded:
    """Estimate the limit of quantification from the levels at or above the LoD."""
    levels = [
        (level, part["prevalence"])
        for level, part in split_levels(select_sections(rows, "recovery", "detection"))
        if len(part) > 1 and not level < lod
    ]
    if not levels or not np.isfinite(lod):
        raise InputError("without a limit of detection there is no limit of quantification.")
    place = [level for level, _ in levels]
    profile = fit_profile(
        place,
        [float(values.var(ddof=1)) for _, values in levels],
        [len(values) - 1 for _, values in levels],
    )
    weight = [len(values) for _, values in levels]
    bias = float(
        np.average([values.mean() / level - 1 for level, values in levels], weights=weight)
    )
    return find_quantification_limit(
        profile, (max(lod, min(place)), max(place)), bias=bias, goal=goal
    )


def find_total_error(rows: pd.DataFrame, goal: float, precision: Finding) -> Finding:
    """Compute bias, CV and total error by level, and the expanded uncertainty.

    Parameters
    ----------
    rows
        The measurements.
    goal
        Allowable total error, relative to the level.
    precision
        Returned by :func:`find_precision` for the same measurements.

    Raises
    ------
    InputError
        If the study has no data for this section, or the precision is not evaluated.

    Source
    ------
    Eurachem/CITAC Guide CG 4 (expanded uncertainty)
    """
    table = []
    for level, part in split_levels(
        require_rows(select_sections(rows, "recovery", "detection", "precision"), "levels")
    ):
        if len(part) < 2:
            continue
        values = part["prevalence"].to_numpy(dtype=float)
        bias, sd = float(values.mean()) - level, float(values.std(ddof=1))
        error = float(total_error(bias, sd, level))
        table.append(
            {
                "expected": level,
                "n": len(part),
                "bias": bias / level,
                "cv": sd / level,
                "total_error": error,
                "within_goal": error <= goal,
            }
        )
    if not table:
        raise InputError("the study has no level with two or more measurements.")
    if precision.table.empty:
        raise InputError("the expanded uncertainty needs the precision.")
    top = precision.table.iloc[-1]
    bias = float(top["mean"]) / float(top["expected"]) - 1
    spread = float(np.hypot(precision.figures["within_laboratory_cv"].value, bias))
    expanded = COVERAGE_FACTOR * spread
    figures = {"expanded_uncertainty": Figure(expanded, expanded, expanded)}
    sentence = (
        f"Expanded uncertainty (k = 2) at {float(top['expected']):.1%}: "
        f"{expanded:.0%} of the result, from within-laboratory precision and bias."
    )
    return Finding("Total error and uncertainty", sentence, make_table(table), figures)
