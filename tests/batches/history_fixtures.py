"""Fixtures: histories of simulated batches, and a PostgreSQL server of our own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import zlib
from pathlib import Path

import pytest
import sqlalchemy as sa
from simulated_batches import run_of

from scdiff.batches.history import Facts, open_history


@pytest.fixture
def history(tmp_path):
    """An empty history."""
    return open_history(f"sqlite:///{tmp_path / 'batches.db'}", create=True)


@pytest.fixture
def filled(tmp_path):
    """Builder of a history from ``(name, cells, called)``, with the same facts for all."""

    def fill(batches, *, name="filled.db", facts=None, **more):
        made = open_history(f"sqlite:///{tmp_path / name}", create=True)
        made.add_runs([(run_of(*batch, **more), Facts(**(facts or {}))) for batch in batches])
        return made

    return fill


def _server_folder():
    """Folder of PostgreSQL's programs; skips where there is none."""
    found = shutil.which("initdb")
    folders = (
        [Path(found).resolve().parent]
        if found
        else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    )
    if not folders or not (folders[-1] / "pg_ctl").exists():
        pytest.skip(
            "PostgreSQL is not installed: apt-get install postgresql (tests/install_postgres.sh)"
        )
    return folders[-1]


def _unprivileged():
    """Options of a process under a user that is not root, as the server refuses root."""
    if os.geteuid() != 0:
        return {}
    names = {user.pw_name for user in pwd.getpwall()}
    user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@pytest.fixture(scope="session")
def postgres():
    """Start a server in a temporary folder; gives a function that makes an empty database."""
    pytest.importorskip(
        "psycopg", reason="psycopg is not installed: pip install 'scdiff-markers[postgres]'"
    )
    programs, who = _server_folder(), _unprivileged()
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as name:
        folder = Path(name)
        if who:
            os.chown(folder, who["user"], who["group"])
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        options = quiet | {"cwd": folder, "env": os.environ | {"LC_ALL": "C"}, **who}
        data = ["-D", folder / "data"]
        make = [programs / "initdb", *data, "-U", "scdiff", "-A", "trust", "-N"]
        subprocess.run(make, check=True, **options)
        settings = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
        start = [programs / "pg_ctl", *data, "-w", "-l", folder / "log", "-o", settings, "start"]
        subprocess.run(start, check=True, **options)
        yield lambda name: _new_database(folder, name)
        stop = [programs / "pg_ctl", *data, "-m", "immediate", "stop"]
        subprocess.run(stop, check=True, **options)


def _new_database(folder, name):
    """Make an empty database; return its URL."""
    url = f"postgresql+psycopg://scdiff@/postgres?host={folder}"
    engine = sa.create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        poolclass=sa.NullPool,
        connect_args={"client_encoding": "utf8"},
    )
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    return url.replace("/postgres?", f"/{name}?")


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request, tmp_path):
    """URL of an empty database, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new.db'}"
    return request.getfixturevalue("postgres")(f"db_{zlib.crc32(request.node.nodeid.encode())}")
