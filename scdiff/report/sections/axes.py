"""Section: ligand-receptor read-outs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scdiff import keys
from scdiff.report.plots.fractions import axis_dots
from scdiff.report.section import SECTIONS, Picture, Section, Table, picture
from scdiff.report.text import DASH, count, interval, percent

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


@SECTIONS.register(
    "axes", summary="Ligand-receptor read-outs.", source="field convention", facts={"title": "Signalling axes", "reads": (keys.AXES,)}
)
def axes(adata: AnnData) -> Section:
    """Show how many cells express each side of the ligand-receptor axes.

    Reads
    -----
    ``uns["scdiff"]["axes"]``
    """
    table = adata.uns["scdiff"]["axes"]
    pooled = table[table["sample"].astype(str) == "all"]
    pooled = (pooled if len(pooled) else table).reset_index(drop=True)
    return Section(
        "Signalling axes",
        "axes",
        "Cells that express the ligand or the receptor of each axis. Transcripts only: neither secretion nor binding is measured, "
        "and the partner tissue is not in these data.",
        figures=(_dots(pooled),),
        tables=(Table("axes.csv", table.reset_index(drop=True), "All axes, sides, genes and samples.", _view(pooled)),),
        notes=_reasons(pooled),
    )


def _dots(pooled: pd.DataFrame) -> Picture:
    """Draw the genes of all axes."""
    return picture(
        "axes",
        lambda ax: axis_dots(pooled, ax),
        caption=f"Cells of all samples (up to {count(pooled['n_cells'].max())}) that express each gene, with 95 % intervals; a hollow dot "
        "is not detected, the dashed mark is the detection limit. A gene without a row is not measurable, which is not zero.",
        alt="Fraction of cells expressing each ligand and receptor, with intervals",
        table="axes.csv",
        size=(3.5, 1.0 + 0.27 * len(pooled)),
    )


def _view(pooled: pd.DataFrame) -> pd.DataFrame:
    """Say the table of axes in percent."""
    import pandas as pd

    return pd.DataFrame(
        {
            "axis": str(row["axis"]),
            "side": str(row["side"]),
            "gene": str(row["gene"]),
            "expressing": DASH if row["verdict"] == "not measurable" else f"{count(row['n_expressing'])} of {count(row['n_cells'])}",
            "share (95 %)": DASH
            if row["verdict"] == "not measurable"
            else f"{percent(row['fraction'])} % ({interval(row['fraction_low'], row['fraction_high'])})",
            "verdict": str(row["verdict"]),
        }
        for row in pooled.to_dict("records")
    )


def _reasons(pooled: pd.DataFrame) -> tuple[str, ...]:
    """Say why a gene could not be measured, each reason once."""
    rows = pooled[pooled["verdict"].astype(str) == "not measurable"]
    return tuple(
        dict.fromkeys(f"{row.gene}: not measurable, {str(row.reason).rstrip('.') or 'no reason recorded'}." for row in rows.itertuples())
    )
