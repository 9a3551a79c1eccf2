"""Evaluate the measurements of a validation, section by section."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from scdiff.batches.scatter import find_limits, find_linearity, find_precision, find_total_error
from scdiff.batches.summaries import Finding
from scdiff.batches.trueness import (
    find_agreement,
    find_claims,
    find_recovery,
    find_robustness,
    find_specificity,
)
from scdiff.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SECTIONS", "find_all"]

Section = Callable[["pd.DataFrame", float], Finding]


def find_all(rows: pd.DataFrame, *, goal: float) -> list[Finding]:
    """Evaluate all sections; a section without data states why it is not evaluated.

    Parameters
    ----------
    rows
        The measurements.
    goal
        Allowable total error, relative to the level.
    """
    return [_evaluate_section(title, section, rows, goal) for title, section in SECTIONS.items()]


def _evaluate_section(title: str, section: Section, rows: pd.DataFrame, goal: float) -> Finding:
    """Evaluate one section; state the reason if it cannot be evaluated."""
    import pandas as pd

    try:
        return section(rows, goal)
    except InputError as error:
        return Finding(title, f"Not evaluated: {error}", pd.DataFrame())


SECTIONS: dict[str, Section] = {
    "Specificity": find_specificity,
    "Recovery": find_recovery,
    "Precision": find_precision,
    "Linearity": find_linearity,
    "Limits": find_limits,
    "Total error and uncertainty": find_total_error,
    "Robustness": find_robustness,
    "Claim check": find_claims,
    "Comparison with flow cytometry": find_agreement,
}
"""Sections of the report, in their order."""
