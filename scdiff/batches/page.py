"""Render the page of a release decision.

The page has one A4 sheet for each result and specification, with fields for the signatures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scdiff.batches.record import Judgement, Release, Sheet, release_json
from scdiff.batches.specification import Written
from scdiff.report.text import DASH

__all__ = ["format_number", "render_release", "template_environment"]

_FOLDER = Path(__file__).parent
MAX_INPUTS = 6
"""Maximum number of input files on a sheet, so that it fits A4; the record has all."""

NONE = 1e-5
"""A figure below it prints as 0: one cell in ten million, if the unit is %."""

MEANINGS = {
    "PASS": "Every release criterion is met at the end of the interval that protects the patient.",
    "FAIL": "At least one release criterion is not met: its whole interval is outside the limit.",
    "CANNOT TELL": "The data are not sufficient to decide at least one release criterion.",
    "INVALID": (
        "The result is not valid for a decision: at least one suitability criterion is not met."
    ),
}


def template_environment() -> Any:
    """Return the Jinja environment of the templates of this package."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render_release(release: Release, written: Sequence[Written]) -> str:
    """Return the page of a record as HTML.

    It shows the hash of ``release.json``, so that a signed print belongs to one record.

    Parameters
    ----------
    release
        The record.
    written
        Its specifications, for their notes and the criteria that are not measured.
    """
    contents = {(one.content.name, one.content.version): one for one in written}
    sheets = [
        _render_sheet(release, sheet, contents[sheet.specification, sheet.version])
        for sheet in release.sheets
    ]
    return str(
        template_environment()
        .get_template("release.html.j2")
        .render(
            release=release,
            sheets=sheets,
            meanings=MEANINGS,
            record=hashlib.sha256(release_json(release).encode()).hexdigest(),
        )
    )


def _render_sheet(release: Release, sheet: Sheet, written: Written) -> dict[str, Any]:
    """Return the variables of one sheet."""
    result = next(result for result in release.results if result.batch == sheet.batch)
    seen = list({(row["path"], row["sha256"]) for row in result.inputs})
    return {
        "sheet": sheet,
        "result": result,
        "specification": written.content,
        "sha256": written.sha256,
        "kind": sheet.decision.lower().replace(" ", "-"),
        "inputs": sorted(seen)[:MAX_INPUTS],
        "more_inputs": max(0, len(seen) - MAX_INPUTS),
        "tables": result.files.get("tables/fractions.csv", ""),
        "groups": [
            (title, [_render_line(line) for line in sheet.judgements if line.part == part])
            for part, title in _PARTS
        ],
    }


_PARTS = (("suitability", "Suitability of the result"), ("criterion", "Criteria"))


def _render_line(line: Judgement) -> dict[str, Any]:
    """Return one line of the table as texts."""
    unit = "" if line.unit in ("text", "number") else f" {line.unit}"
    value = line.text or (
        f"{format_number(line.figure)}{unit}" if line.figure is not None else DASH
    )
    has_ends = line.low is not None and line.high is not None and line.low != line.high
    return {
        "title": line.title + (f", {line.sample}" if line.sample not in ("", "all") else ""),
        "value": value,
        "interval": f"{format_number(line.low)} to {format_number(line.high)}{unit}"
        if has_ends
        else DASH,
        "limit": _format_limit(line, unit),
        "lod": f"{format_number(line.lod)}{unit}" if line.lod is not None else DASH,
        "decision": line.decision,
        "kind": line.decision.lower().replace(" ", "-"),
        "role": "" if line.kind == "release" else line.kind,
        "why": _select_reason(line),
        "advice": line.advice,
        "source": line.source,
    }


def _select_reason(line: Judgement) -> str:
    """Return the reason if the other columns and the advice do not show it."""
    shown = line.decision in ("PASS", "FAIL", "REPORTED") or line.advice
    return "" if shown else line.why[:1].upper() + line.why[1:]


def _format_limit(line: Judgement, unit: str) -> str:
    """Return the limits of a line as text."""
    if line.allowed:
        return ", ".join(line.allowed)
    ends = ((line.at_least, "at least"), (line.at_most, "at most"))
    return (
        ", ".join(
            f"{word} {format_number(limit)}{unit}" for limit, word in ends if limit is not None
        )
        or DASH
    )


def format_number(value: float | None) -> str:
    """Format a number with three significant digits; a large one without decimals.

    >>> format_number(3.54754), format_number(12345.6), format_number(2000.0)
    ('3.55', '12,346', '2,000')
    """
    if value is None:
        return DASH
    if abs(value) < NONE:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
