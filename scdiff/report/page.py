"""Render the sections and the verdict as one self-contained HTML file."""

from __future__ import annotations

import base64
import math
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scdiff import keys
from scdiff.report import verdict
from scdiff.report.alerts import list_alerts
from scdiff.report.plots import style
from scdiff.report.text import DASH, count, interval, percent
from scdiff.vocabulary import NOT_DETECTED, NOT_MEASURABLE

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from scdiff.report.section import Picture, Section

__all__ = ["figure_html", "render_page", "table_cells", "verdict_card"]

MAX_ROWS = 60
"""Number of rows of a table that the page shows; the file has all. Chosen, not tuned."""

MOST_NAMES = 3
"""Number of samples that the title names. Chosen, not tuned."""

SCALE = 1.4
"""Largest width of a figure on the page, in multiples of its natural size. Chosen, not tuned."""

_THEME = {
    style.INK: "--ink",
    style.MUTED: "--muted",
    style.LINE: "--line",
    style.PAPER: "--paper",
    style.ACCENT: "--accent",
    style.CALLED: "--called",
}
"""Colour in the figures -> variable of the stylesheet, which follows the light or dark scheme."""

_FOLDER = Path(__file__).parent


def render_page(adata: AnnData, sections: list[Section], *, alone: bool = False) -> str:
    """Render the verdict and the sections with the template.

    Parameters
    ----------
    adata
        Result of all steps.
    sections
        In the order of the page.
    alone
        Whether the page has no files of figures and tables next to it, so that it names none.

    Reads
    -----
    ``uns["scdiff"]["fractions"]``, ``uns["scdiff"]["call"]``, ``uns["scdiff"]["input"]``,
    ``obs["sample"]``, ``obs["control"]``
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(figure_html=figure_html, table_cells=table_cells, max_rows=MAX_ROWS)
    return environment.get_template("page.html.j2").render(
        card=verdict_card(adata),
        alone=alone,
        sections=sections,
        points=next((section.points for section in sections if section.points), None),
        style=_mark_safe((_FOLDER / "report.css").read_text(encoding="utf-8")),
        script=_mark_safe((_FOLDER / "map.js").read_text(encoding="utf-8")),
        written=datetime.now(tz=UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def verdict_card(adata: AnnData) -> dict[str, Any]:
    """Collect the content of the card at the top of the page.

    Reads
    -----
    As :func:`render_page`.
    """
    row = verdict.main_row(adata)
    samples = sorted({str(name) for name in adata.obs[keys.SAMPLE.name]})
    call = adata.uns[keys.ROOT].get("call", {}).get(str(row["program"]), {})
    sentences = (
        verdict.explanation(row, lacks_rows=len(call.get("absent", ())) > 0),
        verdict.path_sentence(row, _read_path(adata)),
        _state_dose(row),
    )
    more = len(samples) - MOST_NAMES
    return {
        "kind": str(row["verdict"]),
        "sentence": verdict.verdict_sentence(row),
        "number": verdict.verdict_number(row),
        "phrase": verdict.state_phrase(str(row["program"]), str(row["state"])),
        "explanation": " ".join(filter(None, sentences)),
        "facts": _list_facts(adata, row, samples),
        "alerts": list_alerts(adata),
        "title": ", ".join(samples[:MOST_NAMES]) + (f" and {more} more" if more > 0 else ""),
    }


def _read_path(adata: AnnData) -> str:
    """Return the verdict of the trajectory; empty if it was not run."""
    return str(adata.uns[keys.ROOT].get(keys.TRAJECTORY.name, {}).get("verdict", ""))


def _state_dose(row: dict[str, Any]) -> str:
    """State the dose, unless the sentence of the verdict has all of it."""
    if row["verdict"] == NOT_DETECTED and not row.get("weight_kg"):
        return ""
    return verdict.dose_sentence(row)


def _list_facts(
    adata: AnnData, row: dict[str, Any], samples: list[str]
) -> list[tuple[str, str, str]]:
    """Return the numbers below the verdict: name, value, meaning."""
    if keys.has(adata, keys.CONTROL):
        control = adata.obs[keys.CONTROL.name].astype(bool)
    else:
        control = adata.obs[keys.SAMPLE.name].isna()
    controls = sorted(set(adata.obs[keys.SAMPLE.name][control].astype(str)))
    limits = [(name, _format_percent(row[name.lower()]), meaning) for name, meaning in _LIMITS]
    return [
        _describe_called(row),
        *limits,
        ("Cells", count(adata.n_obs), "after quality control, including controls"),
        ("Samples", count(len(samples)), ", ".join(samples)),
        ("Controls", ", ".join(controls) or "none", _describe_controls(adata, control)),
    ]


def _describe_called(row: dict[str, Any]) -> tuple[str, str, str]:
    """Return the fact on called cells; a dash if the fraction is not measurable.

    A raw fraction could otherwise be mistaken for a measurement.
    """
    if row["verdict"] == NOT_MEASURABLE:
        return "Called, raw", DASH, f"not reported for these {count(row['n_cells'])} cells"
    ends = interval(row["fraction_low"], row["fraction_high"])
    share = _format_percent(row["fraction"])
    meaning = f"{share}, 95 % interval {ends}; not corrected for dropout"
    return "Called, raw", f"{count(row['n_called'])} of {count(row['n_cells'])}", meaning


_LIMITS = (
    (
        "LOB",
        "limit of blank: the highest fraction that a batch without positive cells shows (95 %)",
    ),
    ("LOD", "limit of detection: the lowest true fraction that is detected with 95 % power"),
    (
        "LLOQ",
        "limit of quantification: the lowest true fraction that is quantified with 95 % power",
    ),
)
"""Name and meaning of each limit."""


def _format_percent(fraction: float) -> str:
    """Format a fraction in percent; a dash if it is missing."""
    return f"{percent(fraction)} %" if fraction == fraction else DASH  # noqa: PLR0124  # NaN


def _describe_controls(adata: AnnData, control: Any) -> str:
    """Return how many cells the controls have, and what is expected of them."""
    names = [
        str(name) for name in adata.uns[keys.ROOT].get("input", {}).get("positive_controls", ())
    ]
    positive = adata.obs[keys.SAMPLE.name].astype(str).isin(names)
    kinds = (
        (control & ~positive, "none expected to be positive"),
        (positive, "all expected to be positive"),
    )
    texts = [
        f"{count(int(cells.sum()))} cells, {expected}" for cells, expected in kinds if cells.any()
    ]
    return "; ".join(texts) or "no control sample: the blank comes from the background model"


def _mark_safe(text: str) -> Any:
    """Mark text of this package as safe, so that the template does not escape it."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704


def figure_html(picture: Picture) -> Any:
    """Return a figure as HTML: an SVG with the page's colours, or a PNG on white."""
    from markupsafe import escape

    alt = escape(picture.alt)
    if picture.suffix == "png":
        data = base64.b64encode(picture.image).decode()
        return _mark_safe(f'<img class="plate" alt="{alt}" src="data:image/png;base64,{data}">')
    text = picture.image.decode()
    text = text[text.index("<svg") :]
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{picture.name}-", text)
    for colour, name in _THEME.items():
        text = text.replace(colour, f"var({name})")
    width = f"max-width:{SCALE * picture.width:.0f}px"
    head = f'<svg role="img" aria-label="{alt}" style="{width}"'
    return _mark_safe(
        re.sub(
            r'<svg(?= )|(?<=[" ])(?:width|height)="[\d.]+pt" ?',
            lambda found: head if found[0] == "<svg" else "",
            text,
            count=3,
        )
    )


def table_cells(frame: pd.DataFrame) -> list[list[tuple[str, bool]]]:
    """Return the first rows of a table: text of each cell, and whether it is a number."""
    rows = frame.head(MAX_ROWS).itertuples(index=False, name=None)
    return [[_format_cell(value) for value in row] for row in rows]


def _format_number(value: float) -> str:
    """Format a number with four digits; a dash if it is missing."""
    if not math.isfinite(value):
        return DASH
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _format_cell(value: Any) -> tuple[str, bool]:
    """Format one value; the second part is True if it is a number."""
    import numpy as np

    if isinstance(value, bool | np.bool_):
        return ("yes" if value else "no"), False
    if isinstance(value, int | np.integer):
        return f"{value:,}", True
    if isinstance(value, float | np.floating):
        return _format_number(float(value)), True
    text = str(value)
    return text, text == DASH or bool(re.match(r"^[\d.,]+ %", text))
