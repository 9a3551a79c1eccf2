"""dose: the table of fractions as cells of a dose; not part of the pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from annotated_types import Gt, Le

from scdiff.assay.dose import DOSE_CELLS
from scdiff.options import step
from scdiff.record import read_record
from scdiff.vocabulary import NO_NUMBER, NOT_DETECTED

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["COLUMNS", "DoseCells", "Viability", "WeightKg", "dose", "read_dose_options"]

COLUMNS = (
    "program", "state", "sample", "verdict", "dose_cells", "viability", "weight_kg", "cells",
    "cells_low", "cells_high", "cells_per_kg", "cells_per_kg_low", "cells_per_kg_high", "bound",
)  # fmt: skip
"""Columns of the table, an interface."""

DoseCells = Annotated[float, Gt(0), Le(1e12)]
"""Cells of a dose, above 0 and at most 1e12."""
Viability = Annotated[float, Gt(0), Le(1)]
"""Share of the cells that is viable, above 0 and at most 1."""
WeightKg = Annotated[float, Gt(0), Le(1000)]
"""Body weight in kg, above 0 and at most 1,000."""


@step
def dose(
    adata: AnnData,
    *,
    cells: DoseCells = DOSE_CELLS,
    viability: Viability = 1.0,
    weight_kg: WeightKg | None = None,
) -> pd.DataFrame:
    """Return the expected number of positive cells in a dose, with 95 % interval.

    Use it after :func:`scdiff.tl.fraction`, for another dose than that of the report. The sequenced
    cells are assumed to represent the dose. The interval is that of the prevalence: sampling and,
    with two or more donors, differences between them. If the verdict is ``not detected``, there is
    only an upper bound; ``not measurable`` has no number.

    Parameters
    ----------
    adata
        Cells x genes; not changed.
    cells
        Cells of the dose as administered.
    viability
        Share of these cells that is viable; 1 if ``cells`` counts only viable cells. Sequenced
        cells are assumed to be viable.
    weight_kg
        Body weight, kg, for the cells per kg.

    Returns
    -------
    One row per row of the fractions. ``cells``, ``cells_low``, ``cells_high`` and, if the weight is
    known, ``cells_per_kg`` with its ends. ``bound`` names the source of ``cells_high``:
    ``interval``, or for what was not detected ``prevalence_high`` or the larger ``lob``.

    Reads
    -----
    uns["scdiff"]["fractions"]

    Raises
    ------
    ConfigError
        If an option is out of range.
    """
    import pandas as pd

    from scdiff.assay.dose import Dose, estimate_cells

    fractions = read_record(adata, "fractions")
    verdicts = fractions["verdict"].to_numpy(dtype=str)
    raw = fractions["prevalence_high"].isna().to_numpy()
    value, low, high = (
        np.where(raw, fractions[f"fraction{end}"], fractions[f"prevalence{end}"])
        for end in ("", "_low", "_high")
    )
    asked = Dose(cells, viability, weight_kg)
    found = estimate_cells(value, low, high, blank=fractions["lob"], verdicts=verdicts, dose=asked)
    weight = np.nan if weight_kg is None else weight_kg
    texts = ("program", "state", "sample", "verdict")
    frame: dict[str, Any] = {name: fractions[name].astype(str).to_numpy() for name in texts}
    given = {"dose_cells": cells, "viability": viability, "weight_kg": weight}
    frame |= {name: np.full(len(fractions), number, dtype=float) for name, number in given.items()}
    numbers = {"": found.cells, "_low": found.low, "_high": found.high}
    frame |= {f"cells{end}": values for end, values in numbers.items()}
    frame |= {f"cells_per_kg{end}": values / weight for end, values in numbers.items()}
    frame["bound"] = _name_bounds(verdicts, raw, found.by_blank)
    return pd.DataFrame(frame, columns=list(COLUMNS))


def _name_bounds(verdicts: np.ndarray, raw: np.ndarray, by_blank: np.ndarray) -> np.ndarray:
    """Name the source of the upper end of each row."""
    ends = np.where(by_blank, "lob", np.where(raw, "fraction_high", "prevalence_high"))
    bounds = np.where(verdicts == NOT_DETECTED, ends, "interval")
    return np.where(np.isin(verdicts, NO_NUMBER), "", bounds).astype(object)


def read_dose_options(adata: AnnData) -> dict[str, Any]:
    """Return the options of the recorded dose; empty if no dose was recorded.

    Reads
    -----
    uns["scdiff"]["dose"] (if present)
    """
    table = adata.uns.get("scdiff", {}).get("dose")
    if table is None or not len(table):
        return {}
    names = ("dose_cells", "viability", "weight_kg")
    options: dict[str, Any] = {name: float(table[name].iloc[0]) for name in names}
    if np.isnan(options["weight_kg"]):
        options["weight_kg"] = None
    return options
