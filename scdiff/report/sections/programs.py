"""Section: the fractions of all programmes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scdiff import keys
from scdiff.report.plots.fractions import dots
from scdiff.report.section import SECTIONS, Picture, Section, Table, picture
from scdiff.report.sections.fractions import fraction_view
from scdiff.report.selections import estimates_of, headlines
from scdiff.report.text import count
from scdiff.steps.fraction.step import FALSE_DISCOVERIES
from scdiff.vocabulary import FOUND, NOT_MEASURABLE, POOLED

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

FEWEST_TESTS = 2
"""Number of programmes from which chance detections are counted: one test needs no correction."""

MOST_SHOWN = 15
"""Number of programmes above which only the scorecards show them. Chosen, not tuned."""


@SECTIONS.register(
    "programs",
    summary="All programmes.",
    source="field convention",
    facts={"title": "Programmes", "reads": (keys.FRACTIONS,)},
)
def programs(adata: AnnData) -> Section:
    """Show the fraction of each programme's positive state.

    Reads
    -----
    ``uns["scdiff"]["fractions"]``, ``uns["scdiff"]["call"]``
    """
    rows = headlines(adata, adata.uns[keys.ROOT][keys.FRACTIONS.name])
    pooled = rows[rows["sample"].astype(str) == POOLED]
    main = str(adata.uns[keys.ROOT].get("call", {}).get("main", ""))
    few = len(pooled) <= MOST_SHOWN
    many = f" There are {len(pooled)}: the scorecards show them, programs.csv has all."
    caption = "Positive states of all programmes, by sample."
    return Section(
        "Programmes",
        "programs",
        "Fraction of cells in the positive state of each programme."
        + ("" if few else many)
        + by_chance(pooled, main),
        figures=(_draw_programs(pooled, main),) if few else (),
        tables=(Table("programs.csv", rows, caption, fraction_view(rows), shown=few),),
        notes=_list_not_measurable(adata) if few else (),
    )


def _draw_programs(pooled: pd.DataFrame, main: str) -> Picture:
    """Draw the fraction of each programme in all samples pooled."""
    return picture(
        "programs",
        lambda ax: dots(estimates_of(pooled, main), ax),
        caption="Prevalence of each programme's positive state in the "
        f"{count(pooled['n_cells'].max())} cells of all samples, with 95 % intervals. Without an "
        "estimate of the prevalence, the raw called fraction is shown. Orange: the main programme.",
        alt="Fractions of each programme with intervals",
        table="programs.csv",
        size=(3.5, 1.0 + 0.32 * min(len(pooled), MOST_SHOWN)),
    )


def by_chance(pooled: pd.DataFrame, main: str) -> str:
    """State how many other programmes are detected, and how many of these by chance.

    Parameters
    ----------
    pooled
        Row of the positive state of each programme, all samples pooled, with ``program`` and
        ``verdict``.
    main
        Name of the main programme, which is tested separately.
    """
    is_other = pooled["program"].astype(str) != main
    others = pooled[is_other & (pooled["verdict"].astype(str) != NOT_MEASURABLE)]
    found = int(others["verdict"].isin(FOUND).sum())
    if len(others) < FEWEST_TESTS or not found:
        return ""
    return (
        f" In addition to the main programme, {len(others)} programmes are measured and {found} "
        f"detected; at most {FALSE_DISCOVERIES * found:.2g} of these are expected by chance (false "
        f"discovery rate {100 * FALSE_DISCOVERIES:.0f} %)."
    )


def _list_not_measurable(adata: AnnData) -> tuple[str, ...]:
    """Return why programmes could not be measured."""
    notes = []
    for name, facts in sorted(adata.uns[keys.ROOT].get("call", {}).items()):
        if isinstance(facts, dict) and not facts.get("measurable", True):
            reason = str(facts.get("reason", "")).rstrip(".") or "no reason recorded"
            notes.append(f"{name}: not measurable, {reason}.")
    return tuple(notes)
