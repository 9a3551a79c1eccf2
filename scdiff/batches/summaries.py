"""Pieces that the sections of a validation share.

Selections, shares and means with their intervals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy.stats import t

from scdiff.assay.intervals import clopper_pearson
from scdiff.batches.decide import Figure
from scdiff.batches.study import WET
from scdiff.errors import InputError
from scdiff.vocabulary import INCONCLUSIVE

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Finding",
    "choose_farthest",
    "estimate_mean",
    "estimate_share",
    "make_table",
    "require_rows",
    "select_decided",
    "select_sections",
    "split_levels",
]


@dataclass(frozen=True)
class Finding:
    """What one section shows.

    Parameters
    ----------
    title, sentence
        For the reader.
    table
        One row per level or condition; fractions 0-1.
    figures
        Figures that a protocol may judge, by name.
    """

    title: str
    sentence: str
    table: pd.DataFrame
    figures: Mapping[str, Figure] = field(default_factory=dict)


def select_sections(rows: pd.DataFrame, *sections: str) -> pd.DataFrame:
    """Select the rows of some sections; of a sheet, all."""
    return rows[rows["section"].isin([*sections, WET])]


def select_decided(rows: pd.DataFrame) -> pd.DataFrame:
    """Select the rows that state something."""
    return rows[rows["verdict"] != INCONCLUSIVE]


def estimate_share(hits: Any) -> Figure:
    """Estimate a share with its exact interval; empty without hits."""
    n, k = len(hits), int(np.sum(hits))
    if not n:
        return Figure()
    low, high = clopper_pearson(k, n)
    return Figure(k / n, low, high)


def estimate_mean(values: Any) -> Figure:
    """Estimate a mean with its interval; without one for a single value."""
    data = np.asarray(values, dtype=float)
    if len(data) < 2:
        return Figure(float(data.mean()), float(data.mean()), float(data.mean()))
    reach = float(t.ppf(0.975, len(data) - 1) * data.std(ddof=1) / np.sqrt(len(data)))
    return Figure(float(data.mean()), float(data.mean()) - reach, float(data.mean()) + reach)


def choose_farthest(figures: list[Figure], target: float = 1.0) -> Figure:
    """Take the figure farthest from a target."""
    return max(figures, key=lambda figure: abs(figure.value - target))


def make_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Make a table of rows."""
    import pandas as pd

    return pd.DataFrame(rows)


def require_rows(rows: pd.DataFrame, what: str) -> pd.DataFrame:
    """Refuse to evaluate an empty selection.

    Raises
    ------
    InputError
        If it is empty.
    """
    if rows.empty:
        raise InputError(f"the study holds no {what}.")
    return rows


def split_levels(rows: pd.DataFrame) -> list[tuple[float, pd.DataFrame]]:
    """Split rows by level above 0, the least first."""
    return [
        (float(cast("float", level)), part)
        for level, part in rows[rows["expected"] > 0].groupby("expected")
    ]
