"""Run folders made by hand, with the tables that a decision reads."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_folders import SPECIFICATION, csv_of, fraction_row

from scdiff import __version__


@pytest.fixture
def make_result(tmp_path: Path) -> Callable[..., Path]:
    """Write a run folder: ``make_result(name, *rows of fractions, n_cells=, version=, controls=)``."""

    def make(
        name: str,
        *rows: dict[str, Any],
        n_cells: int = 200,
        version: str = __version__,
        controls: int = 0,
    ) -> Path:
        folder = tmp_path / name
        (folder / "tables").mkdir(parents=True)
        table = list(rows) or [fraction_row()]
        (folder / "tables" / "fractions.csv").write_text(csv_of(table), encoding="utf-8")
        cells = [
            {"cell": f"c{at}", "sample": "s1", "control": False, "total_counts": 4000 + at}
            for at in range(n_cells)
        ]
        cells += [
            {"cell": f"k{at}", "sample": "control1", "control": True, "total_counts": 100}
            for at in range(controls)
        ]
        with gzip.open(folder / "tables" / "cells.csv.gz", "wt", encoding="utf-8") as handle:
            handle.write(csv_of(cells))
        sheet = [
            {
                "sample": "s1",
                "path": f"/data/{name}.h5ad",
                "raw": "",
                "sha256": "ab" * 32,
                "layout": "h5ad",
            }
        ]
        (folder / "tables" / "input_files.csv").write_text(csv_of(sheet), encoding="utf-8")
        dropped = [{"sample": "s1", "n_before": 400, "empty": 0, "n_after": n_cells}]
        (folder / "tables" / "qc_dropped.csv").write_text(csv_of(dropped), encoding="utf-8")
        (folder / "run.yaml").write_text("seed: 0\n", encoding="utf-8")
        (folder / "versions.yml").write_text(
            f"scdiff:\n  python: 3.11.2\n  scdiff: {version}\n", encoding="utf-8"
        )
        return folder

    return make


@pytest.fixture
def spec_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a specification: ``spec_file(old, new)`` changes a word of the usual one."""

    def write(old: str = "", new: str = "", *, name: str = "spec.yaml") -> Path:
        path = tmp_path / name
        assert old in SPECIFICATION
        path.write_text(SPECIFICATION.replace(old, new) if old else SPECIFICATION, encoding="utf-8")
        return path

    return write
