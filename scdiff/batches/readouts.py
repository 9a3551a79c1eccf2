"""Read the figures that a line of a specification names from the tables of a run.

A line names table, row, column and unit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from scdiff.batches.decide import Figure
from scdiff.batches.evidence import FRACTIONS, Evidence, number, sample_names
from scdiff.batches.figures import QC_FIGURES
from scdiff.batches.specification import UNITS, Check
from scdiff.errors import ConfigError, UnknownNameError, did_you_mean
from scdiff.programs import program_names

__all__ = ["COLUMN_KINDS", "Reading", "check_read_outs", "read_figures"]

EACH_SAMPLE, EACH_CONTROL = "each sample", "each control"

_SHARES: tuple[str, ...] = (
    "prevalence",
    "fraction",
    "lob",
    "lod",
    "lloq",
    "lloq_events",
    "high_at_third",
    "high_at_tenth",
    "prevalence_low",
    "prevalence_high",
    "prevalence_low_cells",
    "prevalence_high_cells",
    "fraction_low",
    "fraction_high",
)
COLUMN_KINDS = dict.fromkeys(_SHARES, "fraction") | {
    "n_cells": "cells",
    "n_called": "cells",
    "verdict": "text",
}
"""Columns of ``fractions.csv`` that a specification may read, with their kind of figure."""

_INTERVALS = {
    "prevalence": ("prevalence_low", "prevalence_high"),
    "fraction": ("fraction_low", "fraction_high"),
}


@dataclass(frozen=True)
class Reading:
    """A figure with its source.

    Parameters
    ----------
    figure
        The figure in the unit of the line.
    sample
        Its sample; empty if the run does not have it.
    program
        Its programme; empty for figures of other tables.
    row
        The row of the table; None for a QC figure.
    """

    figure: Figure
    sample: str
    program: str = ""
    row: Any = None


def check_read_outs(checks: list[Check], evidence: Evidence) -> None:
    """Raise an error if a line names an unknown read-out or a unit that does not fit it.

    Raises
    ------
    UnknownNameError
        If a read-out is unknown, or the run did not call its programme.
    ConfigError
        If a unit does not fit its read-out.
    """
    for check in checks:
        kind = _find_kind(check, evidence)
        wanted = UNITS[check.unit][0]
        if kind not in (wanted, "any"):
            fitting = [unit for unit, (measured, _) in UNITS.items() if measured == kind]
            raise ConfigError(
                f"{check.id}: {check.read_out} cannot have the unit {check.unit!r}. Allowed units: "
                f"{', '.join(fitting)}."
            )
        if check.required or check.sample not in (EACH_SAMPLE, EACH_CONTROL):
            _check_sample(check, evidence)


def _find_kind(check: Check, evidence: Evidence) -> str:
    """Return the kind of figure of a read-out; ``any`` for tables that do not declare it."""
    first, *rest = check.read_out.split("/")
    if first == "qc" and len(rest) == 1:
        return str(QC_FIGURES[rest[0]].facts["kind"])
    if first == "tables" and len(rest) == 2:
        columns = [rest[1], *check.where, *(name for name in (check.low, check.high) if name)]
        _check_names(columns, evidence.header(rest[0]), f"{check.id}: column", f" of {rest[0]}")
        return "any"
    if len(rest) not in (1, 2):
        raise UnknownNameError(
            f"{check.id}: read-out {check.read_out!r} is not valid. Write programme/state/column, "
            "qc/figure or tables/NAME.csv/column."
        )
    _check_fraction(check, evidence, first, rest[0])
    column = rest[1] if len(rest) == 2 else "prevalence"
    _check_names([column], list(COLUMN_KINDS), f"{check.id}: column", f" of {FRACTIONS}")
    return COLUMN_KINDS[column]


def _check_fraction(check: Check, evidence: Evidence, program: str, state: str) -> None:
    """Raise UnknownNameError if the run does not have a programme and its state."""
    rows = evidence.table(FRACTIONS)
    programs = list(dict.fromkeys(row["program"] for row in rows))
    if program not in programs and any(
        program == name or program.startswith(f"{name}_") for name in program_names()
    ):
        card = next(
            name
            for name in sorted(program_names(), key=len, reverse=True)
            if program == name or program.startswith(f"{name}_")
        )
        raise UnknownNameError(
            f"{evidence.folder}: the run did not call programme {program!r}. Run it again with "
            f"--set programs=[{programs[0] if programs else ''},{card}]; "
            f"no decision was made. Called: {', '.join(programs)}."
        )
    _check_names([program], programs, f"{check.id}: programme", f" in {evidence.folder}")
    states = list(dict.fromkeys(row["state"] for row in rows if row["program"] == program))
    _check_names([state], states, f"{check.id}: state", f" of {program}")


def _check_names(names: list[str], known: list[str], what: str, where: str) -> None:
    """Raise UnknownNameError at the first unknown name."""
    for name in names:
        if name not in known:
            raise UnknownNameError(
                f"{what} {name!r}{where} is unknown. {did_you_mean(name, known)} No decision "
                "was made."
            )


def _check_sample(check: Check, evidence: Evidence) -> None:
    """Raise UnknownNameError if the run does not have the sample of a line."""
    known = list(dict.fromkeys(row["sample"] for row in evidence.table(FRACTIONS)))
    if check.required and check.sample not in (EACH_SAMPLE, EACH_CONTROL):
        _check_names([check.sample], known, f"{check.id}: sample", f" in {evidence.folder}")


def read_figures(check: Check, evidence: Evidence) -> list[Reading]:
    """Return the figures of one line, one for each sample that it names.

    The list has one empty figure if the run has no such sample.

    Raises
    ------
    ScdiffError
        If a table cannot be read, or ``where`` selects several rows.
    """
    names = [check.sample]
    if check.sample in (EACH_SAMPLE, EACH_CONTROL):
        names = sample_names(evidence, controls=check.sample == EACH_CONTROL)
    readings = [
        reading for name in names if (reading := _read_one(check, evidence, name)) is not None
    ]
    return readings or [Reading(Figure(), "")]


def _read_one(check: Check, evidence: Evidence, sample: str) -> Reading | None:
    """Return the figure of one sample; None if it is missing."""
    first, *rest = check.read_out.split("/")
    if first == "qc":
        value = _convert_unit(QC_FIGURES[rest[0]].function(evidence, sample), check.scale)
        return Reading(Figure(value, value, value), sample) if math.isfinite(value) else None
    if first == "tables":
        return _read_table_row(check, evidence, rest[0], rest[1], sample)
    column = rest[1] if len(rest) == 2 else "prevalence"
    found = [
        row
        for row in evidence.table(FRACTIONS)
        if (row["program"], row["state"], row["sample"]) == (first, rest[0], sample)
    ]
    return (
        Reading(_make_figure(found[0], column, check.scale), sample, first, found[0])
        if found
        else None
    )


def _make_figure(row: dict[str, str], column: str, scale: float) -> Figure:
    """Return the figure of a column of ``fractions.csv``, in the unit of the line."""
    if COLUMN_KINDS[column] == "text":
        return Figure(text=row[column], verdict=row["verdict"], reason=row["reason"])
    low, high = _INTERVALS.get(column, (column, column))
    value, lower, upper = (_convert_unit(number(row[name]), scale) for name in (column, low, high))
    lod = _convert_unit(number(row["lod"]), scale) if column in _INTERVALS else math.nan
    verdict = row["verdict"] if COLUMN_KINDS[column] == "fraction" else ""
    return Figure(value, lower, upper, lod=lod, verdict=verdict, reason=row["reason"])


def _read_table_row(
    check: Check, evidence: Evidence, name: str, column: str, sample: str
) -> Reading:
    """Return the figure of any other table.

    ``where`` selects the row; a table with samples is also filtered by sample.
    """
    wanted = dict(check.where)
    if "sample" in evidence.header(name):
        wanted.setdefault("sample", sample)
    found = [
        row
        for row in evidence.table(name)
        if all(row[key] == value for key, value in wanted.items())
    ]
    if len(found) > 1:
        raise ConfigError(
            f"{check.id}: {len(found)} rows of {name} match {wanted}, but one must. Add more "
            "columns to `where`."
        )
    if not found:
        return Reading(Figure(), sample)
    row = found[0]
    if check.unit == "text":
        return Reading(Figure(text=row[column]), sample, row=row)
    value, low, high = (
        _convert_unit(number(row[key or column]), check.scale)
        for key in (column, check.low, check.high)
    )
    return Reading(Figure(value, low, high, verdict=row.get("verdict", "")), sample, row=row)


def _convert_unit(value: float, scale: float) -> float:
    """Convert a number of the tables to another unit, rounded to nine significant digits.

    >>> _convert_unit(0.0354754, 0.01)
    3.54754
    """
    return float(f"{value / scale:.9g}")
