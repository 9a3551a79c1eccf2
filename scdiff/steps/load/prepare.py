"""prepare: make an AnnData of a notebook usable in place, without changing what its owner has put into it.

The steps read counts, samples and gene symbols by fixed names. On a prepared object they work on a view that has these names
and shares nothing with it; what they write goes back under names that start with ``scdiff``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from scdiff import keys
from scdiff.errors import InputError
from scdiff.steps.load.step import load_object

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["prepare", "run_prepared"]

R = TypeVar("R")

OURS = "scdiff_"
LOG_TARGET = 1e4
"""Counts per cell of the values that the steps compute for themselves."""

VARIABLE = "variable_genes"


def prepare(
    adata: AnnData,
    *,
    counts: str = "auto",
    sample: str | None = None,
    donor: str | None = None,
    species: Literal["auto", "human", "mouse"] = "auto",
    control: Sequence[str] = (),
) -> None:
    """Prepare an object in memory for the functions of :mod:`scdiff.pp` and :mod:`scdiff.tl`.

    Use it in place of :func:`scdiff.io.load` where you have an object already, however far you took it in scanpy. The counts are
    verified as those of a file. X, layers, ``raw``, clusters, maps and neighbours stay as they are: all that is written afterwards has
    a name that starts with ``scdiff``.

    Parameters
    ----------
    adata
        Cells x genes, with raw counts in X, a layer or ``raw``.
    counts
        ``X``, ``raw`` or the name of the layer that holds the counts; ``auto`` takes the first that does.
    sample, donor
        Columns of ``obs`` that name the sample and the donor of each cell. Where they are not given, columns such as ``sample`` and
        ``donor_id`` are found as in files; without any, all cells are one sample.
    species
        ``auto`` detects it from the gene names.
    control
        Samples that hold no positive cell, such as medium controls.

    Writes
    ------
    uns["scdiff"]["input"] and uns["scdiff"]["prepared"]; results of an earlier call of scdiff are removed from uns["scdiff"].

    Raises
    ------
    InputError
        If no matrix holds counts, there are fewer than two cells, cells share names or are of no sample, or the genes are not known.
    ConfigError
        If an option names a matrix, a column or a sample that is not there, or an unknown species.

    Examples
    --------
    >>> import scdiff
    >>> adata = scdiff.simulate.simulate(n_cells=60, seed=1)
    >>> scdiff.pp.prepare(adata)
    >>> sorted(adata.uns["scdiff"])
    ['input', 'prepared']
    """
    options = {
        "counts": counts,
        "sample": sample or "",
        "donor": donor or "",
        "species": species,
        "control": [str(name) for name in control],
    }
    made = load_object(adata, counts=counts, sample=sample, donor=donor, species=species, control=options["control"])
    if made.n_obs < adata.n_obs:
        raise InputError(
            f"adata: {adata.n_obs - made.n_obs:,} cells are of several samples or of none, as Multiplet or Undetermined: "
            "take the others, adata = adata[...].copy(), or name another column as sample."
        )
    adata.uns["scdiff"] = {
        keys.INPUT.name: made.uns["scdiff"][keys.INPUT.name],
        keys.PREPARED.name: options | {"control": np.array(options["control"], dtype=object)},
    }


def run_prepared(function: Callable[[AnnData], R], adata: AnnData, *, step: str) -> R:
    """Run a step on the working copy of a prepared object, and give the results back to it.

    Parameters
    ----------
    function
        The step with its options, called with the working copy.
    adata
        Prepared by :func:`prepare`; it gets what the step writes, under names that start with ``scdiff``. Only ``qc`` drops cells.
    step
        Name of the step.
    """
    work = _working_copy(adata)
    result = function(work)
    if work.n_obs < adata.n_obs:
        adata._inplace_subset_obs(adata.obs_names.isin(work.obs_names))  # noqa: SLF001  # as scanpy's own filters drop cells
    _give_back(work, adata, step)
    return result


def _working_copy(adata: AnnData) -> AnnData:
    """Build what the steps read, from the counts and from the results that earlier steps left."""
    options: Mapping[str, Any] = adata.uns["scdiff"][keys.PREPARED.name]
    work = load_object(
        adata,
        counts=str(options["counts"]),
        sample=str(options["sample"]) or None,
        donor=str(options["donor"]) or None,
        species=str(options["species"]),
        control=[str(name) for name in options["control"]],
    )
    work.uns["scdiff"] = {name: value for name, value in adata.uns["scdiff"].items() if name not in (keys.PREPARED.name, VARIABLE)}
    work.uns["scdiff"][keys.NORMALISE.name] = {"target_sum": LOG_TARGET}
    work.uns["log1p"] = {}
    for slot, theirs in _per_cell(adata):
        for name in [key.name for key in keys.KEYS if key.slot == slot and _own(key.name) in theirs]:
            getattr(work, slot)[name] = theirs[_own(name)]
    if VARIABLE in adata.uns["scdiff"]:
        work.var[keys.HVG.name] = work.var_names.isin(adata.uns["scdiff"][VARIABLE])
    return work


def _give_back(work: AnnData, adata: AnnData, step: str) -> None:
    """Write the results of a step into the prepared object, under our names only."""
    prepared = adata.uns["scdiff"][keys.PREPARED.name]
    kept = {VARIABLE: adata.uns["scdiff"][VARIABLE]} if VARIABLE in adata.uns["scdiff"] else {}
    made = {name: value for name, value in work.uns["scdiff"].items() if name != keys.NORMALISE.name}
    adata.uns["scdiff"] = made | kept | {keys.PREPARED.name: prepared}
    for slot, theirs in _per_cell(adata):
        for key in keys.list_written(step):
            if key.slot == slot and key.name in getattr(work, slot):
                theirs[_own(key.name)] = getattr(work, slot)[key.name]
    if keys.HVG in keys.list_written(step):
        adata.uns["scdiff"][VARIABLE] = np.array(work.var_names[work.var[keys.HVG.name]], dtype=object)


def _per_cell(adata: AnnData) -> list[tuple[str, Any]]:
    """Slots that hold something of each cell."""
    return [("obs", adata.obs), ("obsm", adata.obsm), ("obsp", adata.obsp)]


def _own(name: str) -> str:
    """Name under which a prepared object keeps a key, so that it never meets one of its owner's."""
    return name if name.startswith(OURS) else f"{OURS}{name}"
