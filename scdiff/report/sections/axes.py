"""Section: ligand-receptor read-outs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from scdiff import keys
from scdiff.report.plots.fractions import axis_pairs, receptor_dots
from scdiff.report.section import SECTIONS, Picture, Section, Table, picture
from scdiff.report.text import count, interval, percent
from scdiff.vocabulary import NOT_MEASURABLE, POOLED

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

BATCH = "batch"
"""Place of the batch itself in the table; all other places are receivers."""

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
    table = adata.uns["scdiff"]["axes"].reset_index(drop=True)
    rows = _select_rows(table)
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


def _select_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of all samples pooled and of the receivers, with the value to show.

    The columns ``value``, ``low`` and ``high`` have the prevalence, or the raw fraction if there is
    no prevalence. ``above`` is True unless the value is within the background.
    """
    where = table["where"].astype(str)
    rows = table[(where != BATCH) | (table["sample"].astype(str) == POOLED)].copy()
    known = rows["prevalence"].notna()
    for name, end in (("value", ""), ("low", "_low"), ("high", "_high")):
        rows[name] = rows[f"prevalence{end}"].where(known, rows[f"fraction{end}"])
    rows["above"] = rows["above_background"].astype(str).isin(["yes", "unknown"])
    texts = ("axis", "side", "gene", "where", "species", "verdict", "reason")
    return rows.astype(dict.fromkeys(texts, str)).reset_index(drop=True)


def _pair_genes(rows: pd.DataFrame, place: str) -> pd.DataFrame:
    """Return one row per axis and receptor: ligand in the batch, receptor in ``place``."""
    import pandas as pd

    pairs: list[dict[str, Any]] = []
    for axis, part in rows.groupby("axis", sort=False):
        ligand = part[(part["where"] == BATCH) & (part["side"] == "ligand")].iloc[0]
        receptors = part[(part["where"] == place) & (part["side"] == "receptor")]
        for _, receptor in receptors.iterrows():
            label = f"{ligand['gene']} {ARROW} {receptor['gene']}"
            sides = _read_side("ligand", ligand) | _read_side("receptor", receptor)
            pairs.append({"axis": axis, "label": label, **sides})
    return pd.DataFrame(pairs)


def _read_side(name: str, row: pd.Series) -> dict[str, Any]:
    """Return the values of one side of a pair."""
    values = {f"{name}_{key}": row[key] for key in ("value", "low", "high", "above")}
    return values | {f"{name}_absent": _explain_absence(row)}


def _explain_absence(row: pd.Series) -> str:
    """Return in two words why a gene has no value; empty if it has one."""
    if row["verdict"] != NOT_MEASURABLE:
        return ""
    reason = row["reason"]
    return "no ortholog" if "ortholog" in reason and "no row" not in reason else "no row"


def _draw_axes(rows: pd.DataFrame, places: list[str]) -> Iterator[Picture]:
    """Draw ligands and receptors of the batch, then the receptors of all receivers."""
    receivers = [place for place in places if place != BATCH]
    if BATCH in places:
        yield _draw_batch(rows)
    if receivers:
        labels = _pair_genes(rows, places[0])["label"]  # gene names in the species of the batch
        pairs = {place: _pair_genes(rows, place).assign(label=labels) for place in receivers}
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
    pairs = _pair_genes(rows, BATCH)
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

    pairs = {place: _pair_genes(rows, place) for place in places}
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
        share = f"{percent(row[f'{side}_value'])} %"
        if ends:
            share += f" ({interval(row[f'{side}_low'], row[f'{side}_high'])})"
        value = share if row[f"{side}_above"] else f"[{share}]"
        texts.append(row[f"{side}_absent"] or value)
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
    table = adata.uns["scdiff"].get("interactions")
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
