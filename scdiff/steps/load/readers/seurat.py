"""Matrices of a Seurat object: the assay of the measured counts, in layers, and its parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from scdiff.steps.load.checks.parts import detect_part
from scdiff.steps.load.readers.rvalue import (
    Matrix,
    list_named,
    read_dimnames,
    read_items,
    read_slots,
    read_texts,
)
from scdiff.steps.load.table import some

__all__ = ["list_parts", "list_seurat"]

_PREFERRED = ("RNA", "Spatial")
"""Assays that usually hold the counts, the preferred one first."""

_DERIVED = ("integrated", "SCT", "CCA", "MAGIC", "ALRA")
"""Assays that never hold counts as measured."""


def list_seurat(slots: dict[str, Any]) -> list[Matrix]:
    """List the matrices of the assay that holds the measured counts; none of parts of them."""
    assays = read_items(slots.get("assays"))
    active = next(iter(read_texts(slots.get("active.assay"))), "")
    usable = [name for name in assays if name not in _DERIVED and not detect_part(name)]
    only = usable[0] if len(usable) == 1 else ""
    chosen = next((name for name in (*_PREFERRED, active) if name in usable), only)
    return _list_assay(assays[chosen], chosen) if chosen else []


def list_parts(slots: dict[str, Any]) -> list[Matrix]:
    """List the matrices of the assays that are parts of the counts, as velocyto gives them."""
    assays = {n: a for n, a in read_items(slots.get("assays")).items() if detect_part(n)}
    return [one for name, assay in assays.items() for one in _list_assay(assay, name)[:1]]


def _list_assay(assay: Any, name: str) -> list[Matrix]:
    """List the matrices of an assay, counts first."""
    inside = read_slots(assay)
    if "layers" in inside:
        return [replace(one, name=f"{name} {one.name}") for one in _list_layers(inside)]
    return list_named({f"{name} {key}": inside[key] for key in ("counts", "data") if key in inside})


def _list_layers(slots: dict[str, Any]) -> list[Matrix]:
    """List the matrices of a Seurat 5 assay; counts in several layers are joined."""
    found: dict[str, Matrix] = {}
    for name, thing in read_items(slots["layers"]).items():
        genes, cells = (_list_layer_names(slots[side], name) for side in ("features", "cells"))
        found.update((entry.name, entry) for entry in list_named({name: thing}, genes, cells))
    split = [entry for name, entry in found.items() if name.startswith("counts.")]
    whole = [found[name] for name in ("counts", "data") if name in found]
    if not split:
        return whole
    if "counts" in found:
        if set(found["counts"].cells) & {cell for entry in split for cell in entry.cells}:
            return whole
        split = [found["counts"], *split]
    return [_stack_layers(split), *(one for one in whole if one.name == "data")]


def _list_layer_names(log: Any, layer: str) -> list[str]:
    """List the cells or features of a layer, from the logical map of a Seurat 5 assay."""
    every, layers = read_dimnames(log)
    if layer not in layers:
        return []
    flags = np.ma.filled(np.ma.asarray(log.value), fill_value=False).astype(bool)
    held = flags.reshape((len(every), len(layers)), order="F")[:, layers.index(layer)]
    return [name for name, is_held in zip(every, held, strict=True) if is_held]


def _stack_layers(parts: Sequence[Matrix]) -> Matrix:
    """Stack the cells of several layers, with the genes that all layers have."""
    from scipy import sparse

    places = [{gene: at for at, gene in enumerate(part.genes)} for part in parts]
    every = dict.fromkeys(gene for part in parts for gene in part.genes)
    shared = [gene for gene in every if all(gene in place for place in places)]
    values = [
        part.entries[:, [place[gene] for gene in shared]]
        for part, place in zip(parts, places, strict=True)
    ]
    cells = [cell for part in parts for cell in part.cells]
    lost = [gene for gene in every if gene not in set(shared)]
    note = f"The counts are in {len(parts)} layers, which were joined."
    if lost:
        note += f" {len(lost):,} genes that not all layers have were left out ({some(lost)})."
    return Matrix("counts", sparse.csr_matrix(sparse.vstack(values)), shared, cells, note)
