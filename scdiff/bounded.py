"""Small texts (options, sheets, programmes), read with bounds: a device never ends, and a few bytes of YAML can fill the memory."""

from __future__ import annotations

import errno
import os
import reprlib
import stat
from pathlib import Path
from typing import Any

__all__ = [
    "MOST_BYTES",
    "MOST_TABLE_BYTES",
    "find_special_kind",
    "format_value",
    "parse_yaml",
    "read_bytes",
    "read_text",
]

MOST_BYTES = 1 << 20
"""Far more than any file of options or programme holds."""

MOST_TABLE_BYTES = 1 << 26
"""Of a table, such as one line for each receiver and gene."""

MOST_VALUES, MOST_NESTED = 20_000, 40
"""Values of a YAML text, each alias counted as what it stands for; depth of lists and mappings within each other."""

_LONGEST = 120
_KINDS = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def find_special_kind(path: Path) -> str:
    """Say what keeps a path from being a plain file or a folder, such as ``a FIFO``; empty for those and where there is nothing.

    >>> find_special_kind(Path("/dev/null"))
    'a device'
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return ""
    return next((name for is_kind, name in _KINDS if is_kind(mode)), "")


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """Read a small file.

    Raises
    ------
    OSError
        If it cannot be read, is no plain file, or holds more than ``most`` bytes; ``strerror`` says which.
    """
    if kind := find_special_kind(
        path
    ):  # opening a FIFO waits for a writer, reading a device need not end
        raise OSError(errno.EINVAL, f"it is {kind}, not a plain file")
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as handle:
        content = handle.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it holds more than {most:,} bytes")
    return content


def read_text(path: Path, most: int = MOST_BYTES, *, encoding: str = "utf-8") -> str:
    r"""Read a small text, its ends of lines as ``\n``.

    Raises
    ------
    OSError
        As :func:`read_bytes`.
    UnicodeDecodeError
        If it is no text.
    """
    return read_bytes(path, most).decode(encoding).replace("\r\n", "\n").replace("\r", "\n")


def parse_yaml(text: str) -> Any:
    """Read a YAML text as plain values.

    Raises
    ------
    ValueError
        If it is none, holds a value that cannot be read, too many values, or lists too deep within each other.
    """
    import yaml

    try:
        _refuse_bomb(text)
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(_short(" ".join(str(error).split()))) from None
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError) as error:
        raise ValueError(f"a value cannot be read: {_short(str(error))}") from None


def _refuse_bomb(text: str) -> None:
    """Refuse what would become too many values, or too deep, before any of it is built."""
    import yaml

    sizes: dict[str, int] = {}
    open_: list[tuple[str | None, int]] = []
    seen = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            seen += sizes.get(
                str(event.anchor), MOST_VALUES
            )  # an alias of what it stands in has no size
        elif isinstance(event, yaml.NodeEvent):
            seen += 1
            if isinstance(event, yaml.CollectionStartEvent):
                open_.append((event.anchor, seen))
            elif event.anchor:
                sizes[str(event.anchor)] = 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, begun = open_.pop()
            sizes |= {anchor: seen - begun + 1} if anchor else {}
        if seen > MOST_VALUES:
            raise ValueError(f"it stands for more than {MOST_VALUES:,} values")
        if len(open_) > MOST_NESTED:
            raise ValueError(
                f"lists and mappings stand more than {MOST_NESTED} deep within each other"
            )


def format_value(value: Any) -> str:
    """Represent a value in a sentence, shortened where it is long.

    >>> format_value("few"), len(format_value("x" * 1000)) < 150
    ("'few'", True)
    """
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = _LONGEST
    short.maxlist = short.maxdict = short.maxtuple = 6
    return short.repr(value)


def _short(text: str) -> str:
    return text if len(text) <= 2 * _LONGEST else f"{text[: 2 * _LONGEST]} ..."
