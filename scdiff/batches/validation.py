"""Hold the results of a validation: protocol, measurements, findings and decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scdiff.batches.decide import EXIT_CODES, Decision, Figure
from scdiff.batches.protocol import Acceptance, Locked
from scdiff.batches.summaries import Finding

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Accepted", "Validation"]


@dataclass(frozen=True)
class Accepted:
    """An acceptance criterion with its figure and decision."""

    criterion: Acceptance
    figure: Figure
    decision: Decision
    why: str


@dataclass(frozen=True)
class Validation:
    """The results of a validation.

    Parameters
    ----------
    protocol
        The protocol.
    lock
        Text of its lock, with hash and time; it was written before any data were read.
    rows
        The measurements.
    findings
        Results, section by section.
    accepted
        Decisions, criterion by criterion.
    decision
        Overall decision.
    """

    protocol: Locked
    lock: str
    rows: pd.DataFrame
    findings: list[Finding]
    accepted: list[Accepted]
    decision: Decision

    @property
    def exit_code(self) -> int:
        """Exit code of the overall decision."""
        return EXIT_CODES[self.decision]
