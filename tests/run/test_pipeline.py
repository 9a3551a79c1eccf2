"""The pipeline: what is computed when, what is kept, and what never looks finished."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import yaml
from anndata import AnnData
from recorded import as_loaded

from scdiff.cli import main
from scdiff.errors import ConfigError, InputError, OutputError, UnknownNameError
from scdiff.options import read_yaml
from scdiff.record import read_main_program
from scdiff.run import pipeline
from scdiff.run.pipeline import STEPS, resolve, run, step_functions
from scdiff.run.settings import join_options
from scdiff.storage.checkpoint import Checkpoints

FINISHED = ("report.html", "tables", "result.h5ad")


class Watched:
    """Run the pipeline and keep its events."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.events: list[tuple[str, str]] = []

    def __call__(self, options: Mapping[str, Any], *, start: str | None = None) -> AnnData:
        self.events.clear()
        return run(
            resolve(options),
            self.out,
            start=start,
            watch=lambda step, event, _seconds: self.events.append((step, event)),
        )

    @property
    def computed(self) -> list[str]:
        """Steps that were computed."""
        return [step for step, event in self.events if event == "finished"]

    @property
    def resumed(self) -> list[str]:
        """Steps that were taken from an earlier run."""
        return [step for step, event in self.events if event == "resumed"]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    """The pipeline writing to a folder of its own."""
    return Watched(tmp_path / "out")


@pytest.fixture
def toy_steps(monkeypatch, no_figures) -> list[tuple[str, dict[str, Any]]]:
    """Steps with the real signatures that do next to nothing; what they were called with."""
    calls: list[tuple[str, dict[str, Any]]] = []

    def toy(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(real)
        def verb(*args: Any, adata: AnnData | None = None, **options: Any) -> AnnData | None:
            calls.append((name, options))
            if name == "load":
                return tiny()
            target = adata if adata is not None else args[0]
            if name == "normalise":
                target.X = np.log1p(target.layers["counts"].toarray())
            elif name != "report":
                target.uns["scdiff"][name] = {"n": len(calls)}
            if name == "fraction":
                target.uns["scdiff"]["fractions"] = pd.DataFrame(
                    {
                        "program": ["p"],
                        "state": ["s"],
                        "sample": ["all"],
                        "fraction": [0.5],
                        "verdict": ["quantified"],
                    }
                )
            return None

        return verb

    toys = {name: toy(name, real) for name, real in step_functions().items()}
    monkeypatch.setattr(pipeline, "step_functions", lambda: toys)
    monkeypatch.setattr("scdiff.report.report", write_toy_report)
    return calls


def tiny() -> AnnData:
    """Object as load returns it."""
    from scipy import sparse

    made = AnnData(
        layers={"counts": sparse.csr_matrix(np.arange(6.0, dtype=np.float32).reshape(3, 2))}
    )
    as_loaded(made)
    return made


def write_toy_report(adata: AnnData, *, out: Path, **options: object) -> None:
    """Write what a report consists of."""
    from scdiff.report.output import stage_report

    with stage_report(out) as folder:
        (folder / "tables").mkdir()
        adata.uns["scdiff"]["fractions"].to_csv(folder / "tables" / "fractions.csv")
        (folder / "result.h5ad").write_text("")
        (folder / "report.html").write_text("")


def fractions(out: Path) -> bytes:
    """The table that everybody reads."""
    return (out / "tables" / "fractions.csv").read_bytes()


def looks_finished(out: Path) -> list[str]:
    """What of a finished run is there."""
    return [name for name in FINISHED if (out / name).exists()]


# --- the order of the work ------------------------------------------------------------------------------------------


def test_the_docstring_shows_the_order() -> None:
    assert " -> ".join(STEPS) in " ".join(pipeline.__doc__.split())
    assert list(step_functions()) == list(STEPS)


def test_a_run_computes_every_step_in_order(watched, toy_steps, small_input) -> None:
    watched({"inputs": [small_input]})
    assert watched.events == [(name, event) for name in STEPS for event in ("started", "finished")]
    assert looks_finished(watched.out) == list(FINISHED)


def test_steps_get_their_options(watched, toy_steps, small_input) -> None:
    watched(
        {
            "inputs": [small_input],
            "seed": 7,
            "species": "mouse",
            "call": {"fdr": 0.1},
            "programs": ["il10"],
        }
    )
    given = dict(toy_steps)
    assert given["load"]["species"] == "mouse"
    assert given["load"]["inputs"] == [small_input]
    assert (
        given["call"].items() >= {"fdr": 0.1, "absent_as_zero": False, "programs": ["il10"]}.items()
    )
    assert {name for name, options in given.items() if options.get("seed") == 7} >= {
        "qc",
        "embed",
        "fraction",
    }


def test_a_second_run_takes_all_from_the_first(watched, toy_steps, small_input) -> None:
    watched({"inputs": [small_input]})
    first = fractions(watched.out)
    watched({"inputs": [small_input]})
    assert (watched.resumed, watched.computed) == (list(STEPS[:-1]), ["report"])
    assert fractions(watched.out) == first


@pytest.mark.parametrize(
    ("changed", "first"),
    [
        ({"species": "mouse"}, "load"),
        ({"control": ["small"]}, "load"),
        ({"load": {"matrix": "X"}}, "load"),
        ({"qc": {"mads": 4.0}}, "qc"),
        ({"seed": 1}, "qc"),
        ({"normalise": {"target_sum": 1000.0}}, "normalise"),
        ({"embed": {"n_pcs": 20}}, "embed"),
        ({"programs": ["pancreatic_progenitor"]}, "score"),
        ({"call": {"fdr": 0.01}}, "call"),
        ({"trajectory": {"n_comps": 8}}, "trajectory"),
        ({"communicate": {"axes": ["HGF-MET"]}}, "communicate"),
        ({"communicate": {"receivers": ["t_cell"]}}, "communicate"),
        ({"call": {"fdr": 0.05}}, "report"),
        ({"report": {"dose_cells": 1e6}}, "report"),
        ({"qc": None}, "report"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_a_changed_option_recomputes_from_the_first_step_that_it_touches(
    watched, toy_steps, tmp_path, changed, first
) -> None:
    batch = tmp_path / "small"
    batch.with_suffix(".csv").write_text("gene,a,b\nINS,1,2\n")
    options = {"inputs": [batch.with_suffix(".csv")]}
    watched(options)
    watched(options | changed)
    assert watched.resumed == list(STEPS[: STEPS.index(first)])
    assert watched.computed == list(STEPS[STEPS.index(first) :])
    watched(options | changed)
    assert watched.computed == ["report"]


@pytest.mark.parametrize("start", STEPS)
def test_a_run_starts_again_where_it_is_told_to(
    watched, toy_steps, small_input, start: str
) -> None:
    watched({"inputs": [small_input]})
    watched({"inputs": [small_input]}, start=start)
    assert watched.computed == list(STEPS[STEPS.index(start) :])


def test_a_start_behind_the_last_finished_step_changes_nothing(
    watched, toy_steps, small_input
) -> None:
    watched({"inputs": [small_input]})
    watched({"inputs": [small_input], "qc": {"mads": 4.0}}, start="call")
    assert watched.computed == list(STEPS[1:])


def test_an_unknown_start_is_refused_before_anything_is_touched(watched, small_input) -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown step 'cal'\. Did you mean 'call'\? Known: load, qc"
    ):
        watched({"inputs": [small_input]}, start="cal")
    assert not watched.out.exists()


@pytest.mark.parametrize("what", ["input", "sheet", "programme", "version"])
def test_other_files_recompute_what_depends_on_them(
    watched, toy_steps, small_input, tmp_path, monkeypatch, what: str
) -> None:
    data, sheet, programme = tmp_path / "a.h5ad", tmp_path / "sheet.csv", tmp_path / "mine.toml"
    shutil.copy(small_input, data)
    rows = [f"{name},a.h5ad,{name}\n" for name in ("control1", "sample1")]
    sheet.write_text("sample,path,donor\n" + "".join(rows))
    source = Path(pipeline.__file__).parents[1] / "programs" / "il10.toml"
    programme.write_text(source.read_text())
    options = {"samples": sheet, "programs": [str(programme)]}
    watched(options)
    if what == "input":
        os.utime(data, ns=(1, 1))
    elif what == "sheet":
        sheet.write_text(sheet.read_text().replace(",sample1\n", ",other\n"))
    elif what == "programme":
        programme.write_text(programme.read_text().replace('summary = "', 'summary = "Changed. '))
    else:
        monkeypatch.setattr("scdiff.report.versions.list_versions", lambda: {"scanpy": "0"})
    watched(options)
    assert watched.computed[0] == ("score" if what == "programme" else "load")


def test_a_changed_receiver_file_recomputes_the_axes(
    watched, toy_steps, small_input, tmp_path
) -> None:
    receivers = tmp_path / "mine.csv"
    options = {"inputs": [small_input], "communicate": {"receivers": [str(receivers)]}}
    for n_expressing, computed in ((5, "load"), (5, "report"), (6, "communicate")):
        receivers.write_text(
            f"receiver,species,gene,n_cells,n_expressing\nt,human,CD44,10,{n_expressing}\n"
        )
        watched(options)
        assert watched.computed[0] == computed


def test_groups_without_liana_are_refused_before_data_are_read(monkeypatch, small_input) -> None:
    monkeypatch.setattr("scdiff.steps.communicate.interactions.find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match=r"communicate\.groups needs liana"):
        pipeline.resolve({"inputs": [small_input], "communicate": {"groups": "leiden"}})


# --- what is left behind --------------------------------------------------------------------------------------------


def test_a_failed_run_keeps_its_finished_steps_and_no_results(
    watched, toy_steps, small_input, monkeypatch
) -> None:
    options = {"inputs": [small_input]}
    watched(options)
    assert looks_finished(watched.out)
    failing = step_functions_failing(monkeypatch, "call")
    with pytest.raises(InputError, match="call found a fault"):
        watched(options | {"embed": {"n_pcs": 20}})
    assert looks_finished(watched.out) == []
    monkeypatch.setattr(pipeline, "step_functions", failing)
    watched(options | {"embed": {"n_pcs": 20}})
    assert watched.resumed == ["load", "qc", "normalise", "embed", "score"]


def step_functions_failing(monkeypatch, name: str) -> Callable[[], dict[str, Any]]:
    """Make one step fail; return what puts the steps as they were."""
    before = pipeline.step_functions
    steps = before()

    @functools.wraps(steps[name])
    def fail(*_: Any, **__: Any) -> None:
        raise InputError(f"{name} found a fault")

    monkeypatch.setattr(pipeline, "step_functions", lambda: steps | {name: fail})
    return before


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"control": ["nobody"]}, ConfigError, "control: there is no sample 'nobody'"),
        ({"inputs": ["none.h5ad"]}, InputError, "there is no such file or folder"),
        ({"inputs": []}, ConfigError, "there is nothing to read"),
        ({"programs": ["nothing"]}, UnknownNameError, "unknown programme 'nothing'"),
        ({"communicate": {"axes": ["HGF"]}}, UnknownNameError, "unknown axis 'HGF'"),
        ({"communicate": {"receivers": ["tcell"]}}, UnknownNameError, "unknown receiver 'tcell'"),
        ({"seed": -1}, ConfigError, "option 'seed' is -1"),
    ],
    ids=["control", "missing", "nothing", "programme", "axis", "receiver", "seed"],
)
def test_earlier_results_stay_where_the_options_are_wrong(
    watched, toy_steps, small_input, change, error, said
) -> None:
    watched({"inputs": [small_input]})
    with pytest.raises(error, match=said):
        watched({"inputs": [small_input]} | change)
    assert looks_finished(watched.out) == list(FINISHED)
    watched({"inputs": [small_input]})
    assert watched.computed == ["report"]


def test_wrong_input_leaves_no_folder(watched) -> None:
    with pytest.raises(InputError, match="there is no such file or folder"):
        watched({"inputs": ["none.h5ad"]})
    assert not watched.out.exists()


def test_files_of_others_stay(watched, toy_steps, small_input) -> None:
    (watched.out / "tables").mkdir(parents=True)
    (watched.out / "figures").mkdir()
    mine = [
        watched.out / "tables" / "mine.csv",
        watched.out / "figures" / "mine.svg",
        watched.out / "versions.yml",
    ]
    for path in mine:
        path.write_text("mine")
    watched({"inputs": [small_input]})
    watched({"inputs": [small_input]}, start="load")
    assert [path.read_text() for path in mine] == ["mine"] * 3


def test_an_input_among_the_results_is_not_removed(watched, toy_steps, small_input) -> None:
    watched({"inputs": [small_input]})
    shutil.copy(small_input, watched.out / "result.h5ad")
    with pytest.raises(
        OutputError,
        match=r"result\.h5ad: this input is a result in the output folder and would be replaced",
    ):
        watched({"inputs": [watched.out / "result.h5ad"]})
    assert (watched.out / "result.h5ad").stat().st_size > 0


def test_a_configuration_file_of_the_user_is_not_replaced(watched, toy_steps, small_input) -> None:
    watched.out.mkdir()
    (watched.out / "run.yaml").write_text("seed: 1  # my own\n")
    with pytest.raises(
        OutputError, match=r"run\.yaml: scdiff did not write this file and would replace it"
    ):
        watched({"inputs": [small_input]})
    assert (watched.out / "run.yaml").read_text() == "seed: 1  # my own\n"


def test_the_record_of_a_run_repeats_it(watched, toy_steps, small_input) -> None:
    options = {"inputs": [small_input], "seed": 3, "call": {"fdr": 0.01}}
    watched(options)
    again = read_yaml(watched.out / "run.yaml")
    assert (again["seed"], again["call"]["fdr"], again["qc"]["mads"]) == (3, 0.01, 5.0)
    watched(again)
    assert watched.computed == ["report"]


@pytest.mark.parametrize("damage", ["truncated", "missing", "garbage"])
@pytest.mark.parametrize(
    ("name", "resumed"), [("08_communicate", 8), ("05_call", 5), ("01_qc", 1), ("00_load", 0)]
)
def test_a_damaged_checkpoint_is_computed_again(
    watched, toy_steps, small_input, damage, name, resumed
) -> None:
    watched({"inputs": [small_input]})
    first = fractions(watched.out)
    path = watched.out / ".scdiff" / f"{name}.h5"
    content = path.read_bytes()
    path.unlink() if damage == "missing" else path.write_bytes(
        content[: len(content) // 2] if damage == "truncated" else b"garbage"
    )
    watched({"inputs": [small_input]})
    assert watched.resumed == list(STEPS[:resumed])
    assert fractions(watched.out) == first


def test_one_run_at_a_time(watched, toy_steps, small_input) -> None:
    with (
        Checkpoints(watched.out).locked(),
        pytest.raises(OutputError, match="another run is writing to this folder"),
    ):
        watched({"inputs": [small_input]})
    watched({"inputs": [small_input]})
    assert looks_finished(watched.out)


# --- real runs ------------------------------------------------------------------------------------------------------


@pytest.fixture
def reference(finished_run: Path) -> Path:
    """Folder of a run that nobody disturbed."""
    return finished_run


def test_a_run_writes_all_that_it_promises(reference) -> None:
    names = {str(path.relative_to(reference)) for path in reference.rglob("*") if path.is_file()}
    promised = {
        "report.html",
        "result.h5ad",
        "run.yaml",
        "versions.yml",
        "scdiff_mqc.json",
        "scdiff_states_mqc.json",
    }
    assert (
        promised | {"tables/fractions.csv", "tables/cells.csv.gz", "figures/fractions.svg"} <= names
    )
    assert not [name for name in names if "partial" in name]


def test_the_result_knows_how_it_was_made(reference) -> None:
    done = anndata.read_h5ad(reference / "result.h5ad").uns["scdiff"]["run"]
    assert set(done["options"]) == {*done["seconds"], "report"} == set(STEPS)
    assert yaml.safe_load(done["options"]["call"])["fdr"] == 0.05
    assert {"python", "scdiff", "scanpy", "anndata"} <= set(done["versions"])
    assert all(seconds >= 0 for seconds in done["seconds"].values())


def test_the_fraction_is_near_the_truth(reference, small_batch) -> None:
    batch = small_batch.obs["sample"] != "control1"
    row = pd.read_csv(reference / "tables" / "fractions.csv").iloc[0]
    assert (row["program"], row["state"], row["sample"]) == (
        "pancreatic_progenitor",
        "progenitor_like",
        "all",
    )
    truth = small_batch.obs.loc[batch, "truth_positive"].mean()
    assert row["prevalence_low"] - 0.02 <= truth <= row["prevalence_high"] + 0.02


LIGHT = {
    "programs": "[pancreatic_progenitor, vegf]",
    "call.null_sets": "0",
    "score.methods": "[mean_minus_control]",
}
"""Options of a run of few seconds, where a test is about starting, dying and going on."""


def light(small_input: Path, out: Path) -> list[str]:
    """Words of the command of a light run."""
    options = [word for name, value in LIGHT.items() for word in ("--set", f"{name}={value}")]
    return ["run", str(small_input), "--control", "control1", "--out", str(out), *options]


@pytest.fixture(scope="session")
def light_run(small_input: Path, made_once: Callable[..., Path]) -> Path:
    """Folder of a light run that nobody disturbed."""

    def fill(folder: Path) -> None:
        assert main([*light(small_input, folder / "out"), "--quiet"]) == 0

    return made_once("light", fill) / "out"


def kill_at(step: str, small_input: Path, out: Path) -> None:
    """Start the command, and kill it as soon as it says that a step has started."""
    words = light(small_input, out)
    code = f"from scdiff.cli import main; main({words!r})"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.strip() == f"{step} ...":
            process.kill()
            break
    process.stderr.close()
    assert process.wait() == -9


@pytest.mark.parametrize(
    "step",
    [
        pytest.param("embed", marks=pytest.mark.long),
        pytest.param("report", marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(
    light_run, small_input, tmp_path, capsys, step: str
) -> None:
    out = tmp_path / "out"
    kill_at(step, small_input, out)
    assert looks_finished(out) == []
    assert main(light(small_input, out)) == 0
    said = [line.split() for line in capsys.readouterr().err.splitlines()]
    resumed = [words[0] for words in said if words[1:3] == ["done", "before"]]
    assert resumed[: STEPS.index(step)] == list(STEPS[: STEPS.index(step)])
    assert len(resumed) <= STEPS.index(step) + 1  # a fast step may have ended before it was killed
    assert fractions(out) == fractions(light_run)
    assert not [path for path in out.rglob("*") if "partial" in path.name]


@pytest.mark.long
def test_a_run_killed_in_every_step_in_turn(light_run, small_input, tmp_path) -> None:
    out = tmp_path / "out"
    for number, step in enumerate(STEPS):
        kill_at(step, small_input, out)
        assert looks_finished(out) == []
        done = [entry["step"] for entry in Checkpoints(out).finished()]
        assert done[:number] == list(STEPS[:number])
    assert main([*light(small_input, out), "--quiet"]) == 0
    assert fractions(out) == fractions(light_run)
    assert not [path for path in out.rglob("*") if "partial" in path.name]


DIES_WHILE_WRITING = """
import os, sys
import scdiff.{module} as module
real, calls = module.{name}, []
def die(what, path, **options):
    calls.append(path)
    real(what, path, **options)
    if len(calls) == {n}:
        path.write_bytes(path.read_bytes()[:1000])
        os.kill(os.getpid(), 9)
module.{name} = die
from scdiff.cli import main
main({words!r})
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "name", "n"),
    [("storage.checkpoint", "_write", 6), ("storage.h5ad", "write_h5ad", 1)],
)
def test_a_run_killed_while_it_stores(
    light_run, small_input, tmp_path, module: str, name: str, n: int
) -> None:
    words = [*light(small_input, tmp_path / "out"), "--quiet"]
    died = subprocess.run(
        [
            sys.executable,
            "-c",
            DIES_WHILE_WRITING.format(module=module, name=name, n=n, words=words),
        ],
        check=False,
        capture_output=True,
    )
    assert died.returncode == -9
    assert looks_finished(tmp_path / "out") == []
    assert main(words) == 0
    assert fractions(tmp_path / "out") == fractions(light_run)


@pytest.mark.slow
def test_a_resumed_result_is_the_same_result(reference, small_input, tmp_path, no_figures) -> None:
    """Every value, not only the table: a resumed run restores every slot, and writes the same X."""
    shutil.copytree(reference, tmp_path / "out")
    config = resolve(read_yaml(reference / "run.yaml"))
    resumed, whole = (
        run(config, tmp_path / "out", start="trajectory"),
        anndata.read_h5ad(reference / "result.h5ad"),
    )
    assert resumed.X is None
    assert np.array_equal(
        anndata.read_h5ad(tmp_path / "out" / "result.h5ad").X.toarray(), whole.X.toarray()
    )
    for slot in ("obs", "var"):
        pd.testing.assert_frame_equal(
            getattr(resumed, slot), getattr(whole, slot), check_dtype=False
        )
    for name in whole.obsm:
        np.testing.assert_array_equal(np.asarray(resumed.obsm[name]), np.asarray(whole.obsm[name]))
    assert fractions(tmp_path / "out") == fractions(reference)


@pytest.mark.slow
def test_a_second_run_is_the_same_whatever_the_order_of_cells_and_genes(
    reference, small_batch, tmp_path, no_figures
) -> None:
    rng = np.random.default_rng(1)
    cells, genes = rng.permutation(small_batch.n_obs), rng.permutation(small_batch.n_vars)
    small_batch[cells, genes].copy().write_h5ad(tmp_path / "small.h5ad")
    shuffled = run(
        resolve({"inputs": [tmp_path / "small.h5ad"], "control": ["control1"]}), tmp_path / "out"
    )
    assert fractions(tmp_path / "out") == fractions(reference)
    whole = anndata.read_h5ad(reference / "result.h5ad")
    same = shuffled.obs.loc[whole.obs_names]
    for name in (
        "leiden",
        "scdiff_state",
        "dpt_pseudotime",
        "scdiff_probability",
        "predicted_doublet",
        "doublet_score",
    ):
        assert same[name].astype(str).tolist() == whole.obs[name].astype(str).tolist(), name


OWN = """name = "mine"
title = "Mine"
summary = "A programme of one's own."
positive = "mine_like"
min_markers = 2
source = "field convention"

[[markers]]
name = "PDX1"
human = ["PDX1"]
level_cp10k = 1.5
source = "field convention"

[[markers]]
name = "INS"
human = ["INS"]
level_cp10k = 100
source = "field convention"
"""


@pytest.mark.slow
def test_a_programme_of_ones_own_in_first_place_runs_to_a_report(
    small_input, tmp_path, monkeypatch
) -> None:
    """Looked up by its name among the shipped ones, it ended the run after the calls."""
    (tmp_path / "mine.toml").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    assert (
        main(
            [
                "run",
                str(small_input),
                "--out",
                "out",
                "--set",
                "programs=[mine.toml]",
                "--set",
                "call.null_sets=0",
                "-q",
            ]
        )
        == 0
    )
    table = pd.read_csv("out/tables/fractions.csv")
    assert {"mine"} == set(table["program"])
    assert table["state"].iloc[0] == "mine_like"
    assert "mine-like" in Path("out/report.html").read_text()

    result = anndata.read_h5ad("out/result.h5ad")
    (
        tmp_path / "mine.toml"
    ).unlink()  # the record holds the programme: report and comparison need no file
    assert read_main_program(result).positive == "mine_like"
    assert main(["report", "out/result.h5ad", "--out", "again"]) == 0
    assert Path("again/report.html").is_file()


@pytest.mark.slow
def test_an_edited_programme_is_read_again_by_a_resumed_run(
    watched, small_input, tmp_path, no_figures
) -> None:
    own = tmp_path / "mine.toml"
    own.write_text(OWN)
    options = {
        "inputs": [small_input],
        "programs": [str(own)],
        "call": {"null_sets": 0},
        "qc": {"doublets": "skip"},
    }
    watched(options)
    own.write_text(OWN.replace("mine_like", "other_like"))
    adata = watched(options)
    assert watched.computed[0] == "score"
    assert adata.uns["scdiff"]["fractions"]["state"].iloc[0] == "other_like"


def test_a_programme_given_on_the_command_line_is_found_from_another_folder(
    tmp_path, monkeypatch
) -> None:
    (tmp_path / "mine.toml").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    said = join_options([], None, None, None, None, ["programs=[mine.toml, il10]"])
    assert said["programs"] == [str(tmp_path / "mine.toml"), "il10"]
