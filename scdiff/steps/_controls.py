"""Rogan and Gladen's correction, where a negative and a positive control sample are declared."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.errors import InputError
from scdiff.steps._common import recorded

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

logger = logging.getLogger(__name__)

__all__ = ["corrected_by_controls", "positive_controls"]


def positive_controls(adata: AnnData) -> np.ndarray:
    """Cells of declared positive control samples, shape (n_cells,)."""
    named = [str(name) for name in recorded(adata, "input").get("positive_controls", ())]
    return np.asarray(adata.obs["sample"].astype(str).isin(named))


def corrected_by_controls(adata: AnnData, evidence: pd.DataFrame, found: Mapping[str, Any], min_markers: int) -> dict[str, pd.DataFrame]:
    """Fractions of the samples, corrected by the controls, as ``rogan_gladen``; empty unless both controls are there and differ.

    A cell counts by a rule that is the same in every sample: evidence for enough markers. The calls themselves will not
    do here, since their cut-off moves with each sample's own share of positives.

    Parameters
    ----------
    adata
        Cells x genes.
    evidence
        ln likelihood ratio on : off, cells x markers.
    found
        What the call recorded of the programme: its markers ``found``, and whether it is ``measurable``.
    min_markers
        Markers needed.
    """
    import pandas as pd

    from scdiff.assay.correction import rogan_gladen

    positive = positive_controls(adata)
    control = adata.obs["control"].to_numpy(dtype=bool) if "control" in adata.obs else positive
    if not found["measurable"] or not positive.any() or not (control & ~positive).any() or control.all():
        return {}
    counted = (evidence[[str(name) for name in found["found"]]].to_numpy() > 0).sum(axis=1) >= min_markers
    samples = adata.obs["sample"].astype(str).to_numpy()
    groups = {"all": ~control} | {str(name): samples == name for name in np.unique(samples[~control])}
    pair = [(int(counted[cells].sum()), int(cells.sum())) for cells in (control & ~positive, positive)]
    try:
        corrected = {name: rogan_gladen((int(counted[cells].sum()), int(cells.sum())), *pair) for name, cells in groups.items()}
    except InputError as error:
        logger.warning("%s", error)
        return {}
    return {"rogan_gladen": pd.DataFrame({name: vars(value) for name, value in corrected.items()}).T}
