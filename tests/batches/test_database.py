"""A database is looked at before it is written to; what is no history of ours stays as it is."""

import hashlib
import sqlite3
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from simulated_batches import run_of

from scdiff.batches import database
from scdiff.batches.history import Facts, open_history
from scdiff.batches.schema import METADATA, canonical, digest
from scdiff.errors import ConfigError, InputError, OutputError


def test_the_migrations_make_the_tables_of_the_schema(new_url):
    engine = database.connect(new_url, create=True)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": database.VERSION_TABLE}
        )
        assert compare_metadata(context, METADATA) == []


def test_making_a_history_twice_changes_nothing(new_url):
    open_history(new_url, create=True).add_run(run_of("B1"), Facts())
    assert len(open_history(new_url, create=True).runs()) == 1


def test_a_history_that_is_not_there_is_only_made_where_asked_for(tmp_path, postgres):
    for url in (f"sqlite:///{tmp_path / 'none.db'}", postgres("empty")):
        with pytest.raises(InputError, match="the history is missing"):
            open_history(url)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("batches.db", "this is not the URL of a database"),
        ("mysql://a/b", "mysql is not supported"),
        ("nonsense://a/b", "unknown kind of database"),
        ("sqlite://", "in memory is lost"),
        ("sqlite:///:memory:", "in memory is lost"),
    ],
)
def test_a_url_that_cannot_be_is_refused(url, sentence):
    with pytest.raises(ConfigError, match=sentence):
        open_history(url, create=True)


def test_a_folder_and_a_server_that_is_not_there_are_said(tmp_path):
    with pytest.raises(InputError, match="this is a folder"):
        open_history(f"sqlite:///{tmp_path}", create=True)
    with pytest.raises(OutputError, match="cannot be opened") as error:
        open_history(f"postgresql+psycopg://me:secret@/none?host={tmp_path}", create=True)
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


def contents(path):
    """Hashes of all files but those that SQLite keeps beside an open database, which are empty."""
    beside = {file for file in path.iterdir() if file.name.endswith(("-wal", "-shm"))}
    assert all(file.stat().st_size == 0 for file in beside if file.name.endswith("-wal"))
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in path.iterdir()
        if file not in beside
    }


def foreign(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE albums (name TEXT)")
    connection.close()


def partly(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE scdiff_runs (number INTEGER)")
    connection.close()


def torn(path):
    open_history(f"sqlite:///{path}", create=True).add_run(run_of("B1"), Facts())
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)
    for name in ("-wal", "-shm"):
        Path(f"{path}{name}").unlink(missing_ok=True)


def text(path):
    path.write_text("not a database, but long enough to be read as one " * 100)


@pytest.mark.parametrize("make", [foreign, partly, torn, text])
@pytest.mark.parametrize("create", [True, False])
def test_a_damaged_or_foreign_database_stays_as_it_is(tmp_path, make, create):
    path = tmp_path / "other.db"
    make(path)
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"not a history of scdiff|damaged") as error:
        open_history(f"sqlite:///{path}", create=create).verify()
    assert "\n" not in str(error.value)
    assert contents(tmp_path) == before


def test_a_foreign_postgresql_database_stays_as_it_is(postgres):
    url = postgres("foreign_one")
    engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={"client_encoding": "utf8"})
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE albums (name TEXT)"))
    with pytest.raises(
        InputError, match="has the table 'albums', so it is not a history of scdiff"
    ):
        open_history(url, create=True)
    assert sa.inspect(engine).get_table_names() == ["albums"]


def test_a_history_of_a_newer_scdiff_is_refused(tmp_path):
    path = tmp_path / "newer.db"
    open_history(f"sqlite:///{path}", create=True)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE scdiff_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(InputError, match="a newer scdiff wrote this history"):
        open_history(f"sqlite:///{path}", create=True)


def test_a_history_of_the_first_version_is_migrated(new_url):
    """Its rows keep their hashes; until then it is not opened for reading."""
    open_history(new_url, create=True).add_run(run_of("B1"), Facts())
    older = database.connect(new_url)
    with older.begin() as connection:
        connection.execute(sa.text("ALTER TABLE scdiff_runs DROP COLUMN programs"))
        connection.execute(sa.text("UPDATE scdiff_version SET version_num = '0001'"))
    older.dispose()
    with pytest.raises(InputError, match="have version 0001"):
        open_history(new_url)
    history = open_history(new_url, create=True)
    history.add_run(run_of("B2", program="1" * 64), Facts())
    assert (history.verify()[0].number, history.verify()[1]) == (2, [])
    programs = history.runs()["programs"].tolist()
    assert pd.isna(programs[0])  # NaN with pandas 3
    assert programs[1:] == ['{"pancreatic_progenitor":"' + "1" * 64 + '"}']


def test_a_failed_migration_leaves_nothing(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path / 'half.db'}"
    monkeypatch.setattr(database, "_MIGRATIONS", tmp_path / "none")
    with pytest.raises(Exception, match="none"):
        open_history(url, create=True)
    monkeypatch.undo()
    assert open_history(url, create=True).verify()[1] == []


@pytest.mark.slow
def test_tables_are_made_once_by_processes_that_start_together(new_url):
    code = (
        "import sys; from scdiff.batches.history import open_history; "
        "open_history(sys.argv[1], create=True)"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, new_url], stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [(process.communicate()[1], process.returncode) for process in started] == [("", 0)] * 3


def test_canonical_text_has_one_form():
    assert (
        canonical({"b": 1, "a": None, "c": 0.1})
        == canonical({"c": 0.1, "b": 1})
        == '{"b":1,"c":0.1}'
    )
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical({"a": float("nan")})


def test_no_two_lists_of_parts_have_the_same_digest():
    lists = [("ab",), ("a", "b"), ("", "ab"), ("ab", ""), ("1:a", "b"), ()]
    assert len({digest(*parts) for parts in lists}) == len(lists)
