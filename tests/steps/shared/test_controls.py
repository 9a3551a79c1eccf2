"""Positive and negative controls: from the sample sheet to the corrected fraction."""

from __future__ import annotations

import numpy as np
import pytest

from scdiff.io import load
from scdiff.programs import load_program
from scdiff.report.sections.groups import group_tables
from scdiff.simulate import simulate
from scdiff.steps.shared.controls import correct_by_controls, select_positive_controls
from scdiff.steps.shared.markers import read_markers
from scdiff.storage.h5ad import write_h5ad
from scdiff.tl import call, fraction

pytestmark = pytest.mark.slow

MAIN = "pancreatic_progenitor"


@pytest.fixture(scope="module")
def called(tmp_path_factory):
    """A batch of 20 % positive cells with both controls, called."""
    folder = tmp_path_factory.mktemp("controls")
    for seed, (name, share) in enumerate({"batch": 0.2, "blank": 0.0, "islets": 1.0}.items()):
        write_h5ad(
            simulate(n_cells=700, fraction=share, depth=4_000, contamination=0.02, seed=seed),
            folder / f"{name}.h5ad",
        )
    sheet = folder / "samples.csv"
    sheet.write_text(
        "sample,path,control\nbatch,batch.h5ad,\nblank,blank.h5ad,negative\nislets,islets.h5ad,positive\n"
    )
    adata = load(samples=sheet)
    call(adata, programs=[MAIN])
    return adata


def test_the_sheet_tells_both_kinds(called):
    assert called.obs.groupby("sample", observed=True)["control"].all().to_dict() == {
        "batch": False,
        "blank": True,
        "islets": True,
    }
    assert set(called.obs["sample"][select_positive_controls(called)]) == {"islets"}
    assert list(called.uns["scdiff"]["input"]["positive_controls"]) == ["islets"]


def test_the_corrected_fraction_is_near_the_truth(called):
    table = called.uns["scdiff"]["call"][MAIN]["rogan_gladen"]
    assert list(table.index) == ["all", "batch"]
    row = table.loc["batch"]
    truth = (
        called.obs["truth_positive"][called.obs["sample"] == "batch"].mean()
        if "truth_positive" in called.obs
        else 0.2
    )
    assert row["low"] <= truth <= row["high"]
    assert row["false_rate"] < 0.05 < row["sensitivity"]
    assert group_tables(called)[0].name == "corrected.csv"


def test_a_positive_control_is_neither_pooled_nor_a_blank(called):
    fraction(called)
    table = called.uns["scdiff"]["fractions"]
    main = table[(table["program"] == MAIN) & (table["state"] == "progenitor_like")].set_index(
        "sample"
    )
    assert main.loc["all", "n_cells"] == main.loc["batch", "n_cells"]
    assert main.loc["all", "lob"] < 0.1
    assert main.loc["islets", "prevalence"] > 0.9


def test_without_two_different_controls_nothing_is_corrected(called, caplog):
    program, record, adata = load_program(MAIN), called.uns["scdiff"]["call"][MAIN], called.copy()
    read = read_markers(adata, [program])
    assert correct_by_controls(adata, program, read, record)["rogan_gladen"].equals(
        record["rogan_gladen"]
    )
    assert correct_by_controls(adata, program, read, {**record, "measurable": False}) == {}
    adata.uns["scdiff"]["input"]["positive_controls"] = np.array(["blank"])
    adata.obs["control"] = adata.obs["sample"].isin(["islets", "blank"]).to_numpy()
    assert correct_by_controls(adata, program, read, record) == {}
    assert "the positive control must be called more often" in caplog.text
    del adata.uns["scdiff"]["input"]["positive_controls"]
    assert correct_by_controls(adata, program, read, record) == {}
    assert not select_positive_controls(adata).any()
