"""Write a learned panel: programme, tables and page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scdiff.panels.page import render_panel
from scdiff.programs.write import format_program
from scdiff.report.tables import csv_text
from scdiff.storage.atomic import replace_atomically

if TYPE_CHECKING:
    from scdiff.panels.learn import Panel

__all__ = ["write_panel"]


def write_panel(panel: Panel, out: Path | str) -> dict[str, Path]:
    """Write the programme as TOML, the tables as CSV, and a page.

    Each file is written as a whole or not at all; the page comes last.

    Parameters
    ----------
    panel
        From :func:`scdiff.tl.panel`.
    out
        Folder.

    Returns
    -------
    The files by name: ``program``, ``panel``, ``confusion``, ``titration``, ``page``.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    folder = Path(out)
    files = {
        "program": (f"{panel.program.name}.toml", format_program(panel.program)),
        "panel": ("panel.csv", csv_text(panel.markers)),
        "confusion": ("confusion.csv", csv_text(panel.confusion)),
        "titration": ("titration.csv", csv_text(panel.titration)),
        "page": ("panel.html", render_panel(panel)),
    }
    for name, text in files.values():
        with replace_atomically(folder / name) as partial:
            partial.write_text(text, encoding="utf-8")
    return {key: folder / name for key, (name, _) in files.items()}
