"""communicate: what the batch could send and receive, and who could receive it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from scdiff import keys
from scdiff.options import step
from scdiff.programs.axes import choose_axes
from scdiff.programs.receivers import load_receivers
from scdiff.record import read_species, write_record
from scdiff.steps.communicate.interactions import all_against_all, empty_table
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
    """Count the cells that express each side of the ligand-receptor axes, in the batch and in those it may speak to.

    For the paracrine function of the batch: which of its cells could send, and whether a receiver that is not in these data
    could receive, read from a profile of public cells. Beside the raw fraction (a count above 0) stands the prevalence by the
    assay's mixture, which leaves out what contamination shows; of more than three samples, that of all together only. A
    transcript is no proof of the protein, nor of a signal.

    Parameters
    ----------
    adata
        Cells x genes, with counts.
    axes
        Names of axes; all where empty.
    receivers
        Names of packaged profiles, or paths of CSV files with the columns receiver, species, gene, n_cells, n_expressing and,
        if known, background, counted, source. Empty: the packaged ones of 30 cells and more.
    groups
        Column of obs, for example ``leiden``: its groups are run all against all through liana, which the extra ``enrich`` brings.
    seed
        Start of the random generator of the permutations, for ``groups`` only.

    Reads
    -----
    layers["counts"], obs["sample"], obs["control"] (where given), uns["scdiff"]["input"]; uns["scdiff"]["normalise"] (where given); with
    ``groups`` also that column

    Writes
    ------
    uns["scdiff"]["axes"]: one row per axis, side, gene and sample, one with sample ``all`` (no controls), and one per receiver,
    whose name then stands in the columns ``where`` and ``sample``. Fractions are 0-1 with the exact 95 % interval; lod is the
    least fraction of which one cell would be seen with 95 % probability among so many cells. ``above_background`` says whether
    there are more such cells than contamination explains (yes, no, unknown); ``species`` is that of the cells. A gene without a
    row is not measurable: absent is not zero.
    uns["scdiff"]["interactions"]: one row per sender, receiver, ligand and receptor of liana's consensus; empty without ``groups``.

    Raises
    ------
    UnknownNameError
        If an axis, a receiver or the column of groups is unknown.
    ConfigError
        If a file of receivers has faults, or liana is needed and not installed.

    Source
    ------
    10.1093/biomet/26.4.404 (interval), 10.1038/s41467-022-30755-0 (liana)
    """
    import pandas as pd

    species = read_species(adata)
    chosen, profiles = choose_axes(axes), load_receivers(receivers, species)
    found = empty_table() if groups is None else all_against_all(adata, groups, species, seed)
    sent = batch_rows(adata, chosen, species)
    rows = [row for axis in chosen for row in (*sent[axis.name], *receiver_rows(axis, profiles, species))]
    write_record(adata, keys.AXES, pd.DataFrame(rows, columns=list(COLUMNS)))
    write_record(adata, keys.INTERACTIONS, found)
