"""Precision, linearity, limits and agreement against independent oracles and published rules."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.stats import norm, theilslopes

from scdiff.batches.agreement import compare_differences, fit_deming, fit_passing_bablok
from scdiff.batches.limits import (
    find_blank_limit,
    find_detection_limit,
    find_quantification_limit,
    fit_profile,
    total_error,
)
from scdiff.batches.linearity import fit_linearity
from scdiff.batches.precision import fit_components
from scdiff.errors import InputError


def nested(
    rng: np.random.Generator, sizes: tuple[int, int, int], sds: tuple[float, float, float]
) -> pd.DataFrame:
    days, libraries, replicates = sizes
    day = np.repeat(np.arange(days), libraries * replicates)
    library = np.tile(np.repeat(np.arange(libraries), replicates), days)
    value = (
        5
        + rng.normal(0, sds[0], days)[day]
        + rng.normal(0, sds[1], days * libraries)[day * libraries + library]
    )
    return pd.DataFrame(
        {"day": day, "library": library, "value": value + rng.normal(0, sds[2], len(day))}
    )


def components(frame: pd.DataFrame) -> dict[str, float]:
    return fit_components(
        frame["value"], {"day": frame["day"], "library": frame["library"]}
    ).variance


def anova(frame: pd.DataFrame, sizes: tuple[int, int, int]) -> list[float]:
    """Expected mean squares of a balanced nested design: CLSI EP05."""
    cube = frame["value"].to_numpy().reshape(sizes)
    _, b, c = sizes
    of_day = b * c * cube.mean(axis=(1, 2)).var(ddof=1)
    of_library = c * (cube.mean(axis=2).var(axis=1, ddof=1)).mean()
    within = cube.var(axis=2, ddof=1).mean()
    return [(of_day - of_library) / (b * c), (of_library - within) / c, within]


@pytest.mark.parametrize("seed", range(4))
def test_balanced_components_are_those_of_the_analysis_of_variance(seed: int) -> None:
    sizes = (12, 3, 2)
    frame = nested(np.random.default_rng(seed), sizes, (1.0, 0.7, 0.5))
    expected = anova(frame, sizes)
    assert min(expected) > 0
    assert list(components(frame).values()) == pytest.approx(expected, rel=1e-3)


def test_unbalanced_components_are_those_of_statsmodels() -> None:
    frame = nested(np.random.default_rng(5), (10, 3, 3), (1.0, 0.7, 0.5)).sample(
        frac=0.8, random_state=1
    )
    fitted = sm.MixedLM.from_formula(
        "value ~ 1", frame, groups="day", re_formula="1", vc_formula={"library": "0 + C(library)"}
    ).fit(reml=True)
    oracle = [float(fitted.cov_re.iloc[0, 0]), float(fitted.vcomp[0]), float(fitted.scale)]
    assert list(components(frame).values()) == pytest.approx(oracle, rel=0.02)


@pytest.mark.long
def test_components_and_their_interval_hold_on_average() -> None:
    rng, truth = np.random.default_rng(0), np.array([1.0, 0.49, 0.25])
    found, held = [], 0
    for _ in range(150):
        frame = nested(rng, (20, 3, 3), (1.0, 0.7, 0.5))
        fitted = fit_components(frame["value"], {"day": frame["day"], "library": frame["library"]})
        found.append(list(fitted.variance.values()))
        held += fitted.total_interval[0] <= np.sqrt(truth.sum()) <= fitted.total_interval[1]
    assert np.mean(found, axis=0) == pytest.approx(truth, rel=0.1)
    assert held / 150 > 0.9


def test_components_of_little_are_refused_or_zero() -> None:
    assert fit_components([2.0, 2.0, 2.0], {}).total == 0
    assert set(fit_components([1.0, 2.0, 3.0, 4.0], {"day": [1, 1, 1, 1]}).variance) == {
        "replicate"
    }
    with pytest.raises(InputError, match="three or more"):
        fit_components([1.0, np.nan, 2.0], {})
    with pytest.raises(InputError, match="'day' has 2 labels, but there are 3"):
        fit_components([1.0, 2.0, 3.0], {"day": [1, 2]})


def test_the_limit_of_blank_is_that_of_its_rank() -> None:
    values = np.random.default_rng(0).permutation(np.arange(1, 61))
    found = find_blank_limit(values)
    assert (found.value, found.low, found.high) == (57.5, 53, 60)
    assert find_blank_limit([0.0]).value == 0
    with pytest.raises(InputError, match="at least one blank"):
        find_blank_limit([])


def test_the_limit_of_detection_is_that_of_a_probit_regression() -> None:
    level, tested = np.array([1.0, 2, 3, 4, 6, 8]), np.full(6, 30)
    hits = np.array([3, 10, 18, 24, 28, 30])
    design = sm.add_constant(np.log10(level))
    family = sm.families.Binomial(sm.families.links.Probit())
    fitted = sm.GLM(np.column_stack([hits, tested - hits]), design, family=family).fit()
    start, slope = fitted.params
    found = find_detection_limit(level, hits, tested)
    assert found.value == pytest.approx(10 ** ((norm.ppf(0.95) - start) / slope), rel=1e-3)
    # delta method on the logarithm, which profile likelihood follows for so many measurements
    gradient = np.array([-1 / slope, -(norm.ppf(0.95) - start) / slope**2])
    error = np.sqrt(gradient @ fitted.cov_params() @ gradient)
    assert np.log10([found.low, found.high]) == pytest.approx(
        np.log10(found.value) + np.array([-1.96, 1.96]) * error, abs=0.06
    )


def test_the_limit_of_detection_says_what_it_cannot_know() -> None:
    everywhere = find_detection_limit([1, 2], [9, 9], [9, 9])
    nowhere = find_detection_limit([1, 2], [0, 0], [9, 9])
    assert (np.isnan(everywhere.value), everywhere.high) == (True, 1)
    assert (np.isnan(nowhere.value), nowhere.low, nowhere.high) == (True, 2, np.inf)
    apart = find_detection_limit([1, 2, 4, 8], [0, 0, 10, 10], [10] * 4)
    assert 2 < apart.value < 4
    falling = find_detection_limit([1, 2, 4], [9, 5, 1], [10] * 3)
    assert np.isnan(falling.value)
    with pytest.raises(InputError, match="above 0"):
        find_detection_limit([0, 1], [0, 1], [1, 1])


@pytest.mark.long
def test_intervals_of_the_limit_of_detection_cover() -> None:
    rng, level, held = np.random.default_rng(1), np.geomspace(0.5, 4, 6), 0
    chance = norm.cdf(norm.ppf(0.95) + 4 * np.log10(level / 2.5))
    for _ in range(80):
        found = find_detection_limit(level, rng.binomial(20, chance), [20] * 6)
        held += found.low <= 2.5 <= found.high
    assert held >= 70


def test_the_profile_finds_its_variance_function() -> None:
    level, df = np.geomspace(0.001, 0.3, 12), np.full(12, 2000)
    variance = level / 3000 + (0.05 * level) ** 2
    rng = np.random.default_rng(0)
    profile = fit_profile(level, variance * rng.chisquare(df) / df, df)
    assert profile.sd(level) == pytest.approx(np.sqrt(variance), rel=0.05)
    assert (profile.sd_high(level) >= profile.sd(level) * 0.999).all()
    # 2 sd / level <= 0.5 from level = 1 / 3000 / (0.0625 - 0.0025) on
    found = find_quantification_limit(profile, (0.001, 0.3), bias=0.0, goal=0.5)
    assert found.low == pytest.approx(1 / 3000 / 0.06, rel=0.1)
    assert found.value >= found.low
    assert np.isnan(find_quantification_limit(profile, (0.001, 0.3), bias=0.6, goal=0.5).value)
    assert total_error([0.0, -0.1], [0.1, 0.1], [1.0, 1.0]).tolist() == pytest.approx([0.2, 0.3])


def test_a_line_is_linear_and_a_curve_is_not() -> None:
    rng = np.random.default_rng(0)
    x = np.repeat([0.01, 0.03, 0.1, 0.2, 0.3], 8)
    straight = [fit_linearity(x, x * 0.97 + rng.normal(0, 0.03 * x)) for _ in range(40)]
    curved = fit_linearity(x, x - 0.8 * x**2 + rng.normal(0, 0.03 * x))
    assert sum(line.p_deviation < 0.05 for line in straight) <= 6
    assert sum(line.slope_interval[0] < 0.97 < line.slope_interval[1] for line in straight) >= 34
    assert max(curved.p_deviation, curved.p_curve) < 1e-4
    assert curved.worst > max(line.worst for line in straight)
    with pytest.raises(InputError, match="three or more levels"):
        fit_linearity([0.1, 0.1, 0.2, 0.2], [1, 2, 3, 4])


def test_the_line_is_that_of_weighted_least_squares() -> None:
    rng = np.random.default_rng(1)
    x = np.repeat([1.0, 2, 4, 8], 5)
    y = 1 + 2 * x + rng.normal(0, x / 10)
    within = pd.Series(y).groupby(x).var()
    smooth = fit_profile(within.index, within, np.full(4, 4), draws=1).sd(x) ** 2
    oracle = sm.WLS(y, sm.add_constant(x), weights=1 / smooth).fit().params
    found = fit_linearity(x, y)
    assert [found.intercept, found.slope] == pytest.approx(oracle.tolist(), rel=1e-6)


@pytest.mark.slow
def test_the_test_of_deviation_keeps_its_level() -> None:
    rng = np.random.default_rng(2)
    x = np.repeat([1.0, 2, 4, 8, 16], 10)
    found = [fit_linearity(x, 3 * x + rng.normal(0, x / 20)).p_deviation < 0.05 for _ in range(400)]
    assert np.mean(found) < 0.08


def test_deming_is_the_line_of_orthogonal_regression() -> None:
    rng = np.random.default_rng(0)
    true = rng.uniform(0, 10, 80)
    x, y = true + rng.normal(0, 0.5, 80), 1 + 1.2 * true + rng.normal(0, 0.5, 80)
    found = fit_deming(x, y)
    _, vectors = np.linalg.eigh(
        np.cov(x, y)
    )  # the first principal axis, an independent way to the same line
    assert found.slope == pytest.approx(vectors[1, 1] / vectors[0, 1], rel=1e-9)
    assert found.slope_interval[0] < 1.2 < found.slope_interval[1]
    assert found.intercept_interval[0] < 1 < found.intercept_interval[1]


def test_passing_bablok_is_robust_symmetric_and_near_theil_sen() -> None:
    rng = np.random.default_rng(3)
    x = rng.uniform(1, 10, 60)
    y = 0.5 + 1.1 * x + rng.normal(0, 0.1, 60)
    found = fit_passing_bablok(x, y)
    assert found.slope == pytest.approx(theilslopes(y, x).slope, rel=0.02)
    swapped = fit_passing_bablok(y, x)
    assert swapped.slope == pytest.approx(1 / found.slope, rel=1e-3)
    y[0] += 500
    assert fit_passing_bablok(x, y).slope == pytest.approx(found.slope, rel=0.02)
    exact = fit_passing_bablok([1, 2, 3, 4], [3, 5, 7, 9])
    assert (exact.slope, exact.intercept) == (2, 1)


def test_bland_altman_by_hand() -> None:
    found = compare_differences([1, 2, 3, 4], [1.5, 2, 3.5, 5])
    assert found.mean == 0.5
    assert found.high == pytest.approx(0.5 + 1.959964 * np.std([0.5, 0, 0.5, 1], ddof=1))
    assert found.mean_interval == pytest.approx((0.5 - 0.6496, 0.5 + 0.6496), abs=1e-3)
    with pytest.raises(InputError, match="4 or more pairs"):
        compare_differences([1, 2], [1, 2])
    with pytest.raises(InputError, match="samples with different values"):
        fit_deming([1, 1, 1, 1], [1, 2, 3, 4])
