import json

import pytest

from scdiff.report.multiqc import general_statistics, state_bars


def test_general_statistics_have_the_keys_that_multiqc_reads(finished):
    content = general_statistics(finished, batch="batch7")
    assert set(content) == {"id", "plot_type", "headers", "data"}
    assert content["plot_type"] == "generalstats"
    assert set(content["data"]) == {
        "batch7",
        "batch7: donor A",
        "batch7: donor B",
        "batch7: medium control",
    }
    for row in content["data"].values():
        assert set(row) <= set(content["headers"])
    assert all(
        column["namespace"] == "scdiff" and column["title"]
        for column in content["headers"].values()
    )


def test_fractions_are_in_percent(finished):
    table = finished.uns["scdiff"]["fractions"]
    truth = table[(table["state"] == "progenitor_like") & (table["sample"] == "all")].iloc[0]
    row = general_statistics(finished, batch="batch7")["data"]["batch7"]
    assert row["prevalence"] == pytest.approx(100 * truth["prevalence"])
    assert row["n_cells"] == truth["n_cells"]
    assert row["verdict"] == "quantified"


@pytest.mark.parametrize(("verdict", "most"), [("not detected", 0.4), ("detected", 0.1)])
def test_the_limit_of_blank_bounds_what_was_not_detected(finished, verdict, most):
    table = finished.uns["scdiff"]["fractions"]
    table["verdict"], table["prevalence_high"], table["lob"] = verdict, 0.001, 0.004
    assert general_statistics(finished, batch="b")["data"]["b"]["prevalence_high"] == pytest.approx(
        most
    )


def test_what_is_not_measurable_is_left_out(batch):
    content = general_statistics(batch("not measurable"), batch="b")
    assert set(content["data"]["b"]) == {"verdict", "alerts", "n_called", "n_cells"}
    json.dumps(content, allow_nan=False)


def test_one_sample_is_listed_once(finished):
    table = finished.uns["scdiff"]["fractions"]
    finished.uns["scdiff"]["fractions"] = table[table["sample"].isin(["donor A", "all"])]
    assert set(general_statistics(finished, batch="b")["data"]) == {"b: donor A"}
    assert set(general_statistics(finished, batch="donor A")["data"]) == {"donor A"}


def test_bars_hold_every_cell_once(finished):
    content = state_bars(finished, batch="batch7")
    assert content["plot_type"] == "bargraph"
    assert set(content["data"]) == set(general_statistics(finished, batch="batch7")["data"]) - {
        "batch7"
    }
    assert sum(sum(row.values()) for row in content["data"].values()) == finished.n_obs
    assert set(content["categories"]) == set(finished.obs["scdiff_state"].astype(str))
    assert content["categories"]["unassigned"]["color"] == "#8a8f98"
    assert content["pconfig"]["id"] != content["id"]
