"""Read a finished run: its tables and their hashes."""

from __future__ import annotations

import csv
import io
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scdiff import __version__
from scdiff.bounded import MOST_TABLE_BYTES, parse_yaml, read_bytes, read_text
from scdiff.errors import InputError, UnknownNameError, did_you_mean
from scdiff.report.tables import FRACTION_COLUMNS
from scdiff.storage import hashes
from scdiff.vocabulary import POOLED

__all__ = ["Evidence", "hash_file", "number", "read_evidence", "sample_names"]

Row = Mapping[str, str]

FRACTIONS, CELLS, DROPPED = "fractions.csv", "cells.csv.gz", "qc_dropped.csv"
INPUTS, VERSIONS = "input_files.csv", "versions.yml"

SCHEMA: dict[str, tuple[str, ...]] = {
    FRACTIONS: FRACTION_COLUMNS,
    DROPPED: ("sample", "n_before"),
    INPUTS: ("sample", "path", "raw", "sha256"),
}
"""First columns of the tables that a decision uses; further columns may follow."""

_CELL_COLUMNS = (
    "sample",
    "control",
    "total_counts",
    "n_genes_by_counts",
    "pct_counts_mt",
    "predicted_doublet",
)


@dataclass
class Evidence:
    """The output folder of a finished run.

    Parameters
    ----------
    folder
        Output folder of the run.
    batch
        Name of the batch.
    files
        SHA-256 of each file that a decision uses, by its path inside the folder.
    version
        Version of scdiff that wrote the run; empty if the folder does not state it.
    """

    folder: Path
    batch: str
    files: dict[str, str]
    version: str
    _tables: dict[str, tuple[list[str], list[dict[str, str]]]] = field(default_factory=dict)
    _cells: Any = None

    def table(self, name: str) -> list[dict[str, str]]:
        """Return a table of the run as rows of texts.

        Raises
        ------
        UnknownNameError
            If the run does not have the table.
        InputError
            If the table cannot be read.
        """
        if name not in self._tables:
            known = sorted(
                Path(path).name
                for path in self.files
                if path.startswith("tables/") and path.endswith(".csv")
            )
            if name not in known:
                raise UnknownNameError(
                    f"{self.folder}: the run has no table {name!r}. {did_you_mean(name, known)}"
                )
            self._tables[name] = _read_table(self.folder / "tables" / name)
        return self._tables[name][1]

    def header(self, name: str) -> list[str]:
        """Return the column names of a table.

        Raises
        ------
        ScdiffError
            As :meth:`table`.
        """
        self.table(name)
        return self._tables[name][0]

    def has(self, name: str) -> bool:
        """Check whether the run wrote a table."""
        return f"tables/{name}" in self.files

    @property
    def cells(self) -> Any:
        """QC measures of each cell, a data frame; read once.

        Raises
        ------
        InputError
            If the table is missing or cannot be read.
        """
        if self._cells is None:
            self._cells = _read_cells(self.folder / "tables" / CELLS)
        return self._cells

    @property
    def inputs(self) -> list[dict[str, str]]:
        """Input files of the run: sample, path and SHA-256."""
        return self.table(INPUTS) if self.has(INPUTS) else []

    @property
    def is_other_version(self) -> bool:
        """Whether another version of scdiff wrote the run."""
        return self.version != __version__

    def cells_of(self, sample: str) -> Any:
        """Return the cells of a sample; ``all``: cells of all samples except controls, if any."""
        cells = self.cells
        if sample != POOLED:
            return cells[cells["sample"] == sample]
        control = _flag_controls(cells)
        return cells if control.all() else cells[~control]


def read_evidence(folder: Path, *, batch: str = "") -> Evidence:
    """Read the output folder of a run: hash its tables and check their columns.

    Parameters
    ----------
    folder
        Output folder of ``scdiff run``.
    batch
        Name of the batch; empty: the name of the folder.

    Raises
    ------
    InputError
        If the run is not finished, or its tables have other columns.
    """
    if not (folder / "tables" / FRACTIONS).is_file():
        raise InputError(
            f"{folder}: tables/{FRACTIONS} is missing, so this is not the folder of a finished "
            "run. Give the folder that `scdiff run --out` wrote."
        )
    paths = sorted(
        path
        for path in (folder / "tables").rglob("*")
        if path.is_file() and not path.name.startswith(".")
    )
    paths += [folder / name for name in ("run.yaml", VERSIONS) if (folder / name).is_file()]
    files = {path.relative_to(folder).as_posix(): hash_file(path) for path in paths}
    found = Evidence(folder, batch or folder.resolve().name, files, _read_version(folder))
    for name, columns in SCHEMA.items():
        if found.has(name):
            _check_layout(found, name, columns)
    return found


def _read_version(folder: Path) -> str:
    """Return the version of scdiff in ``versions.yml``; empty if it is missing."""
    try:
        content = parse_yaml(read_text(folder / VERSIONS))
        return str(content["scdiff"]["scdiff"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _check_layout(found: Evidence, name: str, columns: Sequence[str]) -> None:
    """Raise InputError if the first columns of a table differ from those of this version."""
    header = found.header(name)
    if header[: len(columns)] == list(columns):
        return
    place, expected = next(
        (at, word) for at, word in enumerate(columns) if header[at : at + 1] != [word]
    )
    seen = f"{header[place]!r}" if place < len(header) else "nothing"
    made = (
        f"scdiff {found.version}"
        if found.version
        else "a version of scdiff that the folder does not state"
    )
    raise InputError(
        f"{found.folder}/tables/{name}: column {place + 1} is {seen}, but scdiff "
        f"{__version__} needs {expected!r}. "
        f"The result was written by {made}. Run the batch again with this version."
    )


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    try:
        return hashes.hash_file(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from None


def _read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Read a CSV file; return its header, and its rows as texts.

    Raises
    ------
    InputError
        If the file cannot be read, or a row has more or fewer fields than the header.
    """
    try:
        text = read_bytes(path, MOST_TABLE_BYTES).decode("utf-8")
        header, *rows = list(csv.reader(io.StringIO(text, newline="")))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(
            f"{path}: cannot be read as a table ({getattr(error, 'strerror', None) or error})."
        ) from None
    odd = next((at for at, row in enumerate(rows) if len(row) != len(header)), None)
    if odd is not None:
        raise InputError(
            f"{path}: line {odd + 2} has {len(rows[odd])} fields, but the header has "
            f"{len(header)}: the file is damaged."
        )
    return header, [dict(zip(header, row, strict=True)) for row in rows]


def _read_cells(path: Path) -> Any:
    """Read the QC measures of the cells.

    Raises
    ------
    InputError
        If the table cannot be read.
    """
    import pandas as pd

    try:
        return pd.read_csv(path, usecols=lambda name: name in _CELL_COLUMNS, dtype={"sample": str})
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise InputError(
            f"{path}: cannot be read ({' '.join(str(error).split())[:200]})."
        ) from None


def _flag_controls(cells: Any) -> Any:
    """Return for each cell whether its sample is a control."""
    return cells["control"].astype(bool) if "control" in cells else cells["sample"].isna()


def number(text: str) -> float:
    """Convert a field of a table to a number; NaN if it is empty or not a number.

    >>> number("0.5"), number("")
    (0.5, nan)
    """
    try:
        return float(text) if text else math.nan
    except ValueError:
        return math.nan


def sample_names(evidence: Evidence, *, controls: bool) -> list[str]:
    """Return the names of the control samples, or of the others, in the order of the table.

    Raises
    ------
    InputError
        If the table of cells cannot be read.
    """
    cells = evidence.cells
    chosen = set(cells["sample"][_flag_controls(cells) == controls].astype(str))
    return [
        name
        for name in dict.fromkeys(row["sample"] for row in evidence.table(FRACTIONS))
        if name in chosen
    ]
