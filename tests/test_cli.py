"""The command: what it prints, its exit codes, and one clear sentence for every kind of bad input."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from scdiff import __version__
from scdiff.cli import main
from scdiff.programs import program_names
from scdiff.report.alerts import list_alerts
from scdiff.run.pipeline import STEPS

Made = Callable[[AnnData, Path], list[str]]


@pytest.fixture
def say(capsys):
    """Run the command; give exit code, standard output and standard error."""

    def run(*words: str | Path) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def finished(finished_run: Path, tmp_path: Path) -> Path:
    """Copy of the folder of a finished run."""
    return shutil.copytree(finished_run, tmp_path / "finished")


# --- bad input ------------------------------------------------------------------------------------------------------


def written(change: Callable[[AnnData], AnnData | None], name: str = "batch.h5ad") -> Made:
    """Make an h5ad of a changed batch."""

    def make(batch: AnnData, folder: Path) -> list[str]:
        changed = change(batch)
        (batch if changed is None else changed).write_h5ad(folder / name)
        return [name]

    return make


def values(function: Callable[[np.ndarray], np.ndarray]) -> Made:
    """Make an h5ad whose stored values are changed."""

    def change(batch: AnnData) -> None:
        batch.X = sparse.csr_matrix(batch.X, dtype=np.float32)
        batch.X.data = function(batch.X.data).astype(np.float32)

    return written(change)


def truncated(batch: AnnData, folder: Path) -> list[str]:
    """Make an h5ad that lost its second half."""
    batch.write_h5ad(folder / "batch.h5ad")
    content = (folder / "batch.h5ad").read_bytes()
    (folder / "batch.h5ad").write_bytes(content[: len(content) // 2])
    return ["batch.h5ad"]


def truncated_gz(batch: AnnData, folder: Path) -> list[str]:
    """Make a zipped table that lost its second half."""
    content = gzip.compress(batch.to_df().T.to_csv().encode())
    (folder / "batch.csv.gz").write_bytes(content[: len(content) // 2])
    return ["batch.csv.gz"]


def twice(batch: AnnData) -> None:
    """Give two cells the same name."""
    names = batch.obs_names.to_numpy().copy()
    names[1] = names[0]
    batch.obs_names = names
    del batch.obs["sample"]


def first_nan(data: np.ndarray) -> np.ndarray:
    """Put one NaN among the values."""
    return np.where(np.arange(len(data)) == 0, np.nan, data)


def also(name: str, content: str, *words: str) -> Made:
    """Make a good h5ad, a further file and further words."""

    def make(batch: AnnData, folder: Path) -> list[str]:
        batch.write_h5ad(folder / "batch.h5ad")
        (folder / name).write_text(content)
        return [*(["batch.h5ad"] if "path" not in content else []), *words]

    return make


def with_words(*words: str) -> Made:
    """Make a good h5ad and further words."""
    return lambda batch, folder: [*written(lambda _: None)(batch, folder), *words]


BAD = {
    "missing file": (
        lambda _b, _f: ["none.h5ad"],
        3,
        r"none\.h5ad: there is no such file or folder\.",
    ),
    "truncated h5ad": (truncated, 3, r"batch\.h5ad: the file is truncated"),
    "truncated gz": (truncated_gz, 3, r"batch\.csv\.gz: the file is truncated"),
    "zero cells": (
        written(lambda batch: batch[:0].copy()),
        3,
        "the file holds no cells; two or more are needed",
    ),
    "one cell": (
        written(lambda batch: batch[:1].copy()),
        3,
        "the file holds 1 cell; two or more are needed",
    ),
    "all dropped": (
        with_words("--set", "qc.min_counts=100000"),
        3,
        r"qc leaves 0 of 130 cells .* loosen min_counts of qc",
    ),
    "normalised": (
        values(np.log1p),
        3,
        r"no integer counts: .* Give the raw counts, from before normalisation",
    ),
    "negative": (values(lambda data: -data), 3, "no integer counts: .*negative"),
    "nan": (values(first_nan), 3, "no integer counts: .*NaN"),
    "duplicate barcodes": (written(twice), 3, "barcodes occur twice in one sample"),
    "unknown key": (
        also("c.yaml", "call:\n  fdrr: 0.1\n", "-c", "c.yaml"),
        2,
        r"\[call\]: unknown option 'fdrr'\. Did you mean 'fdr'\?",
    ),
    "unknown section": (
        also("c.yaml", "cal:\n  fdr: 0.1\n", "-c", "c.yaml"),
        2,
        r"unknown option 'cal'\. Did you mean 'call'\?",
    ),
    "malformed yaml": (
        also("c.yaml", "call: [\n", "-c", "c.yaml"),
        2,
        r"c\.yaml: this is not a YAML text",
    ),
    "no config": (
        with_words("-c", "none.yaml"),
        2,
        r"none\.yaml: the configuration file cannot be read",
    ),
    "unknown sample": (
        also("s.csv", "sample\ncontrol1\nsample1\nnobody\n", "--samples", "s.csv"),
        2,
        "there is no sample 'nobody' in the inputs",
    ),
    "missing in sheet": (
        also("s.csv", "sample,path\na,none.h5ad\n", "--samples", "s.csv"),
        2,
        r"line 2: .*none\.h5ad: there is no such",
    ),
    "no sheet": (
        with_words("--samples", "none.csv"),
        2,
        r"none\.csv: the sample sheet cannot be read",
    ),
    "unknown control": (
        with_words("--control", "control2"),
        2,
        r"there is no sample 'control2'\. Did you mean 'control1'\?",
    ),
    "unknown species": (
        with_words("--species", "pig"),
        2,
        "option 'species' is 'pig', but input should be 'auto', 'human', 'mouse' or 'rat'",
    ),
    "unknown step": (with_words("--from", "cal"), 2, r"unknown step 'cal'\. Did you mean 'call'\?"),
    "unknown programme": (
        with_words("--set", "programs=[il_10]"),
        2,
        r"unknown programme 'il_10'\. Did you mean 'il10'\?",
    ),
    "no inputs": (lambda _b, _f: [], 2, "command line: there is nothing to read"),
    "given twice": (with_words("batch.h5ad"), 2, "this input is given twice"),
    "unknown format": (also("batch.png", "x", "batch.png"), 3, r"scdiff does not read \.png"),
    "set without value": (
        with_words("--set", "call.fdr"),
        2,
        r"--set 'call\.fdr': write it as option=value",
    ),
    "set without name": (with_words("--set", "=1"), 2, "--set '=1': write it as option=value"),
    "set with a gap": (
        with_words("--set", "call..fdr=1"),
        2,
        r"--set 'call\.\.fdr=1': write it as option=value",
    ),
    "set malformed": (
        with_words("--set", "call.fdr=[1"),
        2,
        r"--set 'call\.fdr=\[1': the value is not a YAML text",
    ),
    "set below option": (
        with_words("--set", "seed=1", "--set", "seed.x=1"),
        2,
        "'seed' is an option, not a section of options",
    ),
    "set out of range": (
        with_words("--set", "call.fdr=2"),
        2,
        "option 'fdr' is 2, but input should be less than 1",
    ),
    "set to nothing": (
        with_words("--set", "call.fdr="),
        2,
        "option 'fdr' is None, but input should be a valid number",
    ),
}


@pytest.mark.parametrize(("make", "code", "said"), BAD.values(), ids=BAD)
def test_bad_input_is_one_sentence(
    say, small_batch, tmp_path, monkeypatch, make: Made, code: int, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    words = make(small_batch.copy(), tmp_path)
    found, out, err = say("run", *words, "--out", tmp_path / "out", "--quiet")
    assert found == code
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("scdiff: error: ")
    assert pd.Series(err).str.contains(said).all(), err
    assert err.rstrip().endswith((".", "?"))
    assert not [
        path
        for path in (tmp_path / "out").rglob("*")
        if path.name in ("report.html", "tables", "result.h5ad", "figures")
    ]


def test_faults_of_a_sheet_are_told_one_a_line(say, small_input, tmp_path) -> None:
    (tmp_path / "s.csv").write_text("sample,control\nnobody,no\nnoone,perhaps\n")
    code, _, err = say(
        "run", small_input, "--samples", tmp_path / "s.csv", "--out", tmp_path / "out", "--quiet"
    )
    assert code == 2
    assert "Traceback" not in err
    assert [
        fault in err
        for fault in ("line 2: there is no sample 'nobody'", "line 3: control is 'perhaps'")
    ] == [True, True]


def test_a_place_that_cannot_be_written(say, small_input, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    code, out, err = say("run", small_input, "--out", tmp_path / "file" / "out", "--quiet")
    assert (code, out) == (5, "")
    assert (
        "file/out: the output folder cannot be written (Not a directory). Give another with --out."
        in err
    )
    for words in (
        ("demo", "--out", tmp_path / "file" / "out"),
        ("simulate", "--cells", "5", "--out", tmp_path / "file" / "a.h5ad"),
    ):
        code, out, err = say(*words)
        assert (code, out) == (5, "")
        assert "cannot be written" in err
        assert len(err.splitlines()) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(say, small_input, tmp_path) -> None:
    (tmp_path / "out").mkdir(mode=0o500)
    code, _, err = say("run", small_input, "--out", tmp_path / "out", "--quiet")
    assert code == 5
    assert "the output folder cannot be written (Permission denied)" in err


@pytest.mark.slow
def test_duplicate_symbols_are_repaired_and_said(say, small_batch, tmp_path, no_figures) -> None:
    batch = small_batch.copy()
    names = batch.var_names.to_numpy().copy()
    names[-1] = names[-2]
    batch.var_names = names
    batch.write_h5ad(tmp_path / "batch.h5ad")
    code, out, err = say(
        "run",
        tmp_path / "batch.h5ad",
        "--set",
        "programs=[pancreatic_progenitor]",
        "--out",
        tmp_path / "out",
    )
    assert code == 0
    assert out
    assert "repaired: " in err
    assert names[-1] in err
    repairs = anndata.read_h5ad(tmp_path / "out" / "result.h5ad").uns["scdiff"]["input"]["repairs"]
    assert any(names[-1] in sentence for sentence in repairs)


def test_usage_errors(say) -> None:
    for words in (
        ("run", "--speed", "3"),
        ("rum",),
        ("demo", "--seed", "-1"),
        ("simulate", "--fraction", "2"),
    ):
        code, out, err = say(*words)
        assert (code, out) == (2, "")
        assert "Traceback" not in err
        assert "Error" in err


# --- run ------------------------------------------------------------------------------------------------------------


def test_progress_shows_every_step_with_its_time(
    say, finished, small_input, tmp_path, no_figures
) -> None:
    code, out, err = say("run", small_input, "--control", "control1", "--out", finished)
    assert code == 0
    lines = [line.split() for line in err.splitlines()]
    assert [words[0] for words in lines if words[1:3] == ["done", "before"]] == list(STEPS[:-1])
    assert ["report", "..."] in lines
    assert [words for words in lines if words[0] == "report" and words[-1] == "s"]
    assert out.splitlines()[0].endswith(("quantified.", "to quantify.")) or out.startswith(
        "Inconclusive: "
    )
    assert out.splitlines()[1] == f"Report: {finished / 'report.html'}"


def alerts_of(folder: Path) -> str:
    """What a command prints to stderr about the result in a folder."""
    alerts = list_alerts(anndata.read_h5ad(folder / "result.h5ad"))
    assert alerts, "the batch is small"
    return "".join(f"Alert: {alert}\n" for alert in alerts)


def test_quiet_prints_the_verdict_only(say, finished, small_input, no_figures) -> None:
    code, out, err = say("run", small_input, "--control", "control1", "--out", finished, "--quiet")
    assert (code, err) == (0, alerts_of(finished))
    assert len(out.splitlines()) == 1
    assert "of cells are pancreatic-progenitor-like" in out or out.startswith("Inconclusive: ")


def test_the_command_line_wins_over_the_file(say, small_input, tmp_path) -> None:
    (tmp_path / "c.yaml").write_text("species: mouse\ncontrol: [nobody]\ncall:\n  fdr: 3\nqc:\n")
    words = (
        "check",
        small_input,
        "-c",
        tmp_path / "c.yaml",
        "--species",
        "human",
        "--control",
        "control1",
        "--set",
        "call.fdr=0.1",
    )
    code, out, err = say(*words)
    assert (code, err) == (0, "")
    assert "The configuration is valid" in out


def test_paths_of_a_configuration_start_at_its_folder(
    say, small_input, tmp_path, monkeypatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "s.csv").write_text(
        f"sample,path\nfirst,{small_input}\n".replace("first", "sample1")
    )
    (tmp_path / "here" / "mine.toml").write_text('name = "mine"\n')
    (tmp_path / "here" / "small.h5ad").symlink_to(small_input)
    (tmp_path / "here" / "c.yaml").write_text("inputs: [small.h5ad]\nprograms: [mine.toml]\n")
    monkeypatch.chdir(tmp_path)
    code, _, err = say("check", "-c", "here/c.yaml")
    assert code == 2
    assert f"{tmp_path / 'here' / 'mine.toml'}: title: Field required" in err
    code, out, err = say("check", "-c", "here/c.yaml", "--set", "programs=[il10]")
    assert (code, err) == (0, "")
    assert str(tmp_path / "here" / "small.h5ad") in out


@pytest.mark.slow
def test_an_interrupted_run_says_so_and_goes_on_later(small_input, tmp_path) -> None:
    words = ["run", str(small_input), "--out", str(tmp_path / "out")]
    code = f"from scdiff.cli import main; main({words!r}) and __import__('sys').exit(1)"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    said = [next(line for line in process.stderr if line.strip() == "qc ...")]
    for _ in range(
        10
    ):  # a single signal is lost where it falls into a callback of a compiled library
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=3)
            break
    said += process.stderr.readlines()
    assert process.wait() != 0
    assert "Traceback" not in "".join(said)
    assert not (tmp_path / "out" / "report.html").exists()
    assert (
        json.loads((tmp_path / "out" / ".scdiff" / "state.json").read_text())[0]["step"] == "load"
    )


@pytest.mark.slow
def test_a_failed_section_is_one_line(say, finished, small_input, monkeypatch, tmp_path) -> None:
    from scdiff.registry import Card
    from scdiff.report.section import run_section

    def fail(_adata: AnnData) -> None:
        raise ValueError("no such\nluck")

    card = Card("bad", fail, "Fails.", "field convention", {"title": "Bad", "reads": ()})
    monkeypatch.setattr(
        "scdiff.report.sections.all_sections", lambda adata: [run_section(card, adata)]
    )
    code, _, err = say("run", small_input, "--control", "control1", "--out", finished)
    assert code == 0
    assert [line.strip() for line in err.splitlines() if "failed" in line] == [
        "The report section bad failed: ValueError: no such luck"
    ]
    assert "Traceback" not in err
    assert "no such luck" in (finished / "report.html").read_text()


# --- the other commands ---------------------------------------------------------------------------------------------


def test_check_shows_what_would_be_run(say, small_input, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = say("check", small_input, "--control", "control1")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["sample", "layout", "role", "cells", "genes", "species", "values", "path"]
    assert lines[1][:3] == ["control1", "h5ad", "control"]
    assert lines[2][:3] == ["sample1", "h5ad", "batch"]
    assert lines[2][5:] == ["human", "UMI", "counts", "(X)", str(small_input)]
    told = [line.partition(":")[0] for line in out.splitlines() if " row" in line or " in " in line]
    assert told[:7] == [
        "pancreatic_progenitor",
        "il10",
        "vegf",
        "hgf",
        "msc_identity",
        "homing",
        "cell_cycle",
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "unknown key",
        "unknown control",
        "missing file",
        "unknown programme",
        "no inputs",
        "missing in sheet",
    ],
)
def test_check_finds_what_run_would(say, small_batch, tmp_path, monkeypatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    make, code, said = BAD[name]
    found, out, err = say("check", *make(small_batch.copy(), tmp_path))
    assert (found, out) == (code, "")
    assert pd.Series(err).str.contains(said).all()


def test_programs_lists_genes_and_sources(say) -> None:
    code, out, err = say("programs")
    assert (code, err) == (0, "")
    assert [name for name in program_names() if f"{name}: " not in out] == []
    code, out, _ = say("programs", "pancreatic_progenitor")
    assert code == 0
    assert "  - INS: INS (mouse Ins1, Ins2); source: " in out  # rat has the same
    assert "il10" not in out
    assert "HLA-DRA (mouse H2-Aa, H2-Ab1, H2-Eb1; rat RT1-Da)" in say("programs", "isct")[1]
    code, out, err = say("programs", "pancreas")
    assert (code, out) == (2, "")
    assert "unknown programme 'pancreas'" in err


@pytest.mark.slow
def test_report_writes_the_report_of_a_result_again(say, finished, tmp_path, no_figures) -> None:
    code, out, err = say("report", finished / "result.h5ad", "--out", tmp_path / "again")
    assert (code, err) == (0, alerts_of(finished))
    assert out.splitlines()[-1] == f"Report: {tmp_path / 'again' / 'report.html'}"
    assert (tmp_path / "again" / "tables" / "fractions.csv").read_bytes() == (
        finished / "tables" / "fractions.csv"
    ).read_bytes()


@pytest.mark.slow
def test_report_takes_another_dose_and_keeps_it(say, finished, tmp_path, no_figures) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    settings = (
        "--set",
        "report.dose_cells=10e6",
        "--set",
        "report.viability=0.8",
        "--set",
        "report.weight_kg=20",
    )
    assert say("report", finished / "result.h5ad", "--out", first, *settings)[0] == 0
    assert say("report", first / "result.h5ad", "--out", second)[0] == 0
    tables = [pd.read_csv(folder / "tables" / "dose.csv") for folder in (finished, first, second)]
    assert [table["dose_cells"].iloc[0] for table in tables] == [80e6, 10e6, 10e6]
    pd.testing.assert_frame_equal(tables[1], tables[2])
    known = tables[0]["cells_high"].notna()
    assert (tables[1]["cells_high"] / tables[0]["cells_high"])[known].tolist() == pytest.approx(
        [0.1] * known.sum(), rel=1e-4
    )
    assert (tables[1]["cells_per_kg_high"] * 20)[known].tolist() == pytest.approx(
        tables[1]["cells_high"][known].tolist(), rel=1e-4
    )


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (
            "call.fdr=0.1",
            "--set call: only options of the report can change, such as --set report.weight_kg=70. Other options need `scdiff run`.",
        ),
        ("report.out=x", "--set report.out: give the folder with --out."),
        (
            "report.viability=0",
            "report(): option 'viability' is 0, but input should be greater than 0.",
        ),
        (
            "report.weight_kg=0",
            "report(): option 'weight_kg' is 0, but input should be greater than 0.",
        ),
        ("report.wight_kg=70", "report(): unknown option 'wight_kg'. Did you mean 'weight_kg'?"),
    ],
)
def test_report_refuses_options_in_one_sentence(setting, said, say, finished, tmp_path) -> None:
    code, out, err = say(
        "report", finished / "result.h5ad", "--out", tmp_path / "out", "--set", setting
    )
    assert (code, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_report_refuses_what_is_no_result(say, small_input, tmp_path) -> None:
    for path, said in (
        (tmp_path / "none.h5ad", r"cannot be read as the result.h5ad of a run"),
        (
            small_input,
            "has no fractions, so it is not the result.h5ad of a run. Give OUT/result.h5ad",
        ),
    ):
        code, out, err = say("report", path, "--out", tmp_path / "out")
        assert (code, out) == (3, "")
        assert said in err
        assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_simulate_writes_a_batch_that_can_be_run(say, tmp_path) -> None:
    path = tmp_path / "new" / "a.h5ad"
    code, out, err = say(
        "simulate", "--out", path, "--cells", "60", "--fraction", "0.25", "--seed", "3"
    )
    assert (code, err) == (0, "")
    batch = anndata.read_h5ad(path)
    assert batch.n_obs == 60
    assert batch.obs["truth_positive"].mean() == pytest.approx(
        float(batch.uns["truth"]["fraction"])
    )
    assert f"{path}: 60 cells x {batch.n_vars:,} genes, true fraction 25.000%." in out


def test_help_and_version(say) -> None:
    code, out, err = say("--help")
    assert (code, err) == (0, "")
    for command in ("run", "demo", "check", "programs", "report", "simulate"):
        assert f"  {command} " in out
        code, shown, _ = say(command, "--help")
        assert code == 0
        assert "--help" in shown
    assert say("--version") == (0, f"scdiff {__version__}\n", "")


def test_the_process_exits_with_the_code() -> None:
    code = "from scdiff.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "check", "none.h5ad"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "scdiff: error: none.h5ad: there is no such file or folder.\n".replace(
        "none", str(Path.cwd() / "none")
    )


def test_the_batch_of_the_demo_is_drawn_once(tmp_path, monkeypatch, small_batch) -> None:
    from scdiff.cli import run

    drawn = []

    def draw(*, seed: int) -> AnnData:
        drawn.append(seed)
        batch = small_batch.copy()
        batch.uns["truth"] = {"fraction": 0.125}
        return batch

    monkeypatch.setattr("scdiff.simulate.demo", draw)
    assert [run._write_demo(tmp_path, seed) for seed in (0, 0, 1)] == [0.125] * 3
    assert drawn == [0, 1]
    for damage in ("{", "{}", "[]", '{"seed": 1}'):
        (tmp_path / "truth.json").write_text(damage)
        assert run._write_demo(tmp_path, 1) == 0.125
    assert drawn == [0, 1, 1, 1, 1, 1]
