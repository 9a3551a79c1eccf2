"""The card of a result: what a notebook shows for ``adata.scdiff``, in HTML and in text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from scdiff import keys
from scdiff.errors import ScdiffError
from scdiff.palette import ACCENT, CALLED
from scdiff.report.tables import main_evidence
from scdiff.report.text import count, interval, percent
from scdiff.report.verdict import main_row, verdict_sentence
from scdiff.vocabulary import NO_NUMBER

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["card_html", "card_text"]

WIDTH, HEIGHT, MARGIN = 440, 74, 18
"""Size of the drawing and room at its sides, pixels."""

LINEAR_TO = 0.001
"""Fraction up to which the scale is about linear; logarithmic beyond, so that 0 and small limits both show."""

TICKS = (0.0, 0.001, 0.01, 0.1, 1.0)

_NEXT = (
    (keys.INPUT, "scdiff has not seen this object: scdiff.pp.prepare(adata)"),
    (keys.CALL, "Ready. Next: scdiff.tl.call(adata)"),
    (keys.FRACTIONS, "Cells are called. Next: scdiff.tl.fraction(adata)"),
)


def card_text(adata: AnnData) -> str:
    """Say the result in plain lines: the sentence, the limits, the markers of the positive cells; or which step comes next.

    Reads
    -----
    ``uns["scdiff"]["fractions"]``, ``uns["scdiff"]["call"]``, ``obsm["scdiff_evidence"]``, ``obsm["scdiff_positive"]``
    """
    row, said = _row(adata)
    return "\n".join([said, *(_limits(row) if row else []), *_markers(adata)])


def card_html(adata: AnnData) -> str:
    """Show the result as HTML: the sentence, the interval drawn against LOB and LOD, the markers of the positive cells.

    Reads
    -----
    As :func:`card_text`.
    """
    row, said = _row(adata)
    drawn = _drawing(row) if row and row["verdict"] not in NO_NUMBER else ""
    lines = "".join(
        f"<div>{escape(line)}</div>" for line in [*(_limits(row) if row else []), *_markers(adata)]
    )
    style = "font-family:sans-serif;font-size:13px;line-height:1.5;max-width:46em"
    return f'<div style="{style}"><div><b>{escape(said)}</b></div>{drawn}{lines}</div>'


def _row(adata: AnnData) -> tuple[dict[str, Any] | None, str]:
    """Take the main row of the fractions and its sentence; None, and what to do, where there is none."""
    missing = next((said for key, said in _NEXT if not keys.has(adata, key)), "")
    if missing:
        return None, missing
    try:
        row = main_row(adata)
        return row, verdict_sentence(row)
    except ScdiffError as error:
        return None, str(error)


def _limits(row: Mapping[str, Any]) -> list[str]:
    """Say the interval and the limits of the main row."""
    if row["verdict"] in NO_NUMBER:
        return []
    ends = interval(row["prevalence_low"], row["prevalence_high"])
    named = ", ".join(
        f"{name.upper()} {percent(float(row[name]))} %"
        for name in ("lob", "lod")
        if math.isfinite(row[name])
    )
    cells = (
        f"{count(row['n_called'])} of {count(row['n_cells'])} cells called; 95 % interval {ends}"
    )
    return [f"{cells}; {named}." if named else f"{cells}."]


def _markers(adata: AnnData) -> list[str]:
    """Say in how many of the positive cells each marker is expressed, and how many markers they show."""
    if not all(keys.has(adata, key) for key in (keys.CALL, keys.EVIDENCE, keys.POSITIVE)):
        return []
    main = str(adata.uns["scdiff"][keys.CALL.name]["main"])
    called = adata.obsm[keys.POSITIVE.name][main].fillna(False).to_numpy(dtype=bool)
    if not called.any():
        return []
    on = main_evidence(adata)[called] > 0
    core = [
        str(name) for name in adata.uns["scdiff"][keys.CALL.name][main]["found"] if str(name) in on
    ]
    by_number = on[core].sum(axis=1).value_counts().sort_index()
    shares = ", ".join(f"{name} in {count(int(cells))}" for name, cells in on.sum().items())
    numbers = ", ".join(
        f"{number} of them in {count(int(cells))}" for number, cells in by_number.items()
    )
    return [
        f"Of {count(int(called.sum()))} positive cells: {shares}. Core markers {', '.join(core)}: {numbers}."
    ]


def _place(fraction: float) -> float:
    """Horizontal place of a fraction, pixels.

    >>> round(_place(0.0)), round(_place(1.0))
    (18, 422)
    """
    share = math.log1p(min(max(fraction, 0.0), 1.0) / LINEAR_TO) / math.log1p(1 / LINEAR_TO)
    return MARGIN + share * (WIDTH - 2 * MARGIN)


def _drawing(row: Mapping[str, Any]) -> str:
    """Draw the interval as a bar with its middle, LOB and LOD as lines, on a scale in percent."""
    middle, low, high = (
        float(row[name]) for name in ("prevalence", "prevalence_low", "prevalence_high")
    )
    ticks = "".join(_text(_place(tick), HEIGHT - 6, f"{100 * tick:g} %") for tick in TICKS)
    parts = [
        f'<line x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="52" y2="52" stroke="currentColor" opacity="0.5"/>',
        ticks,
    ]
    for name, dashes, height in (("lob", "2 2", 10), ("lod", "6 3", 22)):
        value = float(row[name])
        if math.isfinite(value):
            place = _place(value)
            line = f'<line x1="{place:.1f}" x2="{place:.1f}" y1="{height + 2}" y2="52" stroke="{ACCENT}" stroke-dasharray="{dashes}"/>'
            parts += [line, _text(place, height, name.upper())]
    if math.isfinite(low) and math.isfinite(high):
        width = max(_place(high) - _place(low), 2.0)
        parts.append(
            f'<rect x="{_place(low):.1f}" y="38" width="{width:.1f}" height="6" fill="{CALLED}" opacity="0.6"/>'
        )
    if math.isfinite(middle):
        parts.append(f'<circle cx="{_place(middle):.1f}" cy="41" r="5" fill="{CALLED}"/>')
    label = escape(f"{percent(middle)} %, interval {interval(low, high)}, with LOB and LOD")
    return f'<svg role="img" aria-label="{label}" width="{WIDTH}" height="{HEIGHT}">{"".join(parts)}</svg>'


def _text(x: float, y: float, words: str) -> str:
    """Write words centred at a place, in the colour of the page."""
    return f'<text x="{x:.1f}" y="{y}" font-size="10" text-anchor="middle" fill="currentColor">{escape(words)}</text>'
