"""Read small texts (options, sheets, programmes) within bounds.

Reading a device may never end, and a few bytes of YAML can fill the memory.
"""

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
"""Largest file of options or of a programme, bytes (1 MiB), far more than any needs."""

MOST_TABLE_BYTES = 1 << 26
"""Largest table, bytes (64 MiB), such as one with a line per receiver and gene. Chosen, not
tuned."""

MOST_VALUES = 20_000
"""Highest number of values of a YAML text; an alias counts as all values of its anchor. Chosen, not
tuned."""

MOST_NESTED = 40
"""Highest depth of nested lists and mappings in a YAML text. Chosen, not tuned."""

_LONGEST = 120
"""Number of characters of a value that messages show. Chosen, not tuned."""

_KINDS = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def find_special_kind(path: Path) -> str:
    """Return the kind of a path that is not a plain file or a folder, such as ``a FIFO``.

    Empty for plain files, folders and missing paths.

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
        If it cannot be read, is not a plain file, or has more than ``most`` bytes; ``strerror``
        states the reason.
    """
    # opening a FIFO waits for a writer, and reading a device may never end
    if kind := find_special_kind(path):
        raise OSError(errno.EINVAL, f"it is {kind}, not a plain file")
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as handle:
        content = handle.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it holds more than {most:,} bytes")
    return content


def read_text(path: Path, most: int = MOST_BYTES, *, encoding: str = "utf-8") -> str:
    r"""Read a small text, with ``\n`` as line ends.

    Raises
    ------
    OSError
        As :func:`read_bytes`.
    UnicodeDecodeError
        If it is not a text in this encoding.
    """
    return read_bytes(path, most).decode(encoding).replace("\r\n", "\n").replace("\r", "\n")


def parse_yaml(text: str) -> Any:
    """Parse a YAML text into plain values.

    Raises
    ------
    ValueError
        If the text is not YAML, or has an unreadable value, too many values or too deep nesting.
    """
    import yaml

    try:
        _refuse_bomb(text)
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(_shorten(" ".join(str(error).split()))) from None
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError) as error:
        raise ValueError(f"a value cannot be read: {_shorten(str(error))}") from None


def _refuse_bomb(text: str) -> None:
    """Raise ValueError if a YAML text has too many values or levels, before it is built."""
    import yaml

    sizes: dict[str, int] = {}  # number of values of each anchor
    open_: list[tuple[str | None, int]] = []  # anchors of open collections, and values before
    n_values = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, first = open_.pop()
            if anchor:
                sizes[anchor] = n_values - first + 1
            continue
        n_values += _count_values(event, sizes)
        if isinstance(event, yaml.CollectionStartEvent):
            open_.append((event.anchor, n_values))
        elif isinstance(event, yaml.ScalarEvent) and event.anchor:
            sizes[event.anchor] = 1
        _check_bounds(n_values, len(open_))


def _count_values(event: Any, sizes: dict[str, int]) -> int:
    """Return the number of values that a YAML event adds."""
    import yaml

    if isinstance(event, yaml.AliasEvent):  # an alias within its own anchor has no size yet
        return sizes.get(str(event.anchor), MOST_VALUES)
    return int(isinstance(event, yaml.NodeEvent))


def _check_bounds(n_values: int, depth: int) -> None:
    """Raise ValueError if the numbers of values and of nested levels are too high."""
    if n_values > MOST_VALUES:
        raise ValueError(f"it has more than {MOST_VALUES:,} values, counting aliases in full")
    if depth > MOST_NESTED:
        raise ValueError(f"lists and mappings are nested more than {MOST_NESTED} levels deep")


def format_value(value: Any) -> str:
    """Return a value as text for a message, shortened if it is long.

    >>> format_value("few"), len(format_value("x" * 1000)) < 150
    ("'few'", True)
    """
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = _LONGEST
    short.maxlist = short.maxdict = short.maxtuple = 6
    return short.repr(value)


def _shorten(text: str) -> str:
    """Return a text without what exceeds twice ``_LONGEST`` characters."""
    return text if len(text) <= 2 * _LONGEST else f"{text[: 2 * _LONGEST]} ..."
