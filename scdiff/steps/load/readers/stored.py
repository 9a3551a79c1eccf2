"""Which matrices an open h5ad or zarr store has, and in which order they may hold the counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.errors import ConfigError, did_you_mean
from scdiff.steps.load.checks.parts import SPLICED, UNSPLICED, part_of
from scdiff.steps.load.readers.lists import counts_up

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["fuller_first", "genes_of_raw", "is_unspliced_only", "list_matrices", "part_layers", "parts_alone", "places_of"]

_PEEKED, _PEEKED_CELLS = 100_000, 100
"""Values of a sparse matrix, and cells of a dense one, that tell whether it holds counts."""


def places_of(handle: Any) -> dict[str, str]:
    """Name -> place in the file of every matrix, the likeliest holder of counts first."""
    layers = sorted(handle["layers"], key=lambda name: (name != "counts", name)) if "layers" in handle else []
    whole = {name: f"layers/{name}" for name in layers if not part_of(name)}
    partial = {name: f"layers/{name}" for name in layers if part_of(name)}
    places = {"X": "X", **whole, "raw": "raw/X", **partial}
    return {name: where for name, where in places.items() if where in handle}


def list_matrices(path: Path, matrix: str, known: list[str]) -> list[str]:
    """List the matrices to try: all whole ones, or the one that the user named.

    Raises
    ------
    ConfigError
        If that is none of the file.
    """
    if matrix == "auto":
        return [name for name in known if not part_of(name)]
    if matrix not in known:
        raise ConfigError(f"{path}: there is no matrix {matrix!r}. {did_you_mean(matrix, known)}")
    return [matrix]


def fuller_first(handle: Any, places: dict[str, str], asked: list[str]) -> tuple[list[str], str]:
    """Put raw first where it holds counts of more genes than the others, which were cut to some; say so, or that it holds no counts."""
    others = [name for name in asked if name != "raw"]
    if "raw" not in asked or not others:
        return asked, ""
    n_raw, n_genes = (_shape(handle[places[name]])[1] for name in ("raw", others[0]))
    if n_raw <= n_genes:
        return asked, ""
    held = f"{others[0]} holds {n_genes:,} genes, raw {n_raw:,}"
    if not _looks_like_counts(handle[places["raw"]]):
        return asked, f"{held}, but no counts: what X was cut to may lack markers; give the counts of all genes."
    return ["raw", *others], f"{held}: raw is the fuller one and goes first."


def genes_of_raw(handle: Any, where: str) -> pd.DataFrame:
    """Frame of the genes of raw; where it but numbers them, they go by the names of the main frame, where these are as many."""
    from anndata.io import read_elem

    var = read_elem(handle[f"{where.removesuffix('/X')}/var"])
    if not len(var.columns) and counts_up(list(var.index)) and len(main := read_elem(handle["var"])) == len(var):
        return main
    return var


def _shape(stored: Any) -> tuple[int, ...]:
    """Shape of a stored matrix, dense or sparse."""
    return tuple(int(size) for size in (stored.shape if hasattr(stored, "shape") else stored.attrs["shape"]))


def _looks_like_counts(stored: Any) -> bool:
    """Tell from some values whether a stored matrix holds counts."""
    values = stored[:_PEEKED_CELLS] if hasattr(stored, "shape") else stored["data"][:_PEEKED]
    return bool(np.isfinite(values).all() and (values >= 0).all() and (values == np.rint(values)).all() and values.max(initial=0) > 1)


def part_layers(places: dict[str, str]) -> dict[str, str]:
    """Part of the counts -> the layer that holds it, of several the one with the shortest name."""
    layers = sorted((name for name, where in places.items() if where.startswith("layers/")), key=lambda name: (-len(name), name))
    return {part: name for name in layers if (part := part_of(name))}


def parts_alone(read: Mapping[str, Any], parts: dict[str, str]) -> list[str]:
    """Find the matrices that are but one of the parts, as far as some cells of each tell."""
    return [
        name
        for name, values in read.items()
        if name not in parts.values()
        and any(values.shape == read[part].shape and not (values != read[part]).nnz for part in parts.values())
    ]


def is_unspliced_only(parts: Mapping[str, str], asked: Sequence[str]) -> str:
    """Say that what is taken for the counts may be spliced ones alone, where only the unspliced ones stand beside; else nothing."""
    if UNSPLICED not in parts or SPLICED in parts or not asked:
        return ""
    return (
        f"Layer {parts[UNSPLICED]} stands beside {asked[0]}, but none of spliced counts: {asked[0]} may hold these, a part of the counts."
    )
