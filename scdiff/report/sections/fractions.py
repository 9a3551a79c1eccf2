"""Section: fractions with intervals and limits, for the main programme."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scdiff import keys
from scdiff.report.plots.fractions import dots, forest
from scdiff.report.plots.style import ACCENT, STATES
from scdiff.report.section import SECTIONS, Picture, Section, Table, picture
from scdiff.report.sections.groups import group_notes, group_tables
from scdiff.report.tables import fraction_columns
from scdiff.report.text import DASH, count, estimate, percent
from scdiff.report.verdict import main_row, state_phrase
from scdiff.vocabulary import NOT_MEASURABLE, POOLED

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

TITLE = "Fractions with intervals"


@SECTIONS.register(
    "fractions",
    summary="Fractions with limits.",
    source="field convention",
    facts={"title": TITLE, "reads": (keys.FRACTIONS,)},
)
def fractions(adata: AnnData) -> Section:
    """Show the main programme's fraction in each sample, and its sub-states.

    Reads
    -----
    ``uns["scdiff"]["fractions"]``, ``uns["scdiff"]["call"]``, ``uns["scdiff"]["comparison"]`` (if
    present)
    """
    table, main = adata.uns[keys.ROOT][keys.FRACTIONS.name], main_row(adata)
    rows = table[table["program"].astype(str) == main["program"]]
    is_main = rows["state"].astype(str) == main["state"]
    others = rows[~is_main & (rows["sample"].astype(str) == POOLED)]
    phrase = state_phrase(str(main["program"]), str(main["state"]))
    caption = "The main programme by state and sample; the file has all programmes."
    view = fraction_view(rows).drop(columns="programme")
    return Section(
        TITLE,
        "fractions",
        f"Fraction of cells that are {phrase}. The prevalence is corrected for dropout and "
        "background; the raw fraction of called cells is next to it. Sample “all” pools all "
        "samples that are not controls.",
        figures=(
            _draw_samples(rows[is_main]),
            *([_draw_states(others)] if len(others) else []),
        ),
        tables=(
            Table("fractions.csv", fraction_columns(table), caption, view),
            *group_tables(adata),
        ),
        notes=group_notes(adata),
    )


def _draw_samples(rows: pd.DataFrame) -> Picture:
    """Draw the fraction of the main state in each sample."""
    return picture(
        "fractions",
        lambda ax: forest(rows, ax),
        caption="Prevalence and raw called fraction with 95 % intervals; the number of cells is "
        "below the name of the sample. Blue: LOB, the highest fraction that a batch without "
        "positive cells shows; LOD, the lowest fraction that is detected with 95 % power; LLOQ, "
        "the lowest fraction that is quantified with 95 % power (CV at most 30 %, 50 called "
        "cells). The interval shows which fractions the batch can have; the LOD shows which "
        "fraction would have been detected. The scale is linear up to 0.1 % and logarithmic above.",
        alt="Forest plot of prevalence and raw fraction per sample with limits",
        table="fractions.csv",
        size=(3.5, 1.7 + 0.48 * len(rows)),
    )


def _draw_states(others: pd.DataFrame) -> Picture:
    """Draw the other states of the main programme in all samples pooled."""
    import numpy as np

    is_corrected = others["prevalence"].notna().to_numpy()
    is_measured = (others["verdict"].astype(str) != NOT_MEASURABLE).to_numpy()
    columns = {}
    for name, end in (("value", ""), ("low", "_low"), ("high", "_high")):
        best = np.where(is_corrected, others[f"prevalence{end}"], others[f"fraction{end}"])
        columns[name] = np.where(is_measured, best, np.nan)
    states = [str(state) for state in others["state"]]
    palette = [STATES.get(state, ACCENT) for state in states]
    data = others.assign(label=states, colour=palette, **columns)
    return picture(
        "fractions_states",
        lambda ax: dots(data, ax),
        caption=f"Sub-states and other states of the {count(others['n_cells'].max())} cells of all "
        "samples, with 95 % intervals. “unspecific” (INS alone) and “unassigned” never count as "
        "positive.",
        alt="Fractions of each state with intervals",
        table="fractions.csv",
        size=(3.5, 1.0 + 0.3 * len(others)),
    )


def fraction_view(rows: pd.DataFrame) -> pd.DataFrame:
    """Format the table of fractions in percent, each estimate with its interval."""
    import pandas as pd

    return pd.DataFrame([_format_row(row) for row in rows.to_dict("records")])


def _format_row(row: dict[Any, Any]) -> dict[str, str]:
    """Format one row."""
    limits = {name: f"{percent(float(row[name]))} %" for name in ("lob", "lod", "lloq")}
    return {
        "programme": str(row["program"]),
        "state": str(row["state"]),
        "sample": str(row["sample"]),
        "verdict": str(row["verdict"]),
        "called": f"{count(row['n_called'])} of {count(row['n_cells'])}",
        "raw (95 %)": _format_estimate(row, "fraction"),
        "prevalence (95 %)": _format_estimate(row, "prevalence"),
        **{name.upper(): DASH if text.startswith("n/a") else text for name, text in limits.items()},
    }


def _format_estimate(row: dict[Any, Any], name: str) -> str:
    """Format an estimate and its interval; a dash if it is missing."""
    if row["verdict"] == NOT_MEASURABLE or row[name] != row[name]:
        return DASH
    return estimate(row[name], row[f"{name}_low"], row[f"{name}_high"])
