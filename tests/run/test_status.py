"""The status file of a run: what it states while steps run, after an error, and after a kill."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from scdiff.cli import main
from scdiff.errors import ConfigError, InputError, OutputError
from scdiff.run.status import STATUS, RunStatus
from scdiff.storage.checkpoint import Checkpoints

FIELDS = [
    "scdiff", "state", "batch", "step", "steps_done", "started", "finished", "error", "message",
    "expected", "exit_code", "verdict", "alerts",
]  # fmt: skip


def read(out: Path) -> dict[str, Any]:
    """Fields of the status file of a folder."""
    return json.loads((out / STATUS).read_text(encoding="utf-8"))


def ignore(step: str, event: str, seconds: float) -> None:
    """Watch nothing."""


def test_the_file_follows_the_steps_of_a_run(tmp_path: Path) -> None:
    seen: list[tuple[Any, ...]] = []

    def watch(step: str, event: str, seconds: float) -> None:
        fields = read(tmp_path)
        seen.append((step, event, fields["state"], fields["step"], fields["steps_done"]))

    with RunStatus(tmp_path, "lot 7") as status:
        status.begin()
        record = status.record_steps(watch)
        record("load", "resumed", 1.0)
        record("qc", "started", 0.0)
        status.set_verdict("detected", ["Few cells."])
        record("qc", "finished", 0.5)
        assert (read(tmp_path)["verdict"], read(tmp_path)["alerts"]) == (None, [])
    assert seen == [
        ("load", "resumed", "running", "", ["load"]),
        ("qc", "started", "running", "qc", ["load"]),
        ("qc", "finished", "running", "qc", ["load", "qc"]),
    ]
    fields = read(tmp_path)
    assert list(fields) == FIELDS
    assert fields["alerts"] == ["Few cells."]
    assert (fields["state"], fields["batch"], fields["verdict"]) == (
        "finished",
        "lot 7",
        "detected",
    )
    assert (fields["error"], fields["expected"], fields["exit_code"]) == (None, None, 0)
    started, finished = (datetime.fromisoformat(fields[name]) for name in ("started", "finished"))
    assert started.utcoffset() is not None
    assert started <= finished


@pytest.mark.parametrize(
    ("error", "name", "expected", "code"),
    [
        (InputError("x.h5ad: no counts. Give counts."), "InputError", True, 3),
        (ConfigError("seed is -1"), "ConfigError", True, 2),
        (KeyError(3), "KeyError", False, 1),
        (KeyboardInterrupt(), "KeyboardInterrupt", False, 130),
    ],
    ids=["input", "config", "unexpected", "interrupted"],
)
def test_a_failed_run_states_its_error(
    tmp_path: Path, error: BaseException, name: str, expected: bool, code: int
) -> None:
    def fail() -> None:
        with RunStatus(tmp_path) as status:
            status.begin()
            status.record_steps(ignore)("load", "started", 0.0)
            status.set_verdict("detected", ["Few cells."])
            raise error

    with pytest.raises(type(error)):
        fail()
    fields = read(tmp_path)
    assert (fields["state"], fields["step"], fields["verdict"]) == ("failed", "load", None)
    assert fields["alerts"] == []
    assert (fields["error"], fields["message"]) == (name, str(error))
    assert (fields["expected"], fields["exit_code"]) == (expected, code)
    assert fields["finished"] is not None


def test_a_later_failure_replaces_an_earlier_finished_state(tmp_path: Path) -> None:
    with RunStatus(tmp_path) as status:
        status.begin()
    begun = []

    def fail() -> None:
        with RunStatus(tmp_path):
            begun.append(read(tmp_path)["state"])
            raise ConfigError("seed is -1")

    with pytest.raises(ConfigError):
        fail()
    assert begun == ["running"]
    assert read(tmp_path)["state"] == "failed"


def test_a_failure_before_the_start_creates_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError), RunStatus(tmp_path / "out"):
        raise InputError("there is no such file")
    assert not (tmp_path / "out").exists()


def test_a_refused_run_leaves_the_status_of_the_running_one(tmp_path: Path) -> None:
    with RunStatus(tmp_path, "first") as status, Checkpoints(tmp_path).locked():
        status.begin()
        with (
            pytest.raises(OutputError, match="another run"),
            RunStatus(tmp_path, "second"),
            Checkpoints(tmp_path).locked(),
        ):
            pass
        assert (read(tmp_path)["batch"], read(tmp_path)["state"]) == ("first", "running")
    assert read(tmp_path)["state"] == "finished"


@pytest.mark.parametrize("content", ['{"mine": 1}', "[1]", "not JSON", "\udcff"])
def test_a_status_file_of_the_user_is_not_replaced(tmp_path: Path, content: str) -> None:
    mine = content.encode("utf-8", "surrogateescape")
    (tmp_path / STATUS).write_bytes(mine)
    with (
        pytest.raises(OutputError, match=r"status\.json: scdiff did not write this file"),
        RunStatus(tmp_path) as status,
    ):
        status.begin()
    assert (tmp_path / STATUS).read_bytes() == mine


def test_an_empty_status_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / STATUS).touch()
    with RunStatus(tmp_path) as status:
        status.begin()
    assert read(tmp_path)["state"] == "finished"


def test_a_finished_command_states_the_verdict(finished_run: Path) -> None:
    fields = read(finished_run)
    with (finished_run / "tables" / "fractions.csv").open(encoding="utf-8", newline="") as table:
        main_row = next(csv.DictReader(table))
    assert (fields["state"], fields["exit_code"], fields["step"]) == ("finished", 0, "report")
    assert fields["verdict"] == main_row["verdict"]
    assert fields["steps_done"][::9] == ["load", "report"]


@pytest.mark.parametrize("setting", ["seed=-1", "nothing=1", "seed"])
def test_a_command_with_a_wrong_option_states_it(tmp_path: Path, capsys, setting: str) -> None:
    code = main(["run", "none.h5ad", "--out", str(tmp_path), "--set", setting])
    fields = read(tmp_path)
    assert (fields["state"], fields["exit_code"], fields["step"]) == ("failed", code, "")
    assert fields["error"] == "ConfigError"
    assert capsys.readouterr().err.strip() == f"scdiff: error: {fields['message']}"


def test_a_command_with_a_damaged_file_states_it(tmp_path: Path, small_input: Path) -> None:
    damaged = tmp_path / "damaged.h5ad"
    damaged.write_bytes(small_input.read_bytes()[:5000])
    out = tmp_path / "out"
    out.mkdir()
    assert main(["run", str(damaged), "--out", str(out), "--quiet"]) == 3
    fields = read(out)
    assert (fields["state"], fields["error"], fields["exit_code"]) == ("failed", "InputError", 3)
    assert "damaged.h5ad" in fields["message"]


KILLED = """
import os, signal, sys
from pathlib import Path
from scdiff.run.status import RunStatus

with RunStatus(Path(sys.argv[1])) as status:
    status.begin()
    status.record_steps(lambda *event: os.kill(os.getpid(), signal.SIGKILL))("qc", "started", 0.0)
"""


def test_a_killed_run_stays_running(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    fields = read(tmp_path)
    assert (fields["state"], fields["step"], fields["finished"]) == ("running", "qc", None)
