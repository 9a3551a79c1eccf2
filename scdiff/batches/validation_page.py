"""Render the report of a validation.

The report has the acceptance criteria, each section with its table, and fields for signatures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scdiff import __version__
from scdiff.batches.page import format_number, template_environment
from scdiff.batches.protocol import FIGURES
from scdiff.report.page import table_cells
from scdiff.report.text import DASH

if TYPE_CHECKING:
    from scdiff.batches.validation import Accepted, Validation

__all__ = ["render_validation"]

MEANINGS = {
    "PASS": "The method meets every acceptance criterion of its protocol.",
    "FAIL": "The method does not meet at least one acceptance criterion.",
    "CANNOT TELL": "The data are not sufficient to decide at least one acceptance criterion.",
}


def render_validation(found: Validation) -> str:
    """Return the report of a validation as HTML.

    Parameters
    ----------
    found
        The validation.
    """
    return str(
        template_environment()
        .get_template("validation.html.j2")
        .render(
            found=found,
            content=found.protocol.content,
            version=__version__,
            kind=found.decision.lower().replace(" ", "-"),
            meaning=MEANINGS[found.decision],
            lines=[_render_criterion(one) for one in found.accepted],
            sections=[_render_section(finding) for finding in found.findings],
        )
    )


def _render_criterion(one: Accepted) -> dict[str, Any]:
    """Return one criterion as texts."""
    figure, criterion = one.figure, one.criterion
    ends = ((criterion.at_least, "at least"), (criterion.at_most, "at most"))
    return {
        "title": FIGURES[criterion.figure],
        "figure": format_number(figure.value) if figure.value == figure.value else DASH,
        "interval": f"{format_number(figure.low)} to {format_number(figure.high)}"
        if figure.low < figure.high
        else DASH,
        "limit": ", ".join(
            f"{word} {format_number(limit)}" for limit, word in ends if limit is not None
        ),
        "judge": criterion.judge,
        "decision": one.decision,
        "kind": one.decision.lower().replace(" ", "-"),
        "why": one.why if one.decision != "PASS" else "",
        "source": criterion.source,
    }


def _render_section(finding: Any) -> dict[str, Any]:
    """Return one section: its sentence and its table."""
    return {
        "title": finding.title,
        "sentence": finding.sentence,
        "columns": [str(name).replace("_", " ") for name in finding.table.columns],
        "rows": table_cells(finding.table) if len(finding.table) else [],
    }
