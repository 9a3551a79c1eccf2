"""Columns that identify a person do not reach the result, and the record says so without a value."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scdiff.io import load
from scdiff.steps.load.personal import find_personal_columns

PERSONAL = ["patient_name", "First Name", "DOB", "dateOfBirth", "date.of.birth", "MRN", "record_no"]
PERSONAL += ["email_address", "SURNAME", "patient number", "PhoneNumber", "initials"]
USEFUL = [
    "donor",
    "patient_id",
    "sample_name",
    "days_after_birth",
    "age",
    "sex",
    "cell_type",
    "name",
]
USEFUL += ["batch", "n_counts", "leiden", "birth_weight", "donor_name", "library_number"]


@pytest.mark.parametrize("name", PERSONAL)
def test_a_personal_column_is_found(name):
    assert find_personal_columns([name]) == [name]


@pytest.mark.parametrize("name", USEFUL)
def test_a_column_of_the_analysis_is_kept(name):
    assert find_personal_columns([name]) == []


@pytest.fixture
def file(tmp_path):
    rng = np.random.default_rng(0)
    counts = sparse.csr_matrix(rng.poisson(1.0, (40, 6)).astype(np.float32))
    obs = pd.DataFrame(
        {"patient_name": "Ada Secret", "donor": "d1", "MRN": 4711, "age": 40},
        index=[f"c{number}" for number in range(40)],
    )
    genes = ["PDX1", "NKX6-1", "INS", "GAPDH", "ACTB", "COL1A1"]
    path = tmp_path / "one.h5ad"
    ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=genes)).write_h5ad(path)
    return path


def test_personal_columns_of_a_file_are_left_out_and_named_without_their_values(file):
    adata = load(file)
    assert {"donor", "age"} <= set(adata.obs)
    assert not {"patient_name", "MRN"} & set(adata.obs)
    notes = " ".join(adata.uns["scdiff"]["input"]["notes"])
    assert "left out (patient_name, MRN): rename a column to keep it" in notes
    assert "Secret" not in notes
    assert "4711" not in notes


def test_personal_columns_of_the_sheet_are_left_out(file, tmp_path):
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("sample,path,condition,date_of_birth\none,one.h5ad,treated,1990-02-03\n")
    adata = load(samples=sheet)
    assert "condition" in adata.obs
    assert "date_of_birth" not in adata.obs
    assert "1990" not in str(adata.uns["scdiff"]["input"])
