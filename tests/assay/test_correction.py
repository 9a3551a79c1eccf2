"""correction: Rogan and Gladen by hand, coverage by simulation, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scdiff.assay.correction import rogan_gladen
from scdiff.errors import InputError

METHODS = ["propagated", "lang-reiczigel"]


@settings(max_examples=60, deadline=None)
@given(
    called=st.integers(0, 2000),
    false=st.integers(0, 100),
    missed=st.integers(0, 200),
    method=st.sampled_from(METHODS),
)
def test_the_value_is_the_formula_within_0_and_1_and_inside_its_interval(
    called, false, missed, method
):
    found = rogan_gladen((called, 2000), (false, 1000), (500 - missed, 500), method=method)
    rate, sensitivity = false / 1000, 1 - missed / 500
    assert found.prevalence == pytest.approx(
        np.clip((called / 2000 - rate) / (sensitivity - rate), 0, 1)
    )
    assert 0 <= found.low <= found.prevalence <= found.high <= 1
    assert (found.false_rate, found.sensitivity) == pytest.approx((rate, sensitivity))


@pytest.mark.parametrize("method", METHODS)
def test_more_control_cells_narrow_the_interval(method):
    widths = [
        (r := rogan_gladen((300, 3000), (n // 100, n), (n * 4 // 5, n), method=method)).high - r.low
        for n in (100, 1000, 10_000)
    ]
    assert (np.diff(widths) < 0).all()


def test_lang_and_reiczigel_by_hand():
    z = 1.959963984540054
    n, called = 1000 + z * z, (60 + z * z / 2) / (1000 + z * z)
    se, sp = 181 / 202, 498 / 502
    value = (called + sp - 1) / (se + sp - 1)
    shift = 2 * z * z * (value * se * (1 - se) / 202 - (1 - value) * sp * (1 - sp) / 502)
    spread = np.sqrt(
        called * (1 - called) / n
        + se * (1 - se) / 202 * value**2
        + sp * (1 - sp) / 502 * (1 - value) ** 2
    ) / (se + sp - 1)
    found = rogan_gladen((60, 1000), (3, 500), (180, 200), method="lang-reiczigel")
    assert (found.low, found.high) == pytest.approx(
        (value + shift - z * spread, value + shift + z * spread)
    )


def test_the_same_seed_gives_the_same_interval():
    one, other, third = (
        rogan_gladen((60, 1000), (3, 500), (180, 200), seed=seed) for seed in (1, 1, 2)
    )
    assert one == other
    assert one != third


def test_controls_that_cannot_be_told_apart_are_refused():
    with pytest.raises(
        InputError,
        match=r"the positive control is called in 10.00% of its cells and the negative control in 20.00%",
    ):
        rogan_gladen((5, 100), (20, 100), (10, 100))


@pytest.mark.parametrize(
    ("place", "name"), list(enumerate(["sample", "negative control", "positive control"]))
)
def test_a_sample_without_cells_is_refused(place, name):
    pairs = [(5, 100), (1, 100), (90, 100)]
    pairs[place] = (0, 0)
    with pytest.raises(InputError, match=f"the {name} has no cells left"):
        rogan_gladen(*pairs)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("truth", [0.0, 0.01, 0.2, 1.0])
@pytest.mark.parametrize(("false_rate", "sensitivity"), [(0.0005, 0.5), (0.01, 0.9)])
def test_the_interval_covers(method, truth, false_rate, sensitivity):
    rng, hits, n_draws = np.random.default_rng(3), 0, 150
    for _ in range(n_draws):
        counts = rng.binomial(
            [4000, 2000, 300],
            [truth * sensitivity + (1 - truth) * false_rate, false_rate, sensitivity],
        )
        found = rogan_gladen((counts[0], 4000), (counts[1], 2000), (counts[2], 300), method=method)
        hits += found.low <= truth <= found.high
    assert hits / n_draws > 0.9
