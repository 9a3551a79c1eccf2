# Settings and sheet, checked before anything runs: a mistyped key or column ends here, not hours later.
import csv
import io
import math
import re
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator
from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

validate(config, workflow.source_path("../schemas/config.schema.yaml"))

RESULTS = config["results"].rstrip("/")


FILES = ("path", "raw")  # columns that name files


def read_sheet(path):
    """Read the rows of the sheet; every row is checked against its schema, which is read once: a sheet may hold hundreds."""
    schema = Draft202012Validator(yaml.safe_load(Path(workflow.source_path("../schemas/sheet.schema.yaml")).read_text(encoding="utf-8")))
    if not path.is_file():
        raise WorkflowError(f"sheet: there is no file {path} (config.yaml or --config sheet=...).")
    with path.open(encoding="utf-8-sig", newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if any(row.values())]
    if not rows:
        raise WorkflowError(f"{path}: the sheet holds no sample.")
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise WorkflowError(f"{path}, line {number}: the line has not as many fields as the header.")
        for name, value in row.items():
            if not value.isprintable():
                raise WorkflowError(f"{path}, line {number}: {name} is {value!r}, with a line break or another sign that cannot be printed.")
            if name in FILES and set("{}") & set(value):
                raise WorkflowError(f"{path}, line {number}: {name} is {value!r}; Snakemake takes braces for wildcards: rename the file.")
        if faults := [fault.message for fault in schema.iter_errors(row)]:
            raise WorkflowError(f"{path}, line {number}: {'; '.join(faults)}")
    return rows


def batch_sheet(rows, folder):
    """Sample sheet of one batch for scdiff, with absolute paths, as text."""
    columns = [name for name in rows[0] if name != "batch"]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(row | {name: (folder / row[name]).resolve() for name in FILES if row.get(name)} for row in rows)
    return text.getvalue()


def present_files(rows, folder):
    """Input files of one batch that are there; what is missing is for scdiff to say, and stops that batch alone."""
    paths = [folder / row[name] for row in rows for name in FILES if row.get(name)]
    inside = [sorted(path.rglob("*")) if path.is_dir() else [path] for path in paths]
    return [str(path.resolve()) for group in inside for path in group if path.is_file() and not set("{}") & set(str(path))]


SHEET = Path(config["sheet"])
BATCHES = {}
for row in read_sheet(SHEET):
    BATCHES.setdefault(row["batch"], []).append(row)


def needed(what):
    """Resource of a batch, from the megabytes of its input files; a job that was killed for it gets as much again, and again."""

    def amount(wildcards, attempt):
        files = present_files(BATCHES[wildcards.batch], SHEET.parent)
        input_mb = sum(Path(file).stat().st_size for file in files) / 1e6
        return attempt * (config[what] + math.ceil(config[f"{what}_per_input_mb"] * input_mb))

    return amount


wildcard_constraints:
    batch="|".join(re.escape(name) for name in BATCHES),
