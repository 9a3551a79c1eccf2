"""What is known of a marker: told only where the list of genes tells it."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scdiff.genes import annotation
from scdiff.programs import load_program
from scdiff.steps.call.step import call
from scdiff.steps.load.step import load
from scdiff.steps.shared.markers import read_markers
from scdiff.steps.shared.states import FILTERED, UNCLEAR, WHOLE, classify_markers, gene_list


def listed(species: str, coding: float, silent: float) -> list[str]:
    """Symbols of a share of the coding genes and of the olfactory receptors, the markers left out."""
    known = annotation(species)
    others, receptors = (
        sorted(known.coding - known.silent - {"PDX1", "Pdx1", "INS", "Ins1", "Ins2"}),
        sorted(known.silent),
    )
    n_receptors = round(silent * len(receptors))
    return [
        *others[: max(0, round(coding * len(known.coding)) - n_receptors)],
        *receptors[:n_receptors],
    ]


@pytest.mark.parametrize("species", ["human", "mouse"])
@pytest.mark.parametrize(
    ("coding", "silent", "told"),
    [
        (0.95, 0.95, WHOLE),
        (0.85, 0.82, WHOLE),
        (0.7, 0.02, FILTERED),
        (0.42, 0.0, FILTERED),
        (0.35, 0.0, UNCLEAR),
        (0.9, 0.5, UNCLEAR),
        (0.1, 0.0, UNCLEAR),
    ],
)
def test_list_of_genes_is_told_by_what_nobody_sees(species, coding, silent, told):
    assert gene_list(listed(species, coding, silent), species) == told


def test_list_of_no_known_species_is_not_told():
    assert gene_list(listed("human", 0.95, 0.95), "unknown") == UNCLEAR


def test_most_coding_genes_of_the_nose_are_known():
    assert len(annotation("human").silent) == 416
    assert len(annotation("mouse").silent) == 1193


def made(kinds: list[str], genes: list[str]) -> anndata.AnnData:
    """Four cells of genes, the first counted, the last not, from files of some kinds of lists."""
    counts = np.ones((4, len(genes)))
    counts[:, -1] = 0
    adata = anndata.AnnData(
        obs=pd.DataFrame(index=list("abcd")),
        var=pd.DataFrame(index=genes),
        layers={"counts": sparse.csr_matrix(counts)},
    )
    adata.uns["scdiff"] = {
        "input": {"species": "human", "files": pd.DataFrame({"gene_list": kinds})}
    }
    return adata


def states(adata: anndata.AnnData) -> dict[str, str]:
    program = load_program("pancreatic_progenitor")
    read = read_markers(adata, [program])
    rows = read.genes(program.markers)
    asked = {marker.name: marker.genes("human") for marker in program.markers}
    return dict(
        zip(
            rows,
            classify_markers(adata, rows, asked, (read.of(program.markers) > 0).sum(axis=0)),
            strict=True,
        )
    )


@pytest.mark.parametrize(
    ("kinds", "absent"),
    [
        ([WHOLE], "absent from the annotation"),
        ([FILTERED], "filtered out by the provider"),
        ([UNCLEAR], "absent"),
        ([WHOLE, FILTERED], "absent"),
        ([FILTERED, FILTERED], "filtered out by the provider"),
    ],
)
def test_state_of_each_marker(kinds, absent):
    found = states(made(kinds, ["PDX1", "ACTB", "NEUROG3"]))
    assert found == {"PDX1": "present", "NKX6-1": absent, "INS": absent, "NEUROG3": "all-zero"}


def test_state_is_not_told_without_a_record_of_the_files():
    adata = made([WHOLE], ["PDX1", "ACTB", "NEUROG3"])
    del adata.uns["scdiff"]["input"]["files"]
    assert states(adata)["INS"] == "absent"


def test_gene_that_no_table_knows_is_never_said_to_be_filtered():
    adata = made([FILTERED], ["PDX1", "ACTB"])
    assert classify_markers(adata, {"X": []}, {"X": ("NOSUCHGENE",)}, [0]) == ["absent"]


def test_calls_record_the_state_and_the_name_in_the_file(small_batch, tmp_path):
    adata = small_batch.copy()
    adata.var_names = ["IPF1" if name == "PDX1" else name for name in adata.var_names]
    adata = adata[:, adata.var_names != "NKX6-1"].copy()
    adata.write_h5ad(tmp_path / "a.h5ad")
    loaded = load([tmp_path / "a.h5ad"])
    call(loaded, programs=["pancreatic_progenitor"], null_sets=0)
    markers = loaded.uns["scdiff"]["call"]["pancreatic_progenitor"]["markers"]
    assert markers.loc["PDX1", ["genes", "found_as", "state"]].tolist() == [
        "PDX1",
        "IPF1",
        "present",
    ]
    assert markers.loc["NKX6-1", ["genes", "found_as", "state"]].tolist() == ["", "", "absent"]
