"""What the empty droplets add: the same batches with and without the soup of the unfiltered matrix.

Twins: every cell holds a marker at the same low rate, made by the cells themselves (the soup, lysed cells, then holds as
much) or by contamination (the soup holds ten times as much, a tenth of each cell is soup). The counts of both are alike.
Titration: a part of the batches of bench_titration, 20,000 empty droplets of 50 counts each.

Run: python tests/benchmarks/bench_soup.py [--quick]
"""

from __future__ import annotations

import multiprocessing
import sys
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from bench_limits import DOUBLETS
from bench_titration import design, mix, others, true_fraction
from sources import assay, collapsed, marker_counts, write

from scdiff.assay.fit import fit_mixture
from scdiff.assay.mixture import Model, Soup
from scdiff.assay.table import tabulate

QUICK = "--quick" in sys.argv
N_TWINS, EVERY = (2, 24) if QUICK else (20, 3)
LEVEL, EMPTY_COUNTS = 4e-4, 1e6


def twin(task: tuple[int, int, float, bool]) -> dict[str, Any]:
    """Cells that hold one marker at ``share`` of its typical level, expressed or as contamination, read with and without the soup."""
    seed, n_cells, share, expressed = task
    generator, rate = np.random.default_rng([seed, n_cells, int(share * 1000)]), share * LEVEL
    depth = np.rint(generator.lognormal(np.log(5_000), 0.4, n_cells))
    counts = generator.poisson(rate * depth * generator.gamma(4, 1 / 4, n_cells))[:, None]
    soup = Soup(
        (float(generator.poisson(EMPTY_COUNTS * rate * (1 if expressed else 10))),), EMPTY_COUNTS
    )
    row: dict[str, Any] = {
        "cells": n_cells,
        "share_of_level": share,
        "truth": "expressed" if expressed else "contamination",
    }
    for name, empty in (("without", None), ("with_soup", soup)):
        fit = fit_mixture(tabulate(counts, depth), Model((LEVEL,), 1, soup=empty))
        row[name] = fit.prevalence
        row[f"{name}_right"] = (fit.prevalence > 0.5) == expressed
    return row


def titrated(index: int) -> dict[str, Any]:
    """One batch of the titration."""
    factors = design(index)
    good = collapsed(factors["kind"])
    rest = others(index, factors, good, collapsed("negative"))
    adata = mix(index, factors, good, rest, seed=70_000 + index)
    rate, truth = DOUBLETS if factors["doublets"] else 0.0, true_fraction(adata)
    profile = (1 - factors["soup_share"]) * pooled(rest) + factors["soup_share"] * pooled(good)
    drawn = np.random.default_rng(index).multinomial(int(EMPTY_COUNTS), profile)
    row = factors | {"truth": truth}
    for name, empty in (
        ("without", None),
        ("with_soup", Soup(tuple(drawn[:3].astype(float)), EMPTY_COUNTS)),
    ):
        answer = assay(*marker_counts(adata), doublet_rate=rate, soup=empty)
        row |= {
            name: abs(answer.prevalence - truth) * 100,
            f"{name}_held": answer.low <= truth <= answer.high,
        }
    return row


def pooled(adata: ad.AnnData) -> np.ndarray:
    """Composition of all cells together."""
    counts = np.asarray(adata.X.sum(0)).ravel()
    return counts / counts.sum()


def main() -> None:
    """Run both and write the tables."""
    for kind in ("islet", "e15", "negative"):
        collapsed(kind)
    tasks = [
        (s, n, share, yes)
        for n in (300, 3000)
        for share in (0.03, 0.12, 0.5)
        for yes in (True, False)
        for s in range(N_TWINS)
    ]
    with multiprocessing.Pool(2) as pool:
        twins = pd.DataFrame(pool.map(twin, tasks, chunksize=4))
        batches = pd.DataFrame(pool.map(titrated, range(1, 216, EVERY), chunksize=1))
    right = {
        "batches": ("without", "size"),
        "right_without": ("without_right", "mean"),
        "right_with_soup": ("with_soup_right", "mean"),
    }
    write(
        twins.groupby(["cells", "share_of_level", "truth"], as_index=False).agg(**right),
        "soup_twins",
    )
    error = {
        "batches": ("without", "size"),
        "without": ("without", "mean"),
        "worst_without": ("without", "max"),
    }
    error |= {"with_soup": ("with_soup", "mean"), "worst_with_soup": ("with_soup", "max")}
    error |= {
        "held_without": ("without_held", "mean"),
        "held_with_soup": ("with_soup_held", "mean"),
    }
    write(batches.groupby(["kind", "depth"], as_index=False).agg(**error), "soup_titration")


if __name__ == "__main__":
    main()
