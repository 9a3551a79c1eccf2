"""Evaluate the sections of a validation on trueness.

Specificity, recovery, robustness, claim check, and flow cytometry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scdiff.batches.agreement import compare_differences, fit_deming, fit_passing_bablok
from scdiff.batches.decide import Figure
from scdiff.batches.study import WET
from scdiff.batches.summaries import (
    Finding,
    choose_farthest,
    estimate_mean,
    estimate_share,
    make_table,
    require_rows,
    select_decided,
    select_sections,
    split_levels,
)
from scdiff.errors import InputError
from scdiff.vocabulary import FOUND, INCONCLUSIVE, QUANTIFIED

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["find_agreement", "find_claims", "find_recovery", "find_robustness", "find_specificity"]


def find_specificity(rows: pd.DataFrame) -> Finding:
    """Evaluate specificity: false detections in blanks, plain and with interfering cells.

    Parameters
    ----------
    rows
        The measurements.

    Raises
    ------
    InputError
        If the study has no data for this section.
    """
    blanks = require_rows(
        rows[(rows["expected"] == 0) & rows["section"].isin(["blanks", "interference", WET])],
        "blanks",
    )
    parts = [(name, part) for name, part in blanks.groupby(["section", "condition"], sort=False)]
    table = [_summarise_blanks(str(name[1]), part) for name, part in parts if name[0] != WET] or [
        _summarise_blanks("blanks", blanks)
    ]
    plain, disturbed = (
        select_decided(select_sections(blanks, "blanks")),
        select_decided(blanks[blanks["section"] == "interference"]),
    )
    figures = {
        "false_detections": estimate_share(plain["verdict"].isin(FOUND)),
        "false_detections_interference": estimate_share(disturbed["verdict"].isin(FOUND)),
        "called_in_blanks": estimate_mean(blanks["n_called"] / blanks["n_cells"]),
    }
    found = int(blanks["verdict"].isin(FOUND).sum())
    return Finding(
        "Specificity",
        f"Positive cells are detected in {found} of {len(blanks)} blanks.",
        make_table(table),
        figures,
    )


def _summarise_blanks(name: str, part: pd.DataFrame) -> dict[str, Any]:
    """Return the row of one kind of blanks."""
    counts = {
        "detected": int(part["verdict"].isin(FOUND).sum()),
        "inconclusive": int((part["verdict"] == INCONCLUSIVE).sum()),
    }
    return {
        "blanks": name,
        "n": len(part),
        **counts,
        "most_called": int(part["n_called"].max()),
        "highest_bound": float(part["high"].max()),
    }


def find_recovery(rows: pd.DataFrame) -> Finding:
    """Evaluate recovery: mean measured / expected value, by level.

    Parameters
    ----------
    rows
        The measurements.

    Raises
    ------
    InputError
        If the study has no data for this section.
    """
    levels = split_levels(require_rows(select_sections(rows, "recovery"), "levels"))
    if not levels:
        raise InputError("the study has no level above 0.")
    found = [_estimate_recovery(part) for _, part in levels]
    table = [
        {"expected": level, "n": len(part), "mean": float(part["prevalence"].mean())}
        | _name_recovery(recovery)
        for (level, part), recovery in zip(levels, found, strict=True)
    ]
    worst = choose_farthest(found)
    sentence = (
        f"The recovery farthest from 100 % is {worst.value:.1%} "
        f"({worst.low:.1%} to {worst.high:.1%})."
    )
    return Finding("Recovery", sentence, make_table(table), {"recovery": worst})


def find_robustness(rows: pd.DataFrame) -> Finding:
    """Evaluate robustness: mean measured / expected value, under deliberate changes.

    Parameters
    ----------
    rows
        The measurements.

    Raises
    ------
    InputError
        If the study has no data for this section.
    """
    part = require_rows(rows[rows["section"] == "robustness"], "deliberate changes")
    changes = [(str(name), group) for name, group in part.groupby("condition", sort=False)]
    found = [_estimate_recovery(group) for _, group in changes]
    table = [
        {"change": name, "n": len(group)}
        | _name_recovery(recovery)
        | {"printed_lod": float(group["lod"].median())}
        for (name, group), recovery in zip(changes, found, strict=True)
    ]
    worst = choose_farthest(found)
    return Finding(
        "Robustness",
        f"The change with the largest effect gives {worst.value:.1%} of the expected value.",
        make_table(table),
        {"robustness": worst},
    )


def _estimate_recovery(part: pd.DataFrame) -> Figure:
    """Estimate the mean of measured / expected value, with its interval."""
    return estimate_mean(part["prevalence"] / part["expected"])


def _name_recovery(recovery: Figure) -> dict[str, float]:
    """Return the columns of a recovery."""
    return {"recovery": recovery.value, "low": recovery.low, "high": recovery.high}


def find_claims(rows: pd.DataFrame) -> Finding:
    """Compare the limits and intervals that each batch reports with the truth.

    Parameters
    ----------
    rows
        The measurements.

    Raises
    ------
    InputError
        If the study has no data for this section.
    """
    decided = select_decided(rows)
    positive, blanks = decided[decided["expected"] > 0], decided[decided["expected"] == 0]
    own = positive[
        positive["section"] != "precision"
    ]  # replicates of one library share their cells
    at_lod, at_lloq = (positive[positive["expected"] >= positive[name]] for name in ("lod", "lloq"))
    claims = {
        "detected_at_lod": (
            "at or above its reported LOD: detected",
            at_lod["verdict"].isin(FOUND),
        ),
        "quantified_at_lloq": (
            "at or above its reported LLOQ: quantified",
            at_lloq["verdict"] == QUANTIFIED,
        ),
        "coverage": (
            "95 % interval includes the true value",
            own["expected"].between(own["low"], own["high"]),
        ),
        "": (
            "blank at or below its reported LOB",
            blanks["n_called"] <= blanks["lob"] * blanks["n_cells"] + 1e-9,
        ),
        "inconclusive": ("inconclusive, left out above", rows["verdict"] == INCONCLUSIVE),
    }
    shares = {name: estimate_share(hits) for name, (_, hits) in claims.items()}
    table = [
        {
            "claim": words,
            "batches": len(hits),
            "share": shares[name].value,
            "low": shares[name].low,
            "high": shares[name].high,
        }
        for name, (words, hits) in claims.items()
    ]
    figures = {name: figure for name, figure in shares.items() if name}
    sentence = "Limits and intervals that each batch reports, compared with the truth."
    return Finding("Claim check", sentence, make_table(table), figures)


def find_agreement(rows: pd.DataFrame) -> Finding:
    """Compare with flow cytometry, if a sheet has its values.

    Parameters
    ----------
    rows
        The measurements.

    Raises
    ------
    InputError
        If the study has no data for this section.
    """
    if "flow" not in rows:
        raise InputError("the study has no values of flow cytometry.")
    part = require_rows(rows[rows["flow"].notna()], "values of flow cytometry")
    x, y = part["flow"].to_numpy(dtype=float), part["prevalence"].to_numpy(dtype=float)
    deming, robust, gap = fit_deming(x, y), fit_passing_bablok(x, y), compare_differences(x, y)
    rows_of = [
        ("Deming, slope", deming.slope, deming.slope_interval),
        ("Deming, intercept", deming.intercept, deming.intercept_interval),
        ("Passing-Bablok, slope", robust.slope, robust.slope_interval),
        ("Passing-Bablok, intercept", robust.intercept, robust.intercept_interval),
        ("Bland-Altman, mean difference", gap.mean, gap.mean_interval),
        ("Bland-Altman, lower limit", gap.low, gap.low_interval),
        ("Bland-Altman, upper limit", gap.high, gap.high_interval),
    ]
    table = [
        {"method": name, "value": value, "low": low, "high": high}
        for name, value, (low, high) in rows_of
    ]
    figures = {
        "flow_slope": Figure(robust.slope, *robust.slope_interval),
        "flow_bias": Figure(gap.mean, *gap.mean_interval),
    }
    sentence = (
        f"Against flow cytometry ({gap.n} samples): slope {robust.slope:.2f}, mean "
        f"difference {gap.mean:.2%}."
    )
    return Finding("Comparison with flow cytometry", sentence, make_table(table), figures)
