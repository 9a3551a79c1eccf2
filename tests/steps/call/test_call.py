"""call: from counts to evidence, calls and states, on hand-made batches and on real cells."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from recorded import as_loaded
from scipy import sparse

from scdiff import keys
from scdiff.assay import calibration, samples
from scdiff.errors import ConfigError, MissingKeyError, ProgramError, UnknownNameError
from scdiff.programs import load_program, load_programs
from scdiff.simulate import BatchDesign, simulate
from scdiff.steps.call.states import list_states
from scdiff.steps.call.step import call

MAIN = "pancreatic_progenitor"
MARKERS = ["PDX1", "NKX6-1", "INS", "NEUROG3"]
OFF = {"PDX1": 0.01, "NKX6-1": 0.01, "INS": 3.0, "NEUROG3": 0.01}
"""Counts per 10,000 of a cell that expresses none."""

KINDS = {
    "plain": {},
    "PDX1 only": {"PDX1": 8.0},
    "INS only": {"INS": 1_500.0},
    "progenitor": {"PDX1": 8.0, "NKX6-1": 10.0},
    "endocrine": {"PDX1": 8.0, "NKX6-1": 10.0, "NEUROG3": 12.0},
    "beta": {"PDX1": 8.0, "NKX6-1": 10.0, "INS": 1_500.0},
    "low INS": {"PDX1": 8.0, "INS": 200.0},
}


NOTES = calibration._note_rates


def made(
    cells: dict[str, int],
    *,
    depth: float = 20_000,
    seed: int = 0,
    sample: str = "s",
    control: bool = False,
) -> AnnData:
    """Batch of so many cells per kind; deep, so that hardly a marker drops out."""
    rng = np.random.default_rng(seed)
    kinds = np.repeat(list(cells), list(cells.values()))
    depths = depth * rng.lognormal(sigma=0.2, size=len(kinds))
    rate = (
        np.array([[KINDS[kind].get(name, 0.0) + OFF[name] for name in MARKERS] for kind in kinds])
        / 1e4
    )
    markers = rng.poisson(rate * rng.gamma(5, 0.2, rate.shape) * depths[:, None])
    others = rng.poisson(np.outer(depths * 0.9, rng.dirichlet(np.ones(30))))
    counts = sparse.csr_matrix(np.hstack([markers, others]).astype(np.float32))
    obs = pd.DataFrame(
        {"sample": pd.Categorical([sample] * len(kinds)), "control": control, "kind": kinds}
    )
    obs.index = [f"{sample}:{i}" for i in range(len(kinds))]
    adata = AnnData(
        obs=obs,
        var=pd.DataFrame(index=[*MARKERS, *(f"GENE{i}" for i in range(30))]),
        layers={"counts": counts},
    )
    as_loaded(adata)
    return adata


def joined(*parts: AnnData) -> AnnData:
    """Several batches as samples of one object."""
    adata = anndata.concat(parts)
    adata.obs["sample"] = adata.obs["sample"].astype("category")
    as_loaded(adata)
    return adata


def called(adata: AnnData, **options) -> AnnData:
    """The same object after the call of the main programme."""
    call(adata, **{"programs": [MAIN], "null_sets": 0} | options)
    return adata


def record(adata: AnnData, program: str = MAIN) -> dict:
    return adata.uns["scdiff"]["call"][program]


def real(shared_data, name: str, species: str) -> AnnData:
    """Real data as ``load`` would give them."""
    adata = anndata.read_h5ad(shared_data / name)
    adata.layers["counts"] = adata.X.copy()
    adata.obs["sample"] = pd.Categorical(["real"] * adata.n_obs)
    as_loaded(adata, species)
    return adata


ALL_KINDS = {
    "plain": 500,
    "PDX1 only": 15,
    "INS only": 15,
    "progenitor": 40,
    "endocrine": 40,
    "beta": 40,
    "low INS": 20,
}


@pytest.fixture(scope="module")
def mixed() -> AnnData:
    """All kinds, called; read it, never change it."""
    return called(made(ALL_KINDS))


# --- what is written -------------------------------------------------------------------------------


def test_writes_exactly_its_keys():
    adata = made({"plain": 80, "beta": 20})
    before = {
        slot: set(getattr(adata, slot)) for slot in ("layers", "obs", "var", "obsm", "obsp", "varm")
    }
    counts = adata.layers["counts"].copy()
    called(adata)
    promised = keys.list_written("call")
    for slot, names in before.items():
        assert set(getattr(adata, slot)) - names == {
            key.name for key in promised if key.slot == slot
        }
    assert set(adata.uns["scdiff"]) == {"input", "call"}
    assert (adata.layers["counts"] != counts).nnz == 0
    assert adata.X is None


def test_shapes_names_and_kinds_of_what_is_written():
    adata = made({"plain": 80, "beta": 20})
    call(adata, programs=[MAIN, "vegf", "msc_identity"], null_sets=0)
    names = [MAIN, "vegf", "msc_identity"]
    columns = [f"{name}:{marker.name}" for name in names for marker in load_program(name).markers]
    assert list(adata.obsm["scdiff_evidence"].columns) == columns
    for key, kind in (("scdiff_probabilities", float), ("scdiff_positive", bool)):
        assert list(adata.obsm[key].columns) == names
        assert (adata.obsm[key].dtypes == kind).all()
        assert list(adata.obsm[key].index) == list(adata.obs_names)
    assert adata.obs["scdiff_probability"].equals(
        adata.obsm["scdiff_probabilities"][MAIN].rename("scdiff_probability")
    )
    entry = adata.uns["scdiff"]["call"]
    assert (entry["main"], entry["fdr"], entry["absent_as_zero"], list(entry["programs"])) == (
        MAIN,
        0.05,
        False,
        names,
    )
    assert list(record(adata)["markers"].index) == MARKERS
    assert set(record(adata)["markers"].columns) >= {
        "genes",
        "background_cp10k",
        "level_cp10k",
        "n_on",
        "n_detected",
    }


@pytest.mark.slow
def test_default_programmes_are_all_called():
    adata = made({"plain": 80, "beta": 20})
    call(adata)
    assert list(adata.obsm["scdiff_positive"].columns) == [
        program.name for program in load_programs() if program.markers
    ]
    assert "cell_cycle" not in adata.obsm["scdiff_positive"]
    assert adata.uns["scdiff"]["call"]["main"] == MAIN


def test_states_are_a_category_of_those_that_are_there(mixed):
    """scanpy's dotplot, matrixplot and stacked_violin fail on a category without cells."""
    state = mixed.obs["scdiff_state"]
    assert isinstance(state.dtype, pd.CategoricalDtype)
    rules = {rule.name for rule in load_program(MAIN).states}
    assert set(list_states(load_program(MAIN))) == rules | {
        "progenitor_like",
        "unassigned",
        "negative",
    }
    assert set(state.cat.categories) == set(state) <= set(list_states(load_program(MAIN)))
    assert state.notna().all()


def test_a_programme_without_rules_has_its_own_state():
    adata = made({"plain": 200, "INS only": 40})
    call(adata, programs=["vegf"], null_sets=0)
    assert list_states(load_program("vegf")) == ["vegf_positive", "unassigned", "negative"]
    assert list(adata.obs["scdiff_state"].cat.categories) == [
        "unassigned"
    ]  # its genes have no row here


def test_the_record_can_be_written_and_read(mixed, tmp_path):
    mixed.copy().write_h5ad(tmp_path / "called.h5ad")
    again = anndata.read_h5ad(tmp_path / "called.h5ad")
    pd.testing.assert_frame_equal(
        again.obsm["scdiff_evidence"], mixed.obsm["scdiff_evidence"], check_names=False
    )
    pd.testing.assert_frame_equal(record(again)["fits"], record(mixed)["fits"], check_names=False)
    assert list(record(again)["found"]) == ["PDX1", "NKX6-1", "INS"]
    assert bool(record(again)["measurable"])


@pytest.mark.slow
def test_a_second_call_overwrites_cleanly(mixed):
    adata = made(ALL_KINDS)
    call(adata, programs=["vegf", "il10"], fdr=0.2, null_sets=0)
    called(adata)
    pd.testing.assert_frame_equal(adata.obs, mixed.obs)
    for key in ("scdiff_evidence", "scdiff_probabilities", "scdiff_positive"):
        pd.testing.assert_frame_equal(adata.obsm[key], mixed.obsm[key])
    assert set(adata.uns["scdiff"]["call"]) == set(mixed.uns["scdiff"]["call"])
    pd.testing.assert_frame_equal(record(adata)["fits"], record(mixed)["fits"])


# --- states ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("plain", "negative"),
        ("progenitor", "progenitor"),
        ("low INS", "progenitor"),
        ("endocrine", "endocrine_progenitor"),
        ("beta", "beta_like"),
    ],
)
def test_cells_of_a_kind_get_its_state(mixed, kind, state):
    cells = mixed.obs["kind"] == kind
    assert (mixed.obs["scdiff_state"][cells] == state).mean() >= 0.8
    assert (mixed.obsm["scdiff_positive"][MAIN][cells] == (kind != "plain")).mean() >= 0.85


def test_one_marker_alone_is_never_enough(mixed):
    lone = mixed.obs["kind"].isin(["PDX1 only", "INS only"])
    assert not mixed.obsm["scdiff_positive"][MAIN][lone].any()
    assert set(mixed.obs["scdiff_state"][lone]) <= {"negative", "unspecific", "unassigned"}


def test_ins_alone_is_unspecific():
    adata = called(made({"plain": 500, "INS only": 60}))
    cells = adata.obs["kind"] == "INS only"
    assert (adata.obs["scdiff_state"][cells] == "unspecific").mean() >= 0.8
    assert not (adata.obs["scdiff_state"][~cells] == "unspecific").any()


def test_states_follow_the_rules_cell_by_cell(mixed):
    """States from positives, probability and evidence, by the rules as the TOML file states them."""
    evidence = mixed.obsm["scdiff_evidence"]
    positive, probability = mixed.obsm["scdiff_positive"][MAIN], mixed.obs["scdiff_probability"]
    depth = mixed.layers["counts"].sum(axis=1).A1
    ins = mixed.layers["counts"][:, 2].toarray().ravel() / depth * 1e4
    for cell, state in enumerate(mixed.obs["scdiff_state"]):
        on = {name for name in MARKERS if evidence[f"{MAIN}:{name}"].iloc[cell] > 0}
        if state in ("endocrine_progenitor", "beta_like", "progenitor"):
            assert positive.iloc[cell]
            assert len(on - {"NEUROG3"}) >= 2
            assert state != "endocrine_progenitor" or "NEUROG3" in on
            assert state != "beta_like" or ("INS" in on and ins[cell] >= 500)
            assert (
                state != "progenitor"
                or "NEUROG3" not in on
                or evidence[f"{MAIN}:NEUROG3"].iloc[cell] < 2
            )
        else:
            assert not positive.iloc[cell]
            assert (state == "unassigned") == (probability.iloc[cell] > 0.05)
            assert state != "unspecific" or "INS" in on


def test_evidence_tells_expressed_from_background(mixed):
    for name, kinds in (
        ("PDX1", ["progenitor", "beta", "PDX1 only"]),
        ("INS", ["beta", "INS only"]),
        ("NEUROG3", ["endocrine"]),
    ):
        evidence = mixed.obsm["scdiff_evidence"][f"{MAIN}:{name}"]
        assert (evidence[mixed.obs["kind"].isin(kinds)] > 0).mean() > 0.9
        assert (evidence[mixed.obs["kind"] == "plain"] > 0).mean() < 0.05


def test_record_counts_what_stands_in_the_cells(mixed):
    markers = record(mixed)["markers"]
    detected = np.asarray((mixed.layers["counts"][:, :4] > 0).sum(axis=0)).ravel()
    np.testing.assert_array_equal(markers["n_detected"], detected)
    above = (mixed.obsm["scdiff_evidence"] > 0).sum().to_numpy()
    assert (markers["n_on"] <= above).all()
    assert (markers["n_on"] > 0).all()
    assert markers.loc["INS", "background_cp10k"] == pytest.approx(3.0, rel=0.5)
    assert markers.loc["INS", "level_cp10k"] == pytest.approx(1_500, rel=0.4)
    assert list(markers["genes"]) == MARKERS


@pytest.mark.parametrize("fdr", [0.0005, 0.3])
def test_the_rate_reaches_every_caller(monkeypatch, fdr):
    rates, caller = [], samples.call_samples

    def spy(*arguments, **options):
        rates.append(options["rate"])
        return caller(*arguments, **options)

    monkeypatch.setattr(samples, "call_samples", spy)
    adata = called(made({"plain": 100, "beta": 20}), fdr=fdr)
    assert rates == [fdr, fdr]
    assert adata.uns["scdiff"]["call"]["fdr"] == fdr


@pytest.mark.slow
def test_a_stricter_rate_calls_a_subset(mixed):
    strict, usual = (
        called(made(ALL_KINDS), fdr=0.0005).obsm["scdiff_positive"][MAIN],
        mixed.obsm["scdiff_positive"][MAIN],
    )
    assert strict.sum() > 100
    assert not (strict & ~usual).any()


# --- order and samples -----------------------------------------------------------------------------


def same_calls(one: AnnData, other: AnnData) -> None:
    """Bit for bit, cell by cell."""
    names = one.obs_names
    assert list(one.obs["scdiff_state"]) == list(other.obs["scdiff_state"][names])
    for key in ("scdiff_evidence", "scdiff_probabilities", "scdiff_positive"):
        pd.testing.assert_frame_equal(one.obsm[key], other.obsm[key].loc[names], check_exact=True)


def test_cells_and_genes_in_another_order_change_no_bit(mixed, shuffled):
    adata = called(shuffled(made(ALL_KINDS)))
    same_calls(mixed, adata)
    pd.testing.assert_frame_equal(record(adata)["fits"], record(mixed)["fits"], check_exact=True)
    pd.testing.assert_frame_equal(
        record(adata)["markers"], record(mixed)["markers"], check_exact=True
    )


def test_a_control_changes_no_call_of_the_other_sample():
    treated = {"plain": 400, "beta": 40}
    alone = called(made(treated, sample="treated"))
    both = called(
        joined(
            made({"plain": 300}, sample="blank", control=True, seed=5),
            made(treated, sample="treated"),
        )
    )
    cells = both[both.obs["sample"] == "treated"]
    same_calls(alone, cells)
    assert not both.obsm["scdiff_positive"][MAIN][both.obs["control"].to_numpy()].any()
    assert sorted(record(both)["fits"].index) == ["all", "blank", "treated"]


@pytest.mark.slow
def test_two_samples_together_are_called_much_as_alone():
    parts = [
        made({"plain": 400, "beta": n}, sample=name, seed=seed)
        for seed, (name, n) in enumerate((("a", 0), ("b", 60)))
    ]
    together = called(joined(*parts))
    for part in parts:
        alone = called(part)
        positive = together[part.obs_names].obsm["scdiff_positive"][MAIN]
        assert (positive == alone.obsm["scdiff_positive"][MAIN]).mean() > 0.99


@pytest.mark.slow
def test_order_of_the_samples_changes_no_bit():
    parts = [
        made({"plain": 300, "beta": 30 * seed}, sample=name, seed=seed)
        for seed, name in enumerate("ab")
    ]
    same_calls(called(joined(*parts)), called(joined(*parts[::-1])))


def test_control_column_may_be_missing():
    adata = made({"plain": 100, "beta": 20})
    with_column = called(adata.copy())
    del adata.obs["control"]
    same_calls(with_column, called(adata))


# --- what is absent ---------------------------------------------------------------------------------


def test_one_absent_marker_leaves_two_to_call():
    adata = called(made({"plain": 400, "beta": 40, "INS only": 10})[:, 1:].copy())
    assert record(adata)["measurable"]
    assert list(record(adata)["found"]) == ["NKX6-1", "INS"]
    assert list(record(adata)["absent"]) == ["PDX1"]
    assert adata.obsm["scdiff_evidence"][f"{MAIN}:PDX1"].isna().all()
    assert adata.obsm["scdiff_positive"][MAIN][adata.obs["kind"] == "beta"].mean() > 0.8


def test_two_absent_markers_are_not_measurable_and_said():
    adata = called(made({"plain": 100, "beta": 40})[:, 2:].copy())
    assert not record(adata)["measurable"]
    assert record(adata)["reason"].startswith(
        "PDX1 and NKX6-1 have no row in this matrix; absent is not zero"
    )
    assert adata.obs["scdiff_probability"].isna().all()
    assert not adata.obsm["scdiff_positive"][MAIN].any()
    assert (adata.obs["scdiff_state"] == "unassigned").all()


def test_absent_neurog3_leaves_the_other_states(mixed):
    adata = called(made(ALL_KINDS)[:, [0, 1, 2, *range(4, 34)]].copy())
    assert list(record(adata)["absent"]) == ["NEUROG3"]
    assert record(adata)["measurable"]
    assert (adata.obs["scdiff_state"] != "endocrine_progenitor").all()
    assert (adata.obs["scdiff_state"] == "beta_like").sum() == pytest.approx(
        (mixed.obs["scdiff_state"] == "beta_like").sum(), abs=3
    )


def test_a_single_cell_is_not_measurable():
    adata = called(made({"plain": 1}))
    assert record(adata)["reason"] == "only 1 cell is left, and a background needs at least 2"
    assert adata.obs["scdiff_probability"].isna().all()


def test_two_cells_run():
    adata = called(made({"plain": 1, "beta": 1}))
    assert record(adata)["measurable"]
    assert adata.obs["scdiff_probability"].between(0, 1).all()


def test_a_cell_without_counts_is_negative():
    adata = made({"plain": 200, "beta": 20})
    counts = adata.layers["counts"].tolil()
    counts[0] = 0
    adata.layers["counts"] = counts.tocsr()
    called(adata)
    assert not adata.obsm["scdiff_positive"][MAIN].iloc[0]
    assert np.isfinite(adata.obsm["scdiff_evidence"].iloc[0]).all()


# --- errors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slot", "name", "message"),
    [
        (
            "layers",
            "counts",
            r'call reads layers\["counts"\].*run scdiff\.pp\.prepare\(adata\) first',
        ),
        ("obs", "sample", r'call reads obs\["sample"\].*run scdiff\.pp\.prepare\(adata\) first'),
        (
            "uns",
            "scdiff",
            r'call reads uns\["scdiff"\]\["input"\].*run scdiff\.pp\.prepare\(adata\) first',
        ),
    ],
)
def test_missing_key_names_the_step_that_writes_it(slot, name, message):
    adata = made({"plain": 20})
    del getattr(adata, slot)[name]
    with pytest.raises(MissingKeyError, match=message):
        call(adata)


@pytest.mark.parametrize("fdr", [0, 1, -0.1])
def test_rate_out_of_range_is_refused(fdr):
    with pytest.raises(ConfigError, match=r"call\(\): option 'fdr' is .* but input should be"):
        call(made({"plain": 20}), fdr=fdr)


def test_unknown_programme_is_refused():
    with pytest.raises(UnknownNameError, match=r"unknown programme 'veg'\. Did you mean 'vegf'\?"):
        call(made({"plain": 20}), programs=["veg"])


def test_programmes_without_markers_are_refused():
    with pytest.raises(ProgramError, match="none of the programmes cell_cycle has markers"):
        call(made({"plain": 20}), programs=["cell_cycle"])


# --- real cells -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_ins_is_told_from_ambient_ins_in_real_islets(shared_data):
    """INS > 0 holds in 93 to 100 % of every type; called: at least 98 % of beta, at most 4 % of the others."""
    adata = called(real(shared_data, "islet_mouse.h5ad", "mouse"))
    beta = (adata.obs["cell_type"] == "beta").to_numpy()
    above = (adata.obsm["scdiff_evidence"][f"{MAIN}:INS"] > 0).to_numpy()
    markers = record(adata)["markers"]
    assert markers.loc["INS", "genes"] == "Ins1,Ins2"
    assert markers.loc["INS", "n_detected"] > 0.97 * adata.n_obs
    assert above[beta].mean() >= 0.98
    assert (
        above[~beta].mean() <= 0.25
    )  # ambient INS is common in islets; their calls rest on more than this
    assert adata.obsm["scdiff_positive"][MAIN].to_numpy()[~beta].mean() < 0.06


@pytest.mark.parametrize(
    ("name", "species"),
    [("pbmc_facs_human.h5ad", "human"), ("msc_mouse_bone_marrow.h5ad", "mouse")],
)
def test_absent_is_not_zero_in_real_matrices(shared_data, name, species):
    adata = called(real(shared_data, name, species))
    assert not record(adata)["measurable"]
    assert record(adata)["reason"].startswith("PDX1 and INS have no row in this matrix")
    assert set(record(adata)["absent"]) >= {"PDX1", "INS"}
    declared = called(adata, absent_as_zero=True)
    assert record(declared)["measurable"]
    assert record(declared)["reason"] == ""
    assert not declared.obsm["scdiff_positive"][MAIN].any()
    assert (declared.obs["scdiff_state"] == "negative").mean() > 0.99


def test_reads_of_fetal_pancreas_run(shared_data):
    adata = called(real(shared_data, "fetal_pancreas_human.h5ad", "human"))
    assert record(adata)["measurable"]
    positive = adata.obsm["scdiff_positive"][MAIN]
    assert 5 <= positive.sum() <= 60
    counts = adata[:, ["PDX1", "NKX6-1", "INS"]].layers["counts"].toarray()
    assert ((counts[positive] > 0).sum(axis=1) >= 2).all()


@pytest.mark.slow
def test_islet_calls_keep_their_bits_in_any_order(shared_data, shuffled):
    adata = real(shared_data, "islet_mouse.h5ad", "mouse")[::4].copy()
    same_calls(called(adata.copy()), called(shuffled(adata)))


@pytest.mark.slow
def test_the_run_warns_where_the_calibration_is_off_and_not_where_genes_are_far(
    caplog, monkeypatch
):
    adata = simulate(
        n_cells=400, fraction=0.1, depth=6_000, design=BatchDesign(n_genes=600), seed=0
    )
    as_loaded(adata)
    for share, expected in ((0.05, 0), (0.2, 2)):
        caplog.clear()
        monkeypatch.setattr(calibration, "_note_far_genes", lambda _: ("far",))
        monkeypatch.setattr(
            calibration,
            "_note_rates",
            lambda what, rates, share=share: NOTES(what, rates * 0 + share),
        )
        call(adata, programs=[MAIN], null_sets=20)
        warned = [record.message for record in caplog.records if record.levelname == "WARNING"]
        assert (
            len([text for text in warned if "p-values of this batch are incorrect" in text])
            == expected
        )
        assert not [text for text in warned if "far" in text]


def test_the_soup_of_the_empty_droplets_is_recorded_beside_the_background():
    adata = made({"plain": 400, "beta": 40})
    genes = adata.var_names.to_numpy()
    counts = np.where(
        genes == "INS", 4_000.0, np.where(pd.Index(genes).isin(MARKERS), 20.0, 30_000.0)
    )
    with_soup = adata.copy()
    with_soup.uns["scdiff"]["input"]["soup"] = {
        "samples": np.array(["s"]),
        "genes": genes,
        "counts": counts[:, None],
    }
    for batch in (adata, with_soup):
        call(batch, null_sets=0)
    markers = record(with_soup)["markers"]
    assert markers.loc["INS", "soup_cp10k"] == pytest.approx(4_000 / counts.sum() * 1e4, rel=1e-3)
    assert record(adata)["markers"]["soup_cp10k"].isna().all()
    assert (
        with_soup.obsm["scdiff_positive"][MAIN] == adata.obsm["scdiff_positive"][MAIN]
    ).mean() > 0.99
    assert not np.array_equal(with_soup.obsm["scdiff_evidence"], adata.obsm["scdiff_evidence"])
