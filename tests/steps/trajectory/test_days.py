"""The time course: counts by day, and days that fall."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scdiff.steps.trajectory.committed import Threshold
from scdiff.steps.trajectory.days import find_falls, read_days, tabulate_days


def _course(called: list[int], n_cells: int = 200) -> pd.DataFrame:
    day = np.repeat(np.arange(len(called), dtype=float), n_cells)
    positive = np.concatenate([np.arange(n_cells) < number for number in called])
    state = np.where(positive, "progenitor", "negative")
    return tabulate_days(
        day, state, positive, positive.astype(float), positive.astype(float), Threshold(0.0, 0.1)
    )


def test_every_day_is_counted():
    table = _course([0, 20, 60])
    assert table.index.tolist() == ["0", "1", "2"]
    assert table["n_called"].tolist() == [0, 20, 60]
    assert table["committed"].tolist() == pytest.approx([0, 0.1, 0.3])
    assert table["mean_fate"].tolist() == pytest.approx([0, 0.1, 0.3])
    assert (table[["state:negative", "state:progenitor"]].sum(axis=1) == 1).all()
    assert (
        (table["fraction_low"] <= table["fraction"]) & (table["fraction"] <= table["fraction_high"])
    ).all()
    assert table.loc["2", ["fate_low", "fate_high"]].tolist() == pytest.approx(
        [0.3 - 0.0635, 0.3 + 0.0635], abs=1e-4
    )
    assert find_falls(table) == []


def test_a_fall_beyond_chance_is_named_and_a_small_one_is_not():
    assert find_falls(_course([10, 60, 20])) == ["2"]
    assert find_falls(_course([10, 60, 57])) == []


def test_one_day_or_none_gives_an_empty_table():
    one = tabulate_days(
        np.zeros(5), np.array(["a"] * 5), np.zeros(5, dtype=bool), np.zeros(5), np.zeros(5), None
    )
    assert len(one) == 0
    adata = AnnData(np.zeros((3, 1)))
    assert np.isnan(read_days(adata)).all()


def test_days_may_be_text_and_what_is_no_number_is_unknown():
    adata = AnnData(
        np.zeros((3, 1)), obs=pd.DataFrame({"day": ["0", "7.5", "late"]}, index=list("abc"))
    )
    np.testing.assert_array_equal(read_days(adata), [0, 7.5, np.nan])


def test_no_position_leaves_the_committed_share_open():
    table = tabulate_days(
        np.repeat([0.0, 1.0], 5),
        np.array(["a"] * 10),
        np.zeros(10, dtype=bool),
        np.full(10, np.nan),
        np.full(10, np.nan),
        None,
    )
    assert table[["committed", "low", "high", "mean_fate"]].isna().all(axis=None)


def test_long_days_keep_their_names():
    day = np.repeat([20240101.0, 20240108.0, 7.5], 4)
    table = tabulate_days(
        day, np.array(["a"] * 12), np.zeros(12, dtype=bool), np.zeros(12), np.zeros(12), None
    )
    assert table.index.tolist() == ["7.5", "20240101", "20240108"]
