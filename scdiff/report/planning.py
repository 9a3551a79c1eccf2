"""How many cells must be sequenced, as a table, a sentence and a figure."""

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
"""Depths that every plan shows, median counts per cell."""


def plan_table(program: str, depths: Sequence[float], *, fraction: float, contamination: float = 0.05, seed: int = 0) -> pd.DataFrame:
    """Plan a programme at several depths.

    Parameters
    ----------
    program
        Name of a shipped programme or path of a TOML file.
    depths
        Median counts per cell.
    fraction
        Least true fraction of interest, between 0 and 1.
    contamination
        Mean share of ambient counts, 0-1.
    seed
        Start of the random generator.

    Raises
    ------
    ProgramError
        If the programme has no markers to call.
    InputError
        If a number is out of range.
    """
    import pandas as pd

    from scdiff.assay.mixture import Model
    from scdiff.assay.plan import plan_cells

    (loaded,) = load_programs([program])
    if not loaded.markers:
        raise ProgramError(f"programme {loaded.name!r} has no markers to call: name one that has.")
    unknown = [marker.name for marker in loaded.core if marker.level_cp10k is None]
    if unknown:
        raise ProgramError(f"programme {loaded.name!r}: a plan needs level_cp10k of {', '.join(unknown)}; give it in the TOML file.")
    model = Model(tuple((marker.level_cp10k or 1.0) / 1e4 for marker in loaded.core), loaded.min_markers)
    plans = plan_cells(model, depths, fraction=fraction, contamination=contamination, seed=seed)
    return pd.DataFrame([vars(plan) for plan in plans])


def plan_view(table: pd.DataFrame) -> list[tuple[str, ...]]:
    """Say the plan as rows of words, the heading first."""
    heading = ("depth", "sensitivity", "cells to detect", "cells to quantify")
    rows = (
        (f"{row.depth:,.0f}", f"{percent(row.sensitivity)} %", _cells(row.cells_to_detect), _cells(row.cells_to_quantify))
        for row in cast("Any", table).itertuples()
    )
    return [heading, *rows]


def plan_sentence(table: pd.DataFrame, depth: float, *, fraction: float) -> str:
    """Answer the question at one depth of the plan.

    Parameters
    ----------
    table
        The plan.
    depth
        One of its depths.
    fraction
        Fraction that was planned for, 0-1.
    """
    row = table[table["depth"] == depth].iloc[0]
    return (
        f"To find {percent(fraction)} % of positive cells with 95 % power at {depth:,.0f} counts per cell, sequence "
        f"{_cells(row['cells_to_detect'])} cells; to quantify it, {_cells(row['cells_to_quantify'])} (cells left after quality control)."
    )


def _cells(number: float) -> str:
    """Say a number of cells, rounded up to two digits; more than any experiment where 0."""
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
        Fraction that was planned for, 0-1; stands above the figure.

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
            cells_by_depth(table, figure.add_subplot()).set_title(f"Cells needed for {percent(fraction)} %")
            figure.savefig(out / "plan.png", dpi=192, metadata={"Software": None})
    except OSError as error:
        raise OutputError(f"{out}: the plan cannot be written ({error.strerror or error}). Give a folder that can be written.") from error
