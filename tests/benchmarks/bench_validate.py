"""Decisions and validation under test: wrong decisions at the limit, the limits that a study finds, a caller broken on purpose.

Batches are mixed from drawn cells as `scdiff validate` mixes them, with new seeds for each part. The reference of the limit of
detection has 1,000 batches; conditions of the limit of quantification are depths and shares of soup.

Run: python tests/benchmarks/bench_validate.py [--quick] [--edge] [--lod] [--loq] [--broken] [--time]
"""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sources import write

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
N_EDGE, N_REFERENCE, N_STUDY, N_AT_LOD, N_LOQ = (
    (40, 160, 60, 60, 8) if QUICK else (40, 1000, 90, 400, 30)
)
LIMIT, LEVELS = 0.02, (0.2, 0.35, 0.5, 0.7, 0.9, 1.2)
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


def found_limit(rows: pd.DataFrame) -> Any:
    """Limit of detection of some batches."""
    kept = rows[rows["verdict"] != INCONCLUSIVE]
    levels = [(level, part["verdict"].isin(FOUND)) for level, part in kept.groupby("expected")]
    return find_detection_limit(
        [level for level, _ in levels],
        [int(hits.sum()) for _, hits in levels],
        [len(hits) for _, hits in levels],
    )


def detection() -> list[dict[str, Any]]:
    """Find the limit of detection by a study and by a reference; then detect at it."""
    blank = measured([Design("blank", 0.0, NOMINAL, 60_000 + at) for at in range(6)])
    printed = float(blank["lod"].median())

    def around(n: int, seed: int) -> pd.DataFrame:
        return measured(
            [
                Design("lod", LEVELS[at % len(LEVELS)] * printed, NOMINAL, seed + at)
                for at in range(n)
            ]
        )

    reference, study = (
        found_limit(around(N_REFERENCE, 70_000)),
        found_limit(around(N_STUDY, 90_000)),
    )
    at_it = measured([Design("at", study.value, NOMINAL, 100_000 + at) for at in range(N_AT_LOD)])
    kept = at_it[at_it["verdict"] != INCONCLUSIVE]
    off = study.value / reference.value - 1
    return [
        {
            "part": "lod",
            "batches": N_REFERENCE,
            "reference": reference.value,
            "low": reference.low,
            "high": reference.high,
            "printed": printed,
        },
        {
            "part": "lod",
            "batches": N_STUDY,
            "study": study.value,
            "low": study.low,
            "high": study.high,
            "off": off,
        },
        {
            "part": "at the LoD",
            "batches": len(kept),
            "detected": float(kept["verdict"].isin(FOUND).mean()),
        },
    ]


def quantification() -> list[dict[str, Any]]:
    """Find the limit of quantification under several conditions; measure the total error of new batches there."""
    goal, rows = PROTOCOL.content.total_error, []
    for number, (depth, soup) in enumerate(
        (depth, soup) for depth in (2000.0, 4000.0, 8000.0) for soup in (0.02, 0.1)
    ):
        nominal = NOMINAL.model_copy(update={"depth": depth, "soup": soup})
        seed = 200_000 + 10_000 * number
        levels = (0.006, 0.012, 0.025, 0.06, 0.15)
        study = measured(
            [
                Design("loq", level, nominal, seed + 100 * at + k)
                for at, level in enumerate(levels)
                for k in range(12)
            ]
        )
        groups = [part["prevalence"] for _, part in study.groupby("expected")]
        profile = fit_profile(
            levels, [part.var(ddof=1) for part in groups], [len(part) - 1 for part in groups]
        )
        bias = float(
            np.mean([part.mean() / level - 1 for level, part in zip(levels, groups, strict=True)])
        )
        loq = find_quantification_limit(profile, (levels[0], levels[-1]), bias=bias, goal=goal)
        again = measured(
            [Design("loq", loq.value, nominal, seed + 5000 + k) for k in range(N_LOQ)]
        )["prevalence"]
        error = float(total_error(again.mean() - loq.value, again.std(ddof=1), loq.value))
        rows.append(
            {
                "part": "loq",
                "depth": depth,
                "soup": soup,
                "batches": N_LOQ,
                "loq": loq.value,
                "total error": error,
                "within": error <= goal,
            }
        )
    return rows


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
        "--lod": detection,
        "--loq": quantification,
        "--broken": broken,
        "--time": cost,
    }
    chosen = [part for flag, part in parts.items() if flag in sys.argv] or list(parts.values())
    for part in chosen:
        made = part()
        table = pd.DataFrame(made if isinstance(made, list) else [made])
        write(table.fillna(""), f"validate_{part.__name__}")
