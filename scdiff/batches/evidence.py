"""What a finished run shows: its tables, their hashes, and the figures that are read off them."""

from __future__ import annotations

import csv
import hashlib
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
"""First columns of the tables that a decision rests on; further ones may follow."""

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
    """A finished run as it lies on the disk.

    Parameters
    ----------
    folder
        Output folder of the run.
    batch
        Name of the batch.
    files
        SHA-256 of each file that a decision rests on, by its path inside the folder.
    version
        scdiff that made it; empty where it does not say.
    """

    folder: Path
    batch: str
    files: dict[str, str]
    version: str
    _tables: dict[str, tuple[list[str], list[dict[str, str]]]] = field(default_factory=dict)
    _cells: Any = None

    def table(self, name: str) -> list[dict[str, str]]:
        """Read a table of the run as rows of texts.

        Raises
        ------
        UnknownNameError
            If the run lacks it.
        InputError
            If it cannot be read.
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
        """Columns of a table.

        Raises
        ------
        ScdiffError
            As :meth:`table`.
        """
        self.table(name)
        return self._tables[name][0]

    def has(self, name: str) -> bool:
        """Whether the run wrote a table."""
        return f"tables/{name}" in self.files

    @property
    def cells(self) -> Any:
        """Measures of each cell, a frame; read once.

        Raises
        ------
        InputError
            If the table is not there or cannot be read.
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
        """Whether another scdiff made it than this one."""
        return self.version != __version__

    def cells_of(self, sample: str) -> Any:
        """Cells of a sample; of ``all``, those of no control unless there are no others."""
        cells = self.cells
        if sample != POOLED:
            return cells[cells["sample"] == sample]
        control = _is_control(cells)
        return cells if control.all() else cells[~control]


def read_evidence(folder: Path, *, batch: str = "") -> Evidence:
    """Look at the output folder of a run: hash its tables and check their layout.

    Parameters
    ----------
    folder
        Output folder of ``scdiff run``.
    batch
        Name of the batch; that of the folder where empty.

    Raises
    ------
    InputError
        If the run is not finished, or its tables have another layout.
    """
    if not (folder / "tables" / FRACTIONS).is_file():
        raise InputError(
            f"{folder}: holds no tables/{FRACTIONS}, so it is not the folder of a finished "
            "run. Give what `scdiff run --out` wrote."
        )
    paths = sorted(
        path
        for path in (folder / "tables").rglob("*")
        if path.is_file() and not path.name.startswith(".")
    )
    paths += [folder / name for name in ("run.yaml", VERSIONS) if (folder / name).is_file()]
    files = {path.relative_to(folder).as_posix(): hash_file(path) for path in paths}
    found = Evidence(folder, batch or folder.resolve().name, files, _version(folder))
    for name, columns in SCHEMA.items():
        if found.has(name):
            _check_layout(found, name, columns)
    return found


def _version(folder: Path) -> str:
    """Version of scdiff that made a run, by its ``versions.yml``."""
    try:
        content = parse_yaml(read_text(folder / VERSIONS))
        return str(content["scdiff"]["scdiff"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _check_layout(found: Evidence, name: str, columns: Sequence[str]) -> None:
    """Refuse a table whose first columns are not those that this version writes."""
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
        else "a version of scdiff that the folder does not name"
    )
    raise InputError(
        f"{found.folder}/tables/{name}: column {place + 1} is {seen}, but scdiff "
        f"{__version__} reads {expected!r} there. "
        f"The result was made by {made}: run it again with this version to judge it."
    )


def hash_file(path: Path) -> str:
    """SHA-256 of a file.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from None


def _read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Read a CSV file: its heading, and its rows as texts.

    Raises
    ------
    InputError
        If it cannot be read, or a row is longer or shorter than the first.
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
            f"{path}: line {odd + 2} has {len(rows[odd])} cells, but the heading has "
            f"{len(header)}: the file is damaged."
        )
    return header, [dict(zip(header, row, strict=True)) for row in rows]


def _read_cells(path: Path) -> Any:
    """Read the measures of the cells.

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


def _is_control(cells: Any) -> Any:
    """Which cells come from a control sample."""
    return cells["control"].astype(bool) if "control" in cells else cells["sample"].isna()


def number(text: str) -> float:
    """Read a number of a table; NaN where the cell is empty or holds none.

    >>> number("0.5"), number("")
    (0.5, nan)
    """
    try:
        return float(text) if text else math.nan
    except ValueError:
        return math.nan


def sample_names(evidence: Evidence, *, controls: bool) -> list[str]:
    """Names of the control samples, or of the other ones, in the order of the table.

    Raises
    ------
    InputError
        If the table of cells cannot be read.
    """
    cells = evidence.cells
    chosen = set(cells["sample"][_is_control(cells) == controls].astype(str))
    return [
        name
        for name in dict.fromkeys(row["sample"] for row in evidence.table(FRACTIONS))
        if name in chosen
    ]
