"""Colours with the same meaning everywhere, from one colour-blind-safe palette (Okabe and Ito)."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["ACCENT", "CALLED", "GREY", "NEGATIVE", "PALETTE", "STATES", "colours"]

GREY = "#8a8f98"
NEGATIVE = "#b4c3d4"
ACCENT = "#0072b2"
CALLED = "#d55e00"

PALETTE = (ACCENT, "#e69f00", "#009e73", "#cc79a7", "#56b4e9", CALLED, "#f0e442")
"""Colours of Okabe and Ito without black, which is invisible on a dark page."""

STATES = {
    "negative": NEGATIVE,
    "unassigned": GREY,
    "unspecific": "#e69f00",
    "progenitor": CALLED,
    "endocrine_progenitor": "#cc79a7",
    "beta_like": "#009e73",
}
"""State -> its fixed colour."""


def colours(levels: Sequence[str]) -> dict[str, str]:
    """Assign a colour to each level: states get their fixed colour, others one of the palette.

    After the last colour, the palette repeats, first lighter, then darker.

    >>> colours(["a", "unassigned", "b"])
    {'a': '#0072b2', 'unassigned': '#8a8f98', 'b': '#e69f00'}
    """
    free = [level for level in levels if level not in STATES]
    own = {
        level: _tier(PALETTE[index % len(PALETTE)], index // len(PALETTE))
        for index, level in enumerate(free)
    }
    return {level: STATES.get(level) or own[level] for level in levels}


def _tier(colour: str, tier: int) -> str:
    """Mix ``colour`` with white (odd tiers) or black (even tiers)."""
    if tier == 0:
        return colour
    other, share = (255, 0.5) if tier % 2 else (0, 0.35)
    parts = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
    return "#" + "".join(f"{round(part * (1 - share) + other * share):02x}" for part in parts)
