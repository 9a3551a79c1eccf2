"""soup: empty droplets are found beside the filtered matrix, and only what they hold is taken."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scdiff.errors import ConfigError, InputError
from scdiff.run.pipeline import _find_sources, _list_files
from scdiff.steps.load.soup import find_raw_matrix, sum_empty_droplets
from scdiff.steps.load.step import load, plan_inputs
from scdiff.steps.load.table import Table

N_EMPTY = 3000
COUNTS_PER_DROPLET = 8


@pytest.fixture
def unfiltered(batch):
    """Cells (deep) of a filtered batch among empty droplets that hold 5 counts of INS and 3 of ACTB each."""

    def make(filtered: anndata.AnnData, n_empty: int = N_EMPTY) -> anndata.AnnData:
        droplets = np.zeros((n_empty, filtered.n_vars), dtype=np.float32)
        for gene, counts in {"INS": 5, "ACTB": 3}.items():
            droplets[:, filtered.var_names.get_loc(gene)] = counts
        fragments = np.full(
            (20, filtered.n_vars), 30, dtype=np.float32
        )  # deeper than any empty droplet
        names = [
            *filtered.obs_names,
            *(f"EMPTY{index}-1" for index in range(n_empty)),
            *(f"FRAGMENT{index}-1" for index in range(20)),
        ]
        matrix = sparse.vstack(
            [
                sparse.csr_matrix(filtered.X),
                sparse.csr_matrix(droplets),
                sparse.csr_matrix(fragments),
            ]
        ).tocsr()
        return anndata.AnnData(matrix, obs=pd.DataFrame(index=names), var=filtered.var.copy())

    return make


def soup_of(adata: anndata.AnnData) -> pd.DataFrame:
    record = adata.uns["scdiff"]["input"]["soup"]
    return pd.DataFrame(record["counts"], index=record["genes"], columns=record["samples"])


def test_the_raw_folder_beside_a_filtered_one_gives_the_soup(batch, unfiltered, write_mtx):
    cells = batch()
    filtered = write_mtx(cells, "outs/filtered_feature_bc_matrix")
    write_mtx(unfiltered(cells), "outs/raw_feature_bc_matrix")
    adata = load(filtered)
    assert adata.n_obs == cells.n_obs
    found = soup_of(adata)[adata.obs["sample"].iloc[0]]
    assert found.to_dict() == {
        gene: {"INS": 5.0, "ACTB": 3.0}.get(gene, 0.0) * N_EMPTY for gene in cells.var_names
    }
    assert any(
        "empty droplets" in note and "3,000" in note
        for note in adata.uns["scdiff"]["input"]["notes"]
    )
    assert adata.uns["scdiff"]["input"]["files"]["raw"].iloc[0].endswith("raw_feature_bc_matrix")
    above = load(filtered.parent)
    pd.testing.assert_frame_equal(soup_of(above), soup_of(adata))


def test_an_h5_with_its_raw_beside_is_found_too(batch, unfiltered, write_10x_h5):
    cells = batch()
    raw = write_10x_h5(unfiltered(cells))
    raw = raw.rename(raw.with_name("raw_feature_bc_matrix.h5"))
    filtered = write_10x_h5(cells).rename(raw.with_name("filtered_feature_bc_matrix.h5"))
    assert plan_inputs(filtered)[0].raw.path == raw
    assert soup_of(load(filtered)).to_numpy().sum() == COUNTS_PER_DROPLET * N_EMPTY


def test_the_sheet_names_the_raw_matrix_of_each_sample(batch, unfiltered, write, tmp_path):
    cells = {name: batch(seed=seed) for seed, name in enumerate(("a", "b"))}
    for name, adata in cells.items():
        write(adata, f"{name}.h5ad")
    write(unfiltered(cells["b"]), "everything_of_b.h5ad")
    sheet = tmp_path / "samples.csv"
    sheet.write_text("sample,path,raw\na,a.h5ad,\nb,b.h5ad,everything_of_b.h5ad\n")
    adata = load(samples=sheet)
    assert list(soup_of(adata)) == ["b"]
    assert "raw" not in adata.obs
    assert adata.uns["scdiff"]["input"]["files"]["raw"].to_dict() == {
        "a": "",
        "b": str(tmp_path / "everything_of_b.h5ad"),
    }


def test_a_changed_raw_matrix_is_a_changed_input(batch, unfiltered, write_mtx):
    cells = batch()
    filtered = write_mtx(cells, "outs/filtered_feature_bc_matrix")
    raw = write_mtx(unfiltered(cells), "outs/raw_feature_bc_matrix")
    config = SimpleNamespace(inputs=(filtered,), sheet=None, samples_given=None, control=())
    assert {path.parent for path in _list_files(config, _find_sources(config))} == {filtered, raw}


def test_genes_are_matched_by_name(batch, unfiltered, write_mtx):
    cells = batch()
    raw = unfiltered(cells)
    filtered = write_mtx(cells[:, ::-1].copy(), "outs/filtered_feature_bc_matrix")
    write_mtx(
        raw[:, [gene != "ACTB" for gene in raw.var_names]].copy(), "outs/raw_feature_bc_matrix"
    )
    found = soup_of(load(filtered)).iloc[:, 0]
    assert found["INS"] == 5.0 * N_EMPTY
    assert found["ACTB"] == 0


def test_too_few_empty_droplets_are_said_and_not_used(batch, unfiltered, write_mtx):
    cells = batch()
    filtered = write_mtx(cells, "outs/filtered_feature_bc_matrix")
    write_mtx(unfiltered(cells, 10), "outs/raw_feature_bc_matrix")
    adata = load(filtered)
    assert "soup" not in adata.uns["scdiff"]["input"]
    assert any(
        "the ambient RNA is estimated from the cells" in note
        for note in adata.uns["scdiff"]["input"]["notes"]
    )


def test_the_raw_matrix_of_another_sample_is_refused(batch, unfiltered, write_mtx):
    filtered = write_mtx(batch(seed=1), "outs/filtered_feature_bc_matrix")
    raw = write_mtx(unfiltered(batch(seed=2)), "outs/raw_feature_bc_matrix")
    with pytest.raises(
        InputError,
        match=f"{raw}: this unfiltered matrix has the barcodes of only 0 of the 12 cells.* Give the unfiltered matrix of the same sample",
    ):
        load(filtered)


def test_a_raw_matrix_that_is_not_there_is_a_fault_of_its_line(batch, write, tmp_path):
    write(batch())
    sheet = tmp_path / "samples.csv"
    sheet.write_text("sample,path,raw\na,batch.h5ad,nowhere.h5ad\n")
    with pytest.raises(ConfigError, match=r"line 2: .*nowhere\.h5ad: there is no such file"):
        plan_inputs((), samples=sheet)


def test_a_folder_of_several_raw_matrices_is_refused(batch, write, write_mtx, tmp_path):
    write(batch())
    for prefix in ("x_", "y_"):
        write_mtx(batch(), "many", prefix)
    sheet = tmp_path / "samples.csv"
    sheet.write_text("sample,path,raw\na,batch.h5ad,many\n")
    with pytest.raises(ConfigError, match=r"there are 2 here\. Give the path of the right one"):
        plan_inputs((), samples=sheet)


def test_cells_and_deep_droplets_are_no_soup_whatever_the_lane_suffix():
    entries = sparse.csr_matrix(
        np.array([[50, 0], [7, 3], [0, 0], [101, 0], [60, 40]] * 400, dtype=float)
    )
    names = np.array(
        [
            f"{kind}{index}-1"
            for index in range(400)
            for kind in ("cell", "empty", "void", "deep", "edge")
        ]
    )
    genes = np.array(["A", "B"])
    counts, said = sum_empty_droplets(
        Table(entries, names, genes, genes),
        np.array([f"cell{index}-7" for index in range(400)]),
        Path("raw.h5"),
    )
    np.testing.assert_array_equal(counts, [400 * 67, 400 * 43])
    assert said.startswith("800 empty droplets")


def test_only_a_filtered_name_has_a_raw_beside(tmp_path):
    (tmp_path / "raw_x").mkdir()
    assert find_raw_matrix(tmp_path / "filtered_x") == tmp_path / "raw_x"
    assert find_raw_matrix(tmp_path / "filtered_y") is None
    assert find_raw_matrix(tmp_path / "raw_x") is None
