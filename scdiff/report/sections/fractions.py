"""Section: fractions with intervals and limits, for the main programme."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scdiff import keys
from scdiff.report.plots.fractions import dots, forest
from scdiff.report.plots.style import ACCENT, STATES
from scdiff.report.section import SECTIONS, Picture, Section, Table, picture
from scdiff.report.sections.groups import group_notes, group_tables
from scdiff.report.tables import fraction_columns
from scdiff.report.text import DASH, count, interval, percent
from scdiff.report.verdict import main_row, state_phrase
from scdiff.vocabulary import NOT_MEASURABLE, POOLED

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


@SECTIONS.register(
    "fractions",
    summary="Fractions with limits.",
    source="field convention",
    facts={"title": "Fractions with intervals", "reads": (keys.FRACTIONS,)},
)
def fractions(adata: AnnData) -> Section:
    """Show the main programme's fraction per sample, and its sub-states.

    Reads
    -----
    ``uns["scdiff"]["fractions"]``, ``uns["scdiff"]["call"]``, ``uns["scdiff"]["comparison"]`` (where it is there)
    """
    table, main = adata.uns["scdiff"]["fractions"], main_row(adata)
    rows = table[table["program"].astype(str) == main["program"]]
    headline = rows[rows["state"].astype(str) == main["state"]]
    others = rows[(rows["state"].astype(str) != main["state"]) & (rows["sample"].astype(str) == POOLED)]
    phrase = state_phrase(str(main["program"]), str(main["state"]))
    return Section(
        "Fractions with intervals",
        "fractions",
        f"How many cells are {phrase}: the prevalence is corrected for dropout and background, the raw called fraction stands beside it. "
        "Sample “all” pools the samples that are no controls.",
        figures=(_forest(headline), *([_substates(others)] if len(others) else [])),
        tables=(
            Table(
                "fractions.csv",
                fraction_columns(table),
                "The main programme by state and sample; the file holds all programmes.",
                fraction_view(rows).drop(columns="programme"),
            ),
            *group_tables(adata),
        ),
        notes=group_notes(adata),
    )


def _forest(headline: pd.DataFrame) -> Picture:
    """Draw the fractions of every sample."""
    return picture(
        "fractions",
        lambda ax: forest(headline, ax),
        caption="Prevalence and raw called fraction with 95 % intervals; the number of cells stands under each sample. Blue: LOB, the "
        "highest fraction a blank gives; LOD, the least found with 95 % power; LLOQ, the least quantified with 95 % power (CV at most "
        "30 %, 50 called cells). The interval says what the batch holds, the LOD what it could have shown. The scale is linear up to "
        "0.1 %, logarithmic beyond.",
        alt="Forest plot of prevalence and raw fraction per sample with limits",
        table="fractions.csv",
        size=(3.5, 1.7 + 0.48 * len(headline)),
    )


def _substates(others: pd.DataFrame) -> Picture:
    """Draw the sub-states over all samples."""
    import numpy as np

    corrected = others["prevalence"].notna().to_numpy()
    shown = (others["verdict"].astype(str) != NOT_MEASURABLE).to_numpy()
    best = {end: np.where(corrected, others[f"prevalence{tail}"], others[f"fraction{tail}"]) for end, tail in _ENDS.items()}
    columns = {end: np.where(shown, values, np.nan) for end, values in best.items()}
    states = [str(state) for state in others["state"]]
    data = others.assign(label=states, colour=[STATES.get(state, ACCENT) for state in states], **columns)
    return picture(
        "fractions_states",
        lambda ax: dots(data, ax),
        caption=f"Sub-states and other states of the {count(others['n_cells'].max())} cells of all samples, with 95 % intervals. "
        "“unspecific” (INS alone) and “unassigned” never count as positive.",
        alt="Fractions of each state with intervals",
        table="fractions.csv",
        size=(3.5, 1.0 + 0.3 * len(others)),
    )


_ENDS = {"value": "", "low": "_low", "high": "_high"}


def fraction_view(rows: pd.DataFrame) -> pd.DataFrame:
    """Say the table of fractions in percent, intervals beside the estimates."""
    import pandas as pd

    return pd.DataFrame([_view(row) for row in rows.to_dict("records")])


def _view(row: dict[Any, Any]) -> dict[str, str]:
    """Say one row."""
    values = {name: f"{percent(float(row[name]))} %" for name in ("lob", "lod", "lloq")}
    return {
        "programme": str(row["program"]),
        "state": str(row["state"]),
        "sample": str(row["sample"]),
        "called": f"{count(row['n_called'])} of {count(row['n_cells'])}",
        "raw (95 %)": _estimate(row, "fraction"),
        "prevalence (95 %)": _estimate(row, "prevalence"),
        **{name.upper(): DASH if value.startswith("n/a") else value for name, value in values.items()},
        "verdict": str(row["verdict"]),
    }


def _estimate(row: dict[Any, Any], name: str) -> str:
    """Say an estimate and its interval; a dash where there is none."""
    if row["verdict"] == NOT_MEASURABLE or row[name] != row[name]:
        return DASH
    return f"{percent(row[name])} % ({interval(row[f'{name}_low'], row[f'{name}_high'])})"
