"""Section: whether the caller is calibrated on this batch, tested with two nulls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scdiff import keys
from scdiff.report.plots.calibration import qq_lines
from scdiff.report.section import SECTIONS, Picture, Section, Table, picture
from scdiff.report.text import count, percent

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

TITLE, ANCHOR = "Calibration on this batch", "calibration"
NULLS = {
    "matched": "genes as abundant as the markers",
    "background": "background only",
    "programme": "this programme",
}
"""Null in the record -> its name on the page."""

GROUPS = {
    "overall": "all cells",
    "quartile_1": "shallowest quarter",
    "quartile_2": "second",
    "quartile_3": "third",
    "quartile_4": "deepest quarter",
}
"""Column of the rates -> group of cells by depth, as the page names it."""


@SECTIONS.register(
    ANCHOR,
    summary="Rates of held-out nulls at nominal levels.",
    source="field convention",
    facts={"title": TITLE, "reads": (keys.CALL,)},
)
def calibration(adata: AnnData) -> Section:
    """Show how often held-out nulls look like the main programme.

    The calibration was not fitted to these nulls.

    Reads
    -----
    ``uns["scdiff"]["call"]``
    """
    call = adata.uns[keys.ROOT][keys.CALL.name]
    facts = call[str(call["main"])]
    record = facts.get("calibration", {})
    if "qq" not in record:
        return Section(TITLE, ANCHOR, _explain_no_calibration(facts, record), status="not run")
    return Section(
        TITLE,
        ANCHOR,
        _describe(int(record["n_sets"])),
        figures=tuple(
            _draw_rates(record["qq"], null, adata.n_obs) for null in ("matched", "background")
        ),
        tables=(
            _build_rates(record["rates"]),
            _build_levels(record["qq"]),
            *_build_blanks(record),
        ),
        notes=tuple(str(note) for note in record.get("notes", ())),
    )


def _describe(n_sets: int) -> str:
    """Describe how the calibration is checked."""
    return (
        f"{count(n_sets)} sets of other genes, as abundant as the markers, show how often "
        "unrelated genes look like the programme in one cell. One half of the sets gives the "
        "p-values. The other half, with genes that are not in the first half, checks them. Counts "
        "drawn from the background give a second check. In both held-out nulls, 4-6 % of the cells "
        "should have a p-value of at most 5 %."
    )


def _explain_no_calibration(facts: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """Return why there is no calibration."""
    if not facts.get("measurable", True):
        return f"The programme cannot be measured: {str(facts.get('reason', '')).rstrip('.')}."
    notes = " ".join(str(note) for note in record.get("notes", ()))
    return notes or "The step 'call' ran with null_sets = 0, which skips the calibration."


def _draw_rates(qq: pd.DataFrame, null: str, n_cells: int) -> Picture:
    """Draw observed against nominal rates for one null."""
    nulls = qq["null"].astype(str)
    shares = qq[nulls == null]
    own, note = None, ""
    if null == "matched":
        own = qq[nulls == "programme"]
        note = (
            " Orange: cells of the programme itself. If this line is above the others, more cells "
            "show the programme than expected by chance."
        )
    return picture(
        f"calibration_{null}",
        lambda ax: qq_lines(shares, ax, programme=own),
        caption=f"Held-out null ({NULLS[null]}), {count(n_cells)} cells: share of cells with a "
        "p-value of at most each nominal level. On the dashed line the caller is calibrated. Grey "
        f"bar: 4-6 % at the nominal 5 %.{note}",
        alt=f"Observed against nominal rate of the null of {NULLS[null]}, by quartile of depth",
        table="calibration_levels.csv",
        size=(3.5, 3.4),
    )


def _build_rates(rates: pd.DataFrame) -> Table:
    """Build the table of rates at the nominal 5 %."""
    frame = rates.rename_axis("null").reset_index()
    shares = {name: frame[name].map(percent) for name in GROUPS}
    view = frame.assign(null=frame["null"].map(NULLS), **shares)
    view = view.rename(columns={name: f"{words} (%)" for name, words in GROUPS.items()})
    caption = (
        "Share of cells with a p-value of at most 5 %, in all cells and by quarter of depth, for "
        "the two held-out nulls and for the programme itself."
    )
    return Table("calibration.csv", frame, caption, view)


def _build_levels(qq: pd.DataFrame) -> Table:
    """Build the table of the plotted numbers, which the page does not show."""
    caption = "Observed share at each nominal level."
    return Table("calibration_levels.csv", qq.reset_index(drop=True), caption, shown=False)


def _build_blanks(record: Mapping[str, Any]) -> tuple[Table, ...]:
    """Build the table of the fractions called in null sets; empty if they were not computed."""
    import pandas as pd

    blank = record.get("blank")
    if blank is None or not len(blank):
        return ()
    fractions = blank["fraction"].to_numpy(dtype=float)
    numbers = {
        "null sets": count(len(fractions)),
        "median (%)": percent(float(pd.Series(fractions).median())),
        "95 % of the sets at most (%)": percent(float(record["limit_of_blank"])),
        "highest (%)": percent(float(fractions.max())),
    }
    caption = (
        "Share of cells that the whole caller calls in null sets, with a new fit for each set. The "
        "genes of these sets are expressed, so this is not a limit of blank: it shows how often "
        "unrelated genes look like the programme."
    )
    frame = blank.rename_axis("null_set").reset_index()
    return (Table("calibration_blanks.csv", frame, caption, pd.DataFrame([numbers])),)
