"""Interactions between all pairs of groups, by the consensus of the methods in liana."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable
from importlib.util import find_spec
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.compute.arrays import limit_blas_threads, sort_names
from scdiff.compute.blocks import TARGET, blocks, get_counts, log_normalise
from scdiff.errors import ConfigError, InputError, UnknownNameError, did_you_mean
from scdiff.programs import Species
from scdiff.record import read_record

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from scipy.sparse import csr_matrix

__all__ = ["check_liana", "make_empty_table", "rank_interactions"]

log = logging.getLogger(__name__)

COLUMNS = (
    "sender", "receiver", "ligand", "receptor", "magnitude_rank", "specificity_rank",
    "ligand_fraction", "receptor_fraction", "n_sender", "n_receiver",
)  # fmt: skip
"""Columns of the table of interactions, an interface."""
FEWEST_CELLS_OF_GROUP = 5
"""Cells of a group below which it is left out; the default of liana."""
PERMUTATIONS = 1_000
"""Permutations of the labels behind the specificity; the default of liana."""
RESOURCE = {"human": "consensus", "mouse": "mouseconsensus", "rat": "mouseconsensus"}
"""Lists of ligands and receptors by species. They are part of liana: no download. It has none of
the rat, whose symbols are mostly those of the mouse."""

RENAMED = {
    "source": "sender",
    "target": "receiver",
    "ligand_complex": "ligand",
    "receptor_complex": "receptor",
}
"""Columns of liana and what we call them."""


def check_liana() -> None:
    """Raise ConfigError if liana is not installed.

    Raises
    ------
    ConfigError
        If liana is not installed.
    """
    if find_spec("liana") is None:
        raise ConfigError(
            "communicate.groups needs liana: pip install 'scdiff-markers[enrich]', "
            "or leave the option out."
        )


def make_empty_table() -> pd.DataFrame:
    """Return the table of a run without groups."""
    import pandas as pd

    texts = {name: pd.Series(dtype=str) for name in COLUMNS[:4]}
    return pd.DataFrame(
        texts | {name: pd.Series(dtype=float) for name in COLUMNS[4:]}, columns=list(COLUMNS)
    )


def rank_interactions(adata: AnnData, column: str, species: Species, seed: int) -> pd.DataFrame:
    """Rank the ligand-receptor pairs between all groups, by strength and by specificity.

    Parameters
    ----------
    adata
        Cells x genes.
    column
        Column of obs with the groups. Cells without a group and groups of fewer than five cells are
        left out.
    species
        Species of the batch.
    seed
        Start of the random generator of the permutations.

    Returns
    -------
    One row per sender, receiver, ligand and receptor. Ranks are 0-1, small is strong or specific.
    Fractions are 0-1; the fraction of a complex is that of its rarest part. Empty with fewer than
    two groups.

    Raises
    ------
    ConfigError, UnknownNameError, InputError
        If liana is not installed, the column is unknown, or the genes belong to another species.
    """
    check_liana()
    if column not in adata.obs:
        raise UnknownNameError(
            f"communicate(): groups is {column!r}, which is not a column of obs. "
            f"{did_you_mean(column, adata.obs.columns)}"
        )
    names = adata.obs[column].astype(object)
    size = names.value_counts()
    kept = names.isin(size.index[size >= FEWEST_CELLS_OF_GROUP]).to_numpy()
    if names[kept].nunique() < 2:
        log.warning(
            "communicate(): %s has fewer than two groups of %d cells, so liana does not run.",
            column,
            FEWEST_CELLS_OF_GROUP,
        )
        return make_empty_table()
    pairs = _list_pairs(adata, species)
    return _run_liana(_read_part(adata, names.astype(str).to_numpy(), kept, pairs), pairs, seed)


def _read_part(adata: AnnData, names: np.ndarray, kept: np.ndarray, pairs: pd.DataFrame) -> AnnData:
    """Return log-normalised values of all ligands and receptors.

    Cells and genes are in the order of their names.
    """
    import anndata
    import pandas as pd

    wanted = _split_complexes(pairs["ligand"]) | _split_complexes(pairs["receptor"])
    by_name = sort_names(adata.var_names)
    columns = np.array([index for index in by_name if adata.var_names[index] in wanted], dtype=int)
    rows = sort_names(adata.obs_names)
    rows = rows[kept[rows]]
    obs = pd.DataFrame(
        {"group": pd.Categorical(names[rows])}, index=adata.obs_names[rows].astype(str)
    )
    var = pd.DataFrame(index=adata.var_names[columns].astype(str))
    return anndata.AnnData(_normalise_genes(adata, columns)[rows], obs=obs, var=var)


def _list_pairs(adata: AnnData, species: Species) -> pd.DataFrame:
    """List the ligand-receptor pairs of liana whose parts all have a row.

    Columns ``ligand`` and ``receptor``.
    """
    from liana.resource import select_resource

    table, rows = select_resource(RESOURCE[species]), set(adata.var_names)
    both = zip(table["ligand"], table["receptor"], strict=True)
    pairs = table[[_split_complexes(pair) <= rows for pair in both]]
    if not len(pairs):
        raise InputError(
            f"communicate(): no gene of the object is among the {species} ligands and receptors "
            "of liana. Gene names must be symbols."
        )
    return pairs[["ligand", "receptor"]].reset_index(drop=True)


def _split_complexes(entries: Iterable[str]) -> set[str]:
    """Return the genes of ligands and receptors; underscores join the parts of a complex."""
    return {gene for entry in entries for gene in entry.split("_")}


def _normalise_genes(adata: AnnData, columns: np.ndarray) -> csr_matrix:
    """Log-normalise the counts block by block and keep some genes, shape (n_cells, n_columns)."""
    from scipy import sparse

    target = float(read_record(adata, "normalise").get("target_sum", TARGET))
    values = [log_normalise(block, target)[:, columns] for block in blocks(get_counts(adata))]
    return sparse.csr_matrix(sparse.vstack(values))


def _run_liana(part: AnnData, pairs: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Run liana and return its table with our columns, sorted by all of them."""
    from liana.method import rank_aggregate

    given: dict[str, Any] = {
        "groupby": "group",
        "resource": pairs,
        "min_cells": FEWEST_CELLS_OF_GROUP,
        "use_raw": False,
        "n_perms": PERMUTATIONS,
        "seed": seed,
    }
    with warnings.catch_warnings(), limit_blas_threads():
        warnings.simplefilter("ignore")
        try:
            found = rank_aggregate(part, **given, verbose=False, inplace=False)
        except ValueError as problem:
            sentence = shorten(str(problem), 200)
            raise InputError(
                f"communicate(): liana could not run on these genes and groups: {sentence}"
            ) from None
    found = found.rename(columns=RENAMED)
    found[list(COLUMNS[:4])] = found[list(COLUMNS[:4])].astype(str).astype(object)
    return _add_fractions(found, part).sort_values(
        [*COLUMNS[4:6], *COLUMNS[:4]], ignore_index=True
    )[list(COLUMNS)]


def _add_fractions(found: pd.DataFrame, part: AnnData) -> pd.DataFrame:
    """Add the size of each group and the fraction of its cells that express each side."""
    import pandas as pd

    labels = part.obs["group"].astype(str).to_numpy()
    size = pd.Series(labels).value_counts()
    seen = {
        name: np.asarray((part.X[labels == name] > 0).sum(axis=0)).ravel() / size[name]
        for name in size.index
    }
    shares = pd.DataFrame(seen, index=part.var_names)
    for side, group in (("ligand", "sender"), ("receptor", "receiver")):
        entries = found[side].unique()
        least = pd.DataFrame({entry: shares.loc[entry.split("_")].min() for entry in entries})
        rows = least.index.get_indexer(pd.Index(found[group]))
        columns = least.columns.get_indexer(pd.Index(found[side]))
        found[f"{side}_fraction"] = least.to_numpy()[rows, columns]
        found[f"n_{group}"] = found[group].map(size).astype(float)
    return found
