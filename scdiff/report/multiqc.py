"""What MultiQC gathers over batches: columns of its general table, and one bar plot of states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scdiff import keys
from scdiff.assay.dose import upper_bound
from scdiff.report.plots.style import colours
from scdiff.report.verdict import main_row, state_phrase
from scdiff.vocabulary import NO_NUMBER, NOT_DETECTED, POOLED

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["general_statistics", "state_bars"]

_PERCENT = {"suffix": "%", "format": "{:,.3f}", "min": 0}
_COLUMNS: dict[str, dict[str, Any]] = {
    "verdict": {"title": "Verdict", "description": "not detected, detected, quantified, inconclusive or not measurable"},
    "prevalence": {
        "title": "Prevalence",
        "description": "corrected for dropout and background, percent of cells",
        "scale": "Oranges",
        **_PERCENT,
    },
    "prevalence_high": {
        "title": "At most",
        "description": "upper end of the 95 % interval, or the limit of blank where nothing was detected below it, percent of cells",
        "hidden": True,
        **_PERCENT,
    },
    "lod": {"title": "LOD", "description": "limit of detection, percent of cells", "hidden": True, **_PERCENT},
    "n_called": {"title": "Called", "description": "cells called positive", "format": "{:,.0f}", "scale": False},
    "n_cells": {"title": "Cells", "description": "cells after quality control", "format": "{:,.0f}", "scale": "Blues"},
}


def general_statistics(adata: AnnData, *, batch: str) -> dict[str, Any]:
    """Give the main programme's fraction of each sample as MultiQC custom content of the kind ``generalstats``.

    Parameters
    ----------
    adata
        The finished object.
    batch
        Name under which all samples together stand; left out where there is one sample only.

    Reads
    -----
    ``uns["scdiff"]["fractions"]``, ``uns["scdiff"]["call"]``
    """
    table, main = adata.uns["scdiff"]["fractions"], main_row(adata)
    rows = table[(table["program"].astype(str) == main["program"]) & (table["state"].astype(str) == main["state"])]
    single = len(rows) == 2
    data = {
        batch if row["sample"] == POOLED else str(row["sample"]): _entry(row)
        for row in rows.to_dict("records")
        if not (single and row["sample"] == POOLED)
    }
    phrase = state_phrase(str(main["program"]), str(main["state"]))
    headers = {
        name: {**column, "namespace": "scdiff", "description": f"{phrase}: {column['description']}"} for name, column in _COLUMNS.items()
    }
    return {"id": "scdiff", "plot_type": "generalstats", "headers": headers, "data": data}


def _entry(row: dict[Any, Any]) -> dict[str, Any]:
    """Take one row in MultiQC's units; missing values are left out, as JSON knows no NaN."""
    numbers = {name: 100 * float(row[name]) for name in ("prevalence", "prevalence_high", "lod") if row["verdict"] not in NO_NUMBER}
    if row["verdict"] == NOT_DETECTED:
        numbers["prevalence_high"] = 100 * float(upper_bound(row["prevalence_high"], row["lob"])[0])
    known = {name: value for name, value in numbers.items() if value == value}  # noqa: PLR0124
    return {"verdict": str(row["verdict"]), **known, "n_called": int(row["n_called"]), "n_cells": int(row["n_cells"])}


def state_bars(adata: AnnData) -> dict[str, Any]:
    """Give the cells of each sample by state as MultiQC custom content of the kind ``bargraph``.

    Reads
    -----
    ``obs["scdiff_state"]``, ``obs["sample"]``
    """
    numbers = _numbers(adata)
    palette = colours([str(state) for state in numbers.columns])
    return {
        "id": "scdiff_states",
        "section_name": "scdiff: states",
        "description": "Cells of each sample by the state that was called. Research use only: transcripts are measured, not function.",
        "plot_type": "bargraph",
        "pconfig": {"id": "scdiff_states_plot", "title": "scdiff: cells by state", "ylab": "cells"},
        "categories": {state: {"name": state.replace("_", "-"), "color": colour} for state, colour in palette.items()},
        "data": {str(sample): {str(state): int(value) for state, value in row.items()} for sample, row in numbers.to_dict("index").items()},
    }


def _numbers(adata: AnnData) -> pd.DataFrame:
    """Count cells by sample and state."""
    import pandas as pd

    return pd.crosstab(adata.obs[keys.SAMPLE.name].astype(str), adata.obs[keys.STATE.name].astype(str))
