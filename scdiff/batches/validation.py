"""What a validation holds: protocol, measurements, findings, and the decision on each criterion."""

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
    """What a validation found.

    Parameters
    ----------
    protocol
        The protocol with its hash.
    lock
        Text of its lock, with the time before any data were read.
    rows
        The measurements.
    findings
        Section by section.
    accepted
        Criterion by criterion.
    decision
        Of all criteria together.
    """

    protocol: Locked
    lock: str
    rows: pd.DataFrame
    findings: list[Finding]
    accepted: list[Accepted]
    decision: Decision

    @property
    def exit_code(self) -> int:
        """Exit code of the decision."""
        return EXIT_CODES[self.decision]
