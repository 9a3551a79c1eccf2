"""What a report section is, and the register of them.

A section is one decorated function ``(adata) -> Section`` that states the keys it reads. Where a key is
missing, or the section fails, the report says so in the section's place and goes on.
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
"""All sections in the order of the page; facts: ``title`` and ``reads``, the keys without which it is not run.

A section that has nothing to say returns None.
"""

_FAULTS = (ArithmeticError, AttributeError, LookupError, RuntimeError, ScdiffError, TypeError, ValueError)

MAX_SVG_BYTES = 200_000
"""A figure above this size is stored as PNG at twice the screen's resolution."""


@dataclass(frozen=True)
class Picture:
    """One figure: its image, what it shows, and the table that holds its numbers.

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
        What it shows, from how many cells, how to read it.
    alt
        What it shows, for readers who do not see it.
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
        What it holds.
    view
        What the page shows instead of ``frame``, if anything else.
    shown
        Whether the page shows it at all.
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
        Place in the page, unique.
    description
        What the section answers, one or two sentences.
    figures, tables
        In the order in which they are shown.
    notes
        Sentences that the reader must not miss.
    points
        Data of the interactive map, if the section has one.
    status
        ``done``, ``not run`` or ``failed``; the two latter with the reason as ``description``.
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
    """Run one section; missing keys and failures become part of what is shown. None where it has nothing to say.

    Reads
    -----
    What ``card.facts["reads"]`` lists.
    """
    for key in card.facts["reads"]:
        if not keys.has(adata, key):
            reason = f"{key} ({key.meaning}) is not in the result; the step {key.writer!r} writes it."
            return Section(card.facts["title"], card.name, reason, status="not run")
    try:
        return card.function(adata)
    except _FAULTS as error:
        sentence = f"{type(error).__name__}: {' '.join(str(error).split()) or 'no message'}"
        log.warning("The report section %s failed: %s", card.name, sentence)
        log.debug("The report section %s failed", card.name, exc_info=True)
        return Section(card.facts["title"], card.name, sentence, status="failed")


def picture(
    name: str, draw: Callable[[Axes], Axes], *, caption: str, alt: str, table: str, size: tuple[float, float] = (3.5, 2.9)
) -> Picture:
    """Draw one figure with the report's style and keep its image.

    Parameters
    ----------
    name
        Stem of the file.
    draw
        Draws on the axes that it is given.
    caption, alt, table
        As in :class:`Picture`.
    size
        Width and height, inches; 3.5 wide is the width of a phone.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from scdiff.report.plots.style import STYLE

    with mpl.rc_context(cast("Any", STYLE)):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.add_subplot())
        image, suffix = _image(figure)
    return Picture(slug(name), image, suffix, size[0] * 96, caption, alt, table)


def _image(figure: Any) -> tuple[bytes, str]:
    """Save a figure as SVG, or as PNG where the SVG would be large."""
    import io

    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", dpi=192, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    if buffer.tell() <= MAX_SVG_BYTES:
        return buffer.getvalue(), "svg"
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=192, metadata={"Software": None})
    return buffer.getvalue(), "png"
