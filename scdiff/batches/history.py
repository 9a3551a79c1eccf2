"""The history of batches: runs, decisions, notes and baselines, appended and never changed.

A later row supersedes an earlier one and gives the reason; both stay in the history. Every function
opens its own transaction.
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
"""What a run measures: a product batch, or control material that is the same in every run."""

MAX_NAME_LENGTH = 200
"""Maximum number of characters of a batch name: the width of its column in the database."""


@dataclass(frozen=True)
class Facts:
    """Facts about a run that its output folder does not contain.

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
        """Return the columns of the table of runs, with times in UTC.

        Raises
        ------
        ConfigError
            If a number is out of range, or a time cannot be read.
        UnknownNameError
            If the role is unknown.
        """
        role = self.role.replace("_", " ").strip()
        if role not in ROLES:
            raise UnknownNameError(
                f"--role {self.role!r}: this role is unknown. {did_you_mean(self.role, ROLES)}"
            )
        for name, value in (("passage", self.passage), ("culture day", self.culture_day)):
            if value is not None and not 0 <= value < 10_000:
                raise ConfigError(f"{name} {value}: must be at least 0 and below 10,000.")
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
    """An open history.

    Parameters
    ----------
    engine
        Returned by :func:`scdiff.batches.database.connect`.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def add_run(
        self, run: RunFolder, facts: Facts, *, reason: str | None = None, again: bool = False
    ) -> tuple[Entry, bool]:
        """Append one run, as :meth:`add_runs` does.

        Parameters
        ----------
        run, facts, reason
            As in :meth:`add_runs`.
        again
            Whether a run of the same inputs may supersede the earlier run of its batch without a
            given reason. The reason is then found by comparison (changed version or options), and
            missing facts are copied from the earlier run.

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
        """Append all runs or none; skip a run that has the same numbers as before.

        Parameters
        ----------
        runs
            For each run its output folder and the facts that the folder does not contain, in the
            order of analysis.
        reason
            Why these runs supersede earlier runs of the same batches; required if there are any.
            Missing facts are copied from the superseded run.
        again
            As in :meth:`add_run`.

        Returns
        -------
        For each run its entry, and whether the entry is new.

        Raises
        ------
        ConfigError
            If the history has this batch with other numbers and no reason is given, or if the time
            is earlier than the last row.
        """
        prepared = [
            (
                run,
                _check_batch_name(run.name if facts.batch is None else facts.batch),
                facts.columns(),
                times.utc(facts.analysed, option="--analysed"),
            )
            for run, facts in runs
        ]
        with database.alone(self.engine) as connection:
            return [_add_run(connection, *one, reason=reason, again=again) for one in prepared]

    def add_note(self, batch: str, note: Mapping[str, str | None]) -> Entry:
        """Append a note on a run.

        Parameters
        ----------
        batch
            Name of the batch, or number of the entry.
        note
            ``cause``, ``action`` and ``who``; also ``chart`` and ``rule`` if the note answers a
            rule violation.

        Raises
        ------
        ConfigError
            If ``cause``, ``action`` or ``who`` is empty.
        UnknownNameError
            If the run is unknown.
        """
        for name in ("cause", "action", "who"):
            if not (note.get(name) or "").strip():
                raise ConfigError(
                    f"--{name} is empty: a note needs a cause, an action and a name (--who)."
                )
        with database.alone(self.engine) as connection:
            run = _find_run(connection, batch)
            return append(connection, "note", {"run": run, **note}, recorded=times.now())

    def add_decision(self, batch: str, decision: Mapping[str, str | None]) -> Entry:
        """Append the release decision on a run.

        Parameters
        ----------
        batch
            Name of the batch, or number of the entry.
        decision
            ``specification`` and ``decision``; also ``version``, ``sha256`` (of ``release.json``),
            ``page`` and ``who`` if they are known.

        Raises
        ------
        UnknownNameError
            If the run is unknown.
        """
        with database.alone(self.engine) as connection:
            row = {"run": _find_run(connection, batch), **decision}
            return append(connection, "decision", row, recorded=times.now())

    def add_decisions(
        self,
        decisions: Sequence[tuple[str, Mapping[str, str | None]]],
        *,
        fractions: Mapping[str, str],
    ) -> list[Entry]:
        """Append release decisions on the runs that were decided, all or none.

        Parameters
        ----------
        decisions
            Name of the batch and decision, as in :meth:`add_decision`.
        fractions
            SHA-256 of the decided ``fractions.csv``, by batch; the current run of each batch must
            have the same one.

        Raises
        ------
        UnknownNameError
            If a batch has no run.
        ConfigError
            If the current run of a batch has another ``fractions.csv``.
        """
        recorded = times.now()
        with database.alone(self.engine) as connection:
            runs = {name: _match_run(connection, name, sha) for name, sha in fractions.items()}
            return [
                append(connection, "decision", {"run": runs[batch], **decision}, recorded=recorded)
                for batch, decision in decisions
            ]

    def check_runs(self, fractions: Mapping[str, str]) -> None:
        """Raise an error unless the current run of each batch has the given ``fractions.csv``.

        Parameters
        ----------
        fractions
            SHA-256 of ``fractions.csv``, by batch.

        Raises
        ------
        ScdiffError
            As :meth:`add_decisions`.
        """
        with database.reading(self.engine) as connection:
            for batch, sha256 in fractions.items():
                _match_run(connection, batch, sha256)

    def add_baseline(self, row: Mapping[str, Any]) -> tuple[Entry, int]:
        """Lock a baseline: append it as the next version of its name.

        Returns
        -------
        The entry, and the version number.

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
                    f"baseline {row['name']!r} is already locked as version {version - 1}. Give "
                    "the reason for a new version with --reason, or choose another name."
                )
            return append(
                connection, "baseline", dict(row) | {"version": version}, recorded=times.now()
            ), version

    def runs(self, *, superseded: bool = False) -> pd.DataFrame:
        """Return the runs in their order; ``superseded`` includes the superseded ones."""
        return self._frame(RUNS, superseded=superseded)

    def notes(self) -> pd.DataFrame:
        """Return all notes."""
        return self._frame(NOTES, superseded=True)

    def decisions(self) -> pd.DataFrame:
        """Return all release decisions."""
        return self._frame(DECISIONS, superseded=True)

    def baselines(self) -> pd.DataFrame:
        """Return all locked baselines."""
        return self._frame(BASELINES, superseded=True)

    def readouts(self, program: str | None = None, state: str | None = None) -> pd.DataFrame:
        """Return the read-outs of all runs; ``number`` is the entry number of the run."""
        query = sa.select(READOUTS).order_by(
            READOUTS.c.number, READOUTS.c.program, READOUTS.c.state, READOUTS.c.sample
        )
        for column, value in ((READOUTS.c.program, program), (READOUTS.c.state, state)):
            query = query if value is None else query.where(column == value)
        return self._read(query, READOUTS)

    def successors(self) -> dict[int, int]:
        """Map each superseded run to the entry that supersedes it."""
        query = sa.select(RUNS.c.supersedes, RUNS.c.number).where(RUNS.c.supersedes.is_not(None))
        with database.reading(self.engine) as connection:
            return {int(row.supersedes): int(row.number) for row in connection.execute(query)}

    def readout_names(self) -> list[tuple[str, str]]:
        """Return programme and state of every read-out in the history."""
        query = (
            sa.select(READOUTS.c.program, READOUTS.c.state)
            .distinct()
            .order_by(READOUTS.c.program, READOUTS.c.state)
        )
        with database.reading(self.engine) as connection:
            return [(str(row.program), str(row.state)) for row in connection.execute(query)]

    def entries(self) -> pd.DataFrame:
        """Return number, kind, time and hash of every entry."""
        return self._read(sa.select(ENTRIES).order_by(ENTRIES.c.number), ENTRIES)

    def verify(self) -> tuple[Entry, list[Fault]]:
        """Recompute the hash chain; return its head and all faults."""
        with database.reading(self.engine) as connection:
            return head_of(connection), find_faults(connection)

    def holds(self, hash_: str) -> int | None:
        """Return the number of the entry with this hash; ``None`` if it is missing."""
        with database.reading(self.engine) as connection:
            query = sa.select(ENTRIES.c.number).where(
                ENTRIES.c.hash.startswith(hash_, autoescape=True)
            )
            return connection.execute(query).scalar()

    def _frame(self, table: sa.Table, *, superseded: bool) -> pd.DataFrame:
        """Return a table with the time at which each row was recorded."""
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
        """Run a query; return its rows as a data frame."""
        import pandas as pd

        with database.reading(self.engine) as connection:
            rows = connection.execute(query).all()
        return pd.DataFrame([tuple(row) for row in rows], columns=[*table.columns.keys(), *more])


def open_history(url: str, *, create: bool = False) -> History:
    """Open the history at a SQLAlchemy URL; create it if ``create`` is set.

    Raises
    ------
    ScdiffError
        As :func:`scdiff.batches.database.connect`.
    """
    return History(database.connect(url, create=create))


def _add_run(
    connection: Connection,
    run: RunFolder,
    batch: str,
    columns: dict[str, Any],
    analysed: str | None,
    *,
    reason: str | None,
    again: bool,
) -> tuple[Entry, bool]:
    """Append one run within an open transaction."""
    there = _find_current_run(connection, batch)
    if there is None and reason is not None:
        raise ConfigError(f"--supersede: the history has no run of batch {batch!r} to supersede.")
    replaced: dict[str, Any] = {}
    if there is not None:
        if again:
            columns["role"] = there["role"]
        if reason is None and _is_unchanged(there, run.row, columns):
            return Entry(there["number"], _read_hash(connection, there["number"])), False
        reason = reason or (_explain_change(there, run.row) if again else None)
        if reason is None:
            raise ConfigError(
                f"batch {batch!r} is already in the history with other numbers or facts (entry "
                f"{there['number']}). Give the reason why this run replaces it with `scdiff "
                "history add --supersede`, or another name with --batch."
            )
        replaced = {"supersedes": there["number"], "reason": reason}
        columns = {name: there[name] if value is None else value for name, value in columns.items()}
    last = connection.execute(sa.select(sa.func.max(RUNS.c.analysed))).scalar()
    columns["analysed"] = times.choose_time(analysed, last, columns["collected"])
    row = run.row | columns | {"batch": batch} | replaced
    return append(connection, "run", row, recorded=times.now(), readouts=run.readouts), True


def _explain_change(there: Mapping[str, Any], found: Mapping[str, Any]) -> str | None:
    """Return why a run gave other numbers; ``None`` if its inputs differ: another batch."""
    if there["inputs"] != found.get("inputs") or there["inputs"] is None:
        return None
    if there["scdiff"] != found["scdiff"]:
        return f"run again: scdiff {there['scdiff']} to {found['scdiff']}"
    if there["options"] != found["options"]:
        return "run again: other options"
    return (
        "run again: other definition of a programme"
        if _has_other_programs(there, found)
        else "run again: same inputs, options and version"
    )


def _has_other_programs(there: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Return whether the programmes differ; unknown ones do not."""
    known = there.get("programs"), found.get("programs")
    return all(isinstance(text, str) for text in known) and known[0] != known[1]


def _check_batch_name(name: str) -> str:
    """Return the name of a batch without outer spaces; raise ConfigError if it is not valid."""
    name = name.strip()
    if not name or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise ConfigError(
            f"--batch {name[:40]!r}: a batch name must have 1 to {MAX_NAME_LENGTH} printable "
            "characters."
        )
    return name


def _find_current_run(connection: Connection, batch: str) -> dict[str, Any] | None:
    """Return the current run of a batch: the one that no other run supersedes."""
    row = (
        connection.execute(
            sa.select(RUNS).where(RUNS.c.batch == batch).order_by(RUNS.c.number.desc()).limit(1)
        )
        .mappings()
        .one_or_none()
    )
    return None if row is None else dict(row)


def _is_unchanged(
    there: Mapping[str, Any], found: Mapping[str, Any], columns: Mapping[str, Any]
) -> bool:
    """Check whether a run adds nothing: same read-outs, method and facts."""
    keys = ("fractions_sha256", "options", "scdiff")
    facts = {name: value for name, value in columns.items() if value is not None}
    return (
        all(there[key] == found[key] for key in keys)
        and all(there[name] == value for name, value in facts.items())
        and not _has_other_programs(there, found)
    )


def _read_hash(connection: Connection, number: int) -> str:
    """Return the hash of an entry."""
    return str(
        connection.execute(sa.select(ENTRIES.c.hash).where(ENTRIES.c.number == number)).scalar_one()
    )


def _find_run(connection: Connection, batch: str) -> int:
    """Return the entry number of a run, found by batch name or by entry number."""
    found = _find_current_run(connection, batch)
    if found is not None:
        return int(found["number"])
    if (
        batch.isdecimal()
        and connection.execute(sa.select(RUNS.c.number).where(RUNS.c.number == int(batch))).scalar()
    ):
        return int(batch)
    hint = _suggest_batches(batch, _list_batches(connection))
    raise UnknownNameError(f"the history has no batch {batch!r}. {hint}")


def _match_run(connection: Connection, batch: str, sha256: str) -> int:
    """Return the entry number of the current run of a batch; raise if its numbers differ."""
    run = _find_current_run(connection, batch)
    if run is None:
        raise UnknownNameError(
            f"the history has no run of batch {batch!r}, so a decision cannot be registered. "
            f"{_suggest_batches(batch, _list_batches(connection))} Register the run first with "
            "`scdiff history add`."
        )
    if run["fractions_sha256"] != sha256:
        raise ConfigError(
            f"batch {batch!r}: the history has other numbers (entry {run['number']}) than the "
            "folder of the result. Register this result first with `scdiff history add "
            "--supersede`, or decide the registered one."
        )
    return int(run["number"])


def _list_batches(connection: Connection) -> Sequence[str]:
    """Return the names of up to 1,000 batches, for a hint."""
    query = sa.select(RUNS.c.batch).distinct().order_by(RUNS.c.batch).limit(1000)
    return connection.execute(query).scalars().all()


def _suggest_batches(batch: str, names: Sequence[str]) -> str:
    """Return a hint for an unknown batch: the closest name, and some of the others."""
    import difflib

    near = difflib.get_close_matches(batch, names, n=1)
    return did_you_mean(batch, dict.fromkeys([*near, *names[:10]]))
