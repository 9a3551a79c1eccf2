import anndata
import h5py
import numpy as np
import pandas as pd
import pytest

from scdiff.storage.h5ad import write_h5ad


def encodings(path):
    found = set()
    with h5py.File(path) as stored:
        stored.visititems(lambda _name, item: found.add(item.attrs.get("encoding-type")))
    return found


def test_strings_are_plain_and_nothing_is_null(finished, tmp_path):
    finished.obs["donor"] = pd.array(["d1"] * finished.n_obs, dtype="string")
    finished.uns["scdiff"]["input"]["files"]["layout"] = finished.uns["scdiff"]["input"]["files"][
        "layout"
    ].astype("string")
    write_h5ad(finished, tmp_path / "a.h5ad")
    assert not {
        kind
        for kind in encodings(tmp_path / "a.h5ad")
        if kind and ("nullable" in kind or "null" in kind)
    }


def test_all_comes_back(finished, tmp_path):
    write_h5ad(finished, tmp_path / "a.h5ad")
    back = anndata.read_h5ad(tmp_path / "a.h5ad")
    assert list(back.obs_names) == list(finished.obs_names)
    assert list(back.var_names) == list(finished.var_names)
    assert (back.layers["counts"] != finished.layers["counts"]).nnz == 0
    assert back.obs["scdiff_state"].dtype == "category"
    assert back.obs["control"].dtype == bool
    assert list(back.obsm["scdiff_evidence"].columns) == list(
        finished.obsm["scdiff_evidence"].columns
    )
    assert back.uns["scdiff"]["call"]["main"] == "pancreatic_progenitor"
    assert back.uns["log1p"] == {}
    pd.testing.assert_frame_equal(
        back.uns["scdiff"]["fractions"].reset_index(drop=True),
        finished.uns["scdiff"]["fractions"],
        check_dtype=False,
        check_index_type=False,
    )


def test_dose_and_donors_come_back_as_numbers(finished, tmp_path):
    finished.uns["scdiff"]["donors"]["variation"].loc[:, "rho"] = np.nan
    write_h5ad(finished, tmp_path / "a.h5ad")
    back = anndata.read_h5ad(tmp_path / "a.h5ad").uns["scdiff"]
    for found, sent in (
        (back["dose"], finished.uns["scdiff"]["dose"]),
        *(
            (back["donors"][name], finished.uns["scdiff"]["donors"][name])
            for name in ("values", "variation")
        ),
    ):
        pd.testing.assert_frame_equal(
            found.reset_index(drop=True), sent, check_index_type=False, check_dtype=False
        )
        assert list(found.select_dtypes("number").columns) == list(
            sent.select_dtypes("number").columns
        )


def test_the_object_is_left_as_it_is(finished, tmp_path):
    before = finished.copy()
    write_h5ad(finished, tmp_path / "a.h5ad")
    pd.testing.assert_frame_equal(finished.obs, before.obs)
    assert finished.uns["log1p"] == {"base": None}


def test_missing_strings_become_empty(finished, tmp_path):
    finished.obs["donor"] = ["d1", None, np.nan] * 200
    write_h5ad(finished, tmp_path / "a.h5ad")
    assert list(anndata.read_h5ad(tmp_path / "a.h5ad").obs["donor"].astype(str)[:3]) == [
        "d1",
        "",
        "",
    ]


def test_missing_categories_stay_missing(finished, tmp_path):
    finished.obs["condition"] = pd.Categorical(["a", None, "b"] * 200)
    write_h5ad(finished, tmp_path / "a.h5ad")
    back = anndata.read_h5ad(tmp_path / "a.h5ad").obs["condition"]
    assert back.isna().sum() == 200


def test_a_place_that_cannot_be_written(finished, tmp_path):
    with pytest.raises(OSError, match="No such file"):
        write_h5ad(finished, tmp_path / "gone" / "a.h5ad")
