"""Reader of loom files: the main matrix and its layers. It unpickles and runs nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.errors import ConfigError, InputError, did_you_mean
from scdiff.steps.load.checks.counts import widen_values
from scdiff.steps.load.checks.parts import KEPT, detect_part, is_sum, select_parts, sum_parts
from scdiff.steps.load.identity import own_labels
from scdiff.steps.load.readers.claims import refuse_claims
from scdiff.steps.load.readers.frames import IDS, SYMBOLS, name_genes, pick_first
from scdiff.steps.load.readers.registry import READERS
from scdiff.steps.load.source import Source
from scdiff.steps.load.table import Hold, Table, reading, some

if TYPE_CHECKING:
    import h5py

__all__ = ["read_loom", "read_loom_samples"]

_CELLS = ("obs_names", "cellid", "cell_id", "barcode", "barcodes", "cell_names")
"""Attributes that name the cells, the first that is present."""


_BLOCK_VALUES = 1 << 24
"""Values of a dense matrix that are in memory at once. Chosen, not tuned."""


def read_loom_samples(path: Path, key: str = "") -> tuple[str, list[str]]:
    """Find the attribute of the cells that names their samples, and these names, sorted.

    With ``key``, only this attribute qualifies. There are no names if no attribute qualifies.
    """
    import h5py

    with reading(path, "loom"), h5py.File(path) as handle:
        cells, _ = _read_attributes(handle["col_attrs"])
        return own_labels(path, list(cells), lambda name: cells[name], exact=False, key=key)


@READERS.register(
    "loom",
    summary="Loom files, with their layers.",
    source="https://linnarssonlab.org/loompy/format",
    facts={"lazy": False},
)
def read_loom(source: Source, matrix: str, species: str, hold: Hold) -> Iterator[Table]:  # noqa: ARG001 all readers have these arguments
    """Yield the main matrix of a loom file, then its layers, except those of parts of the counts.

    A block of genes is read at a time.

    Raises
    ------
    InputError
        If the file names no genes or no cells.
    ConfigError
        If ``matrix`` is not a matrix of a file with layers.
    """
    import h5py
    import pandas as pd

    path = source.files[0]
    with h5py.File(path) as handle:
        refuse_claims(path, handle, ("matrix", "layers", "row_attrs", "col_attrs"))
        (rows, _), (cells, left_out) = (
            _read_attributes(handle[name]) for name in ("row_attrs", "col_attrs")
        )
        index = pick_first(("var_names", "gene", *SYMBOLS, *IDS, "target_name"), rows)
        barcode = pick_first(_CELLS, cells)
        if index is None or barcode is None:
            raise InputError(
                f"{path}: this loom file does not name its "
                f"{'genes' if index is None else 'cells'}. Add the attribute Gene or CellID."
            )
        symbols, gene_ids, sentence = name_genes(_as_strings(rows[index]), rows)
        columns = {name: values for name, values in cells.items() if name != barcode}
        obs = pd.DataFrame(columns, index=range(len(cells[barcode])))
        parts = _read_parts(handle)
        for name, where in _list_asked(path, handle, matrix):
            barcodes, values = _as_strings(cells[barcode]), _read_blocks(handle[where])
            table = Table(values, barcodes, symbols, gene_ids, obs=obs, matrix=name)
            if sentence:
                table = table.repaired(sentence)
            if left_out:
                listed = some(left_out)
                table = table.noted(
                    f"Attributes of the cells that are not plain columns were left out ({listed})."
                )
            yield _add_parts(table, parts, matrix if where == "matrix" else name)


def _list_asked(path: Path, handle: h5py.File, matrix: str) -> list[tuple[str, str]]:
    """List the matrices to try, as name and place.

    The main one, without a name, comes first, then the layers; or only the one that the user named.
    """
    layers = (
        sorted(handle["layers"], key=lambda name: (name != "counts", name))
        if "layers" in handle
        else []
    )
    if is_sum(matrix):
        return [("", "matrix")]
    if matrix == "auto" or not layers:
        return [
            ("", "matrix"),
            *((name, f"layers/{name}") for name in layers if not detect_part(name)),
        ]
    places = {"X": "matrix", **{name: f"layers/{name}" for name in layers}}
    if matrix not in places:
        raise ConfigError(f"{path}: there is no matrix {matrix!r}. {did_you_mean(matrix, places)}")
    return [(matrix, places[matrix])]


def _read_parts(handle: h5py.File) -> dict[str, tuple[str, Any]]:
    """Read part of the counts -> name and values of its layer.

    The result is empty unless the file has both spliced and unspliced counts.
    """
    layers = handle.get("layers", {})
    names = {
        part: name for name in layers if (part := detect_part(name)) and layers[name].ndim == 2
    }
    if not set(KEPT) <= set(names):
        return {}
    return {part: (name, _read_blocks(layers[name])) for part, name in names.items()}


def _add_parts(table: Table, parts: Mapping[str, tuple[str, Any]], matrix: str) -> Table:
    """Add the layers of spliced and unspliced counts.

    If the main matrix is only one part, the sum of the parts replaces it.
    """
    if not parts:
        return table
    found = {part: values for part, (_, values) in parts.items()}
    table = replace(table, layers={part: found[part] for part in KEPT})
    alone = ""
    for name, values in parts.values():
        if values.shape == table.entries.shape and not (values != table.entries).nnz:
            alone = alone or name
    if not is_sum(matrix) and not (alone and matrix == "auto"):
        return table
    wanted = select_parts(matrix, "S+U+A")
    listed = " + ".join(part for part in wanted if part in parts)
    sentence = f"Counts are {listed}."
    if alone:
        sentence = f"The matrix is the layer {alone}, a part of the counts; counts are {listed}."
    return replace(table, entries=sum_parts(found, wanted)).noted(sentence)


def _as_strings(values: np.ndarray) -> np.ndarray:
    """Return values as an array of str objects."""
    return np.array([str(value) for value in values], dtype=object)


def _read_attributes(group: h5py.Group, above: str = "") -> tuple[dict[str, np.ndarray], list[str]]:
    """Read the one-dimensional attributes by casefolded name, and list the other attributes.

    A slash in a name makes a group in the file; the result has an underscore in its place.
    """
    flat, left_out = dict[str, np.ndarray](), list[str]()
    for name, item in group.items():
        if hasattr(item, "keys"):
            inside, others = _read_attributes(item, f"{above}{name}_")
            flat, left_out = flat | inside, left_out + others
        elif getattr(item, "ndim", 0) == 1 and item.dtype.kind in "biufSO":
            flat[f"{above}{name}".casefold()] = _read_attribute(item)
        else:
            left_out.append(f"{above}{name}")
    return flat, left_out


def _read_attribute(item: h5py.Dataset) -> np.ndarray:
    """Read one attribute."""
    values = np.asarray(item.asstr()[:] if item.dtype.kind in "SO" else item[:])
    return values.astype(np.float32) if values.dtype == np.float16 else values


def _read_blocks(matrix: h5py.Dataset) -> Any:
    """Read a dense genes x cells dataset as CSR of cells x genes, one block of genes at a time."""
    from scipy import sparse

    n_rows = max(1, _BLOCK_VALUES // max(matrix.shape[1], 1))
    starts = range(0, matrix.shape[0], n_rows)
    parts = [sparse.csr_matrix(widen_values(matrix[start : start + n_rows])) for start in starts]
    stacked = sparse.vstack(parts) if parts else sparse.csr_matrix(matrix.shape)
    return sparse.csr_matrix(stacked.T)
