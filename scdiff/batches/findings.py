"""Evaluate the measurements of a validation, section by section."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
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

__all__ = ["find_all"]

Section = Callable[["pd.DataFrame"], Finding]


def find_all(rows: pd.DataFrame, *, goal: float) -> list[Finding]:
    """Evaluate all sections, in the order of the report.

    A section without data states why it is not evaluated.

    Parameters
    ----------
    rows
        The measurements.
    goal
        Allowable total error, relative to the level.
    """
    precision = _evaluate_section("Precision", find_precision, rows)
    sections: dict[str, Section] = {
        "Specificity": find_specificity,
        "Recovery": find_recovery,
        "Precision": lambda _: precision,
        "Linearity": find_linearity,
        "Limits": partial(find_limits, goal=goal),
        "Total error and uncertainty": partial(find_total_error, goal=goal, precision=precision),
        "Robustness": find_robustness,
        "Claim check": find_claims,
        "Comparison with flow cytometry": find_agreement,
    }
    return [_evaluate_section(title, section, rows) for title, section in sections.items()]


def _evaluate_section(title: str, section: Section, rows: pd.DataFrame) -> Finding:
    """Evaluate one section; state the reason if it cannot be evaluated."""
    import pandas as pd

    try:
        return section(rows)
    except InputError as error:
        return Finding(title, f"Not evaluated: {error}", pd.DataFrame())
