"""Section: how much donors differ, and how many donors a study needs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scdiff import keys
from scdiff.report.plots.donors import donor_strip
from scdiff.report.section import SECTIONS, Picture, Section, Table, picture
from scdiff.report.text import DASH, count, interval, percent
from scdiff.report.verdict import main_row, state_phrase
from scdiff.steps.fraction.donors import NO_DONOR
from scdiff.vocabulary import NOT_MEASURABLE

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

TITLE, ANCHOR = "Donors", "donors"
MOST = "more than 10,000"
"""Text for a number of donors above the largest that is planned."""

FEW_DONORS = 5
"""Number of donors below which the page warns that rho is a rough estimate. Chosen, not tuned."""


@SECTIONS.register(
    ANCHOR,
    summary="Variation between donors.",
    source="field convention",
    facts={"title": TITLE, "reads": (keys.DONORS, keys.FRACTIONS)},
)
def donors(adata: AnnData) -> Section:
    """Show how the fraction of each programme varies over donors; with one donor, say why not.

    Reads
    -----
    ``uns["scdiff"]["donors"]``, ``uns["scdiff"]["fractions"]``, ``uns["scdiff"]["call"]``,
    ``obs["donor"]`` (if present)
    """
    table, values = (
        adata.uns[keys.ROOT][keys.DONORS.name][name] for name in ("variation", "values")
    )
    by_donor = "Prevalence of each programme's positive state by donor."
    main = Table("donors.csv", table, _CAPTION, donor_view(table))
    single = Table("donor_values.csv", values, by_donor, shown=False)
    if not len(table) or int(table["n_donors"].iloc[0]) < 2:
        reason, tables = _explain_refusal(table), (replace(main, shown=False), single)
        return Section(TITLE, ANCHOR, reason, tables=tables, status="not run")
    question = "How much the fractions differ between donors, and how many donors a study needs."
    return Section(
        TITLE,
        ANCHOR,
        f"{question} {_describe_main(adata, table)}".strip(),
        figures=_draw_donors(table, values),
        tables=(main, single),
        notes=_list_notes(adata, table),
    )


def _explain_refusal(table: pd.DataFrame) -> str:
    """Return why no variation is reported for fewer than two donors."""
    from scdiff.assay.donors import check_donors
    from scdiff.errors import InputError

    n_donors = int(table["n_donors"].iloc[0]) if len(table) else 0
    if not n_donors:
        return f"{NO_DONOR[0].upper()}{NO_DONOR[1:]}"
    try:
        check_donors([0.0] * n_donors, [1] * n_donors, "the variation between donors")
    except InputError as error:
        return f"{str(error)[:1].upper()}{str(error)[1:]}"
    return ""


_CAPTION = (
    "Positive state of each programme over donors. rho: correlation between two cells of the same "
    "donor; 0 means that donors do not differ. Logit variance: variance between donors, without "
    "the variance of counting cells. Donors for ± 50 %: number of donors for which the 95 % "
    "interval of the mean is ± 50 % of the mean. Donors per group: number of donors in each of two "
    "groups to detect a doubling (above 50 %: a halving) with 80 % power. In brackets: the same at "
    "the ends of the interval of rho."
)
"""Caption of the table."""


def _describe_main(adata: AnnData, table: pd.DataFrame) -> str:
    """Describe the variation of the main programme; empty if it has no row."""
    main = main_row(adata)
    rows = [row for row in table.to_dict("records") if row["program"] == main["program"]]
    if not rows:
        return ""
    row, phrase = rows[0], state_phrase(str(main["program"]), str(main["state"]))
    if row["verdict"] != "estimated":
        reason = str(row["reason"]).rstrip(".")
        return f"No variation is reported for cells that are {phrase}: {reason}."
    return (
        f"Over {row['n_donors']} donors, {percent(row['donor_least'])} to "
        f"{percent(row['donor_most'])} % of cells are {phrase}; rho {_format_rho(row)}. Donors "
        f"needed for the mean to ± 50 %: {_format_donors(row, 'donors_for_mean')}; per group to "
        f"detect a doubling: {_format_donors(row, 'donors_for_change')}."
    )


def _format_rho(row: dict[Any, Any], label: str = "95 % interval ") -> str:
    """Format the correlation with its interval."""
    return f"{row['rho']:.2g} ({label}{row['rho_low']:.2g} to {row['rho_high']:.2g})"


def _format_donors(row: dict[Any, Any], name: str) -> str:
    """Format a number of donors, with its range over the interval of rho."""
    numbers = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    best, low, high = (f"{number:,.0f}" if number else MOST for number in numbers)
    return f"{best} ({low} to {high})"


def donor_view(table: pd.DataFrame) -> pd.DataFrame:
    """Format the table of variation as text."""
    import pandas as pd

    return pd.DataFrame([_format_row(row) for row in table.to_dict("records")])


def _format_row(row: dict[Any, Any]) -> dict[str, str]:
    """Format one programme; dashes and the reason if nothing was estimated."""
    names = {"programme": str(row["program"]), "donors": str(row["n_donors"])}
    note = {"note": str(row["reason"]) or DASH}
    if row["verdict"] != "estimated":
        columns = ("range", "rho (95 %)", "logit variance (95 %)")
        return (
            names | dict.fromkeys((*columns, "donors for ± 50 %", "donors per group"), DASH) | note
        )
    variance = (row[f"logit_variance{end}"] for end in ("", "_low", "_high"))
    return {
        **names,
        "range": interval(row["donor_least"], row["donor_most"]),
        "rho (95 %)": _format_rho(row, label=""),
        "logit variance (95 %)": "{:.2g} ({:.2g} to {:.2g})".format(*variance),
        "donors for ± 50 %": _format_donors(row, "donors_for_mean"),
        "donors per group": _format_donors(row, "donors_for_change"),
        **note,
    }


def _draw_donors(table: pd.DataFrame, values: pd.DataFrame) -> tuple[Picture, ...]:
    """Draw the donors of each measured programme; empty if no programme was measured."""
    is_measured = table["verdict"].astype(str) != NOT_MEASURABLE
    shown = table[is_measured].reset_index(drop=True)
    if not len(shown):
        return ()
    cells = values.groupby(values["program"].astype(str))["n_cells"].sum().max()
    drawing = picture(
        "donors",
        lambda ax: donor_strip(values, shown, ax),
        caption=f"Prevalence of each programme's positive state in {count(cells)} cells. Dots: one "
        f"per donor ({shown['n_donors'].max()}). Bar: mean weighted by cells. Band: its 95 % "
        "interval over donors. Dots outside the band are usual: the band covers the mean, not the "
        "next donor. The scale is linear up to 0.1 % and logarithmic above.",
        alt="Prevalence of each programme by donor, with the interval of the mean",
        table="donor_values.csv",
        size=(4.2, 1.0 + 0.36 * len(shown)),
    )
    return (drawing,)


def _list_notes(adata: AnnData, table: pd.DataFrame) -> tuple[str, ...]:
    """Return what the reader must not miss."""
    notes = []
    if "donor" not in adata.obs:
        notes.append(
            "No donors are declared. To compare donors, add the column donor to the sample sheet."
        )
    if int(table["n_donors"].iloc[0]) < FEW_DONORS:
        notes.append(
            f"With fewer than {FEW_DONORS} donors, rho is a rough estimate: use its interval, and "
            "the range of the number of donors."
        )
    return tuple(notes)
