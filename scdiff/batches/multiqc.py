"""Write the trend for MultiQC: a table of the product batches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from scdiff.batches.trend_page import rules_of
from scdiff.report.verdict import state_phrase

if TYPE_CHECKING:
    from scdiff.batches.trend_findings import Trend

__all__ = ["multiqc_content"]

_PERCENT = {"suffix": "%", "format": "{:,.3f}", "min": 0}

HEADERS: dict[str, dict[str, Any]] = {
    "verdict": {"title": "Verdict"},
    "value": {"title": "Prevalence", "scale": "Oranges", **_PERCENT},
    "bound": {"title": "At most", "description": "upper bound if not detected", **_PERCENT},
    "score": {
        "title": "Score",
        "format": "{:,.2f}",
        "description": "standard deviations from the baseline",
    },
    "ewma": {"title": "EWMA", "format": "{:,.2f}"},
    "signals": {
        "title": "Signals",
        "description": "control rules that the batch violates",
    },
    "decisions": {
        "title": "Decisions",
        "description": "release decisions, with their specifications",
    },
}

_FACTORS = {"value": 100.0, "bound": 100.0, "score": 1.0, "ewma": 1.0}
"""Factor from the unit of the trend to the unit of the table: % for fractions, SD for scores."""


def multiqc_content(trend: Trend) -> dict[str, Any]:
    """Return the product batches as MultiQC custom content, plot type ``table``."""
    phrase = state_phrase(trend.program, trend.state)
    return {
        "id": "scdiff_trend",
        "section_name": "scdiff: trend",
        "description": f"{phrase} cells of the product batches, compared with their baseline. "
        "Research use only: scdiff measures transcripts, not function.",
        "plot_type": "table",
        "pconfig": {
            "id": "scdiff_trend_table",
            "title": "scdiff: trend",
            "namespace": "scdiff",
        },
        "headers": HEADERS,
        "data": _build_rows(trend),
    }


def _build_rows(trend: Trend) -> dict[str, dict[str, Any]]:
    """Return one row per batch; missing numbers are left out, because JSON has no NaN."""
    process = trend.points[trend.points["chart"] == "process"]
    rows = {}
    points = zip(process.to_dict("records"), rules_of(trend, process, "process"), strict=True)
    for point, broken in points:
        numbers = {name: factor * float(point[name]) for name, factor in _FACTORS.items()}
        known = {name: value for name, value in numbers.items() if math.isfinite(value)}
        texts = {"verdict": str(point["verdict"]), "signals": ", ".join(broken) or "none"}
        if decisions := trend.decisions.get(int(point["number"])):
            texts["decisions"] = "; ".join(decisions)
        rows[str(point["batch"])] = texts | known
    return rows
