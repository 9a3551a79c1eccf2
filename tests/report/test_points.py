import base64
import json

import numpy as np

from scdiff.report.points import MISSING, map_points


def unpack(text):
    return np.frombuffer(base64.b64decode(text), dtype="<u2")


def test_positions_survive_packing(finished):
    points = map_points(finished)
    xy = finished.obsm["X_umap"]
    span = np.ptp(xy, axis=0).max()
    for axis, name in enumerate("xy"):
        back = xy[:, axis].min() + unpack(points[name]) / (MISSING - 1) * span
        np.testing.assert_allclose(back, xy[:, axis], atol=span / 60_000)


def test_categories_survive_packing(finished):
    state = map_points(finished)["fields"][0]
    back = np.array(state["levels"])[unpack(state["codes"])]
    np.testing.assert_array_equal(back, finished.obs["scdiff_state"].astype(str))
    assert state["counts"] == sorted(state["counts"], reverse=True)
    assert sum(state["counts"]) == finished.n_obs
    assert state["colours"][state["levels"].index("unassigned")] == "#8a8f98"


def test_numbers_survive_packing_and_missing_ones_stay_missing(finished):
    field = next(
        field for field in map_points(finished)["fields"] if field["label"] == "pseudotime"
    )
    codes, truth = unpack(field["codes"]), finished.obs["dpt_pseudotime"].to_numpy()
    np.testing.assert_array_equal(codes == MISSING, np.isnan(truth))
    back = field["low"] + codes / (MISSING - 1) * (field["high"] - field["low"])
    np.testing.assert_allclose(back[codes != MISSING], truth[~np.isnan(truth)], atol=1e-4)


def test_all_fields_to_colour_by(finished):
    labels = [field["label"] for field in map_points(finished)["fields"]]
    assert labels == [
        "state",
        "cluster",
        "sample",
        "probability",
        "pseudotime",
        "total counts",
        "genes",
        "mitochondrial (%)",
    ]


def test_fields_without_values_are_left_out(finished):
    finished.obs["scdiff_probability"] = np.nan
    del finished.obs["dpt_pseudotime"]
    labels = [field["label"] for field in map_points(finished)["fields"]]
    assert "probability" not in labels
    assert "pseudotime" not in labels


def test_it_is_plain_json(finished):
    assert json.loads(json.dumps(map_points(finished), allow_nan=False))["n"] == 600


def test_one_cell_and_equal_values(finished):
    points = map_points(finished[:1].copy())
    assert unpack(points["x"]).tolist() == [0]
    assert points["names"] == [finished.obs_names[0]]
