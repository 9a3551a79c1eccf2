"""Declare the charts of the page: columns, scale and limits of each."""

from __future__ import annotations

from typing import Any

from scdiff.batches.drift import RANGE_LIMIT
from scdiff.registry import Registry

__all__ = ["CHARTS", "charts_of"]

CHARTS: Registry[Any] = Registry("chart")
"""Charts: each function returns what ``trend.js`` draws; ``facts`` has the series of points,
``process`` or ``assay``."""

_LIMITS = (
    ("limit_high_3", "limit"),
    ("limit_high_2", "warn"),
    ("centre", "centre"),
    ("limit_low_2", "warn"),
    ("limit_low_3", "limit"),
)


def charts_of(series: str) -> list[dict[str, Any]]:
    """Return the charts of a series, ``process`` or ``assay``, in the order of the page."""
    cards = [CHARTS[name] for name in CHARTS]
    return [
        {"id": card.name, "series": series, "caption": card.summary, **card.function()}
        for card in cards
        if card.facts["series"] == series
    ]


@CHARTS.register(
    "individuals",
    summary="Each batch with its 95 % interval, and control limits that depend on its number of "
    "cells: in control, 95 % of the batches are between the inner lines and 99.7 % between the "
    "outer ones. For a batch that was not detected, an arrow points down from its upper bound.",
    source="Laney 2002, https://doi.org/10.1081/QEN-120006555; here the variances are added, not "
    "multiplied",
    facts={"series": "process"},
)
def individuals() -> dict[str, Any]:
    """Return the chart of individual batches: fractions on the logit scale."""
    lines = [{"column": name, "look": look} for name, look in _LIMITS]
    return {
        "title": "Batches", "unit": "% of cells", "scale": "share",
        "y": "value", "bars": ["low", "high"], "bound": "bound",
        "lines": lines, "rules": ["1-3s", "specification"], "specification": True,
    }  # fmt: skip


@CHARTS.register(
    "range",
    summary="Difference between each batch and the batch before, in standard deviations. A large "
    "difference is a jump, not a drift.",
    source="field convention",
    facts={"series": "process"},
)
def moving_range() -> dict[str, Any]:
    """Return the chart of the moving range of the standard scores."""
    return {
        "title": "Moving range", "unit": "SD", "scale": "linear",
        "y": "range", "rules": ["range"], "least": 0,
        "lines": [{"value": RANGE_LIMIT, "look": "limit"}],
    }  # fmt: skip


def _draw_band(column: str) -> list[dict[str, Any]]:
    """Return the lines of a limit on both sides of zero, and of zero."""
    return [
        {"column": column, "look": "limit"},
        {"column": column, "look": "limit", "sign": -1},
        {"value": 0, "look": "centre"},
    ]


@CHARTS.register(
    "ewma",
    summary="Exponentially weighted moving average (EWMA) of the standard scores; the last batch "
    "has a weight of 20 %. It detects a small, lasting shift first.",
    source="Lucas and Saccucci 1990, https://doi.org/10.1080/00401706.1990.10484583",
    facts={"series": "process"},
)
def average() -> dict[str, Any]:
    """Return the chart of the EWMA with its limits on both sides."""
    return {
        "title": "EWMA",
        "unit": "SD",
        "scale": "linear",
        "y": "ewma",
        "joined": True,
        "lines": _draw_band("ewma_limit"),
        "rules": ["ewma"],
    }


@CHARTS.register(
    "cusum",
    summary="Cumulative sum (CUSUM) of the scores minus half a standard deviation, upward and "
    "(below zero) downward. A shift began where the sum left zero.",
    source="Page 1954, https://doi.org/10.1093/biomet/41.1-2.100",
    facts={"series": "process"},
)
def sum_up() -> dict[str, Any]:
    """Return the chart of the CUSUM; the downward sum is drawn below zero."""
    return {
        "title": "CUSUM",
        "unit": "SD",
        "scale": "linear",
        "y": "cusum_up",
        "second": "cusum_down",
        "joined": True,
        "lines": _draw_band("cusum_limit"),
        "rules": ["cusum"],
    }


@CHARTS.register(
    "levey-jennings",
    summary="Each control run in standard deviations (SD) from its baseline, with the Westgard "
    "rules. The SD includes the counting error of the number of cells.",
    source="https://doi.org/10.1093/clinchem/27.3.493",
    facts={"series": "assay"},
)
def levey_jennings() -> dict[str, Any]:
    """Return the Levey-Jennings chart: standard scores of the control material."""
    looks = {3: "limit", 2: "warn", 1: "one", 0: "centre", -1: "one", -2: "warn", -3: "limit"}
    lines = [{"value": value, "look": look} for value, look in looks.items()]
    return {
        "title": "Levey-Jennings", "unit": "SD", "scale": "linear",
        "y": "score", "bound": "score_high", "joined": True, "lines": lines,
        "rules": ["1-2s", "1-3s", "2-2s", "R-4s", "4-1s", "10x"], "reach": 3.6,
    }  # fmt: skip


@CHARTS.register(
    "controls",
    summary="The same control runs as fractions of cells, each with its 95 % interval and control "
    "limits. Runs of a phase without a baseline are only shown here.",
    source="as the chart of individual batches",
    facts={"series": "assay"},
)
def controls() -> dict[str, Any]:
    """Return the chart of the control material: fractions on the logit scale."""
    return individuals() | {"title": "Control runs", "rules": ["1-3s"], "specification": False}
