"""dose: laws of the arithmetic, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scdiff.assay.dose import Dose, estimate_cells, upper_bound
from scdiff.errors import InputError

NAN = float("nan")
VERDICTS = ["quantified", "detected", "not detected", "not measurable"]
share = st.floats(0.0, 1.0)


def expected(dose, verdict="quantified", value=0.04, low=0.03, high=0.05, blank=0.001):
    return estimate_cells([value], [low], [high], blank=[blank], verdicts=[verdict], dose=dose)


@settings(max_examples=60, deadline=None)
@given(
    ends=st.lists(share, min_size=3, max_size=3),
    factor=st.floats(0.01, 100.0),
    verdict=st.sampled_from(VERDICTS),
)
def test_the_numbers_scale_with_the_dose(ends, factor, verdict):
    low, value, high = sorted(ends)
    one, other = (
        expected(Dose(cells), verdict, value, low, high) for cells in (80e6, 80e6 * factor)
    )
    for name in ("cells", "low", "high"):
        assert getattr(other, name) == pytest.approx(
            factor * getattr(one, name), rel=1e-12, nan_ok=True
        )


@settings(max_examples=40, deadline=None)
@given(ends=st.lists(share, min_size=3, max_size=3), viability=st.floats(0.01, 1.0))
def test_viability_is_a_smaller_dose_and_no_number_exceeds_it(ends, viability):
    low, value, high = sorted(ends)
    dose = Dose(80e6, viability=viability)
    found = expected(dose, value=value, low=low, high=high)
    assert found.high[0] <= dose.viable_cells
    assert found.low[0] <= found.cells[0] <= found.high[0]
    assert found.cells == pytest.approx(
        expected(Dose(80e6 * viability), value=value, low=low, high=high).cells
    )


def test_a_found_fraction_gives_the_number_with_its_interval():
    found = expected(Dose(80e6))
    assert (found.low[0], found.cells[0], found.high[0]) == pytest.approx((2.4e6, 3.2e6, 4.0e6))
    assert not found.by_blank[0]


@pytest.mark.parametrize(
    ("blank", "bound", "by_blank"), [(0.0, 0.001, False), (0.003, 0.003, True), (NAN, 0.001, False)]
)
def test_not_detected_gives_the_larger_bound_alone_and_says_which(blank, bound, by_blank):
    found = expected(Dose(1e6), "not detected", 0.0005, 0.0, 0.001, blank)
    assert np.isnan([found.cells[0], found.low[0]]).all()
    assert found.high[0] == pytest.approx(1e6 * bound)
    assert bool(found.by_blank[0]) is by_blank
    assert upper_bound([0.001], [blank])[0] == [bound]


def test_a_blank_does_not_touch_what_was_found():
    found = expected(Dose(1e6), "detected", 0.0005, 0.0, 0.001, 0.5)
    assert (found.high[0], bool(found.by_blank[0])) == (1000.0, False)


def test_not_measurable_stays_without_a_number():
    found = expected(Dose(1e6), "not measurable", NAN, NAN, NAN, NAN)
    assert np.isnan([found.cells[0], found.low[0], found.high[0]]).all()


def test_the_order_of_the_rows_changes_nothing():
    columns = np.random.default_rng(0).random((3, 8))
    columns.sort(axis=0)
    verdicts, blank, order = (
        np.array(VERDICTS * 2),
        np.linspace(0, 1, 8),
        np.random.default_rng(1).permutation(8),
    )
    one = estimate_cells(
        columns[1], columns[0], columns[2], blank=blank, verdicts=verdicts, dose=Dose()
    )
    low, value, high = columns[:, order]
    other = estimate_cells(
        value, low, high, blank=blank[order], verdicts=verdicts[order], dose=Dose()
    )
    assert other.cells.tolist() == pytest.approx(one.cells[order].tolist(), nan_ok=True)
    assert other.high.tolist() == pytest.approx(one.high[order].tolist(), nan_ok=True)


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (lambda: Dose(0), r"the dose is 0 cells, but it must be more than 0"),
        (lambda: Dose(float("inf")), r"the dose is inf cells"),
        (
            lambda: Dose(viability=0.0),
            r"the viability is 0, but it is a share of the cells, above 0 to 1",
        ),
        (lambda: Dose(viability=95), r"the viability is 95, but it is a share"),
        (lambda: Dose(weight_kg=0.0), r"the body weight is 0 kg, but it must be more than 0"),
        (lambda: Dose(weight_kg=NAN), r"the body weight is nan kg"),
    ],
)
def test_a_dose_out_of_range_is_refused_in_one_sentence(made, sentence):
    with pytest.raises(InputError, match=sentence):
        made()


@pytest.mark.parametrize("seed", range(4))
def test_the_interval_covers_the_cells_of_a_dose_that_is_really_drawn(seed):
    """Sample and dose are drawn from one batch; the interval of the sample holds the dose's number as often as it should."""
    from scdiff.assay.intervals import clopper_pearson

    rng, truth, hits = np.random.default_rng(seed), 0.02, 0
    for _ in range(200):
        called, given_cells = rng.binomial(4000, truth), rng.binomial(80_000_000, truth)
        low, high = clopper_pearson(called, 4000)
        found = expected(Dose(), value=called / 4000, low=low, high=high)
        hits += found.low[0] <= given_cells <= found.high[0]
    assert hits / 200 >= 0.92
