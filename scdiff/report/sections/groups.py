"""Parts of the section on fractions that a run has only on request.

These are the comparison of two groups of donors, and the correction by controls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scdiff import keys
from scdiff.errors import InputError
from scdiff.record import find_positive_state
from scdiff.report.section import Table
from scdiff.report.text import DASH, estimate, percent
from scdiff.report.verdict import state_phrase
from scdiff.vocabulary import NOT_MEASURABLE

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["comparison_sentence", "group_notes", "group_tables"]


def group_notes(adata: AnnData) -> tuple[str, ...]:
    """Return the comparison of the main programme as one sentence; empty without a comparison.

    Reads
    -----
    ``uns["scdiff"]["comparison"]``, ``uns["scdiff"]["call"]``
    """
    return (comparison_sentence(adata),) if keys.has(adata, keys.COMPARISON) else ()


def comparison_sentence(adata: AnnData) -> str:
    """State how the two groups differ in the main programme.

    Reads
    -----
    ``uns["scdiff"]["comparison"]``, ``uns["scdiff"]["call"]``

    Raises
    ------
    InputError
        If the main programme was not compared.
    """
    table = adata.uns[keys.ROOT][keys.COMPARISON.name]
    main = str(adata.uns[keys.ROOT][keys.CALL.name]["main"])
    state = find_positive_state(adata, main)
    is_main = table["program"].astype(str) == main
    rows = table[is_main & (table["state"].astype(str) == state)]
    if rows.empty:
        raise InputError(
            f"the comparison has no row of programme {main!r}, state {state!r}: run compare again."
        )
    return _describe_difference(_list_records(rows)[0], state_phrase(main, state))


def _describe_difference(row: Mapping[str, Any], phrase: str) -> str:
    """Describe one row."""
    donors = f"{row['n_donors_a']} and {row['n_donors_b']} donors"
    if row["design"] == "paired":
        donors = f"{row['n_donors_a']} pairs of donors"
    opening = f"{row['group_b']} compared with {row['group_a']} ({donors})"
    if row["verdict"] == NOT_MEASURABLE:
        return (
            f"{opening}: not compared, because cells that are {phrase} are not measurable in at "
            "least one sample."
        )
    effect = (
        f"{row['effect']:+.2g} percentage points ({_format_ends(row)}, p = {row['p_value']:.2g})"
    )
    margin = ""
    if row["verdict"].startswith("equivalent"):
        margin = f" of {row['margin']:g} percentage points"
    share = f"the share of cells that are {phrase} differs by {effect}"
    return f"{opening}: {share}: {row['verdict']}{margin}."


def _format_ends(row: Mapping[str, Any]) -> str:
    """Format the interval of the difference, percentage points."""
    return f"95 % interval {row['effect_low']:+.2g} to {row['effect_high']:+.2g}"


def group_tables(adata: AnnData) -> tuple[Table, ...]:
    """Return the tables of the correction by controls and of the comparison, if present.

    Reads
    -----
    ``uns["scdiff"]["comparison"]``, ``uns["scdiff"]["call"]``
    """
    call = adata.uns[keys.ROOT].get("call", {})
    corrected = call.get(str(call.get("main", "")), {}).get("rogan_gladen")
    tables = [] if corrected is None else [_build_corrected(corrected)]
    if keys.has(adata, keys.COMPARISON):
        tables.append(_build_comparison(adata.uns[keys.ROOT][keys.COMPARISON.name]))
    return tuple(tables)


def _list_records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as mappings."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _build_comparison(table: pd.DataFrame) -> Table:
    """Build the table of the comparison, in percentage points."""
    import pandas as pd

    view = pd.DataFrame([_format_comparison(row) for row in _list_records(table)])
    caption = (
        "Two groups of donors compared: difference in corrected prevalence, percentage points. The "
        "p-values are not adjusted for the number of rows."
    )
    return Table("comparison.csv", table.reset_index(drop=True), caption, view)


def _format_comparison(row: Mapping[str, Any]) -> dict[str, str]:
    """Format one row; dashes if it is not measurable."""
    points, p_value = f"{row['effect']:+.2g} ({_format_ends(row)})", f"{row['p_value']:.2g}"
    if row["verdict"] == NOT_MEASURABLE:
        points = p_value = DASH
    return {
        "programme": str(row["program"]),
        "state": str(row["state"]),
        "groups": f"{row['group_b']} {DASH} {row['group_a']}",
        "donors": f"{row['n_donors_b']} and {row['n_donors_a']}",
        "points (95 %)": points.replace("95 % interval ", ""),
        "p": p_value,
        "verdict": str(row["verdict"]),
    }


def _build_corrected(table: pd.DataFrame) -> Table:
    """Build the table of fractions corrected by controls."""
    import pandas as pd

    frame = table.rename_axis("sample").reset_index()
    view = pd.DataFrame(
        {
            "sample": str(row["sample"]),
            "corrected (95 %)": estimate(row["prevalence"], row["low"], row["high"]),
            "negative control": f"{percent(row['false_rate'])} %",
            "positive control": f"{percent(row['sensitivity'])} %",
        }
        for row in _list_records(frame)
    )
    caption = (
        "Fractions corrected by the declared controls (Rogan and Gladen): (sample - negative "
        "control) / (positive control - negative control), each the share of cells with evidence "
        "for enough markers. The correction is valid only if the controls are as deep as the "
        "sample and otherwise similar."
    )
    return Table("corrected.csv", frame, caption, view)
