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
from scdiff.steps.load.checks.parts import is_sum
from scdiff.steps.load.readers.object import matrices_of
from scdiff.steps.load.step import load_object
from scdiff.steps.load.table import some
from scdiff.steps.shared.own import read_clusters, read_points

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["prepare", "run_prepared", "working_copy"]

R = TypeVar("R")

OURS = "scdiff_"
LOG_TARGET = 1e4
"""Counts per cell of the values that the steps compute for themselves."""

VARIABLE = "variable_genes"

AGAIN = "call scdiff.pp.prepare(adata) again"
"""What cures an object that changed after it was prepared."""


def prepare(
    adata: AnnData,
    *,
    counts: str = "auto",
    sample: str | None = None,
    donor: str | None = None,
    species: Literal["auto", "human", "mouse"] = "auto",
    control: Sequence[str] = (),
    copy: bool = False,
) -> AnnData | None:
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
    copy
        Leave the object as it is and return a prepared copy.

    Writes
    ------
    uns["scdiff"]["input"], uns["scdiff"]["prepared"] and obs["scdiff_depth"], the counts per cell; results of an earlier call of
    scdiff are removed from uns["scdiff"]. Later steps read the matrix that was found here, and refuse it if its counts changed.

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
    if copy:
        adata = adata.copy()
    options = {
        "counts": counts,
        "sample": sample or "",
        "donor": donor or "",
        "species": species,
        "control": [str(name) for name in control],
    }
    made, taken = load_object(
        adata,
        counts=counts,
        sample=sample,
        donor=donor,
        species=species,
        control=options["control"],
    )
    if made.n_obs < adata.n_obs:
        raise InputError(
            f"adata: {adata.n_obs - made.n_obs:,} cells are of several samples or of none, as Multiplet or Undetermined: "
            "take the others, adata = adata[...].copy(), or name another column as sample."
        )
    adata.uns["scdiff"] = {
        keys.INPUT.name: made.uns["scdiff"][keys.INPUT.name],
        keys.PREPARED.name: options
        | {"matrix": taken, "control": np.array(options["control"], dtype=object)},
    }
    adata.obs[keys.DEPTH.name] = _depth(made)
    return adata if copy else None


def run_prepared(
    function: Callable[[AnnData], R],
    adata: AnnData,
    *,
    step: str,
    cluster_key: str | None = None,
    use_rep: str | None = None,
) -> R:
    """Run a step on the working copy of a prepared object, and give the results back to it.

    Parameters
    ----------
    function
        The step with its options, called with the working copy.
    adata
        Prepared by :func:`prepare`; it gets what the step writes, under names that start with ``scdiff``. Only ``qc`` drops cells.
    step
        Name of the step.
    cluster_key, use_rep
        Column of ``obs`` and entry of ``obsm`` that the step is told to read, by the names that their owner gave them.

    Raises
    ------
    ConfigError
        If there is no such column or entry.
    InputError
        If the counts are gone or changed.
    """
    work = working_copy(adata)
    if cluster_key is not None:
        work.obs[cluster_key] = read_clusters(adata, cluster_key)
    if use_rep is not None:
        work.obsm[use_rep] = read_points(adata, use_rep)
    result = function(work)
    if work.n_obs < adata.n_obs:
        adata._inplace_subset_obs(adata.obs_names.isin(work.obs_names))  # noqa: SLF001  # as scanpy's own filters drop cells
    _give_back(work, adata, step)
    return result


def working_copy(adata: AnnData) -> AnnData:
    """Build what the steps read, from the counts and from the results that earlier steps left.

    Raises
    ------
    InputError
        If the counts are gone or changed since :func:`prepare` verified them.
    """
    options: Mapping[str, Any] = adata.uns["scdiff"][keys.PREPARED.name]
    matrix = str(options["matrix"])
    if not is_sum(matrix) and matrix not in matrices_of(adata):
        raise InputError(
            f"adata: {_place(matrix)}, from which prepare took the counts, is gone: put it back, or {AGAIN}."
        )
    work, _ = load_object(
        adata,
        counts=matrix,
        sample=str(options["sample"]) or None,
        donor=str(options["donor"]) or None,
        species=str(options["species"]),
        control=[str(name) for name in options["control"]],
    )
    _refuse_changed(adata, work, matrix)
    work.uns["scdiff"] = {
        name: value
        for name, value in adata.uns["scdiff"].items()
        if name not in (keys.PREPARED.name, VARIABLE)
    }
    work.uns["scdiff"][keys.NORMALISE.name] = {"target_sum": LOG_TARGET}
    work.uns["log1p"] = {}
    for slot, theirs in _per_cell(adata):
        for name in [
            key.name for key in keys.KEYS if key.slot == slot and _own(key.name) in theirs
        ]:
            keys.slot_of(work, slot)[name] = theirs[_own(name)]
    if VARIABLE in adata.uns["scdiff"]:
        work.var[keys.HVG.name] = work.var_names.isin(adata.uns["scdiff"][VARIABLE])
    return work


def _refuse_changed(adata: AnnData, work: AnnData, matrix: str) -> None:
    """Refuse counts, samples or genes that are not those that :func:`prepare` verified: results would be of two data sets."""
    if keys.DEPTH.name not in adata.obs:
        raise InputError(
            f"adata: {keys.DEPTH}, by which the counts are known again, is gone: {AGAIN}."
        )
    before, now = adata.obs[keys.DEPTH.name].to_numpy(), _depth(work)
    if len(now) != len(before):
        raise InputError(
            f"adata: {len(before) - len(now):,} cells have no sample any more: {AGAIN}."
        )
    if (changed := before != now).any():
        cell = int(np.flatnonzero(changed)[0])
        raise InputError(
            f"adata: the counts in {_place(matrix)} changed after prepare: {changed.sum():,} of {len(now):,} cells have another sum, "
            f"such as {adata.obs_names[cell]!r} ({before[cell]:,.0f} before, {now[cell]:,.0f} now). "
            f"Restore the counts and genes, or {AGAIN}."
        )
    known = {str(name) for name in adata.uns["scdiff"][keys.INPUT.name]["files"].index}
    if new := sorted(set(work.obs[keys.SAMPLE.name].astype(str)) - known):
        raise InputError(
            f"adata: sample {new[0]!r} was not there when the object was prepared (samples: {some(sorted(known))}): {AGAIN}."
        )


def _depth(made: AnnData) -> np.ndarray:
    """Sum the counts of each cell, shape (n_cells,)."""
    return np.asarray(made.layers[keys.COUNTS.name].sum(axis=1, dtype=np.float64)).ravel()


def _place(matrix: str) -> str:
    """Name a matrix as its owner writes it.

    >>> _place("umis"), _place("raw")
    ("layers['umis']", 'raw')
    """
    return matrix if matrix in ("X", "raw") or is_sum(matrix) else f"layers[{matrix!r}]"


def _give_back(work: AnnData, adata: AnnData, step: str) -> None:
    """Write the results of a step into the prepared object, under our names only."""
    prepared = adata.uns["scdiff"][keys.PREPARED.name]
    kept = {VARIABLE: adata.uns["scdiff"][VARIABLE]} if VARIABLE in adata.uns["scdiff"] else {}
    made = {
        name: value for name, value in work.uns["scdiff"].items() if name != keys.NORMALISE.name
    }
    adata.uns["scdiff"] = made | kept | {keys.PREPARED.name: prepared}
    for slot, theirs in _per_cell(adata):
        for key in keys.list_written(step):
            if key.slot == slot and keys.has(work, key):
                theirs[_own(key.name)] = keys.slot_of(work, slot)[key.name]
    if keys.HVG in keys.list_written(step):
        adata.uns["scdiff"][VARIABLE] = np.array(
            work.var_names[work.var[keys.HVG.name]], dtype=object
        )


def _per_cell(adata: AnnData) -> list[tuple[str, Any]]:
    """Slots that hold something of each cell, and the colours of their categories."""
    return [(slot, keys.slot_of(adata, slot)) for slot in ("obs", "obsm", "obsp", "palette")]


def _own(name: str) -> str:
    """Name under which a prepared object keeps a key, so that it never meets one of its owner's."""
    return name if name.startswith(OURS) else f"{OURS}{name}"
