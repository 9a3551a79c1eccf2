"""Safety checks of zarr stores before they are opened: no links out of it, only known codecs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scdiff.bounded import MOST_TABLE_BYTES, find_special_kind, read_text
from scdiff.errors import InputError

__all__ = ["CODECS", "is_zarr", "refuse_unsafe_store"]

_NUMBERS = (
    "adler32 astype bitround bytes cast_value crc32 crc32c delta fixedscaleoffset fletcher32 "
    "packbits quantize scale_offset shuffle"
)
_PACKED = "blosc bz2 gzip jenkins_lookup3 lz4 lzma sharding_indexed transpose zlib zstd"
_TEXTS = "categorize json2 string vlen-array vlen-bytes vlen-utf8"

CODECS = frozenset(f"{_NUMBERS} {_PACKED} {_TEXTS}".split())
"""Codecs that only unpack numbers and texts. Others, such as ``pickle``, can run code from a
file."""

_METADATA = (".zarray", ".zmetadata", "zarr.json")
"""Files of a store that name codecs."""

_GROUPS = (".zgroup", "zarr.json")
"""Files that make a folder a zarr group."""

_MOST_FILES = 2_000_000
"""Files of a store that are checked. Chosen, not tuned."""


def is_zarr(path: Path) -> bool:
    """Check whether a folder is a zarr store."""
    return any((path / name).is_file() for name in _GROUPS)


def refuse_unsafe_store(path: Path) -> None:
    """Raise an error if a store has links out of it, special files or unknown codecs.

    Raises
    ------
    InputError
        With the file that is not safe to read.
    """
    root = Path(os.path.realpath(path))
    for file in _walk_files(path):
        if file.is_symlink() and not Path(os.path.realpath(file)).is_relative_to(root):
            raise InputError(
                f"{file}: this link leads out of the store {path.name}, and scdiff reads only "
                "files inside it. Copy the store with its data."
            )
        if kind := find_special_kind(file):
            raise InputError(
                f"{file}: this is {kind}, not a plain file. "
                f"Copy or download the store {path.name} again."
            )
        if file.name in _METADATA:
            _refuse_codecs(file)


def _walk_files(folder: Path) -> Iterator[Path]:
    """Yield all entries below a folder; links to folders are not followed."""
    n_files = 0
    for place, folders, files in os.walk(folder):
        for name in (*files, *(name for name in folders if Path(place, name).is_symlink())):
            n_files += 1
            if n_files > _MOST_FILES:
                raise InputError(
                    f"{folder}: the store holds more than {_MOST_FILES:,} files. "
                    "Write it in larger chunks."
                )
            yield Path(place, name)


def _refuse_codecs(file: Path) -> None:
    """Raise an error if metadata name an unknown codec."""
    try:
        found = set(_list_codecs(json.loads(read_text(file, MOST_TABLE_BYTES))))
    except OSError as error:
        raise InputError(f"{file}: this cannot be read ({error.strerror}).") from None
    except (ValueError, RecursionError):
        raise InputError(
            f"{file}: this is not zarr metadata. The store is damaged; copy or download it again."
        ) from None
    if odd := sorted(name for name in found if name.removeprefix("numcodecs.") not in CODECS):
        raise InputError(
            f"{file}: the data are packed by the codec {odd[0]!r}, which scdiff does not read. "
            "Write the store again with blosc or zstd."
        )


def _list_codecs(entry: Any) -> Iterator[str]:
    """Yield the names of all codecs in metadata of any version, consolidated or not."""
    if isinstance(entry, list):
        for part in entry:
            yield from _list_codecs(part)
    if not isinstance(entry, dict):
        return
    for key, value in entry.items():
        if key in (
            "compressor",
            "filters",
            "compressors",
            "serializer",
            "codecs",
            "index_codecs",
            "storage_transformers",
        ):
            yield from _list_names(value)
        if key != "attributes":
            yield from _list_codecs(value)


def _list_names(codecs: Any) -> Iterator[str]:
    """Yield the name of a codec, or the names in a list of them."""
    for codec in codecs if isinstance(codecs, list) else [codecs]:
        if isinstance(codec, dict):
            yield str(codec.get("id", codec.get("name", "")))
        elif codec is not None:
            yield str(codec)
