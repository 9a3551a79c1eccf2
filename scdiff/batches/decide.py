"""Decide one criterion: compare a figure with its limits.

The end of the 95 % interval that protects the patient is compared with the limit.
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
"""Possible decisions, in the order of their exit codes."""

EXIT_CODES: dict[Decision, int] = {decision: code for code, decision in enumerate(DECISIONS)}
"""Exit code of the command for each decision: 0 to 3."""

_SEVERITY: tuple[Decision, ...] = ("PASS", "CANNOT TELL", "FAIL", "INVALID")
"""Decisions by severity: the most severe criterion decides the batch.

A failed criterion decides a batch even if another one is undecided. An invalid result allows no
statement about the batch.
"""


@dataclass(frozen=True)
class Figure:
    """A result: a number with its 95 % interval, or a text.

    Parameters
    ----------
    value, low, high
        The number and the ends of its 95 % interval, in one unit. Without an interval both ends
        equal the number. NaN if it was not measured.
    lod
        Limit of detection in the same unit; NaN for a figure without one.
    verdict
        Verdict of the row, as in ``fractions.csv``; empty if the row has no verdict.
    text
        The value of a text; empty for a number.
    reason
        Why the run marks the row as inconclusive; empty if it does not.
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
    """Limits of a figure.

    Parameters
    ----------
    at_least, at_most
        Lowest and highest value that passes, in the unit of the figure; None: no such limit.
    allowed
        Texts that pass, for a text; empty for a number.
    by
        ``bound``: the end of the interval that protects the patient decides. ``estimate``: the
        number itself decides.
    """

    at_least: float | None = None
    at_most: float | None = None
    allowed: Sequence[str] = field(default=())
    by: Literal["bound", "estimate"] = "bound"


def decide(figure: Figure, limits: Limits) -> tuple[Decision, str]:
    """Decide one figure; return the decision and the reason.

    ``PASS`` requires the whole interval within the limits, and a limit of detection that is not
    above them. ``FAIL`` requires the whole interval outside the limits. A figure below ``at_least``
    fails only if the limit of detection is not above this limit, too.

    Parameters
    ----------
    figure
        The number with its interval, or the text.
    limits
        Its limits, in the same unit.

    >>> decide(Figure(0.004, 0.002, 0.009, lod=0.005), Limits(at_most=0.02))
    ('PASS', 'the upper end, 0.009, is at most 0.02')
    >>> decide(Figure(0.0, 0.0, 0.001, lod=0.005), Limits(at_most=0.002))
    ('CANNOT TELL', 'the limit of detection, 0.005, is above the limit, 0.002')
    """
    if limits.allowed:
        return _decide_text(figure, limits.allowed)
    if figure.verdict in NO_NUMBER:
        return "CANNOT TELL", f"the verdict of the run is {figure.verdict}"
    low, high = (
        (figure.value, figure.value) if limits.by == "estimate" else (figure.low, figure.high)
    )
    if not all(map(math.isfinite, (figure.value, low, high))):
        return "CANNOT TELL", "no value was measured"
    sides = [_decide_side(*side, figure.lod, limits.by) for side in _list_sides(low, high, limits)]
    return next(
        (found for found in sides if found[0] == worst(side[0] for side in sides)), sides[0]
    )


def worst(decisions: Iterable[Decision]) -> Decision:
    """Return the most severe decision: INVALID before FAIL before CANNOT TELL before PASS.

    >>> worst(["PASS", "CANNOT TELL", "FAIL"])
    'FAIL'
    """
    return max(decisions, key=_SEVERITY.index, default="PASS")


def _decide_text(figure: Figure, allowed: Sequence[str]) -> tuple[Decision, str]:
    """Decide a text: it must be one of the allowed texts."""
    if not figure.text:
        return "CANNOT TELL", "no value was measured"
    if figure.text in allowed:
        return "PASS", f"{figure.text} is allowed"
    if figure.text in NO_NUMBER:
        return "CANNOT TELL", f"the verdict of the run is {figure.text}"
    return "FAIL", f"{figure.text} is not allowed; allowed: {', '.join(allowed)}"


def _list_sides(low: float, high: float, limits: Limits) -> list[tuple[float, float, float, bool]]:
    """Return for each limit the deciding end, the other end, the limit, and whether it is lower."""
    sides = []
    if limits.at_least is not None:
        sides.append((low, high, limits.at_least, True))
    if limits.at_most is not None:
        sides.append((high, low, limits.at_most, False))
    return sides


def _decide_side(
    guard: float, other: float, limit: float, least: bool, lod: float, by: str
) -> tuple[Decision, str]:
    """Decide one limit by the deciding end of the interval and the other end."""
    word, far = ("at least", "below") if least else ("at most", "above")
    bound = "the lower end" if least else "the upper end"
    end = "the figure" if by == "estimate" else bound
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
    return "CANNOT TELL", f"the interval, {low:.4g} to {high:.4g}, includes the limit, {limit:.4g}"
