"""The database of the history: looked at, opened, brought to the newest tables.

SQLite by default (one file, WAL, several writers wait for each other), PostgreSQL for a team.
Whoever appends holds the history alone until the transaction ends, so that the chain of hashes has
one order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from scdiff.batches.schema import METADATA
from scdiff.errors import ConfigError, InputError, OutputError

__all__ = ["alone", "connect", "reading", "translate_errors"]

BUSY_MS = 120_000
"""How long a writer waits for others, milliseconds: eight need seconds, a slow disk more."""

LOCK = 0x5CD1FF
"""Key of the advisory lock on PostgreSQL."""

VERSION_TABLE = "scdiff_version"
KNOWN = {*METADATA.tables, VERSION_TABLE}
DIALECTS = ("sqlite", "postgresql")
NEWEST = "0001"
_UNICODE = {"client_encoding": "utf8"}  # else a server without an encoding gives bytes
_MIGRATIONS = Path(__file__).parent / "migrations"


def connect(url: str, *, create: bool = False) -> Engine:
    """Open a history, or make one.

    Parameters
    ----------
    url
        As SQLAlchemy has them: ``sqlite:///batches.db``, ``postgresql+psycopg://user@host/name``.
    create
        Make missing tables, and bring older ones up to date.

    Raises
    ------
    ConfigError
        If the URL cannot be understood, or its driver is not installed.
    InputError
        If the history is missing, damaged, or belongs to another program; nothing is
        written then.
    OutputError
        If it cannot be reached or written.
    """
    place = _place(url)
    with translate_errors(place):
        found = _version(place)
        if found is None and not create:
            raise InputError(
                f"{_name(place)}: the history is missing. `scdiff history add RESULT_DIR "
                "--history URL` makes one."
            )
        engine = _engine(place)
        if found != NEWEST:
            if not create:
                raise InputError(
                    f"{_name(place)}: the history has tables of version {found}. Add a run with "
                    f"this scdiff to bring it to {NEWEST}."
                )
            _migrate(engine)
    return engine


def _place(url: str) -> URL:
    """Understand a URL."""
    try:
        place = make_url(url)
        place.get_dialect()
    except NoSuchModuleError:
        raise ConfigError(
            f"--history {url!r}: unknown kind of database. Known: sqlite, postgresql+psycopg."
        ) from None
    except ArgumentError:
        raise ConfigError(
            f"--history {url!r}: cannot be read as the URL of a database. Write it as "
            "sqlite:///batches.db or postgresql+psycopg://user@host/name."
        ) from None
    if place.get_backend_name() not in DIALECTS:
        raise ConfigError(
            f"--history: {place.get_backend_name()} is not supported. Known: sqlite, "
            "postgresql+psycopg."
        )
    if place.get_backend_name() == "sqlite" and place.database in {None, "", ":memory:"}:
        raise ConfigError(
            "--history: a history in memory would be lost at once. Give a file, as in "
            "sqlite:///batches.db."
        )
    return place


def _name(place: URL) -> str:
    """Name a database in a sentence, without its password."""
    return place.render_as_string(hide_password=True)


@contextmanager
def translate_errors(place: URL) -> Iterator[None]:
    """Turn what a database reports into one sentence.

    Raises
    ------
    ConfigError
        If the driver is not installed.
    InputError
        If the database is damaged.
    OutputError
        If it cannot be reached, read or written.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--history {_name(place)}: {error.name} is not installed: pip install "
            "'scdiff-markers[postgres]'."
        ) from None
    except sa.exc.OperationalError as error:
        raise OutputError(
            f"{_name(place)}: the history cannot be opened or written ({_reason(error)})."
        ) from None
    except DBAPIError as error:
        raise InputError(
            f"{_name(place)}: this database is damaged, or not a history of scdiff "
            f"({_reason(error)}). Nothing was written."
        ) from None


def _reason(error: DBAPIError) -> str:
    """Take the first line of what a database says."""
    return (str(error.orig).strip().splitlines() or ["no reason given"])[0][:200]


def _version(place: URL) -> str | None:
    """Look for the version of the tables without writing; None if it is empty.

    Raises
    ------
    InputError
        If the database belongs to something else.
    """
    if place.get_backend_name() == "sqlite":
        path = Path(str(place.database))
        if path.is_dir():
            raise InputError(
                f"{path}: this is a folder; --history takes a file, as in sqlite:///batches.db."
            )
        if not path.exists() or path.stat().st_size == 0:
            return None
        engine = sa.create_engine(
            "sqlite://", creator=partial(_read_only, path), poolclass=sa.NullPool
        )
    else:
        engine = sa.create_engine(place, poolclass=sa.NullPool, connect_args=_UNICODE)
    with engine.connect() as connection:
        tables = set(sa.inspect(connection).get_table_names())
        if not tables:
            return None
        if not tables >= KNOWN:
            raise InputError(
                f"{_name(place)}: this database holds {_few(tables)} and is not a history of "
                "scdiff. Nothing was written."
            )
        version = sa.table(VERSION_TABLE, sa.column("version_num"))
        found = connection.execute(sa.select(version.c.version_num)).scalars().all()
        if found and found[0] > NEWEST:
            raise InputError(
                f"{_name(place)}: a newer scdiff wrote this history (tables {found[0]}, known "
                f"{NEWEST}). Update scdiff."
            )
        return found[0] if found else None


def _few(tables: set[str]) -> str:
    """Name the tables that are not ours, or those of ours that lack."""
    foreign = sorted(tables - KNOWN)
    return f"the table {foreign[0]!r}" if foreign else f"no table {min(KNOWN - tables)!r}"


def _read_only(path: Path) -> Any:
    """Open a file of SQLite so that nothing can be written to it."""
    import sqlite3

    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_MS / 1000)


def _engine(place: URL) -> Engine:
    """Make the engine; on SQLite transactions are ours to begin, not those of its driver."""
    if place.get_backend_name() == "postgresql":
        return sa.create_engine(place, pool_pre_ping=True, connect_args=_UNICODE)
    Path(str(place.database)).resolve().parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(
        place,
        connect_args={"timeout": BUSY_MS / 1000, "isolation_level": None},
        poolclass=sa.NullPool,
    )
    sa.event.listen(engine, "connect", _prepare)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: Any, _: Any) -> None:
    """Let readers and a writer work side by side; a transaction counts once it is on the disk."""
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    _retry(lambda: connection.execute("PRAGMA journal_mode = WAL").fetchall())


def _retry(act: Callable[[], Any]) -> None:
    """Repeat what SQLite refuses at once while another process does the same."""
    import sqlite3

    for wait_s in (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 0.0):
        try:
            act()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or not wait_s:
                raise
            time.sleep(wait_s)
        else:
            return


def _begin(connection: Connection) -> None:
    """Begin a transaction: one that will write takes the only place of a writer at once."""
    writes = connection.get_execution_options().get("scdiff_alone", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def alone(engine: Engine) -> Iterator[Connection]:
    """Give a transaction that no other writer shares; commit it when the block ends well."""
    with (
        translate_errors(engine.url),
        engine.connect().execution_options(scdiff_alone=True) as connection,
        connection.begin(),
    ):
        if engine.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Give a transaction that sees one state of the history and writes nothing."""
    options = {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}
    with (
        translate_errors(engine.url),
        engine.connect().execution_options(**options) as connection,
        connection.begin(),
    ):
        yield connection


def _migrate(engine: Engine) -> None:
    """Bring the tables to the newest version, all or nothing; whoever comes second finds them."""
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)

    def steps(revision: Any, _: Any) -> Any:
        return script._upgrade_revs("head", revision)  # noqa: SLF001 - the way that alembic's documentation shows

    with alone(engine) as connection, EnvironmentContext(config, script, fn=steps) as context:
        context.configure(connection=connection, version_table=VERSION_TABLE)
        context.run_migrations()
