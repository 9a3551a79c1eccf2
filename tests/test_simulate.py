"""The simulator keeps its promises: what it says is true of a cell is what the counts show."""

from __future__ import annotations

import anndata
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from scdiff.errors import ConfigError, InputError
from scdiff.genes import detect_species
from scdiff.programs import load_programs
from scdiff.simulate import SWITCH, BatchDesign, demo, keep_markers, pair_cells, simulate, titrate

CLEAN = BatchDesign(n_genes=600, nuisance=0.0)
TRUTH = [
    "truth_positive",
    "truth_state",
    "truth_pseudotime",
    "truth_contamination",
    "truth_doublet",
]


def total(adata):
    return np.asarray(adata.X.sum(axis=1)).ravel()


def level_cp10k(adata, gene, rows):
    """Pooled level of ``gene`` in ``rows``."""
    return 1e4 * adata[rows, gene].X.sum() / adata[rows].X.sum()


def detected(adata, gene):
    return adata[:, gene].X.toarray().ravel() > 0


@pytest.fixture(scope="module")
def clean():
    """2,000 cells, 20 % positive, nothing that disturbs."""
    return simulate(n_cells=2_000, fraction=0.2, contamination=0.0, design=CLEAN, seed=3)


@pytest.fixture(scope="module")
def soupy():
    """The same with 20 % contamination, and single-marker cells."""
    return simulate(
        n_cells=2_000,
        fraction=0.2,
        contamination=0.2,
        design=BatchDesign(n_genes=600, nuisance=0.1),
        seed=3,
    )


# --- form ------------------------------------------------------------------------------------------


def test_counts_are_integers_in_csr(clean):
    assert clean.shape == (2_000, 600)
    for counts in (clean.X, clean.layers["counts"]):
        assert sparse.issparse(counts)
        assert counts.format == "csr"
        assert counts.dtype == np.float32
        assert (counts.data == np.rint(counts.data)).all()
        assert (counts.data > 0).all()
    assert clean.X is not clean.layers["counts"]


def test_truth_stands_in_obs_and_uns(clean):
    assert {"sample", "donor", "condition", "control", *TRUTH} == set(clean.obs)
    assert clean.obs_names.is_unique
    assert clean.var_names.is_unique
    assert clean.uns["truth"]["fraction"] == 0.2
    assert clean.uns["truth"]["n_positive"] == 400
    assert clean.uns["truth"]["samples"].loc["sample1"].to_dict() == {
        "n_cells": 2_000,
        "n_positive": 400,
        "fraction": 0.2,
        "control": False,
    }


def test_result_survives_the_file(tmp_path, clean):
    clean.write_h5ad(tmp_path / "clean.h5ad")
    read = anndata.read_h5ad(tmp_path / "clean.h5ad")
    assert (read.X != clean.X).nnz == 0
    assert read.uns["truth"]["n_positive"] == 400
    assert list(read.obs["truth_state"]) == list(clean.obs["truth_state"])


@pytest.mark.parametrize("species", ["human", "mouse", "rat"])
def test_all_programs_find_their_genes(species):
    batch = simulate(n_cells=20, design=BatchDesign(n_genes=600, species=species))
    assert detect_species(batch.var_names) == species
    wanted = {
        gene
        for program in load_programs()
        for group in (*program.markers, *program.sets)
        for gene in group.genes(species)
    }
    assert wanted <= set(batch.var_names)
    assert "" not in batch.var_names


def test_mouse_insulin_is_shared_by_both_genes():
    batch = simulate(
        n_cells=500,
        fraction=1.0,
        contamination=0.0,
        design=BatchDesign(n_genes=600, species="mouse"),
    )
    one, two = (level_cp10k(batch, gene, slice(None)) for gene in ("Ins1", "Ins2"))
    assert one == pytest.approx(two, rel=0.1)
    assert "INS" not in batch.var_names
    assert sum(name.startswith("mt-") for name in batch.var_names) == 13


# --- truth -----------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    n_cells=st.integers(1, 300),
    fraction=st.floats(0, 1),
    doublet_rate=st.floats(0, 1),
    donors=st.integers(1, 4),
    controls=st.integers(0, 2),
    continuum=st.sampled_from([0.0, 1.0, 3.0]),
    nuisance=st.floats(0, 1),
    seed=st.integers(0, 2**32),
)
def test_fraction_is_exact_whatever_the_design(
    n_cells, fraction, doublet_rate, donors, controls, continuum, nuisance, seed
):
    design = BatchDesign(
        400,
        doublet_rate=doublet_rate,
        donors=donors,
        controls=controls,
        continuum=continuum,
        nuisance=nuisance,
    )
    batch = simulate(n_cells=n_cells, fraction=fraction, depth=200, design=design, seed=seed)
    treated = ~batch.obs["control"].to_numpy()
    positive = batch.obs["truth_positive"].to_numpy()
    assert batch.n_obs == n_cells
    assert positive[treated].sum() == round(fraction * treated.sum())
    assert not positive[~treated].any()
    assert batch.uns["truth"]["n_positive"] == positive.sum()
    assert batch.uns["truth"]["samples"]["n_cells"].sum() == n_cells


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), rate=st.floats(0, 1))
def test_doublet_rate_is_exact_and_doublets_leave_the_fraction(seed, rate):
    batch = simulate(
        n_cells=200, fraction=0.1, depth=200, design=BatchDesign(400, doublet_rate=rate), seed=seed
    )
    assert batch.obs["truth_doublet"].sum() == round(rate * 200)
    assert batch.obs["truth_positive"].sum() == 20


@pytest.mark.parametrize("fraction", [0.0, 1.0])
@pytest.mark.parametrize("contamination", [0.0, 0.2])
def test_extremes(fraction, contamination):
    design = BatchDesign(600, doublet_rate=0.1)
    batch = simulate(
        n_cells=300, fraction=fraction, contamination=contamination, design=design, seed=1
    )
    assert (batch.obs["truth_positive"] == bool(fraction)).all()
    assert np.isfinite(batch.X.data).all()
    assert bool((batch.obs["truth_contamination"] > 0).any()) == bool(contamination)
    markers = batch[:, ["PDX1", "NKX6-1"]].X.sum(axis=1)
    assert (
        (np.asarray(markers).ravel() > 0).mean() > 0.5
        if fraction
        else np.asarray(markers).sum() < 30
    )


def test_seed_decides_everything():
    one, same, other = (simulate(n_cells=100, design=CLEAN, seed=seed) for seed in (5, 5, 6))
    assert (one.X != same.X).nnz == 0
    assert one.obs.equals(same.obs)
    assert (one.X != other.X).nnz > 1_000


def test_the_global_generator_is_left_alone():
    np.random.seed(1)  # noqa: NPY002
    first = np.random.random()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    simulate(n_cells=50, design=CLEAN)
    assert np.random.random() == first  # noqa: NPY002


def test_states_follow_pseudotime(clean):
    time, state = clean.obs["truth_pseudotime"], clean.obs["truth_state"].astype(str)
    positive = clean.obs["truth_positive"]
    assert (positive == (time >= SWITCH)).all()
    assert set(state[positive]) == {"progenitor", "endocrine_progenitor", "beta_like"}
    assert set(state[~positive]) == {"intermediate", "msc_stem", "msc_osteo", "msc_cycling"}
    assert (time[state == "intermediate"] > 0).all()
    assert (time[state.str.startswith("msc")] == 0).all()
    order = time.groupby(state).mean()
    assert (
        order["intermediate"]
        < order["progenitor"]
        < order["endocrine_progenitor"]
        < order["beta_like"]
    )


# --- counts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1_000.0, 6_000.0])
def test_depth_is_the_median_umi(depth):
    batch = simulate(n_cells=1_500, depth=depth, design=CLEAN, seed=2)
    assert np.median(total(batch)) == pytest.approx(depth, rel=0.06)
    assert np.log(total(batch)).std() == pytest.approx(0.4, abs=0.06)


def test_marker_levels_of_positives(clean):
    positive = clean.obs["truth_positive"].to_numpy()
    state = clean.obs["truth_state"].astype(str).to_numpy()
    for gene in ("PDX1", "NKX6-1"):
        assert 2 < level_cp10k(clean, gene, positive) < 4.5
    assert level_cp10k(clean, "INS", state == "progenitor") < 10
    assert level_cp10k(clean, "INS", state == "beta_like") > 300
    assert level_cp10k(clean, "NEUROG3", state == "endocrine_progenitor") == pytest.approx(
        4, rel=0.25
    )
    assert level_cp10k(clean, "NEUROG3", state == "beta_like") == 0


def test_negatives_of_a_clean_batch_have_no_marker_at_all(clean):
    negative = ~clean.obs["truth_positive"].to_numpy()
    assert clean[negative, ["PDX1", "NKX6-1", "INS", "NEUROG3"]].X.nnz == 0


def test_msc_genes_are_lost_and_pancreatic_ones_gained(clean):
    state = clean.obs["truth_state"].astype(str).to_numpy()
    stages = [state == name for name in ("msc_stem", "intermediate", "progenitor")]
    for gene in ("COL1A1", "COL3A1", "VIM", "THY1"):
        falling = [level_cp10k(clean, gene, rows) for rows in stages]
        assert falling == sorted(falling, reverse=True)
    rising = [level_cp10k(clean, "KRT19", rows) for rows in stages]
    assert rising == sorted(rising)


def test_mesenchymal_cells_look_as_published(clean):
    stem = clean[clean.obs["truth_state"] == "msc_stem"]
    assert 0.35 < detected(stem, "VEGFA").mean() < 0.65
    assert detected(stem, "HGF").mean() < 0.05
    assert not detected(stem, "IL10").any()
    assert 0.003 < detected(stem, "CXCR4").mean() < 0.06
    assert min(detected(stem, gene).mean() for gene in ("NT5E", "THY1", "ENG")) > 0.5
    assert detected(stem, "PTPRC").mean() < 0.02
    mito = stem.var_names.str.startswith("MT-")
    assert np.median(
        np.asarray(stem[:, mito].X.sum(axis=1)).ravel() / total(stem)
    ) == pytest.approx(0.025, abs=0.006)


def test_cycling_cells_are_the_ones_that_cycle(clean):
    genes = load_programs(["cell_cycle"])[0].score_genes("human")
    share = np.asarray(clean[:, list(genes)].X.sum(axis=1)).ravel() / total(clean)
    cycling = (clean.obs["truth_state"] == "msc_cycling").to_numpy()
    assert share[cycling].mean() > 5 * share[~cycling].mean()


def test_contamination_varies_around_its_mean(soupy):
    rho = soupy.obs["truth_contamination"]
    assert rho.mean() == pytest.approx(0.2, rel=0.06)
    assert rho.std() / rho.mean() == pytest.approx(0.5, abs=0.06)
    assert rho.max() <= 0.9


def test_ambient_insulin_has_the_amount_that_the_truth_says(soupy):
    msc = soupy.obs["truth_state"].astype(str).str.startswith("msc").to_numpy()
    rho = soupy.obs["truth_contamination"].to_numpy()
    expected = level_cp10k(soupy, "INS", slice(None)) * np.average(
        rho[msc], weights=total(soupy)[msc]
    )
    assert level_cp10k(soupy, "INS", msc) == pytest.approx(expected, rel=0.1)
    high, low = (msc & (rho > 0.3)), (msc & (rho < 0.1))
    assert level_cp10k(soupy, "INS", high) > 3 * level_cp10k(soupy, "INS", low)


def test_islet_soup_puts_insulin_into_a_batch_without_positives():
    own, islet = (
        simulate(
            n_cells=300,
            fraction=0.0,
            contamination=0.1,
            design=BatchDesign(600, nuisance=0, soup_islet_share=share),
        )
        for share in (0.0, 0.5)
    )
    assert own[:, "INS"].X.nnz == 0
    assert level_cp10k(islet, "INS", slice(None)) == pytest.approx(0.1 * 0.5 * 2_500, rel=0.15)


def test_single_marker_cells_have_one_marker():
    batch = simulate(
        n_cells=2_000,
        fraction=0.0,
        contamination=0.0,
        design=BatchDesign(600, nuisance=0.2),
        seed=4,
    )
    state = batch.obs["truth_state"].astype(str)
    for name, has, lacks in (("pdx1_only", "PDX1", "INS"), ("ins_only", "INS", "PDX1")):
        rows = (state == name).to_numpy()
        assert rows.sum() == 200
        assert detected(batch, has)[rows].mean() > 0.5
        assert not detected(batch, lacks)[rows].any()
        assert not detected(batch, "NKX6-1")[rows].any()
    assert batch.obs["truth_pseudotime"].isna().sum() == 400


def test_doublets_are_deeper_and_positive_ones_twice_as_frequent():
    design = BatchDesign(600, doublet_rate=0.2, nuisance=0)
    batch = simulate(n_cells=4_000, fraction=0.1, contamination=0.0, design=design, seed=7)
    double = batch.obs["truth_doublet"].to_numpy()
    positive = batch.obs["truth_positive"].to_numpy()
    assert np.median(total(batch)[double]) > 1.7 * np.median(total(batch)[~double])
    assert double[positive].mean() / double[~positive].mean() == pytest.approx(1.8, abs=0.35)
    mixed = positive & double
    assert level_cp10k(batch, "COL1A1", mixed) > 2 * level_cp10k(
        batch, "COL1A1", positive & ~double
    )


def test_empty_droplets_are_soup():
    design = BatchDesign(600, n_empty=500, nuisance=0)
    batch = simulate(n_cells=500, fraction=0.3, contamination=0.1, design=design)
    empty = (batch.obs["truth_state"] == "empty").to_numpy()
    assert empty.sum() == 500
    assert np.median(total(batch)[empty]) < 0.05 * np.median(total(batch)[~empty])
    assert (batch.obs.loc[empty, "truth_contamination"] == 1).all()
    assert batch.uns["truth"]["n_cells"] == 500
    assert level_cp10k(batch, "COL1A1", empty) == pytest.approx(
        level_cp10k(batch, "COL1A1", ~empty), rel=0.1
    )


def test_donors_differ_and_controls_have_none():
    design = BatchDesign(400, donors=4, controls=1, donor_cv=0.8)
    batch = simulate(n_cells=5_000, fraction=0.2, depth=300, design=design, seed=2)
    samples = batch.uns["truth"]["samples"]
    assert list(samples.index) == ["control1", "sample1", "sample2", "sample3", "sample4"]
    assert samples.loc["control1", ["n_positive", "control"]].tolist() == [0, True]
    assert samples["fraction"].drop("control1").std() > 0.02
    assert batch.uns["truth"]["fraction"] == 0.2
    assert (batch.obs["condition"] == "control").equals(batch.obs["control"].rename("condition"))


def test_without_variation_between_donors_only_chance_remains():
    batch = simulate(
        n_cells=4_000, fraction=0.2, depth=300, design=BatchDesign(400, donors=4, donor_cv=0.0)
    )
    assert batch.uns["truth"]["samples"]["fraction"].std() < 0.025


def _components(batch):
    """Connected component of each cell in a kNN graph of the log-normalised counts."""
    from sklearn.decomposition import PCA
    from sklearn.neighbors import kneighbors_graph

    logged = np.log1p(batch.X.toarray() / total(batch)[:, None] * 1e4)
    graph = kneighbors_graph(PCA(10, random_state=0).fit_transform(logged), 10)
    return sparse.csgraph.connected_components(graph, directed=False)[1]


def test_continuum_is_one_component_and_an_island_is_not():
    on_path, island = (
        simulate(
            n_cells=1_200,
            fraction=0.08,
            contamination=0.02,
            design=BatchDesign(800, nuisance=0, continuum=continuum),
            seed=1,
        )
        for continuum in (True, False)
    )
    main = _components(on_path)
    assert (main == np.bincount(main).argmax()).mean() > 0.99
    parts = _components(island)
    positive = island.obs["truth_positive"].to_numpy()
    assert not set(parts[positive]) & set(parts[~positive])
    assert not (island.obs["truth_state"] == "intermediate").any()


def test_demo():
    drawn = demo(seed=1)
    assert drawn.shape == (3_000, 2_500)
    assert drawn.uns["truth"]["fraction"] == 0.04
    assert list(drawn.uns["truth"]["samples"].index) == [
        "control1",
        "sample1",
        "sample2",
        "sample3",
    ]
    assert drawn.obs["truth_contamination"].mean() == pytest.approx(0.1, rel=0.05)
    assert drawn.obs["truth_doublet"].mean() == pytest.approx(0.04, abs=0.001)
    assert np.median(total(drawn)) == pytest.approx(4_000, rel=0.25)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"fraction": 1.5},
            r"simulate\(\): option 'fraction' is 1.5, but it must lie between 0 and 1",
        ),
        ({"n_cells": 0}, r"option 'n_cells' is 0"),
        ({"depth": float("nan")}, r"option 'depth' is nan"),
        ({"contamination": -0.1}, r"option 'contamination' is -0.1"),
        ({"seed": -1}, r"option 'seed' is -1"),
    ],
)
def test_options_out_of_range_are_refused(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        simulate(**options)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"n_genes": 10},
            r"BatchDesign: option 'n_genes' is 10, but it must lie between 400 and 60000",
        ),
        ({"donors": 0}, r"option 'donors' is 0"),
        ({"doublet_rate": 2}, r"option 'doublet_rate' is 2"),
        ({"species": "pig"}, r"option 'species' is 'pig', but it must be human, mouse or rat"),
    ],
)
def test_designs_out_of_range_are_refused(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        BatchDesign(**options)


# --- titration -------------------------------------------------------------------------------------


def _cells(counts, genes, prefix):
    counts = np.asarray(counts, dtype=np.float32)
    adata = anndata.AnnData(sparse.csr_matrix(counts))
    adata.var_names, adata.obs_names = genes, [f"{prefix}{row}" for row in range(len(counts))]
    return adata


@pytest.fixture(scope="module")
def sides():
    """Positives with markers A and B, negatives without a row for A, other genes shared."""
    rng = np.random.default_rng(0)
    positives = _cells(
        np.hstack([rng.poisson(40, (30, 2)), rng.poisson(20, (30, 100))]),
        ["A", "B", *(f"G{i}" for i in range(100))],
        "p",
    )
    negatives = _cells(rng.poisson(25, (80, 101)), [*(f"G{i}" for i in range(100)), "N"], "n")
    return positives, negatives


@settings(max_examples=25, deadline=None)
@given(
    n_cells=st.integers(1, 200),
    fraction=st.floats(0, 1),
    depth=st.floats(1, 1e5),
    seed=st.integers(0, 2**32),
)
def test_thinning_never_raises_a_count_and_the_fraction_is_exact(
    sides, n_cells, fraction, depth, seed
):
    positives, negatives = sides
    mixed = titrate(
        positives, negatives, n_cells=n_cells, fraction=fraction, depth=depth, seed=seed
    )
    original = anndata.concat([positives, negatives], join="outer", fill_value=0)[
        mixed.obs["truth_source"].to_numpy(), mixed.var_names
    ]
    assert (mixed.X.toarray() <= original.X.toarray()).all()
    assert mixed.obs["truth_positive"].sum() == round(fraction * n_cells)
    assert (mixed.obs["truth_positive"] == mixed.obs["truth_source"].str.startswith("p")).all()


def test_genes_are_the_union_and_absent_ones_are_zero(sides):
    mixed = titrate(*sides, n_cells=100, fraction=0.5)
    assert set(mixed.var_names) == {*sides[0].var_names, *sides[1].var_names}
    positive = mixed.obs["truth_positive"].to_numpy()
    assert mixed[~positive, ["A", "B"]].X.nnz == 0
    assert mixed[positive, "N"].X.nnz == 0
    assert (mixed.X.toarray() == mixed.layers["counts"].toarray()).all()


def test_no_cell_repeats_where_there_are_enough(sides):
    mixed = titrate(*sides, n_cells=80, fraction=0.25)
    assert mixed.obs["truth_source"].is_unique
    assert not titrate(*sides, n_cells=200, fraction=0.25).obs["truth_source"].is_unique


@pytest.mark.parametrize("contamination", [0.0, 0.2])
def test_depth_is_met_with_and_without_soup(sides, contamination):
    mixed = titrate(
        *sides, n_cells=2_000, fraction=0.3, depth=500, contamination=contamination, seed=1
    )
    assert np.median(total(mixed)) == pytest.approx(500, rel=0.04)
    assert np.log(total(mixed)).std() == pytest.approx(0.4, abs=0.05)


@pytest.mark.parametrize("soup_share", [0.0, 0.5, 1.0])
def test_soup_brings_what_it_holds(sides, soup_share):
    mixed = titrate(
        *sides,
        n_cells=3_000,
        fraction=0.0,
        depth=1_000,
        contamination=0.2,
        soup_share=soup_share,
        seed=1,
    )
    counts = sides[0].X.toarray()
    share_of_a = counts[:, 0].sum() / counts.sum()
    rho = np.average(mixed.obs["truth_contamination"], weights=total(mixed))
    assert mixed[:, "A"].X.sum() / mixed.X.sum() == pytest.approx(
        rho * soup_share * share_of_a, rel=0.08
    )


def test_titration_follows_its_seed_and_leaves_its_input(sides):
    before = [side.X.copy() for side in sides]
    one, same, other = (
        titrate(*sides, n_cells=60, contamination=0.1, seed=seed) for seed in (1, 1, 2)
    )
    assert (one.X != same.X).nnz == 0
    assert (one.X != other.X).nnz > 0
    assert all((kept != side.X).nnz == 0 for side, kept in zip(sides, before, strict=True))


def test_dense_input_gives_the_same(sides):
    dense = [anndata.AnnData(side.X.toarray(), obs=side.obs, var=side.var) for side in sides]
    assert (
        titrate(*sides, contamination=0.1, n_cells=50).X
        != titrate(*dense, contamination=0.1, n_cells=50).X
    ).nnz == 0


def test_one_side_may_be_empty_where_it_is_not_needed(sides):
    positives, negatives = sides
    assert (
        not titrate(positives[:0], negatives, n_cells=20, fraction=0.0).obs["truth_positive"].any()
    )
    with pytest.raises(
        InputError, match=r"titrate\(\): 10 positives are needed, but the object has no cells"
    ):
        titrate(positives[:0], negatives, n_cells=20, fraction=0.5)


@pytest.mark.parametrize("value", [0.5, -1.0, float("nan")])
def test_values_that_are_no_counts_are_refused(sides, value):
    positives, negatives = sides
    spoiled = positives.copy()
    spoiled.X.data[3] = value
    with pytest.raises(InputError, match=r"X of the positives has values that are not counts"):
        titrate(spoiled, negatives)


def test_repeated_genes_are_refused(sides):
    positives, negatives = sides
    doubled = negatives.copy()
    doubled.var_names = ["G0", *doubled.var_names[:-1]]
    with pytest.raises(InputError, match=r"the negatives have gene 'G0' more than once"):
        titrate(positives, doubled)


def test_titration_options_are_checked(sides):
    with pytest.raises(ConfigError, match=r"titrate\(\): option 'soup_share' is 2"):
        titrate(*sides, soup_share=2)


def test_paired_cells_add_up(sides):
    single = titrate(*sides, n_cells=500, fraction=0.2, depth=300, contamination=0.1)
    paired = pair_cells(single, rate=0.3, seed=1)
    double = paired.obs["truth_doublet"].to_numpy()
    assert double.sum() == 150
    assert (paired.X[~double] != single.X[~double]).nnz == 0
    assert ((paired.X - single.X).toarray() >= 0).all()
    assert (total(paired)[double] > total(single)[double]).all()
    assert (paired.obs["truth_positive"] >= single.obs["truth_positive"]).all()
    assert (
        paired.obs["truth_state"].astype(str)
        == np.where(paired.obs["truth_positive"], "positive", "negative")
    ).all()
    assert paired.uns["truth"]["n_positive"] == paired.obs["truth_positive"].sum() > 100


def test_no_pairs_change_nothing(sides):
    single = titrate(*sides, n_cells=50)
    paired = pair_cells(single, rate=0.0)
    assert (paired.X != single.X).nnz == 0
    assert not paired.obs["truth_doublet"].any()
    with pytest.raises(ConfigError, match=r"pair_cells\(\): option 'rate' is 1.1"):
        pair_cells(single, rate=1.1)


def test_single_markers_can_be_made_from_positives(sides):
    lone = keep_markers(sides[0], keep=["A"], markers=["A", "B"])
    assert lone[:, "B"].X.nnz == 0
    others = [gene for gene in lone.var_names if gene != "B"]
    assert (lone[:, others].X != sides[0][:, others].X).nnz == 0
    assert sides[0][:, "B"].X.nnz > 0
    with pytest.raises(InputError, match=r"keep_markers\(\): the object has no gene PDX1"):
        keep_markers(sides[0], keep=["PDX1"], markers=["A"])


def test_real_cells_mix(shared_data):
    islet = anndata.read_h5ad(shared_data / "islet_mouse.h5ad")
    stroma = anndata.read_h5ad(shared_data / "msc_mouse_bone_marrow.h5ad")
    beta = islet[islet.obs["cell_type"] == "beta"]
    mixed = titrate(beta, stroma, n_cells=1_000, fraction=0.05, depth=4_000)
    positive = mixed.obs["truth_positive"].to_numpy()
    assert positive.sum() == 50
    assert mixed[~positive, ["Pdx1", "Ins1", "Ins2", "Neurog3"]].X.nnz == 0
    assert (mixed[positive, "Ins2"].X.toarray() > 0).mean() > 0.95
    assert mixed[positive, "Pdx1"].X.nnz > 5


def test_droplets_count_their_cells_and_their_positive_cells():
    batch = simulate(n_cells=400, fraction=0.3, seed=3)
    paired = pair_cells(batch, rate=0.25, seed=3)
    assert paired.obs["truth_n_cells"].sum() == 500
    assert set(paired.obs["truth_n_positive"]) <= {0, 1, 2}
    assert ((paired.obs["truth_n_positive"] > 0) == paired.obs["truth_positive"]).all()
    assert (paired.obs["truth_n_positive"] <= paired.obs["truth_n_cells"]).all()
