"""Test whether two processes are comparable: two one-sided tests, the unit is the batch."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from scdiff.batches.baseline import Baseline

__all__ = ["FEWEST_OF_EACH", "Comparison", "compare_processes"]

FEWEST_OF_EACH = 3
"""Minimum number of batches of each process: with fewer the test is refused. Chosen, not
tuned."""


@dataclass(frozen=True)
class Comparison:
    """Ratio of the odds after a change to the odds before, and the verdict.

    ``ratio_low`` and ``ratio_high`` are the ends of the 90 % interval. It corresponds to two
    one-sided tests at 5 %.
    """

    n_before: int
    n_after: int
    ratio: float
    ratio_low: float
    ratio_high: float
    margin: float
    p_value: float
    verdict: str

    def row(self) -> dict[str, float | str]:
        """Return the comparison as a row of a table."""
        return asdict(self)


def compare_processes(
    before: Baseline, after: Baseline, *, n_before: int, n_after: int, margin: float
) -> Comparison:
    """Test whether the odds of positive cells changed by less than an equivalence margin.

    Parameters
    ----------
    before, after
        Mean of each process on the logit with its standard error; the unit is the batch.
    n_before, n_after
        Number of batches of each process.
    margin
        Equivalence margin: largest ratio of odds that does not matter, above 1. With 1.5, a change
        from 2 % to 3 % or to 1.3 %.

    Returns
    -------
    The ratio and a verdict: ``equivalent`` (the 90 % interval is within the margin), ``different``
    (it is outside the margin), or ``cannot tell``.

    Notes
    -----
    Schuirmann 1987, https://doi.org/10.1007/BF01068419; degrees of freedom by Welch.
    """
    import numpy as np
    from scipy import special

    difference = after.centre - before.centre
    parts = np.array([before.centre_error, after.centre_error]) ** 2
    error = float(np.sqrt(parts.sum()))
    own = np.maximum(np.array([before.n_detected, after.n_detected]) - 1, 1)
    freedom = float(parts.sum() ** 2 / (parts**2 / own).sum())
    inside = [
        special.stdtr(freedom, -(np.log(margin) - sign * difference) / error) for sign in (1, -1)
    ]
    reach = -special.stdtrit(freedom, 0.05) * error
    ends = difference - reach, difference + reach
    edge = np.log(margin)
    if -edge < ends[0] and ends[1] < edge:
        verdict = "equivalent"
    elif ends[0] > edge or ends[1] < -edge:
        verdict = "different"
    else:
        verdict = "cannot tell"
    ratio, low, high = (float(np.exp(value)) for value in (difference, *ends))
    return Comparison(n_before, n_after, ratio, low, high, margin, float(max(inside)), verdict)
