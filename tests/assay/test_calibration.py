"""calibration and blanks: p-values of cells, what the two nulls say, what the record holds."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
from scipy import sparse

from scdiff.assay import calibration as module
from scdiff.assay.blanks import background_null, call_blanks
from scdiff.assay.calibration import Batch, calibrate, calibration_record
from scdiff.assay.calls import call_cells
from scdiff.assay.empirical import GROUPS, NOMINAL
from scdiff.assay.fit import fit_mixture
from scdiff.assay.matched import draw_sets
from scdiff.assay.mixture import Model
from scdiff.assay.table import tabulate
from scdiff.errors import InputError

LEVEL = (2e-3, 2e-3, 2e-3)
FIVE = int(np.flatnonzero(NOMINAL == 0.05)[0])
N_CELLS, N_GENES, N_POSITIVE = 1_200, 2_000, 60
MARKERS = [0, 1, 2]


@pytest.fixture(scope="module")
def batch():
    """Independent genes; 60 cells express three markers that others see as soup only."""
    rng = np.random.default_rng(0)
    depth = rng.lognormal(np.log(4_000), 0.4, N_CELLS)
    rate = rng.lognormal(0, 1.8, N_GENES)
    rates = np.tile(rate / rate.sum(), (N_CELLS, 1)) * rng.gamma(4, 0.25, (N_CELLS, N_GENES))
    rates[:, MARKERS] = 2e-5
    rates[:N_POSITIVE, MARKERS] = 2e-3
    counts = sparse.csr_matrix(rng.poisson(rates * depth[:, None]).astype(np.float32))
    return Batch(counts, [f"c{n}" for n in range(N_CELLS)], [f"g{n}" for n in range(N_GENES)])


@pytest.fixture(scope="module")
def fit(batch):
    return fit_mixture(tabulate(batch.csr[:, MARKERS].toarray(), batch.depth), Model(LEVEL, 2))


def run(batch, fit, **options):
    columns = [int(np.flatnonzero(np.asarray(batch.genes) == f"g{n}")[0]) for n in MARKERS]
    return calibrate(
        batch,
        batch.csr[:, columns].toarray(),
        fit,
        excluded=columns,
        **{"n_sets": 200, "n_blanks": 4} | options,
    )


@pytest.fixture(scope="module")
def calibration(batch, fit):
    return run(batch, fit)


def test_cells_that_express_the_programme_have_small_p_values_and_others_do_not(calibration):
    assert np.median(calibration.p_value[:N_POSITIVE]) < 0.001
    others = calibration.p_value[N_POSITIVE:]
    assert np.median(others) > 0.5  # soup only, where genes as abundant are expressed everywhere
    assert (others < 0.001).mean() < 0.005
    assert ((calibration.p_value > 0) & (calibration.p_value <= 1)).all()


def test_the_rate_of_both_held_out_nulls_is_nominal(calibration):
    for null in (calibration.matched, calibration.background):
        assert null.shape == (len(NOMINAL), len(GROUPS))
        assert null[FIVE, 0] == pytest.approx(0.05, abs=0.005)
        assert null[FIVE, 1:] == pytest.approx(np.full(4, 0.05), abs=0.01)
        assert null[-1] == pytest.approx(np.ones(5))
    assert (calibration.programme[FIVE] > 0.05).any()
    assert not [note for note in calibration.notes if "nominal" in note]
    assert calibration.n_off == 0


def test_the_share_of_the_programme_is_that_of_its_p_values(calibration):
    seen = [(calibration.p_value <= level).mean() for level in NOMINAL]
    np.testing.assert_allclose(calibration.programme[:, 0], seen, atol=0.02)


def test_same_p_values_whatever_the_order(batch, fit, calibration):
    rng = np.random.default_rng(1)
    cells, genes = rng.permutation(N_CELLS), rng.permutation(N_GENES)
    moved = run(
        Batch(
            batch.csr[cells][:, genes],
            np.asarray(batch.cells)[cells],
            np.asarray(batch.genes)[genes],
        ),
        fit,
    )
    assert np.array_equal(moved.p_value, calibration.p_value[cells])
    for name in ("matched", "background", "programme", "blank", "fold"):
        assert np.array_equal(getattr(moved, name), getattr(calibration, name), equal_nan=True), (
            name
        )


def test_seeds_change_the_sets_but_not_the_message(batch, fit, calibration):
    other = run(batch, fit, seed=1, n_blanks=0)
    assert not np.array_equal(other.p_value, calibration.p_value)
    assert np.corrcoef(np.log(other.p_value[:200]), np.log(calibration.p_value[:200]))[0, 1] > 0.8
    assert np.isnan(other.limit_of_blank)


def test_a_subset_of_the_cells_makes_the_same_null(batch, fit, calibration, monkeypatch):
    monkeypatch.setattr(module, "MOST_CELLS", 600)
    fewer = run(batch, fit, n_blanks=0)
    assert fewer.matched[FIVE, 0] == pytest.approx(0.05, abs=0.01)
    np.testing.assert_allclose(fewer.programme[:, 0], calibration.programme[:, 0], atol=0.03)


@pytest.mark.parametrize("total", [60, 600])
def test_blank_is_what_the_caller_calls_in_null_sets_by_a_plain_loop(batch, fit, total):
    sets = draw_sets(
        batch.totals, batch.squares, batch.genes, [total] * 3, excluded=MARKERS, n_sets=4
    ).genes
    cells = np.arange(0, N_CELLS, 3)
    fractions = call_blanks(batch.csr[cells], batch.depth[cells], sets, fit.model)
    expected = [
        call_cells(
            fit_mixture(tabulate(batch.csr[cells][:, row].toarray(), batch.depth[cells]), fit.model)
        )
        for row in sets
    ]
    assert fractions.tolist() == [calls.positive.mean() for calls in expected]
    assert fractions.max() < 0.01
    assert np.array_equal(
        fractions, call_blanks(batch.csr[cells[::-1]], batch.depth[cells[::-1]], sets, fit.model)
    )


def test_shares_of_the_blank_sets_make_up_all_of_them(batch, fit):
    markers = batch.csr[:, MARKERS].toarray()
    options = {"excluded": MARKERS, "n_sets": 20, "n_blanks": 5}
    whole = module.blank_fractions(batch, markers, fit.model, **options)
    parts = [
        module.blank_fractions(batch, markers, fit.model, **options, share=(number, 2))
        for number in range(2)
    ]
    assert len(whole) == 5
    assert [whole[::2].tolist(), whole[1::2].tolist()] == [part.tolist() for part in parts]


def test_a_batch_of_the_drawn_cells_only_gives_the_calibration_of_all(batch, fit, monkeypatch):
    monkeypatch.setattr(module, "MOST_CELLS", 150)
    monkeypatch.setattr(module, "BLANK_CELLS", 100)
    markers = batch.csr[:, MARKERS].toarray()
    whole = calibrate(batch, markers, fit, excluded=MARKERS, n_sets=20, n_blanks=4)
    drawn = batch.drawn
    assert len(drawn) < N_CELLS
    part = Batch(
        batch.csr[drawn],
        batch.cells,
        batch.genes,
        sums=(batch.depth, batch.totals, batch.squares),
        rows=drawn,
    )
    found = calibrate(part, markers, fit, excluded=MARKERS, n_sets=20, n_blanks=4)
    np.testing.assert_array_equal(found.p_value, whole.p_value)
    np.testing.assert_array_equal(found.blank, whole.blank)


def test_limit_of_blank_is_the_highest_but_one_in_twenty(calibration):
    assert calibration.limit_of_blank == calibration.blank.max()


def test_background_cells_are_drawn_from_the_soup(fit, batch):
    null = background_null(fit, batch.depth)
    assert null.tally.sum(axis=(1, 2)) == pytest.approx([100_000] * 2, rel=0.02)
    above_even = null.tally[:, :, null.tally.shape[2] // 2 :].sum() / null.tally.sum()
    assert above_even < 0.001
    assert np.array_equal(null.tally, background_null(fit, batch.depth[::-1]).tally)


def test_notes_say_where_the_rate_is_off_and_which_abundance_is_not_met():
    share = np.full((len(NOMINAL), 5), 0.05)
    share[FIVE, 2] = 0.081
    assert module._note_rates("matched null sets", share) == (
        "At nominal 5 % the rate among held-out matched null sets is 8.1 % (quartile 2): p-values of this batch are incorrect.",
    )
    assert module._note_rates("matched null sets", np.full((len(NOMINAL), 5), np.nan)) == ()
    assert "4.7-fold" in module._note_far_genes(np.array([1.2, 4.7]))[0]
    assert module._note_far_genes(np.array([1.2])) == ()


def test_record_survives_an_h5ad_file(calibration, tmp_path):
    record = calibration_record(calibration)
    assert list(record["rates"].index) == ["matched", "background", "programme"]
    assert record["rates"].loc["matched", "overall"] == calibration.matched[FIVE, 0]
    assert len(record["qq"]) == 3 * len(NOMINAL)
    adata = ad.AnnData(np.ones((2, 2)), uns={"calibration": record})
    adata.write_h5ad(tmp_path / "a.h5ad")
    back = ad.read_h5ad(tmp_path / "a.h5ad").uns["calibration"]
    assert np.array_equal(back["qq"]["overall"], record["qq"]["overall"])
    assert back["limit_of_blank"] == calibration.limit_of_blank
    assert back["blank"]["fraction"].tolist() == calibration.blank.tolist()


def test_too_few_genes_are_refused(batch, fit):
    small = Batch(batch.csr[:, :6], batch.cells, batch.genes[:6])
    with pytest.raises(InputError, match="6 genes are too few for null marker sets"):
        run(small, fit)


@pytest.mark.parametrize("name", ["islet_mouse", "pbmc_facs_human", "msc_mouse_bone_marrow"])
def test_held_out_sets_of_real_batches_are_at_nominal_5_percent(shared_data, name):
    adata = ad.read_h5ad(shared_data / f"{name}.h5ad")
    batch = Batch(adata.X, adata.obs_names, adata.var_names)
    genes = np.random.default_rng(0).choice(np.flatnonzero(batch.totals >= 10), 3, replace=False)
    counts = np.asarray(batch.csr[:, genes].toarray(), dtype=float)
    sets = draw_sets(batch.totals, batch.squares, batch.genes, counts.sum(axis=0), excluded=genes)
    share = module.tally_null_sets(batch, counts, sets, 2)[0].held_out[FIVE]
    assert share[0] == pytest.approx(0.05, abs=0.005)
    assert share[1:] == pytest.approx(np.full(4, 0.05), abs=0.01)
