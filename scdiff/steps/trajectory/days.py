"""The time course: how the states, the fates and the committed cells change from day to day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scdiff.steps.shared.days import DAY, parse_days
from scdiff.steps.trajectory.committed import compute_committed_share

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from scdiff.steps.trajectory.committed import Threshold

__all__ = ["DAY", "days_of", "falls", "time_course"]

STATE = "state:"
ALPHA = 0.05
DIGITS = 9


def days_of(adata: AnnData) -> np.ndarray:
    """Day of each cell, read as :func:`scdiff.steps.shared.days.parse_days` reads it, NaN where it is not given; shape (n_cells,)."""
    return parse_days(adata.obs[DAY]) if DAY in adata.obs else np.full(adata.n_obs, np.nan)


def time_course(
    day: np.ndarray, state: np.ndarray, positive: np.ndarray, fate: np.ndarray, position: np.ndarray, threshold: Threshold | None
) -> pd.DataFrame:
    """Count every day; empty with fewer than two days.

    Parameters
    ----------
    day
        Day of each cell, NaN where not known, shape (n_cells,).
    state, positive
        Sub-state of each cell and whether it is called; shape (n_cells,) each.
    fate, position
        Of each cell, NaN where not known; shape (n_cells,) each.
    threshold
        Where the start ends; None where no cell has a position.

    Returns
    -------
    Days x n_cells, n_called, fraction (called, 0-1) with fraction_low and fraction_high, n_beyond, committed with low and high,
    mean_fate with fate_low and fate_high (over cells), and the share of each state in a column ``state:<name>``.
    """
    import pandas as pd

    from scdiff.assay.intervals import clopper_pearson

    known, names = np.unique(day[np.isfinite(day)]), sorted(set(state))
    rows = []
    for value in known if len(known) > 1 else ():
        cells = day == value
        n_cells, n_called = int(cells.sum()), int(positive[cells].sum())
        low, high = clopper_pearson(n_called, n_cells)
        row = {"n_cells": n_cells, "n_called": n_called, "fraction": n_called / n_cells, "fraction_low": low, "fraction_high": high}
        found = compute_committed_share(position[cells], threshold) if threshold else (np.nan,) * 4
        row |= dict(zip(("n_beyond", "committed", "low", "high"), found, strict=True))
        row |= dict(zip(("mean_fate", "fate_low", "fate_high"), _mean(fate[cells]), strict=True))
        rows.append(row | {f"{STATE}{name}": float((state[cells] == name).mean()) for name in names})
    return pd.DataFrame(rows, index=pd.Index([f"{value:.15g}" for value in (known if rows else ())], dtype=object, name=DAY))


def _mean(fate: np.ndarray) -> tuple[float, float, float]:
    """Mean of the known fates with its 95 % interval, NaN where none is known."""
    known = np.sort(fate[np.isfinite(fate)])  # in this order the sum does not depend on that of the cells
    if not len(known):
        return np.nan, np.nan, np.nan
    mean, error = float(known.mean()), 1.96 * float(known.std()) / len(known) ** 0.5
    return round(mean, DIGITS), round(max(mean - error, 0.0), DIGITS), round(min(mean + error, 1.0), DIGITS)


def falls(table: pd.DataFrame) -> list[str]:
    """Name the days at which fewer cells are called than on a day before, beyond chance.

    A course of differentiation does not run backwards; where the share falls, cells died, were lost, or the batches differ.
    Every day is tested against the day before by Fisher's exact test, one-sided, all tests together at the 5 % level.
    Cells are counted, not donors: how much samples differ anyhow is not in it.
    """
    from scipy.stats import fisher_exact

    called, cells = table["n_called"].to_numpy(), table["n_cells"].to_numpy()
    found = []
    for place in range(1, len(table)):
        counts = [[called[place - 1], cells[place - 1] - called[place - 1]], [called[place], cells[place] - called[place]]]
        if fisher_exact(counts, alternative="greater").pvalue < ALPHA / (len(table) - 1):
            found.append(str(table.index[place]))
    return found
