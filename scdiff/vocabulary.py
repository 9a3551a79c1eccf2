"""Words that have one meaning everywhere: verdicts, and the name of the row over all samples."""

from __future__ import annotations

from typing import Literal

__all__ = [
    "CONTINUUM",
    "DETECTED",
    "FOUND",
    "INCONCLUSIVE",
    "NOT_DETECTED",
    "NOT_MEASURABLE",
    "NO_NUMBER",
    "POOLED",
    "QUANTIFIED",
    "SEPARATE",
    "UNDECIDED",
    "VERDICTS",
    "Verdict",
]

Verdict = Literal["not detected", "detected", "quantified", "not measurable", "inconclusive"]
"""Verdict on a fraction; docs/tables.md says when each is given."""

NOT_DETECTED: Verdict = "not detected"
DETECTED: Verdict = "detected"
QUANTIFIED: Verdict = "quantified"
NOT_MEASURABLE: Verdict = "not measurable"
INCONCLUSIVE: Verdict = "inconclusive"

VERDICTS: tuple[Verdict, ...] = (NOT_DETECTED, DETECTED, QUANTIFIED, NOT_MEASURABLE, INCONCLUSIVE)

FOUND: tuple[Verdict, ...] = (DETECTED, QUANTIFIED)
"""Verdicts that state positive cells."""

NO_NUMBER: tuple[Verdict, ...] = (NOT_MEASURABLE, INCONCLUSIVE)
"""Verdicts that state no number."""

CONTINUUM = "continuum"
SEPARATE = "separate population"
UNDECIDED = "undecided"
"""Verdicts on the path from the start to the positive cells."""

POOLED = "all"
"""Sample name of the row that pools all samples that are not controls."""
