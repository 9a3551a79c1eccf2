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
_WRITTEN = re.compile(rf"^(?:d(?:ays?|iv)?\.?[ _]*)?(?P<day>[+-]?{_NUMBER})$|^(?P<before>{_NUMBER})[ _]*d(?:ays?)?$", re.IGNORECASE)
"""``d`` or ``day`` before the number or after it."""

_AMBIGUOUS = re.compile(r"^d(?:ays?|iv)?\.?-", re.IGNORECASE)
"""Whether the hyphen of ``day-7`` is a minus cannot be told."""


def parse_days(values: Iterable[Any]) -> np.ndarray:
    """Days as numbers, NaN for what is missing or cannot be read; shape (n,).

    >>> parse_days(["7", "d7", "D21", "day 0", "d -1", "14d", "day-7", "week 2", ""]).tolist()
    [7.0, 7.0, 21.0, 0.0, -1.0, 14.0, nan, nan, nan]
    """
    listed = [str(value).strip() for value in values]
    known = {text: _day(text) for text in set(listed)}
    return np.array([known[text] for text in listed], dtype=float)


def list_unreadable_days(values: Iterable[Any]) -> list[str]:
    """List what stands for a day and cannot be read as one, each once, sorted.

    >>> list_unreadable_days(["7", "week 2", None, "48h"])
    ['48h', 'week 2']
    """
    texts = sorted({str(value).strip() for value in values})
    return [text for text in texts if text.casefold() not in _MISSING and np.isnan(_day(text))]


def _day(text: str) -> float:
    """Read one day; NaN where it cannot be told."""
    found = None if _AMBIGUOUS.match(text) else _WRITTEN.match(text)
    try:
        return float(found["day"] or found["before"]) if found else _plain(text)
    except ValueError:
        return np.nan


def _plain(text: str) -> float:
    """Read what a program writes for a number, such as 1e1; never an infinite one."""
    value = float(text) if "_" not in text else np.nan
    return value if np.isfinite(value) else np.nan
