"""The chain: every row of the history carries the hash of its content and of the row before it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from scdiff.batches.schema import (
    ENTRIES,
    GENESIS,
    HEAD,
    READOUTS,
    RUNS,
    TABLES,
    canonical,
    digest,
    plain_row,
)

__all__ = ["Entry", "Fault", "append", "entry_hash", "find_faults", "head_of"]

AT_ONCE = 2_000
"""Entries that are verified together; bounds the memory."""


@dataclass(frozen=True)
class Entry:
    """A row that was written."""

    number: int
    hash: str


@dataclass(frozen=True)
class Fault:
    """What is wrong with one entry, in words."""

    number: int
    sentence: str


def head_of(connection: Connection) -> Entry:
    """Read number and hash of the last row; 0 where the history is empty."""
    row = connection.execute(sa.select(HEAD.c.number, HEAD.c.hash)).one_or_none()
    return Entry(0, GENESIS) if row is None else Entry(int(row.number), str(row.hash))


def append(
    connection: Connection,
    kind: str,
    row: Mapping[str, Any],
    *,
    recorded: str,
    readouts: Sequence[Mapping[str, Any]] = (),
) -> Entry:
    """Append one row to the history.

    Parameters
    ----------
    connection
        A transaction that no other writer shares (:func:`scdiff.batches.database.alone`).
    kind
        ``run``, ``decision``, ``note`` or ``baseline``.
    row
        Columns of its table, without the number.
    recorded
        Time of writing, ISO 8601 in UTC.
    readouts
        Of a run: rows of ``fractions.csv``.
    """
    last, table = head_of(connection), TABLES[kind]
    number = last.number + 1
    content = plain_row(table, row)
    below = [_with_digest(plain_row(READOUTS, readout)) for readout in readouts]
    text = entry_hash(last.hash, number, kind, recorded, content, [one["digest"] for one in below])
    connection.execute(
        sa.insert(ENTRIES),
        {"number": number, "kind": kind, "recorded": recorded, "previous": last.hash, "hash": text},
    )
    connection.execute(sa.insert(table), content | {"number": number})
    if below:
        connection.execute(sa.insert(READOUTS), [one | {"number": number} for one in below])
    connection.execute(sa.update(HEAD).values(number=number, hash=text))
    return Entry(number, text)


def entry_hash(
    previous: str,
    number: int,
    kind: str,
    recorded: str,
    content: Mapping[str, Any],
    digests: Iterable[str],
) -> str:
    """Hash an entry: what came before, its place, its row, its read-outs in any order."""
    return digest(previous, str(number), kind, recorded, canonical(content), *sorted(digests))


def _with_digest(readout: dict[str, Any]) -> dict[str, Any]:
    """Add the digest of a read-out."""
    return readout | {"digest": digest(canonical(readout))}


def find_faults(connection: Connection) -> list[Fault]:
    """Recompute every hash; return what does not hold, in the order of the entries.

    A changed row is named itself; the rows after it are not, as long as they follow what is stored.
    """
    faults, previous, expected = [], GENESIS, 1
    for entry, row, readouts in _everything(connection):
        faults += [
            Fault(number, f"entry {number} is missing: a row was removed.")
            for number in _missing(expected, entry["number"])
        ]
        faults += _faults_of(
            entry, row, readouts, previous if entry["number"] == expected else None
        )
        previous, expected = entry["hash"], entry["number"] + 1
    head = head_of(connection)
    if head.number >= expected:
        faults += [
            Fault(number, f"entry {number} is missing: a row was removed from the end.")
            for number in _missing(expected, head.number + 1)
        ]
    elif head != Entry(expected - 1, previous):
        faults.append(
            Fault(
                expected - 1,
                f"entry {expected - 1} is not the one that was written last: rows were added or "
                "changed at the end.",
            )
        )
    return sorted([*faults, *_strays(connection)], key=lambda fault: fault.number)


def _missing(start: int, stop: int, most: int = 100) -> range:
    """Numbers that lack; the first hundred of them."""
    return range(start, min(stop, start + most))


def _faults_of(
    entry: dict[str, Any],
    row: dict[str, Any] | None,
    readouts: list[dict[str, Any]],
    previous: str | None,
) -> list[Fault]:
    """Say what is wrong with one entry."""
    number, kind = entry["number"], entry["kind"]
    if row is None:
        return [Fault(number, f"entry {number} ({kind}): its row was removed.")]
    name = f"entry {number} ({_label(kind, row)})"
    faults = [Fault(number, f"{name}: {sentence}") for sentence in _check_readouts(readouts)]
    content = {key: value for key, value in row.items() if key != "number"}
    found = entry_hash(
        entry["previous"],
        number,
        kind,
        entry["recorded"],
        content,
        [one["digest"] for one in readouts],
    )
    if found != entry["hash"]:
        what = (
            "its row was changed or moved, or a read-out was added or removed"
            if readouts or kind == "run"
            else "its row was changed or moved"
        )
        faults.append(Fault(number, f"{name}: {what}."))
    if previous is not None and entry["previous"] != previous:
        faults.append(
            Fault(
                number,
                f"{name} does not follow entry {number - 1}: a row was replaced or reordered.",
            )
        )
    return faults


def _check_readouts(readouts: list[dict[str, Any]]) -> list[str]:
    """Say of each read-out that does not fit its digest that it was changed."""
    said = []
    for one in readouts:
        row = {key: one[key] for key in one if key not in {"number", "digest"}}
        if one["digest"] != digest(canonical(row)):
            name = f"{one['program']} {one['state']} of sample {one['sample']}"
            said.append(f"its read-out {name} was changed.")
    return said


def _label(kind: str, row: Mapping[str, Any]) -> str:
    """Name what an entry is about."""
    return {
        "run": lambda: f"run of batch {row['batch']}",
        "note": lambda: f"note on entry {row['run']}",
        "decision": lambda: f"decision on entry {row['run']}",
        "baseline": lambda: f"baseline {row['name']} version {row['version']}",
    }[kind]()


def _everything(
    connection: Connection,
) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None, list[dict[str, Any]]]]:
    """Give every entry with its row and its read-outs, some entries at a time."""
    last, query = -1, sa.select(ENTRIES).order_by(ENTRIES.c.number).limit(AT_ONCE)
    while entries := [
        dict(row) for row in connection.execute(query.where(ENTRIES.c.number > last)).mappings()
    ]:
        low, last = entries[0]["number"], entries[-1]["number"]
        rows = {
            kind: {row["number"]: dict(row) for row in _between(connection, table, low, last)}
            for kind, table in TABLES.items()
        }
        readouts: dict[int, list[dict[str, Any]]] = {}
        for row in _between(connection, READOUTS, low, last):
            readouts.setdefault(row["number"], []).append(dict(row))
        for entry in entries:
            yield (
                entry,
                rows.get(entry["kind"], {}).get(entry["number"]),
                readouts.get(entry["number"], []),
            )


def _between(connection: Connection, table: sa.Table, low: int, high: int) -> Iterable[Any]:
    """Rows of a table in a range of numbers."""
    return connection.execute(sa.select(table).where(table.c.number.between(low, high))).mappings()


def _strays(connection: Connection) -> list[Fault]:
    """Find rows without an entry: another program wrote them."""
    faults = []
    for kind, table in TABLES.items():
        query = sa.select(table.c.number).where(
            ~sa.exists().where(ENTRIES.c.number == table.c.number, ENTRIES.c.kind == kind)
        )
        numbers = sorted(connection.execute(query).scalars())
        faults += [
            Fault(
                number, f"row {number} of {table.name} has no entry: it was not written by scdiff."
            )
            for number in numbers
        ]
    query = (
        sa.select(READOUTS.c.number)
        .where(~sa.exists().where(RUNS.c.number == READOUTS.c.number))
        .distinct()
    )
    return faults + [
        Fault(number, f"read-outs of row {number} belong to no run.")
        for number in sorted(connection.execute(query).scalars())
    ]
