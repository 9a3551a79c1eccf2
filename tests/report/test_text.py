import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scdiff.report.text import LEAST, count, interval, large, percent, slug


@pytest.mark.parametrize(
    ("fraction", "said"),
    [
        (0.0412, "4.1"),
        (0.000737, "0.074"),
        (0.204, "20"),
        (0.05, "5.0"),
        (0.996, "99.60"),
        (0.0, "0"),
        (1.0, "100"),
        (1e-6, "0.00010"),
    ],
)
def test_percent_keeps_two_significant_digits(fraction, said):
    assert percent(fraction) == said


@given(st.floats(LEAST, 0.99))
def test_percent_is_within_half_of_its_last_digit(fraction):
    assert float(percent(fraction)) == pytest.approx(100 * fraction, rel=0.051)


def test_less_than_a_cell_in_ten_million_is_none():
    assert percent(9.2e-10) == "0"


@given(st.floats(LEAST, 1.0, exclude_max=True))
def test_percent_never_turns_some_into_none_or_all(fraction):
    said = float(percent(fraction))
    assert said > 0
    assert said < 100 or fraction > 1 - 1e-12


def test_missing_values_are_said_not_printed_as_nan():
    assert [say(math.nan) for say in (percent, count, large)] == ["n/a"] * 3


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (59_007, "59,000"),
        (3_296_000, "3.3 million"),
        (80e6, "80 million"),
        (999_999, "1 million"),
        (7.4, "7"),
        (123, "120"),
    ],
)
def test_large_numbers_keep_two_significant_digits(number, said):
    assert large(number) == said


def test_interval_and_count():
    assert interval(0.034, 0.049) == "3.4-4.9 %"
    assert count(5000.0) == "5,000"


@given(st.text(min_size=1))
def test_slug_is_fit_for_a_file_name(name):
    assert set(slug(name)) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
    )
    assert len(slug(name)) == len(name)
