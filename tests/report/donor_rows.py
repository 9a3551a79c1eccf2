"""Fractions of samples of donors, for tests of donors and of their section."""

from __future__ import annotations

import numpy as np
import pandas as pd

from scdiff.steps.fraction.donors import donor_tables

MAIN = "pancreatic_progenitor"


def rows(prevalence, *, program=MAIN, verdict="quantified", n_cells=2000):
    """Fractions of samples s0, s1, ... and of all, with intervals of a plain count."""
    values = np.array([np.mean(prevalence), *prevalence])
    half = 1.96 * np.sqrt(values * (1 - values) / n_cells)
    ends = {
        "prevalence_low": np.clip(values - half, 0, 1),
        "prevalence_high": np.clip(values + half, 0, 1),
    }
    names = ["all", *(f"s{index}" for index in range(len(prevalence)))]
    return pd.DataFrame(
        {
            "program": program,
            "state": "positive",
            "sample": names,
            "n_cells": n_cells,
            "prevalence": values,
            **ends,
            "verdict": verdict,
        }
    )


def variation(prevalence, donors=None, **changed):
    names = {
        f"s{index}": donor
        for index, donor in enumerate(donors or [f"d{index}" for index in range(len(prevalence))])
    }
    return donor_tables(rows(prevalence, **changed), names, {})
