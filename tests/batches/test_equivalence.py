"""Two one-sided tests: their size at the margin, their power, and what they say."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from simulated_batches import draw

from scdiff.batches.baseline import Baseline
from scdiff.batches.equivalence import compare_processes
from scdiff.batches.trend import compare_at
from scdiff.errors import ConfigError, InputError, UnknownNameError


def points(before, after):
    """Points of a chart from cells and called cells on both sides of a change."""
    n_cells, n_called = (np.concatenate(pair) for pair in zip(before, after, strict=True))
    value = n_called / n_cells
    number = np.arange(1, len(value) + 1)
    facts = {
        "chart": "process",
        "batch": [f"B{one}" for one in number],
        "number": number,
        "kind": "measured",
    }
    return pd.DataFrame(facts | {"value": value, "level": np.nan, "size": n_cells.astype(float)})


def mean(centre, error, n_batches):
    return Baseline(centre, 0.3, error, 0.0, n_batches)


def test_it_is_two_t_tests_of_welch():
    generator = np.random.default_rng(0)
    before, after = generator.normal(-3, 0.3, 12), generator.normal(-3, 0.2, 9)
    sides = [
        mean(side.mean(), side.std(ddof=1) / np.sqrt(len(side)), len(side))
        for side in (before, after)
    ]
    found = compare_processes(*sides, n_before=12, n_after=9, margin=1.5)
    edge = np.log(1.5)
    lower = stats.ttest_ind(after + edge, before, equal_var=False, alternative="greater").pvalue
    upper = stats.ttest_ind(after - edge, before, equal_var=False, alternative="less").pvalue
    assert found.p_value == pytest.approx(max(lower, upper), rel=1e-9)
    assert (found.verdict == "equivalent") == (max(lower, upper) < 0.05)


@pytest.mark.parametrize(
    ("difference", "error", "verdict"),
    [
        (0.0, 0.05, "equivalent"),
        (1.0, 0.05, "different"),
        (-1.0, 0.05, "different"),
        (0.0, 0.6, "cannot tell"),
        (0.4, 0.05, "cannot tell"),
    ],
)
def test_the_verdict_follows_the_interval(difference, error, verdict):
    found = compare_processes(
        mean(-3, error, 20), mean(-3 + difference, error, 20), n_before=20, n_after=20, margin=1.5
    )
    assert found.verdict == verdict
    assert found.ratio == pytest.approx(np.exp(difference))


@pytest.mark.slow
def test_at_the_margin_five_percent_are_called_equivalent():
    generator = np.random.default_rng(1)
    said = []
    for shift in (np.log(1.5), 0.0):
        verdicts = [
            compare_at(
                points(draw(generator, 12), draw(generator, 12, shift=shift)), "B13", 1.5
            ).verdict
            for _ in range(600)
        ]
        said.append(np.mean([verdict == "equivalent" for verdict in verdicts]))
    assert said[0] < 0.07
    assert said[1] > 0.75


def test_too_few_batches_an_unknown_one_and_no_margin_are_refused():
    generator = np.random.default_rng(2)
    table = points(draw(generator, 5), draw(generator, 2))
    with pytest.raises(InputError, match="5 and 2 batches before and after the change are too few"):
        compare_at(table, "B6", 1.5)
    with pytest.raises(
        UnknownNameError, match=r"the process chart does not have this batch. Did you mean 'B6'"
    ):
        compare_at(table, "B66", 1.5)
    for margin in (None, 1.0, 0.5, float("nan")):
        with pytest.raises(ConfigError, match="above 1"):
            compare_at(table, "B6", margin)
