"""Reader of an object in memory: its matrices pass the same checks as those of an h5ad file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scdiff.compute.blocks import is_lazy
from scdiff.errors import ConfigError, InputError, did_you_mean
from scdiff.steps.load.identity import LABELS, own_labels
from scdiff.steps.load.join import as_plain_column
from scdiff.steps.load.readers.frames import build_table
from scdiff.steps.load.readers.hdf5 import read_group
from scdiff.steps.load.readers.registry import READERS
from scdiff.steps.load.readers.stored import name_layer
from scdiff.steps.load.readers.values import as_csr
from scdiff.steps.load.source import Layout, Source
from scdiff.steps.load.table import Hold, Table
from scdiff.storage.h5ad import write_slot

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["matrices_of", "read_object", "sources_in"]

NAME = Path("adata")
"""Name of the object in messages."""


def sources_in(
    adata: AnnData,
    *,
    sample: str | None = None,
    donor: str | None = None,
    control: Sequence[str] = (),
) -> list[Source]:
    """Find the samples of an object in memory.

    Parameters
    ----------
    adata
        Cells x genes; it is not changed.
    sample, donor
        Columns of ``obs``. By default, the sample column is detected as in a file; without such a
        column, all cells are one sample.
    control
        Samples without positive cells.

    Raises
    ------
    ConfigError
        If a column or a control sample does not exist.
    InputError
        If the object is on disk, cells share names, or only some cells have a sample.
    """
    _refuse_unfit(adata)
    obs = adata.obs.copy(deep=False)
    for option, column in (("sample", sample), ("donor", donor)):
        if column is not None and column not in obs:
            raise ConfigError(
                f"prepare(): {option} is {column!r}, but obs has no such column. "
                f"{did_you_mean(column, map(str, obs))}"
            )
    if donor is not None:
        obs["donor"] = adata.obs[donor]
    column, labels = _find_samples(adata, obs, sample)
    names = labels or [LABELS]
    if unknown := [name for name in control if name not in names]:
        raise ConfigError(
            f"prepare(): control: there is no sample {unknown[0]!r}. "
            f"{did_you_mean(unknown[0], names)}"
        )
    plain = Source(names[0], NAME, Layout.OBJECT, (), "", column=column, held=(adata, obs))
    return [
        replace(plain, sample=name, label=name if labels else "", control=name in control)
        for name in names
    ]


def _find_samples(adata: AnnData, obs: Any, sample: str | None) -> tuple[str, list[str]]:
    """Return the column of ``obs`` that names the samples, and the samples.

    If ``sample`` is given, its column is added to ``obs`` under the name that the join reads.
    """
    if sample is None:
        return own_labels(NAME, list(map(str, obs)), lambda name: obs[name], exact=True)
    obs[LABELS] = adata.obs[sample]
    columns = list(map(str, adata.obs))
    labels = own_labels(NAME, columns, lambda name: adata.obs[name], exact=True, key=sample)[1]
    return LABELS, labels


def _refuse_unfit(adata: AnnData) -> None:
    """Raise ``InputError`` if the counts are not in memory, or cells share names."""
    if adata.isbacked or any(is_lazy(values) for values in (adata.X, *adata.layers.values())):
        raise InputError(
            "adata: the values are on disk: call adata.to_memory() first, "
            "or run the command with --engine dask."
        )
    if not adata.obs_names.is_unique:
        twice = adata.obs_names[adata.obs_names.duplicated()][0]
        raise InputError(
            f"adata: cells share a name (e.g. {twice!r}): call adata.obs_names_make_unique() first."
        )


@READERS.register(
    "object in memory",
    summary="An AnnData in memory, as in a notebook.",
    source="https://anndata.readthedocs.io",
    facts={"lazy": False},
)
def read_object(
    source: Source,
    matrix: str,
    species: str,  # noqa: ARG001  # all readers have the same signature
    hold: Hold,  # noqa: ARG001
) -> Iterator[Table]:
    """Yield the matrices that may hold the counts, the likeliest first, or only ``matrix``."""
    import h5py
    import pandas as pd

    adata, obs = source.held
    if matrix in (known := matrices_of(adata)):
        var = adata.raw.var if matrix == "raw" else adata.var
        yield build_table(_unshared(known[matrix]), obs, _storable(var), matrix)
        return
    with h5py.File("adata", "w", driver="core", backing_store=False) as handle:
        write_slot(handle, "obs", pd.DataFrame(index=adata.obs_names.astype(str)))
        write_slot(handle, "var", _storable(adata.var))
        for name, values in _matrices(adata):
            write_slot(handle, name, values)
        if adata.raw is not None:
            write_slot(handle, "raw/X", adata.raw.X)
            write_slot(handle, "raw/var", _storable(adata.raw.var))
        for table in read_group(handle, source.path, matrix, "memory"):
            yield replace(table, obs=obs)


def matrices_of(adata: AnnData) -> dict[str, Any]:
    """Return the matrices of an object by their names in options: ``X``, its layers, ``raw``."""
    named = {
        place if place == "X" else name_layer(place.removeprefix("layers/")): values
        for place, values in _matrices(adata)
    }
    return named if adata.raw is None else named | {"raw": adata.raw.X}


def _unshared(values: Any) -> Any:
    """Return a matrix stored by cell; a copy if the checks would change its values in place."""
    rows = as_csr(values)
    is_clean = rows.has_canonical_format and bool(rows.data.all())
    return rows if is_clean else rows.copy()


def _matrices(adata: AnnData) -> Iterator[tuple[str, Any]]:
    """Yield X and the layers by their paths in an h5ad file."""
    if adata.X is not None:
        yield "X", adata.X
    for name, values in adata.layers.items():
        if name is not None:  # newer versions of anndata list X in layers as None
            yield f"layers/{name}", values


def _storable(var: Any) -> Any:
    """Convert the columns about the genes to types that every version of anndata can write.

    Missing names stay missing.
    """
    import pandas as pd

    return pd.DataFrame(
        {str(name): as_plain_column(column) for name, column in var.items()},
        index=var.index.astype(str),
    )
