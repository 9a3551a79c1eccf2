"""A user's own programme without levels, on real cells of known shares."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anndata as ad
import pytest

import scdiff

pytestmark = pytest.mark.slow


def write_program(folder: Path, markers: Sequence[str]) -> Path:
    """Write a programme that needs two of the markers; no marker has a level."""
    head = 'title = "own"\nsummary = "own markers"\nsource = "field convention"\nmin_markers = 2\n'
    rows = [
        f'[[markers]]\nname = "{name}"\nhuman = ["{name}"]\nsource = "field convention"\n'
        for name in markers
    ]
    path = folder / "own.toml"
    path.write_text(f'name = "own"\npositive = "own_positive"\n{head}{"".join(rows)}')
    return path


def measure(path: Path, program: Path) -> dict[str, Any]:
    """Row of the programme's state over all cells of a file."""
    adata = ad.read_h5ad(path)
    scdiff.pp.prepare(adata)
    scdiff.tl.call(adata, programs=[str(program)], null_sets=0)
    scdiff.tl.fraction(adata)
    row = scdiff.get.fractions(adata, state="own_positive", sample="all")
    return row.iloc[0].to_dict()


@pytest.mark.parametrize("markers", [("CD79A", "MS4A1", "CD79B"), ("CD79A", "MS4A1", "CD19")])
def test_sorted_b_cells_are_counted_without_a_level(
    shared_data: Path, tmp_path: Path, markers: tuple[str, ...]
) -> None:
    path = shared_data / "pbmc_facs_human.h5ad"
    kinds = ad.read_h5ad(path, backed="r").obs["celltype"]
    truth = float((kinds == "CD19+ B").mean())
    row = measure(path, write_program(tmp_path, markers))
    assert truth == pytest.approx(0.203, abs=0.001)
    assert row["prevalence"] == pytest.approx(truth, abs=0.01)
    assert row["prevalence_low"] <= truth <= row["prevalence_high"]
    assert row["verdict"] == "quantified"


def test_graded_rna_is_inconclusive(shared_data: Path, tmp_path: Path) -> None:
    """73 % of the wells hold RNA of the line, those without it an eighth of its markers."""
    path = shared_data / "mixology_rna_mixture_human.h5ad"
    row = measure(path, write_program(tmp_path, ["CD74", "HLA-B", "ALDH3A1"]))
    assert row["verdict"] == "inconclusive"
    assert "expression is graded" in row["reason"]
