"""Hold the results of the control charts for page, tables and MultiQC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from scdiff.batches.control import Phase
    from scdiff.batches.equivalence import Comparison

__all__ = ["Trend"]


@dataclass(frozen=True)
class Trend:
    """Results of the control charts of one read-out."""

    program: str
    state: str
    points: pd.DataFrame
    phases: list[Phase]
    signals: pd.DataFrame
    notes: dict[int, list[dict[str, Any]]]
    decisions: dict[int, list[str]]
    limits: tuple[float | None, float | None]
    comparison: Comparison | None = None
    change: str = ""
