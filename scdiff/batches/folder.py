"""Read the output folder of a finished run into the rows that the history stores."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scdiff.batches.schema import READOUTS, canonical, digest
from scdiff.bounded import MOST_TABLE_BYTES, format_value, parse_yaml, read_bytes, read_text
from scdiff.errors import InputError
from scdiff.record import DEFINITIONS, hash_programs
from scdiff.storage.hashes import hash_file

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
"""Columns of ``fractions.csv`` that a run must have."""

NOT_THE_METHOD = ("inputs", "samples", "control", "engine", "scheduler", "report", "seed")
"""Options of inputs, computing and display. They do not change the method."""

_MEDIAN_NAMES = {
    "total_counts": "median_counts",
    "n_genes_by_counts": "median_genes",
    "pct_counts_mt": "median_mito_percent",
}


@dataclass(frozen=True)
class RunFolder:
    """Columns of a run that come from its output folder, and its read-outs."""

    name: str
    row: dict[str, Any]
    readouts: list[dict[str, Any]]


def read_folder(folder: Path) -> RunFolder:
    """Read the output folder of a finished run.

    Parameters
    ----------
    folder
        Folder that was given to ``scdiff run --out``.

    Raises
    ------
    InputError
        If it is not the folder of a finished run, or one of its files is damaged.
    """
    folder = Path(os.path.realpath(folder))
    report, fractions = folder / "report.html", folder / "tables" / "fractions.csv"
    result = folder / "result.h5ad"
    for path in (report, fractions):
        if not path.is_file():
            raise InputError(
                f"{folder}: {path.relative_to(folder)} is missing, so this is not the folder of a "
                "finished run. Give the folder that `scdiff run --out` wrote."
            )
    versions = _read_versions(folder)
    row = {
        "scdiff": versions.get("scdiff", "unknown"),
        "versions": canonical(versions),
        "options": _hash_options(folder / "run.yaml"),
        "inputs": canonical(_read_inputs(folder / "tables" / "input_files.csv")),
        "qc": canonical(_read_figures(folder / "tables")),
        "report": str(report),
        "fractions_sha256": hash_file(fractions),
        "result_sha256": hash_file(result) if result.is_file() else None,
        **_read_object(result),
    }
    return RunFolder(folder.name, row, _read_readouts(fractions))


def _read_readouts(path: Path) -> list[dict[str, Any]]:
    """Return the rows of ``fractions.csv``; raise InputError if they are not valid."""
    frame = _read_table(path)
    if lacking := [name for name in NEEDED if name not in frame.columns]:
        raise InputError(
            f"{path}: column {lacking[0]!r} is missing: this is not a table of fractions."
        )
    if frame.empty:
        raise InputError(f"{path}: the table has no rows.")
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
        .assign(why=_read_texts(frame, "reason"))
        .to_dict("records")
    )
    for name in (
        column.name
        for column in READOUTS.columns
        if column.name in known and not hasattr(column.type, "length")
    ):
        _check_numbers(frame, name, path)
    return [{str(key): value for key, value in row.items()} for row in rows]


def _read_texts(frame: pd.DataFrame, name: str) -> Any:
    """Return a column of texts; None for empty fields or a missing column."""
    if name not in frame.columns:
        return None
    texts = frame[name].astype(object)
    return texts.where(texts.notna(), None)


def _check_numbers(frame: pd.DataFrame, name: str, path: Path) -> None:
    """Raise InputError if a column of numbers contains another value."""
    import pandas as pd

    if pd.to_numeric(frame[name], errors="coerce").notna().sum() != frame[name].notna().sum():
        bad = frame[name][
            pd.to_numeric(frame[name], errors="coerce").isna() & frame[name].notna()
        ].iloc[0]
        raise InputError(
            f"{path}: column {name!r} contains {format_value(bad)}, which is not a number."
        )


def _read_table(path: Path) -> pd.DataFrame:
    """Read a table of a run; names of samples and programmes stay texts."""
    import io

    import pandas as pd

    try:
        text = read_bytes(path, MOST_TABLE_BYTES).decode()
        names = dict.fromkeys(("program", "state", "sample", "verdict", "reason"), str)
        return pd.read_csv(io.StringIO(text), dtype=names, keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        raise InputError(f"{path}: cannot be read as a table of a run ({reason}).") from None


def _read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file of a run; empty if the file is missing."""
    if not path.is_file():
        return {}
    try:
        found = parse_yaml(read_text(path))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}).") from None
    return dict(found) if isinstance(found, Mapping) else {}


def _read_versions(folder: Path) -> dict[str, str]:
    """Return the package versions that the run recorded."""
    found = _read_yaml(folder / "versions.yml").get("scdiff", {})
    return (
        {str(name): str(version) for name, version in found.items()}
        if isinstance(found, Mapping)
        else {}
    )


def _hash_options(path: Path) -> str | None:
    """Return the hash of the options of the method; None if the run recorded no options."""
    options = _read_yaml(path)
    method = {name: value for name, value in options.items() if name not in NOT_THE_METHOD}
    return digest(json.dumps(method, sort_keys=True, default=str)) if options else None


def _read_inputs(path: Path) -> dict[str, str]:
    """Return the recorded SHA-256 of the input of each sample."""
    if not path.is_file():
        return {}
    frame = _read_table(path)
    if not {"sample", "sha256"} <= set(frame.columns):
        return {}
    return {
        str(sample): str(text)
        for sample, text in zip(frame["sample"], frame["sha256"], strict=True)
    }


def _read_figures(tables: Path) -> dict[str, float]:
    """Return the QC figures: cells before and after, dropped cells by reason, medians."""
    figures: dict[str, float] = {}
    if (tables / "qc_dropped.csv").is_file():
        dropped = _read_table(tables / "qc_dropped.csv").select_dtypes("number").sum()
        figures |= {
            str(name) if str(name).startswith("n_") else f"dropped_{name}": float(value)
            for name, value in dropped.items()
        }
    return figures | _compute_medians(tables / "cells.csv.gz")


def _compute_medians(path: Path) -> dict[str, float]:
    """Return medians over the cells, without control samples."""
    import zlib

    import pandas as pd

    if not path.is_file():
        return {}
    try:
        frame = pd.read_csv(path, usecols=lambda name: name in {*_MEDIAN_NAMES, "control"})
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise InputError(
            f"{path}: cannot be read ({' '.join(str(error).split())[:200]})."
        ) from None
    cells = frame[~frame["control"].astype(str).eq("True")] if "control" in frame else frame
    found = {
        figure: float(cells[name].median())
        for name, figure in _MEDIAN_NAMES.items()
        if name in cells
    }
    return {name: value for name, value in found.items() if value == value}  # noqa: PLR0124 - NaN


_IN_OBJECT = {
    "species": "uns/scdiff/input/species",
    "technology": "uns/scdiff/input/technology",
    "programs": f"uns/scdiff/call/{DEFINITIONS}",
}


def _read_object(path: Path) -> dict[str, str]:
    """Return species, technology and hashes of the programmes from the stored object."""
    import h5py

    if not path.is_file():
        return {}
    try:
        with h5py.File(path, "r") as file:
            found = {
                name: file[place][()].decode()
                for name, place in _IN_OBJECT.items()
                if place in file
            }
        if "programs" in found:
            found["programs"] = canonical(hash_programs(found["programs"]))
    except (OSError, KeyError, AttributeError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read as the result.h5ad of a run "
            f"({' '.join(str(error).split())[:200]})."
        ) from None
    return found
