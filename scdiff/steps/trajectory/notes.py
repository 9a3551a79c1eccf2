"""Write the notes that limit how a trajectory may be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scdiff import keys
from scdiff.steps.shared.days import DAY, list_unreadable_days
from scdiff.steps.trajectory.days import find_falls
from scdiff.steps.trajectory.outcome import select_positive

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from scdiff.steps.trajectory.path import Path
    from scdiff.steps.trajectory.root import Root

__all__ = ["list_notes"]

STRETCHED = 0.2
"""Pseudotime, 0-1, below which 95 % of the cells are if a few distant cells stretch the scale.

Chosen, not tuned.
"""
APART = (
    "The start and the positive end are in different samples: "
    "a difference between batches would look like a gap between them."
)
"""Note if no sample holds both ends."""


def list_notes(
    adata: AnnData,
    component: np.ndarray,
    start: Root,
    pseudotime: np.ndarray,
    path: Path,
    days: pd.DataFrame,
) -> list[str]:
    """Return the notes that limit how this trajectory may be read, one or two sentences each."""
    return [
        *_list_notes_on_reach(adata, component, start),
        *_list_notes_on_order(pseudotime),
        *_list_notes_on_calls(adata, component == component[start.cell]),
        *_list_notes_on_days(adata, days),
        *([] if path.together else [APART]),
    ]


def _list_notes_on_reach(adata: AnnData, component: np.ndarray, start: Root) -> list[str]:
    """Return the notes on cells that no path joins to the root."""
    lost, notes = component != component[start.cell], []
    if lost.any():
        notes.append(
            f"No path joins {lost.sum()} of {len(lost)} cells to the root (other components): "
            "they have no pseudotime."
        )
    if component.max() > 0 and _has_one_sample_each(adata, component):
        notes.append(
            "Every component holds cells of one sample only: "
            "differences of batch and of state cannot be distinguished."
        )
    return notes


def _list_notes_on_order(pseudotime: np.ndarray) -> list[str]:
    """Return the notes on the scale of the pseudotime."""
    values = pseudotime[np.isfinite(pseudotime)]
    if len(values) == 1:
        return [
            (
                "The cells of the root's component cannot be ordered: "
                "they are fewer than five, or all the same."
            )
        ]
    if np.quantile(values, 0.95) < STRETCHED:
        return [
            (
                "A few distant cells stretch the scale: "
                f"95 % of the cells have a pseudotime below {STRETCHED}."
            )
        ]
    return []


def _list_notes_on_calls(adata: AnnData, reached: np.ndarray) -> list[str]:
    """Return the notes on the called cells of the main programme."""
    positive, notes = select_positive(adata), []
    if adata.obs[keys.PROBABILITY.name].isna().all():
        notes.append(
            "The main programme cannot be measured here, so the root was chosen without it."
        )
    elif not positive.any():
        notes.append(
            "No cell is called positive: the order shows variation among the cells, "
            "not a course toward the progenitor-like state."
        )
    lost = int((positive & ~reached).sum())
    if lost:
        notes.append(f"{lost} of {positive.sum()} positive cells have no path from the root.")
    return notes


def _list_notes_on_days(adata: AnnData, days: pd.DataFrame) -> list[str]:
    """Return the notes on unreadable days, and on days with a lower share of called cells."""
    notes = []
    odd = list_unreadable_days(adata.obs[DAY].dropna().unique()) if DAY in adata.obs else []
    if odd:
        listed = ", ".join(odd[:3]) + ", ..." * (len(odd) > 3)
        notes.append(
            f'{len(odd)} values of obs["{DAY}"] cannot be read as a day ({listed}): '
            "their cells have no day."
        )
    fell = find_falls(days) if len(days) else []
    if fell:
        notes.append(
            f"Fewer cells are called on day {', '.join(fell)} than on the day before, beyond "
            "chance: a course does not run backwards. Cells may have been lost, or the batches "
            "differ."
        )
    return notes


def _has_one_sample_each(adata: AnnData, component: np.ndarray) -> bool:
    """Check whether there are several samples, but no component holds cells of two."""
    if "sample" not in adata.obs or adata.obs[keys.SAMPLE.name].nunique() < 2:
        return False
    samples = adata.obs[keys.SAMPLE.name].astype(str).to_numpy()
    parts = (samples[component == number] for number in range(component.max() + 1))
    return all(len(np.unique(part)) == 1 for part in parts)
