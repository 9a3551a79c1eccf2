"""`scdiff release --history`: every decision enters the history, on the run that was decided."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from run_folders import fraction_row

from scdiff.batches.decisions import check_history, register_release
from scdiff.batches.evidence import hash_file
from scdiff.batches.history import History, open_history
from scdiff.batches.release import release_batches
from scdiff.cli import main
from scdiff.errors import ConfigError, UnknownNameError


def run(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("SCDIFF_HISTORY", raising=False)
    return f"sqlite:///{tmp_path / 'batches.db'}"


@pytest.fixture
def registered(make_result: Callable[..., Path], url: str) -> Callable[..., Path]:
    """Write a run folder and add it to the history: ``registered(name, *rows)``."""

    def make(name: str, *rows: dict[str, object]) -> Path:
        folder = make_result(name, *rows)
        (folder / "report.html").write_text("<html>")
        assert run("history", "add", folder, "--history", url) == 0
        return folder

    return make


LOW = fraction_row(prevalence=0.005, prevalence_low=0.002, prevalence_high=0.009, lod=0.001)
"""A row that fails the usual specification of at least 2 %."""


def test_every_decision_is_registered(registered, spec_file, url, tmp_path, capsys) -> None:
    good, bad = registered("good"), registered("bad", LOW)
    other = spec_file("name: yield", "name: other", name="other.yaml")
    out = tmp_path / "out"
    words = ("--spec", spec_file(), "--spec", other, "--out", out, "--who", "A. Muster")
    assert run("release", good, bad, *words, "--history", url) == 1
    assert "Decision: entry 6 of the history" in capsys.readouterr().out
    rows = open_history(url).decisions()
    columns = ["number", "run", "specification", "version", "decision"]
    assert rows[columns].values.tolist() == [
        [3, 1, "yield", "1", "PASS"],
        [4, 1, "other", "1", "PASS"],
        [5, 2, "yield", "1", "FAIL"],
        [6, 2, "other", "1", "FAIL"],
    ]
    assert set(rows["sha256"]) == {hash_file(out / "release.json")}
    assert set(rows["page"]) == {str(out / "release.html")}
    assert set(rows["who"]) == {"A. Muster"}
    assert run("history", "verify", "--history", url) == 0


def test_the_variable_replaces_the_option(
    registered, spec_file, url, tmp_path, monkeypatch
) -> None:
    lot = registered("lot")
    monkeypatch.setenv("SCDIFF_HISTORY", url)
    assert run("release", lot, "--spec", spec_file(), "--out", tmp_path / "out") == 0
    assert run("release", lot, "--spec", spec_file(), "--out", tmp_path / "out") == 0
    assert len(open_history(url).decisions()) == 2, "a repeated decision is appended"


def test_nothing_is_registered_without_a_history(registered, spec_file, url, tmp_path) -> None:
    assert run("release", registered("lot"), "--spec", spec_file(), "--out", tmp_path / "out") == 0
    assert len(open_history(url).decisions()) == 0


@pytest.mark.parametrize(
    ("prepare", "code", "sentence"),
    [
        ("missing", 13, "the history is missing. Create it with `scdiff history add"),
        ("unknown", 12, "no run of batch 'lot', so a decision cannot be registered"),
        ("name", 12, "no run of batch '1', so a decision cannot be registered"),
        ("changed", 12, "the history has other numbers (entry 1) than the folder of the result"),
    ],
)
def test_a_decision_on_another_run_is_refused_first(
    make_result, registered, spec_file, url, tmp_path, capsys, prepare, code, sentence
) -> None:
    if prepare == "missing":
        lot = make_result("lot")
    elif prepare == "unknown":
        registered("lot7")
        lot = make_result("lot")
    else:
        lot = registered("lot")
    if prepare == "changed":
        table = lot / "tables" / "fractions.csv"
        table.write_text(table.read_text().replace("0.029", "0.031"))
    named = ("--batch", "1") if prepare == "name" else ()
    words = ("--spec", spec_file(), "--out", tmp_path / "out", "--history", url)
    assert run("release", lot, *named, *words) == code
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists(), "nothing is decided"


def test_a_superseding_run_can_be_decided(registered, spec_file, url, tmp_path) -> None:
    lot = registered("lot")
    table = lot / "tables" / "fractions.csv"
    table.write_text(table.read_text().replace("0.029", "0.031"))
    assert run("history", "add", lot, "--history", url, "--supersede", "new counts") == 0
    words = ("--spec", spec_file(), "--out", tmp_path / "out", "--history", url)
    assert run("release", lot, *words) == 0
    assert open_history(url).decisions()["run"].tolist() == [2]


def test_decisions_are_registered_all_or_none(registered, make_result, spec_file, tmp_path, url):
    lot, other = registered("lot"), make_result("other")
    release_batches([lot, other], [spec_file()], tmp_path / "out")
    with pytest.raises(UnknownNameError, match="no run of batch 'other'"):
        register_release(open_history(url), tmp_path / "out")
    assert len(open_history(url).decisions()) == 0


def test_a_run_that_changes_meanwhile_is_not_registered(registered, spec_file, tmp_path, url):
    lot = registered("lot")
    release_batches([lot], [spec_file()], tmp_path / "out")
    table = lot / "tables" / "fractions.csv"
    table.write_text(table.read_text().replace("0.029", "0.031"))
    assert run("history", "add", lot, "--history", url, "--supersede", "new counts") == 0
    with pytest.raises(ConfigError, match=r"other numbers .entry 2."):
        register_release(open_history(url), tmp_path / "out")


def test_a_rewritten_folder_is_found_by_the_history(
    registered, spec_file, url, tmp_path, capsys
) -> None:
    lot, out = registered("lot"), tmp_path / "out"
    words = ("--spec", spec_file(), "--out", out)
    assert run("release", lot, *words, "--history", url) == 0
    assert run("release", "--verify", "--out", out, "--history", url) == 0
    assert "The history has these decisions." in capsys.readouterr().out
    assert run("release", lot, *words) == 0  # a second record, with hashes that fit
    assert run("release", "--verify", "--out", out) == 0
    assert run("release", "--verify", "--out", out, "--history", url) == 4
    assert "the history has no decision PASS with the SHA-256" in capsys.readouterr().out


def test_a_changed_decision_in_the_history_is_found(
    filled: Callable[..., History], make_result, spec_file, tmp_path
) -> None:
    history = filled([("lot", 3000, 90)])
    release_batches([make_result("lot")], [spec_file()], tmp_path / "out")
    assert len(check_history(history, tmp_path / "out")) == 1
    row = {"specification": "yield", "version": "1", "decision": "FAIL"}
    history.add_decision("lot", row | {"sha256": hash_file(tmp_path / "out" / "release.json")})
    assert len(check_history(history, tmp_path / "out")) == 1
