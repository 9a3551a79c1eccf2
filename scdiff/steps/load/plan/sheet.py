"""The sample sheet: its rows, and all of its errors at once."""

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

_TRUTH = dict.fromkeys(("", "0", "no", "false", "n"), False) | dict.fromkeys(
    ("negative", "positive", "1", "yes", "true", "y"), True
)
"""Text in the column ``control`` -> whether the sample is a control."""

_POSITIVE = "positive"
"""Text in the column ``control`` of a positive control."""

_COLUMNS = ("sample", "path", "raw", "control")
"""Columns that are fields of a row."""

_KNOWN = (*_COLUMNS, "donor", "condition", "day")
"""Columns that scdiff reads."""

_FORMULA = re.compile(r"[=@]|[+-].*[(|!]")
"""Text that a spreadsheet would run as a formula when it opens a table of the results."""
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Control characters, including line breaks, and characters that change the text direction."""
_MOST_BYTES = 50_000_000
"""Largest size of a sample sheet in bytes; for an xlsx, after unzipping. Chosen, not tuned."""


@dataclass(frozen=True)
class Row:
    """One sample of the sheet.

    Parameters
    ----------
    line
        Line number in the file, from 1.
    path
        Absolute path; None if the sheet gives no path.
    raw
        Absolute path of the unfiltered matrix; None if the sheet gives no path.
    control
        Whether it is a control; a negative one, unless ``positive_control`` is true.
    positive_control
        Whether it holds only positive cells.
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
    """Read a sample sheet: a csv, a tsv or the first sheet of an xlsx.

    Returns
    -------
    The rows, and the errors found, each a sentence.

    Raises
    ------
    ConfigError
        If there is no table with a column ``sample``.
    """
    lines = _drop_blanks(_read_lines(path))
    heading = [name.strip() for name in lines[0]]
    faults = _list_header_faults(path, heading)
    rows: list[Row] = []
    for number, cells in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(heading):
            faults.append(f"line {number}: {len(cells)} fields, but the header has {len(heading)}.")
            continue
        values = dict(zip(heading, (cell.strip() for cell in cells), strict=True))
        faults += _list_row_faults(number, values, rows)
        if not any(_UNPRINTABLE.search(value) for value in values.values()):
            rows.append(_build_row(path, number, values))
    return rows, faults or ([] if rows else ["the sheet lists no samples."])


def _read_lines(path: Path) -> list[list[str]]:
    """Read all lines as lists of fields."""
    if kind := find_special_kind(path):
        raise ConfigError(
            f"{path}: the sample sheet is {kind}, not a plain file. Give a csv, tsv or xlsx file."
        )
    try:
        lines = _read_xlsx(path) if path.suffix.lower() == ".xlsx" else _read_text(path)
    except OSError as error:
        raise ConfigError(
            f"{path}: the sample sheet cannot be read ({error.strerror or error})."
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(
            f"{path}: the sample sheet is not csv or tsv text ({error}). Save it as csv."
        ) from None
    if not lines:
        raise ConfigError(f"{path}: the sample sheet is empty.")
    return lines


def _drop_blanks(lines: Sequence[Sequence[str]]) -> list[list[str]]:
    """Drop columns without a name and without a value, which spreadsheets write."""
    width = len(lines[0])
    filled = {at for line in lines for at, cell in enumerate(line) if cell.strip()}
    blank = {at for at, name in enumerate(lines[0]) if not name.strip() and at not in filled}
    ends = max(filled, default=0) + 1
    return [
        [cell for at, cell in enumerate(line) if at not in blank and (at < width or at < ends)]
        for line in lines
    ]


def _read_text(path: Path) -> list[list[str]]:
    """Split a text into fields; the separator is the one that the header uses."""
    _refuse_large(path, path.stat().st_size)
    text = read_text(path, _MOST_BYTES, encoding="utf-8-sig")
    separator = max(",\t;", key=text.partition("\n")[0].count)
    return list(csv.reader(io.StringIO(text), delimiter=separator))


def _read_xlsx(path: Path) -> list[list[str]]:
    """Read the cells of the first sheet as text; of formulas, the last result."""
    import pandas as pd

    try:
        with zipfile.ZipFile(path) as archive:
            _refuse_large(path, sum(part.file_size for part in archive.infolist()))
        frame = pd.read_excel(
            path, header=None, dtype=str, keep_default_na=False, engine="openpyxl"
        )
    # broken XML raises SyntaxError
    except (*READER_ERRORS, zipfile.BadZipFile, SyntaxError) as error:
        raise ConfigError(
            f"{path}: the sample sheet cannot be read as xlsx ({type(error).__name__}). "
            "Save it as csv."
        ) from None
    return [[str(cell) for cell in row] for row in frame.fillna("").to_numpy()]


def _refuse_large(path: Path, n_bytes: int) -> None:
    """Raise an error if a file is too large to be a sample sheet."""
    if n_bytes > _MOST_BYTES:
        raise ConfigError(
            f"{path}: {n_bytes / 1e6:,.0f} MB is too large for a sample sheet (at most "
            f"{_MOST_BYTES / 1e6:.0f} MB). Check that this is not a matrix."
        )


def _list_header_faults(path: Path, heading: Sequence[str]) -> list[str]:
    """List the errors of the column names.

    Raises
    ------
    ConfigError
        If the column ``sample`` is missing, because then no row can be read.
    """
    if "sample" not in heading:
        near = did_you_mean("sample", heading)
        raise ConfigError(
            f"{path}: the sample sheet has no column 'sample'. {near} "
            "Write: sample,path and any of raw,donor,condition,day,control."
        )
    reserved = {key.name for key in keys.KEYS if key.slot == "obs"} - set(_COLUMNS)
    taken = [name for name in heading if name in reserved or name.startswith("scdiff_")]
    faults = [f"column {name!r} has a name that scdiff writes itself. Rename it." for name in taken]
    faults += [
        f"column {name!r} occurs twice."
        for name in dict.fromkeys(heading)
        if heading.count(name) > 1
    ]
    for name in heading:
        meant = difflib.get_close_matches(name.casefold(), _KNOWN, n=1, cutoff=0.87)
        if meant and name not in _KNOWN:
            faults.append(
                f"column {name!r} looks like {meant[0]!r}, which scdiff reads. "
                "Use this spelling, or another name."
            )
    return faults + (["a column has no name."] if "" in heading else [])


def _list_row_faults(number: int, values: Mapping[str, str], before: Sequence[Row]) -> list[str]:
    """List the errors of one line."""
    faults = [] if values["sample"] else [f"line {number}: the sample has no name."]
    faults += [
        f"line {number}: sample {row.sample!r} is already on line {row.line}."
        for row in before
        if row.sample == values["sample"] != ""
    ]
    odd = {
        name: value
        for name, value in values.items()
        if _FORMULA.match(value) or _UNPRINTABLE.search(value)
    }
    faults += [
        f"line {number}: {name} is {value!r}, a formula or unprintable text. Write plain text."
        for name, value in odd.items()
    ]
    if odd_days := list_unreadable_days([values.get(DAY, "")]):
        faults.append(
            f"line {number}: day is {odd_days[0]!r}, which cannot be read as a day. "
            "Write a number, such as 7, d7 or day 7."
        )
    control = values.get("control", "")
    if control.casefold() not in _TRUTH:
        faults.append(
            f"line {number}: control is {control!r}; allowed: yes, no, true, false, 1, 0, "
            "negative, positive or empty."
        )
    return faults


def _build_row(sheet: Path, number: int, values: Mapping[str, str]) -> Row:
    """Build a row; a relative path starts at the folder of the sheet."""
    path, raw = values.get("path", ""), values.get("raw", "")
    folder = sheet.absolute().parent
    return Row(
        line=number,
        sample=values["sample"],
        path=folder / path if path else None,
        raw=folder / raw if raw else None,
        control=_TRUTH.get(values.get("control", "").casefold(), False),
        positive_control=values.get("control", "").casefold() == _POSITIVE,
        fields={name: value for name, value in values.items() if name not in _COLUMNS},
    )
