"""Decisions and validation under test: wrong decisions at the limit, the limits that a study finds, a caller broken on purpose.

Batches are mixed from drawn cells as `scdiff validate` mixes them, with new seeds for each part. The reference of the limit of
detection counts detections in 1,000 batches, without probit; conditions of the limit of quantification are cells, depths and
shares of ambient RNA.

Run: python tests/benchmarks/bench_validate.py [--quick] [--edge] [--lod] [--loq] [--studies] [--reference] [--broken] [--time]
"""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression, minimize_scalar
from scipy.special import xlogy
from scipy.stats import poisson
from sources import RESULTS, write

from scdiff.batches.decide import Figure, Limits, decide
from scdiff.batches.designs import Design
from scdiff.batches.limits import (
    find_detection_limit,
    find_quantification_limit,
    fit_profile,
    total_error,
)
from scdiff.batches.measure import measure_counts
from scdiff.batches.protocol import load_protocol
from scdiff.batches.study import measure_designs, read_pools
from scdiff.batches.validate import assess
from scdiff.programs import load_program
from scdiff.vocabulary import FOUND, INCONCLUSIVE

QUICK = "--quick" in sys.argv
N_EDGE, N_STUDY, N_AROUND, N_AT_LOD, N_LEVEL, N_LOQ = (
    (40, 6, 10, 20, 3, 6) if QUICK else (40, 24, 150, 400, 6, 20)
)
LIMIT = 0.02
AROUND = (0.6, 0.8, 1.0, 1.25, 1.6)
"""Levels of the reference, relative to the limit of the study: 150, 150, 400, 150 and 150 batches."""
CONDITIONS = [
    (cells, depth, soup)
    for cells in (750, 1500)
    for depth in (1500.0, 2500.0, 4000.0, 6000.0, 8000.0)
    for soup in (0.02, 0.1)
]
if QUICK:
    CONDITIONS = CONDITIONS[::7]
LOQ_LEVELS = (0.006, 0.012, 0.025, 0.06, 0.15)
"""Levels of a study of the limit of quantification, at 1,500 cells; fewer cells need higher ones."""
PROTOCOL = load_protocol("standard")
PROGRAM = load_program(PROTOCOL.content.program)
NOMINAL = PROTOCOL.content.nominal.model_copy(update={"cells": 1500})


def measured(designs: list[Design]) -> pd.DataFrame:
    """Mix and measure batches."""
    return pd.DataFrame(measure_designs(designs, read_pools(PROTOCOL, PROGRAM), PROGRAM))


def edge() -> dict[str, Any]:
    """Judge batches whose truth is one standard error from the limit, on either side."""
    error = np.sqrt(LIMIT * (1 - LIMIT) / NOMINAL.cells)
    designs = [
        Design("edge", LIMIT + (error if at % 2 else -error), NOMINAL, 50_000 + at)
        for at in range(N_EDGE)
    ]
    wrong = {"PASS": 0, "FAIL": 0}
    for row in measured(designs).to_dict("records"):
        figure = Figure(row["prevalence"], row["low"], row["high"], row["lod"], row["verdict"])
        for limits, bad in (
            (Limits(at_most=LIMIT), row["expected"] > LIMIT),
            (Limits(at_least=LIMIT), row["expected"] < LIMIT),
        ):
            decision, _ = decide(figure, limits)
            if decision in wrong:
                wrong[decision] += (decision == "PASS") == bad
    return {
        "part": "edge",
        "batches": N_EDGE,
        "wrong PASS": wrong["PASS"] / (2 * N_EDGE),
        "wrong FAIL": wrong["FAIL"] / (2 * N_EDGE),
    }


def lod() -> dict[str, Any]:
    """Find the limit of detection as the protocol does; then the level that is detected in 95 of 100 batches, by counting.

    The reference assumes no curve: shares of detections at five levels around the limit, made monotone, and interpolated.
    """
    blank = measured([Design("blank", 0.0, NOMINAL, 60_000 + at) for at in range(6)])
    printed = float(blank["lod"].median())
    multiples = PROTOCOL.content.detection.of_lod
    found = probit(
        at_levels([printed * one for one in multiples], [N_STUDY] * len(multiples), 90_000)
    )
    levels = [found.value * one for one in AROUND]
    rows = at_levels(levels, [N_AT_LOD if one == 1 else N_AROUND for one in AROUND], 70_000)
    kept = rows[rows["verdict"] != INCONCLUSIVE]
    hits = [part["verdict"].isin(FOUND).to_numpy() for _, part in kept.groupby("expected")]
    reference, rng = direct(levels, hits), np.random.default_rng(0)
    drawn = [direct(levels, [rng.choice(part, len(part)) for part in hits]) for _ in range(1000)]
    shares = pd.DataFrame(
        {
            "of the LoD of the study": AROUND,
            "level": levels,
            "batches": [len(part) for part in hits],
            "detected": [part.mean() for part in hits],
        }
    )
    write(shares, "validate_detection")
    return {
        "batches of the reference": len(rows),
        "inconclusive, left out": 1 - len(kept) / len(rows),
        "printed": printed,
        "study": found.value,
        "study low": found.low,
        "study high": found.high,
        "reference": reference,
        "reference low": float(np.nanquantile(drawn, 0.025)),
        "reference high": float(np.nanquantile(drawn, 0.975)),
        "off": found.value / reference - 1,
        "detected at the LoD": float(hits[AROUND.index(1.0)].mean()),
    }


def at_levels(levels: list[float], numbers: list[int], seed: int) -> pd.DataFrame:
    """Measure some batches at each level."""
    each = [level for level, number in zip(levels, numbers, strict=True) for _ in range(number)]
    return measured([Design("lod", level, NOMINAL, seed + at) for at, level in enumerate(each)])


def probit(rows: pd.DataFrame) -> Any:
    """Limit of detection of some batches, as a validation estimates it."""
    kept = rows[rows["verdict"] != INCONCLUSIVE]
    hits = {level: part["verdict"].isin(FOUND) for level, part in kept.groupby("expected")}
    return find_detection_limit(
        list(hits), [int(one.sum()) for one in hits.values()], [len(one) for one in hits.values()]
    )


def direct(levels: list[float], hits: list[Any]) -> float:
    """Level with 95 % detections: monotone shares, interpolated on the logarithm; NaN outside the levels."""
    shares = isotonic_regression(
        [part.mean() for part in hits], weights=[len(part) for part in hits]
    ).x
    above = np.flatnonzero(shares >= 0.95)
    if not len(above) or above[0] == 0:
        return float("nan")
    ends = slice(above[0] - 1, above[0] + 1)
    return float(np.exp(np.interp(0.95, shares[ends], np.log(levels[ends]))))


def quantification() -> pd.DataFrame:
    """Find the limit of quantification under several conditions; measure the total error of new batches there.

    The conditions are in random order, and each is written as soon as it is measured.
    """
    goal, rows = PROTOCOL.content.total_error, []
    for number in np.random.default_rng(0).permutation(len(CONDITIONS)):
        changes = dict(zip(("cells", "depth", "soup"), CONDITIONS[number], strict=True))
        nominal = NOMINAL.model_copy(update=changes)
        seed = 200_000 + 10_000 * int(number)
        loq = study_of_loq(nominal, goal, seed)
        error = loq if np.isnan(loq) else error_at(loq, nominal, seed + 5000)
        rows.append(changes | {"loq": loq, "total error": error, "within": error <= goal})
        write(pd.DataFrame(rows), "validate_quantification")
        sys.stdout.flush()
    return pd.DataFrame(rows)


def error_at(level: float, nominal: Any, seed: int) -> float:
    """Total error of new batches at a level, relative to it."""
    found = measured([Design("loq", level, nominal, seed + k) for k in range(N_LOQ)])["prevalence"]
    return float(total_error(found.mean() - level, found.std(ddof=1), level))


def study_of_loq(nominal: Any, goal: float, seed: int) -> float:
    """Limit of quantification of a small study: six batches at each of five levels."""
    levels = [level * 1500 / nominal.cells for level in LOQ_LEVELS]
    study = measured(
        [
            Design("loq", level, nominal, seed + 100 * at + k)
            for at, level in enumerate(levels)
            for k in range(N_LEVEL)
        ]
    )
    groups = [part["prevalence"] for _, part in study.groupby("expected")]
    profile = fit_profile(
        levels, [part.var(ddof=1) for part in groups], [len(part) - 1 for part in groups]
    )
    bias = float(
        np.mean([part.mean() / level - 1 for level, part in zip(levels, groups, strict=True)])
    )
    return find_quantification_limit(profile, (levels[0], levels[-1]), bias=bias, goal=goal).value


def studies() -> list[dict[str, Any]]:
    """How often a study of a given size finds a limit at which 92 to 98 of 100 batches are detected.

    A batch is detected if three or more of its cells are called: the Poisson curve that fits the measured shares.
    """
    table = pd.read_csv(RESULTS / "validate_detection.csv")
    printed = float(pd.read_csv(RESULTS / "validate_lod.csv")["printed"].iloc[0])
    seen, level = table["detected"].to_numpy(), table["level"].to_numpy()
    per_level = minimize_scalar(
        lambda one: -(table["batches"] * xlogy_both(seen, poisson.sf(2, one * level))).sum(),
        bounds=(1.0, NOMINAL.cells),
        method="bounded",
    ).x
    levels = [multiple * printed for multiple in PROTOCOL.content.detection.of_lod]
    rng, rows = np.random.default_rng(0), []
    for replicates in (24, 240):
        found = [
            find_detection_limit(
                levels,
                rng.binomial(replicates, poisson.sf(2, per_level * np.array(levels))),
                [replicates] * len(levels),
            ).value
            for _ in range(10 if QUICK else 40)
        ]
        rate = poisson.sf(2, per_level * np.array(found))
        rows.append(
            {
                "batches of a study": replicates * len(levels),
                "studies": len(found),
                "detected at its LoD, mean": rate.mean(),
                "in 92 to 98 of 100": float((abs(rate - 0.95) <= 0.03).mean()),
            }
        )
    return rows


def xlogy_both(share: Any, chance: Any) -> Any:
    """Log-likelihood of a share of detections, per batch."""
    return xlogy(share, chance) + xlogy(1 - share, 1 - chance)


def reference() -> list[dict[str, Any]]:
    """Hold what --lod and --loq found to the criteria."""
    found = pd.read_csv(RESULTS / "validate_lod.csv").iloc[0]
    conditions = pd.read_csv(RESULTS / "validate_quantification.csv")
    off, share, within = found["off"], found["detected at the LoD"], conditions["within"].mean()
    criteria = (
        ("LoD within 25 % of the reference: study / reference - 1", off, abs(off) <= 0.25),
        ("detected at the LoD of the study: 95 +- 3 %", share, abs(share - 0.95) <= 0.03),
        (
            f"total error at the LoQ within the goal in 95 % of conditions ({len(conditions)} measured)",
            within,
            within >= 0.95 if len(conditions) == len(CONDITIONS) else "not decided",
        ),
    )
    return [{"criterion": text, "figure": value, "met": met} for text, value, met in criteria]


def broken() -> dict[str, Any]:
    """Hold a caller with its threshold at 0 (every supported cell is called) to the protocol."""
    small = PROTOCOL.content.model_copy(update={"nominal": NOMINAL}) if QUICK else PROTOCOL.content
    found = assess(
        type(PROTOCOL)(small, PROTOCOL.data, PROTOCOL.origin, PROTOCOL.folder),
        measurer=partial(measure_counts, fdr=0.999999),
    )
    failed = [one.criterion.figure for one in found.accepted if one.decision == "FAIL"]
    return {
        "part": "broken caller",
        "batches": len(found.rows),
        "decision": found.decision,
        "failed": ", ".join(failed),
    }


def cost() -> dict[str, Any]:
    """CPU of batches as the protocol mixes them, one after the other."""
    pools, n = read_pools(PROTOCOL, PROGRAM), 12 if QUICK else 60
    designs = [
        Design("time", (0.0, 0.005, 0.1)[at % 3], PROTOCOL.content.nominal, 300_000 + at)
        for at in range(n)
    ]
    measure_designs(designs[:1], pools, PROGRAM)
    begun = time.process_time()
    for design in designs:
        measure_designs([design], pools, PROGRAM)
    return {
        "part": "time",
        "batches": n,
        "CPU min of 300": (time.process_time() - begun) / n * 300 / 60,
    }


if __name__ == "__main__":
    parts = {
        "--edge": edge,
        "--lod": lod,
        "--loq": quantification,
        "--studies": studies,
        "--reference": reference,
        "--broken": broken,
        "--time": cost,
    }
    chosen = [part for flag, part in parts.items() if flag in sys.argv] or list(parts.values())
    for part in chosen:
        made = part()
        table = pd.DataFrame([made] if isinstance(made, dict) else made)
        write(table.fillna(""), f"validate_{part.__name__}")
