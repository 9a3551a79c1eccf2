"""Beside the pipeline: the table of fractions as cells of a dose."""

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
    "program", "state", "sample", "verdict", "dose_cells", "viability", "weight_kg", "cells", "cells_low", "cells_high",
    "cells_per_kg", "cells_per_kg_low", "cells_per_kg_high", "bound",
)  # fmt: skip
"""Columns of the table, an interface."""

DoseCells = Annotated[float, Gt(0), Le(1e12)]
Viability = Annotated[float, Gt(0), Le(1)]
WeightKg = Annotated[float, Gt(0), Le(1000)]


@step
def dose(adata: AnnData, *, cells: DoseCells = DOSE_CELLS, viability: Viability = 1.0, weight_kg: WeightKg | None = None) -> pd.DataFrame:
    """Say for each row of the table of fractions how many cells of a dose are expected, with 95 % interval.

    Use it after :func:`scdiff.tl.fraction`, for a dose other than that of the report. The sampled cells are taken to stand
    for the dose. The interval is that of the prevalence: sampling and, with two or more donors, differences between them.
    Where the verdict is ``not detected`` there is an upper bound only; ``not measurable`` has no number.

    Parameters
    ----------
    adata
        Cells x genes; not changed.
    cells
        Cells of the dose as administered.
    viability
        Share of these that is viable; 1 where ``cells`` counts viable cells only. Sequenced cells stand for viable ones.
    weight_kg
        Body weight, kg, for the cells per kg.

    Returns
    -------
    One row per row of the fractions. ``cells``, ``cells_low``, ``cells_high`` and, where the weight is known,
    ``cells_per_kg`` with its ends. ``bound`` names where ``cells_high`` comes from: ``interval``, or of what was not
    detected ``prevalence_high`` or the larger ``lob``.

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
    value, low, high = (np.where(raw, fractions[f"fraction{end}"], fractions[f"prevalence{end}"]) for end in ("", "_low", "_high"))
    found = estimate_cells(value, low, high, blank=fractions["lob"], verdicts=verdicts, dose=Dose(cells, viability, weight_kg))
    weight = np.nan if weight_kg is None else weight_kg
    frame: dict[str, Any] = {name: fractions[name].astype(str).to_numpy() for name in ("program", "state", "sample", "verdict")}
    given = {"dose_cells": cells, "viability": viability, "weight_kg": weight}
    frame |= {name: np.full(len(fractions), number, dtype=float) for name, number in given.items()}
    numbers = {"": found.cells, "_low": found.low, "_high": found.high}
    frame |= {f"cells{end}": values for end, values in numbers.items()}
    frame |= {f"cells_per_kg{end}": values / weight for end, values in numbers.items()}
    return pd.DataFrame(frame | {"bound": _bounds(verdicts, raw, found.by_blank)}, columns=list(COLUMNS))


def _bounds(verdicts: np.ndarray, raw: np.ndarray, by_blank: np.ndarray) -> np.ndarray:
    """Name where the upper end of each row comes from."""
    ends = np.where(by_blank, "lob", np.where(raw, "fraction_high", "prevalence_high"))
    return np.where(np.isin(verdicts, NO_NUMBER), "", np.where(verdicts == NOT_DETECTED, ends, "interval")).astype(object)


def read_dose_options(adata: AnnData) -> dict[str, Any]:
    """Options of the report that were used for the recorded dose; empty where none was.

    Reads
    -----
    uns["scdiff"]["dose"] (where it is there)
    """
    table = adata.uns.get("scdiff", {}).get("dose")
    if table is None or not len(table):
        return {}
    cells, viability, weight = (float(table[name].iloc[0]) for name in ("dose_cells", "viability", "weight_kg"))
    return {"dose_cells": cells, "viability": viability, "weight_kg": None if np.isnan(weight) else weight}
