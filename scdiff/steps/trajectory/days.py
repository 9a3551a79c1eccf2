"""The time course: how states, fates and committed cells change from day to day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scdiff.steps.shared.days import DAY, parse_days
from scdiff.steps.trajectory.committed import compute_committed_share

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from scdiff.steps.trajectory.committed import Threshold

__all__ = ["DAY", "find_falls", "read_days", "tabulate_days"]

STATE = "state:"
"""Prefix of the columns with the share of each state."""
ALPHA = 0.05
"""Level of the tests for a fall, all days together; the usual 5 %."""
DIGITS = 9
"""Decimals of a mean: later ones depend on the order of a sum."""


def read_days(adata: AnnData) -> np.ndarray:
    """Return the day of each cell, NaN if it is missing; shape (n_cells,).

    Days are read by :func:`scdiff.steps.shared.days.parse_days`.
    """
    return parse_days(adata.obs[DAY]) if DAY in adata.obs else np.full(adata.n_obs, np.nan)


def tabulate_days(
    day: np.ndarray,
    state: np.ndarray,
    positive: np.ndarray,
    fate: np.ndarray,
    position: np.ndarray,
    threshold: Threshold | None,
) -> pd.DataFrame:
    """Count the cells of every day; empty with fewer than two days.

    Parameters
    ----------
    day
        Day of each cell, NaN if unknown, shape (n_cells,).
    state, positive
        Sub-state of each cell and whether it is called; shape (n_cells,) each.
    fate, position
        Of each cell, NaN if unknown; shape (n_cells,) each.
    threshold
        Where the start ends; None if no cell has a position.

    Returns
    -------
    Days x n_cells, n_called, fraction (called, 0-1) with fraction_low and fraction_high, n_beyond,
    committed with low and high, mean_fate with fate_low and fate_high (over cells), and the share
    of each state in a column ``state:<name>``.
    """
    import pandas as pd

    from scdiff.assay.intervals import clopper_pearson

    known, names = np.unique(day[np.isfinite(day)]), sorted(set(state))
    known = known if len(known) > 1 else known[:0]
    rows = []
    for value in known:
        cells = day == value
        n_cells, n_called = int(cells.sum()), int(positive[cells].sum())
        low, high = clopper_pearson(n_called, n_cells)
        row = {"n_cells": n_cells, "n_called": n_called, "fraction": n_called / n_cells}
        row |= {"fraction_low": low, "fraction_high": high}
        found = (np.nan,) * 4
        if threshold:
            found = compute_committed_share(position[cells], threshold)
        row |= dict(zip(("n_beyond", "committed", "low", "high"), found, strict=True))
        row |= dict(
            zip(("mean_fate", "fate_low", "fate_high"), _average_fate(fate[cells]), strict=True)
        )
        rows.append(
            row | {f"{STATE}{name}": float((state[cells] == name).mean()) for name in names}
        )
    index = pd.Index([f"{value:.15g}" for value in known], dtype=object, name=DAY)
    return pd.DataFrame(rows, index=index)


def _average_fate(fate: np.ndarray) -> tuple[float, float, float]:
    """Return the mean of the known fates with its 95 % interval; NaN if all are unknown."""
    known = np.sort(fate[np.isfinite(fate)])  # sorted, so the sum does not depend on the cell order
    if not len(known):
        return np.nan, np.nan, np.nan
    mean, error = float(known.mean()), 1.96 * float(known.std()) / len(known) ** 0.5
    return (
        round(mean, DIGITS),
        round(max(mean - error, 0.0), DIGITS),
        round(min(mean + error, 1.0), DIGITS),
    )


def find_falls(table: pd.DataFrame) -> list[str]:
    """Name the days at which fewer cells are called than on the day before, beyond chance.

    A course of differentiation does not run backwards. If the share falls, cells died or were lost,
    or the batches differ. Every day is tested against the day before by Fisher's exact test,
    one-sided, all tests together at the 5 % level. The unit is the cell, not the donor: the usual
    differences between samples are not included.
    """
    from scipy.stats import fisher_exact

    called, cells = table["n_called"].to_numpy(), table["n_cells"].to_numpy()
    found = []
    for place in range(1, len(table)):
        counts = [[called[day], cells[day] - called[day]] for day in (place - 1, place)]
        if fisher_exact(counts, alternative="greater").pvalue < ALPHA / (len(table) - 1):
            found.append(str(table.index[place]))
    return found
