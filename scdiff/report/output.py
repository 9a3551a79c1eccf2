"""Write the files of the report to a partial folder, then move them when all are complete."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scdiff import keys
from scdiff.errors import OutputError

if TYPE_CHECKING:
    from anndata import AnnData

    from scdiff.report.section import Section

__all__ = [
    "FILES",
    "PARTIAL",
    "previous_files",
    "remove_report",
    "stage_report",
    "write_page",
    "write_report",
]

PARTIAL = ".partial-report"
"""Folder inside the output folder in which the report is written."""

FILES = ".report-files"
"""File that lists what the last report wrote, so that the next report removes only these files."""

_LAST = "report.html"
"""File that is moved last and removed first: if it exists, the report is complete."""


@contextmanager
def stage_report(out: Path) -> Iterator[Path]:
    """Yield a partial folder to write into; move its content to ``out`` at the end of the block.

    After an error, no file is moved. The partial folder is removed in all cases.

    Parameters
    ----------
    out
        Output folder; created if it does not exist.

    Raises
    ------
    OutputError
        If ``out`` cannot be written.
    """
    partial = out / PARTIAL
    try:
        out.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        yield partial
        _publish(partial, out)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"{out}: the report cannot be written ({reason}). "
            "Choose a folder with write permission and enough free disk space."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _publish(partial: Path, out: Path) -> None:
    """Replace the files of the last report with the new ones, the page last."""
    new = sorted(str(path.relative_to(partial)) for path in partial.rglob("*") if path.is_file())
    (out / _LAST).unlink(missing_ok=True)
    for name in previous_files(out):
        if name not in new:
            (out / name).unlink(missing_ok=True)
    (out / FILES).write_text("".join(f"{name}\n" for name in new), encoding="utf-8")
    for name in sorted(new, key=lambda name: name == _LAST):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (partial / name).replace(out / name)


def remove_report(out: Path) -> None:
    """Remove the files that the last report wrote to a folder, the page first.

    Parameters
    ----------
    out
        Output folder.

    Raises
    ------
    OSError
        If a file cannot be removed.
    """
    names = sorted(previous_files(out), key=lambda name: name != _LAST)
    for name in names:
        (out / name).unlink(missing_ok=True)
    for folder in {(out / name).parent for name in names} - {out}:
        with suppress(OSError):  # not empty: the user may have files in it
            folder.rmdir()
    (out / FILES).unlink(missing_ok=True)


def previous_files(out: Path) -> list[str]:
    """Return the names of the files that the last report wrote to a folder.

    Names that lead out of the folder are left out, because these files could be of other origin.
    """
    listing = out / FILES
    names = listing.read_text(encoding="utf-8").splitlines() if listing.is_file() else []
    return [
        name
        for name in names
        if name and not Path(name).is_absolute() and ".." not in Path(name).parts
    ]


def write_report(adata: AnnData, sections: list[Section], folder: Path, *, batch: str) -> None:
    """Write all files of the report to ``folder``.

    Parameters
    ----------
    adata
        Result of all steps.
    sections
        In the order of the page.
    folder
        An empty folder.
    batch
        Name of the batch, for tools that gather several batches.

    Reads
    -----
    Every key of :mod:`scdiff.keys` that is present.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    from scdiff.report.multiqc import general_statistics, state_bars
    from scdiff.report.page import render_page
    from scdiff.report.versions import versions_yaml
    from scdiff.storage.h5ad import write_h5ad

    _write_tables(sections, adata, folder / "tables")
    _write_figures(sections, folder / "figures")
    write_h5ad(adata, folder / "result.h5ad")
    _write_json(general_statistics(adata, batch=batch), folder / "scdiff_mqc.json")
    _write_json(state_bars(adata, batch=batch), folder / "scdiff_states_mqc.json")
    (folder / "versions.yml").write_text(versions_yaml(adata), encoding="utf-8")
    (folder / _LAST).write_text(render_page(adata, sections), encoding="utf-8")


def write_page(adata: AnnData, sections: list[Section], path: Path) -> None:
    """Write the page alone; it is there as a whole or not at all.

    Parameters
    ----------
    adata
        The finished object.
    sections
        In the order of the page.
    path
        File to write; its folder is made where it does not exist.

    Reads
    -----
    As :func:`write_report`.

    Raises
    ------
    OutputError
        If ``path`` cannot be written.
    """
    from scdiff.report.page import render_page

    partial = path.with_name(
        f".{path.name}.{os.getpid()}.partial"
    )  # two processes may write the same page
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(render_page(adata, sections, alone=True), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path}: the page cannot be written ({error.strerror or error}). "
            "Give a path in a folder that can be written."
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _write_tables(sections: list[Section], adata: AnnData, folder: Path) -> None:
    """Write the tables of all sections; fractions, dose and cells even if their section failed."""
    from scdiff.report.tables import cells_table, fraction_columns, write_table

    folder.mkdir()
    frames = {table.name: table.frame for section in sections for table in section.tables}
    frames.setdefault("fractions.csv", fraction_columns(adata.uns[keys.ROOT][keys.FRACTIONS.name]))
    if keys.has(adata, keys.DOSE):
        frames.setdefault("dose.csv", adata.uns[keys.ROOT][keys.DOSE.name])
    if "cells.csv.gz" not in frames:
        frames["cells.csv.gz"] = cells_table(adata)
    for name, frame in frames.items():
        write_table(frame, folder / name)


def _write_figures(sections: list[Section], folder: Path) -> None:
    """Write the figures of all sections."""
    folder.mkdir()
    for section in sections:
        for picture in section.figures:
            (folder / f"{picture.name}.{picture.suffix}").write_bytes(picture.image)


def _write_json(content: dict[str, Any], path: Path) -> None:
    """Write JSON without NaN, which strict readers refuse."""
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
