"""Render the page over batches: one file that needs no server and no network."""

from __future__ import annotations

import math
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from scdiff.batches.baseline import FEWEST
from scdiff.batches.charts import charts_of
from scdiff.report.text import count, percent
from scdiff.report.verdict import state_phrase

if TYPE_CHECKING:
    import pandas as pd

    from scdiff.batches.equivalence import Comparison
    from scdiff.batches.trend_findings import Trend

__all__ = ["comparison_sentence", "render_trend", "rules_of", "status_of"]

_FOLDER = Path(__file__).parent
_REPORT = _FOLDER.parent / "report"

DIGITS = 6
"""Significant digits of a number on the page: enough to draw, and a small file."""

_COLUMNS = (
    *(
        "number",
        "batch",
        "role",
        "sample",
        "donor",
        "passage",
        "operator",
        "chemistry",
        "specification",
        "scdiff",
        "analysed",
    ),
    *(
        "n_cells",
        "verdict",
        "kind",
        "value",
        "low",
        "high",
        "bound",
        "phase",
        "change",
        "baseline",
        "in_baseline",
    ),
    *(
        "score",
        "score_high",
        "score_drift",
        "range",
        "ewma",
        "ewma_limit",
        "cusum_up",
        "cusum_down",
        "cusum_limit",
    ),
    *("limit_low_3", "limit_low_2", "centre", "limit_high_2", "limit_high_3"),
)


def render_trend(trend: Trend, out: Path) -> str:
    """Return the page of a trend as HTML.

    Parameters
    ----------
    trend
        Returned by :func:`scdiff.batches.trend.compute_trend`.
    out
        Folder of the page; links to the reports are relative to it.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = "".join(
        path.read_text(encoding="utf-8") for path in (_REPORT / "report.css", _FOLDER / "trend.css")
    )
    sections = [_build_section(trend, chart) for chart in ("process", "assay")]
    return environment.get_template("trend.html.j2").render(
        card=_build_card(trend),
        sections=sections,
        signals=_sort_signals(trend),
        comparison=None
        if trend.comparison is None
        else comparison_sentence(trend.comparison, trend.change),
        data=_build_data(trend, sections, out),
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup((_FOLDER / "trend.js").read_text(encoding="utf-8")),  # noqa: S704
        written=datetime.now(tz=UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def status_of(trend: Trend) -> tuple[str, str]:
    """Return the status of the charts: a word, and a sentence."""
    waiting = trend.signals[trend.signals["needs_note"].astype(bool)]
    process = [phase for phase in trend.phases if phase.chart == "process"]
    last = process[-1] if process else None
    if len(waiting):
        return "signals", _count_open_signals(waiting)
    if last is None or last.baseline is None:
        n_points = last.n_points if last else 0
        noun = "product batch is" if n_points == 1 else "product batches are"
        few = f"{n_points} {noun} too few for limits"
        return "no limits yet", f"{few}, or too few of them are detected."
    if last.locked is None:
        until = f"The limits are provisional until {FEWEST} batches are locked as a baseline."
        return "provisional", f"No signal needs a note. {until}"
    return "in control", f"No signal needs a note. Baseline: {last.name}."


def _count_open_signals(signals: pd.DataFrame) -> str:
    """Return a sentence with the number of signals that need a note."""
    last, n_signals = signals.iloc[-1], len(signals)
    each = "signal needs" if n_signals == 1 else "signals need"
    where = f"{last['rule']} of batch {last['batch']} in the {last['chart']} chart"
    return f"{n_signals} {each} a note; the last is {where}."


_TONES = {
    "signals": "inconclusive",
    "no limits yet": "not-detected",
    "provisional": "detected",
    "in control": "quantified",
}


def _build_card(trend: Trend) -> dict[str, Any]:
    """Return the texts at the top of the page."""
    status, sentence = status_of(trend)
    process = trend.points[trend.points["chart"] == "process"]
    assay = trend.points[trend.points["chart"] == "assay"]
    last = process.iloc[-1] if len(process) else None
    found, hidden = (int((process["kind"] == kind).sum()) for kind in ("measured", "bound"))
    facts = [
        (
            "Product batches",
            count(len(process)),
            f"{count(found)} detected, {count(hidden)} not detected",
        ),
        (
            "Control runs",
            count(len(assay)),
            "run controls and reference cells" if len(assay) else "none registered",
        ),
        (
            "Last batch",
            "none" if last is None else str(last["batch"]),
            "" if last is None else f"{_format_value(last)}, {last['verdict']}",
        ),
        (
            "Signals",
            count(len(trend.signals)),
            f"{count(int(trend.signals['needs_note'].astype(bool).sum()))} without a note",
        ),
    ]
    phrase = state_phrase(trend.program, trend.state)
    return {
        "status": status,
        "tone": _TONES[status],
        "sentence": sentence,
        "facts": facts,
        "phrase": phrase,
        "title": f"{phrase} cells over batches",
    }


def _format_value(point: Any) -> str:
    """Return the value of a point as text."""
    if point["kind"] == "measured":
        return f"{percent(float(point['value']))} %"
    return (
        f"at most {percent(float(point['bound']))} %" if point["kind"] == "bound" else "no number"
    )


_HEADS = {
    "process": (
        "Process",
        "Is the process in control? Each product batch is compared with its baseline.",
    ),
    "assay": (
        "Assay",
        "Is the assay in control? Run controls and reference cells are the same in every run.",
    ),
}


def _build_section(trend: Trend, chart: str) -> dict[str, Any]:
    """Return one section of the page: its charts, and its phases with their changes."""
    phases = [phase for phase in trend.phases if phase.chart == chart]
    points = trend.points[trend.points["chart"] == chart]
    head = _HEADS[chart]
    lines = [
        {
            "number": phase.number + 1,
            "first": str(points[points["phase"] == phase.number]["batch"].iloc[0]),
            "change": phase.change,
            "baseline": phase.name,
            "n_baseline": phase.n_baseline,
            "n_points": phase.n_points,
            "by": ""
            if phase.locked is None
            else f"locked by {phase.locked['who']}, {phase.locked['recorded']}",
        }
        for phase in phases
    ]
    return {
        "id": chart,
        "name": head[0],
        "lead": head[1],
        "charts": charts_of(chart) if len(points) else [],
        "phases": lines,
    }


def _sort_signals(trend: Trend) -> list[dict[str, Any]]:
    """Return the signals for the table: those that need a note first, then the latest first."""
    rows = trend.signals.to_dict("records")
    rows.sort(key=lambda row: (not row["needs_note"], -int(row["number"])))
    value = [
        f"{percent(float(row['value']))} %" if row["value"] == row["value"] else "" for row in rows
    ]
    return [
        {str(name): item for name, item in row.items()} | {"value": text}
        for row, text in zip(rows, value, strict=True)
    ]


def _build_data(trend: Trend, sections: list[dict[str, Any]], out: Path) -> dict[str, Any]:
    """Return the data that the script draws, column by column."""
    series = {}
    for chart in ("process", "assay"):
        part = trend.points[trend.points["chart"] == chart]
        columns = {name: _convert_column(part[name]) for name in _COLUMNS}
        series[chart] = columns | {
            "report": _link_reports(part["report"], out),
            "rules": rules_of(trend, part, chart),
            "notes": [_format_notes(trend, int(number), chart) for number in part["number"]],
            "decisions": [trend.decisions.get(int(number), []) for number in part["number"]],
        }
    return {
        "series": series,
        "charts": [chart for section in sections for chart in section["charts"]],
        "specification": list(trend.limits),
    }


def _convert_column(column: pd.Series) -> list[Any]:
    """Return a column for JSON: rounded numbers, and None for missing values."""
    values = column.tolist()
    return [None if value is None or value != value else _round_number(value) for value in values]  # noqa: PLR0124


def _round_number(value: Any) -> Any:
    """Round a number to significant digits; None if it is not finite."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def _link_reports(reports: pd.Series, out: Path) -> list[str]:
    """Return links to the reports, relative to the folder of the page."""
    start = os.path.realpath(out)
    return [quote(os.path.relpath(report, start).replace(os.sep, "/")) for report in reports]


def rules_of(trend: Trend, part: pd.DataFrame, chart: str) -> list[list[str]]:
    """Return the rules that each point violates."""
    found: dict[tuple[int, str], list[str]] = {}
    for number, sample, rule in zip(
        *(
            trend.signals.loc[trend.signals["chart"] == chart, name]
            for name in ("number", "sample", "rule")
        ),
        strict=True,
    ):
        found.setdefault((int(number), str(sample)), []).append(str(rule))
    return [
        found.get((int(number), str(sample)), [])
        for number, sample in zip(part["number"], part["sample"], strict=True)
    ]


def _format_notes(trend: Trend, number: int, chart: str) -> list[str]:
    """Return the notes on a point as texts."""
    notes = [note for note in trend.notes.get(number, []) if note["chart"] in {None, chart}]
    texts = [f"{note['cause']} - {note['action']} ({note['who']})" for note in notes]
    rules = [f"{note['rule']}: " if note["rule"] else "" for note in notes]
    return [rule + text for rule, text in zip(rules, texts, strict=True)]


def comparison_sentence(comparison: Comparison, change: str) -> str:
    """Return a sentence that says whether two processes are comparable."""
    ends = f"90 % interval {comparison.ratio_low:.2f}-{comparison.ratio_high:.2f}"
    ratio = f"the odds are {comparison.ratio:.2f} times those before ({ends})"
    meaning = {
        "equivalent": "the interval is within the margin, so the processes are comparable",
        "different": "the interval is outside the margin, so the processes differ",
        "cannot tell": "the interval includes an end of the margin, so more batches are needed",
    }[comparison.verdict]
    sides = f"{comparison.n_before} batches before {change} and {comparison.n_after} from it on"
    margin = f"{1 / comparison.margin:.2f}-{comparison.margin:.2f}"
    return f"{comparison.verdict.capitalize()}: {sides}; {ratio}; margin {margin}: {meaning}."
