"""The Snakemake workflow, run for real, and its ready-to-run options."""

from __future__ import annotations

import csv
import dataclasses
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import yaml
from scipy import sparse

from scdiff import simulate
from scdiff.options import read_yaml
from scdiff.run.pipeline import resolve
from scdiff.steps.fraction.step import COLUMNS

ROOT = Path(__file__).resolve().parents[1]
PIPELINES = ROOT / "pipelines"
BROKEN = "batch3"
COMPILED = Path(tempfile.gettempdir()) / f"scdiff-tests-compiled-{os.getuid()}"
LIGHT = {
    "programs": ["pancreatic_progenitor"],
    "call": {"null_sets": 0},
    "score": {"methods": ["mean_minus_control"]},
    "communicate": {"axes": ["HGF-MET"]},
}
"""Options of a run of few seconds."""


needs_snakemake = pytest.mark.skipif(
    importlib.util.find_spec("snakemake") is None,
    reason="snakemake is not installed (pip install '.[workflow]')",
)


def snakemake(folder: Path, *flags: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the workflow in ``folder``."""
    given = {
        "command": f"{sys.executable} -m scdiff",
        "options": str(PIPELINES / "msc_batch.yaml"),
    } | settings
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(PIPELINES / "Snakefile"),
        "--directory",
        str(folder),
        *flags,
    ]
    pairs = [f"{key}={value}" for key, value in given.items()]
    return subprocess.run(
        [*command, "--config", *pairs],
        capture_output=True,
        text=True,
        env=environment(folder),
        check=False,
        start_new_session=True,
    )


def environment(folder: Path) -> dict[str, str]:
    """Variables of the workflow: caches in ``folder``; Python compiles once for all jobs, whatever the variables of the tests say."""
    own = {
        "PYTHONPATH": str(ROOT),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "PYTHONPYCACHEPREFIX": str(COMPILED),
    }
    return {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    } | own


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def sheet(
    path: Path, *rows: str, header: str = "batch,sample,path,donor,condition,day,control"
) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


# ---- two batches and a broken third one


@pytest.fixture(scope="session")
def analysis(made_once: Callable[..., Path]) -> Path:
    """Folder of a finished workflow: two small batches, and a third one whose file is damaged."""

    def fill(folder: Path) -> None:
        data = folder / "data"
        data.mkdir()
        for name, fraction, seed in (("one", 0.1, 1), ("two", 0.0, 2)):
            simulate.simulate(n_cells=150, fraction=fraction, seed=seed).write_h5ad(
                data / f"{name}.h5ad"
            )
        (data / "three.h5ad").write_bytes((data / "one.h5ad").read_bytes()[:5000])
        with_empty_droplets(anndata.read_h5ad(data / "one.h5ad")).write_h5ad(
            data / "everything.h5ad"
        )
        rows = (
            "batch1,s1,one.h5ad,d1,differentiated,21,false,everything.h5ad",
            "batch2,s2,two.h5ad,d2,differentiated,21,,",
        )
        header = "batch,sample,path,donor,condition,day,control,raw"
        sheet(data / "batches.csv", *rows, f"{BROKEN},s3,three.h5ad,d3,,21,no,", header=header)
        ended = snakemake(folder, sheet="data/batches.csv")
        (folder / "ended.json").write_text(
            json.dumps([ended.returncode, ended.stdout, ended.stderr]), encoding="utf-8"
        )

    return made_once("analysis", fill)


def with_empty_droplets(cells: anndata.AnnData, n_empty: int = 500) -> anndata.AnnData:
    """The unfiltered matrix: the cells, and droplets with 40 counts of their soup each."""
    share = np.asarray(cells.X.sum(axis=0)).ravel() / cells.X.sum()
    droplets = np.random.default_rng(0).multinomial(40, share, size=n_empty)
    empty = anndata.AnnData(
        sparse.csr_matrix(droplets.astype(np.float32)), var=cells.var[[]].copy()
    )
    empty.obs_names = [f"EMPTY{index}" for index in range(n_empty)]
    return anndata.concat([cells, empty])


@pytest.fixture(scope="session")
def done(analysis: Path) -> subprocess.CompletedProcess[str]:
    """How the workflow ended."""
    return subprocess.CompletedProcess(
        "snakemake", *json.loads((analysis / "ended.json").read_text(encoding="utf-8"))
    )


@needs_snakemake
@pytest.mark.slow
def test_a_broken_batch_fails_the_workflow_and_says_why(
    done: subprocess.CompletedProcess[str], analysis: Path
) -> None:
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "three.h5ad" in (analysis / "results" / "logs" / f"{BROKEN}.log").read_text()
    assert re.search(r"scdiff: error: .*three\.h5ad", said), said
    assert not (analysis / "results" / "batches" / BROKEN / "report.html").exists()


@needs_snakemake
@pytest.mark.slow
def test_the_other_batches_are_finished(
    done: subprocess.CompletedProcess[str], analysis: Path
) -> None:
    for batch in ("batch1", "batch2"):
        folder = analysis / "results" / "batches" / batch
        assert "</html>" in (folder / "report.html").read_text(encoding="utf-8")
        assert (folder / "result.h5ad").stat().st_size > 0


@needs_snakemake
@pytest.mark.slow
def test_the_unfiltered_matrix_of_the_sheet_is_read(
    done: subprocess.CompletedProcess[str], analysis: Path
) -> None:
    soups = {}
    for batch in ("batch1", "batch2"):
        record = anndata.read_h5ad(analysis / "results" / "batches" / batch / "result.h5ad").uns[
            "scdiff"
        ]["input"]
        soups[batch] = record["soup"]["counts"].sum() if "soup" in record else None
    assert soups == {"batch1": 500 * 40, "batch2": None}


@needs_snakemake
@pytest.mark.slow
def test_the_gathered_table_holds_the_batches_own_rows(
    done: subprocess.CompletedProcess[str], analysis: Path
) -> None:
    results = analysis / "results"
    gathered = read(results / "fractions.csv")
    own = [
        {"batch": name} | row
        for name in ("batch1", "batch2")
        for row in read(results / "batches" / name / "tables" / "fractions.csv")
    ]
    assert gathered == own
    assert list(gathered[0])[:4] == ["batch", "program", "state", "sample"]
    assert {row["sample"] for row in gathered} == {"all", "s1", "s2"}


@needs_snakemake
@pytest.mark.slow
def test_the_verdicts_hold_one_row_per_batch(
    done: subprocess.CompletedProcess[str], analysis: Path
) -> None:
    results = analysis / "results"
    verdicts = {row["batch"]: row for row in read(results / "verdicts.csv")}
    assert list(verdicts) == ["batch1", "batch2", BROKEN]
    for batch in ("batch1", "batch2"):
        main = next(
            row
            for row in read(results / "fractions.csv")
            if row["batch"] == batch and row["sample"] == "all"
        )
        assert main["state"] == "progenitor_like"
        assert {key: verdicts[batch][key] for key in ("verdict", "n_cells", "prevalence")} == {
            key: main[key] for key in ("verdict", "n_cells", "prevalence")
        }
        assert (results / verdicts[batch]["report"]).is_file()
    assert (verdicts["batch1"]["verdict"], verdicts["batch2"]["verdict"]) == (
        "detected",
        "not detected",
    )
    assert (verdicts["batch1"]["trajectory"], verdicts["batch1"]["reason"]) == (
        trajectory(results, "batch1"),
        "",
    )
    assert trajectory(results, "batch1") in {"continuum", "separate population", "undecided"}


@needs_snakemake
@pytest.mark.slow
def test_the_broken_batch_is_listed_with_reason_and_log(
    done: subprocess.CompletedProcess[str], analysis: Path
) -> None:
    results = analysis / "results"
    row = next(row for row in read(results / "verdicts.csv") if row["batch"] == BROKEN)
    assert (row["verdict"], row["prevalence"], row["trajectory"], row["report"]) == (
        "not finished",
        "",
        "",
        "",
    )
    assert "the file is truncated" in row["reason"]
    assert "scdiff: error:" in (results / row["log"]).read_text(encoding="utf-8")
    page = (results / "batches.html").read_text(encoding="utf-8")
    assert "2 of 3 batches are finished, 1 is not." in page
    assert "the file is truncated" in page.split('id="not-finished"')[1].split('id="finished"')[0]
    assert 'href="batches/batch1/report.html"' in page


def trajectory(results: Path, batch: str) -> str:
    """Verdict on the path in the stored object of a batch."""
    return str(
        anndata.read_h5ad(results / "batches" / batch / "result.h5ad").uns["scdiff"]["trajectory"][
            "verdict"
        ]
    )


@needs_snakemake
@pytest.mark.slow
def test_a_mended_batch_runs_alone(done: subprocess.CompletedProcess[str], analysis: Path) -> None:
    shutil.copy(analysis / "data" / "two.h5ad", analysis / "data" / "three.h5ad")
    planned = snakemake(analysis, "--dry-run", sheet="data/batches.csv")
    assert planned.returncode == 0, planned.stderr
    said = planned.stdout + planned.stderr
    assert re.search(r"^batch +1$", said, re.MULTILINE), said
    assert re.search(r"^gather +1$", said, re.MULTILINE), said


# ---- many batches


@needs_snakemake
@pytest.mark.long
def test_four_batches_of_which_one_is_broken(tmp_path: Path) -> None:
    names = [f"batch{number:02d}" for number in range(4)]
    design = simulate.BatchDesign(n_genes=500)
    for number, name in enumerate(names):
        simulate.simulate(
            n_cells=150, fraction=0.2 * (number % 2), design=design, seed=number
        ).write_h5ad(tmp_path / f"{name}.h5ad")
    broken = tmp_path / f"{names[3]}.h5ad"
    broken.write_bytes(broken.read_bytes()[:5000])
    sheet(
        tmp_path / "many.csv",
        *(f"{name},{name},{name}.h5ad" for name in names),
        header="batch,sample,path",
    )
    ended = snakemake(
        tmp_path, "--retries", "0", sheet="many.csv", options=str(light(tmp_path)), threads="1"
    )
    assert ended.returncode == 1, ended.stderr
    verdicts = read(tmp_path / "results" / "verdicts.csv")
    assert [row["batch"] for row in verdicts] == names
    assert [row["batch"] for row in verdicts if row["verdict"] == "not finished"] == [names[3]]
    assert "the file is truncated" in verdicts[3]["reason"]
    assert all(
        (tmp_path / "results" / row["report"]).is_file() and row["trajectory"]
        for row in verdicts
        if row["report"]
    )
    assert {row["verdict"] for row in verdicts[::2]} == {"not detected"}
    assert "not detected" not in {row["verdict"] for row in verdicts[1::2]}
    page = (tmp_path / "results" / "batches.html").read_text(encoding="utf-8")
    assert "3 of 4 batches are finished, 1 is not." in page
    assert all(name in page for name in names)


def light(folder: Path) -> Path:
    path = folder / "light.yaml"
    path.write_text(yaml.safe_dump(LIGHT), encoding="utf-8")
    return path


KILLED = """
import os, signal, sys
from pathlib import Path
from scdiff.storage.checkpoint import Checkpoints
from scdiff.cli import main

mark, whom = Path(sys.argv.pop(1)), sys.argv.pop(1)
save = Checkpoints.save

def killed(self, adata, step, **facts):
    save(self, adata, step, **facts)
    if step == "embed" and not mark.exists():
        mark.touch()
        os.killpg(0, signal.SIGKILL) if whom == "all" else os.kill(os.getpid(), signal.SIGKILL)

Checkpoints.save = killed
main()
"""
"""scdiff, killed the first time that it has finished the step embed: it alone, or the whole workflow with it."""


@pytest.fixture
def fragile(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A workflow of one batch that is killed once."""
    simulate.simulate(
        n_cells=150, fraction=0.2, design=simulate.BatchDesign(n_genes=500), seed=1
    ).write_h5ad(tmp_path / "one.h5ad")
    sheet(tmp_path / "one.csv", "one,s1,one.h5ad", header="batch,sample,path")
    (tmp_path / "killed.py").write_text(KILLED, encoding="utf-8")
    settings = {"sheet": "one.csv", "options": str(light(tmp_path)), "threads": "1"}

    def run(*flags: str, whom: str = "job") -> subprocess.CompletedProcess[str]:
        return snakemake(
            tmp_path,
            *flags,
            command=f"{sys.executable} {tmp_path / 'killed.py'} {tmp_path / 'mark'} {whom}",
            **settings,
        )

    return run


def resumed(folder: Path) -> list[str]:
    """Steps that the last run of the batch took from the one before."""
    return re.findall(
        r"^ *(\w+) +done before",
        (folder / "results" / "logs" / "one.log").read_text(encoding="utf-8"),
        re.MULTILINE,
    )


@needs_snakemake
@pytest.mark.long
def test_a_killed_job_is_listed_and_resumes_when_the_workflow_runs_again(
    fragile: Any, tmp_path: Path
) -> None:
    assert fragile("--retries", "0").returncode == 1
    row = read(tmp_path / "results" / "verdicts.csv")[0]
    assert (
        row["reason"]
        == "It ended without a message in step embed: killed, most likely for its memory or time."
    )
    kept = tmp_path / "results" / "batches" / "one" / ".scdiff"
    assert [entry["step"] for entry in json.loads((kept / "state.json").read_text())] == [
        "load",
        "qc",
        "normalise",
        "embed",
    ]
    stored = (kept / "00_load.h5").stat().st_mtime_ns
    again = fragile()
    assert again.returncode == 0, again.stderr
    assert resumed(tmp_path) == ["load", "qc", "normalise", "embed"]
    assert (kept / "00_load.h5").stat().st_mtime_ns == stored
    assert read(tmp_path / "results" / "verdicts.csv")[0]["reason"] == ""


@needs_snakemake
@pytest.mark.slow
def test_a_killed_job_is_retried_at_once_and_resumes(fragile: Any, tmp_path: Path) -> None:
    ended = fragile()
    assert ended.returncode == 0, ended.stderr
    assert resumed(tmp_path) == ["load", "qc", "normalise", "embed"]
    asked = [int(value) for value in re.findall(r"mem_mb=(\d+)", ended.stdout + ended.stderr)]
    assert asked[1] == 2 * asked[0] > 2 * 1500


@needs_snakemake
@pytest.mark.long
def test_a_killed_workflow_goes_on_after_it_is_unlocked(fragile: Any, tmp_path: Path) -> None:
    assert fragile(whom="all").returncode == -signal.SIGKILL
    locked = fragile(whom="all")
    assert locked.returncode == 1
    assert "--unlock" in locked.stdout + locked.stderr
    assert fragile("--unlock", whom="all").returncode == 0
    assert fragile(whom="all").returncode == 0
    assert resumed(tmp_path) == ["load", "qc", "normalise", "embed"]


@pytest.mark.slow
@needs_snakemake
def test_memory_and_time_follow_from_the_files_and_grow_with_each_attempt(tmp_path: Path) -> None:
    for name, megabytes in (("small", 1), ("big", 50)):
        with (tmp_path / f"{name}.h5ad").open("wb") as handle:
            handle.truncate(megabytes * 1_000_000)
    sheet(
        tmp_path / "two.csv",
        "small,s1,small.h5ad",
        "big,s2,big.h5ad",
        "big,s3,small.h5ad",
        header="batch,sample,path",
    )
    planned = snakemake(
        tmp_path,
        "--dry-run",
        "--attempt",
        "2",
        sheet="two.csv",
        mem_mb_per_input_mb="10",
        runtime_per_input_mb="0.5",
    )
    said = re.findall(
        r"wildcards: batch=(\w+)\n(?:.*\n)?.*runtime=(\d+), mem_mb=(\d+)",
        planned.stdout + planned.stderr,
    )
    assert {name: (int(minutes), int(memory)) for name, minutes, memory in said} == {
        "small": (2 * (30 + 1), 2 * (1500 + 10)),
        "big": (2 * (30 + 26), 2 * (1500 + 510)),
    }


# ---- the gathered page and reasons, without a workflow


@pytest.fixture
def gather() -> Any:
    """The script that gathers, imported as the workflow does."""
    sys.path.insert(0, str(PIPELINES / "scripts"))
    try:
        yield importlib.import_module("gather")
    finally:
        sys.path.remove(str(PIPELINES / "scripts"))


def finished(
    results: Path,
    batch: str,
    *,
    prevalence: str = "0.1",
    trajectory: str = "continuum",
    lob: str = "0",
    verdict: str = "detected",
) -> None:
    """The files that the tables are gathered from."""
    folder = results / "batches" / batch / "tables"
    folder.mkdir(parents=True)
    (folder.parent / "report.html").touch()
    row = f"pancreatic_progenitor,progenitor_like,all,300,24,0.08,0.05,0.12,{prevalence},{prevalence},{prevalence},{lob},0.02,,{verdict}"
    (folder / "fractions.csv").write_text(f"{','.join(COLUMNS)}\n{row}\n", encoding="utf-8")
    (folder / "trajectory.csv").write_text(
        f"verdict,p_continuum,p_separate\n{trajectory},0.01,\n", encoding="utf-8"
    )


FAILED = {"scdiff": "0.1.0", "state": "failed", "step": "load", "steps_done": []}
KILLED_RUN = {"scdiff": "0.1.0", "state": "running", "message": None}
WITHOUT_MESSAGE = "It ended without a message{}: killed, most likely for its memory or time."


@pytest.mark.parametrize(
    ("log", "status", "reason"),
    [
        (None, None, "It did not start; the workflow stopped before."),
        (None, {}, "It did not start; the workflow stopped before."),
        (
            "  load ...\n",
            FAILED
            | {
                "error": "InputError",
                "message": "x.h5ad: holds <no> counts. Give counts.",
                "expected": True,
            },
            "x.h5ad: holds <no> counts. Give counts.",
        ),
        (
            "scdiff: error: another one\n",
            FAILED | {"error": "KeyError", "message": "3", "expected": False},
            "An unexpected error: KeyError: 3",
        ),
        (
            "",
            KILLED_RUN | {"step": "qc", "steps_done": ["load"]},
            WITHOUT_MESSAGE.format(" in step qc"),
        ),
        (
            "",
            KILLED_RUN | {"step": "load", "steps_done": ["load"]},
            WITHOUT_MESSAGE.format(" after step load"),
        ),
        ("  load ...\n", KILLED_RUN | {"step": "", "steps_done": []}, WITHOUT_MESSAGE.format("")),
        ("", None, WITHOUT_MESSAGE.format("")),
        ("sh: scdiff: not found\n\n", None, "scdiff did not start: sh: scdiff: not found"),
        ("last\n", "damaged {", "scdiff did not start: last"),
    ],
    ids=[
        "no log",
        "status of before",
        "expected",
        "unexpected",
        "in a step",
        "after a step",
        "before a step",
        "silent",
        "not found",
        "damaged",
    ],
)
def test_a_batch_that_is_not_finished_has_its_reason(
    gather: Any, tmp_path: Path, log: str | None, status: Any, reason: str
) -> None:
    finished(tmp_path, "one", trajectory="separate population")
    (tmp_path / "logs").mkdir()
    if log is not None:
        (tmp_path / "logs" / "two.log").write_text(log, encoding="utf-8")
    if status is not None:
        (tmp_path / "batches" / "two").mkdir()
        text = status if isinstance(status, str) else json.dumps(status)
        (tmp_path / "batches" / "two" / "status.json").write_text(text, encoding="utf-8")
    gather.write_results(tmp_path, ["one", "two"])
    one, two = read(tmp_path / "verdicts.csv")
    assert (one["verdict"], one["trajectory"], one["reason"]) == (
        "detected",
        "separate population",
        "",
    )
    assert (two["verdict"], two["reason"], two["log"]) == (
        "not finished",
        reason,
        "" if log is None else "logs/two.log",
    )
    page = (tmp_path / "batches.html").read_text(encoding="utf-8")
    assert reason.replace("<", "&lt;").replace(">", "&gt;") in page
    assert "separate population" in page


def test_a_page_of_finished_batches_only_has_no_section_of_failures(
    gather: Any, tmp_path: Path
) -> None:
    finished(tmp_path, "a", prevalence="0.2")
    finished(tmp_path, "b", prevalence="")
    finished(tmp_path, "c", prevalence="0.0000001")
    gather.write_results(tmp_path, ["a", "b", "c"])
    page = (tmp_path / "batches.html").read_text(encoding="utf-8")
    assert "3 of 3 batches are finished." in page
    assert "Not finished" not in page
    assert page.count('class="value"') == 2
    assert 'cx="120.0"' in page
    assert "&lt; 0.001" in page


@pytest.mark.parametrize(("verdict", "most"), [("not detected", "0.5"), ("detected", "0.1")])
def test_the_limit_of_blank_bounds_what_was_not_detected(
    gather: Any, tmp_path: Path, verdict: str, most: str
) -> None:
    finished(tmp_path, "a", prevalence="0.001", lob="0.005", verdict=verdict)
    gather.write_results(tmp_path, ["a"])
    assert f"<td>0.1 to {most}</td>" in (tmp_path / "batches.html").read_text(encoding="utf-8")


def test_nothing_finished_still_gives_tables_and_page(gather: Any, tmp_path: Path) -> None:
    gather.write_results(tmp_path, ["a"])
    assert read(tmp_path / "fractions.csv") == []
    assert [row["verdict"] for row in read(tmp_path / "verdicts.csv")] == ["not finished"]
    assert "0 of 1 batches are finished, 1 is not." in (tmp_path / "batches.html").read_text(
        encoding="utf-8"
    )


# ---- profiles

PROFILES = {
    path.parent.name: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in sorted(PIPELINES.glob("profiles/*/config.yaml"))
}
PLUGINS = {
    "slurm": "snakemake_executor_plugin_slurm",
    "kubernetes": "snakemake_executor_plugin_cluster_generic",
}


def needs_plugin(profile: str) -> None:
    pytest.importorskip(
        PLUGINS[profile], reason=f"{PLUGINS[profile]} is not installed (pip install '.[cluster]')"
    )


@pytest.mark.slow
@needs_snakemake
def test_the_keys_of_all_profiles_are_options_of_snakemake() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "snakemake", "--help"], capture_output=True, text=True, check=True
    ).stdout
    options = set(re.findall(r"--([a-z][a-z-]+)", said))
    assert set(PROFILES) == {"default", "kubernetes", "slurm"}
    for name, profile in PROFILES.items():
        own = f"{profile.get('executor', 'local')}-"
        assert {
            key for key in profile if key not in options and not key.startswith(own)
        } == set(), name
        assert {"keep-going", "retries", "rerun-incomplete", "show-failed-logs"} <= set(profile), (
            name
        )


@pytest.mark.parametrize("name", PLUGINS)
def test_the_keys_of_a_plugin_are_its_settings(name: str) -> None:
    needs_plugin(name)
    executor = PROFILES[name]["executor"]
    settings = {
        field.name
        for field in dataclasses.fields(importlib.import_module(PLUGINS[name]).ExecutorSettings)
    }
    own = {
        key.removeprefix(f"{executor}-").replace("-", "_")
        for key in PROFILES[name]
        if key.startswith(f"{executor}-")
    }
    assert own <= settings
    assert PLUGINS[name].endswith(executor.replace("-", "_"))


@pytest.mark.slow
@needs_snakemake
@pytest.mark.parametrize("name", PLUGINS)
def test_a_profile_plans_the_workflow(tmp_path: Path, name: str) -> None:
    """The local executor takes the place of the cluster; what only a plugin knows needs the plugin."""
    if any(key.startswith(f"{PROFILES[name]['executor']}-") for key in PROFILES[name]):
        needs_plugin(name)
    (tmp_path / "one.h5ad").touch()
    sheet(tmp_path / "one.csv", "one,s1,one.h5ad", header="batch,sample,path")
    flags = (
        "--workflow-profile",
        str(PIPELINES / "profiles" / name),
        "--executor",
        "local",
        "--cores",
        "1",
        "--dry-run",
    )
    planned = snakemake(tmp_path, *flags, sheet="one.csv")
    assert planned.returncode == 0, planned.stderr
    assert re.search(r"^batch +1$", planned.stdout + planned.stderr, re.MULTILINE)


KUBECTL = """#!{python}
import os, subprocess, sys
from pathlib import Path
import yaml

jobs, (verb, *words) = Path(os.environ["FAKE_CLUSTER"]), sys.argv[1:]
if verb == "create":
    job = yaml.safe_load(sys.stdin)
    name = job["metadata"]["generateName"] + str(len(list(jobs.glob("*.yaml"))))
    (jobs / (name + ".yaml")).write_text(yaml.safe_dump(job))
    box = job["spec"]["template"]["spec"]["containers"][0]
    run = '"$@" > "$0.log" 2>&1; echo $? > "$0.code"'
    subprocess.Popen(["/bin/sh", "-c", run, jobs / name, *box["command"]], cwd=box["workingDir"], stdout=subprocess.DEVNULL)
    print("job.batch/" + name)
elif verb == "get" and not os.environ.get("FAKE_DOWN"):
    code, known = jobs / (words[0].split("/")[1] + ".code"), jobs / (words[0].split("/")[1] + ".yaml")
    done = code.read_text().strip() if code.is_file() else ""
    print(f"succeeded:{{1 if done == '0' else ''}} failed:{{1 if done not in ('', '0') else ''}}" if known.is_file() else "", end="")
else:
    sys.exit(verb != "delete")
"""
"""A cluster of one machine: a job is a process in the background, its exit code a file."""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the jobs of a cluster that ``kubectl`` talks to."""
    jobs = tmp_path / "cluster"
    jobs.mkdir()
    (jobs / "kubectl").write_text(KUBECTL.format(python=sys.executable), encoding="utf-8")
    (jobs / "kubectl").chmod(0o755)
    given = {
        "FAKE_CLUSTER": str(jobs),
        "SCDIFF_IMAGE": "registry/scdiff:1",
        "SCDIFF_CLAIM": "work",
        "SCDIFF_MOUNT": "/work",
    }
    for name, value in (given | {"PATH": f"{jobs}{os.pathsep}{os.environ['PATH']}"}).items():
        monkeypatch.setenv(name, value)
    return jobs


def command(name: str, *words: str) -> str:
    """Run one of the commands of the Kubernetes profile."""
    file = PIPELINES / "profiles" / "kubernetes" / f"{name}.sh"
    return subprocess.run([file, *words], capture_output=True, text=True, check=True).stdout.strip()


def test_a_kubernetes_job_asks_for_what_the_rule_needs(
    cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.sh").write_text("pwd", encoding="utf-8")
    name = command("submit", "2", "3200", "45", str(tmp_path / "job.sh"))
    job = yaml.safe_load((cluster / f"{name.removeprefix('job.batch/')}.yaml").read_text())
    pod = job["spec"]["template"]["spec"]
    box = pod["containers"][0]
    assert (job["kind"], job["spec"]["backoffLimit"], pod["restartPolicy"]) == ("Job", 0, "Never")
    assert pod["activeDeadlineSeconds"] == 45 * 60
    assert box["resources"] == {
        "requests": {"cpu": "2", "memory": "3200M"},
        "limits": {"memory": "3200M"},
    }
    assert (box["image"], box["workingDir"], box["command"]) == (
        "registry/scdiff:1",
        str(tmp_path),
        ["/bin/sh", str(tmp_path / "job.sh")],
    )
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == "work"
    assert box["volumeMounts"] == [{"name": pod["volumes"][0]["name"], "mountPath": "/work"}]


def test_a_kubernetes_job_without_its_image_is_refused(
    cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SCDIFF_IMAGE")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        command("submit", "1", "1500", "30", "job.sh")
    assert "SCDIFF_IMAGE: set it to the image" in refused.value.stderr
    assert list(cluster.glob("*.yaml")) == []


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("0", "success"),
        ("1", "failed"),
        ("137", "failed"),
        ("", "running"),
        (None, "failed"),
        ("down", "running"),
    ],
)
def test_the_state_of_a_kubernetes_job(
    cluster: Path, monkeypatch: pytest.MonkeyPatch, code: str | None, said: str
) -> None:
    if code is not None:
        (cluster / "scdiff-0.yaml").touch()
    if code == "down":
        monkeypatch.setenv("FAKE_DOWN", "1")
    elif code:
        (cluster / "scdiff-0.code").write_text(code)
    assert command("status", "job.batch/scdiff-0") == said
    assert command("cancel", "job.batch/scdiff-0") == ""


@needs_snakemake
@pytest.mark.long
def test_kubernetes_sends_a_killed_job_again_with_more_and_it_resumes(
    fragile: Any, cluster: Path, tmp_path: Path
) -> None:
    needs_plugin("kubernetes")
    (tmp_path / "pipelines").symlink_to(PIPELINES)
    ended = fragile("--workflow-profile", str(PIPELINES / "profiles" / "kubernetes"))
    assert ended.returncode == 0, ended.stderr
    assert resumed(tmp_path) == ["load", "qc", "normalise", "embed"]
    jobs = [
        yaml.safe_load(path.read_text())["spec"]["template"]["spec"]
        for path in sorted(cluster.glob("*.yaml"))
    ]
    first, second = (
        int(job["containers"][0]["resources"]["limits"]["memory"].removesuffix("M")) for job in jobs
    )
    assert second == 2 * first
    assert jobs[1]["activeDeadlineSeconds"] == 2 * jobs[0]["activeDeadlineSeconds"]


# ---- faults that end the workflow before it starts


@needs_snakemake
@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"sheeet": "x.csv"}, "'sheeet' was unexpected"),
        pytest.param({"threads": "0"}, "0 is less than the minimum of 1", marks=pytest.mark.slow),
        ({"sheet": "nowhere.csv"}, r"there is no file nowhere\.csv"),
        ({"sheet": "typo.csv"}, "'contol' was unexpected"),
        pytest.param(
            {"sheet": "slash.csv"}, "line 2.*(\n.*)*'a/b' does not match", marks=pytest.mark.slow
        ),
        pytest.param(
            {"sheet": "short.csv"},
            "short.csv, line 2: the line has not as many fields as the header",
            marks=pytest.mark.slow,
        ),
        pytest.param({"sheet": "empty.csv"}, "the sheet holds no sample", marks=pytest.mark.slow),
    ],
)
def test_a_faulty_setting_or_sheet_stops_before_anything_runs(
    tmp_path: Path, settings: dict[str, str], fault: str
) -> None:
    sheet(tmp_path / "fine.csv", "b,s,x.h5ad,,,,")
    sheet(tmp_path / "typo.csv", "b,s,x.h5ad,yes", header="batch,sample,path,contol")
    sheet(tmp_path / "slash.csv", "a/b,s,x.h5ad,,,,")
    sheet(tmp_path / "short.csv", "b,s,x.h5ad")
    sheet(tmp_path / "empty.csv")
    stopped = snakemake(tmp_path, **({"sheet": "fine.csv"} | settings))
    assert stopped.returncode == 1
    assert re.search(fault, stopped.stdout + stopped.stderr), stopped.stderr
    assert not (tmp_path / "results").exists()


# ---- what is ready to run


def test_the_ready_options_are_the_defaults() -> None:
    written = read_yaml(PIPELINES / "msc_batch.yaml")
    data = {"inputs": [ROOT / "test_data" / "batch.h5ad"]}
    assert resolve(written | data).model_dump(mode="json") == resolve(data).model_dump(mode="json")


def test_the_ready_options_name_every_option() -> None:
    defaults = resolve({"inputs": [ROOT / "test_data" / "batch.h5ad"]}).model_dump()
    written = read_yaml(PIPELINES / "msc_batch.yaml")
    assert list(written) == list(defaults)
    assert {name: list(value) for name, value in written.items() if isinstance(value, dict)} == {
        name: list(value) for name, value in defaults.items() if isinstance(value, dict)
    }


@pytest.mark.parametrize("name", ["msc_batch.yaml", "config.yaml"])
def test_every_key_is_explained(name: str) -> None:
    lines = (PIPELINES / name).read_text(encoding="utf-8").splitlines()
    keys = [number for number, line in enumerate(lines) if re.match(r" *\w+:", line)]
    bare = [
        lines[number]
        for number in keys
        if "#" not in lines[number] and not lines[number - 1].startswith("#")
    ]
    assert len(keys) > 5
    assert bare == []


def test_settings_and_schema_name_the_same_keys() -> None:
    schema = yaml.safe_load(
        (PIPELINES / "schemas" / "config.schema.yaml").read_text(encoding="utf-8")
    )
    settings = yaml.safe_load((PIPELINES / "config.yaml").read_text(encoding="utf-8"))
    assert list(settings) == list(schema["properties"]) == schema["required"]


def test_every_schema_refuses_what_it_does_not_know() -> None:
    schemas = sorted((PIPELINES / "schemas").glob("*.yaml"))
    assert len(schemas) == 2
    assert [
        yaml.safe_load(path.read_text(encoding="utf-8"))["additionalProperties"] for path in schemas
    ] == [False, False]


def test_the_example_sheet_points_at_the_test_data() -> None:
    rows = read(PIPELINES / "batches.csv")
    assert [row["batch"] for row in rows] == ["batch1", "batch1", "batch2", "batch2"]
    assert all((PIPELINES / row["path"]).exists() for row in rows)
