"""Reader of loom files: the main matrix, and the layers beside it. Nothing in them is unpickled or run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.errors import ConfigError, InputError, did_you_mean
from scdiff.steps.load.checks.counts import widen_values
from scdiff.steps.load.checks.parts import KEPT, is_sum, part_of, parts_of, sum_parts
from scdiff.steps.load.identity import own_labels
from scdiff.steps.load.readers.hdf5 import _IDS, _SYMBOLS, _first, _names, _refuse_claims
from scdiff.steps.load.readers.registry import READERS
from scdiff.steps.load.source import Source
from scdiff.steps.load.table import Hold, Table, reading, some

if TYPE_CHECKING:
    import h5py

__all__ = ["loom_samples", "read_loom"]

_CELLS = ("obs_names", "cellid", "cell_id", "barcode", "barcodes", "cell_names")

_BLOCK_VALUES = 1 << 24
"""Values of a dense matrix that are held at once."""


def loom_samples(path: Path, key: str = "") -> tuple[str, list[str]]:
    """Attribute of the cells that names their samples, ``key`` if given, and these names, sorted; no names where it gives none."""
    import h5py

    with reading(path, "loom"), h5py.File(path) as handle:
        cells, _ = _attributes(handle["col_attrs"])
        return own_labels(path, list(cells), lambda name: cells[name], exact=False, key=key)


@READERS.register(
    "loom",
    summary="Loom files, with their layers.",
    source="https://linnarssonlab.org/loompy/format",
    facts={"lazy": False},
)
def read_loom(source: Source, matrix: str, species: str, hold: Hold) -> Iterator[Table]:  # noqa: ARG001 all readers are called alike
    """Yield the main matrix of a loom file, then its layers but those of parts of the counts; read a block of genes at a time.

    Raises
    ------
    InputError
        If the file names no genes or no cells.
    ConfigError
        If ``matrix`` names no matrix of a file with layers.
    """
    import h5py
    import pandas as pd

    path = source.files[0]
    with h5py.File(path) as handle:
        _refuse_claims(path, handle, ("matrix", "layers", "row_attrs", "col_attrs"))
        (rows, _), (cells, left_out) = (_attributes(handle[name]) for name in ("row_attrs", "col_attrs"))
        index = _first(("var_names", "gene", *_SYMBOLS, *_IDS), rows)
        barcode = _first(_CELLS, cells)
        if index is None or barcode is None:
            raise InputError(
                f"{path}: this loom file does not name its {'genes' if index is None else 'cells'}: add the attribute Gene or CellID."
            )
        symbols, gene_ids, told = _names(_strings(rows[index]), rows)
        obs = pd.DataFrame({name: values for name, values in cells.items() if name != barcode})
        parts = _parts(handle)
        for name, where in _asked(path, handle, matrix):
            table = Table(_blocks(handle[where]), _strings(cells[barcode]), symbols, gene_ids, obs=obs, matrix=name)
            table = table.repaired(told) if told else table
            table = (
                table.noted(f"Attributes of the cells that are no plain column were left out ({some(left_out)}).") if left_out else table
            )
            yield _with_parts(table, parts, matrix if where == "matrix" else name)


def _asked(path: Path, handle: h5py.File, matrix: str) -> list[tuple[str, str]]:
    """Name and place of the matrices to try: the main one without a name, then the layers; or the one that the user named."""
    layers = sorted(handle["layers"], key=lambda name: (name != "counts", name)) if "layers" in handle else []
    if is_sum(matrix):
        return [("", "matrix")]
    if matrix == "auto" or not layers:
        return [("", "matrix"), *((name, f"layers/{name}") for name in layers if not part_of(name))]
    places = {"X": "matrix", **{name: f"layers/{name}" for name in layers}}
    if matrix not in places:
        raise ConfigError(f"{path}: there is no matrix {matrix!r}. {did_you_mean(matrix, places)}")
    return [(matrix, places[matrix])]


def _parts(handle: h5py.File) -> dict[str, tuple[str, Any]]:
    """Part of the counts -> name and values of its layer; empty unless both spliced and unspliced counts stand in the file."""
    layers = handle.get("layers", {})
    names = {part: name for name in layers if (part := part_of(name)) and layers[name].ndim == 2}
    return {part: (name, _blocks(layers[name])) for part, name in names.items()} if set(KEPT) <= set(names) else {}


def _with_parts(table: Table, parts: Mapping[str, tuple[str, Any]], matrix: str) -> Table:
    """Add the layers of spliced and unspliced counts; where the main matrix is one part, their sum is taken in its place."""
    if not parts:
        return table
    found = {part: values for part, (_, values) in parts.items()}
    table = replace(table, layers={part: found[part] for part in KEPT})
    alone = [name for name, values in parts.values() if values.shape == table.entries.shape and not (values != table.entries).nnz]
    if not is_sum(matrix) and not (alone and matrix == "auto"):
        return table
    wanted = parts_of(matrix, "S+U+A")
    told = f"The matrix is the layer {alone[0]}, a part of the counts; c" if alone else "C"
    return replace(table, entries=sum_parts(found, wanted)).noted(
        f"{told}ounts are {' + '.join(part for part in wanted if part in parts)}."
    )


def _strings(values: np.ndarray) -> np.ndarray:
    return np.array([str(value) for value in values], dtype=object)


def _attributes(group: h5py.Group, above: str = "") -> tuple[dict[str, np.ndarray], list[str]]:
    """One-dimensional attributes by casefolded name, texts as str, and the names of those that are no plain column.

    A slash in a name makes a group of it in the file: it is written as an underscore.
    """
    flat, left_out = dict[str, np.ndarray](), list[str]()
    for name, item in group.items():
        if hasattr(item, "keys"):
            inside, others = _attributes(item, f"{above}{name}_")
            flat, left_out = flat | inside, left_out + others
        elif getattr(item, "ndim", 0) == 1 and item.dtype.kind in "biufSO":
            flat[f"{above}{name}".casefold()] = _values(item)
        else:
            left_out.append(f"{above}{name}")
    return flat, left_out


def _values(item: h5py.Dataset) -> np.ndarray:
    """Read one attribute."""
    values = np.asarray(item.asstr()[:] if item.dtype.kind in "SO" else item[:])
    return values.astype(np.float32) if values.dtype == np.float16 else values


def _blocks(matrix: h5py.Dataset) -> Any:
    """CSR of cells x genes from a dense genes x cells dataset, without ever holding all of it dense."""
    from scipy import sparse

    n_rows = max(1, _BLOCK_VALUES // max(matrix.shape[1], 1))
    starts = range(0, matrix.shape[0], n_rows)
    parts = [sparse.csr_matrix(widen_values(matrix[start : start + n_rows])) for start in starts]
    stacked = sparse.vstack(parts) if parts else sparse.csr_matrix(matrix.shape)
    return sparse.csr_matrix(stacked.T)
