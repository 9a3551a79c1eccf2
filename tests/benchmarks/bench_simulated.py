"""Simulated batches whose markers rise gradually along the path: the fraction and its interval against the truth.

The simulator shares no density with the assay: expression rises with pseudotime, and INS spans three orders of magnitude
among positive cells. The other benchmarks mix real cells, most of which express INS strongly.

Run: python tests/benchmarks/bench_simulated.py [--seed 1] [--seeds 3]
"""

from __future__ import annotations

import argparse
import multiprocessing
import warnings
from itertools import product
from typing import Any

import pandas as pd
from sources import write

from scdiff.simulate import BatchDesign, simulate
from scdiff.vocabulary import FOUND, NO_NUMBER

FRACTIONS = (0.0, 0.03, 0.1, 0.2)
CONTINUA = (0.0, 1.0)
"""Intermediate cells per positive cell."""
CONTAMINATIONS = (0.02, 0.05, 0.1)
N_CELLS = 2_000
BIAS_FROM = 0.01
"""True fraction from which on the relative bias is stated."""


def measure(task: tuple[float, float, int]) -> dict[str, Any]:
    """Run the assay on one batch."""
    import scdiff

    warnings.simplefilter("ignore")
    fraction, continuum, seed = task
    design = BatchDesign(continuum=continuum, doublet_rate=0.0 if seed % 2 else 0.03)
    contamination = CONTAMINATIONS[seed % len(CONTAMINATIONS)]
    adata = simulate(
        n_cells=N_CELLS, fraction=fraction, contamination=contamination, design=design, seed=seed
    )
    truth = float(adata.obs["truth_positive"].mean())
    scdiff.pp.prepare(adata, counts="X")
    scdiff.tl.call(adata, programs=["pancreatic_progenitor"], null_sets=0)
    scdiff.tl.fraction(adata)
    table = adata.uns["scdiff"]["fractions"]
    row = table[(table["state"] == "progenitor_like") & (table["sample"] == "all")].iloc[0]
    return {
        "continuum": continuum,
        "truth": truth,
        "prevalence": row["prevalence"],
        "low": row["prevalence_low"],
        "high": row["prevalence_high"],
        "verdict": row["verdict"],
    }


def summarise(frame: pd.DataFrame) -> pd.DataFrame:
    """Compute one row per kind of batch, and one for all."""
    kinds = [*frame.groupby("continuum"), ("all", frame)]
    return pd.DataFrame([{"continuum": str(kind)} | _summarise_kind(part) for kind, part in kinds])


def _summarise_kind(frame: pd.DataFrame) -> dict[str, Any]:
    """Compute the figures of some batches; those of sure verdicts."""
    is_sure = ~frame["verdict"].isin(NO_NUMBER)
    sure = frame[is_sure]
    some = sure[sure["truth"] >= BIAS_FROM]
    held = (sure["low"] <= sure["truth"]) & (sure["truth"] <= sure["high"])
    found = frame["verdict"].isin(FOUND) & (frame["truth"] == 0)
    return {
        "batches": len(frame),
        "inconclusive": int((~is_sure).sum()),
        "false finds": int(found.sum()),
        "interval holds the truth": held.mean(),
        "relative bias": (some["prevalence"] / some["truth"] - 1).mean(),
        "worst error, points": (sure["prevalence"] - sure["truth"]).abs().max() * 100,
    }


def main() -> None:
    """Run all batches and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    seeds = range(asked.seed, asked.seed + asked.seeds)
    with multiprocessing.Pool(2) as pool:
        frame = pd.DataFrame(pool.map(measure, list(product(FRACTIONS, CONTINUA, seeds))))
    note = f"Seeds {seeds.start} to {seeds.stop - 1}; {len(frame)} batches of {N_CELLS:,} cells."
    write(summarise(frame), "simulated", notes=[note])


if __name__ == "__main__":
    main()
