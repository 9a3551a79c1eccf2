"""The matrices of an open h5ad or zarr store, in the order in which they may hold the counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.errors import ConfigError, did_you_mean
from scdiff.steps.load.checks.parts import SPLICED, UNSPLICED, detect_part
from scdiff.steps.load.readers.lists import are_row_numbers

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "find_lone_parts",
    "find_part_layers",
    "list_matrices",
    "list_places",
    "name_layer",
    "note_unspliced_only",
    "order_by_genes",
    "prefer_layer_counts",
    "read_genes_of_raw",
]

_PEEKED_CELLS = 100
"""Cells of a dense matrix that are read for the same check. Chosen, not tuned."""

_PEEKED = 100_000
"""Number of values of a sparse matrix that are read to check whether it holds counts. Chosen,
not tuned."""


def list_places(handle: Any) -> dict[str, str]:
    """Return name -> place in the file of every matrix, the likeliest holder of counts first."""
    layers = (
        sorted(handle["layers"], key=lambda name: (name != "counts", name))
        if "layers" in handle
        else []
    )
    whole = {name_layer(name): f"layers/{name}" for name in layers if not detect_part(name)}
    partial = {name: f"layers/{name}" for name in layers if detect_part(name)}
    places = {"X": "X", **whole, "raw": "raw/X", **partial}
    return {name: where for name, where in places.items() if where in handle}


def name_layer(name: str) -> str:
    """Name a layer in options and messages; with its folder if it shares the name of a matrix."""
    return f"layers/{name}" if name in ("X", "raw") else name


def list_matrices(path: Path, matrix: str, known: list[str]) -> list[str]:
    """List the matrices to try: all complete ones, or the one that the user named.

    Raises
    ------
    ConfigError
        If the file has no matrix of that name.
    """
    if matrix == "auto":
        return [name for name in known if not detect_part(name)]
    if matrix not in known and (layer := name_layer(matrix)) in known:
        return [layer]
    if matrix not in known:
        raise ConfigError(f"{path}: there is no matrix {matrix!r}. {did_you_mean(matrix, known)}")
    return [matrix]


def order_by_genes(handle: Any, places: dict[str, str], asked: list[str]) -> tuple[list[str], str]:
    """Put raw first if it holds counts of more genes than the other matrices.

    Returns
    -------
    The names in order; and a sentence for the record, also if raw has more genes but no counts;
    empty if raw has no more genes.
    """
    others = [name for name in asked if name != "raw"]
    if "raw" not in asked or not others:
        return asked, ""
    n_raw, n_genes = (_read_shape(handle[places[name]])[1] for name in ("raw", others[0]))
    if n_raw <= n_genes:
        return asked, ""
    held = f"{others[0]} holds {n_genes:,} genes, raw {n_raw:,}"
    if not _looks_like_counts(handle[places["raw"]]):
        cure = "X may lack markers. Give the counts of all genes."
        return asked, f"{held}, but raw has no counts, and {cure}"
    return ["raw", *others], f"{held}: raw has more genes and is tried first."


def prefer_layer_counts(read: Mapping[str, Any], asked: list[str]) -> tuple[list[str], str]:
    """Put the layer ``counts`` before X if both hold whole numbers that differ.

    X then holds counts that were corrected, such as those of SCTransform.

    Parameters
    ----------
    read
        Some cells of the matrices, the same ones of each.
    asked
        The matrices to try, in order.
    """
    if asked[:1] != ["X"] or not {"X", "counts"} <= set(read):
        return asked, ""
    ours, theirs = read["counts"], read["X"]
    if ours.shape != theirs.shape or not all(map(_are_counts, (ours.data, theirs.data))):
        return asked, ""
    if not (ours != theirs).nnz:
        return asked, ""
    return ["counts", *(name for name in asked if name != "counts")], (
        "X and the layer counts hold different whole numbers: X was probably corrected, and the "
        "layer is tried first."
    )


def read_genes_of_raw(handle: Any, where: str) -> pd.DataFrame:
    """Read the table of the genes of raw.

    If it only numbers them, use the main table of genes if that has the same length.
    """
    from anndata.io import read_elem

    var = read_elem(handle[f"{where.removesuffix('/X')}/var"])
    if len(var.columns) or not are_row_numbers(list(var.index)):
        return var
    main = read_elem(handle["var"])
    return main if len(main) == len(var) else var


def _read_shape(stored: Any) -> tuple[int, ...]:
    """Return the shape of a stored matrix, dense or sparse."""
    return tuple(
        int(size) for size in (stored.shape if hasattr(stored, "shape") else stored.attrs["shape"])
    )


def _looks_like_counts(stored: Any) -> bool:
    """Check on some values whether a stored matrix holds counts."""
    return _are_counts(
        stored[:_PEEKED_CELLS] if hasattr(stored, "shape") else stored["data"][:_PEEKED]
    )


def _are_counts(values: np.ndarray) -> bool:
    """Check whether values can be counts."""
    return bool(
        np.isfinite(values).all()
        and (values >= 0).all()
        and (values == np.rint(values)).all()
        and values.max(initial=0) > 1
    )


def find_part_layers(places: dict[str, str]) -> dict[str, str]:
    """Return part of the counts -> the layer that holds it.

    Of several layers, the one with the shortest name is used.
    """
    layers = sorted(
        (name for name, where in places.items() if where.startswith("layers/")),
        key=lambda name: (-len(name), name),
    )
    return {part: name for name in layers if (part := detect_part(name))}


def find_lone_parts(read: Mapping[str, Any], parts: dict[str, str]) -> list[str]:
    """Find the matrices that are equal to one of the parts, judged from some cells of each."""
    found = []
    for name, values in read.items():
        others = [read[part] for part in parts.values()]
        equal = [values.shape == other.shape and not (values != other).nnz for other in others]
        if name not in parts.values() and any(equal):
            found.append(name)
    return found


def note_unspliced_only(parts: Mapping[str, str], asked: Sequence[str]) -> str:
    """Return a note if there is a layer of unspliced counts and none of spliced counts.

    What is used as the counts may then be only the spliced ones. The note is empty otherwise.
    """
    if UNSPLICED not in parts or SPLICED in parts or not asked:
        return ""
    return (
        f"There is a layer of unspliced counts ({parts[UNSPLICED]}) but none of spliced counts: "
        f"{asked[0]} may hold only the spliced part of the counts."
    )
