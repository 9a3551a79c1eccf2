"""Custom content for MultiQC: columns of its general table, and a bar plot of states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scdiff import keys
from scdiff.assay.dose import upper_bound
from scdiff.report.alerts import list_alerts
from scdiff.report.plots.style import colours
from scdiff.report.verdict import main_row, state_phrase
from scdiff.vocabulary import NO_NUMBER, NOT_DETECTED, POOLED

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["general_statistics", "state_bars"]

_PERCENT = {"suffix": "%", "format": "{:,.3f}", "min": 0}
_COLUMNS: dict[str, dict[str, Any]] = {
    "verdict": {
        "title": "Verdict",
        "description": "not detected, detected, quantified, inconclusive or not measurable",
    },
    "prevalence": {
        "title": "Prevalence",
        "description": "corrected for dropout and background, percent of cells",
        "scale": "Oranges",
        **_PERCENT,
    },
    "prevalence_high": {
        "title": "At most",
        "description": "upper end of the 95 % interval, percent of cells; if the verdict is not "
        "detected, the limit of blank if it is higher",
        "hidden": True,
        **_PERCENT,
    },
    "lod": {
        "title": "LOD",
        "description": "limit of detection, percent of cells",
        "hidden": True,
        **_PERCENT,
    },
    "alerts": {
        "title": "Alerts",
        "description": "number of alerts of the batch; the report lists them",
        "format": "{:,.0f}",
        "scale": "Reds",
        "min": 0,
    },
    "n_called": {
        "title": "Called",
        "description": "cells called positive",
        "format": "{:,.0f}",
        "scale": False,
    },
    "n_cells": {
        "title": "Cells",
        "description": "cells after quality control",
        "format": "{:,.0f}",
        "scale": "Blues",
    },
}
"""Columns in MultiQC's general table."""


def general_statistics(adata: AnnData, *, batch: str) -> dict[str, Any]:
    """Return the main programme's fraction of each sample, as MultiQC's ``generalstats``.

    MultiQC merges rows with the same name, so each sample is named together with its batch.

    Parameters
    ----------
    adata
        Result of all steps.
    batch
        Name of the batch and of the row of all samples pooled. With one sample, there is no pooled
        row.

    Reads
    -----
    ``uns["scdiff"]["fractions"]``, ``uns["scdiff"]["call"]``
    """
    table, main = adata.uns[keys.ROOT][keys.FRACTIONS.name], main_row(adata)
    is_main = table["program"].astype(str) == main["program"]
    rows = table[is_main & (table["state"].astype(str) == main["state"])]
    has_one_sample, alerts = len(rows) == 2, {"alerts": len(list_alerts(adata))}
    data = {
        batch
        if row["sample"] == POOLED
        else _name_row(batch, row["sample"], alone=has_one_sample): _read_entry(row) | alerts
        for row in rows.to_dict("records")
        if not (has_one_sample and row["sample"] == POOLED)
    }
    phrase = state_phrase(str(main["program"]), str(main["state"]))
    headers = {
        name: column | {"namespace": "scdiff", "description": f"{phrase}: {column['description']}"}
        for name, column in _COLUMNS.items()
    }
    return {"id": "scdiff", "plot_type": "generalstats", "headers": headers, "data": data}


def _read_entry(row: dict[Any, Any]) -> dict[str, Any]:
    """Return one row, fractions in percent; missing values are left out, since JSON has no NaN."""
    names = () if row["verdict"] in NO_NUMBER else ("prevalence", "prevalence_high", "lod")
    numbers = {name: 100 * float(row[name]) for name in names}
    if row["verdict"] == NOT_DETECTED:
        bounds, _ = upper_bound(row["prevalence_high"], row["lob"])
        numbers["prevalence_high"] = 100 * float(bounds)
    known = {name: value for name, value in numbers.items() if value == value}  # noqa: PLR0124  # NaN
    sizes = {"n_called": int(row["n_called"]), "n_cells": int(row["n_cells"])}
    return {"verdict": str(row["verdict"]), **known, **sizes}


def _name_row(batch: str, sample: object, *, alone: bool) -> str:
    """Return the name of the row of a sample: the batch and the sample, or one name for both."""
    return batch if alone and sample == batch else f"{batch}: {sample}"


def state_bars(adata: AnnData, *, batch: str) -> dict[str, Any]:
    """Return the number of cells of each sample by state, as MultiQC's ``bargraph``.

    Parameters
    ----------
    adata
        Result of all steps.
    batch
        Name of the batch. The rows have the same names as in :func:`general_statistics`.

    Reads
    -----
    ``obs["scdiff_state"]``, ``obs["sample"]``
    """
    numbers = _count_states(adata)
    palette = colours([str(state) for state in numbers.columns])
    return {
        "id": "scdiff_states",
        "section_name": "scdiff: states",
        "description": "Cells of each sample by called state. Research use only: transcripts are "
        "measured, not function.",
        "plot_type": "bargraph",
        "pconfig": {"id": "scdiff_states_plot", "title": "scdiff: cells by state", "ylab": "cells"},
        "categories": {
            state: {"name": state.replace("_", "-"), "color": colour}
            for state, colour in palette.items()
        },
        "data": {
            _name_row(batch, sample, alone=len(numbers) == 1): {
                str(state): int(value) for state, value in row.items()
            }
            for sample, row in numbers.to_dict("index").items()
        },
    }


def _count_states(adata: AnnData) -> pd.DataFrame:
    """Count cells by sample and state."""
    import pandas as pd

    samples, states = adata.obs[keys.SAMPLE.name], adata.obs[keys.STATE.name]
    return pd.crosstab(samples.astype(str), states.astype(str))
