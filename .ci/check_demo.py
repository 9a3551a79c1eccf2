"""Check the result of `scdiff demo`: the report, and an interval that holds the simulated truth."""

import csv
import json
import sys
from pathlib import Path

out = Path(sys.argv[1])
truth = json.loads((out / "truth.json").read_text())["fraction"]
with (out / "tables" / "fractions.csv").open(newline="") as handle:
    row = next(
        row
        for row in csv.DictReader(handle)
        if row["state"] == "progenitor_like" and row["sample"] == "all"
    )
low, high = float(row["prevalence_low"]), float(row["prevalence_high"])
if not low <= truth <= high:
    sys.exit(f"the interval {low:.4f}-{high:.4f} does not hold the truth {truth:.4f}")
if "pancreatic-progenitor-like" not in (out / "report.html").read_text(encoding="utf-8"):
    sys.exit("the report does not show the verdict")
print(f"truth {truth:.4f} inside {low:.4f}-{high:.4f}; report written")
