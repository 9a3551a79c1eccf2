"""compare: known effects, designs, refusals, and its place in the report."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scdiff.errors import ConfigError, InputError, MissingKeyError
from scdiff.report.sections.groups import comparison_sentence, group_notes, group_tables
from scdiff.steps.compare import COLUMNS, compare

MAIN = ("pancreatic_progenitor", "progenitor_like")


def fractions(shares: dict[str, float], n_cells: int = 2_000) -> pd.DataFrame:
    """Table of fractions of the main programme with plain counts."""
    from scdiff.assay.intervals import clopper_pearson

    rows = []
    for sample, share in {**shares, "all": float(np.mean(list(shares.values())))}.items():
        low, high = clopper_pearson(round(share * n_cells), n_cells)
        row = {
            "program": MAIN[0],
            "state": MAIN[1],
            "sample": sample,
            "n_cells": n_cells,
            "n_called": round(share * n_cells),
        }
        rows.append(
            row
            | {
                "prevalence": share,
                "prevalence_low": low,
                "prevalence_high": high,
                "verdict": "quantified",
            }
        )
    return pd.DataFrame(rows)


def study(
    shares: dict[str, float], *, donors: dict[str, str] | None = None, control: str = ""
) -> AnnData:
    """Object whose samples are named ``<condition><number>``."""
    samples = np.repeat(list(shares), 3)
    obs = pd.DataFrame(
        {
            "sample": samples,
            "condition": [name.rstrip("0123456789") for name in samples],
            "control": samples == control,
        }
    )
    if donors is not None:
        obs["donor"] = [donors[name] for name in samples]
    adata = AnnData(obs=obs.set_index(pd.Index([f"cell{number}" for number in range(len(obs))])))
    adata.uns["scdiff"] = {"fractions": fractions(shares), "call": {"main": MAIN[0]}}
    return adata


SIX = {
    "medium1": 0.010,
    "medium2": 0.015,
    "medium3": 0.02,
    "treated1": 0.15,
    "treated2": 0.2,
    "treated3": 0.22,
}


def row(adata: AnnData) -> pd.Series:
    """The one row of the comparison."""
    (only,) = adata.uns["scdiff"]["comparison"].to_dict("records")
    return only


def test_a_large_effect_is_found_in_percentage_points():
    adata = study(SIX)
    compare(adata)
    found = row(adata)
    assert list(found) == list(COLUMNS)
    assert (found["group_a"], found["group_b"], found["n_donors_a"], found["n_donors_b"]) == (
        "medium",
        "treated",
        3,
        3,
    )
    assert found["effect"] == pytest.approx(100 * (0.19 - 0.015))
    assert 5 < found["effect_low"] < found["effect"] < found["effect_high"] < 40
    assert found["p_value"] < 0.01
    assert (found["verdict"], found["design"]) == ("different", "unpaired")


def test_groups_that_are_alike_are_undecided_or_equivalent_by_the_margin():
    adata = study({"a1": 0.01, "a2": 0.012, "a3": 0.011, "b1": 0.011, "b2": 0.01, "b3": 0.012})
    compare(adata)
    assert row(adata)["verdict"] == "undecided"
    compare(adata, margin=20.0)
    assert (row(adata)["verdict"], row(adata)["margin"]) == ("equivalent within the margin", 20.0)


def test_samples_of_one_donor_are_one_unit():
    shares = {
        "medium1": 0.01,
        "medium2": 0.02,
        "medium3": 0.03,
        "treated1": 0.2,
        "treated2": 0.2,
        "treated3": 0.3,
    }
    donors = {
        "medium1": "A",
        "medium2": "A",
        "medium3": "B",
        "treated1": "C",
        "treated2": "C",
        "treated3": "D",
    }
    adata = study(shares, donors=donors)
    compare(adata)
    assert (row(adata)["n_donors_a"], row(adata)["n_donors_b"]) == (2, 2)
    assert row(adata)["effect"] == pytest.approx(100 * ((0.2 + 0.3) / 2 - (0.015 + 0.03) / 2))


def test_a_sample_without_a_donor_is_its_own_and_one_without_a_group_is_left_out():
    adata = study(SIX | {"other1": 0.5}, donors=dict(zip([*SIX, "other1"], "AABCDEF", strict=True)))
    adata.obs.loc[adata.obs["sample"] == "medium2", "donor"] = np.nan
    adata.obs.loc[adata.obs["sample"] == "other1", "condition"] = np.nan
    compare(adata)
    assert (row(adata)["n_donors_a"], row(adata)["n_donors_b"]) == (3, 3)


def test_pairs_are_matched_by_name_and_the_odd_one_is_left_out(caplog):
    shares = {
        "medium1": 0.02,
        "medium2": 0.1,
        "medium3": 0.3,
        "treated1": 0.3,
        "treated2": 0.08,
        "treated3": 0.16,
        "treated4": 0.9,
    }
    donors = dict(zip(shares, ["A", "B", "C", "C", "A", "B", "D"], strict=True))
    adata = study(shares, donors=donors)
    compare(adata, pairs="donor")
    assert row(adata)["n_donors_a"] == row(adata)["n_donors_b"] == 3
    assert row(adata)["effect"] == pytest.approx(100 * np.mean([0.06, 0.06, 0.0]))
    assert row(adata)["design"] == "paired"
    assert "donor D in one group only" in caplog.text
    assert "3 pairs of donors" in comparison_sentence(adata)


def test_unused_pairs_are_told(caplog):
    compare(study(SIX, donors=dict(zip(SIX, "ABCABC", strict=True))))
    assert "donors A, B, C are in both groups; pairs='donor'" in caplog.text


def test_one_donor_is_refused_with_the_reason():
    with pytest.raises(
        InputError,
        match=r"'medium' has 1 donor \(medium1\), but at least 2 are needed: cells of one donor are not independent",
    ):
        compare(study({"medium1": 0.01, "treated1": 0.2, "treated2": 0.2}))
    with pytest.raises(InputError, match=r"'medium' has 1 pair \(A\)"):
        compare(study({"medium1": 0.01, "medium2": 0.1, "treated1": 0.2, "treated2": 0.2}, donors=dict(
            zip(("medium1", "medium2", "treated1", "treated2"), "ABAC", strict=True))), pairs="donor")  # fmt: skip


def test_controls_are_left_out():
    adata = study(SIX | {"blank1": 0.0}, control="blank1")
    compare(adata)
    assert row(adata)["group_a"] == "medium"
    with pytest.raises(
        ConfigError,
        match=r"'condition' has 3 groups among the samples that are not controls \(blank, medium, treated\)",
    ):
        compare(study(SIX | {"blank1": 0.0}))


def test_a_missing_column_is_named_with_the_near_match():
    with pytest.raises(
        ConfigError, match=r"obs has no column 'conditions'\. Did you mean 'condition'\?"
    ):
        compare(study(SIX), by="conditions")


def test_a_sample_in_two_groups_is_refused():
    adata = study(SIX)
    adata.obs.loc["cell0", "condition"] = "treated"
    with pytest.raises(ConfigError, match=r"sample 'medium1' has several values of 'condition'"):
        compare(adata)


def test_fractions_must_be_there():
    adata = study(SIX)
    del adata.uns["scdiff"]["fractions"]
    with pytest.raises(MissingKeyError, match=r"compare reads .*fractions.*run fraction first"):
        compare(adata)


def test_a_margin_of_zero_is_refused():
    with pytest.raises(ConfigError, match="margin"):
        compare(study(SIX), margin=0.0)


def test_what_is_not_measurable_is_not_compared():
    adata = study(SIX)
    adata.uns["scdiff"]["fractions"].loc[1, "prevalence"] = np.nan
    compare(adata)
    assert row(adata)["verdict"] == "not measurable"
    assert np.isnan(row(adata)["effect"])
    assert "not measurable in at least one sample" in comparison_sentence(adata)
    assert (group_tables(adata)[0].view["p"] == "–").all()  # noqa: RUF001


def test_the_report_says_it_in_a_sentence_and_a_table():
    adata = study(SIX)
    assert group_notes(adata) == ()
    assert group_tables(adata) == ()
    compare(adata)
    (sentence,) = group_notes(adata)
    opening = "treated compared with medium (3 and 3 donors): the share of cells that are pancreatic-progenitor-like differs by "
    assert sentence.startswith(f"{opening}+18 percentage points (95 % interval +")
    assert sentence.endswith(": different.")
    (table,) = group_tables(adata)
    assert table.name == "comparison.csv"
    assert list(table.frame) == list(COLUMNS)


def test_the_order_of_cells_does_not_matter():
    one, other = study(SIX), study(SIX)
    other = other[::-1].copy()
    compare(one)
    compare(other)
    pd.testing.assert_frame_equal(
        one.uns["scdiff"]["comparison"], other.uns["scdiff"]["comparison"]
    )


def co_culture(treg: dict[str, float], th1: float = 0.06, n_cells: int = 2_000) -> AnnData:
    """Object with the fractions of Th1 and Treg cells by sample."""
    adata = study(treg)
    tables = [
        fractions(shares, n_cells).assign(program=name, state="x")
        for name, shares in (("treg", treg), ("th1", dict.fromkeys(treg, th1)))
    ]
    adata.uns["scdiff"]["fractions"] = pd.concat(tables, ignore_index=True)
    return adata


def test_the_balance_of_th1_and_treg_is_compared_by_donor():
    adata = co_culture(
        {
            "medium1": 0.06,
            "medium2": 0.05,
            "medium3": 0.07,
            "treated1": 0.18,
            "treated2": 0.17,
            "treated3": 0.19,
        }
    )
    compare(adata)
    rows = adata.uns["scdiff"]["comparison"].set_index("program")
    balance = rows.loc["balance"]
    assert balance["state"] == "th1_among_th1_and_treg"
    assert balance["effect"] == pytest.approx(100 * (0.25 - 0.5), abs=1.0)
    assert balance["verdict"] == "different"
    assert rows.loc["th1", "verdict"] != "different"


SHARES = {"medium1": 0.02, "medium2": 0.03, "medium3": 0.02}
SHARES |= {"treated1": 0.05, "treated2": 0.06, "treated3": 0.05}


def with_fates(verdict: str, lost: str = "") -> AnnData:
    """A study whose treated cells reach the progenitor-like end more often, and never differ else.

    No cell of the sample ``lost`` has a path from the root.
    """
    adata = study(SHARES)
    fates = pd.DataFrame(
        {"progenitor-like": [*(3 * share for share in SHARES.values()), 0.1], "cluster 4": 0.2},
        index=[*SHARES, "all"],
    )
    fates["start"] = 1 - fates.sum(axis=1)
    fates["n_cells"] = [0 if name == lost else 2_000 for name in fates.index]
    if lost:
        fates.loc[lost, ["progenitor-like", "cluster 4", "start"]] = np.nan
    adata.uns["scdiff"]["trajectory"] = {"fates": fates, "verdict": verdict}
    return adata


def test_fates_are_compared_between_conditions_by_donor():
    adata = with_fates("continuum")
    compare(adata)
    rows = adata.uns["scdiff"]["comparison"].set_index("program").loc["fate"].set_index("state")
    assert list(rows.index) == ["progenitor-like", "cluster 4", "start"]
    assert rows["n_donors_a"].tolist() == [3, 3, 3]
    assert rows.loc["progenitor-like", "effect"] == pytest.approx(9.0, abs=1.0)
    assert rows.loc["progenitor-like", "verdict"] == "different"
    assert rows.loc["cluster 4", "verdict"] != "different"
    assert rows.loc["cluster 4", "effect"] == pytest.approx(0.0, abs=0.5)


def test_fates_that_lead_nowhere_are_not_compared():
    adata = with_fates("separate population")
    compare(adata)
    assert set(adata.uns["scdiff"]["comparison"]["program"]) == {MAIN[0]}


def test_a_sample_without_a_path_makes_its_fates_not_measurable():
    adata = with_fates("continuum", lost="treated2")
    compare(adata)
    rows = adata.uns["scdiff"]["comparison"].set_index("program").loc["fate"]
    assert set(rows["verdict"]) == {"not measurable"}


def test_a_balance_of_nothing_is_not_measurable():
    adata = co_culture(dict.fromkeys(["medium1", "medium2", "treated1", "treated2"], 0.0), th1=0.0)
    compare(adata)
    assert (
        adata.uns["scdiff"]["comparison"].set_index("program").loc["balance", "verdict"]
        == "not measurable"
    )


@pytest.mark.slow
@pytest.mark.parametrize(("shift", "least", "most"), [(0.05, 0.9, 1.0), (0.0, 0.0, 0.05)])
def test_a_shift_of_treg_of_five_points_is_found_in_the_same_donors_and_none_where_there_is_none(
    shift, least, most
):
    """Responder cells of three donors with and without the batch, 5,000 cells each; donors differ by a fifth; 40 studies."""
    rng, found = np.random.default_rng(5), 0
    for _ in range(40):
        own = 0.05 * rng.lognormal(0, 0.2, 3)
        with_batch = own * rng.lognormal(0, 0.2, 3) + shift * rng.lognormal(0, 0.15, 3)
        shares = {
            f"{group}{n}": rng.binomial(5_000, group_share[n]) / 5_000
            for group, group_share in (("a", own), ("b", with_batch))
            for n in range(3)
        }
        adata = co_culture(shares, n_cells=5_000)
        adata.obs["donor"] = [name[-1] for name in adata.obs["sample"]]
        compare(adata, pairs="donor")
        found += (
            adata.uns["scdiff"]["comparison"].set_index("program").loc["treg", "p_value"] < 0.05
        )
    assert least <= found / 40 <= most
