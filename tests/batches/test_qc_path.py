"""The path of a QC lead as one script: run, register, release, note, trend, verify."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from run_folders import fraction_row

from scdiff.batches.history import open_history
from scdiff.cli import main
from scdiff.programs import DEFAULT_PROGRAMS

NOTE = ("--cause", "medium lot M12", "--action", "discarded", "--who", "A. Muster")


def run(*words: object) -> int:
    return main([str(word) for word in words])


def walk(folders: Sequence[Path], url: str, tmp_path: Path, capsys) -> dict[str, str]:
    """Release, note, trend and verify three registered runs; return the decision of each."""
    decision, page = tmp_path / "decision", tmp_path / "trend"
    words = ("--spec", "progenitor_yield", "--out", decision, "--history", url)
    code = run("release", *folders, *words, "--who", "A. Muster")
    assert code in (0, 1, 2, 3), "a decision, not an error"
    batch = folders[-1].name
    assert run("history", "note", "--history", url, "--batch", batch, *NOTE) == 0
    assert run("trend", "--history", url, "--out", page) == 0

    text = (page / "index.html").read_text()
    for shown in (*(folder.name for folder in folders), "medium lot M12", "progenitor_yield"):
        assert shown in text
    record = json.loads((decision / "release.json").read_text())
    decisions = {sheet["batch"]: sheet["decision"] for sheet in record["sheets"]}
    rows = open_history(url).decisions()
    assert rows["decision"].tolist() == list(decisions.values())

    assert run("release", "--verify", "--out", decision, "--history", url) == 0
    capsys.readouterr()
    assert run("history", "verify", "--history", url) == 0
    head = capsys.readouterr().out.split("Head ")[1][:64]
    assert run("history", "verify", "--history", url, "--head", head) == 0

    table = folders[0] / "tables" / "fractions.csv"
    table.write_text(table.read_text().replace("progenitor_like,all", "progenitor_like,al1", 1))
    assert run("release", "--verify", "--out", decision, "--history", url) == 4
    return decisions


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("SCDIFF_HISTORY", raising=False)
    return f"sqlite:///{tmp_path / 'batches.db'}"


def test_the_path_with_folders_made_by_hand(make_result, url, tmp_path, capsys) -> None:
    low = {"prevalence": 0.005, "prevalence_low": 0.002, "prevalence_high": 0.009, "lod": 0.001}
    made = {"pass": ({}, 600), "fail": (low, 600), "few": ({}, 300)}
    folders = []
    for name, (changes, n_cells) in made.items():
        rows = (fraction_row(**changes), fraction_row(state="beta_like"))
        folders.append(make_result(name, *rows, n_cells=n_cells))
        (folders[-1] / "report.html").write_text("<html>")
    assert run("history", "add", *folders, "--history", url, "--operator", "AB") == 0
    decisions = walk(folders, url, tmp_path, capsys)
    assert decisions == {"pass": "PASS", "fail": "FAIL", "few": "INVALID"}


@pytest.mark.long
def test_the_path_with_real_runs(url, tmp_path, capsys) -> None:
    folders = []
    for seed, n_cells in enumerate((200, 300, 700), start=1):
        batch, out = tmp_path / f"b{seed}.h5ad", tmp_path / f"batch{seed}"
        assert run("simulate", "--out", batch, "--cells", n_cells, "--seed", seed) == 0
        registers = ("--history", url) if seed < 3 else ()
        assert run("run", batch, "--out", out, "--quiet", *registers) == 0
        folders.append(out)
    assert run("history", "add", folders[-1], "--history", url) == 0  # the third one afterwards
    programs = [json.loads(text) for text in open_history(url).runs()["programs"]]
    assert programs[0] == programs[1] == programs[2]
    assert set(DEFAULT_PROGRAMS) <= set(programs[0]), "each with the hash of its definition"
    decisions = walk(folders, url, tmp_path, capsys)
    assert decisions["batch1"] == decisions["batch2"] == "INVALID", "fewer than 500 cells"
    assert decisions["batch3"] != "INVALID"
