"""One criterion, one decision.

The end of the interval that protects the patient, held to the limit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from scdiff.vocabulary import NO_NUMBER

__all__ = ["DECISIONS", "EXIT_CODES", "Decision", "Figure", "Limits", "decide", "worst"]

Decision = Literal["PASS", "FAIL", "CANNOT TELL", "INVALID"]

DECISIONS: tuple[Decision, ...] = ("PASS", "FAIL", "CANNOT TELL", "INVALID")
"""In the order of their exit codes."""

EXIT_CODES: dict[Decision, int] = {decision: code for code, decision in enumerate(DECISIONS)}

_GRAVITY: tuple[Decision, ...] = ("PASS", "CANNOT TELL", "FAIL", "INVALID")
"""A criterion that fails decides a batch although another is open.

An invalid result is no statement at all.
"""


@dataclass(frozen=True)
class Figure:
    """What was read: a number with its interval, or a text.

    Parameters
    ----------
    value, low, high
        The number and the ends of its 95 % interval, in one unit; the ends equal the number where
        it has no interval; NaN if it was not measured.
    lod
        Limit of detection in the same unit; NaN for a figure without one.
    verdict
        What the run says of the row, as in ``fractions.csv``; empty where it says nothing.
    text
        The value where it is a text.
    reason
        Why the run doubts the row; empty where it does not.
    """

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    lod: float = math.nan
    verdict: str = ""
    text: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Limits:
    """What a figure is held to.

    Parameters
    ----------
    at_least, at_most
        In the unit of the figure; None without such a limit.
    allowed
        Texts that pass; empty for a number.
    by
        ``bound``: the end of the interval that protects the patient decides; ``estimate``: the
        number itself.
    """

    at_least: float | None = None
    at_most: float | None = None
    allowed: Sequence[str] = field(default=())
    by: Literal["bound", "estimate"] = "bound"


def decide(figure: Figure, limits: Limits) -> tuple[Decision, str]:
    """Judge one figure and say why.

    ``PASS`` needs the whole interval within the limits and a limit of detection that does not lie
    above them. ``FAIL`` needs the whole interval outside; a share that lies below its least limit
    needs, besides, that the assay could have seen the limit.

    Parameters
    ----------
    figure
        What was read.
    limits
        What it is held to, in the same unit.

    >>> decide(Figure(0.004, 0.002, 0.009, lod=0.005), Limits(at_most=0.02))
    ('PASS', 'the upper end, 0.009, is at most 0.02')
    >>> decide(Figure(0.0, 0.0, 0.001, lod=0.005), Limits(at_most=0.002))
    ('CANNOT TELL', 'the limit of detection, 0.005, is above the limit, 0.002')
    """
    if limits.allowed:
        return _decide_text(figure, limits.allowed)
    if figure.verdict in NO_NUMBER:
        return "CANNOT TELL", f"the run says {figure.verdict}"
    low, high = (
        (figure.value, figure.value) if limits.by == "estimate" else (figure.low, figure.high)
    )
    if not all(map(math.isfinite, (figure.value, low, high))):
        return "CANNOT TELL", "nothing was measured"
    sides = [_decide_side(*side, figure.lod, limits.by) for side in _sides(low, high, limits)]
    return next(
        (found for found in sides if found[0] == worst(side[0] for side in sides)), sides[0]
    )


def worst(decisions: Iterable[Decision]) -> Decision:
    """Take the decision that decides over all: INVALID before FAIL before CANNOT TELL before PASS.

    >>> worst(["PASS", "CANNOT TELL", "FAIL"])
    'FAIL'
    """
    return max(decisions, key=_GRAVITY.index, default="PASS")


def _decide_text(figure: Figure, allowed: Sequence[str]) -> tuple[Decision, str]:
    """Judge a text: it must be one of those allowed."""
    if not figure.text:
        return "CANNOT TELL", "nothing was measured"
    if figure.text in allowed:
        return "PASS", f"{figure.text} is allowed"
    if figure.text in NO_NUMBER:
        return "CANNOT TELL", f"the run says {figure.text}"
    return "FAIL", f"{figure.text} is not among: {', '.join(allowed)}"


def _sides(low: float, high: float, limits: Limits) -> list[tuple[float, float, float, bool]]:
    """List for each limit the guarding end, the other end, the limit, and whether it is a least."""
    sides = []
    if limits.at_least is not None:
        sides.append((low, high, limits.at_least, True))
    if limits.at_most is not None:
        sides.append((high, low, limits.at_most, False))
    return sides


def _decide_side(
    guard: float, other: float, limit: float, least: bool, lod: float, by: str
) -> tuple[Decision, str]:
    """Judge one limit by the end that guards it and the other end."""
    word, far = ("at least", "below") if least else ("at most", "above")
    end = "the figure" if by == "estimate" else f"the {'lower' if least else 'upper'} end"
    blind = lod > limit
    passes, fails = (guard >= limit, other < limit) if least else (guard <= limit, other > limit)
    if fails and not (least and blind):
        last = "the figure" if by == "estimate" else "the whole interval"
        return "FAIL", f"{last} is {far} {limit:.4g}"
    if blind:
        return "CANNOT TELL", f"the limit of detection, {lod:.4g}, is above the limit, {limit:.4g}"
    if passes:
        return "PASS", f"{end}, {guard:.4g}, is {word} {limit:.4g}"
    low, high = sorted((guard, other))
    return "CANNOT TELL", f"the interval, {low:.4g} to {high:.4g}, holds the limit, {limit:.4g}"
