"""Section: how much donors differ, and how many are needed."""

from __future__ import annotations

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


@SECTIONS.register(
    ANCHOR, summary="Variation between donors.", source="field convention", facts={"title": TITLE, "reads": (keys.DONORS, keys.FRACTIONS)}
)
def donors(adata: AnnData) -> Section:
    """Show how each programme's fraction varies over donors; with one donor, say why nothing is stated.

    Reads
    -----
    ``uns["scdiff"]["donors"]``, ``uns["scdiff"]["fractions"]``, ``uns["scdiff"]["call"]``, ``obs["donor"]`` (where it is there)
    """
    table, values = (adata.uns["scdiff"]["donors"][name] for name in ("variation", "values"))
    files = (
        Table("donors.csv", table, _caption(), donor_view(table)),
        Table("donor_values.csv", values, "Prevalence of each programme's positive state by donor.", shown=False),
    )
    if not len(table) or int(table["n_donors"].iloc[0]) < 2:
        return Section(TITLE, ANCHOR, _refusal(table), tables=(_hidden(files[0]), files[1]), status="not run")
    return Section(
        TITLE,
        ANCHOR,
        f"How much the fractions differ from donor to donor, and how many donors a study needs. {_sentence(adata, table)}".strip(),
        figures=_picture(table, values),
        tables=files,
        notes=_notes(adata, table),
    )


def _hidden(table: Table) -> Table:
    """Keep a table off the page."""
    return Table(table.name, table.frame, table.caption, table.view, shown=False)


def _refusal(table: pd.DataFrame) -> str:
    """Say why nothing is stated of one donor."""
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


def _caption() -> str:
    """Say what the table holds."""
    return (
        "Positive state of each programme over donors. rho: correlation of two cells of one donor, 0 where donors are alike. Logit "
        "variance: between donors, without that of counting cells. Last: donors for a 95 % interval of the mean of ± 50 % of it, and "
        "donors in each of two groups to find a doubling (halving above 50 %) with 80 % power; in brackets at the ends of rho."
    )


def _sentence(adata: AnnData, table: pd.DataFrame) -> str:
    """Say what the donors show for the main programme."""
    main = main_row(adata)
    rows = [row for row in table.to_dict("records") if row["program"] == main["program"]]
    if not rows:
        return ""
    row, phrase = rows[0], state_phrase(str(main["program"]), str(main["state"]))
    if row["verdict"] != "estimated":
        return f"Of cells {phrase} nothing is stated: {str(row['reason']).rstrip('.')}."
    return (
        f"Cells {phrase} are {percent(row['donor_least'])} to {percent(row['donor_most'])} % of cells over {row['n_donors']} donors, "
        f"rho {_rho(row)}. Donors needed for the mean to ± 50 %: {_needed(row, 'donors_for_mean')}; "
        f"per group to find a doubling: {_needed(row, 'donors_for_change')}."
    )


def _rho(row: dict[Any, Any]) -> str:
    """Say the correlation with its interval."""
    return f"{row['rho']:.2g} (95 % {row['rho_low']:.2g} to {row['rho_high']:.2g})"


def _needed(row: dict[Any, Any], name: str) -> str:
    """Say a number of donors, and the range that the interval of rho leaves open."""
    best, low, high = (f"{row[f'{name}{end}']:,.0f}" if row[f"{name}{end}"] else MOST for end in ("", "_low", "_high"))
    return f"{best} ({low} to {high})"


def donor_view(table: pd.DataFrame) -> pd.DataFrame:
    """Say the table of variation in words."""
    import pandas as pd

    return pd.DataFrame([_view(row) for row in table.to_dict("records")])


def _view(row: dict[Any, Any]) -> dict[str, str]:
    """Say one programme; dashes and the reason where nothing was estimated."""
    known = row["verdict"] == "estimated"
    variance = (row[f"logit_variance{end}"] for end in ("", "_low", "_high"))
    return {
        "programme": str(row["program"]),
        "donors": str(row["n_donors"]),
        "range": interval(row["donor_least"], row["donor_most"]) if known else DASH,
        "rho (95 %)": _rho(row).replace("95 % ", "") if known else DASH,
        "logit variance (95 %)": "{:.2g} ({:.2g} to {:.2g})".format(*variance) if known else DASH,
        "donors for ± 50 %": _needed(row, "donors_for_mean") if known else DASH,
        "donors per group": _needed(row, "donors_for_change") if known else DASH,
        "note": str(row["reason"]) or DASH,
    }


def _picture(table: pd.DataFrame, values: pd.DataFrame) -> tuple[Picture, ...]:
    """Draw the donors of each programme that was measured."""
    shown = table[table["verdict"].astype(str) != NOT_MEASURABLE].reset_index(drop=True)
    if not len(shown):
        return ()
    cells = values.groupby(values["program"].astype(str))["n_cells"].sum().max()
    drawing = picture(
        "donors",
        lambda ax: donor_strip(values, shown, ax),
        caption=f"Prevalence of each programme's positive state in {count(cells)} cells: a dot per donor ({shown['n_donors'].max()}), the "
        "mean by cells as a bar and its 95 % interval over donors as a band. Dots outside the band are usual: it holds the mean, not the "
        "next donor. The scale is linear up to 0.1 %, logarithmic beyond.",
        alt="Prevalence of each programme by donor, with the interval of the mean",
        table="donor_values.csv",
        size=(4.2, 1.0 + 0.36 * len(shown)),
    )
    return (drawing,)


def _notes(adata: AnnData, table: pd.DataFrame) -> tuple[str, ...]:
    """Say what the reader must not miss."""
    undeclared = (
        () if "donor" in adata.obs else ("No donors are declared (column donor of the sample sheet), so nothing is said of donors.",)
    )
    few = int(table["n_donors"].iloc[0]) < 5
    return (
        *undeclared,
        *(("With few donors rho is known roughly at best: read its interval, and the range of donors needed.",) if few else ()),
    )
