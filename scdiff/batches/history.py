"""The history of batches: runs, decisions, notes and baselines, appended and never changed.

A row is superseded by a later one that says why; both stay. Every function opens a transaction of
its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from scdiff.batches import database, times
from scdiff.batches.chain import Entry, Fault, append, find_faults, head_of
from scdiff.batches.schema import BASELINES, DECISIONS, ENTRIES, NOTES, READOUTS, RUNS, canonical
from scdiff.errors import ConfigError, UnknownNameError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy.engine import Connection, Engine

    from scdiff.batches.folder import RunFolder

__all__ = ["ROLES", "Facts", "History", "open_history"]

ROLES = ("batch", "run control", "reference")
"""What a run measures: a product batch, or material that is the same every time."""

LONGEST = 200
"""Most characters of a batch's name."""


@dataclass(frozen=True)
class Facts:
    """What the output folder of a run does not tell.

    ``culture_day`` is in days, ``lots`` maps a reagent to its lot, times are ISO 8601 with a zone.
    """

    batch: str | None = None
    role: str = "batch"
    donor: str | None = None
    passage: int | None = None
    culture_day: float | None = None
    operator: str | None = None
    lots: Mapping[str, str] = field(default_factory=dict)
    chemistry: str | None = None
    specification: str | None = None
    collected: str | None = None
    analysed: str | None = None

    def columns(self) -> dict[str, Any]:
        """Give the columns of the table of runs, times in UTC.

        Raises
        ------
        ConfigError
            If a value cannot be.
        UnknownNameError
            If the role is unknown.
        """
        role = self.role.replace("_", " ").strip()
        if role not in ROLES:
            raise UnknownNameError(
                f"--role {self.role!r}: no such role. {did_you_mean(self.role, ROLES)}"
            )
        for name, value in (("passage", self.passage), ("culture day", self.culture_day)):
            if value is not None and not 0 <= value < 10_000:
                raise ConfigError(f"{name} {value}: must be 0 or more, and below 10,000.")
        plain = {
            name: getattr(self, name)
            for name in (
                "donor",
                "passage",
                "culture_day",
                "operator",
                "chemistry",
                "specification",
            )
        }
        lots = canonical(dict(self.lots)) if self.lots else None
        return plain | {
            "role": role,
            "lots": lots,
            "collected": times.utc(self.collected, option="--collected"),
        }


class History:
    """A history that is open.

    Parameters
    ----------
    engine
        As :func:`scdiff.batches.database.connect` gives it.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def add_run(
        self, run: RunFolder, facts: Facts, *, reason: str | None = None, again: bool = False
    ) -> tuple[Entry, bool]:
        """Append one run (:meth:`add_runs`).

        Parameters
        ----------
        run, facts, reason
            As in :meth:`add_runs`.
        again
            Let a run of the same inputs supersede the one of its batch, for the reason that shows
            (version or options changed), with the facts of that one.

        Raises
        ------
        ScdiffError
            As :meth:`add_runs`.
        """
        return self.add_runs([(run, facts)], reason=reason, again=again)[0]

    def add_runs(
        self,
        runs: Sequence[tuple[RunFolder, Facts]],
        *,
        reason: str | None = None,
        again: bool = False,
    ) -> list[tuple[Entry, bool]]:
        """Append runs, all or none; a run with the same numbers as before is not repeated.

        Parameters
        ----------
        runs
            Of each, what its folder says and what it does not say, in the order of analysis.
        reason
            Why they supersede the runs of their batches that are there; needed where there are any.
            Facts that are not given stay those of the run that is superseded.
        again
            As in :meth:`add_run`.

        Returns
        -------
        Of each the entry, and whether it is new.

        Raises
        ------
        ConfigError
            If a batch is there with other numbers and no reason is given, or its time precedes the
            last row.
        """
        prepared = [
            (
                run,
                _batch_name(run.name if facts.batch is None else facts.batch),
                facts.columns(),
                times.utc(facts.analysed, option="--analysed"),
            )
            for run, facts in runs
        ]
        with database.alone(self.engine) as connection:
            return [_add(connection, *one, reason=reason, again=again) for one in prepared]

    def add_note(self, batch: str, note: Mapping[str, str | None]) -> Entry:
        """Append a note on a run.

        Parameters
        ----------
        batch
            Name of the batch, or number of the entry.
        note
            ``cause``, ``action``, ``who``, and where it answers a broken rule ``chart`` and
            ``rule``.

        Raises
        ------
        ConfigError
            If cause, action or name is empty.
        UnknownNameError
            If the run is unknown.
        """
        for name in ("cause", "action", "who"):
            if not (note.get(name) or "").strip():
                raise ConfigError(f"--{name}: a note says cause, action and who; {name} is empty.")
        with database.alone(self.engine) as connection:
            run = _run_named(connection, batch)
            return append(connection, "note", {"run": run, **note}, recorded=times.now())

    def add_decision(self, batch: str, decision: Mapping[str, str | None]) -> Entry:
        """Append the decision of a release on a run.

        Parameters
        ----------
        batch
            Name of the batch, or number of the entry.
        decision
            ``specification``, ``decision``, and where known ``version``, ``sha256``, ``page``,
            ``who``.

        Raises
        ------
        UnknownNameError
            If the run is unknown.
        """
        with database.alone(self.engine) as connection:
            return append(
                connection,
                "decision",
                {"run": _run_named(connection, batch), **decision},
                recorded=times.now(),
            )

    def add_baseline(self, row: Mapping[str, Any]) -> tuple[Entry, int]:
        """Lock a baseline: append it as the next version of its name.

        Returns
        -------
        The entry, and the version.

        Raises
        ------
        ConfigError
            If the name is taken and no reason for a new version is given.
        """
        with database.alone(self.engine) as connection:
            query = sa.select(sa.func.max(BASELINES.c.version)).where(
                BASELINES.c.name == row["name"]
            )
            version = (connection.execute(query).scalar() or 0) + 1
            if version > 1 and not row.get("reason"):
                raise ConfigError(
                    f"baseline {row['name']!r} is locked as version {version - 1}. Say with "
                    "--reason why there is a new one, or give another name."
                )
            return append(
                connection, "baseline", dict(row) | {"version": version}, recorded=times.now()
            ), version

    def runs(self, *, superseded: bool = False) -> pd.DataFrame:
        """Read the runs in their order; those that a later one supersedes only where asked for."""
        return self._frame(RUNS, superseded=superseded)

    def notes(self) -> pd.DataFrame:
        """Read the notes."""
        return self._frame(NOTES, superseded=True)

    def decisions(self) -> pd.DataFrame:
        """Read the decisions of releases."""
        return self._frame(DECISIONS, superseded=True)

    def baselines(self) -> pd.DataFrame:
        """Read the locked baselines."""
        return self._frame(BASELINES, superseded=True)

    def readouts(self, program: str | None = None, state: str | None = None) -> pd.DataFrame:
        """Read the read-outs of all runs, or one of them; ``number`` is the entry of the run."""
        query = sa.select(READOUTS).order_by(
            READOUTS.c.number, READOUTS.c.program, READOUTS.c.state, READOUTS.c.sample
        )
        for column, value in ((READOUTS.c.program, program), (READOUTS.c.state, state)):
            query = query if value is None else query.where(column == value)
        return self._read(query, READOUTS)

    def successors(self) -> dict[int, int]:
        """Map each superseded run to the entry that replaced it."""
        query = sa.select(RUNS.c.supersedes, RUNS.c.number).where(RUNS.c.supersedes.is_not(None))
        with database.reading(self.engine) as connection:
            return {int(row.supersedes): int(row.number) for row in connection.execute(query)}

    def readout_names(self) -> list[tuple[str, str]]:
        """Programme and state of every read-out that a run has."""
        query = (
            sa.select(READOUTS.c.program, READOUTS.c.state)
            .distinct()
            .order_by(READOUTS.c.program, READOUTS.c.state)
        )
        with database.reading(self.engine) as connection:
            return [(str(row.program), str(row.state)) for row in connection.execute(query)]

    def entries(self) -> pd.DataFrame:
        """Read numbers, kinds, times and hashes of all entries."""
        return self._read(sa.select(ENTRIES).order_by(ENTRIES.c.number), ENTRIES)

    def verify(self) -> tuple[Entry, list[Fault]]:
        """Recompute the chain; return its head and what does not hold."""
        with database.reading(self.engine) as connection:
            return head_of(connection), find_faults(connection)

    def holds(self, hash_: str) -> int | None:
        """Find the entry of a hash that was written down before."""
        with database.reading(self.engine) as connection:
            query = sa.select(ENTRIES.c.number).where(
                ENTRIES.c.hash.startswith(hash_, autoescape=True)
            )
            return connection.execute(query).scalar()

    def _frame(self, table: sa.Table, *, superseded: bool) -> pd.DataFrame:
        """Read a table with the time at which each row was recorded."""
        columns = [*table.columns, ENTRIES.c.recorded]
        query = (
            sa.select(*columns)
            .join(ENTRIES, ENTRIES.c.number == table.c.number)
            .order_by(table.c.number)
        )
        frame = self._read(query, table, "recorded")
        return (
            frame
            if superseded
            else frame[~frame["number"].isin(frame["supersedes"].dropna())].reset_index(drop=True)
        )

    def _read(self, query: Any, table: sa.Table, *more: str) -> pd.DataFrame:
        """Run a query; give its rows as a frame."""
        import pandas as pd

        with database.reading(self.engine) as connection:
            rows = connection.execute(query).all()
        return pd.DataFrame([tuple(row) for row in rows], columns=[*table.columns.keys(), *more])


def open_history(url: str, *, create: bool = False) -> History:
    """Open the history at a URL of SQLAlchemy; make it if ``create`` is set.

    Raises
    ------
    ScdiffError
        As :func:`scdiff.batches.database.connect`.
    """
    return History(database.connect(url, create=create))


def _add(
    connection: Connection,
    run: RunFolder,
    batch: str,
    columns: dict[str, Any],
    analysed: str | None,
    *,
    reason: str | None,
    again: bool,
) -> tuple[Entry, bool]:
    """Append one run within a transaction."""
    there = _current_run(connection, batch)
    if there is None and reason is not None:
        raise ConfigError(
            f"--supersede: the history has no run of batch {batch!r} that could be superseded."
        )
    replaced: dict[str, Any] = {}
    if there is not None:
        if again:
            columns["role"] = there["role"]
        if reason is None and _same(there, run.row, columns):
            return Entry(there["number"], _hash(connection, there["number"])), False
        reason = reason or (_what_changed(there, run.row) if again else None)
        if reason is None:
            raise ConfigError(
                f"batch {batch!r} is in the history with other numbers or facts (entry "
                f"{there['number']}). Say with "
                "`scdiff history add --supersede` why this run replaces it, or give another name "
                "with --batch."
            )
        replaced = {"supersedes": there["number"], "reason": reason}
        columns = {name: there[name] if value is None else value for name, value in columns.items()}
    last = connection.execute(sa.select(sa.func.max(RUNS.c.analysed))).scalar()
    columns["analysed"] = times.choose_time(analysed, last, columns["collected"])
    row = run.row | columns | {"batch": batch} | replaced
    return append(connection, "run", row, recorded=times.now(), readouts=run.readouts), True


def _what_changed(there: Mapping[str, Any], found: Mapping[str, Any]) -> str | None:
    """Say why a run gave other numbers; nothing where its inputs differ, as of another batch."""
    if there["inputs"] != found.get("inputs") or there["inputs"] is None:
        return None
    if there["scdiff"] != found["scdiff"]:
        return f"run again: scdiff {there['scdiff']} to {found['scdiff']}"
    return (
        "run again: other options"
        if there["options"] != found["options"]
        else "run again: same inputs, options and version"
    )


def _batch_name(name: str) -> str:
    """Check the name of a batch."""
    name = name.strip()
    if not name or len(name) > LONGEST or not name.isprintable():
        raise ConfigError(
            f"--batch {name[:40]!r}: a batch's name has 1 to {LONGEST} printable characters."
        )
    return name


def _current_run(connection: Connection, batch: str) -> dict[str, Any] | None:
    """Find the run of a batch that none supersedes."""
    row = (
        connection.execute(
            sa.select(RUNS).where(RUNS.c.batch == batch).order_by(RUNS.c.number.desc()).limit(1)
        )
        .mappings()
        .one_or_none()
    )
    return None if row is None else dict(row)


def _same(there: Mapping[str, Any], found: Mapping[str, Any], columns: Mapping[str, Any]) -> bool:
    """Whether a run brings nothing new: same read-outs, options, version and facts."""
    keys = ("fractions_sha256", "options", "scdiff")
    facts = {name: value for name, value in columns.items() if value is not None}
    return all(there[key] == found[key] for key in keys) and all(
        there[name] == value for name, value in facts.items()
    )


def _hash(connection: Connection, number: int) -> str:
    """Hash of an entry."""
    return str(
        connection.execute(sa.select(ENTRIES.c.hash).where(ENTRIES.c.number == number)).scalar_one()
    )


def _run_named(connection: Connection, batch: str) -> int:
    """Find the run of a batch, by its name or the number of its entry."""
    found = _current_run(connection, batch)
    if found is not None:
        return int(found["number"])
    if (
        batch.isdecimal()
        and connection.execute(sa.select(RUNS.c.number).where(RUNS.c.number == int(batch))).scalar()
    ):
        return int(batch)
    names = (
        connection.execute(sa.select(RUNS.c.batch).distinct().order_by(RUNS.c.batch).limit(1000))
        .scalars()
        .all()
    )
    raise UnknownNameError(f"the history has no batch {batch!r}. {_near(batch, names)}")


def _near(batch: str, names: Sequence[str]) -> str:
    """End a sentence on an unknown batch: the near match, and some of the names."""
    import difflib

    near = difflib.get_close_matches(batch, names, n=1)
    return did_you_mean(batch, dict.fromkeys([*near, *names[:10]]))
