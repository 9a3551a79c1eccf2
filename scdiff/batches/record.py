"""Define the record of a decision, ``release.json``.

The record has the results, the specifications, their hashes, and the decisions.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scdiff.batches.decide import DECISIONS, Decision, worst
from scdiff.errors import InputError

__all__ = [
    "CSV_COLUMNS",
    "SCHEMA_FILE",
    "Judgement",
    "Release",
    "Result",
    "Sheet",
    "Source",
    "decision_of",
    "json_schema",
    "read_release",
    "release_csv",
    "release_json",
]

SCHEMA_FILE = Path(__file__).parent / "release.schema.json"
"""JSON schema of ``release.json``, for other programs."""

NOT_COUNTED = ("NOT MEASURED", "REPORTED")
"""Lines that do not count for the decision."""

_STRICT = ConfigDict(extra="forbid")


class Judgement(BaseModel):
    """One line of a specification for one sample of one result; numbers are in ``unit``."""

    model_config = _STRICT

    id: str
    title: str
    part: Literal["suitability", "criterion"]
    kind: Literal["release", "report", "alert"]
    read_out: str
    sample: str
    unit: str
    figure: float | None
    low: float | None
    high: float | None
    lod: float | None
    verdict: str
    text: str
    at_least: float | None
    at_most: float | None
    allowed: list[str]
    judge: Literal["bound", "estimate"]
    decision: Literal["PASS", "FAIL", "CANNOT TELL", "INVALID", "NOT MEASURED", "REPORTED"]
    why: str
    advice: str
    source: str


class Source(BaseModel):
    """A specification: name, version, hash, origin, and its copy in the folder."""

    model_config = _STRICT

    name: str
    version: str
    title: str
    sha256: str
    origin: str
    file: str


class Result(BaseModel):
    """A run: its folder relative to the record, its version, files with hashes, inputs."""

    model_config = _STRICT

    batch: str
    folder: str
    version: str
    is_other_version: bool
    files: dict[str, str]
    inputs: list[dict[str, str]]


class Sheet(BaseModel):
    """The decision on one result by one specification."""

    model_config = _STRICT

    batch: str
    specification: str
    version: str
    decision: Decision
    judgements: list[Judgement]


class Release(BaseModel):
    """The whole record.

    Parameters
    ----------
    schema_version
        Version of this schema: 1.
    scdiff
        Version of scdiff that made the decision.
    judged
        Time of the decision, UTC.
    decision, exit_code
        Overall decision of all sheets.
    specifications, results, sheets
        Specifications, results, and one sheet for each pair of them.
    replaces
        SHA-256 of the earlier record in the folder; empty without one.
    """

    model_config = _STRICT

    schema_version: Literal[1] = 1
    scdiff: str
    judged: str
    decision: Decision
    exit_code: int = Field(ge=0, le=3)
    specifications: list[Source]
    results: list[Result]
    sheets: list[Sheet]
    replaces: str = ""


def decision_of(judgements: list[Judgement]) -> Decision:
    """Return the decision of a sheet.

    It is INVALID if a suitability criterion is not met, and otherwise the most severe decision of
    the release criteria. Lines of the kinds ``report`` and ``alert`` do not count. It is
    CANNOT TELL if no release criterion was measured.
    """
    counted = [
        line for line in judgements if line.kind == "release" and line.decision not in NOT_COUNTED
    ]
    if any(line.part == "suitability" and line.decision != "PASS" for line in counted):
        return "INVALID"
    given = {line.decision for line in counted if line.part == "criterion"}
    return worst(word for word in DECISIONS if word in given) if given else "CANNOT TELL"


def release_json(release: Release) -> str:
    """Return a record as JSON; equal records give equal bytes."""
    return (
        json.dumps(release.model_dump(mode="json"), indent=1, allow_nan=False, ensure_ascii=False)
        + "\n"
    )


def read_release(path: Path) -> Release:
    """Read a record.

    Raises
    ------
    InputError
        If it cannot be read, or does not match the schema.
    """
    try:
        return Release.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}). Give --out the folder of a "
            "decision."
        ) from None
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"])) or "the file"
        raise InputError(
            f"{path}: this is not a record of a decision ({place}: {fault['msg']})."
        ) from None


def json_schema() -> str:
    """Return the JSON schema of ``release.json``."""
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema"
    } | Release.model_json_schema()
    return json.dumps(schema, indent=1) + "\n"


CSV_COLUMNS = ("batch", "specification", "version", *Judgement.model_fields)
"""Columns of ``release.csv``."""


def release_csv(release: Release) -> str:
    """Return a CSV table with one row per line, to repeat each decision by hand."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for sheet in release.sheets:
        for line in sheet.judgements:
            values = line.model_dump() | {"allowed": "; ".join(line.allowed)}
            row = [sheet.batch, sheet.specification, sheet.version, *values.values()]
            writer.writerow([_format_field(value) for value in row])
    return text.getvalue()


def _format_field(value: Any) -> str:
    """Return a field of the table: no number as empty, a text without formulas."""
    from scdiff.report.tables import harmless

    if value is None:
        return ""
    return str(harmless(value)) if isinstance(value, str) else repr(value)
