"""Render the page of a learned panel: one sheet with a figure and the tables."""

from __future__ import annotations

import io
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from scdiff import __version__
from scdiff.report.page import table_cells
from scdiff.report.text import DASH, percent

if TYPE_CHECKING:
    import pandas as pd

    from scdiff.panels.learn import Panel

__all__ = ["render_panel"]

_FOLDER = Path(__file__).parent
_FIELDS = ("Date", "Creator", "Format", "Type")
"""Fields that matplotlib would write about the figure."""
MOST_LABELS = 30
"""Labels that the page shows; the table in the folder has all."""

MARKER_COLUMNS = {
    "gene": "gene",
    "chosen": "chosen",
    "level_cp10k": "level per 10,000",
    "sensitivity": "target cells",
    "worst_leak": "worst leak",
    "worst_label": "in label",
    "ambient": "by ambient RNA",
}
CONFUSION_COLUMNS = {
    "label": "label",
    "n_cells": "cells",
    "n_called": "called",
    "called": "share called",
    "called_high": "at most",
}
TITRATION_COLUMNS = {
    "true": "true",
    "prevalence": "measured",
    "prevalence_low": "from",
    "prevalence_high": "to",
    "recovery": "recovery",
    "lod": "LOD",
    "lloq": "LLOQ",
    "verdict": "verdict",
}
SHARES = frozenset(
    {"sensitivity", "worst_leak", "ambient", "called", "called_high", "true", "prevalence"}
    | {"prevalence_low", "prevalence_high", "lod", "lloq"}
)
"""Columns that are shown as percentages."""


def render_panel(panel: Panel) -> str:
    """Return the page of a panel as HTML.

    Parameters
    ----------
    panel
        The panel.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([_FOLDER, _FOLDER.parent / "batches"]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    tables = (
        ("Markers and next best genes", panel.markers, MARKER_COLUMNS),
        ("Held-out cells by label", panel.confusion.head(MOST_LABELS), CONFUSION_COLUMNS),
        ("Mixtures of held-out cells", panel.titration, TITRATION_COLUMNS),
    )
    return str(
        environment.get_template("panel.html.j2").render(
            panel=panel,
            version=__version__,
            figure=_draw_recovery(panel.titration),
            tables=[_render_table(*table) for table in tables],
        )
    )


def _render_table(title: str, frame: pd.DataFrame, columns: dict[str, str]) -> dict[str, Any]:
    """Return some columns of a table as texts."""
    shown = frame[list(columns)].copy()
    for name in SHARES.intersection(columns):
        shown[name] = [DASH if isnan(value) else f"{percent(value)} %" for value in shown[name]]
    if "recovery" in columns:  # may exceed 100 %
        shown["recovery"] = [
            DASH if isnan(value) else f"{value:.0%}" for value in shown["recovery"]
        ]
    return {"title": title, "columns": list(columns.values()), "rows": table_cells(shown)}


def _draw_recovery(titration: pd.DataFrame) -> Any:
    """Return the figure as SVG that fits the width of the page."""
    import matplotlib as mpl
    from markupsafe import Markup
    from matplotlib.figure import Figure

    from scdiff.report.plots.recovery import recovery
    from scdiff.report.plots.style import STYLE

    with mpl.rc_context(cast("Any", STYLE)):
        figure = Figure(figsize=(4.2, 2.9), layout="constrained")
        recovery(titration, figure.add_subplot())
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata=dict.fromkeys(_FIELDS))
    drawn = text.getvalue()
    # drawn by matplotlib from numbers only
    return Markup(drawn[drawn.index("<svg") :])  # noqa: S704
