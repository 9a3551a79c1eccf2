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
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.errors import InputError
from scdiff.steps.load.checks.features import fill_names, is_transposed
from scdiff.steps.load.readers.registry import READERS
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

_PREFERRED = ("RNA", "Spatial")
"""Assays that usually hold the counts, the preferred one first."""

_DERIVED = ("integrated", "SCT", "CCA", "MAGIC", "ALRA")
"""Assays that never hold counts as measured."""


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
    every = [(name, thing) for name, thing in _list_objects(_parse(path)) if _list_matrices(thing)]
    # a frame next to a matrix describes its cells
    found = [(name, thing) for name, thing in every if not _is_frame(thing)] or every
    if len(found) != 1:
        listed = ", ".join(name or _read_class(thing) for name, thing in found) or "none"
        raise InputError(
            f"{path}: the file must hold one Seurat object, SingleCellExperiment or matrix of "
            f"counts with names, but holds {listed}. {_EXPORT.format(matrix=_ANY)}."
        )
    about = _read_about_cells(found[0][1])
    for name, values, genes, cells in _list_matrices(found[0][1]):
        names = np.array([str(gene) for gene in genes], dtype=object)
        barcodes = np.array([str(cell) for cell in cells], dtype=object)
        obs = None if about is None or not about.index.is_unique else about.reindex(barcodes)
        table = Table(values, barcodes, *fill_names(names, names), matrix=name, obs=obs)
        if is_transposed(table):
            turned = Table(values.T.tocsr(), names, *fill_names(barcodes, barcodes), matrix=name)
            table = turned.noted("The matrix of the file has cells in rows and was transposed.")
        yield table


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


# --- R objects --------------------------------------------------------------------------------


def _read_kind(thing: Any) -> str:
    """Return the type of an R object; ``NIL`` for nothing."""
    return str(thing.info.type.name) if thing is not None else "NIL"


def _iterate_pairs(thing: Any) -> Iterator[tuple[str, Any]]:
    """Yield the names and values of a pairlist."""
    while thing is not None and _read_kind(thing) == "LIST":
        yield _read_symbol(thing.tag), thing.value[0]
        thing = thing.value[1]


def _read_symbol(tag: Any) -> str:
    """Return the name of a tag; empty for nothing."""
    if tag is None:
        return ""
    symbol = tag.referenced_object if _read_kind(tag) == "REF" else tag
    return _read_text(symbol.value)


def _read_text(char: Any) -> str:
    """Return the text of a character; empty if it is missing."""
    return (
        "" if char is None or char.value is None else bytes(char.value).decode("utf-8", "replace")
    )


def _read_slots(thing: Any) -> dict[str, Any]:
    """Return the attributes of an object, which are the slots of an S4 object."""
    return dict(_iterate_pairs(thing.attributes)) if thing is not None else {}


def _read_texts(thing: Any) -> list[str]:
    """Return the texts of a character vector; empty for anything else."""
    return [_read_text(char) for char in thing.value] if _read_kind(thing) == "STR" else []


def _read_class(thing: Any) -> str:
    """Return the class of an object, otherwise its type."""
    return next(iter(_read_texts(_read_slots(thing).get("class"))), _read_kind(thing).casefold())


def _is_frame(thing: Any) -> bool:
    """Check whether an object is a data frame."""
    return _read_kind(thing) == "VEC" and _read_class(thing) == "data.frame"


def _read_items(thing: Any) -> dict[str, Any]:
    """Return the named elements of a list."""
    names = _read_texts(_read_slots(thing).get("names"))
    return dict(zip(names, thing.value, strict=False)) if _read_kind(thing) == "VEC" else {}


def _list_objects(thing: Any) -> list[tuple[str, Any]]:
    """List the objects of a file.

    These are the variables of an rda, the elements of a list, or the one object.
    """
    if _read_kind(thing) == "LIST":
        return list(_iterate_pairs(thing))
    if _read_kind(thing) == "VEC" and _read_class(thing) == "vec" and (items := _read_items(thing)):
        wanted = {name: item for name, item in items.items() if name == "Gene Expression"}
        return list((wanted or items).items())
    return [("", thing)]


# --- matrices ---------------------------------------------------------------------------------

_Matrix = tuple[str, Any, Sequence[str], Sequence[str]]
"""Name of the matrix, CSR of cells x genes, names of genes, names of cells."""


def _list_matrices(thing: Any) -> list[_Matrix]:
    """List the matrices with names in an object, the likeliest holder of counts first."""
    slots, kind = _read_slots(thing), _read_class(thing)
    if kind in ("Seurat", "seurat"):
        if "raw.data" in slots:
            return _list_named({"raw.data": slots["raw.data"]})
        return _list_seurat(slots)
    if {"colData", "assays"} <= set(slots):
        return _list_experiment(slots)
    return _list_named({"": thing})


def _list_named(
    candidates: dict[str, Any], genes: Sequence[str] = (), cells: Sequence[str] = ()
) -> list[_Matrix]:
    """List the candidates that are matrices with names of rows and columns.

    The names are their own, otherwise the given ones.
    """
    found = []
    for name, thing in candidates.items():
        values = _read_values(thing)
        if values is None or 0 in values.shape:
            continue
        own_genes, own_cells = _read_dimnames(thing)
        rows, columns = own_genes or genes, own_cells or cells
        if (len(columns), len(rows)) == values.shape:
            found.append((name, values, rows, columns))
    return found


def _read_values(thing: Any) -> Any:
    """Read a genes x cells matrix, sparse or dense, as CSR of cells x genes.

    Return None for other objects.
    """
    from scipy import sparse

    slots = _read_slots(thing)
    if {"i", "p", "x", "Dim"} <= set(slots):
        n_genes, n_cells = (int(size) for size in slots["Dim"].value)
        parts = (np.asarray(slots[name].value) for name in ("x", "i", "p"))
        values = sparse.csr_matrix(tuple(parts), shape=(n_cells, n_genes))
        values.check_format()  # refuses an index out of range, which would crash later code
        return values
    if {"i", "j", "x", "Dim"} <= set(slots):
        n_genes, n_cells = (int(size) for size in slots["Dim"].value)
        x, rows, columns = (np.asarray(slots[name].value) for name in ("x", "i", "j"))
        return sparse.csr_matrix((x, (columns, rows)), shape=(n_cells, n_genes))
    if _is_frame(thing):
        numbers = [_read_column(column) for column in thing.value if _is_numeric(column)]
        is_matrix = bool(numbers) and len(numbers) == len(thing.value)
        return sparse.csr_matrix(np.array(numbers)) if is_matrix else None
    if _read_kind(thing) in ("INT", "REAL") and "dim" in slots and len(slots["dim"].value) == 2:
        shape = tuple(int(size) for size in slots["dim"].value)
        values = np.ma.filled(np.ma.asarray(thing.value, dtype=np.float64), np.nan)
        return sparse.csr_matrix(values.reshape(shape, order="F").T)
    return None


def _is_numeric(column: Any) -> bool:
    """Check whether a column of a data frame holds numbers and is not a factor."""
    return _read_kind(column) in ("INT", "REAL") and "levels" not in _read_slots(column)


def _read_dimnames(thing: Any) -> tuple[list[str], list[str]]:
    """Return the names of rows and columns; empty if they are missing."""
    slots = _read_slots(thing)
    if _is_frame(thing):
        return _read_texts(slots.get("row.names")), _read_texts(slots.get("names"))
    names = slots.get("Dimnames", slots.get("dimnames"))
    if names is None or _read_kind(names) != "VEC" or len(names.value) != 2:
        return [], []
    rows, columns = names.value
    return _read_texts(rows), _read_texts(columns)


def _list_seurat(slots: dict[str, Any]) -> list[_Matrix]:
    """List the matrices of the assay that holds the measured counts."""
    assays = _read_items(slots.get("assays"))
    active = next(iter(_read_texts(slots.get("active.assay"))), "")
    usable = [name for name in assays if name not in _DERIVED]
    only = usable[0] if len(usable) == 1 else ""
    chosen = next((name for name in (*_PREFERRED, active) if name in usable), only)
    if not chosen:
        return []
    inside = _read_slots(assays[chosen])
    if "layers" in inside:
        return [(f"{chosen} {name}", *rest) for name, *rest in _list_layers(inside)]
    parts = {f"{chosen} {name}": inside[name] for name in ("counts", "data") if name in inside}
    return _list_named(parts)


def _list_layers(slots: dict[str, Any]) -> list[_Matrix]:
    """List the matrices of a Seurat 5 assay; counts in several layers are joined."""
    found: dict[str, _Matrix] = {}
    for name, thing in _read_items(slots["layers"]).items():
        genes, cells = (_list_layer_names(slots[side], name) for side in ("features", "cells"))
        found.update((entry[0], entry) for entry in _list_named({name: thing}, genes, cells))
    split = [entry for name, entry in found.items() if name.startswith("counts.")]
    whole = [found[name] for name in ("counts", "data") if name in found]
    return [_stack_layers(split), *whole] if split and "counts" not in found else whole


def _list_layer_names(log: Any, layer: str) -> list[str]:
    """List the cells or features of a layer, from the logical map of a Seurat 5 assay."""
    every, layers = _read_dimnames(log)
    if layer not in layers:
        return []
    flags = np.ma.filled(np.ma.asarray(log.value), fill_value=False).astype(bool)
    held = flags.reshape((len(every), len(layers)), order="F")[:, layers.index(layer)]
    return [name for name, is_held in zip(every, held, strict=True) if is_held]


def _stack_layers(parts: Sequence[_Matrix]) -> _Matrix:
    """Stack the cells of several layers, with the genes that all layers have."""
    from scipy import sparse

    places = [{gene: at for at, gene in enumerate(genes)} for _, _, genes, _ in parts]
    shared = [gene for gene in parts[0][2] if all(gene in place for place in places)]
    values = [
        matrix[:, [place[gene] for gene in shared]]
        for (_, matrix, _, _), place in zip(parts, places, strict=True)
    ]
    cells = [cell for *_, names in parts for cell in names]
    return "counts", sparse.csr_matrix(sparse.vstack(values)), shared, cells


def _read_about_cells(thing: Any) -> pd.DataFrame | None:
    """Read the table about the cells; return None for an object without one.

    It is ``meta.data`` of Seurat, ``colData`` of a SingleCellExperiment.
    """
    import pandas as pd

    slots = _read_slots(thing)
    frame = slots.get("meta.data", slots.get("colData"))
    inside = _read_slots(frame)
    if "listData" in inside:  # a DataFrame of Bioconductor
        columns, cells = _read_items(inside["listData"]), _read_texts(inside.get("rownames"))
    else:
        columns, cells = _read_items(frame), _read_texts(inside.get("row.names"))
    every = {name: _read_column(column) for name, column in columns.items()}
    values = {name: column for name, column in every.items() if len(column) == len(cells)}
    return pd.DataFrame(values, index=pd.Index(cells, dtype=object)) if values else None


def _read_column(thing: Any) -> Any:
    """Read texts, levels of a factor, or numbers; nothing for other objects.

    Missing values stay missing.
    """
    if _read_kind(thing) == "STR":
        return [
            None if char is None or char.value is None else _read_text(char) for char in thing.value
        ]
    if _read_kind(thing) not in ("INT", "REAL", "LGL"):
        return []
    values = np.ma.filled(np.ma.asarray(thing.value, dtype=np.float64), np.nan)
    levels = _read_texts(_read_slots(thing).get("levels"))
    if not levels:
        return values
    return [levels[int(code) - 1] if 1 <= code <= len(levels) else None for code in values]


def _list_experiment(slots: dict[str, Any]) -> list[_Matrix]:
    """List the matrices of a SingleCellExperiment; their names may be next to the assays."""
    assays = _find_slot(slots["assays"], "listData")
    candidates = _read_items(assays)
    order = sorted(candidates, key=lambda name: name != "counts")
    cells = _read_texts(_read_slots(slots["colData"]).get("rownames"))
    genes = _read_texts(slots.get("NAMES")) or _read_texts(
        _find_slot(slots.get("rowRanges"), "NAMES")
    )
    return _list_named({name: candidates[name] for name in order}, genes, cells)


def _find_slot(thing: Any, wanted: str, depth: int = 6) -> Any:
    """Find a slot in an object, its slots and its environment; None if no such slot holds data."""
    slots = _read_slots(thing) if depth and thing is not None else {}
    if _read_kind(slots.get(wanted)) in ("VEC", "STR"):
        return slots[wanted]
    inner = [
        *slots.values(),
        *([_find_variable(thing, "data")] if _read_kind(thing) == "ENV" else []),
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
        for found, value in _iterate_pairs(table):
            if found == name:
                return value
    return None
