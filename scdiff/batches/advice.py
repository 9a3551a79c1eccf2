"""Advise how to decide an undecided criterion.

The advice is more cells, more donors, or another measurement.
"""

from __future__ import annotations

import math
from typing import Any

from scdiff.assay.limits import FEWEST_CELLS_FOR_VERDICT
from scdiff.batches.decide import Figure
from scdiff.batches.readouts import Reading
from scdiff.batches.specification import Check
from scdiff.errors import ScdiffError
from scdiff.report.text import LEAST
from scdiff.vocabulary import INCONCLUSIVE, NO_NUMBER

__all__ = ["advise"]

MAX_CELLS = 10_000_000
"""Maximum number of cells that the advice names: more than any one experiment sequences."""


def advise(check: Check, reading: Reading, *, depth: float, seed: int = 0) -> str:
    """Return a sentence that says what would decide an undecided criterion.

    Two numbers of cells are computed, and the larger one is used. The number that lowers the limit
    of detection to the limit comes from the plan. The number that moves the whole interval to one
    side of the limit comes from its width, which shrinks with the square root of the number of
    cells; this assumes that the fraction does not change.

    Parameters
    ----------
    check, reading
        The line of the specification and its figure.
    depth
        Median counts per cell.
    seed
        Start of the random generator of the plan.
    """
    figure = reading.figure
    if figure.verdict in NO_NUMBER or figure.text in NO_NUMBER:
        return _advise_measurement(figure, reading.row)
    if not reading.program or not reading.row or not math.isfinite(figure.value):
        return "measure it: the run does not have this figure"
    n_cells, (limit, least) = int(float(reading.row["n_cells"])), _find_open_limit(check, figure)
    if _needs_donors(reading, check.scale, limit):
        return (
            f"more donors: the interval over the cells is on one side of {limit:g} {check.unit}, "
            "but the interval over donors is not"
        )
    needed = max(
        _count_cells_to_narrow(figure, limit, n_cells),
        _count_cells_to_detect(reading, figure, limit, check.scale, n_cells, depth, seed),
    )
    if needed > MAX_CELLS:
        return (
            f"no number of cells up to 10 million at {depth:,.0f} UMI: the figure is too "
            "close to the limit, or the limit too low"
        )
    stays = f"{figure.value:.2g}" if figure.value * check.scale > LEAST else "0"
    side = "PASS" if (figure.value >= limit) == least else "FAIL"
    return (
        f"{_round_up(needed - n_cells):,.0f} more cells at {depth:,.0f} UMI; {side} if the "
        f"figure stays at {stays} {check.unit}"
    )


def _advise_measurement(figure: Figure, row: Any) -> str:
    """Return the measurement that is needed if the run states no number."""
    if figure.reason:
        return f"another measurement: {figure.reason}"
    if INCONCLUSIVE in (figure.verdict, figure.text):
        return "another measurement, with the unfiltered matrix of the library"
    few = bool(row) and float(row.get("n_cells") or 0) < FEWEST_CELLS_FOR_VERDICT
    return (
        f"at least {FEWEST_CELLS_FOR_VERDICT} cells"
        if few
        else "a matrix with a row for each marker"
    )


def _find_open_limit(check: Check, figure: Figure) -> tuple[float, bool]:
    """Return the undecided limit, and whether it is a lower limit (``at_least``).

    The limit is undecided if it is inside the interval or below the limit of detection.
    """
    limits = [
        (limit, least)
        for limit, least in ((check.at_least, True), (check.at_most, False))
        if limit is not None
    ]
    for limit, least in limits:
        if figure.low < limit < figure.high or figure.lod > limit:
            return limit, least
    return limits[0]


def _needs_donors(reading: Reading, scale: float, limit: float) -> bool:
    """Check whether the interval over cells decides, but the interval over donors does not."""
    figure = reading.figure
    try:
        low, high = (
            float(reading.row[f"prevalence_{end}_cells"]) / scale for end in ("low", "high")
        )
    except (KeyError, TypeError, ValueError):
        return False
    return figure.low < limit < figure.high and not low < limit < high and not figure.lod > limit


def _count_cells_to_narrow(figure: Figure, limit: float, n_cells: int) -> float:
    """Return the number of cells at which the interval ends at the limit; the figure is fixed."""
    end = figure.high if limit > figure.value else figure.low
    if not figure.low < limit < figure.high:
        return float(n_cells)
    gap = abs(limit - figure.value)
    return n_cells * (abs(end - figure.value) / gap) ** 2 if gap > 0 else math.inf


def _count_cells_to_detect(
    reading: Reading,
    figure: Figure,
    limit: float,
    scale: float,
    n_cells: int,
    depth: float,
    seed: int,
) -> float:
    """Return the number of cells at which the limit of detection is at most the limit.

    This is the number of the plan, but at least the number that follows from the limit of
    detection of this batch.
    """
    from scdiff.report.planning import plan_table

    if not figure.lod > limit:
        return float(n_cells)
    own = n_cells * figure.lod / limit if limit > 0 else math.inf
    if not 0 < limit * scale < 1 or not depth >= 1:
        return own
    try:
        planned = int(
            plan_table(reading.program, [depth], fraction=limit * scale, seed=seed)[
                "cells_to_detect"
            ].iloc[0]
        )
    except ScdiffError:  # a programme from a TOML file: the run folder does not contain its levels
        return own
    return max(own, float(planned)) if planned else math.inf


def _round_up(number: float) -> float:
    """Round a number of cells up to two significant digits.

    >>> _round_up(30_412), _round_up(7)
    (31000, 7)
    """
    number = max(number, 1)
    step = 10 ** max(0, math.floor(math.log10(number)) - 1)
    return math.ceil(number / step) * step
