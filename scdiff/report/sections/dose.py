"""Section: how many cells of each state a dose is expected to contain."""

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
        "Assumed: the sequenced cells were drawn at random from the cells that are given, and each "
        "viable cell had the same chance to be captured, sequenced and kept. Cells that break "
        "easily are undercounted."
    ),
    "The numbers count cells with the transcripts of a state, not cells with its function.",
    "Not included: freezing, thawing, and cells that die or change after the sample was taken.",
    (
        "The interval is that of the fraction. It reflects the number of sequenced cells, how well "
        "their markers are detected and, with two or more donors, the uncertainty of the mean over "
        "donors. It does not include errors in the count or the viability of the dose, or the "
        "variation between batches. For a dose from one donor, read the row of that donor's sample."
    ),
)
"""Assumptions on the way from the fraction to the dose."""

_BOUNDS = {
    "lob": " (limit of blank)",
    "prevalence_high": " (upper end of the interval)",
    "fraction_high": " (upper end of the raw interval)",
}
"""Source of an upper bound -> note in the table."""

MOST_OTHERS = 25
"""Number of rows of other programmes above which the page leaves them out. Chosen, not tuned."""

LONGEST_NAME = 26
"""Length of a label in the figure, characters. Chosen, not tuned."""


@SECTIONS.register(
    "dose",
    summary="Expected cells of a dose.",
    source="field convention",
    facts={"title": "Dose", "reads": (keys.DOSE,)},
)
def dose(adata: AnnData) -> Section:
    """Show how many cells of each state a dose is expected to contain.

    Reads
    -----
    ``uns["scdiff"]["dose"]``, ``uns["scdiff"]["fractions"]``, ``uns["scdiff"]["call"]``,
    ``obs["control"]`` (if present)
    """
    table, main = adata.uns[keys.ROOT][keys.DOSE.name], main_row(adata)
    rows = _drop_many_others(_select_rows(adata, table, main), main)
    pooled = rows[rows["sample"].astype(str) == POOLED].reset_index(drop=True)
    options = table.iloc[0]
    viable = float(options["dose_cells"] * options["viability"])
    question = f"Expected number of cells of each state in a dose{_describe_weight(options)}."
    return Section(
        "Dose",
        "dose",
        f"{question} {dose_sentence(main)}".strip(),
        figures=(_draw_dose(pooled, main, viable),),
        tables=(Table("dose.csv", table, _CAPTION, dose_view(rows)),),
        notes=ASSUMPTIONS,
    )


def _describe_weight(options: Any) -> str:
    """Describe the body weight; empty if it is unknown."""
    weight = options["weight_kg"]
    return f", at a body weight of {weight:g} kg" if weight > 0 else ""


_CAPTION = (
    "Expected cells with their 95 % interval. For a state that was not detected: an upper bound "
    "and its source. The file has all samples. To change the dose, set report.dose_cells, "
    "report.viability and report.weight_kg."
)
"""Caption of the table."""


def _select_rows(adata: AnnData, table: pd.DataFrame, main: dict[str, Any]) -> pd.DataFrame:
    """Return the rows that the page shows.

    These are all rows of all samples pooled. With several samples that are not controls, the main
    state of each of them follows.
    """
    controls: set[str] = set()
    if keys.has(adata, keys.CONTROL):
        controls = set(
            adata.obs[keys.SAMPLE.name][adata.obs[keys.CONTROL.name].astype(bool)].astype(str)
        )
    sample = table["sample"].astype(str)
    is_main = (table["program"].astype(str) == main["program"]) & (
        table["state"].astype(str) == main["state"]
    )
    single = is_main & ~sample.isin({POOLED, *controls})
    return table[(sample == POOLED) | (single & (single.sum() > 1))]


def _drop_many_others(rows: pd.DataFrame, main: dict[str, Any]) -> pd.DataFrame:
    """Drop the rows of other programmes if there are more than :data:`MOST_OTHERS`."""
    own = rows["program"].astype(str) == str(main["program"])
    return rows if len(rows) - own.sum() <= MOST_OTHERS else rows[own]


def _draw_dose(pooled: pd.DataFrame, row: dict[str, Any], most: float) -> Picture:
    """Draw the states of the main programme and the other programmes."""
    own = (pooled["program"].astype(str) == str(row["program"])).to_numpy()
    states, programs = (pooled[name].astype(str).tolist() for name in ("state", "program"))
    pairs = list(zip(states, programs, strict=True))
    names = [
        (state if is_main else program).replace("_", "-")
        for (state, program), is_main in zip(pairs, own, strict=True)
    ]
    data = pooled.assign(
        label=[short(name, LONGEST_NAME) for name in names],
        colour=[_choose_colour(state, program, row) for state, program in pairs],
    )
    return picture(
        "dose",
        lambda ax: dose_dots(data, ax, most=most, n_first=int(own.sum())),
        caption="Expected cells of each state in the dose with 95 % intervals, from "
        f"{count(row['n_cells'])} cells; logarithmic scale. A bar with an arrow is an upper bound: "
        "the state was not detected. Above the line: states of the main programme. Below it: other "
        "programmes. Dotted: all viable cells of the dose.",
        alt="Expected cells of a dose by state, with intervals and upper bounds",
        table="dose.csv",
        size=(4.2, 1.0 + 0.27 * len(pooled)),
    )


def _choose_colour(state: str, program: str, row: Mapping[str, Any]) -> str:
    """Return the colour of a state: orange for the main one, as in all other figures."""
    is_main = (program, state) == (str(row["program"]), str(row["state"]))
    return CALLED if is_main else STATES.get(state, ACCENT)


def dose_view(rows: pd.DataFrame) -> pd.DataFrame:
    """Format the table, cells rounded to two digits; cells per kg only if the weight is known."""
    import pandas as pd

    view = pd.DataFrame([_format_row(row) for row in rows.to_dict("records")])
    return view if rows["weight_kg"].notna().any() else view.drop(columns="per kg (95 %)")


def _format_row(row: dict[Any, Any]) -> dict[str, str]:
    """Format one row."""
    return {
        "programme": str(row["program"]),
        "state": str(row["state"]),
        "sample": str(row["sample"]),
        "cells (95 %)": _format_cells(row, "cells") + _BOUNDS.get(str(row["bound"]), ""),
        "per kg (95 %)": _format_cells(row, "cells_per_kg"),
        "verdict": str(row["verdict"]),
    }


def _format_cells(row: dict[Any, Any], name: str) -> str:
    """Format the expected cells: a number with its interval, an upper bound, or a dash."""
    low, high = float(row[f"{name}_low"]), float(row[f"{name}_high"])
    if row["verdict"] in NO_NUMBER:
        return DASH
    if row["verdict"] == NOT_DETECTED:
        return f"at most {large(high)}"
    return f"{large(float(row[name]))} ({large(low)} to {large(high)})"
