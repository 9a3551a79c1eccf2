"""prepare: make an AnnData of a notebook usable in place, without changing the data of its owner.

The steps read counts, samples and gene symbols by fixed names. For a prepared object they work on a
working copy that has these names and shares no data with the object. Their results are copied back
under names that start with ``scdiff``.
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
"""Prefix of all names that scdiff writes to a prepared object."""

LOG_TARGET = 1e4
"""Counts per cell to which the steps normalise the working copy: counts per 10,000."""

VARIABLE = "variable_genes"
"""Entry of ``uns["scdiff"]`` that lists the variable genes of a prepared object."""

AGAIN = "call scdiff.pp.prepare(adata) again"
"""Remedy, in messages, for an object that changed after it was prepared."""


def prepare(
    adata: AnnData,
    *,
    counts: str = "auto",
    sample: str | None = None,
    donor: str | None = None,
    species: Literal["auto", "human", "mouse", "rat"] = "auto",
    control: Sequence[str] = (),
    copy: bool = False,
) -> AnnData | None:
    """Prepare an object in memory for the functions of :mod:`scdiff.pp` and :mod:`scdiff.tl`.

    Use it instead of :func:`scdiff.io.load` if you already have an object, at any stage of a scanpy
    analysis. The counts are checked as those of a file. X, layers, ``raw``, clusters, maps and
    neighbours do not change: everything that scdiff writes has a name that starts with ``scdiff``.

    Parameters
    ----------
    adata
        Cells x genes, with raw counts in X, a layer or ``raw``.
    counts
        ``X``, ``raw`` or the name of the layer that holds the counts; ``auto`` takes the first
        matrix with counts.
    sample, donor
        Columns of ``obs`` that name the sample and the donor of each cell. By default, columns such
        as ``sample`` and ``donor_id`` are detected as in files; without them, all cells are one
        sample.
    species
        ``auto`` detects it from the gene names.
    control
        Samples without positive cells, such as medium controls.
    copy
        Do not change the object, and return a prepared copy.

    Writes
    ------
    uns["scdiff"]["input"], uns["scdiff"]["prepared"] and obs["scdiff_depth"] (counts per cell).
    Results of an earlier run of scdiff are removed from uns["scdiff"]. Later steps read the matrix
    that was found here, and raise an error if its counts changed.

    Raises
    ------
    InputError
        If no matrix holds counts, there are fewer than two cells, cells share names or have no
        sample, or the genes are unknown.
    ConfigError
        If an option names a matrix, a column or a sample that does not exist, or an unknown
        species.

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
    loaded, matrix = load_object(
        adata,
        counts=counts,
        sample=sample,
        donor=donor,
        species=species,
        control=options["control"],
    )
    if loaded.n_obs < adata.n_obs:
        raise InputError(
            f"adata: {adata.n_obs - loaded.n_obs:,} cells belong to several samples or to no "
            "sample (such as Multiplet or Undetermined): "
            "drop them with adata = adata[...].copy(), or name another column as sample."
        )
    adata.uns[keys.ROOT] = {
        keys.INPUT.name: loaded.uns[keys.ROOT][keys.INPUT.name],
        keys.PREPARED.name: options
        | {"matrix": matrix, "control": np.array(options["control"], dtype=object)},
    }
    adata.obs[keys.DEPTH.name] = _depth(loaded)
    return adata if copy else None


def run_prepared(
    function: Callable[[AnnData], R],
    adata: AnnData,
    *,
    step: str,
    cluster_key: str | None = None,
    use_rep: str | None = None,
) -> R:
    """Run a step on the working copy of a prepared object, and copy the results to the object.

    Parameters
    ----------
    function
        The step with its options, called with the working copy.
    adata
        Prepared by :func:`prepare`. The results of the step are written to it under names that
        start with ``scdiff``. Only ``qc`` drops cells.
    step
        Name of the step.
    cluster_key, use_rep
        Column of ``obs`` and entry of ``obsm`` that the step reads, by their names in ``adata``.

    Raises
    ------
    ConfigError
        If there is no such column or entry.
    InputError
        If the counts are missing or changed.
    """
    work = working_copy(adata)
    if cluster_key is not None:
        work.obs[cluster_key] = read_clusters(adata, cluster_key)
    if use_rep is not None:
        work.obsm[use_rep] = read_points(adata, use_rep)
    result = function(work)
    if work.n_obs < adata.n_obs:
        # the filters of scanpy drop cells by the same call
        adata._inplace_subset_obs(adata.obs_names.isin(work.obs_names))  # noqa: SLF001
    _copy_results(work, adata, step)
    return result


def working_copy(adata: AnnData) -> AnnData:
    """Build the object that the steps read, from the counts and earlier results.

    Raises
    ------
    InputError
        If the counts are missing, or changed since :func:`prepare` checked them.
    """
    options: Mapping[str, Any] = adata.uns[keys.ROOT][keys.PREPARED.name]
    matrix = str(options["matrix"])
    if not is_sum(matrix) and matrix not in matrices_of(adata):
        raise InputError(
            f"adata: {_place(matrix)}, from which prepare read the counts, is missing: "
            f"restore it, or {AGAIN}."
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
    work.uns[keys.ROOT] = {
        name: value
        for name, value in adata.uns[keys.ROOT].items()
        if name not in (keys.PREPARED.name, VARIABLE)
    }
    work.uns[keys.ROOT][keys.NORMALISE.name] = {"target_sum": LOG_TARGET}
    work.uns["log1p"] = {}
    for slot, theirs in _slots_of_cells(adata):
        for key in keys.KEYS:
            if key.slot == slot and _prefix(key.name) in theirs:
                keys.slot_of(work, slot)[key.name] = theirs[_prefix(key.name)]
    if VARIABLE in adata.uns[keys.ROOT]:
        work.var[keys.HVG.name] = work.var_names.isin(adata.uns[keys.ROOT][VARIABLE])
    return work


def _refuse_changed(adata: AnnData, work: AnnData, matrix: str) -> None:
    """Raise ``InputError`` if counts, samples or genes changed since :func:`prepare` checked them.

    The results would otherwise mix two data sets.
    """
    if keys.DEPTH.name not in adata.obs:
        raise InputError(f"adata: {keys.DEPTH}, which detects changed counts, is missing: {AGAIN}.")
    before, now = adata.obs[keys.DEPTH.name].to_numpy(), _depth(work)
    if len(now) != len(before):
        raise InputError(
            f"adata: {len(before) - len(now):,} cells no longer have a sample: {AGAIN}."
        )
    if (changed := before != now).any():
        cell = int(np.flatnonzero(changed)[0])
        raise InputError(
            f"adata: the counts in {_place(matrix)} changed after prepare: "
            f"{changed.sum():,} of {len(now):,} cells have a different sum, for example "
            f"{adata.obs_names[cell]!r} ({before[cell]:,.0f} before, {now[cell]:,.0f} now). "
            f"Restore the counts and genes, or {AGAIN}."
        )
    known = {str(name) for name in adata.uns[keys.ROOT][keys.INPUT.name]["files"].index}
    if new := sorted(set(work.obs[keys.SAMPLE.name].astype(str)) - known):
        raise InputError(
            f"adata: sample {new[0]!r} is new since the object was prepared "
            f"(known samples: {some(sorted(known))}): {AGAIN}."
        )


def _depth(loaded: AnnData) -> np.ndarray:
    """Sum the counts of each cell, shape (n_cells,)."""
    return np.asarray(loaded.layers[keys.COUNTS.name].sum(axis=1, dtype=np.float64)).ravel()


def _place(matrix: str) -> str:
    """Return the name of a matrix as it is written in code.

    >>> _place("umis"), _place("raw")
    ("layers['umis']", 'raw')
    """
    return matrix if matrix in ("X", "raw") or is_sum(matrix) else f"layers[{matrix!r}]"


def _copy_results(work: AnnData, adata: AnnData, step: str) -> None:
    """Copy the results of a step to the prepared object, under names of scdiff only."""
    prepared = adata.uns[keys.ROOT][keys.PREPARED.name]
    kept = {VARIABLE: adata.uns[keys.ROOT][VARIABLE]} if VARIABLE in adata.uns[keys.ROOT] else {}
    results = dict(work.uns[keys.ROOT])
    results.pop(keys.NORMALISE.name, None)
    adata.uns[keys.ROOT] = results | kept | {keys.PREPARED.name: prepared}
    for slot, theirs in _slots_of_cells(adata):
        for key in keys.list_written(step):
            if key.slot == slot and keys.has(work, key):
                theirs[_prefix(key.name)] = keys.slot_of(work, slot)[key.name]
    if keys.HVG in keys.list_written(step):
        adata.uns[keys.ROOT][VARIABLE] = np.array(
            work.var_names[work.var[keys.HVG.name]], dtype=object
        )


def _slots_of_cells(adata: AnnData) -> list[tuple[str, Any]]:
    """Return the slots with values per cell, and that with the colours of categories."""
    return [(slot, keys.slot_of(adata, slot)) for slot in ("obs", "obsm", "obsp", "palette")]


def _prefix(name: str) -> str:
    """Return the name of a key in a prepared object, which no name of its owner can equal."""
    return name if name.startswith(OURS) else f"{OURS}{name}"
