"""Rogan and Gladen's correction from a negative and a positive control sample."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff import keys
from scdiff.errors import InputError
from scdiff.programs import Program
from scdiff.record import read_record
from scdiff.steps.shared.markers import MarkerCounts
from scdiff.vocabulary import POOLED

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

logger = logging.getLogger(__name__)

__all__ = ["correct_by_controls", "select_positive_controls"]


def select_positive_controls(adata: AnnData) -> np.ndarray:
    """Find the cells of declared positive control samples, shape (n_cells,)."""
    named = [str(name) for name in read_record(adata, "input").get("positive_controls", ())]
    return np.asarray(adata.obs[keys.SAMPLE.name].astype(str).isin(named))


def correct_by_controls(
    adata: AnnData, program: Program, read: MarkerCounts, found: Mapping[str, Any]
) -> dict[str, pd.DataFrame]:
    """Correct the fractions of the samples by the controls, as ``rogan_gladen``.

    A cell counts by a rule that is the same in every sample: evidence for enough markers, by the
    background and levels of the pooled samples. The calls themselves cannot be used: their
    threshold depends on the positive cells of each sample.

    Parameters
    ----------
    adata
        Cells x genes.
    program
        The called programme.
    read
        Depth and marker counts of the cells.
    found
        What the call recorded of the programme: its markers ``found``, whether it is
        ``measurable``, and its ``fits``.

    Returns
    -------
    One row per sample; empty without both controls, or if the controls do not differ.
    """
    import pandas as pd

    from scdiff.assay.correction import rogan_gladen

    positive = select_positive_controls(adata)
    control = (
        adata.obs[keys.CONTROL.name].to_numpy(dtype=bool) if "control" in adata.obs else positive
    )
    has_both = positive.any() and (control & ~positive).any()
    if not found["measurable"] or not has_both or control.all():
        return {}
    counted = _count_markers(program, read, found) >= program.min_markers
    samples = adata.obs[keys.SAMPLE.name].astype(str).to_numpy()
    groups = {POOLED: ~control}
    groups |= {str(name): samples == name for name in np.unique(samples[~control])}

    def count(cells: np.ndarray) -> tuple[int, int]:
        return int(counted[cells].sum()), int(cells.sum())

    pair = count(control & ~positive), count(positive)
    try:
        corrected = {name: rogan_gladen(count(cells), *pair) for name, cells in groups.items()}
    except InputError as error:
        logger.warning("%s", error)
        return {}
    return {
        "rogan_gladen": pd.DataFrame({name: vars(value) for name, value in corrected.items()}).T
    }


def _count_markers(program: Program, read: MarkerCounts, found: Mapping[str, Any]) -> np.ndarray:
    """Count the markers that each cell has evidence for, shape (n_cells,).

    The evidence uses the parameters of the pooled samples.
    """
    from scdiff.assay.calls import marker_evidence
    from scdiff.assay.samples import fit_from_record

    present = {str(name) for name in found["found"]}
    core = [marker for marker in program.core if marker.name in present]
    fit = fit_from_record(found["fits"].loc[POOLED].to_dict(), read.of(core), read.depth)
    seen = [
        marker_evidence(fit.parameters, index, marker)[marker.row] > 0
        for index, marker in enumerate(fit.table.markers)
    ]
    return np.asarray(np.sum(seen, axis=0)[fit.table.cell_row])
