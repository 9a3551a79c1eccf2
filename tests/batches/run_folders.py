"""Rows of the tables of a run, for folders made by hand."""

from __future__ import annotations

from typing import Any

from scdiff.steps.fraction.step import COLUMNS

SPECIFICATION = """\
schema_version: 1
name: yield
version: "1"
title: Yield
source: field convention
suitability:
  - {id: cells, title: Cells, read_out: qc/cells, unit: cells, at_least: 100, judge: estimate, source: DOI}
criteria:
  - {id: positive, title: Positive cells, read_out: pancreatic_progenitor/progenitor_like, unit: "%", at_least: 2, source: DOI}
"""


def fraction_row(**changes: Any) -> dict[str, Any]:
    """Row of the main read-out: 4 % of 1,000 cells."""
    row = dict.fromkeys(COLUMNS, "") | {
        "program": "pancreatic_progenitor",
        "state": "progenitor_like",
        "sample": "all",
        "n_cells": 1000,
        "n_called": 36,
        "fraction": 0.036,
        "fraction_low": 0.0253,
        "fraction_high": 0.0495,
        "prevalence": 0.04,
        "prevalence_low": 0.029,
        "prevalence_high": 0.053,
        "prevalence_low_cells": 0.029,
        "prevalence_high_cells": 0.053,
        "lob": 0.001,
        "lod": 0.005,
        "lloq": 0.06,
        "verdict": "detected",
    }
    return row | changes


def csv_of(rows: list[dict[str, Any]]) -> str:
    lines = [",".join(rows[0]), *(",".join(str(value) for value in row.values()) for row in rows)]
    return "\n".join(lines) + "\n"
