"""The hash chain: every row of the history has a hash of its content and of the row before it."""

from __future__ import annotations

import math
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
from scdiff.errors import InputError

__all__ = ["Entry", "Fault", "append", "entry_hash", "find_faults", "head_of"]

ENTRIES_AT_ONCE = 2_000
"""Number of entries that are verified together. It limits the memory; chosen, not tuned."""


@dataclass(frozen=True)
class Entry:
    """A written row: its number and its hash."""

    number: int
    hash: str


@dataclass(frozen=True)
class Fault:
    """A fault of one entry: its number, and a sentence that describes the fault."""

    number: int
    sentence: str


def head_of(connection: Connection) -> Entry:
    """Return number and hash of the last row; number 0 if the history is empty.

    Raises
    ------
    InputError
        If the number is damaged.
    """
    row = connection.execute(sa.select(HEAD.c.number, HEAD.c.hash)).first()
    if row is None:
        return Entry(0, GENESIS)
    if not isinstance(row.number, int):
        raise InputError("the number of the last row of the history is damaged.")
    return Entry(row.number, str(row.hash))


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
        A transaction with exclusive write access (:func:`scdiff.batches.database.alone`).
    kind
        ``run``, ``decision``, ``note`` or ``baseline``.
    row
        Columns of the table of this kind, without the number.
    recorded
        Time of writing, ISO 8601, UTC.
    readouts
        Rows of ``fractions.csv``, for a run only.
    """
    last, table = head_of(connection), TABLES[kind]
    number = last.number + 1
    content = plain_row(table, row)
    below = [_add_digest(plain_row(READOUTS, readout)) for readout in readouts]
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
    """Return the hash of an entry: previous hash, number, row, and read-outs in any order."""
    return digest(previous, str(number), kind, recorded, canonical(content), *sorted(digests))


def _add_digest(readout: dict[str, Any]) -> dict[str, Any]:
    """Return a read-out with its digest."""
    return readout | {"digest": digest(canonical(readout))}


def find_faults(connection: Connection) -> list[Fault]:
    """Recompute every hash; return the faults in the order of the entries.

    A changed row is reported once. The rows after it are not reported if they continue the stored
    chain. Rows of a damaged file are not read, because it may return them in any order.
    """
    if damage := _check_file(connection):
        return damage
    faults: list[Fault] = []
    previous, expected = GENESIS, 1
    for entry, row, readouts in _iterate_entries(connection):
        faults += [
            Fault(number, f"entry {number} is missing: a row was removed.")
            for number in _list_missing(expected, entry["number"])
        ]
        faults += _check_entry(
            entry, row, readouts, previous if entry["number"] == expected else None
        )
        previous, expected = entry["hash"], entry["number"] + 1
    head = head_of(connection)
    if head.number >= expected:
        faults += [
            Fault(number, f"entry {number} is missing: a row was removed from the end.")
            for number in _list_missing(expected, head.number + 1)
        ]
    elif head != Entry(expected - 1, previous):
        faults.append(
            Fault(
                expected - 1,
                f"entry {expected - 1} is not the entry that was written last: rows were added or "
                "changed at the end.",
            )
        )
    return sorted([*faults, *_find_strays(connection)], key=lambda fault: fault.number)


def _check_file(connection: Connection) -> list[Fault]:
    """Return a fault if a SQLite file is damaged, for example if an index differs from its table.

    A damaged index hides rows from some queries; their hashes are still correct.
    """
    if connection.dialect.name != "sqlite":
        return []
    found = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar_one()
    what = " ".join(str(found).split())
    return [] if what == "ok" else [Fault(0, f"the file of the history is damaged ({what}).")]


def _list_missing(start: int, stop: int, most: int = 100) -> range:
    """Return the missing entry numbers, at most ``most`` of them."""
    return range(start, min(stop, start + most))


def _check_entry(
    entry: dict[str, Any],
    row: dict[str, Any] | None,
    readouts: list[dict[str, Any]],
    previous: str | None,
) -> list[Fault]:
    """Return the faults of one entry."""
    number, kind = entry["number"], entry["kind"]
    if row is None:
        return [Fault(number, f"entry {number} ({kind}): its row was removed.")]
    name = f"entry {number} ({_name_entry(kind, row)})"
    faults = [Fault(number, f"{name}: {sentence}") for sentence in _check_readouts(readouts)]
    content = {key: value for key, value in row.items() if key != "number"}
    found = entry_hash(
        str(entry["previous"]),
        number,
        str(kind),
        str(entry["recorded"]),
        content,
        [str(one["digest"]) for one in readouts],
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
    """Return a sentence for each read-out whose digest does not match its content."""
    sentences = []
    for one in readouts:
        row = {key: one[key] for key in one if key not in {"number", "digest"}}
        if one["digest"] != digest(canonical(row)):
            name = f"{one['program']} {one['state']} of sample {one['sample']}"
            sentences.append(f"its read-out {name} was changed.")
    return sentences


def _name_entry(kind: str, row: Mapping[str, Any]) -> str:
    """Return a label of the content of an entry."""
    return {
        "run": lambda: f"run of batch {row['batch']}",
        "note": lambda: f"note on entry {row['run']}",
        "decision": lambda: f"decision on entry {row['run']}",
        "baseline": lambda: f"baseline {row['name']} version {row['version']}",
    }[kind]()


def _iterate_entries(
    connection: Connection,
) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None, list[dict[str, Any]]]]:
    """Yield every entry with its row and its read-outs, read in portions."""
    last, query = -1, sa.select(ENTRIES).order_by(ENTRIES.c.number).limit(ENTRIES_AT_ONCE)
    while entries := [
        _read_row(row)
        for row in connection.execute(query.where(ENTRIES.c.number > last)).mappings()
    ]:
        low, last = entries[0]["number"], entries[-1]["number"]
        rows = {
            kind: {row["number"]: row for row in _select_rows(connection, table, low, last)}
            for kind, table in TABLES.items()
        }
        readouts: dict[int, list[dict[str, Any]]] = {}
        for row in _select_rows(connection, READOUTS, low, last):
            readouts.setdefault(row["number"], []).append(row)
        for entry in entries:
            yield (
                entry,
                rows.get(entry["kind"], {}).get(entry["number"]),
                readouts.get(entry["number"], []),
            )


def _select_rows(
    connection: Connection, table: sa.Table, low: int, high: int
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table with numbers in a range."""
    query = sa.select(table).where(table.c.number.between(low, high))
    return map(_read_row, connection.execute(query).mappings())


def _read_row(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a row; a value that scdiff never writes, as bytes in a damaged file, as its text."""
    return {
        str(name): value
        if value is None or isinstance(value, str | int) or _is_finite(value)
        else repr(value)
        for name, value in row.items()
    }


def _is_finite(value: Any) -> bool:
    """Return whether a value is a finite float."""
    return isinstance(value, float) and math.isfinite(value)


def _find_strays(connection: Connection) -> list[Fault]:
    """Return a fault for each row without an entry: another program wrote it."""
    faults = []
    for kind, table in TABLES.items():
        query = sa.select(table.c.number).where(
            ~sa.exists().where(ENTRIES.c.number == table.c.number, ENTRIES.c.kind == kind)
        )
        numbers = sorted(connection.execute(query).scalars())
        faults += [
            Fault(number, f"row {number} of {table.name} has no entry: scdiff did not write it.")
            for number in numbers
        ]
    query = (
        sa.select(READOUTS.c.number)
        .where(~sa.exists().where(RUNS.c.number == READOUTS.c.number))
        .distinct()
    )
    return faults + [
        Fault(
            number if isinstance(number, int) else 0,
            f"read-outs of row {number} do not belong to a run.",
        )
        for number in sorted(connection.execute(query).scalars(), key=str)
    ]
