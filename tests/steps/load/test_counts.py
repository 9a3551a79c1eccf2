"""Judging values: laws over drawn counts, and what each refusal looks like."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from scdiff.steps.load.checks import counts

drawn_counts = hnp.arrays(
    np.float64,
    st.tuples(st.integers(2, 6), st.integers(1, 6)),
    elements=st.integers(0, 5_000).map(float),
)


def judged(values: np.ndarray) -> str:
    matrix = sparse.csr_matrix(values)
    found = counts.find_fault(matrix, counts.survey_values(matrix))
    return found.sentence if found else ""


@given(drawn_counts)
def test_any_counts_are_accepted_and_kept_exactly(values: np.ndarray) -> None:
    values[0, 0], values[1, 0] = 2, 7
    matrix = sparse.csr_matrix(values)
    seen = counts.survey_values(matrix)
    assert counts.find_fault(matrix, seen) is None
    assert np.array_equal(counts.make_exact(matrix, seen).toarray(), values)


@given(drawn_counts, st.floats(1e-14, 1e-8))
def test_float_noise_never_changes_a_count(values: np.ndarray, noise: float) -> None:
    values[0, 0], values[1, 0] = 2, 7
    matrix = sparse.csr_matrix(values * (1 + noise))
    seen = counts.survey_values(matrix)
    assert counts.find_fault(matrix, seen) is None
    assert np.array_equal(counts.make_exact(matrix, seen).toarray(), values)


@given(drawn_counts, st.floats(0.01, 0.99))
def test_any_fraction_is_refused(values: np.ndarray, fraction: float) -> None:
    values[0, 0] += fraction
    assert "non-integer" in judged(values)


@given(drawn_counts, st.sampled_from([np.nan, np.inf, -np.inf]))
def test_any_value_that_is_not_finite_is_refused(values: np.ndarray, bad: float) -> None:
    values[-1, -1] = bad
    assert judged(values) == "holds 1 values that are NaN or infinite"


@given(drawn_counts)
def test_any_negative_value_is_refused(values: np.ndarray) -> None:
    values[0, -1] = -3
    assert judged(values) == "holds negative values (min -3)"


def test_survey_agrees_with_the_obvious_over_several_slices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(counts, "_CHUNK", 7)
    values = np.random.default_rng(0).poisson(3.0, (9, 11)).astype(float)
    values[3, 3], values[8, 10] = 4.5, 90.0 + 1e-8
    seen = counts.survey_values(sparse.csr_matrix(values))
    assert (seen.minimum, seen.maximum, seen.n_fractional, seen.n_not_finite) == (
        0.0,
        90.0 + 1e-8,
        1,
        0,
    )
    assert seen.noise == pytest.approx(1e-8, rel=1e-3)


def test_large_counts_keep_their_last_digit() -> None:
    values = np.array([[2.0**24 + 1, 1.0], [3.0, 2.0]])
    matrix = sparse.csr_matrix(values)
    exact = counts.make_exact(matrix, counts.survey_values(matrix))
    assert exact.dtype == np.float64
    assert np.array_equal(exact.toarray(), values)


def test_result_is_canonical_and_free_of_stored_zeros() -> None:
    matrix = sparse.csr_matrix(
        (
            np.array([1.0, 2.0, 0.0, 4.0], dtype=np.float32),
            np.array([2, 2, 0, 1]),
            np.array([0, 3, 4]),
        ),
        shape=(2, 3),
    )
    exact = counts.make_exact(matrix, counts.survey_values(matrix))
    assert exact.has_canonical_format
    assert exact.nnz == 2
    assert exact.toarray().tolist() == [[0, 0, 3], [0, 4, 0]]


def test_nothing_is_copied_where_nothing_changes() -> None:
    matrix = sparse.csr_matrix(np.array([[1, 2], [3, 0]], dtype=np.float32))
    assert counts.make_exact(matrix, counts.survey_values(matrix)) is matrix


def test_values_of_another_kind_are_refused() -> None:
    assert judged(np.array([[True, False]])) == "holds bool values, not numbers"
    assert "not numbers" in judged(np.array([[1 + 2j, 0]]))


def test_many_ones_and_nothing_else_look_binarised() -> None:
    assert judged(np.ones((100, 100))) == "looks binarised (each of 10,000 values is 1)"
    assert judged(np.eye(20)) == ""


def test_equal_integer_depth_is_no_fault() -> None:
    assert judged(np.full((5, 10), 100.0)) == ""


@pytest.mark.parametrize(("depth", "told"), [(5_000, "UMI"), (99_000, "UMI"), (400_000, "reads")])
def test_depth_tells_reads_from_umi(depth: int, told: str) -> None:
    matrix = sparse.csr_matrix(
        np.random.default_rng(0)
        .multinomial(depth, np.full(20_000, 1 / 20_000), 5)
        .astype(np.float32)
    )
    assert counts.detect_technology(matrix)[0] == told


def test_large_values_tell_reads_at_low_depth() -> None:
    matrix = sparse.csr_matrix(np.array([[500, 0, 300, 1], [0, 800, 120, 2]], dtype=np.float32))
    technology, sentence = counts.detect_technology(matrix)
    assert technology == "reads"
    assert "the median cell has 862, and 67 % of the non-zero values are above 100" in sentence


# ---------------------------------------------------------------- counts recovered from their logarithm


def _log(counts: np.ndarray, target: float = 1e4, dtype: type = np.float32) -> sparse.csr_matrix:
    depth = counts.sum(axis=1, keepdims=True)
    return sparse.csr_matrix(np.log1p(counts * (target / np.maximum(depth, 1))).astype(dtype))


@pytest.mark.parametrize("target", [1e4, 1e6, 3127.5])
@pytest.mark.parametrize("scale", [1, 60])
def test_counts_come_back_from_their_logarithm(target: float, scale: int) -> None:
    rng = np.random.default_rng(3)
    counts_ = rng.negative_binomial(0.3, 0.3 / (0.3 + rng.gamma(1, scale, 400)), (50, 400))
    counts_[7] = 0
    found, said = counts.recover_counts(_log(counts_, target))
    np.testing.assert_array_equal(found.toarray(), counts_)
    assert said.startswith("Counts were recovered from ln(1 + x)")


def test_a_cell_without_a_count_of_one_comes_back() -> None:
    cells = np.array(
        [[2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14], [3, 5, 7, 8, 10, 11, 13, 17, 19, 23, 29, 31]]
    )
    np.testing.assert_array_equal(counts.recover_counts(_log(cells))[0].toarray(), cells)


def test_log2_is_undone_too() -> None:
    counts_ = np.random.default_rng(0).poisson(1.5, (20, 200))
    found, said = counts.recover_counts(_log(counts_) / np.float32(np.log(2)))
    np.testing.assert_array_equal(found.toarray(), counts_)
    assert "log2(1 + x)" in said


@pytest.mark.parametrize(
    "spoil",
    [
        lambda v: np.round(v, 2),
        lambda v: v * 1.01,
        lambda v: v + 0.05,
        lambda v: np.float16(v).astype(np.float32),
    ],
)
def test_counts_that_cannot_be_told_are_not_made_up(
    spoil: Callable[[np.ndarray], np.ndarray],
) -> None:
    values = _log(
        np.random.default_rng(0).poisson(np.random.default_rng(1).gamma(1, 3, 300), (30, 300))
    )
    values.data = spoil(values.data).astype(np.float32)
    found, said = counts.recover_counts(values)
    assert found is None
    assert "cells the values are not multiples of one value" in said


def test_values_of_a_smoothing_are_named() -> None:
    smooth = sparse.csr_matrix(np.random.default_rng(0).gamma(2, 1, (20, 150)))
    assert "looks imputed, smoothed or denoised (100 %" in str(
        counts.find_fault(smooth, counts.survey_values(smooth))
    )


def test_scaled_values_that_were_rounded_are_named() -> None:
    rng = np.random.default_rng(0)
    counts_ = rng.poisson(rng.gamma(0.5, 2, 600), (40, 600))
    scaled = sparse.csr_matrix(np.rint(counts_ / counts_.sum(axis=1, keepdims=True) * 1e4))
    assert "looks scaled and rounded (in 100 % of the cells" in str(
        counts.find_fault(scaled, counts.survey_values(scaled))
    )
    plain = sparse.csr_matrix(counts_.astype(float))
    assert counts.find_fault(plain, counts.survey_values(plain)) is None


@pytest.mark.parametrize(("share", "imputed"), [(0.79, False), (0.8, False), (0.81, True)])
def test_a_matrix_is_imputed_above_four_fifths_of_values(share: float, imputed: bool) -> None:
    values = np.zeros((4, 100))
    values[:, : round(100 * share)] = np.random.default_rng(0).gamma(
        2.0, 5.0, (4, round(100 * share))
    )
    assert ("looks imputed" in judged(values)) == imputed
