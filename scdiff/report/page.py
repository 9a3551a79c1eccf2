"""The page: sections and verdict poured into one self-contained HTML file."""

from __future__ import annotations

import base64
import math
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scdiff import keys
from scdiff.report import verdict
from scdiff.report.plots import style
from scdiff.report.text import DASH, count, interval, percent
from scdiff.vocabulary import NOT_DETECTED, NOT_MEASURABLE

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from scdiff.report.section import Picture, Section

__all__ = ["figure_html", "render_page", "table_cells", "verdict_card"]

MAX_ROWS = 60
"""Rows of a table that the page shows; the file holds all."""

_THEME = {
    style.INK: "--ink",
    style.MUTED: "--muted",
    style.LINE: "--line",
    style.PAPER: "--paper",
    style.ACCENT: "--accent",
    style.CALLED: "--called",
}
_FOLDER = Path(__file__).parent


def render_page(adata: AnnData, sections: list[Section], *, alone: bool = False) -> str:
    """Pour the verdict and the sections into the template.

    Parameters
    ----------
    adata
        The finished object.
    sections
        In the order of the page.
    alone
        Whether no files of figures and tables stand beside the page, so that it names none.

    Reads
    -----
    ``uns["scdiff"]["fractions"]``, ``uns["scdiff"]["call"]``, ``uns["scdiff"]["input"]``, ``obs["sample"]``, ``obs["control"]``
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(figure_html=figure_html, table_cells=table_cells, max_rows=MAX_ROWS)
    return environment.get_template("page.html.j2").render(
        card=verdict_card(adata),
        alone=alone,
        sections=sections,
        points=next((section.points for section in sections if section.points), None),
        style=_trusted((_FOLDER / "report.css").read_text(encoding="utf-8")),
        script=_trusted((_FOLDER / "map.js").read_text(encoding="utf-8")),
        written=datetime.now(tz=UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def verdict_card(adata: AnnData) -> dict[str, Any]:
    """Gather what the top of the page says.

    Reads
    -----
    As :func:`render_page`.
    """
    row = verdict.main_row(adata)
    samples = sorted({str(name) for name in adata.obs["sample"]})
    lacks_rows = len(adata.uns["scdiff"].get("call", {}).get(str(row["program"]), {}).get("absent", ())) > 0
    said = (verdict.explanation(row, lacks_rows=lacks_rows), verdict.path_sentence(row, _path(adata)), _dose(row))
    return {
        "kind": str(row["verdict"]),
        "sentence": verdict.verdict_sentence(row),
        "number": verdict.verdict_number(row),
        "phrase": verdict.state_phrase(str(row["program"]), str(row["state"])),
        "explanation": " ".join(filter(None, said)),
        "facts": _facts(adata, row, samples),
        "notes": _warnings(adata),
        "title": ", ".join(samples[:3]) + (f" and {len(samples) - 3} more" if len(samples) > 3 else ""),
    }


def _warnings(adata: AnnData) -> list[str]:
    """Say what a reader of the verdict must know about the input; all its notes stand under Methods."""
    if str(adata.uns["scdiff"]["input"].get("technology", "UMI")) != "reads":
        return []
    return ["The values are sequencing reads, not UMI: one molecule may count many times, so take intervals and limits as a guide only."]


def _path(adata: AnnData) -> str:
    """Verdict of the trajectory; empty where it was not run."""
    return str(adata.uns["scdiff"].get(keys.TRAJECTORY.name, {}).get("verdict", ""))


def _dose(row: dict[str, Any]) -> str:
    """Say the dose, except where the sentence of the verdict says all of it already."""
    return "" if row["verdict"] == NOT_DETECTED and not row.get("weight_kg") else verdict.dose_sentence(row)


def _facts(adata: AnnData, row: dict[str, Any], samples: list[str]) -> list[tuple[str, str, str]]:
    """Numbers below the verdict: name, value, meaning."""
    control = adata.obs[keys.CONTROL.name].astype(bool) if keys.has(adata, keys.CONTROL) else adata.obs["sample"].isna()
    controls = sorted(set(adata.obs["sample"][control].astype(str)))
    limits = [(name, _limit(row[name.lower()]), meaning) for name, meaning in _LIMITS]
    return [
        _raw(row),
        *limits,
        ("Cells", count(adata.n_obs), "after quality control, controls included"),
        ("Samples", count(len(samples)), ", ".join(samples)),
        ("Controls", ", ".join(controls) or "none", _control_meaning(adata, control)),
    ]


def _raw(row: dict[str, Any]) -> tuple[str, str, str]:
    """Say the raw called fraction; nothing where it would be taken for a measurement."""
    if row["verdict"] == NOT_MEASURABLE:
        return "Called, raw", DASH, f"not stated for {count(row['n_cells'])} cells"
    ends = interval(row["fraction_low"], row["fraction_high"])
    meaning = f"{_limit(row['fraction'])}, 95 % interval {ends}; not corrected for dropout"
    return "Called, raw", f"{count(row['n_called'])} of {count(row['n_cells'])}", meaning


_LIMITS = (
    ("LOB", "limit of blank: the highest fraction that a blank gives"),
    ("LOD", "limit of detection: the least fraction found with 95 % power"),
    ("LLOQ", "limit of quantification: the least fraction quantified with 95 % power"),
)


def _limit(fraction: float) -> str:
    """Say a fraction in percent, a dash where there is none."""
    return f"{percent(fraction)} %" if fraction == fraction else DASH  # noqa: PLR0124


def _control_meaning(adata: AnnData, control: Any) -> str:
    """Say what the controls are for."""
    names = [str(name) for name in adata.uns["scdiff"].get("input", {}).get("positive_controls", ())]
    positive = adata.obs["sample"].astype(str).isin(names)
    kinds = ((control & ~positive, "that should hold no positive one"), (positive, "that should all be positive"))
    said = [f"{count(int(cells.sum()))} cells {what}" for cells, what in kinds if cells.any()]
    return ", ".join(said) or "no control sample: the blank is what the background model gives"


def _trusted(text: str) -> Any:
    """Mark our own text as safe to put into the page as it is."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704


def figure_html(picture: Picture) -> Any:
    """Give a figure as HTML: an SVG that follows the page's colours, or a PNG on white."""
    from markupsafe import escape

    if picture.suffix == "png":
        data = base64.b64encode(picture.image).decode()
        return _trusted(f'<img class="plate" alt="{escape(picture.alt)}" src="data:image/png;base64,{data}">')
    text = picture.image.decode()
    text = text[text.index("<svg") :]
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{picture.name}-", text)
    for colour, name in _THEME.items():
        text = text.replace(colour, f"var({name})")
    head = f'<svg role="img" aria-label="{escape(picture.alt)}" style="max-width:{1.4 * picture.width:.0f}px"'
    return _trusted(
        re.sub(r'<svg(?= )|(?<=[" ])(?:width|height)="[\d.]+pt" ?', lambda found: head if found[0] == "<svg" else "", text, count=3)
    )


def table_cells(frame: pd.DataFrame) -> list[list[tuple[str, bool]]]:
    """Say the first rows of a table: text of each cell, and whether it is a number."""
    return [[_cell(value) for value in row] for row in frame.head(MAX_ROWS).itertuples(index=False, name=None)]


def _number(value: float) -> str:
    """Say a number with four digits, a missing one as a dash."""
    if not math.isfinite(value):
        return DASH
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _cell(value: Any) -> tuple[str, bool]:
    """Say one value."""
    import numpy as np

    if isinstance(value, bool | np.bool_):
        return ("yes" if value else "no"), False
    if isinstance(value, int | np.integer):
        return f"{value:,}", True
    if isinstance(value, float | np.floating):
        return _number(float(value)), True
    text = str(value)
    return text, text == DASH or bool(re.match(r"^[\d.,]+ %", text))
