"""Section: ligand-receptor read-outs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scdiff import keys
from scdiff.report.plots.fractions import axis_pairs, receptor_dots
from scdiff.report.section import SECTIONS, Picture, Section, Table, picture
from scdiff.report.selections import ABSENT, BATCH, axis_rows, pairs_at
from scdiff.report.text import count, interval, percent

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

MOST_SHOWN = 20
"""Rows of the table of interactions that the page shows."""


@SECTIONS.register(
    "axes", summary="Ligand-receptor read-outs.", source="field convention", facts={"title": "Signalling axes", "reads": (keys.AXES,)}
)
def axes(adata: AnnData) -> Section:
    """Show how many cells of the batch express each ligand, beside those that could receive it.

    Reads
    -----
    ``uns["scdiff"]["axes"]``, ``uns["scdiff"]["interactions"]`` (where it is there)
    """
    table = adata.uns["scdiff"]["axes"].reset_index(drop=True)
    read = axis_rows(table)
    places = list(dict.fromkeys(read["where"]))
    return Section(
        "Signalling axes",
        "axes",
        "What the batch could send, and who could receive it: cells that express the ligand, beside the cells that express the "
        "receptor, in the batch itself and in receivers that are not in these data, read from public cells. Transcripts only: neither "
        "secretion nor binding is measured, and cells of other studies were prepared and sequenced in other ways.",
        figures=tuple(_pictures(read, places)),
        tables=(Table("axes.csv", table, _CAPTION, _view(read, places)), *_interactions(adata)),
        notes=tuple(_reasons(read)),
    )


_CAPTION = (
    "Cells that express the ligand in the batch, and the receptor in each place, with 95 % intervals of the batch. In brackets: not more "
    "than background may show. The file has both sides, all samples, intervals, detection limits and reasons."
)


def _pictures(read: pd.DataFrame, places: list[str]) -> Iterator[Picture]:
    """Draw ligands and receptors of the batch, and the receptors of the receivers beside each other."""
    receivers = [place for place in places if place != BATCH]
    if BATCH in places:
        own = pairs_at(read, BATCH)
        yield picture(
            "axes_batch",
            lambda ax: axis_pairs(own, ax),
            caption=f"Ligands and receptors of the batch itself ({count(read.loc[read['where'] == BATCH, 'n_cells'].max())} cells), with "
            "95 % intervals: prevalence, background left out, or the raw fraction of fewer than 50 cells. Hollow: not more than "
            "background may show.",
            alt="Fraction of cells expressing each ligand and each receptor in the batch, with intervals",
            table="axes.csv",
            size=(3.5, 1.4 + 0.33 * len(own)),
        )
    if receivers:
        labels = pairs_at(read, places[0])["label"]  # in the batch's species
        pairs = {place: pairs_at(read, place).assign(label=labels) for place in receivers}
        yield picture(
            "axes_receivers",
            lambda ax: receptor_dots(pairs, ax),
            caption="Receptors in cells of other studies, raw detection: "
            + "; ".join(_whose(read[read["where"] == place], place) for place in receivers)
            + ". Hollow: not more than background may show.",
            alt="Share of cells expressing each receptor in each receiver, as dots of that area",
            table="axes.csv",
            size=(3.5, 2.0 + 0.22 * len(pairs[receivers[0]])),
        )


def _whose(part: pd.DataFrame, place: str) -> str:
    """Say which cells a receiver is, and whether its background is known."""
    unknown = ", background not known" if (part["above_background"] == "unknown").any() else ""
    return f"{place.replace('_', ' ')}, {count(part['n_cells'].max())} cells ({part['species'].iloc[0]}{unknown})"


def _view(read: pd.DataFrame, places: list[str]) -> pd.DataFrame:
    """Say ligand and receptors of every axis in percent, one column per place."""
    import pandas as pd

    views = {place: pairs_at(read, place) for place in places}
    first = views[places[0]]
    columns = {"ligand \N{RIGHTWARDS ARROW} receptor": first["label"], "ligand, batch (95 %)": _said(first, "ligand", ends=True)}
    return pd.DataFrame(columns | {f"receptor, {place}": _said(pairs, "receptor", ends=place == BATCH) for place, pairs in views.items()})


def _said(pairs: pd.DataFrame, side: str, *, ends: bool) -> list[str]:
    """Say one side of all pairs; in brackets what background may show."""
    said = []
    for row in pairs.to_dict("records"):
        share = f"{percent(row[f'{side}_value'])} %" + (f" ({interval(row[f'{side}_low'], row[f'{side}_high'])})" if ends else "")
        said.append(row[f"{side}_absent"] or (share if row[f"{side}_above"] else f"[{share}]"))
    return said


def _reasons(read: pd.DataFrame) -> Iterator[str]:
    """Say why a gene could not be measured, and which receivers are of the other species, each reason once."""
    absent = read[read["verdict"] == ABSENT].drop_duplicates(["where", "gene"])
    reasons: dict[str, list[str]] = {}
    for row in absent[absent["where"] == BATCH].to_dict("records"):
        reason = str(row["reason"]).rstrip(".") or "no reason recorded"
        reasons.setdefault(reason.replace(str(row["gene"]), "{}"), []).append(str(row["gene"]))
    for reason, genes in reasons.items():
        yield f"{', '.join(genes)}: not measurable, {reason.format(genes[0] if len(genes) == 1 else 'them')}."
    lists = {str(place): ", ".join(part["gene"]) for place, part in absent[absent["where"] != BATCH].groupby("where", sort=False)}
    for named in dict.fromkeys(lists.values()):
        places = ", ".join(place for place, listed in lists.items() if listed == named)
        yield f"{places}: not measurable, since the profile has no row, or its species no such gene: {named}."
    species = read.drop_duplicates("where").set_index("where")["species"]
    others = species[species != species[BATCH]]
    for name in dict.fromkeys(others):
        yield f"{', '.join(others.index[others == name])}: {name} cells, read through the orthologs."


def _interactions(adata: AnnData) -> tuple[Table, ...]:
    """All groups against all, where they were run."""
    found = adata.uns["scdiff"].get("interactions")
    if found is None or not len(found):
        return ()
    caption = (
        f"All against all: ligands and receptors between groups of the batch, ranked by the consensus of liana's methods; small is "
        f"strong (magnitude) or specific. The {min(MOST_SHOWN, len(found))} strongest of {count(len(found))}."
    )
    return (Table("interactions.csv", found, caption, _strongest(found)),)


def _strongest(found: pd.DataFrame) -> pd.DataFrame:
    """Say the first rows of the table of interactions."""
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
        for row in found.head(MOST_SHOWN).to_dict("records")
    )
