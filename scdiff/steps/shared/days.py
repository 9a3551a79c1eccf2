"""Days as people write them: 7, d7, D21, day 0, "day_3"."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

__all__ = ["DAY", "list_unreadable_days", "parse_days"]

DAY = "day"
_MISSING = ("", "nan", "none", "na", "n/a", "<na>", "null")
_NUMBER = r"\d+(?:\.\d+)?"
_WRITTEN = re.compile(
    rf"^(?:d(?:ays?|iv)?\.?[ _]*)?(?P<day>[+-]?{_NUMBER})$|^(?P<before>{_NUMBER})[ _]*d(?:ays?)?$",
    re.IGNORECASE,
)
"""A number with ``d`` or ``day`` before it or after it."""

_AMBIGUOUS = re.compile(r"^d(?:ays?|iv)?\.?-", re.IGNORECASE)
"""In ``day-7`` the hyphen may be a minus or a separator."""


def parse_days(values: Iterable[Any]) -> np.ndarray:
    """Return days as numbers, NaN if missing or unreadable; shape (n,).

    >>> parse_days(["7", "d7", "D21", "day 0", "d -1", "14d", "day-7", "week 2", ""]).tolist()
    [7.0, 7.0, 21.0, 0.0, -1.0, 14.0, nan, nan, nan]
    """
    listed = [str(value).strip() for value in values]
    known = {text: _read_day(text) for text in set(listed)}
    return np.array([known[text] for text in listed], dtype=float)


def list_unreadable_days(values: Iterable[Any]) -> list[str]:
    """List the values that are not missing and cannot be read as a day, each once, sorted.

    >>> list_unreadable_days(["7", "week 2", None, "48h"])
    ['48h', 'week 2']
    """
    texts = sorted({str(value).strip() for value in values})
    return [text for text in texts if text.casefold() not in _MISSING and np.isnan(_read_day(text))]


def _read_day(text: str) -> float:
    """Read one day; NaN if it is unreadable."""
    found = None if _AMBIGUOUS.match(text) else _WRITTEN.match(text)
    try:
        return float(found["day"] or found["before"]) if found else _read_number(text)
    except ValueError:
        return np.nan


def _read_number(text: str) -> float:
    """Read a number as programs write it, such as 1e1; NaN if it is not finite."""
    value = float(text) if "_" not in text else np.nan
    return value if np.isfinite(value) else np.nan
