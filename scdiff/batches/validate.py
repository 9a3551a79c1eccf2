"""Validate the method by a protocol.

Lock the protocol, measure the batches, and decide the acceptance criteria.
"""

from __future__ import annotations

import hashlib
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scdiff import __version__
from scdiff.batches.decide import Figure, decide, worst
from scdiff.batches.findings import find_all
from scdiff.batches.measure import Measurer, measure_counts
from scdiff.batches.protocol import FIGURES, LOCK, Acceptance, Locked, load_protocol, lock_protocol
from scdiff.batches.study import measure_sheet, measure_study
from scdiff.batches.validation import Accepted, Validation
from scdiff.storage.atomic import replace_atomically
from scdiff.storage.checkpoint import Checkpoints

__all__ = ["assess", "validate_method"]

REPORT, RECORD, BATCHES, SUMS = (
    "validation.html",
    "validation.json",
    "batches.csv",
    "validation.sha256",
)
"""Files in the folder of a validation."""


def validate_method(
    protocol: str | Path, out: Path, *, measurer: Measurer = measure_counts
) -> Validation:
    """Validate the method, and write the report.

    The files are ``validation.html``, ``validation.json``, ``batches.csv``, one table per section,
    and ``validation.sha256``.

    Parameters
    ----------
    protocol
        Path of a YAML file, or the name of a shipped protocol.
    out
        Folder of the validation.
    measurer
        Function that measures a batch.

    Raises
    ------
    ScdiffError
        If the protocol or the data cannot be used, or the folder is locked for another protocol.
    """
    locked = load_protocol(protocol)
    with Checkpoints(out).locked():
        lock = lock_protocol(locked, out)
        found = assess(locked, lock, measurer=measurer)
        _write(found, out)
    return found


def assess(protocol: Locked, lock: str = "", *, measurer: Measurer = measure_counts) -> Validation:
    """Measure the batches and decide the criteria; write no file.

    Parameters
    ----------
    protocol
        The protocol.
    lock
        Text of its lock.
    measurer
        Function that measures a batch.

    Raises
    ------
    ScdiffError
        If the data cannot be used.
    """
    measure = measure_study if protocol.content.kind == "in silico" else measure_sheet
    rows = measure(protocol, measurer=measurer)
    findings = find_all(rows, goal=protocol.content.total_error)
    figures = {name: figure for finding in findings for name, figure in finding.figures.items()}
    accepted = [
        _accept(criterion, figures.get(criterion.figure, Figure()))
        for criterion in protocol.content.acceptance
    ]
    return Validation(
        protocol, lock, rows, findings, accepted, worst(one.decision for one in accepted)
    )


def _accept(criterion: Acceptance, figure: Figure) -> Accepted:
    """Decide one criterion; ``not contradicted`` fails only if the whole interval is outside."""
    decision, why = decide(figure, criterion.limits)
    if (
        criterion.judge == "not contradicted"
        and decision == "CANNOT TELL"
        and math.isfinite(figure.value)
    ):
        decision, why = "PASS", f"not contradicted: {why}"
    return Accepted(criterion, figure, decision, why)


def _write(found: Validation, out: Path) -> None:
    """Write the report, its record, the measurements, and last the hashes."""
    from scdiff.batches.validation_page import render_validation
    from scdiff.report.tables import csv_text

    contents = {BATCHES: csv_text(found.rows)}
    contents |= {
        f"{_name_file(finding.title)}.csv": csv_text(finding.table)
        for finding in found.findings
        if len(finding.table)
    }
    contents |= {
        RECORD: json.dumps(_build_record(found), indent=1, allow_nan=False) + "\n",
        REPORT: render_validation(found),
    }
    for name, text in contents.items():
        with replace_atomically(out / name) as partial:
            partial.write_text(text, encoding="utf-8")
    sums = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in contents.items()}
    sums[LOCK] = hashlib.sha256(found.lock.encode()).hexdigest()
    with replace_atomically(out / "protocol.yaml") as partial:
        partial.write_bytes(found.protocol.data)
    sums["protocol.yaml"] = found.protocol.sha256
    with replace_atomically(out / SUMS) as partial:
        partial.write_text(
            "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(sums.items())),
            encoding="utf-8",
        )


def _name_file(title: str) -> str:
    """Return the file name of a section, without its ending."""
    return title.lower().replace(" ", "_")


def _build_record(found: Validation) -> dict[str, Any]:
    """Return the record of a validation."""
    content = found.protocol.content
    return {
        "schema_version": 1,
        "scdiff": __version__,
        "written": datetime.now(tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "protocol": {
            "name": content.name,
            "version": content.version,
            "sha256": found.protocol.sha256,
            "lock": found.lock,
        },
        "decision": found.decision,
        "exit_code": found.exit_code,
        "batches": len(found.rows),
        "acceptance": [
            {
                "figure": one.criterion.figure,
                "meaning": FIGURES[one.criterion.figure],
                "at_least": one.criterion.at_least,
                "at_most": one.criterion.at_most,
                "judge": one.criterion.judge,
                **{
                    name: _drop_infinite(getattr(one.figure, name))
                    for name in ("value", "low", "high")
                },
                "decision": one.decision,
                "why": one.why,
                "source": one.criterion.source,
            }
            for one in found.accepted
        ],
        "findings": {finding.title: finding.sentence for finding in found.findings},
    }


def _drop_infinite(value: float) -> float | None:
    """Return a number for JSON: None if it is not finite."""
    return value if math.isfinite(value) else None
