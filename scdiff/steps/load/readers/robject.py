"""Reader of what R saves: Seurat, SingleCellExperiment and plain matrices in rds and rda files. Parsed by ``rdata``; nothing is run."""

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
_EXPORT = (
    "In R: dir.create('counts'); Matrix::writeMM({matrix}, 'counts/matrix.mtx'); "
    "writeLines(colnames({matrix}), 'counts/barcodes.tsv'); writeLines(rownames({matrix}), 'counts/genes.tsv')"
)
_SEURAT, _ANY = "SeuratObject::GetAssayData(x, assay = 'RNA', layer = 'counts')", "x"
_OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_PREFERRED = ("RNA", "Spatial")
_DERIVED = ("integrated", "SCT", "CCA", "MAGIC", "ALRA")
"""Assays that never hold counts as they were measured."""


def refuse_without_rdata(path: Path) -> None:
    """Refuse a file of R where the package that parses it is not installed.

    Raises
    ------
    InputError
        With the line that installs it, and the one that exports the counts from R.
    """
    if importlib.util.find_spec("rdata") is None:
        raise InputError(
            f"{path}: files of R are read by the package rdata, which is not installed: pip install 'scdiff-markers[r]', "
            f"or export the counts. {_EXPORT.format(matrix=_SEURAT)}."
        )


@READERS.register(
    "R object",
    summary="Seurat, SingleCellExperiment and matrices saved by R.",
    source="https://rdata.readthedocs.io",
    facts={"lazy": False},
)
def read_r(source: Source, matrix: str, species: str, hold: Hold) -> Iterator[Table]:  # noqa: ARG001 all readers are called alike
    """Yield the matrices of an R file that may hold counts: those of the assay RNA before others, counts before data.

    Raises
    ------
    InputError
        If there is none, or several objects could be meant; the sentence tells how to export the counts.
    """
    path = source.files[0]
    refuse_without_rdata(path)
    every = [(name, thing) for name, thing in _objects(_parsed(path)) if _matrices(thing)]
    found = [(name, thing) for name, thing in every if not _is_frame(thing)] or every  # a frame beside a matrix is about its cells
    if len(found) != 1:
        listed = ", ".join(name or _class(thing) for name, thing in found) or "none"
        raise InputError(
            f"{path}: the file must hold one Seurat object, SingleCellExperiment or matrix of counts with names, but holds {listed}. "
            f"{_EXPORT.format(matrix=_ANY)}."
        )
    about = _about_cells(found[0][1])
    for name, values, genes, cells in _matrices(found[0][1]):
        names, barcodes = (np.array([str(one) for one in listed], dtype=object) for listed in (genes, cells))
        obs = None if about is None or not about.index.is_unique else about.reindex(barcodes)
        table = Table(values, barcodes, *fill_names(names, names), matrix=name, obs=obs)
        if is_transposed(table):
            turned = Table(values.T.tocsr(), names, *fill_names(barcodes, barcodes), matrix=name)
            table = turned.noted("The matrix stands in the file as cells x genes and was turned.")
        yield table


def _parsed(path: Path) -> Any:
    """Parse a file that R wrote, packed by gzip, bzip2 or xz, once or twice."""
    from rdata.parser import parse_data

    data = path.read_bytes()
    for _ in range(3):
        opener = next((opener for magic, opener in _OPENERS.items() if data.startswith(magic)), None)
        if opener is None:
            break
        with opener(io.BytesIO(data)) as handle:
            data = read_bounded(handle, path, most_bytes(path, BOMB_RATIO_OF_R))
    if any(data.startswith(magic) for magic in _OPENERS):
        raise InputError(f"{path}: the file is packed more than three times: save it again with saveRDS().")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return parse_data(data, extension=".rds").object
        except AssertionError as error:
            raise ValueError(str(error) or "no R object") from error


# --- R objects ------------------------------------------------------------------------------------------------------


def _kind(thing: Any) -> str:
    return str(thing.info.type.name) if thing is not None else "NIL"


def _pairs(thing: Any) -> Iterator[tuple[str, Any]]:
    """Names and values of a pairlist."""
    while thing is not None and _kind(thing) == "LIST":
        yield _symbol(thing.tag), thing.value[0]
        thing = thing.value[1]


def _symbol(tag: Any) -> str:
    if tag is None:
        return ""
    symbol = tag.referenced_object if _kind(tag) == "REF" else tag
    return _text(symbol.value)


def _text(char: Any) -> str:
    """Text of a character; empty for a missing one."""
    return "" if char is None or char.value is None else bytes(char.value).decode("utf-8", "replace")


def _slots(thing: Any) -> dict[str, Any]:
    """Attributes of an object, which are the slots of an S4 object."""
    return dict(_pairs(thing.attributes)) if thing is not None else {}


def _texts(thing: Any) -> list[str]:
    """Texts of a character vector; none for anything else."""
    return [_text(char) for char in thing.value] if _kind(thing) == "STR" else []


def _class(thing: Any) -> str:
    return next(iter(_texts(_slots(thing).get("class"))), _kind(thing).casefold())


def _is_frame(thing: Any) -> bool:
    return _kind(thing) == "VEC" and _class(thing) == "data.frame"


def _items(thing: Any) -> dict[str, Any]:
    """Named elements of a list."""
    names = _texts(_slots(thing).get("names"))
    return dict(zip(names, thing.value, strict=False)) if _kind(thing) == "VEC" else {}


def _objects(thing: Any) -> list[tuple[str, Any]]:
    """Objects of a file: the variables of an rda, the elements of a list, or the one object."""
    if _kind(thing) == "LIST":
        return list(_pairs(thing))
    if _kind(thing) == "VEC" and _class(thing) == "vec" and (items := _items(thing)):
        wanted = {name: item for name, item in items.items() if name == "Gene Expression"}
        return list((wanted or items).items())
    return [("", thing)]


# --- matrices -------------------------------------------------------------------------------------------------------

_Matrix = tuple[str, Any, Sequence[str], Sequence[str]]
"""What the matrix is called, CSR of cells x genes, names of genes, names of cells."""


def _matrices(thing: Any) -> list[_Matrix]:
    """List the matrices with names that an object holds, the likeliest holder of counts first."""
    slots, kind = _slots(thing), _class(thing)
    if kind in ("Seurat", "seurat"):
        return _named_matrices({"raw.data": slots["raw.data"]}) if "raw.data" in slots else _seurat(slots)
    if {"colData", "assays"} <= set(slots):
        return _experiment(slots)
    return _named_matrices({"": thing})


def _named_matrices(candidates: dict[str, Any], genes: Sequence[str] = (), cells: Sequence[str] = ()) -> list[_Matrix]:
    """Matrices among the candidates whose rows and columns have names, their own or the given ones."""
    found = []
    for name, thing in candidates.items():
        values = _values(thing)
        if values is None or 0 in values.shape:
            continue
        own_genes, own_cells = _dimnames(thing)
        rows, columns = own_genes or genes, own_cells or cells
        if (len(columns), len(rows)) == values.shape:
            found.append((name, values, rows, columns))
    return found


def _values(thing: Any) -> Any:
    """CSR of cells x genes of a genes x cells matrix, sparse or dense; None for anything else."""
    from scipy import sparse

    slots = _slots(thing)
    if {"i", "p", "x", "Dim"} <= set(slots):
        n_genes, n_cells = (int(size) for size in slots["Dim"].value)
        parts = (np.asarray(slots[name].value) for name in ("x", "i", "p"))
        values = sparse.csr_matrix(tuple(parts), shape=(n_cells, n_genes))
        values.check_format()  # with an index out of range, it would read foreign memory
        return values
    if {"i", "j", "x", "Dim"} <= set(slots):
        n_genes, n_cells = (int(size) for size in slots["Dim"].value)
        x, rows, columns = (np.asarray(slots[name].value) for name in ("x", "i", "j"))
        return sparse.csr_matrix((x, (columns, rows)), shape=(n_cells, n_genes))
    if _is_frame(thing):
        numbers = [_column(column) for column in thing.value if _kind(column) in ("INT", "REAL") and "levels" not in _slots(column)]
        return sparse.csr_matrix(np.array(numbers)) if numbers and len(numbers) == len(thing.value) else None
    if _kind(thing) in ("INT", "REAL") and "dim" in slots and len(slots["dim"].value) == 2:
        shape = tuple(int(size) for size in slots["dim"].value)
        values = np.ma.filled(np.ma.asarray(thing.value, dtype=np.float64), np.nan)
        return sparse.csr_matrix(values.reshape(shape, order="F").T)
    return None


def _dimnames(thing: Any) -> tuple[list[str], list[str]]:
    """Names of rows and columns; empty where there are none."""
    slots = _slots(thing)
    if _is_frame(thing):
        return _texts(slots.get("row.names")), _texts(slots.get("names"))
    names = slots.get("Dimnames", slots.get("dimnames"))
    rows, columns = names.value if names is not None and _kind(names) == "VEC" and len(names.value) == 2 else (None, None)
    return _texts(rows), _texts(columns)


def _seurat(slots: dict[str, Any]) -> list[_Matrix]:
    """Matrices of the assay that holds the measured counts."""
    assays = _items(slots.get("assays"))
    active = next(iter(_texts(slots.get("active.assay"))), "")
    usable = [name for name in assays if name not in _DERIVED]
    chosen = next((name for name in (*_PREFERRED, active) if name in usable), usable[0] if len(usable) == 1 else "")
    if not chosen:
        return []
    inside = _slots(assays[chosen])
    if "layers" in inside:
        return [(f"{chosen} {name}", *rest) for name, *rest in _layers(inside)]
    parts = {f"{chosen} {name}": inside[name] for name in ("counts", "data") if name in inside}
    return _named_matrices(parts)


def _layers(slots: dict[str, Any]) -> list[_Matrix]:
    """Matrices of a Seurat 5 assay; counts that are split into several layers are put together."""
    found: dict[str, _Matrix] = {}
    for name, thing in _items(slots["layers"]).items():
        genes, cells = (_of_layer(slots[side], name) for side in ("features", "cells"))
        found.update((entry[0], entry) for entry in _named_matrices({name: thing}, genes, cells))
    split = [entry for name, entry in found.items() if name.startswith("counts.")]
    whole = [found[name] for name in ("counts", "data") if name in found]
    return [_together(split), *whole] if split and "counts" not in found else whole


def _of_layer(log: Any, layer: str) -> list[str]:
    """Names of the cells or features of a layer, from the logical map that a Seurat 5 assay keeps."""
    every, layers = _dimnames(log)
    if layer not in layers:
        return []
    held = np.ma.filled(np.ma.asarray(log.value), fill_value=False).astype(bool).reshape((len(every), len(layers)), order="F")
    return [name for name, is_held in zip(every, held[:, layers.index(layer)], strict=True) if is_held]


def _together(parts: Sequence[_Matrix]) -> _Matrix:
    """Put the cells of several layers below each other, on the genes that all have."""
    from scipy import sparse

    places = [{gene: at for at, gene in enumerate(genes)} for _, _, genes, _ in parts]
    shared = [gene for gene in parts[0][2] if all(gene in place for place in places)]
    values = [matrix[:, [place[gene] for gene in shared]] for (_, matrix, _, _), place in zip(parts, places, strict=True)]
    return "counts", sparse.csr_matrix(sparse.vstack(values)), shared, [cell for *_, cells in parts for cell in cells]


def _about_cells(thing: Any) -> pd.DataFrame | None:
    """Read what an object says of its cells: ``meta.data`` of Seurat, ``colData`` of a SingleCellExperiment; None where it says nothing."""
    import pandas as pd

    slots = _slots(thing)
    frame = slots.get("meta.data", slots.get("colData"))
    inside = _slots(frame)
    of_bioconductor = "listData" in inside
    columns, cells = (
        _items(inside["listData"] if of_bioconductor else frame),
        _texts(inside.get("rownames" if of_bioconductor else "row.names")),
    )
    values = {name: found for name, column in columns.items() if len(found := _column(column)) == len(cells)}
    return pd.DataFrame(values, index=pd.Index(cells, dtype=object)) if values else None


def _column(thing: Any) -> Any:
    """List texts, levels of a factor, or numbers; nothing for anything else. Missing values stay missing."""
    if _kind(thing) == "STR":
        return [None if char is None or char.value is None else _text(char) for char in thing.value]
    if _kind(thing) not in ("INT", "REAL", "LGL"):
        return []
    values = np.ma.filled(np.ma.asarray(thing.value, dtype=np.float64), np.nan)
    levels = _texts(_slots(thing).get("levels"))
    return [levels[int(code) - 1] if 1 <= code <= len(levels) else None for code in values] if levels else values


def _experiment(slots: dict[str, Any]) -> list[_Matrix]:
    """Matrices of a SingleCellExperiment, whose names may stand beside the assays."""
    assays = _deep(slots["assays"], "listData")
    candidates = _items(assays)
    order = sorted(candidates, key=lambda name: name != "counts")
    cells = _texts(_slots(slots["colData"]).get("rownames"))
    genes = _texts(slots.get("NAMES")) or _texts(_deep(slots.get("rowRanges"), "NAMES"))
    return _named_matrices({name: candidates[name] for name in order}, genes, cells)


def _deep(thing: Any, wanted: str, depth: int = 6) -> Any:
    """Find a slot in an object, its slots and its environment; None where there is none that holds something."""
    slots = _slots(thing) if depth and thing is not None else {}
    if _kind(slots.get(wanted)) in ("VEC", "STR"):
        return slots[wanted]
    inner = [*slots.values(), *([_variable(thing, "data")] if _kind(thing) == "ENV" else [])]
    return next((found for item in inner if (found := _deep(item, wanted, depth - 1)) is not None), None)


def _variable(environment: Any, name: str) -> Any:
    """Value of a variable of an environment."""
    tables = [environment.value.frame, *(getattr(environment.value.hash_table, "value", None) or [])]
    return next((value for table in tables for found, value in _pairs(table) if found == name), None)
