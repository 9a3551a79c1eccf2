"""Measure the batches of a validation, and return one table.

The batches are mixed in silico, or they are the samples of a sheet.
"""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.batches.designs import Design, detection_designs, make_batch, plan_designs
from scdiff.batches.evidence import FRACTIONS, number, read_evidence
from scdiff.batches.measure import Measured, Measurer, measure_counts, model_of
from scdiff.batches.pools import Pool, Pools, read_pool
from scdiff.batches.protocol import Locked
from scdiff.bounded import read_text
from scdiff.errors import ConfigError, InputError, did_you_mean
from scdiff.programs import Program, load_program
from scdiff.vocabulary import POOLED

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "FACTORS",
    "SHEET_COLUMNS",
    "WET",
    "measure_designs",
    "measure_sheet",
    "measure_study",
    "read_pools",
]

FACTORS = ("lot", "day", "operator", "library")
"""Factors of the precision study, outermost first; the residual is replicates."""

SHEET_COLUMNS = ("sample", "path", "expected", "replicate", "day", "operator", "lot")
"""Required columns of the sheet of a wet protocol."""

WET = "wet"
"""Section of the samples of a sheet."""


def measure_study(protocol: Locked, *, measurer: Measurer = measure_counts) -> pd.DataFrame:
    """Mix and measure all batches of an in silico protocol.

    Parameters
    ----------
    protocol
        The protocol.
    measurer
        Function that measures a batch: the assay, or another caller to validate.

    Returns
    -------
    One row per batch: section, condition, expected fraction, settings, true numbers of cells, and
    the result of the assay.

    Raises
    ------
    ScdiffError
        If the cells cannot be read.
    """
    import pandas as pd

    content = protocol.content
    program = load_program(content.program)
    pools = read_pools(protocol, program)
    rows = measure_designs(
        plan_designs(content, tuple(pools.off_target)), pools, program, measurer=measurer
    )
    nominal = [
        row for row in rows if row["section"] == "blanks" and row["soup"] == content.nominal.soup
    ]
    printed = float(np.median([row["lod"] for row in nominal or rows]))
    rows += measure_designs(detection_designs(content, printed), pools, program, measurer=measurer)
    return pd.DataFrame(rows)


def read_pools(protocol: Locked, program: Program) -> Pools:
    """Read the cells of the sources of a protocol.

    Raises
    ------
    InputError
        If a source has fewer than 10 usable cells.
    """
    sources, seed = protocol.content.sources, protocol.content.seed

    def read(name: str, *, positive: bool = False) -> Pool:
        source = name if name == "simulated" else str(protocol.path(name))
        return read_pool(source, program, positive=positive, seed=seed + positive)

    negatives, positives = read(sources.negatives), read(sources.positives, positive=True)
    seen = (positives.counts > 0).sum(axis=1) >= sources.positives_markers
    positives = positives.take(seen & (positives.depth >= sources.positives_min_umi))
    for name, pool in (("negatives", negatives), ("positives", positives)):
        if len(pool) < 10:
            raise InputError(
                f"{pool.origin}: {len(pool)} cells are too few {name} to mix batches; give 10 or "
                "more."
            )
    others = {name: read(path) for name, path in sources.off_target.items()}
    return Pools(tuple(marker.name for marker in program.core), negatives, positives, others)


def measure_designs(
    designs: list[Design], pools: Pools, program: Program, *, measurer: Measurer = measure_counts
) -> list[dict[str, Any]]:
    """Mix and measure batches, with one process per core; return one row per batch.

    Parameters
    ----------
    designs
        Design of each batch.
    pools
        Cells of known kind.
    program
        Programme whose markers are measured.
    measurer
        Function that measures a batch.
    """
    from scdiff.compute.parallel import each

    measure = partial(_measure_design, pools=pools, program=program, measurer=measurer)
    return each(measure, designs, what="batches")


def _measure_design(
    design: Design, pools: Pools, program: Program, measurer: Measurer
) -> dict[str, Any]:
    """Mix and measure one batch."""
    batch = make_batch(design, pools)
    model = replace(model_of(program), soup=batch.soup)
    result = measurer(batch.counts, batch.depth, model, design.nominal.doublets)
    return (
        design.row() | {"true_positives": batch.positives, "true_cells": batch.cells} | result.row()
    )


# --- samples of a sheet -----------------------------------------------------------------------


def measure_sheet(protocol: Locked, *, measurer: Measurer = measure_counts) -> pd.DataFrame:
    """Read the samples of a wet protocol.

    The result of a finished run is read from its tables. Other inputs are measured.

    Parameters
    ----------
    protocol
        The protocol.
    measurer
        Function that measures an input that is not a finished run.

    Raises
    ------
    ScdiffError
        If the sheet or a sample cannot be read.
    """
    import pandas as pd

    content = protocol.content
    path = protocol.path(str(content.sheet))
    program = load_program(content.program)
    rows = []
    for line, entry in enumerate(_read_sheet(path), start=2):
        expected = number(entry["expected"])
        if not 0 <= expected <= 1:
            raise ConfigError(
                f"{path}: line {line}: expected is {entry['expected']!r}; write a fraction, 0-1."
            )
        measured = _measure_sample(path.parent / entry["path"], program, measurer)
        labels = {name: entry.get(name, "") for name in ("lot", "day", "operator", "replicate")}
        flow = number(entry.get("flow", ""))
        rows.append(
            {
                "section": WET,
                "condition": entry["sample"],
                "expected": expected,
                **labels,
                "flow": flow,
                **measured.row(),
            }
        )
    return pd.DataFrame(rows)


def _read_sheet(path: Path) -> list[dict[str, str]]:
    """Read the rows of a sheet."""
    try:
        reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
        rows = list(reader)
    except (OSError, ValueError, csv.Error) as error:
        raise ConfigError(
            f"{path}: the sheet cannot be read ({getattr(error, 'strerror', None) or error})."
        ) from None
    columns = list(reader.fieldnames or ())
    for name in SHEET_COLUMNS:
        if name not in columns:
            raise ConfigError(
                f"{path}: the sheet has no column {name!r}. {did_you_mean(name, columns)}"
            )
    if not rows or any(None in row or None in row.values() for row in rows):
        raise ConfigError(
            f"{path}: the sheet has no rows, or a row has more or fewer fields than the header."
        )
    return rows


def _measure_sample(path: Path, program: Program, measurer: Measurer) -> Measured:
    """Return the result of a finished run, or measure an input."""
    if not (path / "tables" / FRACTIONS).is_file():
        pool = read_pool(str(path), program)
        return measurer(pool.counts, pool.depth, model_of(program), 0.0)
    key = (program.name, program.positive, POOLED)
    found = [
        row
        for row in read_evidence(path).table(FRACTIONS)
        if (row["program"], row["state"], row["sample"]) == key
    ]
    if not found:
        raise InputError(f"{path}: the run has no row {'/'.join(key)}.")
    row = found[0]
    value, low, high, lob, lod, lloq = (number(row[name]) for name in _SHARES)
    n_cells, n_called = int(row["n_cells"]), int(row["n_called"])
    return Measured(n_cells, n_called, value, low, high, lob, lod, lloq, row["verdict"])


_SHARES = ("prevalence", "prevalence_low", "prevalence_high", "lob", "lod", "lloq")
