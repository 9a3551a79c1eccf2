"""Section: is the caller calibrated on this batch, against two nulls."""

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
NULLS = {"matched": "genes as abundant as the markers", "background": "background only", "programme": "this programme"}
GROUPS = {
    "overall": "all cells",
    "quartile_1": "shallowest quarter",
    "quartile_2": "second",
    "quartile_3": "third",
    "quartile_4": "deepest quarter",
}


@SECTIONS.register(
    ANCHOR,
    summary="Rates of held-out nulls at nominal levels.",
    source="field convention",
    facts={"title": TITLE, "reads": (keys.CALL,)},
)
def calibration(adata: AnnData) -> Section:
    """Show how often nulls that the calibration has not seen look like the main programme.

    Reads
    -----
    ``uns["scdiff"]["call"]``
    """
    call = adata.uns["scdiff"]["call"]
    facts = call[str(call["main"])]
    record = facts.get("calibration", {})
    if "qq" not in record:
        return Section(TITLE, ANCHOR, _why_not(facts, record), status="not run")
    n_sets = int(record["n_sets"])
    return Section(
        TITLE,
        ANCHOR,
        f"{count(n_sets)} sets of other genes, as abundant as the markers, say how often unrelated genes look like the programme in one "
        "cell; one half of them gives the p-values, the other half, of genes that the first has not seen, checks them. The same is done "
        "with counts redrawn from the background. At nominal 5 %, 4-6 % of the cells of a held-out null should be found.",
        figures=tuple(_qq(record["qq"], null, adata.n_obs) for null in ("matched", "background")),
        tables=(_rates(record["rates"]), _levels(record["qq"]), *_blanks(record)),
        notes=tuple(str(note) for note in record.get("notes", ())),
    )


def _why_not(facts: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """Say why there is no calibration."""
    if not facts.get("measurable", True):
        return f"The programme cannot be measured: {str(facts.get('reason', '')).rstrip('.')}."
    return " ".join(str(note) for note in record.get("notes", ())) or "The step 'call' was run with null_sets = 0, which leaves it out."


def _qq(qq: pd.DataFrame, null: str, n_cells: int) -> Picture:
    """Draw nominal against observed for one null."""
    shares = qq[qq["null"].astype(str) == null]
    own = qq[qq["null"].astype(str) == "programme"] if null == "matched" else None
    beside = " Orange: the programme's own cells; above the others, more cells show it than chance gives." if own is not None else ""
    return picture(
        f"calibration_{null}",
        lambda ax: qq_lines(shares, ax, programme=own),
        caption=f"Held-out null ({NULLS[null]}), {count(n_cells)} cells: share of cells at or below each nominal level. On the dashed line "
        f"the caller is calibrated; grey bar: 4-6 % at 5 %.{beside}",
        alt=f"Observed against nominal rate of the null of {NULLS[null]}, by quartile of depth",
        table="calibration_levels.csv",
        size=(3.5, 3.4),
    )


def _rates(rates: pd.DataFrame) -> Table:
    """Show the rates at nominal 5 %."""
    frame = rates.rename_axis("null").reset_index()
    view = frame.assign(null=frame["null"].map(NULLS), **{name: frame[name].map(percent) for name in GROUPS})
    view = view.rename(columns={name: f"{words} (%)" for name, words in GROUPS.items()})
    caption = "Cells at nominal 5 %, of all and by quarter of depth: of the two held-out nulls, and of the programme itself."
    return Table("calibration.csv", frame, caption, view)


def _levels(qq: pd.DataFrame) -> Table:
    """Keep the numbers of the plots."""
    return Table("calibration_levels.csv", qq.reset_index(drop=True), "Observed share at each nominal level.", shown=False)


def _blanks(record: Mapping[str, Any]) -> tuple[Table, ...]:
    """Show what the full caller calls in null sets, if it was asked."""
    import pandas as pd

    blank = record.get("blank")
    if blank is None or not len(blank):
        return ()
    fractions = blank["fraction"].to_numpy(dtype=float)
    numbers = {"null sets": count(len(fractions)), "median (%)": percent(float(pd.Series(fractions).median()))}
    numbers |= {"95 % of the sets at most (%)": percent(float(record["limit_of_blank"])), "highest (%)": percent(float(fractions.max()))}
    caption = (
        "Cells that the full caller calls in null sets, fitted to each anew. Genes of such sets are expressed, so this is "
        "no limit of blank: it says how often unrelated genes look like the programme."
    )
    return (Table("calibration_blanks.csv", blank.rename_axis("null_set").reset_index(), caption, pd.DataFrame([numbers])),)
