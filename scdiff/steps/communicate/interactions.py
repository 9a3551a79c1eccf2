"""All groups of the batch against all, by the consensus of the methods in liana."""

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

__all__ = ["all_against_all", "check_liana", "empty_table"]

log = logging.getLogger(__name__)

COLUMNS = (
    "sender", "receiver", "ligand", "receptor", "magnitude_rank", "specificity_rank",
    "ligand_fraction", "receptor_fraction", "n_sender", "n_receiver",
)  # fmt: skip
FEWEST_CELLS = 5
"""Smaller groups are left out, as liana does."""
PERMUTATIONS = 1_000
RESOURCE = {"human": "consensus", "mouse": "mouseconsensus"}
"""Lists of ligands and receptors that are part of liana: nothing is downloaded."""


def check_liana() -> None:
    """Check that liana is there.

    Raises
    ------
    ConfigError
        If it is not installed.
    """
    if find_spec("liana") is None:
        raise ConfigError("communicate.groups needs liana: pip install 'scdiff-markers[enrich]', or leave the option out.")


def empty_table() -> pd.DataFrame:
    """Table of a run without groups."""
    import pandas as pd

    texts = {name: pd.Series(dtype=str) for name in COLUMNS[:4]}
    return pd.DataFrame(texts | {name: pd.Series(dtype=float) for name in COLUMNS[4:]}, columns=list(COLUMNS))


def all_against_all(adata: AnnData, column: str, species: Species, seed: int) -> pd.DataFrame:
    """Rank the ligand-receptor pairs between all groups, by strength and by specificity.

    Parameters
    ----------
    adata
        Cells x genes.
    column
        Column of obs with the groups; cells without one are left out, as are groups of fewer than five.
    species
        Of the batch.
    seed
        Start of the permutations.

    Returns
    -------
    One row per sender, receiver, ligand and receptor; ranks 0-1, small is strong or specific; fractions 0-1, of a complex that of
    its rarest part. Empty where there are fewer than two groups.

    Raises
    ------
    ConfigError, UnknownNameError, InputError
        If liana is not installed, the column is unknown, or the genes are not those of the species.
    """
    check_liana()
    if column not in adata.obs:
        raise UnknownNameError(f"communicate(): groups is {column!r}, which is no column of obs. {did_you_mean(column, adata.obs.columns)}")
    names = adata.obs[column].astype(object)
    size = names.value_counts()
    kept = names.isin(size.index[size >= FEWEST_CELLS]).to_numpy()
    if names[kept].nunique() < 2:
        log.warning("communicate(): %s has fewer than two groups of %d cells, so nothing is run all against all.", column, FEWEST_CELLS)
        return empty_table()
    pairs = _pairs(adata, species)
    return _ranked(_part(adata, names.astype(str).to_numpy(), kept, pairs), pairs, seed)


def _part(adata: AnnData, names: np.ndarray, kept: np.ndarray, pairs: pd.DataFrame) -> AnnData:
    """Log-normalised values of the genes that are a ligand or a receptor, cells and genes in the order of their names."""
    import anndata
    import pandas as pd

    wanted = _parts(pairs["ligand"]) | _parts(pairs["receptor"])
    columns = np.array([index for index in sort_names(adata.var_names) if adata.var_names[index] in wanted], dtype=int)
    rows = sort_names(adata.obs_names)
    rows = rows[kept[rows]]
    obs = pd.DataFrame({"group": pd.Categorical(names[rows])}, index=adata.obs_names[rows].astype(str))
    return anndata.AnnData(_values(adata, columns)[rows], obs=obs, var=pd.DataFrame(index=adata.var_names[columns].astype(str)))


def _pairs(adata: AnnData, species: Species) -> pd.DataFrame:
    """Ligands and receptors of liana's own list of which every part has a row, columns ``ligand`` and ``receptor``."""
    from liana.resource import select_resource

    table, rows = select_resource(RESOURCE[species]), set(adata.var_names)
    pairs = table[[_parts(pair) <= rows for pair in zip(table["ligand"], table["receptor"], strict=True)]]
    if not len(pairs):
        raise InputError(f"communicate(): no gene of the object is among the {species} ligands and receptors of liana: give symbols.")
    return pairs[["ligand", "receptor"]].reset_index(drop=True)


def _parts(entries: Iterable[str]) -> set[str]:
    """Genes of ligands and receptors; a complex joins its parts by underscores."""
    return {gene for entry in entries for gene in entry.split("_")}


def _values(adata: AnnData, columns: np.ndarray) -> csr_matrix:
    """Log-normalise the counts, one block of cells after the other, and keep some genes, shape (n_cells, n_columns)."""
    from scipy import sparse

    target = float(read_record(adata, "normalise").get("target_sum", TARGET))
    return sparse.csr_matrix(sparse.vstack([log_normalise(block, target)[:, columns] for block in blocks(get_counts(adata))]))


def _ranked(part: AnnData, pairs: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Run liana and put its table into our columns, sorted by all of them."""
    from liana.method import rank_aggregate

    given: dict[str, Any] = {"groupby": "group", "resource": pairs, "min_cells": FEWEST_CELLS, "use_raw": False}
    with warnings.catch_warnings(), limit_blas_threads():
        warnings.simplefilter("ignore")
        try:
            found = rank_aggregate(part, **given, n_perms=PERMUTATIONS, seed=seed, verbose=False, inplace=False)
        except ValueError as problem:
            sentence = shorten(str(problem), 200)
            raise InputError(f"communicate(): liana could not run on these genes and groups: {sentence}") from None
    found = found.rename(columns={"source": "sender", "target": "receiver", "ligand_complex": "ligand", "receptor_complex": "receptor"})
    found[list(COLUMNS[:4])] = found[list(COLUMNS[:4])].astype(str).astype(object)
    return _with_fractions(found, part).sort_values([*COLUMNS[4:6], *COLUMNS[:4]], ignore_index=True)[list(COLUMNS)]


def _with_fractions(found: pd.DataFrame, part: AnnData) -> pd.DataFrame:
    """Add how many cells each group has, and the fraction of them that shows the ligand or the receptor."""
    import pandas as pd

    labels = part.obs["group"].astype(str).to_numpy()
    size = pd.Series(labels).value_counts()
    seen = {name: np.asarray((part.X[labels == name] > 0).sum(axis=0)).ravel() / size[name] for name in size.index}
    shares = pd.DataFrame(seen, index=part.var_names)
    for side, group in (("ligand", "sender"), ("receptor", "receiver")):
        least = pd.DataFrame({entry: shares.loc[entry.split("_")].min() for entry in found[side].unique()})
        places = least.index.get_indexer(pd.Index(found[group])), least.columns.get_indexer(pd.Index(found[side]))
        found[f"{side}_fraction"] = least.to_numpy()[places]
        found[f"n_{group}"] = found[group].map(size).astype(float)
    return found
