"""Sections of a validation on trueness: specificity, recovery, robustness, claims, flow cytometry."""

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


def find_specificity(rows: pd.DataFrame, goal: float) -> Finding:  # noqa: ARG001 - all sections are called alike
    """Blanks, plain and with what could be taken for positive cells: how often positive cells are stated.

    Parameters
    ----------
    rows
        The measurements.
    goal
        Not used here.
    """
    blanks = require_rows(
        rows[(rows["expected"] == 0) & rows["section"].isin(["blanks", "interference", WET])],
        "blanks",
    )
    parts = [(name, part) for name, part in blanks.groupby(["section", "condition"], sort=False)]
    table = [_blank_row(str(name[1]), part) for name, part in parts if name[0] != WET] or [
        _blank_row("blanks", blanks)
    ]
    plain, disturbed = (
        select_decided(select_sections(blanks, "blanks")),
        select_decided(blanks[blanks["section"] == "interference"]),
    )
    figures = {
        "false_detections": estimate_share(plain["verdict"].isin(FOUND)),
        "false_detections_interference": estimate_share(disturbed["verdict"].isin(FOUND)),
    }
    found = int(blanks["verdict"].isin(FOUND).sum())
    return Finding(
        "Specificity",
        f"Positive cells are stated in {found} of {len(blanks)} blanks.",
        make_table(table),
        figures,
    )


def _blank_row(name: str, part: pd.DataFrame) -> dict[str, Any]:
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


def find_recovery(rows: pd.DataFrame, goal: float) -> Finding:  # noqa: ARG001
    """Mean measured, of what is expected, by level.

    Parameters
    ----------
    rows
        The measurements.
    goal
        Not used here.
    """
    levels = split_levels(require_rows(select_sections(rows, "recovery"), "levels"))
    found = [(level, part, estimate_mean(part["prevalence"] / level)) for level, part in levels]
    table = [
        {
            "expected": level,
            "n": len(part),
            "mean": float(part["prevalence"].mean()),
            "recovery": one.value,
            "low": one.low,
            "high": one.high,
        }
        for level, part, one in found
    ]
    if not found:
        raise InputError("the study holds no level above 0.")
    worst = choose_farthest([one for _, _, one in found])
    sentence = f"The level farthest from its expected value is recovered at {worst.value:.1%} ({worst.low:.1%} to {worst.high:.1%})."
    return Finding("Recovery", sentence, make_table(table), {"recovery": worst})


def find_robustness(rows: pd.DataFrame, goal: float) -> Finding:  # noqa: ARG001
    """Mean measured of what is expected, under deliberate changes.

    Parameters
    ----------
    rows
        The measurements.
    goal
        Not used here.
    """
    part = require_rows(rows[rows["section"] == "robustness"], "deliberate changes")
    found = [
        (str(name), group, estimate_mean(group["prevalence"] / group["expected"]))
        for name, group in part.groupby("condition", sort=False)
    ]
    table = [
        {
            "change": name,
            "n": len(group),
            "recovery": one.value,
            "low": one.low,
            "high": one.high,
            "printed_lod": float(group["lod"].median()),
        }
        for name, group, one in found
    ]
    worst = choose_farthest([one for _, _, one in found])
    return Finding(
        "Robustness",
        f"The change that matters most moves the result to {worst.value:.1%} of the expected.",
        make_table(table),
        {"robustness": worst},
    )


def find_claims(rows: pd.DataFrame, goal: float) -> Finding:  # noqa: ARG001
    """Hold what each batch printed, its limits and its interval, to what was true.

    Parameters
    ----------
    rows
        The measurements.
    goal
        Not used here.
    """
    decided = select_decided(rows)
    positive = decided[decided["expected"] > 0]
    own = positive[
        positive["section"] != "precision"
    ]  # replicates of one library share their cells
    at_lod, at_lloq = (positive[positive["expected"] >= positive[name]] for name in ("lod", "lloq"))
    blanks = decided[decided["expected"] == 0]
    claims = {
        "detected_at_lod": (
            "at or above its printed LOD: detected",
            estimate_share(at_lod["verdict"].isin(FOUND)),
            len(at_lod),
        ),
        "quantified_at_lloq": (
            "at or above its printed LLOQ: quantified",
            estimate_share(at_lloq["verdict"] == QUANTIFIED),
            len(at_lloq),
        ),
        "coverage": (
            "95 % interval holds the truth",
            estimate_share((own["low"] <= own["expected"]) & (own["expected"] <= own["high"])),
            len(own),
        ),
        "blanks_below_lob": (
            "blank at or below its printed LOB",
            estimate_share(blanks["n_called"] / blanks["n_cells"] <= blanks["lob"] + 1e-12),
            len(blanks),
        ),
        "inconclusive": (
            "inconclusive, left out above",
            estimate_share(rows["verdict"] == INCONCLUSIVE),
            len(rows),
        ),
    }
    table = [
        {"claim": words, "batches": n, "share": one.value, "low": one.low, "high": one.high}
        for words, one, n in claims.values()
    ]
    figures = {name: one for name, (_, one, _) in claims.items() if name != "blanks_below_lob"}
    return Finding(
        "Claim check",
        "What every batch printed of itself, held to what was found.",
        make_table(table),
        figures,
    )


def find_agreement(rows: pd.DataFrame, goal: float) -> Finding:  # noqa: ARG001
    """Comparison with flow cytometry, where a sheet gives it.

    Parameters
    ----------
    rows
        The measurements.
    goal
        Not used here.
    """
    if "flow" not in rows:
        raise InputError("the study holds no values of flow cytometry.")
    part = require_rows(rows[rows["flow"].notna()], "values of flow cytometry")
    x, y = part["flow"].to_numpy(dtype=float), part["prevalence"].to_numpy(dtype=float)
    lines = {"Deming": fit_deming(x, y), "Passing-Bablok": fit_passing_bablok(x, y)}
    table: list[dict[str, Any]] = []
    for name, line in lines.items():
        table.append(
            {
                "method": f"{name}, slope",
                "value": line.slope,
                "low": line.slope_interval[0],
                "high": line.slope_interval[1],
            }
        )
        table.append(
            {
                "method": f"{name}, intercept",
                "value": line.intercept,
                "low": line.intercept_interval[0],
                "high": line.intercept_interval[1],
            }
        )
    gap = compare_differences(x, y)
    for name, value, ends in (
        ("mean difference", gap.mean, gap.mean_interval),
        ("lower limit", gap.low, gap.low_interval),
        ("upper limit", gap.high, gap.high_interval),
    ):
        table.append(
            {"method": f"Bland-Altman, {name}", "value": value, "low": ends[0], "high": ends[1]}
        )
    line = lines["Passing-Bablok"]
    figures = {
        "flow_slope": Figure(line.slope, *line.slope_interval),
        "flow_bias": Figure(gap.mean, *gap.mean_interval),
    }
    sentence = f"Against flow cytometry ({gap.n} samples): slope {line.slope:.2f}, mean difference {gap.mean:.2%}."
    return Finding("Comparison with flow cytometry", sentence, make_table(table), figures)
