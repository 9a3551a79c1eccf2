"""The commands as a QC lead types them."""

import csv
import hashlib
import json
import sqlite3

import pytest
from simulated_batches import readout

from scdiff.cli import main

COLUMNS = list(readout(100, 10))


@pytest.fixture
def url(tmp_path, monkeypatch):
    monkeypatch.delenv("SCDIFF_HISTORY", raising=False)
    return f"sqlite:///{tmp_path / 'batches.db'}"


@pytest.fixture
def result(tmp_path):
    """Builder of the output folder of a run."""

    def make(name, n_cells=3000, n_called=90):
        out = tmp_path / name
        (out / "tables").mkdir(parents=True, exist_ok=True)
        (out / "report.html").write_text("<html>")
        (out / "versions.yml").write_text("scdiff:\n  scdiff: 0.1.0\n")
        (out / "tables" / "input_files.csv").write_text(
            f"sample,sha256\na,{hashlib.sha256(name.encode()).hexdigest()}\n"
        )
        with (out / "tables" / "fractions.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerow(readout(n_cells, n_called))
        return out

    return make


def run(*words):
    return main([str(word) for word in words])


def test_the_path_of_a_qc_lead(url, result, tmp_path, capsys):
    folders = [result(f"B{index:02d}", 3000, 80 + index) for index in range(22)]
    assert (
        run(
            "history",
            "add",
            *folders,
            "--history",
            url,
            "--chemistry",
            "10x v3",
            "--lot",
            "medium=A1",
            "--operator",
            "AB",
        )
        == 0
    )
    assert (
        run(
            "history",
            "add",
            result("far", 3000, 900),
            "--history",
            url,
            "--donor",
            "D1",
            "--batch",
            "far off",
            "--chemistry",
            "10x v3",
        )
        == 0
    )
    assert run("history", "list", "--history", url, "--last", 2) == 0
    out = capsys.readouterr().out
    assert "Batch B00: entry 1, hash " in out or "Batch B00: entry 1 of the history, hash " in out
    assert "far off" in out
    assert "The last 2 of 23 runs" in out
    assert (
        run(
            "trend",
            "--history",
            url,
            "--out",
            tmp_path / "page",
            "--lock",
            "first",
            "--who",
            "A. Muster",
            "--until",
            "B21",
        )
        == 0
    )
    out = capsys.readouterr().out
    assert "Baseline first version 1 is locked: entry 24, 22 detected batches." in out
    assert "signals need a note" in out
    for rule in ("1-3s", "range", "ewma", "cusum"):
        note = ("--cause", "wrong lot", "--action", "discarded", "--who", "A. Muster")
        assert (
            run(
                "history",
                "note",
                "--history",
                url,
                "--batch",
                "far off",
                "--chart",
                "process",
                "--rule",
                rule,
                *note,
            )
            == 0
        )
    assert run("trend", "--history", url, "--out", tmp_path / "page") == 0
    assert "No signal needs a note. Baseline: first version 1." in capsys.readouterr().out
    assert run("history", "export", "--history", url, "--out", tmp_path / "export") == 0
    assert len(list(csv.DictReader((tmp_path / "export" / "runs.csv").open()))) == 23
    capsys.readouterr()
    assert run("history", "verify", "--history", url) == 0
    head = capsys.readouterr().out.split("Head ")[1][:64]
    assert run("history", "verify", "--history", url, "--head", head) == 0
    assert run("history", "verify", "--history", url, "--head", "f" * 64) == 3
    assert (
        json.loads((tmp_path / "page" / "scdiff_trend_mqc.json").read_text())["data"]["far off"][
            "verdict"
        ]
        == "quantified"
    )


def test_verify_names_what_was_changed(url, result, tmp_path, capsys):
    assert run("history", "add", result("B1"), result("B2"), "--history", url) == 0
    with sqlite3.connect(tmp_path / "batches.db") as connection:
        connection.execute("UPDATE scdiff_readouts SET prevalence = 0.9 WHERE number = 2")
    connection.close()
    assert run("history", "verify", "--history", url) == 3
    out, error = capsys.readouterr()
    assert (
        "entry 2 (run of batch B2): its read-out pancreatic_progenitor progenitor_like of sample "
        "all was changed." in out
    )
    assert "the history does not verify: 1 faults in 2 rows" in error or "1 fault" in error


def test_the_url_may_be_a_variable(url, result, monkeypatch, capsys):
    monkeypatch.setenv("SCDIFF_HISTORY", url)
    assert run("history", "add", result("B1")) == 0
    assert run("history", "list") == 0
    assert "B1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("history", "list"), 3, "the history is missing"),
        (("history", "verify"), 3, "the history is missing"),
        (("trend",), 3, "the history is missing"),
        (
            ("history", "note", "--batch", "B", "--cause", "a", "--action", "b", "--who", "c"),
            3,
            "the history is missing",
        ),
        (("history", "add", "nowhere"), 3, "report.html is missing"),
        (("history", "add", "nowhere", "--role", "batsch"), 2, "Did you mean 'batch'"),
        (("history", "add", "nowhere", "--lot", "medium"), 2, "write it as reagent=lot"),
        (
            ("history", "add", "a", "b", "--batch", "B"),
            2,
            "names one batch, but there are 2 folders",
        ),
        (
            (
                "history",
                "note",
                "--batch",
                "B",
                "--cause",
                "a",
                "--action",
                "b",
                "--who",
                "c",
                "--rule",
                "1-3s",
            ),
            2,
            "needs its chart: give --chart",
        ),
        (("trend", "--chart", "assays"), 2, "Did you mean 'assay'"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_written(
    url, tmp_path, capsys, words, code, sentence
):
    assert run(*words, "--history", url) == code
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_a_run_registers_itself(url, tmp_path, capsys, monkeypatch):
    """The run is replaced by its files: the command opens the history first, registers after."""
    from scdiff.cli import run as module

    seen = []

    def pretend(options, out, start, quiet, *, where, status):
        seen.append((tmp_path / "batches.db").is_file())
        (out / "tables").mkdir(parents=True, exist_ok=True)
        (out / "report.html").write_text("<html>")
        (out / "tables" / "fractions.csv").write_text(
            ",".join(COLUMNS) + "\n" + ",".join(map(str, readout(100, len(seen)).values())) + "\n"
        )
        (out / "tables" / "input_files.csv").write_text("sample,sha256\na,0aff\n")

    monkeypatch.setattr(module, "_run", pretend)
    assert run("run", "input.h5ad", "--out", tmp_path / "B7", "--history", url) == 0
    assert "Batch B7: entry 1" in capsys.readouterr().out
    assert run("run", "input.h5ad", "--out", tmp_path / "B7", "--history", url) == 0
    assert "Batch B7: entry 2" in capsys.readouterr().out
    assert (
        run("run", "input.h5ad", "--out", tmp_path / "B7", "--history", url, "--batch", "other")
        == 0
    )
    assert "Batch other: entry 3" in capsys.readouterr().out
    assert seen == [True] * 3
    assert run("run", "input.h5ad", "--out", tmp_path / "B8", "--history", "nonsense") == 2
    assert len(seen) == 3
