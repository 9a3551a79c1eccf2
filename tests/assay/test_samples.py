"""samples: together and alone, in any order, and put together again from the record."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from stated import case_of

from scdiff.assay.calls import call_cells
from scdiff.assay.criticism import criticise
from scdiff.assay.fit import fit_at, fit_mixture, profile_interval, start_of
from scdiff.assay.mixture import Soup
from scdiff.assay.priors import FINE_GAIN, MOST_REACH, N_NODES, NEAR_REACH
from scdiff.assay.samples import FEWEST_CELLS_FOR_FIT, call_samples, fit_from_record, fit_record
from scdiff.assay.table import tabulate

PARTS = ("evidence", "probability", "marker_probability", "positive")


@pytest.fixture(scope="module")
def batch(model, truth, draw):
    """Counts, depth and sample of 2,400 cells: none, 5 % and 20 % positive."""
    drawn = [
        draw(truth(p, model), model, n_cells=800, depth=8_000, seed=seed)
        for seed, p in enumerate((0.0, 0.05, 0.2))
    ]
    return (
        np.concatenate([d.counts for d in drawn]),
        np.concatenate([d.depth for d in drawn]),
        np.repeat(["a", "b", "c"], 800),
    )


@pytest.fixture(scope="module")
def called(batch, model):
    """All three called together, none of them a control."""
    return call_samples(*batch, model)


def same_calls(one, other):
    for name in PARTS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_one_sample_is_the_pooled_fit(batch, model):
    counts, depth, _ = batch
    called = call_samples(counts, depth, ["only"] * len(depth), model)
    assert list(called.fits) == ["all", "only"]
    assert called.fits["only"] is called.fits["all"]
    fit = fit_mixture(tabulate(counts, depth), model)
    np.testing.assert_array_equal(called.fits["all"].theta, fit.theta)
    same_calls(called.calls, call_cells(fit))


def test_each_sample_gets_its_own_fraction(called):
    shares = [called.fits[name].prevalence for name in "abc"]
    np.testing.assert_allclose(shares, [0.0, 0.05, 0.2], atol=0.02)
    assert list(called.fits) == ["all", "a", "b", "c"]
    assert called.fits["all"].prevalence == pytest.approx(np.mean(shares), abs=0.01)


def test_each_cell_is_called_by_the_fit_of_its_sample(called, batch):
    for name in "abc":
        cells = batch[2] == name
        alone = call_cells(called.fits[name])
        for part in PARTS:
            np.testing.assert_array_equal(getattr(called.calls, part)[cells], getattr(alone, part))


@pytest.mark.slow
def test_cells_in_another_order_get_the_same_bits(called, batch, model):
    order = np.random.default_rng(0).permutation(len(batch[2]))
    other = call_samples(*(part[order] for part in batch), model)
    for name, fit in called.fits.items():
        np.testing.assert_array_equal(fit.theta, other.fits[name].theta)
    for part in PARTS:
        np.testing.assert_array_equal(
            getattr(called.calls, part)[order], getattr(other.calls, part)
        )


@pytest.mark.slow
def test_names_of_samples_do_not_matter(called, batch, model):
    counts, depth, samples = batch
    renamed = np.array([{"a": "z", "b": "y", "c": "x"}[name] for name in samples])
    same_calls(called.calls, call_samples(counts, depth, renamed, model).calls)


def test_a_sample_alone_is_called_much_as_in_company(called, batch, model):
    counts, depth, samples = batch
    for name in "abc":
        cells = samples == name
        alone = call_samples(counts[cells], depth[cells], samples[cells], model)
        assert (alone.calls.positive == called.calls.positive[cells]).mean() > 0.99
        assert alone.fits[name].prevalence == pytest.approx(called.fits[name].prevalence, abs=0.01)


@pytest.mark.slow
def test_controls_stay_out_of_the_pooled_fit(batch, model):
    counts, depth, samples = batch
    treated = samples != "a"
    with_control = call_samples(counts, depth, samples, model, control=~treated)
    without = call_samples(counts[treated], depth[treated], samples[treated], model)
    assert with_control.fits["all"].table.n_cells == treated.sum()
    np.testing.assert_array_equal(with_control.fits["all"].theta, without.fits["all"].theta)
    for part in PARTS:
        np.testing.assert_array_equal(
            getattr(with_control.calls, part)[treated], getattr(without.calls, part)
        )
    assert with_control.fits["a"].prevalence < 0.01


@pytest.mark.slow
def test_controls_alone_are_the_pooled_fit(batch, model):
    counts, depth, samples = batch
    same_calls(
        call_samples(counts, depth, samples, model, control=np.ones(len(depth), dtype=bool)).calls,
        call_samples(counts, depth, samples, model).calls,
    )


@pytest.mark.slow
@pytest.mark.parametrize("n_cells", [1, FEWEST_CELLS_FOR_FIT - 1])
def test_a_tiny_sample_takes_the_pooled_parameters(batch, model, n_cells):
    counts, depth, _ = batch
    samples = np.array(["tiny"] * n_cells + ["large"] * (len(depth) - n_cells))
    called = call_samples(counts, depth, samples, model)
    np.testing.assert_array_equal(called.fits["tiny"].theta, called.fits["all"].theta)
    assert called.fits["tiny"].evidence_of_positives == 0
    assert called.fits["tiny"].table.n_cells == n_cells


def test_a_record_puts_the_fit_together_again(called, batch):
    counts, depth, samples = batch
    for name, fit in called.fits.items():
        cells = samples == name if name != "all" else np.ones(len(samples), dtype=bool)
        again = fit_from_record(fit_record(fit), counts[cells], depth[cells])
        np.testing.assert_array_equal(again.theta, fit.theta)
        assert again.model == fit.model
        assert (again.value, again.prevalence, again.evidence_of_positives) == (
            fit.value,
            fit.prevalence,
            fit.evidence_of_positives,
        )
    assert profile_interval(again) == profile_interval(fit)


def test_a_record_holds_plain_numbers_only(called):
    record = fit_record(called.fits["a"])
    assert {type(value) for value in record.values()} <= {float, int}
    assert record["min_markers"] == 2
    n_theta = len(called.fits["a"].model.prior_mean)
    assert n_theta == 18 + N_NODES + 8
    assert sum(key.startswith("theta_") for key in record) == n_theta
    assert sum(key.startswith("level_") for key in record) == 3


@pytest.mark.slow
def test_each_sample_takes_its_own_soup_and_keeps_it_in_the_record(batch, model):
    counts, depth, samples = batch
    soups = {"all": Soup((20.0, 30.0, 9000.0), 2e6), "b": Soup((10.0, 15.0, 4000.0), 1e6)}
    called = call_samples(counts, depth, samples, model, soups=soups)
    assert {name: fit.model.soup for name, fit in called.fits.items()} == {
        "all": soups["all"],
        "a": None,
        "b": soups["b"],
        "c": None,
    }
    for name in ("a", "b"):
        cells = samples == name
        again = fit_from_record(fit_record(called.fits[name]), counts[cells], depth[cells])
        assert again.model == called.fits[name].model
        assert again.value == pytest.approx(called.fits[name].value)


@pytest.mark.parametrize("reach", [0.0, NEAR_REACH, 0.9])
def test_a_record_keeps_how_far_contamination_may_reach(batch, model, reach):
    counts, depth, samples = batch
    cells = samples == "b"
    known = replace(model, reach=reach)
    table = tabulate(counts[cells], depth[cells])
    fit = fit_at(table, known, start_of(table, known, "rare"), evidence_of_positives=1.0)
    again = fit_from_record(fit_record(fit), counts[cells], depth[cells])
    assert again.model == fit.model
    assert again.value == fit.value


def two_samples(draw, clean, dirty, model):
    """One cell in ten positive in a clean sample, none in a dirty one: alone, and together."""
    both = enumerate((clean, dirty), start=3)
    drawn = [draw(*parts, n_cells=800, depth=8_000, seed=seed) for seed, parts in both]
    counts, depth = (np.concatenate(pair) for pair in zip(*(d[:2] for d in drawn), strict=True))
    alone = fit_mixture(tabulate(*drawn[0][:2]), model)
    return drawn, alone, call_samples(counts, depth, np.repeat(["clean", "dirty"], 800), model).fits


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [0.05, 0.15])
def test_a_dirty_sample_does_not_make_the_others_worse(model, truth, draw, ratio):
    """Beside its own starts a sample tries the pooled optimum, which can only be better.

    The contamination of the dirty sample may be read as expression, but its interval holds 0.
    """
    clean, dirty = (truth(0.1, model), model), (truth(0.0, model, ratio=ratio), model)
    drawn, alone, fits = two_samples(draw, clean, dirty, model)
    assert fits["clean"].value <= alone.value + 10 * FINE_GAIN
    assert fits["clean"].prevalence == pytest.approx(alone.prevalence, abs=0.01)
    assert fits["clean"].prevalence == pytest.approx(drawn[0].positive.mean(), abs=0.02)
    assert profile_interval(fits["dirty"])[0] == 0


@pytest.mark.slow
def test_how_far_contamination_reaches_in_one_sample_says_nothing_of_another(model, truth, draw):
    """The dirty one holds soup up to the typical level; the clean one is fitted as it is alone."""
    far = replace(model, reach=MOST_REACH)
    clean, dirty = (truth(0.1, model), model), (truth(0.0, far, ratio=0.5), far)
    _, alone, fits = two_samples(draw, clean, dirty, model)
    dirty = fits["dirty"]  # read as far-reaching soup, or at least not believed
    findings = criticise(case_of(dirty)).values()
    assert dirty.model.reach == MOST_REACH or not all(found.passed for found in findings)
    assert fits["clean"].model.reach == alone.model.reach < MOST_REACH
    assert fits["clean"].prevalence == pytest.approx(alone.prevalence, abs=0.01)
