"""Define report sections and their register.

A section is one decorated function ``(adata) -> Section`` that lists the keys it reads. If a key is
missing, or if the section fails, the report shows the reason in its place and continues.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from scdiff import keys
from scdiff.errors import ScdiffError
from scdiff.registry import Card, Registry
from scdiff.report.text import slug

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

__all__ = ["SECTIONS", "Picture", "Section", "Table", "picture", "run_section"]

log = logging.getLogger(__name__)

SECTIONS: Registry[Callable[[AnnData], Section | None]] = Registry("report section")
"""All sections, in the order of the page.

Facts of each: ``title``, and ``reads``, the keys without which the section is not run. A section
returns None if it has no content.
"""

_FAULTS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    ScdiffError,
    TypeError,
    ValueError,
)
"""Errors that fail one section only. Errors of the disk (OSError) stop the report."""

MAX_SVG_BYTES = 200_000
"""Size of an SVG, bytes, above which a figure is stored as PNG. Chosen, not tuned."""

CSS_DPI = 96
"""CSS pixels per inch, by definition of the unit."""

PNG_DPI = 192
"""Resolution of a PNG, dots per inch: twice that of a usual screen."""


@dataclass(frozen=True)
class Picture:
    """One figure: its image, a description, and the table with its numbers.

    Parameters
    ----------
    name
        Stem of the file in ``figures/``.
    image
        Content of that file.
    suffix
        ``svg`` or ``png``.
    width
        Width at natural size, CSS pixels.
    caption
        What the figure shows, from how many cells, and how to read it.
    alt
        Description for readers who cannot see the figure.
    table
        File in ``tables/`` with the plotted numbers.
    """

    name: str
    image: bytes
    suffix: str
    width: float
    caption: str
    alt: str
    table: str


@dataclass(frozen=True)
class Table:
    """One table: the file in ``tables/``, and how the page shows it.

    Parameters
    ----------
    name
        File name; ``.csv`` or ``.csv.gz``.
    frame
        Content of the file, without index.
    caption
        Content in words.
    view
        Table that the page shows instead of ``frame``; None means ``frame`` itself.
    shown
        Whether the page shows the table.
    """

    name: str
    frame: pd.DataFrame
    caption: str
    view: pd.DataFrame | None = None
    shown: bool = True


@dataclass(frozen=True)
class Section:
    """One part of the report.

    Parameters
    ----------
    name
        Heading.
    anchor
        HTML id of the section, unique on the page.
    description
        What the section answers, in one or two sentences.
    figures, tables
        In the order of the page.
    notes
        Sentences that the reader must not miss.
    points
        Data of the interactive map; empty without a map.
    status
        ``done``, ``not run`` or ``failed``. If it is not ``done``, ``description`` is the reason.
    """

    name: str
    anchor: str
    description: str
    figures: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    points: dict[str, Any] = field(default_factory=dict)
    status: str = "done"


def run_section(card: Card[Callable[[AnnData], Section | None]], adata: AnnData) -> Section | None:
    """Run one section; return None if it has no content.

    A missing key gives a section with the status ``not run``. An error gives one with the status
    ``failed``; it is also logged.

    Parameters
    ----------
    card
        Entry of the section in :data:`SECTIONS`.
    adata
        Result of the steps.

    Reads
    -----
    What ``card.facts["reads"]`` lists.
    """
    for key in card.facts["reads"]:
        if not keys.has(adata, key):
            reason = f"The result has no {key} ({key.meaning}); the step {key.writer!r} writes it."
            return Section(card.facts["title"], card.name, reason, status="not run")
    try:
        return card.function(adata)
    except _FAULTS as error:
        sentence = f"{type(error).__name__}: {' '.join(str(error).split()) or 'no message'}"
        log.warning("The report section %s failed: %s", card.name, sentence)
        log.debug("The report section %s failed", card.name, exc_info=True)
        return Section(card.facts["title"], card.name, sentence, status="failed")


def picture(
    name: str,
    draw: Callable[[Axes], Axes],
    *,
    caption: str,
    alt: str,
    table: str,
    size: tuple[float, float] = (3.5, 2.9),
) -> Picture:
    """Draw one figure with the style of the report and return its image.

    Parameters
    ----------
    name
        Stem of the file.
    draw
        Function that draws on the axes that it gets.
    caption, alt, table
        As in :class:`Picture`.
    size
        Width and height, inches. A width of 3.5 fits the screen of a phone.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from scdiff.report.plots.style import STYLE

    with mpl.rc_context(cast("Any", STYLE)):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.add_subplot())
        image, suffix = _save_image(figure)
    return Picture(slug(name), image, suffix, size[0] * CSS_DPI, caption, alt, table)


def _save_image(figure: Any) -> tuple[bytes, str]:
    """Save a figure as SVG, or as PNG if the SVG is larger than :data:`MAX_SVG_BYTES`."""
    import io

    buffer = io.BytesIO()
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))  # same bytes on each run
    figure.savefig(buffer, format="svg", dpi=PNG_DPI, metadata=metadata)
    if buffer.tell() <= MAX_SVG_BYTES:
        return buffer.getvalue(), "svg"
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=PNG_DPI, metadata={"Software": None})
    return buffer.getvalue(), "png"
