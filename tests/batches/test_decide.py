"""One figure, one decision: truth tables, laws, and the rate of wrong decisions at the limit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scdiff.assay.intervals import clopper_pearson
from scdiff.batches.decide import Figure, Limits, decide, worst

MOST, LEAST = Limits(at_most=2.0), Limits(at_least=2.0)


@pytest.mark.parametrize(
    ("figure", "limits", "expected"),
    [
        (Figure(1, 0.5, 2.0, lod=0.1), MOST, "PASS"),
        (Figure(1, 0.5, 2.0001, lod=0.1), MOST, "CANNOT TELL"),
        (Figure(3, 2.0, 4, lod=0.1), MOST, "CANNOT TELL"),
        (Figure(3, 2.0001, 4, lod=0.1), MOST, "FAIL"),
        (Figure(3, 2.0, 4, lod=0.1), LEAST, "PASS"),
        (Figure(3, 1.9999, 4, lod=0.1), LEAST, "CANNOT TELL"),
        (Figure(1, 0.5, 1.9999, lod=0.1), LEAST, "FAIL"),
        (Figure(0, 0, 0.1, lod=2.0001), MOST, "CANNOT TELL"),
        (Figure(0, 0, 0.1, lod=2.0), MOST, "PASS"),
        (Figure(9, 5, 12, lod=3), LEAST, "CANNOT TELL"),
        (Figure(0, 0, 0.1, lod=3), LEAST, "CANNOT TELL"),
        (Figure(9, 5, 12, lod=3), MOST, "FAIL"),
        (Figure(1, 0.5, 1.5, lod=0.1, verdict="inconclusive"), MOST, "CANNOT TELL"),
        (Figure(1, 0.5, 1.5, lod=0.1, verdict="not measurable"), MOST, "CANNOT TELL"),
        (Figure(), MOST, "CANNOT TELL"),
        (Figure(1, math.nan, 1.5), MOST, "CANNOT TELL"),
        (Figure(1, 0, 9), Limits(at_most=2, by="estimate"), "PASS"),
        (Figure(2.1, 0, 9), Limits(at_most=2, by="estimate"), "FAIL"),
        (Figure(1.5, 1.2, 1.8), Limits(1.0, 2.0), "PASS"),
        (Figure(1.5, 0.2, 1.8), Limits(1.0, 2.0), "CANNOT TELL"),
        (Figure(3, 2.2, 3.8), Limits(1.0, 2.0), "FAIL"),
        (Figure(text="detected"), Limits(allowed=["not detected"]), "FAIL"),
        (Figure(text="not detected"), Limits(allowed=["not detected"]), "PASS"),
        (Figure(text="inconclusive"), Limits(allowed=["not detected"]), "CANNOT TELL"),
        (Figure(), Limits(allowed=["not detected"]), "CANNOT TELL"),
    ],
)
def test_the_end_that_protects_the_patient_decides(
    figure: Figure, limits: Limits, expected: str
) -> None:
    assert decide(figure, limits)[0] == expected


def test_the_worst_decision_decides() -> None:
    assert worst(["PASS", "FAIL", "INVALID", "CANNOT TELL"]) == "INVALID"
    assert worst(["PASS", "CANNOT TELL"]) == "CANNOT TELL"
    assert worst([]) == "PASS"


shares = st.floats(0, 1, allow_nan=False)


@given(
    ends=st.tuples(shares, shares, shares).map(sorted),
    lod=shares,
    limit=shares,
    least=st.booleans(),
)
def test_a_limit_below_the_lod_never_passes(
    ends: list[float], lod: float, limit: float, least: bool
) -> None:
    low, value, high = ends
    limits = Limits(at_least=limit) if least else Limits(at_most=limit)
    decision, _ = decide(Figure(value, low, high, lod=lod), limits)
    if limit < lod:
        assert decision != "PASS"
    if decision == "PASS":
        assert low >= limit if least else high <= limit
    if decision == "FAIL":
        assert high < limit if least else low > limit


@given(ends=st.tuples(shares, shares, shares).map(sorted), limit=shares)
def test_a_narrower_interval_never_turns_pass_into_fail(ends: list[float], limit: float) -> None:
    low, value, high = ends
    wide, _ = decide(Figure(value, low, high), Limits(at_most=limit))
    narrow, _ = decide(Figure(value, value, value), Limits(at_most=limit))
    assert {wide, narrow} != {"PASS", "FAIL"}


def test_few_batches_at_the_limit_are_decided_wrongly() -> None:
    rng, n, limit = np.random.default_rng(0), 3000, 0.02
    se = math.sqrt(limit * (1 - limit) / n)
    wrong = {"PASS": 0, "FAIL": 0}
    for number in range(1000):
        truth = limit + (se if number % 2 else -se)
        called = int(rng.binomial(n, truth))
        decision, _ = decide(
            Figure(called / n, *clopper_pearson(called, n), lod=0.002), Limits(at_most=limit)
        )
        if decision in wrong:
            wrong[decision] += (decision == "PASS") == (truth > limit)
    assert wrong["PASS"] <= 50
    assert wrong["FAIL"] <= 50
