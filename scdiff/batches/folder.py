"""What a finished run says of itself: the rows that the history keeps of its output folder."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scdiff.batches.schema import READOUTS, canonical, digest
from scdiff.bounded import MOST_TABLE_BYTES, format_value, parse_yaml, read_bytes, read_text
from scdiff.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RunFolder", "read_folder"]

NEEDED = (
    "program",
    "state",
    "sample",
    "n_cells",
    "n_called",
    "fraction",
    "prevalence",
    "prevalence_low",
    "prevalence_high",
    "verdict",
)
"""Columns of ``fractions.csv`` without which a run is not taken."""

NOT_THE_METHOD = ("inputs", "samples", "control", "engine", "scheduler", "report", "seed")
"""Options that say what is read, or how it is shown, and change nothing of the method."""

_FIGURES = {
    "total_counts": "median_counts",
    "n_genes_by_counts": "median_genes",
    "pct_counts_mt": "median_mito_percent",
}


@dataclass(frozen=True)
class RunFolder:
    """Columns of a run that its output folder tells, and its read-outs."""

    name: str
    row: dict[str, Any]
    readouts: list[dict[str, Any]]


def read_folder(folder: Path) -> RunFolder:
    """Read the output folder of a finished run.

    Parameters
    ----------
    folder
        What ``scdiff run --out`` was given.

    Raises
    ------
    InputError
        If it is not the folder of a finished run, or a file of it is damaged.
    """
    folder = Path(os.path.realpath(folder))
    report, fractions = folder / "report.html", folder / "tables" / "fractions.csv"
    for path in (report, fractions):
        if not path.is_file():
            raise InputError(
                f"{folder}: there is no {path.relative_to(folder)}, so this is not the folder of a "
                "finished `scdiff run`."
            )
    versions = _versions(folder)
    row = {
        "scdiff": versions.get("scdiff", "unknown"),
        "versions": canonical(versions),
        "options": _options(folder / "run.yaml"),
        "inputs": canonical(_inputs(folder / "tables" / "input_files.csv")),
        "qc": canonical(_figures(folder / "tables")),
        "report": str(report),
        "fractions_sha256": _sha256(fractions),
        "result_sha256": _sha256(folder / "result.h5ad"),
        **_kind(folder / "result.h5ad"),
    }
    return RunFolder(folder.name, row, _readouts(fractions))


def _readouts(path: Path) -> list[dict[str, Any]]:
    """Take the rows of the table of fractions."""
    frame = _table(path)
    if lacking := [name for name in NEEDED if name not in frame.columns]:
        raise InputError(
            f"{path}: column {lacking[0]!r} is missing: this is not a table of fractions."
        )
    if frame.empty:
        raise InputError(f"{path}: the table of fractions has no row.")
    doubled = frame.duplicated(["program", "state", "sample"])
    if doubled.any():
        first = frame[doubled].iloc[0]
        raise InputError(
            f"{path}: two rows describe {first['program']} {first['state']} of sample "
            f"{first['sample']}."
        )
    known = [name for name in [column.name for column in READOUTS.columns] if name in frame.columns]
    rows = (
        frame[known]
        .astype(object)
        .where(frame[known].notna(), None)
        .assign(why=_texts(frame, "reason"))
        .to_dict("records")
    )
    for name in (
        column.name
        for column in READOUTS.columns
        if column.name in known and not hasattr(column.type, "length")
    ):
        _check_numbers(frame, name, path)
    return [{str(key): value for key, value in row.items()} for row in rows]


def _texts(frame: pd.DataFrame, name: str) -> Any:
    """Take a column of texts; nothing where it is empty or not there."""
    if name not in frame.columns:
        return None
    texts = frame[name].astype(object)
    return texts.where(texts.notna(), None)


def _check_numbers(frame: pd.DataFrame, name: str, path: Path) -> None:
    """Refuse a column of numbers that holds something else."""
    import pandas as pd

    if pd.to_numeric(frame[name], errors="coerce").notna().sum() != frame[name].notna().sum():
        bad = frame[name][
            pd.to_numeric(frame[name], errors="coerce").isna() & frame[name].notna()
        ].iloc[0]
        raise InputError(f"{path}: column {name!r} holds {format_value(bad)}, not a number.")


def _table(path: Path) -> pd.DataFrame:
    """Read a table that a run wrote; sample and programme names stay texts."""
    import io

    import pandas as pd

    try:
        text = read_bytes(path, MOST_TABLE_BYTES).decode()
        names = dict.fromkeys(("program", "state", "sample", "verdict", "reason"), str)
        return pd.read_csv(io.StringIO(text), dtype=names, keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        raise InputError(f"{path}: cannot be read as a table of a run ({reason}).") from None


def _yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that a run wrote; empty if it is missing."""
    if not path.is_file():
        return {}
    try:
        found = parse_yaml(read_text(path))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}).") from None
    return dict(found) if isinstance(found, Mapping) else {}


def _versions(folder: Path) -> dict[str, str]:
    """Versions that the run recorded."""
    found = _yaml(folder / "versions.yml").get("scdiff", {})
    return (
        {str(name): str(version) for name, version in found.items()}
        if isinstance(found, Mapping)
        else {}
    )


def _options(path: Path) -> str | None:
    """Hash of the options that can change a number; nothing where the run recorded none."""
    options = _yaml(path)
    method = {name: value for name, value in options.items() if name not in NOT_THE_METHOD}
    return digest(json.dumps(method, sort_keys=True, default=str)) if options else None


def _inputs(path: Path) -> dict[str, str]:
    """Hash of the input of each sample, as the run recorded it."""
    if not path.is_file():
        return {}
    frame = _table(path)
    if not {"sample", "sha256"} <= set(frame.columns):
        return {}
    return {
        str(sample): str(text)
        for sample, text in zip(frame["sample"], frame["sha256"], strict=True)
    }


def _figures(tables: Path) -> dict[str, float]:
    """Figures of quality control: cells before and after, dropped by reason, medians."""
    figures: dict[str, float] = {}
    if (tables / "qc_dropped.csv").is_file():
        dropped = _table(tables / "qc_dropped.csv").select_dtypes("number").sum()
        figures |= {
            str(name) if str(name).startswith("n_") else f"dropped_{name}": float(value)
            for name, value in dropped.items()
        }
    return figures | _medians(tables / "cells.csv.gz")


def _medians(path: Path) -> dict[str, float]:
    """Medians over cells."""
    import zlib

    import pandas as pd

    if not path.is_file():
        return {}
    try:
        frame = pd.read_csv(path, usecols=lambda name: name in {*_FIGURES, "control"})
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise InputError(
            f"{path}: cannot be read ({' '.join(str(error).split())[:200]})."
        ) from None
    cells = frame[~frame["control"].astype(str).eq("True")] if "control" in frame else frame
    found = {
        figure: float(cells[name].median()) for name, figure in _FIGURES.items() if name in cells
    }
    return {name: value for name, value in found.items() if value == value}  # noqa: PLR0124 - NaN


def _kind(path: Path) -> dict[str, str]:
    """Species and technology, as the stored object has them."""
    import h5py

    if not path.is_file():
        return {}
    try:
        with h5py.File(path, "r") as file:
            found = file.get("uns/scdiff/input")
            names = [
                name for name in ("species", "technology") if found is not None and name in found
            ]
            return {name: found[name][()].decode() for name in names}
    except (OSError, KeyError, AttributeError) as error:
        raise InputError(
            f"{path}: cannot be read as the result.h5ad of a run "
            f"({' '.join(str(error).split())[:200]})."
        ) from None


def _sha256(path: Path) -> str | None:
    """Hash of a file; nothing if it is missing."""
    if not path.is_file():
        return None
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
