"""The sample sheet: what it says, and everything that is wrong with it, at once."""

from __future__ import annotations

import csv
import difflib
import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scdiff import keys
from scdiff.bounded import find_special_kind, read_text
from scdiff.errors import ConfigError, did_you_mean
from scdiff.steps.load.table import READER_ERRORS
from scdiff.steps.shared.days import DAY, list_unreadable_days

__all__ = ["Row", "read_sheet"]

_TRUTH = dict.fromkeys(("", "0", "no", "false", "n"), False) | dict.fromkeys(("negative", "positive", "1", "yes", "true", "y"), True)
_POSITIVE = "positive"
_COLUMNS = ("sample", "path", "raw", "control")
_KNOWN = (*_COLUMNS, "donor", "condition", "day")
_FORMULA = re.compile(r"[=@]|[+-].*[(|!]")
"""What a spreadsheet would run when it opens a table of the results."""
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Signs of control, line breaks among them, and those that turn the direction of a text."""
_MOST_BYTES = 50_000_000
"""A sheet of more is no sample sheet; an xlsx is held to it unzipped."""


@dataclass(frozen=True)
class Row:
    """One sample of the sheet.

    Parameters
    ----------
    line
        Line number in the file, from 1.
    path
        Absolute, or None where the sheet gives none.
    raw
        The unfiltered matrix of the sample, likewise.
    control
        Whether it is a control; a negative one unless ``positive_control`` says that it holds nothing but positive cells.
    fields
        The other columns, as text.
    """

    line: int
    sample: str
    path: Path | None = None
    raw: Path | None = None
    control: bool = False
    positive_control: bool = False
    fields: Mapping[str, str] = field(default_factory=dict)


def read_sheet(path: Path) -> tuple[list[Row], list[str]]:
    """Read a sample sheet (csv, tsv or the first sheet of an xlsx); return its rows and the faults found, each a sentence.

    Raises
    ------
    ConfigError
        If there is no table with a column ``sample`` to look at.
    """
    lines = _without_blanks(_lines(path))
    heading = [name.strip() for name in lines[0]]
    faults = _heading_faults(path, heading)
    rows: list[Row] = []
    for number, cells in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(heading):
            faults.append(f"line {number}: {len(cells)} fields where the heading has {len(heading)}.")
            continue
        values = dict(zip(heading, (cell.strip() for cell in cells), strict=True))
        faults += _row_faults(number, values, rows)
        if not any(_UNPRINTABLE.search(value) for value in values.values()):
            rows.append(_row(path, number, values))
    return rows, faults or ([] if rows else ["the sheet lists no sample."])


def _lines(path: Path) -> list[list[str]]:
    """All lines as fields."""
    if kind := find_special_kind(path):
        raise ConfigError(f"{path}: the sample sheet is {kind}, not a plain file: give a csv, tsv or xlsx file.")
    try:
        lines = _cells_of_xlsx(path) if path.suffix.lower() == ".xlsx" else _fields_of_text(path)
    except OSError as error:
        raise ConfigError(f"{path}: the sample sheet cannot be read ({error.strerror or error}).") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: the sample sheet is no csv or tsv text ({error}).") from None
    if not lines:
        raise ConfigError(f"{path}: the sample sheet is empty.")
    return lines


def _without_blanks(lines: Sequence[Sequence[str]]) -> list[list[str]]:
    """Leave out columns without a name and without a value, which spreadsheets write."""
    width = len(lines[0])
    filled = {at for line in lines for at, cell in enumerate(line) if cell.strip()}
    blank = {at for at, name in enumerate(lines[0]) if not name.strip() and at not in filled}
    ends = max(filled, default=0) + 1
    return [[cell for at, cell in enumerate(line) if at not in blank and (at < width or at < ends)] for line in lines]


def _fields_of_text(path: Path) -> list[list[str]]:
    """Fields of a text; the separator is the one the heading uses."""
    _refuse_large(path, path.stat().st_size)
    text = read_text(path, _MOST_BYTES, encoding="utf-8-sig")
    separator = max(",\t;", key=text.partition("\n")[0].count)
    return list(csv.reader(io.StringIO(text), delimiter=separator))


def _cells_of_xlsx(path: Path) -> list[list[str]]:
    """Cells of the first sheet as text; formulas count as what they last gave."""
    import pandas as pd

    try:
        with zipfile.ZipFile(path) as archive:
            _refuse_large(path, sum(part.file_size for part in archive.infolist()))
        frame = pd.read_excel(path, header=None, dtype=str, keep_default_na=False, engine="openpyxl")
    except (*READER_ERRORS, zipfile.BadZipFile, SyntaxError) as error:  # the last is what broken XML raises
        raise ConfigError(f"{path}: the sample sheet cannot be read as xlsx ({type(error).__name__}): save it as csv.") from None
    return [[str(cell) for cell in row] for row in frame.fillna("").to_numpy()]


def _refuse_large(path: Path, n_bytes: int) -> None:
    """Refuse what is too large to be a sample sheet."""
    if n_bytes > _MOST_BYTES:
        raise ConfigError(f"{path}: {n_bytes / 1e6:,.0f} MB is no sample sheet (at most {_MOST_BYTES / 1e6:.0f} MB): was a matrix given?")


def _heading_faults(path: Path, heading: Sequence[str]) -> list[str]:
    """Faults of the column names; a missing ``sample`` is reported alone, as nothing else can be read."""
    if "sample" not in heading:
        near = did_you_mean("sample", heading)
        raise ConfigError(
            f"{path}: the sample sheet has no column 'sample'. {near} Write: sample,path and any of raw,donor,condition,day,control."
        )
    reserved = {key.name for key in keys.KEYS if key.slot == "obs"} - set(_COLUMNS)
    taken = [name for name in heading if name in reserved or name.startswith("scdiff_")]
    faults = [f"column {name!r} is a name that scdiff writes itself: rename it." for name in taken]
    faults += [f"column {name!r} stands twice." for name in dict.fromkeys(heading) if heading.count(name) > 1]
    for name in heading:
        meant = difflib.get_close_matches(name.casefold(), _KNOWN, n=1, cutoff=0.87)
        if meant and name not in _KNOWN:
            faults.append(f"column {name!r} looks like {meant[0]!r}, which scdiff reads: write it so, or give it another name.")
    return faults + (["a column has no name."] if "" in heading else [])


def _row_faults(number: int, values: Mapping[str, str], before: Sequence[Row]) -> list[str]:
    """Faults of one line."""
    faults = [] if values["sample"] else [f"line {number}: the sample has no name."]
    faults += [
        f"line {number}: sample {row.sample!r} stands on line {row.line} already." for row in before if row.sample == values["sample"] != ""
    ]
    odd = {name: value for name, value in values.items() if _FORMULA.match(value) or _UNPRINTABLE.search(value)}
    faults += [f"line {number}: {name} is {value!r}, a formula or unprintable: write a plain text." for name, value in odd.items()]
    if odd_days := list_unreadable_days([values.get(DAY, "")]):
        faults.append(f"line {number}: day is {odd_days[0]!r}, which cannot be read as a day: write a number, such as 7, d7 or day 7.")
    control = values.get("control", "")
    if control.casefold() not in _TRUTH:
        faults.append(f"line {number}: control is {control!r}; allowed: yes, no, true, false, 1, 0, negative, positive or nothing.")
    return faults


def _row(sheet: Path, number: int, values: Mapping[str, str]) -> Row:
    """Build a row; a relative path starts at the sheet."""
    path_of = {name: sheet.absolute().parent / given if (given := values.get(name, "")) else None for name in ("path", "raw")}
    return Row(
        line=number,
        sample=values["sample"],
        path=path_of["path"],
        raw=path_of["raw"],
        control=_TRUTH.get(values.get("control", "").casefold(), False),
        positive_control=values.get("control", "").casefold() == _POSITIVE,
        fields={name: value for name, value in values.items() if name not in _COLUMNS},
    )
