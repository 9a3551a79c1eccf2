"""What the loader makes of the layouts of upstream tools: right, refused rightly, refused, samples lost, or wrong.

A layout is right when counts, cells, genes and samples are exactly those that its documentation asks for; a refusal is right when it names
the file to give or the command to run.

Run: python tests/benchmarks/bench_contracts.py
"""

from __future__ import annotations

import logging
import sys
import tempfile
import warnings
from pathlib import Path

import pandas as pd
from sources import write

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "steps" / "load"))
import contracts


def outcome(contract: contracts.Contract) -> dict[str, str]:
    """Judge one layout."""
    with tempfile.TemporaryDirectory() as folder:
        verdict = contracts.judge(contract, Path(folder))
    return {
        "layout": contract.name,
        "asked": "refused" if contract.right is None else "right",
        "verdict": verdict.found,
        "page": contract.page,
    }


def main() -> None:
    """Judge all layouts; write the table."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    rows = pd.DataFrame([outcome(contract) for contract in contracts.CONTRACTS])
    found = rows["verdict"].value_counts()
    listed = ", ".join(f"{number} {verdict}" for verdict, number in found.items())
    write(
        rows,
        "contracts",
        notes=[
            f"{len(rows)} layouts: {listed}.",
            f"{contracts.N_CELLS} simulated cells, {len(contracts.HUMAN)} genes.",
        ],
    )


if __name__ == "__main__":
    main()
