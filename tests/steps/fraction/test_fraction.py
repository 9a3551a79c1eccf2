"""fraction: the table that everybody reads, its columns, its laws, and its truth on titrated real cells."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from recorded import as_loaded

from scdiff import keys
from scdiff.errors import ConfigError, MissingKeyError
from scdiff.programs import load_program
from scdiff.simulate import BatchDesign, simulate, titrate
from scdiff.steps.call.step import call
from scdiff.steps.fraction.step import COLUMNS, fraction

MAIN = "pancreatic_progenitor"
INTERFACE = (
    "program,state,sample,n_cells,n_called,fraction,fraction_low,fraction_high,"
    "prevalence,prevalence_low,prevalence_high,lob,lod,lloq,verdict,reason,"
    "prevalence_low_cells,prevalence_high_cells,lloq_events,high_at_third,high_at_tenth"
)
STATES = [rule.name for rule in load_program(MAIN).states]
NUMBERS = ["double_positive", "triple_positive"]
WITHIN = [rule.name for rule in load_program(MAIN).states if rule.within]
VERDICTS = {"not detected", "detected", "quantified", "not measurable", "inconclusive"}


def batch(*, fraction: float = 0.1, n_cells: int = 1_200, seed: int = 0, **design) -> AnnData:
    """Simulated batch as ``load`` would give it."""
    adata = simulate(
        n_cells=n_cells,
        fraction=fraction,
        depth=8_000,
        contamination=0.03,
        design=BatchDesign(n_genes=600, **design),
        seed=seed,
    )
    as_loaded(adata)
    return adata


def measured(adata: AnnData, programs: tuple[str, ...] = (MAIN,), **options) -> pd.DataFrame:
    """The table after call and fraction."""
    call(adata, programs=list(programs), null_sets=0, **options)
    fraction(adata)
    return adata.uns["scdiff"]["fractions"]


def rows_of(table: pd.DataFrame, state: str = "progenitor_like") -> pd.DataFrame:
    """Rows of one state by sample."""
    return table[(table["program"] == MAIN) & (table["state"] == state)].set_index("sample")


def csv(table: pd.DataFrame) -> str:
    return table.to_csv(index=False)


@pytest.fixture(scope="module")
def donors() -> AnnData:
    """Three donors and one control, with three programmes in the table."""
    adata = batch(donors=3, controls=1, n_cells=1_600, donor_cv=0.4)
    measured(adata, (MAIN, "vegf", "msc_identity"))
    return adata


@pytest.fixture(scope="module")
def table(donors) -> pd.DataFrame:
    return donors.uns["scdiff"]["fractions"]


@pytest.fixture(scope="module")
def single() -> AnnData:
    """One sample."""
    adata = batch()
    measured(adata)
    return adata


# --- the interface -----------------------------------------------------------------------------------


def test_columns_are_the_interface(table):
    assert ",".join(COLUMNS) == INTERFACE
    assert csv(table).splitlines()[0] == INTERFACE


def test_one_row_per_programme_state_and_sample_and_one_over_all(donors, table):
    samples = ["all", *sorted(donors.obs["sample"].astype(str).unique())]
    states = [(MAIN, state) for state in ("progenitor_like", *STATES, *NUMBERS)] + [
        ("vegf", "vegf_positive"),
        ("msc_identity", "msc_identity"),
    ]
    expected = {(*state, sample) for state in states for sample in samples}
    rows = list(zip(table["program"], table["state"], table["sample"], strict=True))
    assert len(rows) == len(set(rows))
    assert set(rows) == expected
    assert rows[0] == (MAIN, "progenitor_like", "all")


def test_kinds_of_the_columns(table):
    assert table[["n_cells", "n_called"]].dtypes.astype(str).tolist() == ["int64", "int64"]
    assert set(table[list(COLUMNS[5:14])].dtypes.astype(str)) == {"float64"}
    assert set(table["verdict"]) <= VERDICTS
    assert table.index.tolist() == list(range(len(table)))


def test_writes_its_key_only(single):
    adata = batch(n_cells=300)
    call(adata, programs=[MAIN], null_sets=0)
    before = (list(adata.obs), list(adata.obsm), list(adata.var), set(adata.uns["scdiff"]))
    fraction(adata)
    assert (list(adata.obs), list(adata.obsm), list(adata.var)) == before[:3]
    assert set(adata.uns["scdiff"]) - before[3] == {
        key.name for key in keys.list_written("fraction")
    }


# --- laws ----------------------------------------------------------------------------------------------


def test_shares_lie_in_their_intervals(table):
    for name in ("fraction", "prevalence"):
        low, here, high = (table[f"{name}{end}"] for end in ("_low", "", "_high"))
        assert (low >= 0).all()
        assert (low <= here).all()
        assert (here <= high).all()
        assert (high <= 1).all()
    table = table[table["state"] != "unspecific"]  # a state outside the rule has no limits
    assert (
        (table["lob"] >= 0)
        & (table["lob"] <= table["lod"])
        & (table["lod"] <= table["lloq"])
        & (table["lloq"] <= 1)
    ).all()


def test_counts_are_those_of_the_cells(donors, table):
    positive, state = donors.obsm["scdiff_positive"], donors.obs["scdiff_state"].astype(str)
    evidence = donors.obsm["scdiff_evidence"][
        [f"{MAIN}:{marker.name}" for marker in load_program(MAIN).core]
    ]
    n_on = (evidence > 0).sum(axis=1).where(positive[MAIN], 0).to_numpy()
    treated = ~donors.obs["control"].to_numpy()
    for row in table.itertuples():
        cells = treated if row.sample == "all" else (donors.obs["sample"] == row.sample).to_numpy()
        counted = (
            (state == row.state).to_numpy()
            if row.state in STATES
            else positive[row.program].to_numpy()
        )
        counted = n_on == 2 + NUMBERS.index(row.state) if row.state in NUMBERS else counted
        assert row.n_cells == cells.sum()
        assert row.n_called == counted[cells].sum()
        assert row.fraction == row.n_called / row.n_cells


@pytest.mark.parametrize("parts_of", [WITHIN, NUMBERS])
def test_sub_states_add_up(table, parts_of):
    whole = rows_of(table)
    for column in ("n_called", "fraction", "prevalence"):
        parts = sum(rows_of(table, state)[column] for state in parts_of)
        seen = whole["n_called"] > 0
        np.testing.assert_allclose(parts[seen], whole[column][seen], rtol=1e-12)


def test_controls_stay_out_of_all(donors, table):
    whole = rows_of(table)
    control = donors.obs["sample"][donors.obs["control"]].astype(str).unique().tolist()
    assert len(control) == 1
    assert whole.loc["all", "n_cells"] == donors.n_obs - whole.loc[control[0], "n_cells"]
    assert whole.loc[control[0], "verdict"] == "not detected"


def test_all_is_the_mean_of_the_samples_by_their_cells(donors, table):
    whole = rows_of(table)
    treated = whole.drop(
        index=["all", *donors.obs["sample"][donors.obs["control"]].astype(str).unique()]
    )
    assert len(treated) == 3
    mean = np.average(treated["prevalence"], weights=treated["n_cells"])
    assert whole.loc["all", "prevalence"] == pytest.approx(mean, rel=1e-12)
    assert whole.loc["all", "n_called"] == treated["n_called"].sum()


def test_donors_are_the_unit(donors, table):
    """Over three donors the interval is no narrower than that of the same cells as one sample, and wider here."""
    one = donors[~donors.obs["control"].to_numpy()].copy()
    one.obs["sample"], one.obs["donor"] = (
        pd.Categorical(["one"] * one.n_obs),
        pd.Categorical(["one"] * one.n_obs),
    )
    pooled, over_donors = rows_of(measured(one)).loc["all"], rows_of(table).loc["all"]
    assert over_donors["prevalence_low"] <= pooled["prevalence_low"]
    assert over_donors["prevalence_high"] >= pooled["prevalence_high"]
    width, pooled_width = (
        row["prevalence_high"] - row["prevalence_low"] for row in (over_donors, pooled)
    )
    assert width > 1.2 * pooled_width
    assert over_donors["prevalence"] == pytest.approx(pooled["prevalence"], abs=0.01)


def test_how_donors_differ_stands_beside_the_table(donors, table):
    tables = donors.uns["scdiff"]["donors"]
    variation = tables["variation"].set_index("program")
    assert list(variation.index) == list(dict.fromkeys(table["program"]))
    row, values = variation.loc[MAIN], tables["values"].query("program == @MAIN")
    assert (row["n_donors"], row["n_samples"], len(values)) == (3, 3, 3)
    assert [row["donor_least"], row["donor_most"]] == pytest.approx(
        [values["prevalence"].min(), values["prevalence"].max()]
    )
    whole = rows_of(table).loc["all"]
    assert row["prevalence_high"] == pytest.approx(whole["prevalence_high"])
    assert values["n_cells"].sum() == whole["n_cells"]
    assert np.average(values["prevalence"], weights=values["n_cells"]) == pytest.approx(
        whole["prevalence"]
    )
    assert (values["cells_worth"] <= values["n_cells"]).all()


@pytest.mark.slow
def test_two_samples_of_one_donor_are_no_two_donors(donors):
    adata = donors[~donors.obs["control"].to_numpy()].copy()
    adata.obs["donor"] = pd.Categorical(["same"] * adata.n_obs)
    same = rows_of(measured(adata)).loc["all"]
    other = rows_of(donors.uns["scdiff"]["fractions"]).loc["all"]
    assert (
        same["prevalence_high"] - same["prevalence_low"]
        < other["prevalence_high"] - other["prevalence_low"]
    )
    assert same["prevalence"] == pytest.approx(other["prevalence"], rel=1e-9)
    variation = adata.uns["scdiff"]["donors"]["variation"]
    assert set(variation["verdict"]) <= {"not estimable", "not measurable"}
    assert (
        variation["reason"]
        .iloc[0]
        .startswith("1 donor for the variation between donors, and at least 2 are needed")
    )


def test_every_row_has_the_interval_of_its_own_cells(table):
    known = table[table["prevalence"].notna()]
    ends = known[
        [
            "prevalence_low",
            "prevalence_low_cells",
            "prevalence",
            "prevalence_high_cells",
            "prevalence_high",
        ]
    ]
    assert (np.diff(ends.to_numpy(dtype=float), axis=1) >= -1e-9).all()
    main = known[(known["program"] == MAIN) & (known["sample"] == "all")].set_index("state")[
        "prevalence_high_cells"
    ]
    assert main["triple_positive"] < main["progenitor_like"]


@pytest.mark.slow
def test_a_sample_without_a_named_donor_is_no_donor():
    adata = batch(donors=2, n_cells=400)
    named = rows_of(measured(adata)).loc["all"]
    del adata.obs["donor"]
    fraction(adata)
    unnamed = rows_of(adata.uns["scdiff"]["fractions"]).loc["all"]
    cells = ["prevalence_low_cells", "prevalence_high_cells"]
    assert (
        unnamed[cells].tolist()
        == named[cells].tolist()
        == unnamed[["prevalence_low", "prevalence_high"]].tolist()
    )
    assert named["prevalence_low"] <= named[cells[0]]
    assert named["prevalence_high"] > named[cells[1]]
    assert "no sample has a donor" in adata.uns["scdiff"]["donors"]["variation"]["reason"].iloc[0]


def test_one_sample_is_all(single):
    whole = rows_of(single.uns["scdiff"]["fractions"])
    name = str(single.obs["sample"].iloc[0])
    assert list(whole.index) == ["all", name]
    pd.testing.assert_series_equal(whole.loc["all"], whole.loc[name], check_names=False)


def test_truth_is_in_the_interval(single):
    whole = rows_of(single.uns["scdiff"]["fractions"]).loc["all"]
    truth = single.uns["truth"]["fraction"]
    assert whole["prevalence"] == pytest.approx(truth, abs=0.02)
    assert whole["prevalence_low"] <= truth <= whole["prevalence_high"]
    assert whole["verdict"] == "quantified"


# --- controls ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_dirty_control_raises_the_limits_of_the_main_programme_only():
    """Half of the control's cells are positive: a blank like that hides everything."""
    adata = batch(n_cells=600)
    second = batch(n_cells=300, fraction=0.5, seed=4)
    second.obs_names = "c:" + second.obs_names
    second.obs["sample"], second.obs["donor"] = (pd.Categorical(["blank"] * 300) for _ in range(2))
    both = anndata.concat([adata, second])
    both.obs["sample"] = both.obs["sample"].astype("category")
    as_loaded(both)
    tables = []
    for flag in (False, True):
        both.obs["control"] = (both.obs["sample"] == "blank").to_numpy() & flag
        call(both, programs=[MAIN, "vegf"], null_sets=0)
        fraction(both)
        tables.append(both.uns["scdiff"]["fractions"].set_index(["program", "state", "sample"]))
    without, declared = tables
    sample = str(adata.obs["sample"].iloc[0])
    key = (MAIN, "progenitor_like", sample)
    assert without.loc[key, "verdict"] == "quantified"
    assert declared.loc[key, "verdict"] == "not detected"
    assert declared.loc[key, "lob"] > 0.2 > without.loc[key, "lob"]
    vegf = ("vegf", "vegf_positive", sample)
    assert declared.loc[vegf, "lob"] == pytest.approx(without.loc[vegf, "lob"], abs=0.02)


def test_what_is_not_detected_may_be_absent():
    """Donors without a positive cell had an interval from 1e-10 on."""
    adata = simulate(n_cells=900, fraction=0.0, seed=5)
    adata.obs["sample"] = np.array(["a", "b", "c"])[np.arange(900) % 3]
    adata.obs["donor"] = adata.obs["sample"]
    adata.layers["counts"] = adata.X
    as_loaded(adata, "human")
    table = measured(adata)
    absent = table[table["verdict"] == "not detected"]
    assert len(absent) > 4
    assert (absent["prevalence_low"] == 0).all()
    assert (absent["prevalence_low_cells"] == 0).all()


def test_controls_alone_are_all():
    adata = batch(n_cells=300, fraction=0.0)
    adata.obs["control"] = True
    whole = rows_of(measured(adata))
    assert whole.loc["all", "n_cells"] == 300
    assert whole.loc["all", "verdict"] == "not detected"


# --- the same again ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_runs_and_a_shuffled_one_give_the_same_bytes(single, shuffled):
    first = csv(single.uns["scdiff"]["fractions"])
    assert csv(measured(batch())) == first
    assert csv(measured(shuffled(batch()))) == first


@pytest.mark.slow
def test_a_file_between_the_steps_changes_no_byte(donors, tmp_path):
    adata = donors.copy()
    expected = csv(adata.uns["scdiff"].pop("fractions"))
    adata.write_h5ad(tmp_path / "called.h5ad")
    again = anndata.read_h5ad(tmp_path / "called.h5ad")
    fraction(again)
    assert csv(again.uns["scdiff"]["fractions"]) == expected


def test_the_seed_moves_the_limits_only(single):
    adata = single.copy()
    first = adata.uns["scdiff"]["fractions"]
    fraction(adata, seed=7)
    other = adata.uns["scdiff"]["fractions"]
    fixed = [name for name in COLUMNS if name not in ("lob", "lod", "lloq", "lloq_events")]
    pd.testing.assert_frame_equal(first[fixed], other[fixed])
    np.testing.assert_allclose(other["lod"], first["lod"], rtol=0.25)


def test_a_second_run_overwrites(single):
    adata = single.copy()
    fraction(adata)
    pd.testing.assert_frame_equal(
        adata.uns["scdiff"]["fractions"], single.uns["scdiff"]["fractions"]
    )


# --- not measurable -------------------------------------------------------------------------------------


def test_absent_markers_give_nan_and_not_measurable():
    adata = batch(n_cells=300)
    adata = adata[:, ~adata.var_names.isin(["PDX1", "INS"])].copy()
    table = measured(adata)
    assert (table["verdict"] == "not measurable").all()
    assert table[list(COLUMNS[5:14])].isna().all(axis=None)
    assert (table["n_cells"] == 300).all()
    assert (table["n_called"] == 0).all()
    assert len(table) == 2 * (1 + len(STATES) + len(NUMBERS))


def test_a_programme_that_cannot_be_measured_leaves_the_others():
    adata = batch(n_cells=300)
    table = measured(adata[:, adata.var_names != "VEGFA"].copy(), (MAIN, "vegf"))
    assert (table.loc[table["program"] == "vegf", "verdict"] == "not measurable").all()
    assert table.loc[table["program"] == MAIN, "prevalence"].notna().all()


def test_too_few_cells_are_not_measurable_but_have_an_interval():
    whole = rows_of(measured(batch(n_cells=30))).loc["all"]
    assert whole["verdict"] == "not measurable"
    assert whole["fraction_high"] > whole["fraction"]


@pytest.mark.parametrize("n_cells", [1, 2])
def test_almost_no_cells_run(n_cells):
    table = measured(batch(n_cells=n_cells, fraction=0.0))
    assert (table["verdict"] == "not measurable").all()
    assert (table["n_cells"] == n_cells).all()


# --- errors ---------------------------------------------------------------------------------------------


def test_call_must_come_first():
    with pytest.raises(
        MissingKeyError, match=r'fraction reads uns\["scdiff"\]\["call"\].*run call first'
    ):
        fraction(batch(n_cells=50))


@pytest.mark.parametrize(
    ("slot", "name"), [("obsm", "scdiff_positive"), ("obs", "scdiff_state"), ("layers", "counts")]
)
def test_missing_key_names_the_step_that_writes_it(single, slot, name):
    adata = single.copy()
    del getattr(adata, slot)[name]
    with pytest.raises(
        MissingKeyError,
        match=rf'fraction reads {slot}\["{name}"\].*run (call|scdiff\.pp\.prepare\(adata\)) first',
    ):
        fraction(adata)


def test_seed_below_zero_is_refused(single):
    with pytest.raises(
        ConfigError,
        match=r"fraction\(\): option 'seed' is -1, but input should be greater than or equal to 0",
    ):
        fraction(single.copy(), seed=-1)


# --- committed cells --------------------------------------------------------------------------------------


def with_trajectory(adata: AnnData, verdict: str) -> AnnData:
    """Enter what trajectory would write: 12 of 100 cells committed."""
    call(adata, programs=[MAIN], null_sets=0)
    names = ["all", *sorted(adata.obs["sample"].astype(str).unique())]
    values = {
        "n_cells": 100,
        "n_beyond": 10,
        "committed": 0.12,
        "low": 0.05,
        "high": 0.2,
        "fate_weighted": 0.1,
    }
    adata.uns["scdiff"]["trajectory"] = {
        "verdict": verdict,
        "committed": pd.DataFrame(values, index=names),
    }
    fraction(adata)
    return adata


@pytest.mark.slow
@pytest.mark.parametrize("verdict", ["continuum", "undecided"])
def test_committed_cells_have_their_rows(single, verdict):
    table = with_trajectory(single.copy(), verdict).uns["scdiff"]["fractions"]
    row = rows_of(table, "committed").loc["all"]
    assert row[
        ["n_cells", "n_called", "fraction", "prevalence", "prevalence_low", "prevalence_high"]
    ].tolist() == [
        100,
        10,
        0.1,
        0.12,
        0.05,
        0.2,
    ]
    assert row["verdict"] == "detected"
    assert row[["lob", "lod", "lloq"]].isna().all()
    assert rows_of(table, "committed").index.tolist() == rows_of(table).index.tolist()


@pytest.mark.slow
def test_nobody_is_committed_to_a_separate_population(single):
    rows = rows_of(
        with_trajectory(single.copy(), "separate population").uns["scdiff"]["fractions"],
        "committed",
    )
    assert set(rows["verdict"]) == {"not measurable"}
    assert rows[["fraction", "prevalence"]].isna().all(axis=None)


@pytest.mark.slow
def test_without_a_trajectory_there_is_no_committed_row(single):
    assert len(rows_of(measured(single.copy()), "committed")) == 0


# --- real cells -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sides(shared_data) -> tuple[AnnData, AnnData]:
    """Real beta cells that show a transcription factor besides INS, so that they are surely positive, and real MSC."""
    islet = anndata.read_h5ad(shared_data / "islet_mouse.h5ad")
    beta = islet[islet.obs["cell_type"] == "beta"]
    shows = (beta[:, ["Pdx1", "Nkx6-1"]].X.toarray() > 0).any(axis=1)
    return beta[shows].copy(), anndata.read_h5ad(shared_data / "msc_mouse_bone_marrow.h5ad")


def titrated(sides, truth: float, contamination: float, n_cells: int) -> pd.Series:
    """The mission's row of real beta cells among real MSC."""
    adata = titrate(
        *sides, n_cells=n_cells, fraction=truth, contamination=contamination, soup_share=0.3, seed=1
    )
    as_loaded(adata, "mouse")
    return rows_of(measured(adata)).loc["all"]


@pytest.mark.slow
@pytest.mark.parametrize("contamination", [0.0, 0.1])
@pytest.mark.parametrize("truth", [0.0, 0.01, 0.05, 0.2])
def test_titration_of_real_cells_is_right_within_a_percentage_point(sides, truth, contamination):
    row = titrated(sides, truth, contamination, 1_500)
    assert row["prevalence"] == pytest.approx(truth, abs=0.01)
    assert row["prevalence_low"] <= truth <= row["prevalence_high"]
    assert (row["verdict"] == "not detected") == (truth == 0)
    if truth == 0:
        assert row["prevalence_low"] == 0
        assert row["prevalence_high"] < 0.032  # weakly positive cells included


@pytest.mark.slow
def test_beta_cells_of_real_islets_are_counted_in_each_donor(shared_data):
    """Published labels: 47.4 % beta in all, 41.7 and 51.8 % by donor."""
    adata = anndata.read_h5ad(shared_data / "islet_mouse.h5ad")
    adata.layers["counts"] = adata.X.copy()
    adata.obs["sample"] = adata.obs["donor"]
    as_loaded(adata, "mouse")
    rows = rows_of(measured(adata))
    found = rows["prevalence"]
    beta = adata.obs["cell_type"] == "beta"
    truth = {**beta.groupby(adata.obs["donor"], observed=True).mean(), "all": beta.mean()}
    assert found.to_dict() == pytest.approx(truth, abs=0.06)
    for name, share in truth.items():
        assert rows.loc[name, "prevalence_low"] <= share <= rows.loc[name, "prevalence_high"]


@pytest.mark.slow
@pytest.mark.parametrize("contamination", [0.05, 0.2])
@pytest.mark.parametrize("truth", [0.0, 0.007, 0.2])
def test_titration_of_more_real_cells(sides, truth, contamination):
    seed = int(1_000 * truth + 10 * contamination) + 2
    adata = titrate(
        *sides,
        n_cells=4_000,
        fraction=truth,
        contamination=contamination,
        soup_share=0.3,
        seed=seed,
    )
    as_loaded(adata, "mouse")
    row = rows_of(measured(adata)).loc["all"]
    assert row["prevalence"] == pytest.approx(truth, abs=0.01)
    assert (row["verdict"] == "not detected") == (truth == 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "species", "bound"),
    [("pbmc_facs_human.h5ad", "human", 0.005), ("msc_mouse_bone_marrow.h5ad", "mouse", 0.06)],
)
def test_real_negatives_are_not_measurable_or_bounded(shared_data, name, species, bound):
    adata = anndata.read_h5ad(shared_data / name)
    adata.layers["counts"] = adata.X.copy()
    adata.obs["sample"] = pd.Categorical(["real"] * adata.n_obs)
    as_loaded(adata, species)
    assert set(measured(adata)["verdict"]) == {"not measurable"}
    row = rows_of(measured(adata, absent_as_zero=True)).loc["all"]
    assert row["verdict"] == "not detected"
    assert row["n_called"] == 0
    assert row["fraction_high"] < bound
    assert row["prevalence_high"] < bound
