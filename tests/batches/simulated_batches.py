"""Runs of simulated batches with known truth, without folders."""

from __future__ import annotations

import hashlib
import sys

import numpy as np
from scipy import stats

from scdiff.batches.folder import RunFolder
from scdiff.batches.history import Facts, open_history

MAIN = ("pancreatic_progenitor", "progenitor_like")


def readout(n_cells, n_called, *, sample="all", lob=0.001, detected=None):
    """A row of fractions.csv whose prevalence is the called fraction."""
    fraction = n_called / n_cells
    low = stats.beta.ppf(0.025, n_called, n_cells - n_called + 1) if n_called else 0.0
    high = stats.beta.ppf(0.975, n_called + 1, n_cells - n_called)
    found = (n_called >= 3 and fraction > lob) if detected is None else detected
    ends = {
        "prevalence_low": low,
        "prevalence_high": high,
        "prevalence_low_cells": low,
        "prevalence_high_cells": high,
    }
    verdict = ("quantified" if n_called >= 50 else "detected") if found else "not detected"
    return {
        "program": MAIN[0],
        "state": MAIN[1],
        "sample": sample,
        "n_cells": n_cells,
        "n_called": n_called,
        "fraction": fraction,
        "fraction_low": low,
        "fraction_high": high,
        "prevalence": fraction,
        **ends,
        "lob": lob,
        "lod": 2 * lob,
        "lloq": 5 * lob,
        "verdict": verdict,
    }


def run_of(
    name, n_cells=3000, n_called=90, *, version="0.1.0", options="a" * 64, program=None, **more
):
    """A run with one read-out, without a folder."""
    row = {
        "scdiff": version,
        "options": options,
        "qc": '{"median_counts":4000.0}',
        "report": f"/results/{name}/report.html",
        "fractions_sha256": hashlib.sha256(f"{name} {n_cells} {n_called}".encode()).hexdigest(),
        "inputs": f'{{"all":"{name}"}}',
        "programs": program and f'{{"{MAIN[0]}":"{program}"}}',
    }
    return RunFolder(name, row, [readout(n_cells, n_called, **more)])


def draw(generator, n_batches, *, fraction=0.03, spread=0.3, shift=0.0):
    """Cells (500 to 20,000) and called cells of batches whose logits vary and step by ``shift``."""
    n_cells = np.exp(generator.uniform(np.log(500), np.log(20_000), n_batches)).astype(int)
    logit = np.log(fraction / (1 - fraction)) + shift + spread * generator.normal(size=n_batches)
    return n_cells, generator.binomial(n_cells, 1 / (1 + np.exp(-logit)))


def logits(n_cells, n_called):
    """Logit of each called fraction, with half a cell added to both sides."""
    return np.log((n_called + 0.5) / (n_cells - n_called + 0.5))


def write_runs(url, prefix, n_runs):
    """Append runs, a transaction each; say when it began, for whoever kills this process."""
    history = open_history(url, create=True)
    for index in range(n_runs):
        history.add_run(run_of(f"{prefix}{index:05d}"), Facts())
        if index == 0:
            sys.stdout.write("begun\n")
            sys.stdout.flush()
