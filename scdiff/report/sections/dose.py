"""Section: how many cells of a dose are expected in each state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scdiff import keys
from scdiff.report.plots.dose import dose_dots
from scdiff.report.plots.style import ACCENT, CALLED, STATES
from scdiff.report.section import SECTIONS, Picture, Section, Table, picture
from scdiff.report.text import DASH, count, large, short
from scdiff.report.verdict import dose_sentence, main_row
from scdiff.vocabulary import NO_NUMBER, NOT_DETECTED, POOLED

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

ASSUMPTIONS = (
    (
        "Taken for granted: the sequenced cells were drawn at random from what is given, and each viable cell was as likely as any other "
        "to be captured, sequenced and kept. Cells that break easily are undercounted."
    ),
    "Counted are cells with the transcripts of a state, not with its function.",
    "Not covered: freezing, thawing, and death or change of cells after the sample was taken.",
    (
        "The interval is that of the fraction: how many cells were sequenced, how well their markers are seen and, with two or more "
        "donors, how far the mean over donors may be off. It does not include errors in counting the dose or its viability, or the "
        "variation of another batch; for a dose from one donor read the row of that donor's sample."
    ),
)
"""What the step from fraction to dose takes for granted."""

_BOUNDS = {"lob": " (limit of blank)", "prevalence_high": " (end of the interval)", "fraction_high": " (end of the raw interval)"}


MOST_OTHERS = 25
"""Rows of other programmes that are shown."""


@SECTIONS.register("dose", summary="Expected cells of a dose.", source="field convention", facts={"title": "Dose", "reads": (keys.DOSE,)})
def dose(adata: AnnData) -> Section:
    """Show how many cells of each state a dose is expected to hold.

    Reads
    -----
    ``uns["scdiff"]["dose"]``, ``uns["scdiff"]["fractions"]``, ``uns["scdiff"]["call"]``, ``obs["control"]`` (where it is there)
    """
    table, main = adata.uns["scdiff"]["dose"], main_row(adata)
    rows = _few(_shown(adata, table, main), main)
    whole = rows[rows["sample"].astype(str) == POOLED].reset_index(drop=True)
    given = table.iloc[0]
    viable = float(given["dose_cells"] * given["viability"])
    return Section(
        "Dose",
        "dose",
        f"How many cells of each state a dose is expected to hold{_weight(given)}. {dose_sentence(main)}".strip(),
        figures=(_picture(whole, main, viable),),
        tables=(Table("dose.csv", table, _caption(), dose_view(rows)),),
        notes=ASSUMPTIONS,
    )


def _weight(given: Any) -> str:
    """Say the body weight where it is known."""
    return f", at a body weight of {given['weight_kg']:g} kg" if given["weight_kg"] > 0 else ""


def _caption() -> str:
    """Say what the table holds."""
    return (
        "Expected cells with their 95 % interval; where a state was not detected, an upper bound and what it comes from. The file holds "
        "all samples. Another dose: report.dose_cells, report.viability and report.weight_kg."
    )


def _shown(adata: AnnData, table: pd.DataFrame, main: dict[str, Any]) -> pd.DataFrame:
    """Take all rows of all samples together and, with several samples, the main state of each that is no control."""
    controls = set(adata.obs["sample"][adata.obs["control"].astype(bool)].astype(str)) if keys.has(adata, keys.CONTROL) else set()
    sample = table["sample"].astype(str)
    headline = (table["program"].astype(str) == main["program"]) & (table["state"].astype(str) == main["state"])
    single = headline & ~sample.isin({POOLED, *controls})
    return table[(sample == POOLED) | (single & (single.sum() > 1))]


def _few(rows: pd.DataFrame, main: dict[str, Any]) -> pd.DataFrame:
    """Leave other programmes to the file where there are very many."""
    own = rows["program"].astype(str) == str(main["program"])
    return rows if len(rows) - own.sum() <= MOST_OTHERS else rows[own]


def _picture(whole: pd.DataFrame, row: dict[str, Any], most: float) -> Picture:
    """Draw the states of the main programme and the other programmes."""
    main = str(row["program"])
    own = (whole["program"].astype(str) == main).to_numpy()
    states, programs = (whole[name].astype(str).tolist() for name in ("state", "program"))
    names = [(state if mine else program).replace("_", "-") for state, program, mine in zip(states, programs, own, strict=True)]
    colours = [_colour(state, program, row) for state, program in zip(states, programs, strict=True)]
    return picture(
        "dose",
        lambda ax: dose_dots(
            whole.assign(label=[short(name, 26) for name in names], colour=colours), ax, most=most, n_first=int(own.sum())
        ),
        caption=f"Expected cells of the dose in each state with 95 % intervals, from {count(row['n_cells'])} cells; logarithmic scale. A "
        "bar with an arrow is an upper bound: the state was not detected. Above the line the states of the main programme, below it the "
        "other programmes. Dotted: all viable cells of the dose.",
        alt="Expected cells of a dose by state, with intervals and upper bounds",
        table="dose.csv",
        size=(4.2, 1.0 + 0.27 * len(whole)),
    )


def _colour(state: str, program: str, row: Mapping[str, Any]) -> str:
    """Orange for the main programme's positive state, as elsewhere on the page."""
    return CALLED if (program, state) == (str(row["program"]), str(row["state"])) else STATES.get(state, ACCENT)


def dose_view(rows: pd.DataFrame) -> pd.DataFrame:
    """Say the table in words, cells rounded to two digits; the cells per kg only where the weight is known."""
    import pandas as pd

    view = pd.DataFrame([_view(row) for row in rows.to_dict("records")])
    return view if rows["weight_kg"].notna().any() else view.drop(columns="per kg (95 %)")


def _view(row: dict[Any, Any]) -> dict[str, str]:
    """Say one row."""
    return {
        "programme": str(row["program"]),
        "state": str(row["state"]),
        "sample": str(row["sample"]),
        "cells (95 %)": _number(row, "cells") + _BOUNDS.get(str(row["bound"]), ""),
        "per kg (95 %)": _number(row, "cells_per_kg"),
        "verdict": str(row["verdict"]),
    }


def _number(row: dict[Any, Any], name: str) -> str:
    """Say the expected cells: a number with its interval, a bound, or a dash."""
    low, high = float(row[f"{name}_low"]), float(row[f"{name}_high"])
    if row["verdict"] in NO_NUMBER:
        return DASH
    if row["verdict"] == NOT_DETECTED:
        return f"at most {large(high)}"
    return f"{large(float(row[name]))} ({large(low)} to {large(high)})"
