"""Every changed byte is found, and every decision comes out again."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from run_folders import fraction_row

from scdiff.batches.decisions import check_history
from scdiff.batches.history import open_history
from scdiff.batches.release import release_batches, sums_text
from scdiff.batches.verify import verify_release
from scdiff.cli import main
from scdiff.errors import InputError, ScdiffError


@pytest.fixture
def decided(make_result, spec_file, tmp_path) -> Path:
    """Folder with a result, its specification and a decision in ``out``."""
    release_batches(
        [make_result("lot"), make_result("other", fraction_row(lod=0.03))],
        [spec_file()],
        tmp_path / "out",
    )
    return tmp_path


def test_nothing_changed_is_said_and_the_folder_can_be_moved(decided, capsys) -> None:
    assert verify_release(decided / "out") == []
    moved = decided.parent / f"{decided.name}-moved"
    shutil.copytree(decided, moved)
    assert main(["release", "--verify", "--out", str(moved / "out")]) == 0
    assert "verified. No file has changed" in capsys.readouterr().out


@pytest.fixture
def registered(make_result, spec_file, tmp_path, monkeypatch) -> Path:
    """Folder with two results, their specification, a decision in ``out``, and a history of both in ``batches.db``."""
    monkeypatch.delenv("SCDIFF_HISTORY", raising=False)
    url = f"sqlite:///{tmp_path / 'batches.db'}"
    lots = [make_result("lot"), make_result("other", fraction_row(lod=0.03))]
    for lot in lots:
        (lot / "report.html").write_text("<html>")
    words = ("--spec", spec_file(), "--out", tmp_path / "out", "--who", "A. Muster")
    note = ("--batch", "lot", "--cause", "medium", "--action", "none", "--who", "A. Muster")
    for command in (
        ("history", "add", *lots, "--operator", "AB"),
        ("history", "note", *note),
        ("release", *lots, *words),
    ):
        assert main([*map(str, command), "--history", url]) in (0, 2)
    return tmp_path


def verify(folder: Path) -> list[str]:
    """Verify decision and history as `scdiff release --verify --history` does."""
    out = folder / "out"
    try:
        return verify_release(out) or check_history(
            open_history(f"sqlite:///{folder / 'batches.db'}"), out
        )
    except ScdiffError as error:
        return [str(error)]


def read_rows(path: Path) -> dict[str, list[tuple]] | str:
    """Every row of a database; the error if it cannot be read."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            return {
                name: connection.execute(f"SELECT * FROM {name}").fetchall()
                for (name,) in names.fetchall()
            }
    except sqlite3.Error as error:
        return str(error)


def flip_bytes(folder: Path, n: int) -> int:
    """Change one byte at a time, at random, in tables, specification and trail; each must be found.

    A database has bytes that hold nothing, as free space and the names of its columns' types: a change of one is not found, but
    then every row reads as before. Returns the number of such bytes.
    """
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".scdiff" not in path.parts and path.name != "report.html"
    ]
    assert {path.name for path in files} == {
        *("release.json", "release.csv", "release.html", "release.sha256", "spec.yaml"),
        *("fractions.csv", "cells.csv.gz", "input_files.csv", "qc_dropped.csv"),
        *("run.yaml", "versions.yml", "batches.db"),
        next(path.name for path in (folder / "out").glob("*.yaml")),
    }
    rng, idle, rows = np.random.default_rng(0), 0, read_rows(folder / "batches.db")
    for number in range(n):
        path = files[number % len(files)]
        data = bytearray(whole := path.read_bytes())
        place = int(rng.integers(len(data)))
        data[place] ^= int(rng.integers(1, 256))
        path.write_bytes(data)
        if not verify(folder):
            assert path.name == "batches.db", f"{path.name}: byte {place} was changed and not found"
            assert read_rows(path) == rows, f"byte {place} of the history was changed and not found"
            idle += 1
        path.write_bytes(whole)
        for left in folder.glob("batches.db-*"):
            left.unlink()
    assert verify(folder) == []
    return idle


def test_changed_bytes_are_found(registered) -> None:
    flip_bytes(registered, 40)


@pytest.mark.slow
def test_500_changed_bytes_are_found(registered) -> None:
    assert flip_bytes(registered, 500) < 30, "most of the 28 bytes of the history"


@pytest.mark.slow
def test_every_changed_row_of_the_history_is_found(registered) -> None:
    """One byte at a time where the database holds rows: each is found, or no row has changed."""
    path, rows = registered / "batches.db", read_rows(registered / "batches.db")
    whole, rng = path.read_bytes(), np.random.default_rng(1)
    used = [place for place, byte in enumerate(whole) if byte]
    found = 0
    for place in rng.choice(used, 200, replace=False):
        data = bytearray(whole)
        data[place] ^= int(rng.integers(1, 256))
        path.write_bytes(data)
        said = bool(verify(registered))
        assert said or read_rows(path) == rows, f"byte {place} was changed and not found"
        found += said
        for left in registered.glob("batches.db-*"):
            left.unlink()
    path.write_bytes(whole)
    assert found > 100, "the bytes that are used hold mostly rows"


def test_a_decision_that_was_rewritten_with_its_hashes_is_found(decided) -> None:
    out = decided / "out"
    record = json.loads((out / "release.json").read_text())
    record["sheets"][1]["decision"] = record["sheets"][1]["judgements"][1]["decision"] = "PASS"
    (out / "release.json").write_text(json.dumps(record, indent=1) + "\n")
    names = ["release.json", "release.csv", "release.html", record["specifications"][0]["file"]]
    (out / "release.sha256").write_text(sums_text(out, names))
    found = "\n".join(verify_release(out))
    assert "the record says PASS, but the tables give CANNOT TELL" in found


def test_lost_and_added_files_are_found(decided) -> None:
    out = decided / "out"
    (decided / "lot" / "tables" / "extra.csv").write_text("a\n1\n")
    (decided / "lot" / "run.yaml").unlink()
    (out / "release.html").unlink()
    found = "\n".join(verify_release(out))
    for said in (
        "extra.csv: this file was added",
        "run.yaml: this file is missing",
        "release.html: this file is missing",
    ):
        assert said in found
    shutil.rmtree(decided / "other")
    assert "the folder of the result is missing" in "\n".join(verify_release(out))
    (out / "release.json").unlink()
    with pytest.raises(InputError, match=r"release\.json is missing"):
        verify_release(out)


def test_the_exit_code_says_that_something_changed(decided, capsys) -> None:
    (decided / "spec.yaml").write_text("changed")
    assert main(["release", "--verify", "--out", str(decided / "out")]) == 4
    assert "has changed since the decision" in capsys.readouterr().out


def test_the_hashes_are_those_that_sha256sum_reads(decided) -> None:
    for line in (decided / "out" / "release.sha256").read_text().splitlines():
        sha256, name = line.split("  ")
        assert hashlib.sha256((decided / "out" / name).read_bytes()).hexdigest() == sha256
