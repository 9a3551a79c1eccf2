"""Zarr stores before they are opened: no file outside of them is read, and only known codecs unpack what they hold."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scdiff.bounded import MOST_TABLE_BYTES, find_special_kind, read_text
from scdiff.errors import InputError

__all__ = ["CODECS", "is_zarr", "refuse_unsafe_store"]

_NUMBERS = "adler32 astype bitround bytes cast_value crc32 crc32c delta fixedscaleoffset fletcher32 packbits quantize scale_offset shuffle"
_PACKED = "blosc bz2 gzip jenkins_lookup3 lz4 lzma sharding_indexed transpose zlib zstd"
_TEXTS = "categorize json2 string vlen-array vlen-bytes vlen-utf8"

CODECS = frozenset(f"{_NUMBERS} {_PACKED} {_TEXTS}".split())
"""Codecs that only unpack numbers and texts; others, such as ``pickle``, can run what a file says."""

_METADATA = (".zarray", ".zmetadata", "zarr.json")
_GROUPS = (".zgroup", "zarr.json")
_MOST_FILES = 2_000_000


def is_zarr(path: Path) -> bool:
    """Tell whether a folder is a zarr store."""
    return any((path / name).is_file() for name in _GROUPS)


def refuse_unsafe_store(path: Path) -> None:
    """Refuse a store with links out of it, FIFOs and the like, or a codec that is not known to be harmless.

    Raises
    ------
    InputError
        If there is one.
    """
    root = Path(os.path.realpath(path))
    for file in _files(path):
        if file.is_symlink() and not Path(os.path.realpath(file)).is_relative_to(root):
            raise InputError(
                f"{file}: this link leads out of the store {path.name}: nothing outside is read. Copy the store with its data."
            )
        if kind := find_special_kind(file):
            raise InputError(f"{file}: this is {kind}, not a plain file: get the store {path.name} again.")
        if file.name in _METADATA:
            _refuse_codecs(file)


def _files(folder: Path) -> Iterator[Path]:
    """Yield all that stands below a folder; links to folders are not followed."""
    n_files = 0
    for place, folders, files in os.walk(folder):
        for name in (*files, *(name for name in folders if Path(place, name).is_symlink())):
            n_files += 1
            if n_files > _MOST_FILES:
                raise InputError(f"{folder}: the store holds more than {_MOST_FILES:,} files: write it in larger chunks.")
            yield Path(place, name)


def _refuse_codecs(file: Path) -> None:
    """Refuse metadata that name a codec that is not known."""
    try:
        found = set(_codecs(json.loads(read_text(file, MOST_TABLE_BYTES))))
    except OSError as error:
        raise InputError(f"{file}: this cannot be read ({error.strerror}).") from None
    except (ValueError, RecursionError):
        raise InputError(f"{file}: this is no zarr metadata: the store is damaged. Get it again.") from None
    if odd := sorted(name for name in found if name.removeprefix("numcodecs.") not in CODECS):
        raise InputError(
            f"{file}: the data are packed by the codec {odd[0]!r}, which scdiff does not read. Write the store again with blosc or zstd."
        )


def _codecs(entry: Any) -> Iterator[str]:
    """Yield the names of all codecs in metadata, of either version, consolidated or not."""
    if isinstance(entry, list):
        for part in entry:
            yield from _codecs(part)
    if not isinstance(entry, dict):
        return
    for key, value in entry.items():
        if key in ("compressor", "filters", "compressors", "serializer", "codecs", "index_codecs", "storage_transformers"):
            yield from _named(value)
        if key != "attributes":
            yield from _codecs(value)


def _named(codecs: Any) -> Iterator[str]:
    """Yield the names of a codec, or of a list of them."""
    for codec in codecs if isinstance(codecs, list) else [codecs]:
        if isinstance(codec, dict):
            yield str(codec.get("id", codec.get("name", "")))
        elif codec is not None:
            yield str(codec)
