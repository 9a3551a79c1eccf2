"""Open the database of the history, check it, and migrate its tables to the newest version.

The default is SQLite: one file in WAL mode, in which writers wait for each other. A team uses
PostgreSQL. A writer has exclusive access until its transaction ends, so the hash chain has one
order.
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
"""Time that a writer waits for other writers, milliseconds.

Eight writers need seconds on a local disk and more on a slow one.
"""

LOCK = 0x5CD1FF
"""Key of the advisory lock on PostgreSQL: an arbitrary number that only scdiff uses."""

VERSION_TABLE = "scdiff_version"
KNOWN = {*METADATA.tables, VERSION_TABLE}
DIALECTS = ("sqlite", "postgresql")
NEWEST = "0002"
_UNICODE = {"client_encoding": "utf8"}  # a server without an encoding would return bytes
_MIGRATIONS = Path(__file__).parent / "migrations"


def connect(url: str, *, create: bool = False) -> Engine:
    """Open a history, or create one.

    Parameters
    ----------
    url
        A SQLAlchemy URL: ``sqlite:///batches.db``, ``postgresql+psycopg://user@host/name``.
    create
        Create missing tables, and migrate older ones to the newest version.

    Raises
    ------
    ConfigError
        If the URL is not valid, or its driver is not installed.
    InputError
        If the history is missing or damaged, or the database belongs to another program. Nothing
        is written in this case.
    OutputError
        If the database cannot be reached or written.
    """
    place = _parse_url(url)
    with translate_errors(place):
        found = _read_version(place)
        if found is None and not create:
            raise InputError(
                f"{_format_url(place)}: the history is missing. Create it with `scdiff history add "
                "RESULT_DIR --history URL`."
            )
        engine = _create_engine(place)
        if found != NEWEST:
            if not create:
                raise InputError(
                    f"{_format_url(place)}: the tables of the history have version {found}. "
                    f"Add a run with this scdiff to migrate them to version {NEWEST}."
                )
            _migrate(engine)
    return engine


def _parse_url(url: str) -> URL:
    """Parse a URL; raise ConfigError if it is not valid or not supported."""
    try:
        place = make_url(url)
        place.get_dialect()
    except NoSuchModuleError:
        raise ConfigError(
            f"--history {url!r}: unknown kind of database. Supported: sqlite, postgresql+psycopg."
        ) from None
    except ArgumentError:
        raise ConfigError(
            f"--history {url!r}: this is not the URL of a database. Write it as "
            "sqlite:///batches.db or postgresql+psycopg://user@host/name."
        ) from None
    if place.get_backend_name() not in DIALECTS:
        raise ConfigError(
            f"--history: {place.get_backend_name()} is not supported. Supported: sqlite, "
            "postgresql+psycopg."
        )
    if place.get_backend_name() == "sqlite" and place.database in {None, "", ":memory:"}:
        raise ConfigError(
            "--history: a history in memory is lost when the command ends. Give a file, as in "
            "sqlite:///batches.db."
        )
    return place


def _format_url(place: URL) -> str:
    """Return the URL of a database without its password."""
    return place.render_as_string(hide_password=True)


@contextmanager
def translate_errors(place: URL) -> Iterator[None]:
    """Translate the errors of a database into errors of scdiff, one sentence each.

    Raises
    ------
    ConfigError
        If the driver is not installed.
    InputError
        If the database is damaged.
    OutputError
        If the database cannot be reached, read or written.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--history {_format_url(place)}: {error.name} is not installed: pip install "
            "'scdiff-markers[postgres]'."
        ) from None
    except sa.exc.OperationalError as error:
        raise OutputError(
            f"{_format_url(place)}: the history cannot be opened or written "
            f"({_read_reason(error)})."
        ) from None
    except (DBAPIError, UnicodeDecodeError) as error:  # SQLite reports a damaged name as the latter
        raise InputError(
            f"{_format_url(place)}: this database is damaged, or not a history of scdiff "
            f"({_read_reason(error)}). Nothing was written."
        ) from None


def _read_reason(error: Exception) -> str:
    """Return the first line of the message of a database."""
    message = str(getattr(error, "orig", error)).strip()
    return (message.splitlines() or ["no reason given"])[0][:200]


def _read_version(place: URL) -> str | None:
    """Read the version of the tables without writing; None if the database is empty.

    Raises
    ------
    InputError
        If the database belongs to another program, or to a newer scdiff.
    """
    if place.get_backend_name() == "sqlite":
        path = Path(str(place.database))
        if path.is_dir():
            raise InputError(
                f"{path}: this is a folder. Give --history a file, as in sqlite:///batches.db."
            )
        if not path.exists() or path.stat().st_size == 0:
            return None
        engine = sa.create_engine(
            "sqlite://", creator=partial(_open_read_only, path), poolclass=sa.NullPool
        )
    else:
        engine = sa.create_engine(place, poolclass=sa.NullPool, connect_args=_UNICODE)
    with engine.connect() as connection:
        tables = set(sa.inspect(connection).get_table_names())
        if not tables:
            return None
        if not tables >= KNOWN:
            raise InputError(
                f"{_format_url(place)}: this database has {_describe_tables(tables)}, so it is "
                "not a history of scdiff. Nothing was written."
            )
        version = sa.table(VERSION_TABLE, sa.column("version_num"))
        found = connection.execute(sa.select(version.c.version_num)).scalars().all()
        newest = str(found[0]) if found else None
        if newest is not None and newest > NEWEST:
            raise InputError(
                f"{_format_url(place)}: a newer scdiff wrote this history (version of its tables "
                f"{newest}, this scdiff reads up to {NEWEST}). Update scdiff."
            )
        return newest


def _describe_tables(tables: set[str]) -> str:
    """Return the name of a table that scdiff does not use, or of a missing table of scdiff."""
    foreign = sorted(tables - KNOWN)
    return f"the table {foreign[0]!r}" if foreign else f"no table {min(KNOWN - tables)!r}"


def _open_read_only(path: Path) -> Any:
    """Open a SQLite file for reading only."""
    import sqlite3

    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_MS / 1000)


def _create_engine(place: URL) -> Engine:
    """Create the engine; on SQLite scdiff begins each transaction, not the driver."""
    if place.get_backend_name() == "postgresql":
        return sa.create_engine(place, pool_pre_ping=True, connect_args=_UNICODE)
    Path(str(place.database)).resolve().parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(
        place,
        connect_args={"timeout": BUSY_MS / 1000, "isolation_level": None},
        poolclass=sa.NullPool,
    )
    sa.event.listen(engine, "connect", _set_pragmas)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _set_pragmas(connection: Any, _: Any) -> None:
    """Allow readers next to one writer; commit a transaction only when it is on the disk."""
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    _retry(lambda: connection.execute("PRAGMA journal_mode = WAL").fetchall())


def _retry(act: Callable[[], Any]) -> None:
    """Repeat a call that SQLite refuses while another process makes the same call."""
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
    """Begin a transaction; one that will write takes the write lock immediately."""
    writes = connection.get_execution_options().get("scdiff_alone", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def alone(engine: Engine) -> Iterator[Connection]:
    """Open a transaction with exclusive write access; commit it if the block succeeds."""
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
    """Open a transaction that reads one state of the history and writes nothing."""
    options = {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}
    with (
        translate_errors(engine.url),
        engine.connect().execution_options(**options) as connection,
        connection.begin(),
    ):
        yield connection


def _migrate(engine: Engine) -> None:
    """Migrate the tables to the newest version in one transaction; a second process waits."""
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)

    def steps(revision: Any, _: Any) -> Any:
        return script._upgrade_revs("head", revision)  # noqa: SLF001 - as alembic's documentation shows

    with alone(engine) as connection, EnvironmentContext(config, script, fn=steps) as context:
        context.configure(connection=connection, version_table=VERSION_TABLE)
        context.run_migrations()
