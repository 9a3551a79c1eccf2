"""Samples by a column that the user names (``samples.key``), in the place of those that files tell by themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scdiff.errors import ConfigError, did_you_mean
from scdiff.steps.load.plan.wells import labelled_by
from scdiff.steps.load.readers.hdf5 import own_samples
from scdiff.steps.load.readers.loom import loom_samples
from scdiff.steps.load.source import Layout, Source

__all__ = ["by_key", "sheet_and_key"]

_FIELDS = ("sheet", "key")


def sheet_and_key(samples: Path | str | Mapping[str, Any] | None) -> tuple[Path | None, str]:
    """Take the option ``samples`` apart: the sample sheet, and the column about the cells that names their samples.

    Parameters
    ----------
    samples
        A sheet, or a mapping with ``sheet`` and ``key``.

    Raises
    ------
    ConfigError
        If the mapping holds anything else.

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
    """Split the sources of one file or folder by the column ``key``, whatever they were told apart by before.

    Raises
    ------
    ConfigError
        If a file has no such column, or it names no samples.
    InputError
        If the column is empty for some cells.
    """
    files = dict.fromkeys((source.files, source.members) for source in sources)
    firsts = [
        next(source for source in sources if (source.files, source.members) == file)
        for file in files
    ]
    return [keyed for first in firsts for keyed in _split(first, key)]


def _split(source: Source, key: str) -> list[Source]:
    """Split one file."""
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
    """List the samples that the column of one file names."""
    if source.members:
        raise ConfigError(
            f"{source.path}: samples.key is {key!r}, which is not looked for in archives: unpack it, and name the file."
        )
    if source.layout in (Layout.H5AD, Layout.ZARR):
        return own_samples(source.files[0], key)[1]
    if source.layout is Layout.LOOM:
        return loom_samples(source.files[0], key)[1]
    if source.layout is Layout.TENX_MTX:
        return labelled_by(source, key)
    raise ConfigError(
        f"{source.path}: samples.key is {key!r}, but a file of this layout ({source.layout}) has no columns about the cells: "
        "leave the key out, and give each sample its own file or a row in the sample sheet."
    )
