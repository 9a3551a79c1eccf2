"""Section: ligand-receptor read-outs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scdiff import keys
from scdiff.report.plots.fractions import axis_pairs, receptor_dots
from scdiff.report.section import SECTIONS, Picture, Section, Table, picture
from scdiff.report.selections import BATCH, axis_rows, pairs_at
from scdiff.report.text import count, estimate, percent
from scdiff.vocabulary import NOT_MEASURABLE

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

MOST_SHOWN = 20
"""Number of interactions that the page shows. Chosen, not tuned."""

ARROW = "\N{RIGHTWARDS ARROW}"


@SECTIONS.register(
    "axes",
    summary="Ligand-receptor read-outs.",
    source="field convention",
    facts={"title": "Signalling axes", "reads": (keys.AXES,)},
)
def axes(adata: AnnData) -> Section:
    """Show the fraction of the batch that expresses each ligand, next to possible receivers.

    Reads
    -----
    ``uns["scdiff"]["axes"]``, ``uns["scdiff"]["interactions"]`` (if present)
    """
    table = adata.uns[keys.ROOT][keys.AXES.name].reset_index(drop=True)
    rows = axis_rows(table)
    places = list(dict.fromkeys(rows["where"]))
    return Section(
        "Signalling axes",
        "axes",
        _DESCRIPTION,
        figures=tuple(_draw_axes(rows, places)),
        tables=(
            Table("axes.csv", table, _CAPTION, _format_table(rows, places)),
            *_build_interactions(adata),
        ),
        notes=tuple(_list_notes(rows)),
    )


_DESCRIPTION = (
    "Signals that the batch could send, and cells that could receive them: the fraction of the "
    "batch that expresses each ligand, and the fraction of cells that express the receptor, in the "
    "batch itself and in receiver cells from public data. Transcripts only: secretion and binding "
    "are not measured, and cells of other studies were prepared and sequenced in other ways."
)
_CAPTION = (
    "Cells that express the ligand in the batch, and the receptor in each place, with 95 % "
    "intervals for the batch. In brackets: no more than background can explain. The file has "
    "ligands and receptors of all samples, with intervals, detection limits and reasons."
)


def _draw_axes(rows: pd.DataFrame, places: list[str]) -> Iterator[Picture]:
    """Draw ligands and receptors of the batch, then the receptors of all receivers."""
    receivers = [place for place in places if place != BATCH]
    if BATCH in places:
        yield _draw_batch(rows)
    if receivers:
        labels = pairs_at(rows, places[0])["label"]  # gene names in the species of the batch
        pairs = {place: pairs_at(rows, place).assign(label=labels) for place in receivers}
        cells = (_describe_receiver(rows[rows["where"] == place], place) for place in receivers)
        yield picture(
            "axes_receivers",
            lambda ax: receptor_dots(pairs, ax),
            caption=f"Receptors in cells of other studies, raw detection: {'; '.join(cells)}. "
            "Hollow: no more than background can explain.",
            alt="Share of cells expressing each receptor in each receiver, as dots of that area",
            table="axes.csv",
            size=(3.5, 2.0 + 0.22 * len(pairs[receivers[0]])),
        )


def _draw_batch(rows: pd.DataFrame) -> Picture:
    """Draw ligands and receptors of the batch."""
    pairs = pairs_at(rows, BATCH)
    n_cells = rows.loc[rows["where"] == BATCH, "n_cells"].max()
    return picture(
        "axes_batch",
        lambda ax: axis_pairs(pairs, ax),
        caption=f"Ligands and receptors of the batch itself ({count(n_cells)} cells), with 95 % "
        "intervals: prevalence without background, or the raw fraction if there are fewer than 50 "
        "cells. Hollow: no more than background can explain.",
        alt="Fraction of cells expressing each ligand and each receptor in the batch, "
        "with intervals",
        table="axes.csv",
        size=(3.5, 1.4 + 0.33 * len(pairs)),
    )


def _describe_receiver(part: pd.DataFrame, place: str) -> str:
    """Describe the cells of a receiver, and note if their background is unknown."""
    is_unknown = (part["above_background"] == "unknown").any()
    species = f"{part['species'].iloc[0]}{', background unknown' if is_unknown else ''}"
    return f"{place.replace('_', ' ')}, {count(part['n_cells'].max())} cells ({species})"


def _format_table(rows: pd.DataFrame, places: list[str]) -> pd.DataFrame:
    """Format ligands and receptors of every axis in percent, one column per place."""
    import pandas as pd

    pairs = {place: pairs_at(rows, place) for place in places}
    first = pairs[places[0]]
    columns = {
        f"ligand {ARROW} receptor": first["label"],
        "ligand, batch (95 %)": _format_side(first, "ligand", ends=True),
    }
    for place, table in pairs.items():
        columns[f"receptor, {place}"] = _format_side(table, "receptor", ends=place == BATCH)
    return pd.DataFrame(columns)


def _format_side(pairs: pd.DataFrame, side: str, *, ends: bool) -> list[str]:
    """Format one side of all pairs; in brackets if it is within the background."""
    texts = []
    for row in pairs.to_dict("records"):
        value, low, high = (row[f"{side}_{part}"] for part in ("value", "low", "high"))
        share = estimate(value, low, high) if ends else f"{percent(value)} %"
        shown = share if row[f"{side}_above"] else f"[{share}]"
        texts.append(row[f"{side}_absent"] or shown)
    return texts


def _list_notes(rows: pd.DataFrame) -> Iterator[str]:
    """Yield why genes could not be measured, and which receivers belong to another species.

    Each reason is given once, with all its genes or places.
    """
    absent = rows[rows["verdict"] == NOT_MEASURABLE].drop_duplicates(["where", "gene"])
    reasons: dict[str, list[str]] = {}
    for row in absent[absent["where"] == BATCH].to_dict("records"):
        gene, reason = str(row["gene"]), str(row["reason"]).rstrip(".") or "no reason recorded"
        reasons.setdefault(reason.replace(gene, "{}"), []).append(gene)
    for reason, genes in reasons.items():
        subject = genes[0] if len(genes) == 1 else "them"
        yield f"{', '.join(genes)}: not measurable, {reason.format(subject)}."
    by_place = absent[absent["where"] != BATCH].groupby("where", sort=False)
    lists = {str(place): ", ".join(part["gene"]) for place, part in by_place}
    for genes_absent in dict.fromkeys(lists.values()):
        places = ", ".join(place for place, listed in lists.items() if listed == genes_absent)
        yield (
            f"{places}: not measurable, because the profile has no row or the species has no such "
            f"gene: {genes_absent}."
        )
    species = rows.drop_duplicates("where").set_index("where")["species"]
    others = species[species != species[BATCH]]
    for name in dict.fromkeys(others):
        places = ", ".join(others.index[others == name])
        yield f"{places}: {name} cells, matched by orthologous genes."


def _build_interactions(adata: AnnData) -> tuple[Table, ...]:
    """Build the table of interactions between all groups; empty if they were not computed."""
    table = adata.uns[keys.ROOT].get("interactions")
    if table is None or not len(table):
        return ()
    caption = (
        "All against all: ligands and receptors between groups of the batch, ranked by the "
        "consensus of liana's methods. A small rank means strong (magnitude) or specific. The page "
        f"shows the {min(MOST_SHOWN, len(table))} strongest of {count(len(table))}."
    )
    return (Table("interactions.csv", table, caption, _format_interactions(table)),)


def _format_interactions(table: pd.DataFrame) -> pd.DataFrame:
    """Format the first rows of the table of interactions."""
    import pandas as pd

    return pd.DataFrame(
        {
            "sender": str(row["sender"]),
            "receiver": str(row["receiver"]),
            "ligand": f"{row['ligand']} ({percent(row['ligand_fraction'])} %)",
            "receptor": f"{row['receptor']} ({percent(row['receptor_fraction'])} %)",
            "magnitude rank": f"{row['magnitude_rank']:.2g}",
            "specificity rank": f"{row['specificity_rank']:.2g}",
        }
        for row in table.head(MOST_SHOWN).to_dict("records")
    )
