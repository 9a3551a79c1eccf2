"""Results as columns: what stands in the object, by short names, and near matches for unknown ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import scdiff
from scdiff.errors import MissingKeyError, UnknownNameError

MAIN = "pancreatic_progenitor"


def test_results_are_those_of_the_main_programme(finished):
    found = scdiff.get.obs_df(finished)
    assert list(found.index) == list(finished.obs_names)
    assert {"evidence:INS", "probability", "positive"} <= set(found)
    np.testing.assert_array_equal(
        found["evidence:INS"], finished.obsm["scdiff_evidence"][f"{MAIN}:INS"]
    )
    np.testing.assert_array_equal(found["positive"], finished.obsm["scdiff_positive"][MAIN])


def test_another_programme_is_taken_by_name(finished):
    found = scdiff.get.obs_df(finished, ["probability"], program="vegf")
    np.testing.assert_array_equal(
        found["probability"], finished.obsm["scdiff_probabilities"]["vegf"]
    )


def test_columns_stand_in_the_order_asked_and_each_once(finished):
    found = scdiff.get.obs_df(finished, ["sample", "evidence:PDX1", "sample", "leiden"])
    assert list(found) == ["sample", "evidence:PDX1", "leiden"]
    assert isinstance(found["sample"].dtype, pd.CategoricalDtype)


def test_one_name_is_a_list_of_one(finished):
    assert list(scdiff.get.obs_df(finished, "positive")) == ["positive"]


def test_columns_of_obs_need_no_calls(finished):
    del finished.uns["scdiff"]["call"]
    assert list(scdiff.get.obs_df(finished, ["sample"])) == ["sample"]


def test_the_object_stays_as_it_is(finished):
    found = scdiff.get.obs_df(finished, ["probability", "sample"])
    found["probability"] = -1.0
    assert (finished.obsm["scdiff_probabilities"][MAIN] >= 0).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"keys": ["evidence:PDX2"]}, r"no column 'evidence:PDX2'\. Did you mean 'evidence:PDX1'"),
        ({"keys": ["leidn"]}, "Did you mean 'leiden'"),
        ({"program": "vgf"}, r"programme 'vgf' was not called\. Did you mean 'vegf'"),
    ],
)
def test_unknown_columns_have_a_near_match(finished, options, said):
    with pytest.raises(UnknownNameError, match=said):
        scdiff.get.obs_df(finished, **options)


def test_cells_that_were_not_called_say_which_step_comes_first(finished):
    del finished.uns["scdiff"]["call"]
    with pytest.raises(MissingKeyError, match="run call first"):
        scdiff.get.obs_df(finished)


def test_rows_of_the_fractions_are_chosen(finished):
    table = scdiff.get.fractions(finished)
    assert len(table) == len(finished.uns["scdiff"]["fractions"])
    chosen = scdiff.get.fractions(finished, program=MAIN, state="progenitor_like", sample="all")
    assert chosen.index.tolist() == [0]
    assert chosen["sample"].tolist() == ["all"]
    chosen["fraction"] = -1.0
    assert (finished.uns["scdiff"]["fractions"]["fraction"].fillna(0) >= 0).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"program": "vgf"}, r"no program 'vgf'\. Did you mean 'vegf'"),
        ({"state": "progenitor_lik"}, "Did you mean 'progenitor_like'"),
        ({"sample": "donor C"}, "no sample 'donor C'"),
        (
            {"program": "vegf", "state": "progenitor_like"},
            "no state 'progenitor_like' among the selected rows",
        ),
    ],
)
def test_unknown_rows_have_a_near_match(finished, options, said):
    with pytest.raises(UnknownNameError, match=said):
        scdiff.get.fractions(finished, **options)


def test_fractions_that_are_not_there_say_which_step_comes_first(finished):
    del finished.uns["scdiff"]["fractions"]
    with pytest.raises(MissingKeyError, match="run fraction first"):
        scdiff.get.fractions(finished)
