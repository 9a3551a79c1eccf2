"""Parts of the section on fractions that are there only if asked for: two groups compared, and the correction by controls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scdiff import keys
from scdiff.errors import InputError
from scdiff.record import find_positive_state
from scdiff.report.section import Table
from scdiff.report.text import DASH, interval, percent
from scdiff.report.verdict import state_phrase
from scdiff.vocabulary import NOT_MEASURABLE

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["comparison_sentence", "group_notes", "group_tables"]


def group_notes(adata: AnnData) -> tuple[str, ...]:
    """Say the comparison of the main programme in one sentence; nothing where none was made.

    Reads
    -----
    ``uns["scdiff"]["comparison"]``, ``uns["scdiff"]["call"]``
    """
    return (comparison_sentence(adata),) if keys.has(adata, keys.COMPARISON) else ()


def comparison_sentence(adata: AnnData) -> str:
    """Say what the two groups show for the main programme.

    Reads
    -----
    ``uns["scdiff"]["comparison"]``, ``uns["scdiff"]["call"]``

    Raises
    ------
    InputError
        If the main programme was not compared.
    """
    table, main = adata.uns["scdiff"]["comparison"], str(adata.uns["scdiff"]["call"]["main"])
    state = find_positive_state(adata, main)
    rows = table[(table["program"].astype(str) == main) & (table["state"].astype(str) == state)]
    if rows.empty:
        raise InputError(f"the comparison has no row of programme {main!r}, state {state!r}: run compare again.")
    return _sentence({str(name): value for name, value in rows.iloc[0].to_dict().items()}, state_phrase(main, state))


def _sentence(row: Mapping[str, Any], phrase: str) -> str:
    """Say one row."""
    donors = f"{row['n_donors_a']} pairs of donors" if row["design"] == "paired" else f"{row['n_donors_a']} and {row['n_donors_b']} donors"
    opening = f"{row['group_b']} against {row['group_a']} ({donors})"
    if row["verdict"] == NOT_MEASURABLE:
        return f"{opening}: cells {phrase} were not measurable in every sample, so nothing is compared."
    points = f"{row['effect']:+.2g} percentage points ({_ends(row)}, p = {row['p_value']:.2g})"
    margin = f" of {row['margin']:g} percentage points" if row["verdict"].startswith("equivalent") else ""
    return f"{opening}: cells {phrase} {points}: {row['verdict']}{margin}."


def _ends(row: Mapping[str, Any]) -> str:
    """Say the interval, percentage points."""
    return f"95 % {row['effect_low']:+.2g} to {row['effect_high']:+.2g}"


def group_tables(adata: AnnData) -> tuple[Table, ...]:
    """Gather the tables of the comparison and of the correction by controls, as far as they are there.

    Reads
    -----
    ``uns["scdiff"]["comparison"]``, ``uns["scdiff"]["call"]``
    """
    call = adata.uns["scdiff"].get("call", {})
    corrected = call.get(str(call.get("main", "")), {}).get("rogan_gladen")
    tables = [] if corrected is None else [_corrected(corrected)]
    if keys.has(adata, keys.COMPARISON):
        tables.append(_comparison(adata.uns["scdiff"]["comparison"]))
    return tuple(tables)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as mappings."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _comparison(table: pd.DataFrame) -> Table:
    """Show the comparison in percentage points."""
    import pandas as pd

    view = pd.DataFrame(
        {
            "programme": str(row["program"]),
            "state": str(row["state"]),
            "groups": f"{row['group_b']} {DASH} {row['group_a']}",
            "donors": f"{row['n_donors_b']} and {row['n_donors_a']}",
            "points (95 %)": DASH if row["verdict"] == NOT_MEASURABLE else f"{row['effect']:+.2g} ({_ends(row)})",
            "p": DASH if row["verdict"] == NOT_MEASURABLE else f"{row['p_value']:.2g}",
            "verdict": str(row["verdict"]),
        }
        for row in _records(table)
    )
    caption = "Two groups of donors compared: percentage points of corrected prevalence; each p-value stands for itself."
    return Table("comparison.csv", table.reset_index(drop=True), caption, view)


def _corrected(table: pd.DataFrame) -> Table:
    """Show the correction by controls."""
    import pandas as pd

    frame = table.rename_axis("sample").reset_index()
    view = pd.DataFrame(
        {
            "sample": str(row["sample"]),
            "corrected (95 %)": f"{percent(row['prevalence'])} % ({interval(row['low'], row['high'])})",
            "negative control": f"{percent(row['false_rate'])} %",
            "positive control": f"{percent(row['sensitivity'])} %",
        }
        for row in _records(frame)
    )
    caption = (
        "Fractions corrected by the declared controls (Rogan and Gladen): the share of cells with evidence for enough markers, "
        "less what the negative control shows, over what the positive control shows. It holds as far as the controls are as deep and alike."
    )
    return Table("corrected.csv", frame, caption, view)
