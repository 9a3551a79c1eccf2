import json
import shutil
from pathlib import Path

import anndata
import pandas as pd
import pytest
import yaml

from scdiff.errors import ConfigError, MissingKeyError, OutputError
from scdiff.report import output, report
from scdiff.report.output import FILES, PARTIAL, previous_files, remove_report, stage_report
from scdiff.report.section import Section, Table

TABLES = [
    "fractions",
    "qc_dropped",
    "qc_thresholds",
    "markers",
    "axes",
    "clusters",
    "programs",
    "versions",
    "options",
    "input_files",
]
TABLES += ["trajectory_components", "trajectory_root_candidates", "trajectory_paga", "trajectory"]


@pytest.fixture
def written(published):
    return published("quantified")


@pytest.fixture
def quick(monkeypatch):
    """Sections without figures, where the test is about files."""
    table = Table("a.csv", pd.DataFrame({"a": [1]}), "A table.")
    monkeypatch.setattr(
        "scdiff.report.sections.all_sections",
        lambda _adata: [Section("Quick", "quick", "quick", tables=(table,))],
    )


def test_all_files_are_there(written):
    names = {str(path.relative_to(written)) for path in written.rglob("*") if path.is_file()}
    wanted = {
        "report.html",
        "result.h5ad",
        "scdiff_mqc.json",
        "scdiff_states_mqc.json",
        "versions.yml",
        "tables/cells.csv.gz",
    }
    assert wanted | {f"tables/{name}.csv" for name in TABLES} <= names
    assert "figures/fractions.svg" in names
    assert not (written / PARTIAL).exists()


def test_tables_can_be_read_back(written):
    fractions = pd.read_csv(written / "tables" / "fractions.csv")
    main = fractions.query(
        "program == 'pancreatic_progenitor' and state == 'progenitor_like' and sample == 'all'"
    )
    assert len(main) == 1
    assert main["verdict"].item() == "quantified"
    cells = pd.read_csv(written / "tables" / "cells.csv.gz")
    assert len(cells) == 600


def test_files_for_other_tools(written):
    stored = json.loads((written / "scdiff_mqc.json").read_text())
    assert written.name in stored["data"]
    assert json.loads((written / "scdiff_states_mqc.json").read_text())["plot_type"] == "bargraph"
    assert yaml.safe_load((written / "versions.yml").read_text())["scdiff"]["scanpy"] == "1.11.5"
    assert anndata.read_h5ad(written / "result.h5ad").n_obs == 600


def test_every_figure_named_in_the_list_is_a_file(written):
    listed = (written / FILES).read_text().splitlines()
    assert "report.html" in listed
    assert all((written / name).is_file() for name in listed)


@pytest.mark.slow
def test_a_stored_result_gives_the_same_tables_and_figures(written, tmp_path):
    report(anndata.read_h5ad(written / "result.h5ad"), out=tmp_path)
    files = [*(written / "tables").iterdir(), *(written / "figures").iterdir()]
    assert len(files) > 30
    for path in files:
        assert (tmp_path / path.relative_to(written)).read_bytes() == path.read_bytes(), path.name


def test_the_object_is_left_as_it_is(quick, finished, tmp_path):
    before = finished.copy()
    report(finished, out=tmp_path)
    pd.testing.assert_frame_equal(finished.obs, before.obs)
    assert set(finished.uns["scdiff"]) == set(before.uns["scdiff"])


def test_files_of_the_last_report_go_and_others_stay(quick, finished, written, tmp_path):
    shutil.copytree(written, tmp_path / "out")
    (tmp_path / "out" / "figures" / "mine.png").write_bytes(b"mine")
    report(finished, out=tmp_path / "out")
    assert [path.name for path in (tmp_path / "out" / "figures").iterdir()] == ["mine.png"]
    assert sorted(path.name for path in (tmp_path / "out" / "tables").iterdir()) == [
        "a.csv",
        "cells.csv.gz",
        "dose.csv",
        "fractions.csv",
    ]


def test_a_list_that_points_outside_is_not_believed(quick, finished, tmp_path):
    outside = tmp_path / "outside.txt"
    outside.write_text("keep")
    out = tmp_path / "out"
    out.mkdir()
    (out / FILES).write_text(f"../outside.txt\n{outside}\n")
    report(finished, out=out)
    assert outside.read_text() == "keep"


@pytest.mark.parametrize("part", ["render_page", "write_h5ad"])
def test_a_full_disk_leaves_nothing_that_looks_finished(
    part, quick, finished, tmp_path, monkeypatch
):
    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    module = {"render_page": "scdiff.report.page", "write_h5ad": "scdiff.storage.h5ad"}[part]
    monkeypatch.setattr(f"{module}.{part}", full)
    with pytest.raises(
        OutputError, match=r"the report cannot be written \(No space left on device\)"
    ):
        report(finished, out=tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_error_while_writing_keeps_the_earlier_report(quick, finished, tmp_path, monkeypatch):
    report(finished, out=tmp_path)
    before = (tmp_path / "report.html").read_bytes()
    monkeypatch.setattr("scdiff.report.versions.versions_yaml", lambda _adata: 1 / 0)
    with pytest.raises(ZeroDivisionError, match="division"):
        report(finished, out=tmp_path)
    assert (tmp_path / "report.html").read_bytes() == before
    assert not (tmp_path / PARTIAL).exists()


def test_the_page_is_moved_last(tmp_path, monkeypatch):
    moved = []
    replace = Path.replace
    monkeypatch.setattr(
        Path,
        "replace",
        lambda self, target: (moved.append(Path(target).name), replace(self, target))[1],
    )
    with stage_report(tmp_path) as folder:
        for name in ("z.txt", "report.html", "a.txt"):
            (folder / name).write_text(name)
    assert moved == ["a.txt", "z.txt", "report.html"]


def test_a_kill_while_moving_leaves_no_page(tmp_path, monkeypatch):
    with stage_report(tmp_path) as folder:
        (folder / "report.html").write_text("old")
        (folder / "a.txt").write_text("old")

    def killed(_self, _target):
        raise KeyboardInterrupt("stop")

    monkeypatch.setattr(Path, "replace", killed)

    def again():
        with stage_report(tmp_path) as folder:
            (folder / "report.html").write_text("new")
            (folder / "a.txt").write_text("new")

    with pytest.raises(KeyboardInterrupt, match="stop"):
        again()
    assert not (tmp_path / "report.html").exists()


def test_remains_of_a_killed_run_are_cleared(quick, finished, tmp_path):
    (tmp_path / PARTIAL).mkdir()
    (tmp_path / PARTIAL / "rest.txt").write_text("rest")
    report(finished, out=tmp_path)
    assert not list(tmp_path.rglob("rest.txt"))


@pytest.mark.slow
def test_a_file_in_the_place_of_the_folder(finished, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match=r"out: the report cannot be written \(File exists\)"):
        report(finished, out=tmp_path / "out")


@pytest.mark.slow
def test_a_failed_section_still_leaves_fractions_and_cells(finished, tmp_path):
    finished.uns["scdiff"]["call"] = {"main": "pancreatic_progenitor"}
    finished.uns["scdiff"]["qc"] = {}
    del finished.obsm["X_umap"]
    report(finished, out=tmp_path)
    assert (tmp_path / "tables" / "fractions.csv").is_file()
    assert "Failed:" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("key", "writer"), [("fractions", "fraction"), ("input", r"scdiff\.pp\.prepare\(adata\)")]
)
def test_steps_that_must_have_run(key, writer, finished, tmp_path):
    del finished.uns["scdiff"][key]
    with pytest.raises(MissingKeyError, match=f"run {writer} first"):
        report(finished, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unknown_options_are_refused(finished):
    with pytest.raises(ConfigError, match="unknown option 'dir'"):
        report(finished, dir="x")


def test_the_public_names():
    assert set(output.__all__) == {
        "FILES",
        "PARTIAL",
        "previous_files",
        "remove_report",
        "stage_report",
        "write_page",
        "write_report",
    }


def test_removing_a_report_leaves_what_it_did_not_write(quick, finished, tmp_path):
    report(finished, out=tmp_path)
    (tmp_path / "tables" / "mine.csv").write_text("a\n")
    (tmp_path / "notes.txt").write_text("mine")
    remove_report(tmp_path)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "notes.txt",
        "tables",
        "tables/mine.csv",
    ]
    remove_report(tmp_path)
    assert previous_files(tmp_path) == []


def test_a_listing_that_leads_outside_is_not_believed(tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / FILES).write_text(f"../precious.txt\n{tmp_path / 'precious.txt'}\n")
    remove_report(tmp_path / "out")
    assert (tmp_path / "precious.txt").exists()
