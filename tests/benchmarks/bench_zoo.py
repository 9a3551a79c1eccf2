"""What the loader makes of every layout of the zoo: loaded exactly, refused, or wrong; and how long it takes.

A wrong answer is a matrix that differs from the truth in any value or name, or one that had to be refused and was not.

Run: python tests/benchmarks/bench_zoo.py
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
from sources import write

from scdiff.errors import ScdiffError
from scdiff.steps.load.step import load

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "steps" / "load"))
import zoo


def outcome(variant: Any) -> dict[str, Any]:
    """Write and load one variant."""
    with tempfile.TemporaryDirectory() as folder:
        given = variant.write(Path(folder))
        begun = time.perf_counter()
        try:
            adata = load(given, **variant.options)
            wrong = zoo.fault(adata, variant.expected()) if variant.expected else "accepted"
            found = "wrong" if wrong else "exact"
        except ScdiffError:
            found = "refused"
        return {
            "layout": variant.family,
            "asked": "refused" if variant.refusal else "exact",
            "found": found,
            "s": time.perf_counter() - begun,
        }


def summary(rows: pd.DataFrame) -> dict[str, Any]:
    """Count the outcomes of some variants."""
    loadable = rows[rows["asked"] == "exact"]
    refusable = rows[rows["asked"] == "refused"]
    return {
        "to load": len(loadable),
        "loaded exactly": int((loadable["found"] == "exact").sum()),
        "to refuse": len(refusable),
        "refused": int((refusable["found"] == "refused").sum()),
        "wrong": int((rows["found"] == "wrong").sum()),
        "median ms": float(rows["s"].median() * 1000),
    }


def main() -> None:
    """Load all variants; write the table."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    rows = pd.DataFrame([outcome(variant) for variant in zoo.variants()])
    table = [
        {"layout": family, **summary(part)} for family, part in rows.groupby("layout", sort=False)
    ]
    source = "real counts" if zoo.SHARED_DATA.is_dir() else "simulated counts"
    note = f"{zoo.N_CELLS} cells and {zoo.N_GENES} genes of {source}; milliseconds with the files in the cache."
    write(pd.DataFrame([*table, {"layout": "all", **summary(rows)}]), "zoo", notes=[note])


if __name__ == "__main__":
    main()
