"""Format numbers for readers: percentages, numbers of cells, doses."""

from __future__ import annotations

import math
import re

__all__ = ["DASH", "LEAST", "count", "estimate", "interval", "large", "percent", "short", "slug"]


DASH = "\N{EN DASH}"
"""Sign shown for a missing value."""

LEAST = 1e-7
"""Fraction of cells below which 0 is shown: one cell in ten million, which no batch can resolve."""


def percent(fraction: float, *, width: float = 0.0) -> str:
    """Format a fraction as a percentage of two significant digits, without the percent sign.

    Above 99 %, the digits count from 100 %, so that 99.6 % is never rounded to 100 %. A fraction
    below :data:`LEAST` is shown as 0, and one as near to 1 as 100.

    Parameters
    ----------
    fraction
        0-1, or NaN.
    width
        Width of its interval, 0-1: above 99 %, digits that the interval does not support are left
        out. 0 if it has no interval.

    >>> [percent(value) for value in (0.0412, 0.000737, 0.204, 0.9963, 9.2e-10, 1.0, float("nan"))]
    ['4.1', '0.074', '20', '99.63', '0', '100', 'n/a']
    >>> percent(0.9991, width=0.04), percent(0.99999, width=0.04)
    ('99.9', '100')
    """
    if not math.isfinite(fraction):
        return "n/a"
    value = 100.0 * fraction
    if not LEAST <= fraction <= 1.0 - LEAST:
        return "0" if fraction < LEAST else "100"
    if value <= 99.0:
        return f"{value:.{_find_decimals(value)}f}"
    decimals = _find_decimals(100.0 - value)
    if width > 0:
        decimals = min(decimals, _find_decimals(100.0 * width))
    text = f"{value:.{decimals}f}"
    return "100" if float(text) == 100.0 else text


def _find_decimals(points: float) -> int:
    """Return the decimals that show two significant digits of a number above 0."""
    return max(0, 1 - math.floor(math.log10(points)))


def interval(low: float, high: float) -> str:
    """Format the ends of an interval of fractions as percentages.

    >>> interval(0.034, 0.049), interval(0.97, 0.99999933)
    ('3.4-4.9 %', '97-100 %')
    """
    width = high - low
    return f"{percent(low, width=width)}-{percent(high, width=width)} %"


def estimate(value: float, low: float, high: float) -> str:
    """Format a fraction with its interval.

    >>> estimate(0.04, 0.024, 0.051), estimate(0.9991, 0.96, 1.0)
    ('4.0 % (2.4-5.1 %)', '99.9 % (96-100 %)')
    """
    return f"{percent(value, width=high - low)} % ({interval(low, high)})"


def count(number: float) -> str:
    """Format an exact number of cells.

    >>> count(5000)
    '5,000'
    """
    return f"{int(number):,}" if math.isfinite(number) else "n/a"


def large(number: float) -> str:
    """Format an expected number of cells with two significant digits.

    >>> [large(value) for value in (59007, 3_296_000, 80e6, 7.4, 0.0)]
    ['59,000', '3.3 million', '80 million', '7', '0']
    """
    if not math.isfinite(number):
        return "n/a"
    if number < 10:
        return f"{number:.0f}"
    rounded = float(f"{number:.1e}")
    if rounded < 1e6:
        return f"{rounded:,.0f}"
    return f"{f'{rounded / 1e6:.1f}'.removesuffix('.0')} million"


def short(name: str, most: int = 22) -> str:
    """Replace the middle of a name that is too long for an axis.

    Both ends are kept, because they distinguish samples.

    Parameters
    ----------
    name
        Name of a sample, state or programme.
    most
        Length, characters, up to which a name is left as it is.

    >>> short("control1"), short("GSM0000002_BMSC_dense_genes_x_cells")
    ('control1', 'GSM00000…genes_x_cells')
    """
    if len(name) <= most:
        return name
    end = (most - 1) * 5 // 8
    return f"{name[: most - 1 - end]}…{name[-end:]}"


def slug(name: str) -> str:
    """Replace the characters that a file name or an HTML id cannot have.

    >>> slug("HLA-A/B")
    'HLA-A_B'
    """
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)
