"""Zero batches, rare batches, and the coverage of the interval, each over many batches with new seeds.

The profile-likelihood interval stands beside the bootstrap: cells drawn again 39 times, lowest and highest estimate.

The printed limits are held to batches with exactly the LOD, and the LLOQ, of positive cells: real islet cells in real stromal cells,
all ideal, or half of them without INS. Of these halves, the shares of the sub-states are compared with the truth.

Run: python tests/benchmarks/bench_limits.py [--quick] [--coverage] [--limits] [--states]
"""

from __future__ import annotations

import multiprocessing
import sys
import warnings
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from sources import Answer, as_loaded, assay, collapsed, marker_counts, model, write

from scdiff.assay.fit import fit_mixture
from scdiff.assay.table import tabulate
from scdiff.simulate import keep_markers, pair_cells, titrate

QUICK = "--quick" in sys.argv
N_ZERO, N_RARE, N_COVER, N_BOOTSTRAP = (72, 12, 60, 5) if QUICK else (504, 100, 500, 10)
N_PRINT, N_AT_LIMIT, MOST_LIMIT = (3, 20, 0.5) if QUICK else (10, 200, 0.5)
N_STATES = 3 if QUICK else 20
N_AGAIN = 39
"""Of so many estimates the lowest and the highest hold 95 %."""
SOUPS = [(0.0, 0.0), (0.02, 0.1), (0.05, 0.3), (0.1, 0.02), (0.1, 0.3), (0.2, 0.3)]
DEPTHS = [1000.0, 4000.0, 20000.0]
NUISANCE, DOUBLETS = 0.005, 0.08


def batch(
    seed: int,
    n_cells: int,
    fraction: float,
    depth: float,
    soup: tuple[float, float],
    nuisance: bool,
    doublets: bool,
) -> Answer:
    """Titrate beta cells into stromal cells and run the assay."""
    options: dict[str, Any] = {"depth": depth, "contamination": soup[0], "soup_share": soup[1]}
    good, rest = collapsed("islet"), collapsed("negative")
    if nuisance:
        rest = with_nuisance(rest, good, seed)
    adata = titrate(good, rest, n_cells=n_cells, fraction=fraction, seed=seed, **options)
    if doublets:
        adata = pair_cells(adata, rate=DOUBLETS, seed=seed)
    return assay(*marker_counts(adata), doublet_rate=DOUBLETS if doublets else 0.0)


def with_nuisance(rest: Any, good: Any, seed: int, n_cells: int = 10_000) -> Any:
    """Add cells that carry one marker only: 0.5 % PDX1-only and 0.5 % INS-only among the negatives."""
    import anndata as ad

    generator = np.random.default_rng(seed)
    parts = [rest[generator.integers(rest.n_obs, size=n_cells)]]
    names = [name for name in ("Pdx1", "Nkx6-1", "Ins1", "Ins2") if name in good.var_names]
    for kept in ("Pdx1", "Ins"):
        cells = good[generator.integers(good.n_obs, size=int(NUISANCE * n_cells))]
        parts.append(
            keep_markers(
                cells, keep=[name for name in names if name.startswith(kept)], markers=names
            )
        )
    warnings.simplefilter("ignore")
    joined = ad.concat(parts, join="outer", fill_value=0)
    joined.obs_names = [f"n{index}" for index in range(joined.n_obs)]
    return joined


def zero(index: int) -> dict[str, Any]:
    """One batch without any positive cell."""
    soup, depth = SOUPS[index % len(SOUPS)], DEPTHS[index // len(SOUPS) % len(DEPTHS)]
    nuisance, doublets = bool(index // 18 % 2), bool(index // 36 % 2)
    answer = batch(10_000 + index, 3000, 0.0, depth, soup, nuisance, doublets)
    return {
        "depth": depth,
        "contamination": soup[0],
        "soup_share": soup[1],
        "nuisance": nuisance,
        "doublets": doublets,
        **_said(answer),
    }


def rare(index: int) -> dict[str, Any]:
    """One batch of 10,000 cells with 0.1 % positives."""
    soup = SOUPS[index % len(SOUPS)]
    return {
        "contamination": soup[0],
        "soup_share": soup[1],
        **_said(batch(20_000 + index, 10_000, 0.001, 4000.0, soup, False, False)),
    }


def _said(answer: Answer) -> dict[str, Any]:
    return {
        "prevalence": answer.prevalence,
        "high": answer.high,
        "n_called": int(answer.called.sum()),
        "verdict": answer.verdict,
    }


def covers(task: tuple[int, float, float, float]) -> dict[str, Any]:
    """One batch drawn from the assay's own model: does the interval hold the truth?"""
    seed, truth, depth, contamination = task
    generator, assumed = (
        np.random.default_rng([seed, int(truth * 1e6), int(depth), int(contamination * 1e3)]),
        model(),
    )
    n_cells = 2000
    level = np.array(assumed.level) * np.exp(generator.normal(0, 0.4, 3))
    background = level * contamination * 0.3
    total = generator.lognormal(np.log(depth), 0.4, n_cells).round()
    positive = generator.random(n_cells) < truth
    on = np.where(
        positive[:, None],
        generator.random((n_cells, 3)) < 0.85,
        generator.random((n_cells, 3)) < 0.005,
    )
    on[positive & (on.sum(1) < 2)] = True
    negative_but_double = ~positive & (on.sum(1) >= 2)
    on[negative_but_double] = False
    dirt = generator.lognormal(-0.125, 0.5, (n_cells, 1))
    mean = np.where(on, background + level, background * dirt) * total[:, None]
    size = np.where(on, np.array([3.0, 3.0, 6.0]), 20.0)
    counts = generator.poisson(mean * generator.gamma(size) / size)
    answer = assay(counts, total + counts.sum(1))
    held = answer.low <= truth <= answer.high
    row = {
        "truth": truth,
        "depth": depth,
        "contamination": contamination,
        "held": held,
        "width": answer.high - answer.low,
    }
    if seed < N_BOOTSTRAP:
        low, high = bootstrap(counts, total + counts.sum(1), generator)
        row |= {
            "bootstrap_held": low <= truth <= high,
            "bootstrap_width": high - low,
            "held_there": held,
        }
    return row


def bootstrap(
    counts: np.ndarray, depth: np.ndarray, generator: np.random.Generator
) -> tuple[float, float]:
    """Draw the cells again and again; the lowest and the highest estimate."""
    start = fit_mixture(tabulate(counts, depth), model()).theta
    drawn = (generator.integers(len(depth), size=len(depth)) for _ in range(N_AGAIN))
    found = [
        fit_mixture(tabulate(counts[cells], depth[cells]), model(), start=start).prevalence
        for cells in drawn
    ]
    return min(found), max(found)


def mixed_positives(seed: int) -> Any:
    """Islet beta cells, half of them without insulin, as the programme defines its positive cells."""
    import anndata as ad

    good = collapsed("islet")
    half = np.random.default_rng(seed).random(good.n_obs) < 0.5
    names = ["Pdx1", "Nkx6-1", "Ins1", "Ins2"]
    bare = keep_markers(
        good[half],
        keep=["Pdx1", "Nkx6-1"],
        markers=[name for name in names if name in good.var_names],
    )
    warnings.simplefilter("ignore")
    return ad.concat([good[~half], bare], join="outer", fill_value=0)


def at_limit(task: tuple[str, float, int, float, str, int]) -> dict[str, Any]:
    """One batch with a given fraction of positive cells: is it detected, and quantified?"""
    kind, depth, n_cells, fraction, limit, seed = task
    good = mixed_positives(seed) if kind == "mixed" else collapsed("islet")
    options: dict[str, Any] = {"depth": depth, "contamination": 0.05, "soup_share": 0.1}
    answer = assay(
        *marker_counts(
            titrate(
                good,
                collapsed("negative"),
                n_cells=n_cells,
                fraction=fraction,
                seed=seed,
                **options,
            )
        )
    )
    said = {
        "detected": answer.verdict != "not detected",
        "quantified": answer.verdict == "quantified",
    }
    key = {"kind": kind, "depth": depth, "cells": n_cells, "limit": limit, "fraction": fraction}
    return key | said | {"prevalence": answer.prevalence, "lod": answer.lod, "lloq": answer.lloq}


def printed_limits() -> None:
    """Print the LOD of blanks and the LLOQ of batches of 3 %, then what batches at exactly these fractions give."""
    conditions = list(product(("ideal", "mixed"), (1000.0, 4000.0, 15000.0), (1_000, 3_000)))
    with multiprocessing.Pool(2) as pool:
        prints = [
            (*c, fraction, "", seed)
            for c in conditions
            for fraction in (0.0, 0.03)
            for seed in range(N_PRINT)
        ]
        printed = pd.DataFrame(pool.map(at_limit, prints, chunksize=1))
        blanks = (
            printed[printed["fraction"] == 0].groupby(["kind", "depth", "cells"])["lod"].median()
        )
        full = printed[printed["fraction"] > 0].groupby(["kind", "depth", "cells"])["lloq"].median()
        tasks = [(*c, float(limits[c]), name, 50_000 + seed) for c in conditions for name, limits in (("lod", blanks), ("lloq", full))
                 if limits[c] < MOST_LIMIT for seed in range(N_AT_LIMIT)]  # fmt: skip
        found = pd.DataFrame(pool.map(at_limit, tasks, chunksize=1))
    keys = ["limit", "kind", "depth", "cells", "fraction"]
    summary = found.groupby(keys, as_index=False).agg(
        batches=("detected", "size"),
        detected=("detected", "mean"),
        quantified=("quantified", "mean"),
        mean=("prevalence", "mean"),
        sd=("prevalence", "std"),
    )
    write(summary.assign(cv=summary["sd"] / summary["fraction"]), "limits")


def with_states(task: tuple[float, int]) -> dict[str, Any]:
    """One batch with two kinds of positive cells: how far is the share of each from the truth?"""
    import scdiff

    fraction, seed = task
    good = mixed_positives(seed)
    good.obs["state"] = np.where(marker_counts(good)[0][:, 2] > 0, "beta_like", "progenitor")
    good.obs_names_make_unique()
    adata = titrate(
        good,
        collapsed("negative"),
        n_cells=5_000,
        fraction=fraction,
        seed=seed,
        depth=4000.0,
        contamination=0.05,
        soup_share=0.1,
    )
    truth = adata.obs["truth_positive"].to_numpy(bool)
    kind = good.obs["state"].reindex(adata.obs["truth_source"][truth]).to_numpy()
    as_loaded(adata, "mouse")
    scdiff.tl.call(adata, programs=["pancreatic_progenitor"], null_sets=0)
    scdiff.tl.fraction(adata)
    table = adata.uns["scdiff"]["fractions"]
    found = table[table["sample"] == "all"].set_index("state")["prevalence"]
    row: dict[str, Any] = {"fraction": fraction}
    for state in ("beta_like", "progenitor"):
        row[state] = 100 * (found[state] / found["progenitor_like"] - np.mean(kind == state))
    return row


def states() -> None:
    """Shares of the sub-states beside the truth, percentage points of the positive cells."""
    with multiprocessing.Pool(2) as pool:
        found = pd.DataFrame(
            pool.map(
                with_states,
                [(fraction, seed) for fraction in (0.03, 0.15) for seed in range(N_STATES)],
                chunksize=1,
            )
        )
    lines = []
    for fraction, group in found.groupby("fraction"):
        for state in ("beta_like", "progenitor"):
            errors = group[state]
            lines.append(
                {
                    "fraction": fraction,
                    "state": state,
                    "batches": len(errors),
                    "mean error": errors.mean(),
                    "worst": errors.abs().max(),
                }
            )
    write(pd.DataFrame(lines), "states")


def blanks_and_rare() -> None:
    """Batches without positives, and with one in a thousand."""
    with multiprocessing.Pool(2) as pool:
        zeros = pd.DataFrame(pool.map(zero, range(N_ZERO), chunksize=1))
        zeros["false_detected"] = zeros["verdict"].isin(["detected", "quantified"])
        zeros["inconclusive"] = zeros["verdict"].eq("inconclusive")
        summary = {"batches": ("verdict", "size"), "false_detected": ("false_detected", "sum")}
        summary |= {"inconclusive": ("inconclusive", "sum")}
        summary |= {"worst_prevalence": ("prevalence", "max"), "worst_high": ("high", "max")}
        write(
            zeros.groupby(["depth", "contamination", "soup_share"], as_index=False).agg(**summary),
            "zero_batches",
        )
        sys.stdout.write(f"false detected: {zeros['false_detected'].mean():.3%} of {len(zeros)}\n")
        rares = pd.DataFrame(pool.map(rare, range(N_RARE), chunksize=1))
        rares["detected"] = ~rares["verdict"].eq("not detected")
        found = {"batches": ("verdict", "size"), "detected": ("detected", "sum")}
        write(
            rares.groupby(["contamination", "soup_share"], as_index=False).agg(**found),
            "rare_batches",
        )
        sys.stdout.write(f"detected at 0.1 %: {rares['detected'].mean():.1%} of {len(rares)}\n")


def coverage() -> None:
    """Batches drawn from the assay's own model."""
    with multiprocessing.Pool(2) as pool:
        corners = list(product((0.0, 0.003, 0.03, 0.3, 1.0), ((1000.0, 0.1), (4000.0, 0.0))))
        tasks = [(seed, truth, *corner) for truth, corner in corners for seed in range(N_COVER)]
        cover = pd.DataFrame(pool.map(covers, tasks, chunksize=4))
    measured = ["bootstrap_held", "bootstrap_width", "held_there"]  # absent without a bootstrap
    cover = cover.reindex(columns=[*cover.columns.union(measured, sort=False)])
    cover = cover.astype(dict.fromkeys(measured, float))
    covered = {
        "batches": ("held", "size"),
        "coverage": ("held", "mean"),
        "width": ("width", "mean"),
    }
    covered |= {
        "both": ("bootstrap_held", "count"),
        "coverage_there": ("held_there", "mean"),
        "bootstrap": ("bootstrap_held", "mean"),
    }
    covered |= {"bootstrap_width": ("bootstrap_width", "mean")}
    write(
        cover.groupby(["truth", "depth", "contamination"], as_index=False).agg(**covered),
        "coverage",
    )
    sys.stdout.write(
        f"coverage: {cover['held'].mean():.1%}; of the bootstrap {cover['bootstrap_held'].mean():.1%}\n"
    )


if __name__ == "__main__":
    chosen = {"--coverage", "--limits", "--states"} & set(sys.argv)
    if not chosen:
        blanks_and_rare()
    if not chosen or "--limits" in chosen:
        printed_limits()
    if not chosen or "--states" in chosen:
        states()
    if not chosen or "--coverage" in chosen:
        coverage()
