"""What would decide a criterion that is open.

More cells, more donors, or another measurement.
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

MOST_CELLS = 10_000_000
"""More cells than any experiment sequences."""


def advise(check: Check, reading: Reading, *, depth: float, seed: int = 0) -> str:
    """Say what would decide an open criterion.

    The cells that bring the limit of detection to the limit come from the plan; those that bring
    the interval to one side of it from its width, which shrinks with the square root of the cells,
    if the fraction stays where it is.

    Parameters
    ----------
    check, reading
        The line and its figure.
    depth
        Median counts per cell.
    seed
        Start of the random generator of the plan.
    """
    figure = reading.figure
    if figure.verdict in NO_NUMBER or figure.text in NO_NUMBER:
        return _other_measurement(figure, reading.row)
    if not reading.program or not reading.row or not math.isfinite(figure.value):
        return "measure it: the run has no such figure"
    n_cells, (limit, least) = int(float(reading.row["n_cells"])), _open_limit(check, figure)
    if _donors_decide(reading, check.scale, limit):
        return (
            f"more donors: the interval of these cells alone lies on one side of {limit:g} "
            f"{check.unit}, that of donors like these does not"
        )
    needed = max(
        _cells_to_narrow(figure, limit, n_cells),
        _cells_to_see(reading, figure, limit, check.scale, n_cells, depth, seed),
    )
    if needed > MOST_CELLS:
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


def _other_measurement(figure: Figure, row: Any) -> str:
    """Say what the run asks for where it states no number."""
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


def _open_limit(check: Check, figure: Figure) -> tuple[float, bool]:
    """Take the limit that is open: the one that the interval holds or that lies below the LOD.

    Whether it is a least one.
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


def _donors_decide(reading: Reading, scale: float, limit: float) -> bool:
    """Whether the cells' own interval decides where that of the donors does not."""
    figure = reading.figure
    try:
        low, high = (
            float(reading.row[f"prevalence_{end}_cells"]) / scale for end in ("low", "high")
        )
    except (KeyError, TypeError, ValueError):
        return False
    return figure.low < limit < figure.high and not low < limit < high and not figure.lod > limit


def _cells_to_narrow(figure: Figure, limit: float, n_cells: int) -> float:
    """Cells whose interval ends at the limit, if the figure stays."""
    end = figure.high if limit > figure.value else figure.low
    if not figure.low < limit < figure.high:
        return float(n_cells)
    gap = abs(limit - figure.value)
    return n_cells * (abs(end - figure.value) / gap) ** 2 if gap > 0 else math.inf


def _cells_to_see(
    reading: Reading,
    figure: Figure,
    limit: float,
    scale: float,
    n_cells: int,
    depth: float,
    seed: int,
) -> float:
    """Cells whose limit of detection is at most the limit.

    By the plan, and never fewer than this batch's own limit asks for.
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
    except ScdiffError:  # a programme of a lab's own file, of which the folder keeps no levels
        return own
    return max(own, float(planned)) if planned else math.inf


def _round_up(number: float) -> float:
    """Round a number of cells up to two digits.

    >>> _round_up(30_412), _round_up(7)
    (31000, 7)
    """
    number = max(number, 1)
    step = 10 ** max(0, math.floor(math.log10(number)) - 1)
    return math.ceil(number / step) * step
