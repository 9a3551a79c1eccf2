"""Reader of files of R: Seurat, SingleCellExperiment and plain matrices in rds and rda files.

The package ``rdata`` parses them; no code in them is run.
"""

from __future__ import annotations

import bz2
import gzip
import importlib.util
import io
import lzma
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.errors import InputError
from scdiff.steps.load.checks.features import fill_names, is_transposed
from scdiff.steps.load.checks.parts import KEPT, detect_part, merge_matrices
from scdiff.steps.load.readers.registry import READERS
from scdiff.steps.load.readers.rvalue import (
    Matrix,
    is_frame,
    iterate_pairs,
    list_named,
    read_class,
    read_column,
    read_items,
    read_kind,
    read_slots,
    read_texts,
)
from scdiff.steps.load.readers.seurat import list_parts, list_seurat
from scdiff.steps.load.source import Source
from scdiff.steps.load.stream import BOMB_RATIO_OF_R, most_bytes, read_bounded
from scdiff.steps.load.table import Hold, Table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["R_FILE", "read_r", "refuse_without_rdata"]

R_FILE = re.compile(r"\.(rds|rda|rdata)(\.gz)?$", re.IGNORECASE)
"""Suffixes of files of R."""

_EXPORT = (
    "In R: dir.create('counts'); Matrix::writeMM({matrix}, 'counts/matrix.mtx'); "
    "writeLines(colnames({matrix}), 'counts/barcodes.tsv'); "
    "writeLines(rownames({matrix}), 'counts/genes.tsv')"
)
"""Command that exports the counts from R, for messages."""

_SEURAT, _ANY = "SeuratObject::GetAssayData(x, assay = 'RNA', layer = 'counts')", "x"
_OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
"""First bytes of a packed file -> function that opens it."""


def refuse_without_rdata(path: Path) -> None:
    """Raise an error if the package that parses files of R is not installed.

    Raises
    ------
    InputError
        With the command that installs it, and the one that exports the counts from R.
    """
    if importlib.util.find_spec("rdata") is None:
        raise InputError(
            f"{path}: the package rdata, which reads files of R, is not installed. "
            "Install it (pip install 'scdiff-markers[r]'), or export the counts. "
            f"{_EXPORT.format(matrix=_SEURAT)}."
        )


@READERS.register(
    "R object",
    summary="Seurat, SingleCellExperiment and matrices saved by R.",
    source="https://rdata.readthedocs.io",
    facts={"lazy": False},
)
def read_r(source: Source, matrix: str, species: str, hold: Hold) -> Iterator[Table]:  # noqa: ARG001 all readers have these arguments
    """Yield the matrices of an R file that may hold counts.

    The assay RNA comes before others, counts come before data.

    Raises
    ------
    InputError
        If the file holds no such matrix, or several objects could be meant; the message states how
        to export the counts.
    """
    path = source.files[0]
    refuse_without_rdata(path)
    every = [(name, thing) for name, thing in _list_objects(_parse(path)) if _holds_counts(thing)]
    # a frame next to a matrix describes its cells
    found = [(name, thing) for name, thing in every if not is_frame(thing)] or every
    if len(found) != 1:
        listed = ", ".join(name or read_class(thing) for name, thing in found) or "none"
        raise InputError(
            f"{path}: the file must hold one Seurat object, SingleCellExperiment or matrix of "
            f"counts with names, but holds {listed}. {_EXPORT.format(matrix=_ANY)}."
        )
    thing = found[0][1]
    about = _read_about_cells(thing)
    parts = {part: _build_table(one, about) for part, one in _find_parts(thing).items()}
    matrices = _list_matrices(thing)
    for one in matrices:
        yield _add_parts(_build_table(one, about), parts, matrix)
    if parts and not matrices:
        yield merge_matrices(list(parts.values()), list(parts), matrix)


def _holds_counts(thing: Any) -> bool:
    """Check whether an object holds a matrix, whole or in parts."""
    return bool(_list_matrices(thing) or _find_parts(thing))


def _find_parts(thing: Any) -> dict[str, Matrix]:
    """Return part of the counts -> its matrix.

    The result is empty unless there are spliced and unspliced counts.
    """
    slots = read_slots(thing)
    listed = _list_experiment(slots) if {"colData", "assays"} <= set(slots) else list_parts(slots)
    found = {part: one for one in listed if (part := detect_part(one.name))}
    return found if set(KEPT) <= set(found) else {}


def _build_table(one: Matrix, about: pd.DataFrame | None) -> Table:
    """Build the table of a matrix; one with cells in rows is transposed."""
    names = np.array([str(gene) for gene in one.genes], dtype=object)
    barcodes = np.array([str(cell) for cell in one.cells], dtype=object)
    obs = None if about is None or not about.index.is_unique else about.reindex(barcodes)
    table = Table(one.entries, barcodes, *fill_names(names, names), matrix=one.name, obs=obs)
    if is_transposed(table):
        turned = replace(table, entries=one.entries.T.tocsr(), barcodes=names, obs=None)
        genes = fill_names(barcodes, barcodes)
        turned = replace(turned, symbols=genes[0], gene_ids=genes[1])
        table = turned.noted("The matrix of the file has cells in rows and was transposed.")
    return table.noted(one.note) if one.note else table


def _add_parts(table: Table, parts: Mapping[str, Table], matrix: str) -> Table:
    """Add the layers of spliced and unspliced counts.

    If the assay is only a copy of one of them, the sum of the parts replaces it.
    """
    if not parts:
        return table
    for name, part in parts.items():
        if _are_equal(table, part):
            merged = merge_matrices(list(parts.values()), list(parts), matrix)
            return merged.noted(f"{table.matrix} holds only the {name} part of the counts.")
    return merge_matrices([table, *parts.values()], ["", *parts], matrix)


def _are_equal(one: Table, other: Table) -> bool:
    """Check whether two tables hold the same cells, genes and values."""
    return (
        np.array_equal(one.barcodes, other.barcodes)
        and np.array_equal(one.symbols, other.symbols)
        and not (one.entries != other.entries).nnz
    )


def _parse(path: Path) -> Any:
    """Parse a file that R wrote; it may be packed by gzip, bzip2 or xz, even several times.

    Raises
    ------
    InputError
        If it is packed more than three times.
    """
    from rdata.parser import parse_data

    data = path.read_bytes()
    for _ in range(3):
        fits = (opener for magic, opener in _OPENERS.items() if data.startswith(magic))
        opener = next(fits, None)
        if opener is None:
            break
        with opener(io.BytesIO(data)) as handle:
            data = read_bounded(handle, path, most_bytes(path, BOMB_RATIO_OF_R))
    if any(data.startswith(magic) for magic in _OPENERS):
        raise InputError(
            f"{path}: the file is packed more than three times. Save it again with saveRDS()."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return parse_data(data, extension=".rds").object
        except AssertionError as error:
            raise ValueError(str(error) or "not an R object") from error


def _list_objects(thing: Any) -> list[tuple[str, Any]]:
    """List the objects of a file.

    These are the variables of an rda, the elements of a list, or the one object.
    """
    if read_kind(thing) == "LIST":
        return list(iterate_pairs(thing))
    if read_kind(thing) == "VEC" and read_class(thing) == "vec" and (items := read_items(thing)):
        wanted = {name: item for name, item in items.items() if name == "Gene Expression"}
        return list((wanted or items).items())
    return [("", thing)]


def _list_matrices(thing: Any) -> list[Matrix]:
    """List the matrices with names in an object, the likeliest holder of counts first."""
    slots, kind = read_slots(thing), read_class(thing)
    if kind in ("Seurat", "seurat"):
        if "raw.data" in slots:
            return list_named({"raw.data": slots["raw.data"]})
        return list_seurat(slots)
    if {"colData", "assays"} <= set(slots):
        every = _list_experiment(slots)
        whole = [one for one in every if not detect_part(one.name)]
        return whole if whole or _find_parts(thing) else every
    return list_named({"": thing})


def _read_about_cells(thing: Any) -> pd.DataFrame | None:
    """Read the table about the cells; return None for an object without one.

    It is ``meta.data`` of Seurat, ``colData`` of a SingleCellExperiment.
    """
    import pandas as pd

    slots = read_slots(thing)
    frame = slots.get("meta.data", slots.get("colData"))
    inside = read_slots(frame)
    if "listData" in inside:  # a DataFrame of Bioconductor
        columns, cells = read_items(inside["listData"]), read_texts(inside.get("rownames"))
    else:
        columns, cells = read_items(frame), read_texts(inside.get("row.names"))
    every = {name: read_column(column) for name, column in columns.items()}
    values = {name: column for name, column in every.items() if len(column) == len(cells)}
    return pd.DataFrame(values, index=pd.Index(cells, dtype=object)) if values else None


def _list_experiment(slots: dict[str, Any]) -> list[Matrix]:
    """List the matrices of a SingleCellExperiment; their names may be next to the assays."""
    assays = _find_slot(slots["assays"], "listData")
    candidates = read_items(assays)
    order = sorted(candidates, key=lambda name: name != "counts")
    cells = read_texts(read_slots(slots["colData"]).get("rownames"))
    genes = read_texts(slots.get("NAMES")) or read_texts(
        _find_slot(slots.get("rowRanges"), "NAMES")
    )
    return list_named({name: candidates[name] for name in order}, genes, cells)


def _find_slot(thing: Any, wanted: str, depth: int = 6) -> Any:
    """Find a slot in an object, its slots and its environment; None if no such slot holds data."""
    slots = read_slots(thing) if depth and thing is not None else {}
    if read_kind(slots.get(wanted)) in ("VEC", "STR"):
        return slots[wanted]
    inner = [
        *slots.values(),
        *([_find_variable(thing, "data")] if read_kind(thing) == "ENV" else []),
    ]
    for item in inner:
        found = _find_slot(item, wanted, depth - 1)
        if found is not None:
            return found
    return None


def _find_variable(environment: Any, name: str) -> Any:
    """Return the value of a variable of an environment; None for an unknown variable."""
    hashed = getattr(environment.value.hash_table, "value", None) or []
    for table in (environment.value.frame, *hashed):
        for found, value in iterate_pairs(table):
            if found == name:
                return value
    return None
