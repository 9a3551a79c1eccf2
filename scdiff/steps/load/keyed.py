"""Samples by a column that the user names (``samples.key``) instead of those found in files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scdiff.errors import ConfigError, did_you_mean
from scdiff.steps.load.plan.wells import list_labels
from scdiff.steps.load.readers.hdf5 import read_own_samples
from scdiff.steps.load.readers.loom import read_loom_samples
from scdiff.steps.load.source import Layout, Source

__all__ = ["by_key", "sheet_and_key"]

_FIELDS = ("sheet", "key")


def sheet_and_key(samples: Path | str | Mapping[str, Any] | None) -> tuple[Path | None, str]:
    """Return the two parts of the option ``samples``: the sample sheet and the column name.

    The column is one of the columns about the cells; it names the sample of each cell.

    Parameters
    ----------
    samples
        Path of a sheet, or a mapping with ``sheet`` and ``key``.

    Raises
    ------
    ConfigError
        If the mapping has another field.

    >>> sheet_and_key({"key": "donor_id"})
    (None, 'donor_id')
    """
    if not isinstance(samples, Mapping):
        return (None if samples is None else Path(samples)), ""
    if odd := sorted(set(map(str, samples)) - set(_FIELDS)):
        raise ConfigError(f"samples: unknown field {odd[0]!r}. {did_you_mean(odd[0], _FIELDS)}")
    sheet = samples.get("sheet")
    return (None if sheet is None else Path(sheet)), str(samples.get("key") or "")


def by_key(sources: Sequence[Source], key: str) -> list[Source]:
    """Split the sources of one file or folder by the column ``key``.

    An earlier split of a file into samples is replaced.

    Raises
    ------
    ConfigError
        If a file has no such column, or the column names no samples.
    InputError
        If the column is empty for some cells.
    """
    firsts: dict[Any, Source] = {}
    for source in sources:
        firsts.setdefault((source.files, source.members), source)
    return [part for first in firsts.values() for part in _split(first, key)]


def _split(source: Source, key: str) -> list[Source]:
    """Split one file into one source per sample of the column."""
    labels = _labels(source, key)
    plain = replace(
        source,
        column=key,
        wells=(),
        calls=None,
        fields={},
        raw=None if len(labels) > 1 else source.raw,
    )
    return [replace(plain, sample=label, label=label) for label in labels]


def _labels(source: Source, key: str) -> list[str]:
    """Return the samples that the column of one file names."""
    if source.members:
        raise ConfigError(
            f"{source.path}: samples.key is {key!r}, but scdiff cannot read it from an archive: "
            "unpack the archive, and give the path of the file."
        )
    if source.layout in (Layout.H5AD, Layout.ZARR):
        return read_own_samples(source.files[0], key)[1]
    if source.layout is Layout.LOOM:
        return read_loom_samples(source.files[0], key)[1]
    if source.layout is Layout.TENX_MTX:
        return list_labels(source, key)
    raise ConfigError(
        f"{source.path}: samples.key is {key!r}, but a file of this layout ({source.layout}) "
        "has no columns about the cells: "
        "remove the key, and give each sample its own file or a row in the sample sheet."
    )
