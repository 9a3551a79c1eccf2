"""Plan how many cells to sequence: as a table, a sentence and a figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from scdiff.errors import OutputError, ProgramError
from scdiff.programs import load_programs
from scdiff.report.text import percent

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DEPTHS", "plan_sentence", "plan_table", "plan_view", "write_plan"]

DEPTHS = (1_000.0, 2_000.0, 4_000.0, 10_000.0, 20_000.0)
"""Depths that every plan shows, median counts per cell.

Chosen, not tuned: they span shallow to deep 10x libraries.
"""


def plan_table(
    program: str,
    depths: Sequence[float],
    *,
    fraction: float,
    contamination: float = 0.05,
    seed: int = 0,
) -> pd.DataFrame:
    """Compute how many cells are needed for a programme, at several depths.

    Returns one row per depth: sensitivity, cells to detect and cells to quantify the fraction.

    Parameters
    ----------
    program
        Name of a shipped programme or path of a TOML file.
    depths
        Median counts per cell.
    fraction
        Lowest true fraction of interest, between 0 and 1.
    contamination
        Mean share of ambient RNA in the counts of a cell, 0-1.
    seed
        Seed of the random generator.

    Raises
    ------
    ProgramError
        If the programme has no markers to call, or if a marker has no ``level_cp10k``.
    InputError
        If a number is out of range.
    """
    import pandas as pd

    from scdiff.assay.mixture import Model
    from scdiff.assay.plan import plan_cells

    (loaded,) = load_programs([program])
    if not loaded.markers:
        raise ProgramError(
            f"programme {loaded.name!r} has no markers to call: choose one that has markers."
        )
    unknown = [marker.name for marker in loaded.core if marker.level_cp10k is None]
    if unknown:
        raise ProgramError(
            f"programme {loaded.name!r}: {', '.join(unknown)} has no level_cp10k, which a plan "
            "needs. Add level_cp10k (counts per 10,000 if expressed) to the TOML file."
        )
    levels = tuple((marker.level_cp10k or 1.0) / 1e4 for marker in loaded.core)
    model = Model(levels, loaded.min_markers)
    plans = plan_cells(model, depths, fraction=fraction, contamination=contamination, seed=seed)
    return pd.DataFrame([vars(plan) for plan in plans])


def plan_view(table: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return the plan as rows of text, the heading first."""
    heading = ("depth", "sensitivity", "cells to detect", "cells to quantify")
    rows = (
        (
            f"{row.depth:,.0f}",
            f"{percent(row.sensitivity)} %",
            _round_up(row.cells_to_detect),
            _round_up(row.cells_to_quantify),
        )
        for row in cast("Any", table).itertuples()
    )
    return [heading, *rows]


def plan_sentence(table: pd.DataFrame, depth: float, *, fraction: float) -> str:
    """State the number of cells needed at one depth of the plan.

    Parameters
    ----------
    table
        The plan.
    depth
        One of its depths, median counts per cell.
    fraction
        Fraction that was planned for, 0-1.
    """
    row = table[table["depth"] == depth].iloc[0]
    return (
        f"To detect a fraction of {percent(fraction)} % with 95 % power at {depth:,.0f} counts per "
        f"cell, sequence {_round_up(row['cells_to_detect'])} cells; to quantify it, sequence "
        f"{_round_up(row['cells_to_quantify'])} cells. These are cells after quality control."
    )


def _round_up(number: float) -> str:
    """Format a number of cells, rounded up to two digits; 0 means that no number is enough."""
    if number <= 0:
        return "more than 10 million"
    step = 10 ** max(0, math.floor(math.log10(number)) - 1)
    return f"{math.ceil(number / step) * step:,.0f}"


def write_plan(table: pd.DataFrame, out: Path, *, fraction: float) -> None:
    """Write ``plan.csv`` and ``plan.png``.

    Parameters
    ----------
    table
        The plan.
    out
        Folder.
    fraction
        Fraction that was planned for, 0-1; it is in the title of the figure.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from scdiff.report.plots.plan import cells_by_depth
    from scdiff.report.plots.style import STYLE
    from scdiff.report.tables import write_table

    try:
        out.mkdir(parents=True, exist_ok=True)
        write_table(table, out / "plan.csv")
        with mpl.rc_context(cast("Any", STYLE)):
            figure = Figure(figsize=(4.5, 3.4), layout="constrained")
            ax = cells_by_depth(table, figure.add_subplot())
            ax.set_title(f"Cells needed for {percent(fraction)} %")
            figure.savefig(out / "plan.png", dpi=192, metadata={"Software": None})
    except OSError as error:
        raise OutputError(
            f"{out}: the plan cannot be written ({error.strerror or error}). "
            "Choose a folder with write permission."
        ) from error
