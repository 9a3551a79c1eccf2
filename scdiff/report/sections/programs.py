"""Section: the fractions of all programmes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scdiff import keys
from scdiff.report.plots.fractions import dots
from scdiff.report.section import SECTIONS, Section, Table, picture
from scdiff.report.sections.fractions import fraction_view
from scdiff.report.selections import estimates_of, headlines
from scdiff.report.text import count
from scdiff.steps.fraction.step import FALSE_DISCOVERIES
from scdiff.vocabulary import FOUND, NOT_MEASURABLE, POOLED

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

FEWEST_TESTS = 2
"""Tests from which on some may be found by chance because there are many."""

MOST_SHOWN = 15
"""More programmes than these are left to the scorecards."""


@SECTIONS.register(
    "programs", summary="All programmes.", source="field convention", facts={"title": "Programmes", "reads": (keys.FRACTIONS,)}
)
def programs(adata: AnnData) -> Section:
    """Show what else the batch does: the fraction of every programme's positive state.

    Reads
    -----
    ``uns["scdiff"]["fractions"]``, ``uns["scdiff"]["call"]``
    """
    heads = headlines(adata, adata.uns["scdiff"]["fractions"])
    pooled = heads[heads["sample"].astype(str) == POOLED]
    main = str(adata.uns["scdiff"].get("call", {}).get("main", ""))
    drawing = picture(
        "programs",
        lambda ax: dots(estimates_of(pooled, main), ax),
        caption=f"Prevalence of each programme's positive state in the {count(pooled['n_cells'].max())} cells of all samples, with 95 % "
        "intervals; the raw called fraction where no prevalence was estimated. Orange: the main programme.",
        alt="Fractions of each programme with intervals",
        table="programs.csv",
        size=(3.5, 1.0 + 0.32 * min(len(pooled), MOST_SHOWN)),
    )
    few = len(pooled) <= MOST_SHOWN
    table = Table("programs.csv", heads, "Positive states of all programmes, by sample.", fraction_view(heads), shown=few)
    return Section(
        "Programmes",
        "programs",
        "What else the batch does: for each programme the cells that carry its state."
        + ("" if few else f" There are {len(pooled)}: the scorecards show them, programs.csv holds all.")
        + by_chance(pooled, main),
        figures=(drawing,) if few else (),
        tables=(table,),
        notes=_not_measurable(adata) if few else (),
    )


def by_chance(pooled: pd.DataFrame, main: str) -> str:
    """Say how many of the programmes beside the main one are detected, and how many of these chance is expected to give.

    Parameters
    ----------
    pooled
        Row of the positive state of each programme, all samples pooled, with ``program`` and ``verdict``.
    main
        Name of the main programme, which is tested alone.
    """
    others = pooled[(pooled["program"].astype(str) != main) & (pooled["verdict"].astype(str) != NOT_MEASURABLE)]
    found = int(others["verdict"].isin(FOUND).sum())
    if len(others) < FEWEST_TESTS or not found:
        return ""
    return (
        f" Beside the main one, {len(others)} are measured and {found} detected; chance is expected to give at most "
        f"{FALSE_DISCOVERIES * found:.2g} of these (false discovery rate {100 * FALSE_DISCOVERIES:.0f} %)."
    )


def _not_measurable(adata: AnnData) -> tuple[str, ...]:
    """Say why a programme could not be measured."""
    call = adata.uns["scdiff"].get("call", {})
    facts = ((name, value) for name, value in sorted(call.items()) if isinstance(value, dict) and not value.get("measurable", True))
    return tuple(f"{name}: not measurable, {str(value.get('reason', '')).rstrip('.') or 'no reason recorded'}." for name, value in facts)
