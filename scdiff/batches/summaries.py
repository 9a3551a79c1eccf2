"""Share functions between the sections of a validation.

Select rows, and estimate shares and means with their intervals.
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
    """The result of one section of a validation.

    Parameters
    ----------
    title, sentence
        Texts for the reader.
    table
        One row per level or condition; fractions 0-1.
    figures
        Figures that a protocol may limit, by name.
    """

    title: str
    sentence: str
    table: pd.DataFrame
    figures: Mapping[str, Figure] = field(default_factory=dict)


def select_sections(rows: pd.DataFrame, *sections: str) -> pd.DataFrame:
    """Return the rows of some sections, and all rows of a sheet."""
    return rows[rows["section"].isin([*sections, WET])]


def select_decided(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that are not inconclusive."""
    return rows[rows["verdict"] != INCONCLUSIVE]


def estimate_share(hits: Any) -> Figure:
    """Estimate a share with its exact 95 % interval; an empty figure without data."""
    n, k = len(hits), int(np.sum(hits))
    if not n:
        return Figure()
    low, high = clopper_pearson(k, n)
    return Figure(k / n, low, high)


def estimate_mean(values: Any) -> Figure:
    """Estimate a mean with its 95 % interval; a single value has no interval."""
    data = np.asarray(values, dtype=float)
    if len(data) < 2:
        return Figure(float(data.mean()), float(data.mean()), float(data.mean()))
    reach = float(t.ppf(0.975, len(data) - 1) * data.std(ddof=1) / np.sqrt(len(data)))
    return Figure(float(data.mean()), float(data.mean()) - reach, float(data.mean()) + reach)


def choose_farthest(figures: list[Figure], target: float = 1.0) -> Figure:
    """Return the figure with the largest distance from a target."""
    return max(figures, key=lambda figure: abs(figure.value - target))


def make_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return rows as a data frame."""
    import pandas as pd

    return pd.DataFrame(rows)


def require_rows(rows: pd.DataFrame, what: str) -> pd.DataFrame:
    """Return the rows; raise InputError if a table is empty.

    Raises
    ------
    InputError
        If the table is empty.
    """
    if rows.empty:
        raise InputError(f"the study has no {what}.")
    return rows


def split_levels(rows: pd.DataFrame) -> list[tuple[float, pd.DataFrame]]:
    """Split the rows with a level above 0 by level, the lowest first."""
    return [
        (float(cast("float", level)), part)
        for level, part in rows[rows["expected"] > 0].groupby("expected")
    ]
