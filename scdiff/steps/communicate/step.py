"""communicate: which signals the batch can send and receive, and which cells could receive them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from scdiff import keys
from scdiff.options import step
from scdiff.programs.axes import choose_axes
from scdiff.programs.receivers import load_receivers
from scdiff.record import read_species, write_record
from scdiff.steps.communicate.interactions import make_empty_table, rank_interactions
from scdiff.steps.communicate.readout import COLUMNS, batch_rows, receiver_rows

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["COLUMNS", "communicate"]


@step
def communicate(
    adata: AnnData,
    *,
    axes: Sequence[str] = (),
    receivers: Sequence[str] = (),
    groups: str | None = None,
    seed: Annotated[int, Ge(0)] = 0,
) -> None:
    """Count the cells that express each side of the ligand-receptor axes, in batch and receivers.

    Use it for the paracrine function of the batch: which of its cells can send, and whether a
    receiver outside these data can receive, read from a profile of public cells. Next to the raw
    fraction (a count above 0) is the prevalence by the mixture of the assay, which leaves out what
    contamination explains; with more than three samples only the pooled one. A transcript is
    not a proof of the protein or of a signal.

    Parameters
    ----------
    adata
        Cells x genes, with counts.
    axes
        Names of axes; empty means all.
    receivers
        Names of packaged profiles, or paths of CSV files with the columns receiver, species, gene,
        n_cells, n_expressing and, if known, background, counted, source. Empty means the packaged
        profiles of 30 cells and more.
    groups
        Column of obs, for example ``leiden``: liana (extra ``enrich``) ranks the interactions
        between all its groups.
    seed
        Start of the random generator of the permutations; only used with ``groups``.

    Reads
    -----
    layers["counts"], obs["sample"], obs["control"] (if given), uns["scdiff"]["input"],
    uns["scdiff"]["normalise"] (if given); with ``groups`` also that column

    Writes
    ------
    uns["scdiff"]["axes"]: one row per axis, side, gene and sample, one with sample ``all`` (without
    controls), and one per receiver, with its name in the columns ``where`` and ``sample``.
    Fractions are 0-1 with the exact 95 % interval; lod is the fraction at which at least one of the
    cells would be seen with 95 % probability. ``above_background`` states whether more cells
    express the gene than contamination explains (yes, no, unknown); ``species`` is that of the
    cells. A gene without a row is not measurable: absent is not zero.
    uns["scdiff"]["interactions"]: one row per sender, receiver, ligand and receptor of liana's
    consensus; empty without ``groups``.

    Raises
    ------
    UnknownNameError
        If an axis, a receiver or the column of groups is unknown.
    ConfigError
        If a file of receivers has faults, or if liana is needed and not installed.

    Source
    ------
    10.1093/biomet/26.4.404 (interval), 10.1038/s41467-022-30755-0 (liana)
    """
    import pandas as pd

    species = read_species(adata)
    chosen, profiles = choose_axes(axes), load_receivers(receivers, species)
    if groups is None:
        found = make_empty_table()
    else:
        found = rank_interactions(adata, groups, species, seed)
    sent = batch_rows(adata, chosen, species)
    rows = [
        row
        for axis in chosen
        for row in (*sent[axis.name], *receiver_rows(axis, profiles, species))
    ]
    write_record(adata, keys.AXES, pd.DataFrame(rows, columns=list(COLUMNS)))
    write_record(adata, keys.INTERACTIONS, found)
