"""_markers: one pass over the counts gives what slicing gene by gene gives."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from recorded import as_loaded
from scipy import sparse

from scdiff.programs import load_programs
from scdiff.steps.shared.markers import read_markers, select_control_cells, select_pooled_cells


@pytest.fixture
def adata():
    genes = ["Rest", "Ins2", "Pdx1", "Nkx6.1", "Ins1", "Vim"]
    counts = np.random.default_rng(0).poisson(1.0, (50, len(genes)))
    cells = pd.DataFrame(index=[f"c{n}" for n in range(50)])
    made = ad.AnnData(sparse.csr_matrix(counts), obs=cells, var=pd.DataFrame(index=genes))
    made.layers["counts"] = made.X.copy()
    as_loaded(made, "mouse")
    return made


def test_the_genes_of_a_marker_are_summed_and_the_others_are_zero(adata):
    program = load_programs(["pancreatic_progenitor"])[0]
    read, dense = read_markers(adata, [program]), adata.X.toarray()
    rows = read.genes(program.markers)
    assert {name: rows[name] for name in ("PDX1", "NKX6-1", "INS")} == {
        "PDX1": [2],
        "NKX6-1": [3],
        "INS": [1, 4],
    }
    expected = np.column_stack([dense[:, rows[marker.name]].sum(1) for marker in program.markers])
    np.testing.assert_array_equal(read.of(program.markers), expected)
    np.testing.assert_array_equal(read.depth, dense.sum(1))
    assert read.of([]).shape == (50, 0)


def test_programmes_read_together_are_as_each_read_alone(adata):
    programs = load_programs(["pancreatic_progenitor", "msc_identity", "cell_cycle"])
    together = read_markers(adata, programs)
    for program in programs:
        alone = read_markers(adata, [program])
        np.testing.assert_array_equal(together.of(program.markers), alone.of(program.markers))
        assert together.genes([*program.markers, *program.sets]) == alone.genes(
            [*program.markers, *program.sets]
        )


def test_the_pool_is_the_batch_without_controls_unless_there_is_nothing_else(adata):
    assert not select_control_cells(adata).any()
    assert select_pooled_cells(adata).all()
    adata.obs["control"] = np.arange(50) < 10
    np.testing.assert_array_equal(select_pooled_cells(adata), np.arange(50) >= 10)
    adata.obs["control"] = True
    assert select_pooled_cells(adata).all()


def test_soups_are_read_by_gene_and_pooled_only_where_all_are_known(adata):
    program = load_programs(["pancreatic_progenitor"])[0]
    counts = np.arange(12.0).reshape(6, 2)
    adata.uns["scdiff"]["input"]["soup"] = {
        "samples": np.array(["a", "b"]),
        "genes": adata.var_names.to_numpy(),
        "counts": counts,
    }
    markers = [marker for marker in program.markers if marker.name in ("PDX1", "INS")]
    read = read_markers(adata, [program])
    assert read.soup_of(markers, ["a"]) == ((4.0, 2.0 + 8.0), 30.0)
    assert read.soup_of(markers, ["a", "b"]) == ((4.0 + 5.0, 2.0 + 8.0 + 3.0 + 9.0), 66.0)
    assert read.soup_of(markers, ["a", "c"]) is None
    assert read.soup_of(markers, []) is None
    shuffled = read_markers(adata[:, ::-1].copy(), [program])
    assert shuffled.soup_of(markers, ["a", "b"]) == read.soup_of(markers, ["a", "b"])


def test_without_a_raw_matrix_there_is_no_soup(adata):
    program = load_programs(["pancreatic_progenitor"])[0]
    assert read_markers(adata, [program]).soup_of(program.markers, ["a"]) is None
