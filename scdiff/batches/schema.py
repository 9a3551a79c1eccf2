"""Define the tables of the history, and the text of a row that is hashed.

``entries`` numbers every row of the other tables and chains their hashes. ``head`` repeats the last
number and hash, so that rows removed from the end are detected, too. The read-outs of a run belong
to its entry. Only ``head`` is updated; all other rows are only appended.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, Float, ForeignKey, Integer, MetaData, String, Table, Text

__all__ = ["GENESIS", "KINDS", "METADATA", "TABLES", "canonical", "digest", "plain_row"]

GENESIS = "0" * 64
"""Previous hash of the first row."""

PREFIX = "scdiff_"
"""Prefix of the name of every table; it shows the owner in a shared database."""

METADATA = MetaData()


def _make_table(name: str, *columns: Column[Any]) -> Table:
    """Return a table whose row numbers refer to ``entries``."""
    number: Column[Any] = Column(
        "number",
        Integer,
        ForeignKey(f"{PREFIX}entries.number"),
        primary_key=True,
        autoincrement=False,
    )
    return Table(PREFIX + name, METADATA, number, *columns)


ENTRIES = Table(
    f"{PREFIX}entries",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(16), nullable=False),
    Column("recorded", String(32), nullable=False),  # ISO 8601, UTC
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
)

HEAD = Table(
    f"{PREFIX}head",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),
    Column("hash", String(64), nullable=False),
)

RUNS = _make_table(
    "runs",
    Column("batch", String(200), nullable=False, index=True),
    Column("role", String(16), nullable=False),
    Column("donor", Text),
    Column("passage", Integer),
    Column("culture_day", Float),
    Column("operator", Text),
    Column("lots", Text),  # JSON: reagent -> lot
    Column("chemistry", Text),
    Column("specification", Text),
    Column("collected", String(32)),
    Column("analysed", String(32), nullable=False, index=True),
    Column("scdiff", Text, nullable=False),
    Column("versions", Text),  # JSON: package -> version
    Column("options", String(64)),  # SHA-256 of the options that change a number
    Column("inputs", Text),  # JSON: sample -> SHA-256
    Column("species", Text),
    Column("technology", Text),
    Column("qc", Text),  # JSON: figure -> value
    Column("report", Text, nullable=False),
    Column("fractions_sha256", String(64), nullable=False),
    Column("result_sha256", String(64)),
    Column("supersedes", Integer),
    Column("reason", Text),
    Column("programs", Text),  # JSON: programme -> SHA-256 of its definition
)

READOUTS = Table(
    f"{PREFIX}readouts",
    METADATA,
    Column(
        "number", Integer, ForeignKey(f"{PREFIX}runs.number"), primary_key=True, autoincrement=False
    ),
    Column("program", String(200), primary_key=True),
    Column("state", String(200), primary_key=True),
    Column("sample", String(200), primary_key=True),
    Column("n_cells", Integer),
    Column("n_called", Integer),
    *(
        Column(name, Float)
        for name in (
            *(
                "fraction",
                "fraction_low",
                "fraction_high",
                "prevalence",
                "prevalence_low",
                "prevalence_high",
            ),
            *("prevalence_low_cells", "prevalence_high_cells", "lob", "lod", "lloq"),
        )
    ),
    Column("verdict", String(32), nullable=False),
    Column("why", Text),
    Column("digest", String(64), nullable=False),
)

DECISIONS = _make_table(
    "decisions",
    Column("run", Integer, nullable=False, index=True),
    Column("specification", Text, nullable=False),
    Column("version", Text),
    Column("decision", String(32), nullable=False),
    Column("sha256", String(64)),  # of release.json
    Column("page", Text),
    Column("who", Text),
)

NOTES = _make_table(
    "notes",
    Column("run", Integer, nullable=False, index=True),
    Column("chart", String(16)),
    Column("rule", String(32)),
    Column("cause", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("supersedes", Integer),
    Column("reason", Text),
)

BASELINES = _make_table(
    "baselines",
    Column("name", String(200), nullable=False),
    Column("version", Integer, nullable=False),
    Column("chart", String(16), nullable=False),
    Column("program", String(200), nullable=False),
    Column("state", String(200), nullable=False),
    Column("sample", String(200), nullable=False),
    Column("phase", Text, nullable=False),  # JSON: what must not change
    Column("runs", Text, nullable=False),  # JSON: numbers of the runs
    Column("centre", Float, nullable=False),  # logit
    Column("spread", Float, nullable=False),  # between batches, logit
    Column("centre_error", Float, nullable=False),
    Column("n_detected", Integer, nullable=False),
    Column("spread_error", Float, nullable=False),
    Column("score_mean", Float, nullable=False),
    Column("who", Text, nullable=False),
    Column("reason", Text),
)

TABLES = {"run": RUNS, "decision": DECISIONS, "note": NOTES, "baseline": BASELINES}
"""Table of each kind of entry."""

KINDS = tuple(TABLES)
"""Kinds of entries."""


def plain_row(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as the database returns it: typed numbers, and None for NaN.

    Raises
    ------
    KeyError
        If ``row`` names a column that the table does not have.
    """
    unknown = set(row) - set(table.columns.keys())
    if unknown:
        raise KeyError(f"{table.name} has no column {min(unknown)!r}")
    return {name: _convert(table.columns[name], value) for name, value in row.items()}


def _convert(column: Column[Any], value: Any) -> Any:
    """Convert one value to the type of its column."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(column.type, Integer):
        return int(value)
    if isinstance(column.type, Float):
        return float(value) + 0.0  # no negative zero: not every database keeps it
    # PostgreSQL does not store NUL; databases do not store half of a surrogate pair
    return str(value).replace("\x00", "").encode("utf-8", "replace").decode()


def canonical(row: Mapping[str, Any]) -> str:
    """Return a row as canonical JSON: sorted keys, no spaces, no missing values.

    Missing values are left out, so a column that a later version adds does not change a hash.

    >>> canonical({"b": 0.1, "a": None, "c": "é"})
    '{"b":0.1,"c":"é"}'
    """
    known = {name: value for name, value in row.items() if value is not None}
    return json.dumps(
        known, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def digest(*parts: str) -> str:
    """Return the SHA-256 of texts, each after its length, so that every list has its own hash."""
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        whole.update(f"{len(data)}:".encode() + data)
    return whole.hexdigest()
