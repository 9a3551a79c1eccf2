"""The Snakemake workflow, run for real, and its ready-to-run options."""

from __future__ import annotations

import csv
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import pytest
import yaml
from scipy import sparse

from scdiff import simulate
from scdiff.config import read_yaml
from scdiff.pipeline import resolve

ROOT = Path(__file__).resolve().parents[1]
PIPELINES = ROOT / "pipelines"
BROKEN = "batch3"


needs_snakemake = pytest.mark.skipif(
    importlib.util.find_spec("snakemake") is None, reason="snakemake is not installed (pip install '.[workflow]')"
)


def snakemake(folder: Path, *flags: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the workflow in ``folder``."""
    given = {"command": f"{sys.executable} -m scdiff", "options": str(PIPELINES / "msc_batch.yaml")} | settings
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(PIPELINES / "Snakefile"), "--directory", str(folder), *flags]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache")}
    pairs = [f"{key}={value}" for key, value in given.items()]
    return subprocess.run([*command, "--config", *pairs], capture_output=True, text=True, env=environment, check=False)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def sheet(path: Path, *rows: str, header: str = "batch,sample,path,donor,condition,day,control") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


# ---- two batches and a broken third one


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a finished workflow: two small batches, and a third one whose file is damaged."""
    folder = tmp_path_factory.mktemp("analysis")
    data = folder / "data"
    data.mkdir()
    for name, fraction, seed in (("one", 0.1, 1), ("two", 0.0, 2)):
        simulate.simulate(n_cells=150, fraction=fraction, seed=seed).write_h5ad(data / f"{name}.h5ad")
    (data / "three.h5ad").write_bytes((data / "one.h5ad").read_bytes()[:5000])
    with_empty_droplets(anndata.read_h5ad(data / "one.h5ad")).write_h5ad(data / "everything.h5ad")
    rows = ("batch1,s1,one.h5ad,d1,differentiated,21,false,everything.h5ad", "batch2,s2,two.h5ad,d2,differentiated,21,,")
    header = "batch,sample,path,donor,condition,day,control,raw"
    sheet(data / "batches.csv", *rows, f"{BROKEN},s3,three.h5ad,d3,,21,no,", header=header)
    return folder


def with_empty_droplets(cells: anndata.AnnData, n_empty: int = 500) -> anndata.AnnData:
    """The unfiltered matrix: the cells, and droplets with 40 counts of their soup each."""
    share = np.asarray(cells.X.sum(axis=0)).ravel() / cells.X.sum()
    droplets = np.random.default_rng(0).multinomial(40, share, size=n_empty)
    empty = anndata.AnnData(sparse.csr_matrix(droplets.astype(np.float32)), var=cells.var[[]].copy())
    empty.obs_names = [f"EMPTY{index}" for index in range(n_empty)]
    return anndata.concat([cells, empty])


@pytest.fixture(scope="module")
def done(analysis: Path) -> subprocess.CompletedProcess[str]:
    """The workflow, run once."""
    return snakemake(analysis, sheet="data/batches.csv")


@needs_snakemake
@pytest.mark.slow
def test_a_broken_batch_fails_the_workflow_and_says_why(done: subprocess.CompletedProcess[str], analysis: Path) -> None:
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "three.h5ad" in (analysis / "results" / "logs" / f"{BROKEN}.log").read_text()
    assert re.search(r"scdiff: error: .*three\.h5ad", said), said
    assert not (analysis / "results" / "batches" / BROKEN / "report.html").exists()


@needs_snakemake
@pytest.mark.slow
def test_the_other_batches_are_finished(done: subprocess.CompletedProcess[str], analysis: Path) -> None:
    for batch in ("batch1", "batch2"):
        folder = analysis / "results" / "batches" / batch
        assert "</html>" in (folder / "report.html").read_text(encoding="utf-8")
        assert (folder / "result.h5ad").stat().st_size > 0


@needs_snakemake
@pytest.mark.slow
def test_the_unfiltered_matrix_of_the_sheet_is_read(done: subprocess.CompletedProcess[str], analysis: Path) -> None:
    soups = {}
    for batch in ("batch1", "batch2"):
        record = anndata.read_h5ad(analysis / "results" / "batches" / batch / "result.h5ad").uns["scdiff"]["input"]
        soups[batch] = record["soup"]["counts"].sum() if "soup" in record else None
    assert soups == {"batch1": 500 * 40, "batch2": None}


@needs_snakemake
@pytest.mark.slow
def test_the_gathered_table_holds_the_batches_own_rows(done: subprocess.CompletedProcess[str], analysis: Path) -> None:
    results = analysis / "results"
    gathered = read(results / "fractions.csv")
    own = [{"batch": name} | row for name in ("batch1", "batch2") for row in read(results / "batches" / name / "tables" / "fractions.csv")]
    assert gathered == own
    assert list(gathered[0])[:4] == ["batch", "program", "state", "sample"]
    assert {row["sample"] for row in gathered} == {"all", "s1", "s2"}


@needs_snakemake
@pytest.mark.slow
def test_the_verdicts_hold_one_row_per_batch(done: subprocess.CompletedProcess[str], analysis: Path) -> None:
    results = analysis / "results"
    verdicts = {row["batch"]: row for row in read(results / "verdicts.csv")}
    assert list(verdicts) == ["batch1", "batch2", BROKEN]
    for batch in ("batch1", "batch2"):
        main = next(row for row in read(results / "fractions.csv") if row["batch"] == batch and row["sample"] == "all")
        assert main["state"] == "progenitor_like"
        assert {key: verdicts[batch][key] for key in ("verdict", "n_cells", "prevalence")} == {
            key: main[key] for key in ("verdict", "n_cells", "prevalence")
        }
        assert (results / verdicts[batch]["report"]).is_file()
    assert (verdicts["batch1"]["verdict"], verdicts["batch2"]["verdict"]) == ("detected", "not detected")
    assert (verdicts[BROKEN]["verdict"], verdicts[BROKEN]["prevalence"]) == ("not finished", "")
    assert (results / verdicts[BROKEN]["report"]).is_file()


@needs_snakemake
@pytest.mark.slow
def test_a_mended_batch_runs_alone(done: subprocess.CompletedProcess[str], analysis: Path) -> None:
    shutil.copy(analysis / "data" / "two.h5ad", analysis / "data" / "three.h5ad")
    planned = snakemake(analysis, "--dry-run", sheet="data/batches.csv")
    assert planned.returncode == 0, planned.stderr
    said = planned.stdout + planned.stderr
    assert re.search(r"^batch +1$", said, re.MULTILINE), said
    assert re.search(r"^gather +1$", said, re.MULTILINE), said


# ---- faults that end the workflow before it starts


@needs_snakemake
@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"sheeet": "x.csv"}, "'sheeet' was unexpected"),
        pytest.param({"threads": "0"}, "0 is less than the minimum of 1", marks=pytest.mark.slow),
        ({"sheet": "nowhere.csv"}, r"there is no file nowhere\.csv"),
        ({"sheet": "typo.csv"}, "'contol' was unexpected"),
        pytest.param({"sheet": "slash.csv"}, "line 2.*(\n.*)*'a/b' does not match", marks=pytest.mark.slow),
        pytest.param({"sheet": "short.csv"}, "short.csv, line 2: the line has not as many fields as the header", marks=pytest.mark.slow),
        pytest.param({"sheet": "empty.csv"}, "the sheet holds no sample", marks=pytest.mark.slow),
    ],
)
def test_a_faulty_setting_or_sheet_stops_before_anything_runs(tmp_path: Path, settings: dict[str, str], fault: str) -> None:
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
    bare = [lines[number] for number in keys if "#" not in lines[number] and not lines[number - 1].startswith("#")]
    assert len(keys) > 5
    assert bare == []


def test_settings_and_schema_name_the_same_keys() -> None:
    schema = yaml.safe_load((PIPELINES / "schemas" / "config.schema.yaml").read_text(encoding="utf-8"))
    settings = yaml.safe_load((PIPELINES / "config.yaml").read_text(encoding="utf-8"))
    assert list(settings) == list(schema["properties"]) == schema["required"]


def test_every_schema_refuses_what_it_does_not_know() -> None:
    schemas = sorted((PIPELINES / "schemas").glob("*.yaml"))
    assert len(schemas) == 2
    assert [yaml.safe_load(path.read_text(encoding="utf-8"))["additionalProperties"] for path in schemas] == [False, False]


def test_the_example_sheet_points_at_the_test_data() -> None:
    rows = read(PIPELINES / "batches.csv")
    assert [row["batch"] for row in rows] == ["batch1", "batch1", "batch2", "batch2"]
    assert all((PIPELINES / row["path"]).exists() for row in rows)
