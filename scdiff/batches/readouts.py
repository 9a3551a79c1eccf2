"""From a line of a specification to the figures of a run.

Which table, row and column, and in which unit.
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
"""Columns of ``fractions.csv`` that may be read, and what they measure."""

_INTERVALS = {
    "prevalence": ("prevalence_low", "prevalence_high"),
    "fraction": ("fraction_low", "fraction_high"),
}


@dataclass(frozen=True)
class Reading:
    """A figure with where it stands.

    Parameters
    ----------
    figure
        In the unit of the line.
    sample
        Its sample; empty if the run lacks it.
    program
        Its programme; empty for other figures.
    row
        The row of the table; empty for a figure of quality control.
    """

    figure: Figure
    sample: str
    program: str = ""
    row: Any = None


def check_read_outs(checks: list[Check], evidence: Evidence) -> None:
    """Check that every line names what the run has and a unit that fits, before anything is judged.

    Raises
    ------
    UnknownNameError
        If a read-out is unknown, with the near match, or a run has not called its programme.
    ConfigError
        If a unit does not fit its read-out.
    """
    for check in checks:
        kind = _kind_of(check, evidence)
        wanted = UNITS[check.unit][0]
        if kind not in (wanted, "any"):
            fitting = [unit for unit, (measured, _) in UNITS.items() if measured == kind]
            raise ConfigError(
                f"{check.id}: {check.read_out} is no figure in {check.unit!r}. Units that "
                f"fit: {', '.join(fitting)}."
            )
        if check.required or check.sample not in (EACH_SAMPLE, EACH_CONTROL):
            _check_sample(check, evidence)


def _kind_of(check: Check, evidence: Evidence) -> str:
    """Give what a read-out measures; ``any`` for other tables, which do not say."""
    first, *rest = check.read_out.split("/")
    if first == "qc" and len(rest) == 1:
        return str(QC_FIGURES[rest[0]].facts["kind"])
    if first == "tables" and len(rest) == 2:
        columns = [rest[1], *check.where, *(name for name in (check.low, check.high) if name)]
        _check_names(columns, evidence.header(rest[0]), f"{check.id}: column", f" of {rest[0]}")
        return "any"
    if len(rest) not in (1, 2):
        raise UnknownNameError(
            f"{check.id}: read-out {check.read_out!r} is not programme/state/column, "
            "qc/figure and tables/NAME.csv/column."
        )
    _check_fraction(check, evidence, first, rest[0])
    column = rest[1] if len(rest) == 2 else "prevalence"
    _check_names([column], list(COLUMN_KINDS), f"{check.id}: column", f" of {FRACTIONS}")
    return COLUMN_KINDS[column]


def _check_fraction(check: Check, evidence: Evidence, program: str, state: str) -> None:
    """Check that the run has a programme and its state."""
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
            f"{evidence.folder}: the run has not called programme {program!r}. Run it with "
            f"--set programs=[{programs[0] if programs else ''},{card}]; "
            f"nothing was judged. Called: {', '.join(programs)}."
        )
    _check_names([program], programs, f"{check.id}: programme", f" in {evidence.folder}")
    states = list(dict.fromkeys(row["state"] for row in rows if row["program"] == program))
    _check_names([state], states, f"{check.id}: state", f" of {program}")


def _check_names(names: list[str], known: list[str], what: str, where: str) -> None:
    """Refuse the first name that is not known."""
    for name in names:
        if name not in known:
            raise UnknownNameError(
                f"{what} {name!r}{where} is unknown. {did_you_mean(name, known)} Nothing was "
                "judged."
            )


def _check_sample(check: Check, evidence: Evidence) -> None:
    """Refuse the name of a sample that the run has not."""
    known = list(dict.fromkeys(row["sample"] for row in evidence.table(FRACTIONS)))
    if check.required and check.sample not in (EACH_SAMPLE, EACH_CONTROL):
        _check_names([check.sample], known, f"{check.id}: sample", f" in {evidence.folder}")


def read_figures(check: Check, evidence: Evidence) -> list[Reading]:
    """Read the figures of one line, one for each sample that it names.

    An empty one if the run lacks them.

    Raises
    ------
    ScdiffError
        If a table cannot be read, or ``where`` does not name one row.
    """
    names = [check.sample]
    if check.sample in (EACH_SAMPLE, EACH_CONTROL):
        names = sample_names(evidence, controls=check.sample == EACH_CONTROL)
    readings = [
        reading for name in names if (reading := _read_one(check, evidence, name)) is not None
    ]
    return readings or [Reading(Figure(), "")]


def _read_one(check: Check, evidence: Evidence, sample: str) -> Reading | None:
    """Read the figure of one sample; None where it is not there."""
    first, *rest = check.read_out.split("/")
    if first == "qc":
        value = _in_unit(QC_FIGURES[rest[0]].function(evidence, sample), check.scale)
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
        Reading(_fraction_figure(found[0], column, check.scale), sample, first, found[0])
        if found
        else None
    )


def _fraction_figure(row: dict[str, str], column: str, scale: float) -> Figure:
    """Make the figure of a column of ``fractions.csv``, in the unit of the line."""
    if COLUMN_KINDS[column] == "text":
        return Figure(text=row[column], verdict=row["verdict"], reason=row["reason"])
    low, high = _INTERVALS.get(column, (column, column))
    value, lower, upper = (_in_unit(number(row[name]), scale) for name in (column, low, high))
    lod = _in_unit(number(row["lod"]), scale) if column in _INTERVALS else math.nan
    verdict = row["verdict"] if COLUMN_KINDS[column] == "fraction" else ""
    return Figure(value, lower, upper, lod=lod, verdict=verdict, reason=row["reason"])


def _read_table_row(
    check: Check, evidence: Evidence, name: str, column: str, sample: str
) -> Reading:
    """Read the figure of any other table.

    Of the one row that ``where`` names, and the sample where the table has samples.
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
            f"{check.id}: {len(found)} rows of {name} hold {wanted}: name more columns in "
            "`where`, so that one does."
        )
    if not found:
        return Reading(Figure(), sample)
    row = found[0]
    if check.unit == "text":
        return Reading(Figure(text=row[column]), sample, row=row)
    value, low, high = (
        _in_unit(number(row[key or column]), check.scale) for key in (column, check.low, check.high)
    )
    return Reading(Figure(value, low, high, verdict=row.get("verdict", "")), sample, row=row)


def _in_unit(value: float, scale: float) -> float:
    """Give a number of the tables in another unit, without the digits that division adds.

    >>> _in_unit(0.0354754, 0.01)
    3.54754
    """
    return float(f"{value / scale:.9g}")
