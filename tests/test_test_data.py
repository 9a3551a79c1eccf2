"""The committed test data are what their script makes, and what their README says."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "test_data"
TENX = ("matrix.mtx.gz", "features.tsv.gz", "barcodes.tsv.gz")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder into which the script has written everything anew."""
    spec = importlib.util.spec_from_file_location("make_test_data", FOLDER / "make.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    folder = tmp_path_factory.mktemp("made")
    script.make(folder)
    return folder


@pytest.mark.parametrize("name", ["batch.h5ad", "control.h5ad"])
def test_h5ad_is_what_the_script_makes(made, name):
    committed, fresh = anndata.read_h5ad(FOLDER / name), anndata.read_h5ad(made / name)
    assert (committed.X != fresh.X).nnz == 0
    assert list(committed.var_names) == list(fresh.var_names)
    assert list(committed.obs_names) == list(fresh.obs_names)
    for column in ("truth_positive", "truth_doublet", "truth_state"):
        assert list(committed.obs[column]) == list(fresh.obs[column])
    np.testing.assert_allclose(
        committed.obs["truth_contamination"], fresh.obs["truth_contamination"], rtol=1e-9
    )


@pytest.mark.parametrize("name", TENX)
def test_tenx_folder_is_what_the_script_makes(made, name):
    committed, fresh = (folder / "batch_10x" / name for folder in (FOLDER, made))
    assert gzip.decompress(committed.read_bytes()) == gzip.decompress(fresh.read_bytes())
    assert committed.read_bytes()[4:8] == b"\0\0\0\0", "the gzip header holds a time stamp"


@pytest.mark.parametrize("name", ["samples.csv", "truth.csv"])
def test_tables_are_what_the_script_makes(made, name):
    assert (FOLDER / name).read_bytes() == (made / name).read_bytes()


def test_truth_table_agrees_with_the_files():
    truth = pd.read_csv(FOLDER / "truth.csv", index_col="sample")
    assert list(truth.columns) == ["n_cells", "n_positive", "fraction"]
    for sample in ("batch", "control"):
        obs = anndata.read_h5ad(FOLDER / f"{sample}.h5ad").obs
        assert truth.loc[sample, "n_cells"] == len(obs)
        assert truth.loc[sample, "n_positive"] == obs["truth_positive"].sum()
    assert truth.loc["control", "fraction"] == 0
    assert truth.loc["batch", "fraction"] == pytest.approx(0.08)


def test_tenx_folder_reads_as_counts():
    import scanpy as sc

    adata = sc.read_10x_mtx(FOLDER / "batch_10x")
    assert adata.shape == (300, 1_200)
    assert {"PDX1", "NKX6-1", "INS"} <= set(adata.var_names)
    assert (adata.X.data == np.rint(adata.X.data)).all()
    assert (adata.X.data > 0).all()


def test_sheet_names_files_that_exist():
    sheet = pd.read_csv(FOLDER / "samples.csv")
    assert list(sheet.columns) == ["sample", "path", "donor", "condition", "day", "control"]
    assert all((FOLDER / path).exists() for path in sheet["path"])
    assert list(sheet.loc[sheet["control"], "sample"]) == ["control"]


def test_all_of_it_is_about_a_megabyte():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 1_500_000
