"""Whole runs on real data of every layout: each ends with a verdict that is true of the file."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from scdiff.cli import main

ABSENT = r"Not measurable: PDX1 and INS have no row in this matrix; absent is not zero"
NONE_OF_THEM = r"Not measurable: PDX1(,| and) NKX6-1 and INS have no row in this matrix"
LIGHT = ("--set", "programs=[pancreatic_progenitor]", "--set", "communicate.axes=[HGF-MET]")
ZERO = ("--set", "call.absent_as_zero=true")
FOUND = r"^\d.* % of cells are pancreatic-progenitor-like \(95 % interval .*\), (quantified|detected, but too few to quantify)\."

FOUND_OR_CANNOT_TELL = rf"{FOUND}|^Inconclusive: the level of the most abundant marker"

RUNS = {
    "reads": (["fetal_pancreas_human.h5ad"], (), FOUND_OR_CANNOT_TELL),
    "few": (["endocrinogenesis_mouse_e15_50cells.h5ad"], (), FOUND),
    "genes": (["endocrinogenesis_mouse_e15_hvg.h5ad"], (), FOUND),
    "islets": (["islet_mouse.h5ad"], (), FOUND),
    "msc, absent as zero": (
        ["msc_mouse_bone_marrow.h5ad"],
        ZERO,
        r"Not detected: 0 of 2\d\d cells .* at most [\d.]+ %",
    ),
    "pbmc, absent as zero": (
        ["pbmc_facs_human.h5ad"],
        ZERO,
        r"Not detected: 0 of 3,\d\d\d cells .* at most 0\.\d+ %",
    ),
    "csv": (["layouts/GSM0000002_BMSC_dense_genes_x_cells.csv.gz"], LIGHT, ABSENT),
    "csv, absent as zero": (
        ["layouts/GSM0000002_BMSC_dense_genes_x_cells.csv.gz"],
        (*LIGHT, *ZERO),
        r"Not measurable: 4\d cells are too few, at least 50 are needed",
    ),
    "loom": (["layouts/GSM0000005_BMSC.loom"], LIGHT, ABSENT),
    "10x v2": (["layouts/geo_10x_v2_plain"], LIGHT, ABSENT),
    "10x v3": (["layouts/geo_10x_v3_prefixed"], LIGHT, ABSENT),
    "real v3 folder": (["layouts/real_10x/3.0.0/filtered_feature_bc_matrix"], LIGHT, NONE_OF_THEM),
    "real v3 h5": (["layouts/real_10x/3.0.0/filtered_feature_bc_matrix.h5"], LIGHT, NONE_OF_THEM),
    "real v1 folder": (["layouts/real_10x/1.2.0/filtered_gene_bc_matrices"], LIGHT, NONE_OF_THEM),
    "real v1 h5": (["layouts/real_10x/1.2.0/filtered_gene_bc_matrices_h5.h5"], LIGHT, NONE_OF_THEM),
    "real v1, two genomes": (
        ["layouts/real_10x/1.2.0/multiple_genomes.h5"],
        (*LIGHT, *ZERO),
        r"Not measurable: \d+ cells are too few",
    ),
}


IN_EVERY_CHECK = {"csv", "loom", "10x v3", "real v3 h5"}
"""One run of each kind of file; the others take minutes."""


@pytest.mark.parametrize(
    ("files", "options", "said"),
    [
        pytest.param(
            *run,
            id=name,
            marks=pytest.mark.slow if name in IN_EVERY_CHECK else pytest.mark.long,
        )
        for name, run in RUNS.items()
    ],
)
def test_a_run_ends_with_a_true_verdict(
    shared_data: Path, tmp_path, capsys, files, options, said: str
) -> None:
    code = main(
        ["run", *(str(shared_data / name) for name in files), *options, "--out", str(tmp_path)]
    )
    out, err = capsys.readouterr()
    assert code == 0, err
    assert "Traceback" not in err
    assert "failed" not in err
    assert pd.Series(out).str.contains(said).all(), out
    table = pd.read_csv(tmp_path / "tables" / "fractions.csv")
    main_row = table.query(
        "program == 'pancreatic_progenitor' and state == 'progenitor_like' and sample == 'all'"
    ).iloc[0]
    assert main_row["verdict"].capitalize() in out or main_row["verdict"] in out
    assert (tmp_path / "report.html").stat().st_size > 100_000
    reads = "Values look like Smart-seq reads, not UMI"
    assert (
        (reads in err)
        == (reads in (tmp_path / "report.html").read_text(encoding="utf-8"))
        == ("fetal" in files[0])
    )
    assert not table.query("n_cells < 50 and verdict != 'not measurable'").size


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "layouts/real_10x/int-ids",
            r"qc leaves 1 of 5 cells \(4 empty\), .* the file holds no cells that can be analysed",
        ),
    ],
)
def test_files_without_cells_worth_a_run_are_refused(
    shared_data: Path, tmp_path, capsys, name: str, said: str
) -> None:
    assert main(["run", str(shared_data / name), "--out", str(tmp_path / "out"), "--quiet"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert pd.Series(err).str.contains(said).all(), err
    assert not (tmp_path / "out" / "report.html").exists()


@pytest.mark.slow
def test_check_knows_every_layout(shared_data: Path, capsys) -> None:
    files = sorted({str(shared_data / name) for names, _, _ in RUNS.values() for name in names})
    assert [file for file in files if main(["check", file]) != 0] == []
    out = capsys.readouterr().out
    assert all(
        layout in out
        for layout in ("h5ad", "10x h5 (v1)", "10x h5 (v3)", "10x mtx", "loom", "dense table")
    )
    assert len(out.splitlines()) >= len(files) + 3
