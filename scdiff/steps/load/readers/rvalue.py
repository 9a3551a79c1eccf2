"""Values of R as the package ``rdata`` parses them: kinds, names, slots, columns and matrices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = [
    "Matrix",
    "is_frame",
    "iterate_pairs",
    "list_named",
    "read_class",
    "read_column",
    "read_dimnames",
    "read_items",
    "read_kind",
    "read_slots",
    "read_texts",
]


@dataclass(frozen=True)
class Matrix:
    """A matrix with names.

    Parameters
    ----------
    name
        Name in messages.
    entries
        CSR of cells x genes.
    genes, cells
        Their names.
    note
        What the record must say.
    """

    name: str
    entries: Any
    genes: Sequence[str]
    cells: Sequence[str]
    note: str = ""


def read_kind(thing: Any) -> str:
    """Return the type of an R object; ``NIL`` for nothing."""
    return str(thing.info.type.name) if thing is not None else "NIL"


def iterate_pairs(thing: Any) -> Iterator[tuple[str, Any]]:
    """Yield the names and values of a pairlist."""
    while thing is not None and read_kind(thing) == "LIST":
        yield _read_symbol(thing.tag), thing.value[0]
        thing = thing.value[1]


def _read_symbol(tag: Any) -> str:
    """Return the name of a tag; empty for nothing."""
    if tag is None:
        return ""
    symbol = tag.referenced_object if read_kind(tag) == "REF" else tag
    return _read_text(symbol.value)


def _read_text(char: Any) -> str:
    """Return the text of a character; empty if it is missing."""
    return (
        "" if char is None or char.value is None else bytes(char.value).decode("utf-8", "replace")
    )


def read_slots(thing: Any) -> dict[str, Any]:
    """Return the attributes of an object, which are the slots of an S4 object."""
    return dict(iterate_pairs(thing.attributes)) if thing is not None else {}


def read_texts(thing: Any) -> list[str]:
    """Return the texts of a character vector; empty for anything else."""
    return [_read_text(char) for char in thing.value] if read_kind(thing) == "STR" else []


def read_class(thing: Any) -> str:
    """Return the class of an object, otherwise its type."""
    return next(iter(read_texts(read_slots(thing).get("class"))), read_kind(thing).casefold())


def is_frame(thing: Any) -> bool:
    """Check whether an object is a data frame."""
    return read_kind(thing) == "VEC" and read_class(thing) == "data.frame"


def read_items(thing: Any) -> dict[str, Any]:
    """Return the named elements of a list."""
    names = read_texts(read_slots(thing).get("names"))
    return dict(zip(names, thing.value, strict=False)) if read_kind(thing) == "VEC" else {}


def read_column(thing: Any) -> Any:
    """Read texts, levels of a factor, or numbers; nothing for other objects.

    Missing values stay missing.
    """
    if read_kind(thing) == "STR":
        return [
            None if char is None or char.value is None else _read_text(char) for char in thing.value
        ]
    if read_kind(thing) not in ("INT", "REAL", "LGL"):
        return []
    values = np.ma.filled(np.ma.asarray(thing.value, dtype=np.float64), np.nan)
    levels = read_texts(read_slots(thing).get("levels"))
    if not levels:
        return values
    return [levels[int(code) - 1] if 1 <= code <= len(levels) else None for code in values]


def list_named(
    candidates: dict[str, Any], genes: Sequence[str] = (), cells: Sequence[str] = ()
) -> list[Matrix]:
    """List the candidates that are matrices with names of rows and columns.

    The names are their own, otherwise the given ones.
    """
    found = []
    for name, thing in candidates.items():
        values = _read_values(thing)
        if values is None or 0 in values.shape:
            continue
        own_genes, own_cells = read_dimnames(thing)
        rows, columns = own_genes or genes, own_cells or cells
        if (len(columns), len(rows)) == values.shape:
            found.append(Matrix(name, values, rows, columns))
    return found


def _read_values(thing: Any) -> Any:
    """Read a genes x cells matrix, sparse or dense, as CSR of cells x genes.

    Return None for other objects.
    """
    from scipy import sparse

    slots = read_slots(thing)
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
    if is_frame(thing):
        numbers = [read_column(column) for column in thing.value if _is_numeric(column)]
        is_matrix = bool(numbers) and len(numbers) == len(thing.value)
        return sparse.csr_matrix(np.array(numbers)) if is_matrix else None
    if read_kind(thing) in ("INT", "REAL") and "dim" in slots and len(slots["dim"].value) == 2:
        shape = tuple(int(size) for size in slots["dim"].value)
        values = np.ma.filled(np.ma.asarray(thing.value, dtype=np.float64), np.nan)
        return sparse.csr_matrix(values.reshape(shape, order="F").T)
    return None


def _is_numeric(column: Any) -> bool:
    """Check whether a column of a data frame holds numbers and is not a factor."""
    return read_kind(column) in ("INT", "REAL") and "levels" not in read_slots(column)


def read_dimnames(thing: Any) -> tuple[list[str], list[str]]:
    """Return the names of rows and columns; empty if they are missing."""
    slots = read_slots(thing)
    if is_frame(thing):
        return read_texts(slots.get("row.names")), read_texts(slots.get("names"))
    names = slots.get("Dimnames", slots.get("dimnames"))
    if names is None or read_kind(names) != "VEC" or len(names.value) != 2:
        return [], []
    rows, columns = names.value
    return read_texts(rows), read_texts(columns)
