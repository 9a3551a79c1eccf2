"""Rat cells from the file to the calls: the simulated positive cells are found, and by the same rules as mouse cells."""

from __future__ import annotations

import pytest

from scdiff.genes import annotation
from scdiff.programs import load_program
from scdiff.simulate import BatchDesign, simulate
from scdiff.steps.call.step import call
from scdiff.steps.load.step import load
from scdiff.steps.normalise import normalise
from scdiff.steps.score import score

MAIN = "pancreatic_progenitor"


@pytest.fixture(scope="module")
def called(tmp_path_factory):
    """A batch of rat cells, one in ten of them positive, whose genes have their Ensembl ids as well."""
    batch = simulate(
        n_cells=600,
        fraction=0.1,
        contamination=0.02,
        design=BatchDesign(n_genes=600, species="rat"),
        seed=3,
    )
    stable = {symbol: stable for stable, symbol in annotation("rat").symbols.items()}
    batch.var["gene_ids"] = [stable.get(name, name) for name in batch.var_names]
    path = tmp_path_factory.mktemp("rat") / "rat.h5ad"
    batch.write_h5ad(path)
    adata = load(path)
    normalise(adata)
    score(adata, programs=[MAIN])
    call(adata, programs=[MAIN], null_sets=0)
    return adata


def test_species_and_markers_are_found(called):
    record = called.uns["scdiff"]["input"]
    assert record["species"] == "rat"
    assert list(record["absent"]) == []
    assert load_program(MAIN).score_genes("rat") == ("Pdx1", "Nkx6-1", "Ins1", "Ins2")


def test_positive_cells_of_the_simulation_are_called(called):
    called_cells = ~called.obs["scdiff_state"].isin(["negative", "unassigned"]).to_numpy()
    positive = called.obs["truth_positive"].to_numpy(dtype=bool)
    assert positive.sum() == 60
    assert called_cells[positive].mean() > 0.75
    assert called_cells[~positive].mean() < 0.01


def test_score_separates_the_positive_cells(called):
    positive = called.obs["truth_positive"].to_numpy(dtype=bool)
    scores = called.obsm["scdiff_score"][f"{MAIN}:mean_minus_control"].to_numpy()
    assert scores[positive].mean() > scores[~positive].mean() + 0.5
