"""The result card: the display of ``adata.scdiff`` in a notebook, in HTML and in text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from scdiff import keys
from scdiff.errors import ScdiffError
from scdiff.palette import ACCENT, CALLED
from scdiff.report.alerts import list_alerts
from scdiff.report.tables import main_evidence
from scdiff.report.text import count, interval, percent
from scdiff.report.verdict import main_row, verdict_sentence
from scdiff.vocabulary import NO_NUMBER

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["card_html", "card_text"]

WIDTH, HEIGHT, MARGIN = 440, 74, 18
"""Size of the drawing and margins at its sides, pixels; chosen, not tuned."""

LINEAR_TO = 0.001
"""Fraction up to which the scale is nearly linear; above, it is nearly logarithmic.

0 and small limits are both visible this way."""

TICKS = (0.0, 0.001, 0.01, 0.1, 1.0)
"""Fractions that the scale labels, in percent."""

_NEXT = (
    (keys.INPUT, "This object is not prepared. Next: scdiff.pp.prepare(adata)"),
    (keys.CALL, "Ready. Next: scdiff.tl.call(adata)"),
    (keys.FRACTIONS, "Cells are called. Next: scdiff.tl.fraction(adata)"),
)
"""Key -> what to do if it is missing, in the order of the steps."""


def card_text(adata: AnnData) -> str:
    """Return the result as plain lines, or the step to run next.

    The lines are the sentence, the limits, and the markers of the positive cells.

    Reads
    -----
    ``uns["scdiff"]["fractions"]``, ``uns["scdiff"]["call"]``, ``obsm["scdiff_evidence"]``,
    ``obsm["scdiff_positive"]``
    """
    row, sentence = _row(adata)
    return "\n".join([sentence, *_list_lines(adata, row)])


def card_html(adata: AnnData) -> str:
    """Return the result as HTML, or the step to run next.

    It shows the sentence, the interval with LOB and LOD, and the markers of the positive cells.

    Reads
    -----
    The same keys as :func:`card_text`.
    """
    row, sentence = _row(adata)
    drawing = _draw(row) if row and row["verdict"] not in NO_NUMBER else ""
    lines = "".join(f"<div>{escape(line)}</div>" for line in _list_lines(adata, row))
    style = "font-family:sans-serif;font-size:13px;line-height:1.5;max-width:46em"
    return f'<div style="{style}"><div><b>{escape(sentence)}</b></div>{drawing}{lines}</div>'


def _row(adata: AnnData) -> tuple[dict[str, Any] | None, str]:
    """Return the main row of the fractions and its sentence, or None and what to do next."""
    missing = next((advice for key, advice in _NEXT if not keys.has(adata, key)), "")
    if missing:
        return None, missing
    try:
        row = main_row(adata)
        return row, verdict_sentence(row)
    except ScdiffError as error:
        return None, str(error)


def _list_lines(adata: AnnData, row: Mapping[str, Any] | None) -> list[str]:
    """Write the alerts, the limits and the markers, as far as they are known."""
    alerts = [f"Alert: {alert}" for alert in list_alerts(adata)] if row else []
    return [*alerts, *(_limits(row) if row else []), *_markers(adata)]


def _limits(row: Mapping[str, Any]) -> list[str]:
    """Write the interval and the limits of the main row."""
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
    """Write how many positive cells express each marker, and how many core markers they express."""
    if not all(keys.has(adata, key) for key in (keys.CALL, keys.EVIDENCE, keys.POSITIVE)):
        return []
    main = str(adata.uns[keys.ROOT][keys.CALL.name]["main"])
    called = adata.obsm[keys.POSITIVE.name][main].fillna(False).to_numpy(dtype=bool)
    if not called.any():
        return []
    expressed = main_evidence(adata)[called] > 0
    found = map(str, adata.uns[keys.ROOT][keys.CALL.name][main]["found"])
    core = [name for name in found if name in expressed]
    by_number = expressed[core].sum(axis=1).value_counts().sort_index()
    shares = ", ".join(f"{name} in {count(int(cells))}" for name, cells in expressed.sum().items())
    numbers = ", ".join(
        f"{number} of them in {count(int(cells))}" for number, cells in by_number.items()
    )
    shown = f"Of {count(int(called.sum()))} positive cells: {shares}."
    return [f"{shown} Core markers {', '.join(core)}: {numbers}."]


def _place(fraction: float) -> float:
    """Return the horizontal position of a fraction (0-1), pixels.

    >>> round(_place(0.0)), round(_place(1.0))
    (18, 422)
    """
    share = math.log1p(min(max(fraction, 0.0), 1.0) / LINEAR_TO) / math.log1p(1 / LINEAR_TO)
    return MARGIN + share * (WIDTH - 2 * MARGIN)


def _draw(row: Mapping[str, Any]) -> str:
    """Draw the estimate and its interval, and LOB and LOD as lines, on a scale in percent."""
    middle, low, high = (
        float(row[name]) for name in ("prevalence", "prevalence_low", "prevalence_high")
    )
    ticks = "".join(_text(_place(tick), HEIGHT - 6, f"{100 * tick:g} %") for tick in TICKS)
    ends = f'x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="52" y2="52"'
    parts = [f'<line {ends} stroke="currentColor" opacity="0.5"/>', ticks]
    for name, dashes, height in (("lob", "2 2", 10), ("lod", "6 3", 22)):
        value = float(row[name])
        if math.isfinite(value):
            place = _place(value)
            line = (
                f'<line x1="{place:.1f}" x2="{place:.1f}" y1="{height + 2}" y2="52" '
                f'stroke="{ACCENT}" stroke-dasharray="{dashes}"/>'
            )
            parts += [line, _text(place, height, name.upper())]
    if math.isfinite(low) and math.isfinite(high):
        width = max(_place(high) - _place(low), 2.0)
        bar = f'x="{_place(low):.1f}" y="38" width="{width:.1f}" height="6"'
        parts.append(f'<rect {bar} fill="{CALLED}" opacity="0.6"/>')
    if math.isfinite(middle):
        parts.append(f'<circle cx="{_place(middle):.1f}" cy="41" r="5" fill="{CALLED}"/>')
    label = escape(f"{percent(middle)} %, interval {interval(low, high)}, with LOB and LOD")
    size = f'width="{WIDTH}" height="{HEIGHT}"'
    return f'<svg role="img" aria-label="{label}" {size}>{"".join(parts)}</svg>'


def _text(x: float, y: float, words: str) -> str:
    """Write words centred at a position, in the text colour of the page."""
    look = 'font-size="10" text-anchor="middle" fill="currentColor"'
    return f'<text x="{x:.1f}" y="{y}" {look}>{escape(words)}</text>'
