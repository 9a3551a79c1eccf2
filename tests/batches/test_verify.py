"""Every changed byte is found, and every decision comes out again."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from run_folders import fraction_row

from scdiff.batches.release import release_batches, sums_text
from scdiff.batches.verify import verify_release
from scdiff.cli import main
from scdiff.errors import InputError


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


def flip_bytes(decided: Path, n: int) -> None:
    """Change one byte at a time, at random, in tables, specification and trail; each must be found."""
    files = [
        path
        for path in sorted(decided.rglob("*"))
        if path.is_file() and ".scdiff" not in path.parts
    ]
    assert {
        "release.json",
        "release.sha256",
        "release.html",
        "fractions.csv",
        "cells.csv.gz",
        "spec.yaml",
        "run.yaml",
    } <= {path.name for path in files}
    rng = np.random.default_rng(0)
    for number in range(n):
        path = files[number % len(files)]
        data = bytearray(whole := path.read_bytes())
        place = int(rng.integers(len(data)))
        data[place] ^= int(rng.integers(1, 256))
        path.write_bytes(data)
        assert verify_release(decided / "out"), (
            f"{path.name}: byte {place} was changed and not found"
        )
        path.write_bytes(whole)
    assert verify_release(decided / "out") == []


def test_changed_bytes_are_found(decided) -> None:
    flip_bytes(decided, 60)


@pytest.mark.slow
def test_500_changed_bytes_are_found(decided) -> None:
    flip_bytes(decided, 500)


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
