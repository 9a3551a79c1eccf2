"""Sections of the report; the import registers them in the order of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scdiff.report.sections import qc, clusters, evidence, calibration, fractions, dose, donors  # isort: skip  # noqa: F401
from scdiff.report.sections import trajectory, programs, scorecards, axes, methods  # isort: skip  # noqa: F401
from scdiff.compute.parallel import each, many
from scdiff.report.section import SECTIONS, Section, run_section

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["SECTIONS", "all_sections"]


def all_sections(adata: AnnData) -> list[Section]:
    """Run all sections and return those with content, in the order of the page.

    Reads
    -----
    Every key of :mod:`scdiff.keys` that is present.
    """
    import matplotlib.figure  # noqa: F401  # load it once, before processes share it

    sections = each(
        lambda card: run_section(card, adata),
        list(SECTIONS.cards()),
        worthwhile=many(adata),
        what="sections",
    )
    return [section for section in sections if section is not None]
