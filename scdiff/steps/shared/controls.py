"""Rogan and Gladen's correction, where a negative and a positive control sample are declared."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.errors import InputError
from scdiff.programs import Program
from scdiff.record import read_record
from scdiff.steps.shared.markers import MarkerCounts
from scdiff.vocabulary import POOLED

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

logger = logging.getLogger(__name__)

__all__ = ["correct_by_controls", "positive_controls"]


def positive_controls(adata: AnnData) -> np.ndarray:
    """Cells of declared positive control samples, shape (n_cells,)."""
    named = [str(name) for name in read_record(adata, "input").get("positive_controls", ())]
    return np.asarray(adata.obs["sample"].astype(str).isin(named))


def correct_by_controls(adata: AnnData, program: Program, read: MarkerCounts, found: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Fractions of the samples, corrected by the controls, as ``rogan_gladen``; empty unless both controls are there and differ.

    A cell counts by a rule that is the same in every sample: evidence for enough markers, by the background and levels of
    the pooled samples. The calls themselves will not do here: their cut-off moves with each sample's own positives.

    Parameters
    ----------
    adata
        Cells x genes.
    program
        What was called.
    read
        Depth and marker counts of the cells.
    found
        What the call recorded of it: its markers ``found``, whether it is ``measurable``, and its ``fits``.
    """
    import pandas as pd

    from scdiff.assay.correction import rogan_gladen

    positive = positive_controls(adata)
    control = adata.obs["control"].to_numpy(dtype=bool) if "control" in adata.obs else positive
    if not found["measurable"] or not positive.any() or not (control & ~positive).any() or control.all():
        return {}
    counted = _with_evidence(program, read, found) >= program.min_markers
    samples = adata.obs["sample"].astype(str).to_numpy()
    groups = {POOLED: ~control} | {str(name): samples == name for name in np.unique(samples[~control])}
    pair = [(int(counted[cells].sum()), int(cells.sum())) for cells in (control & ~positive, positive)]
    try:
        corrected = {name: rogan_gladen((int(counted[cells].sum()), int(cells.sum())), *pair) for name, cells in groups.items()}
    except InputError as error:
        logger.warning("%s", error)
        return {}
    return {"rogan_gladen": pd.DataFrame({name: vars(value) for name, value in corrected.items()}).T}


def _with_evidence(program: Program, read: MarkerCounts, found: Mapping[str, Any]) -> np.ndarray:
    """Count the markers that each cell has evidence for, by the parameters of the pooled samples; shape (n_cells,)."""
    from scdiff.assay.calls import marker_evidence
    from scdiff.assay.samples import fit_from_record

    core = [marker for marker in program.core if marker.name in {str(name) for name in found["found"]}]
    fit = fit_from_record(found["fits"].loc[POOLED].to_dict(), read.of(core), read.depth)
    seen = [marker_evidence(fit.parameters, index, marker)[marker.row] > 0 for index, marker in enumerate(fit.table.markers)]
    return np.asarray(np.sum(seen, axis=0)[fit.table.cell_row])
