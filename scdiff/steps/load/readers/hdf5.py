"""Readers of h5ad and zarr stores, and of 10x h5 files. They unpickle and run nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scdiff.errors import InputError
from scdiff.steps.load.checks.features import fill_names, pick_genome
from scdiff.steps.load.checks.parts import ALL_PARTS, KEPT, is_sum, select_parts, sum_parts
from scdiff.steps.load.identity import LABELS, own_labels
from scdiff.steps.load.plan.unread import refuse_unread_hdf5
from scdiff.steps.load.readers.claims import refuse_claims
from scdiff.steps.load.readers.frames import build_table
from scdiff.steps.load.readers.probe import probe
from scdiff.steps.load.readers.registry import READERS
from scdiff.steps.load.readers.stored import (
    find_lone_parts,
    find_part_layers,
    list_matrices,
    list_places,
    note_unspliced_only,
    order_by_genes,
    prefer_layer_counts,
    read_genes_of_raw,
)
from scdiff.steps.load.readers.values import read_arrays, read_by_cell, read_some_rows, read_values
from scdiff.steps.load.source import Layout, Source
from scdiff.steps.load.table import Hold, Table, reading

if TYPE_CHECKING:
    import h5py

__all__ = ["detect_hdf5_layout", "read_10x_h5", "read_group", "read_own_samples", "read_stored"]

_RNA = ("rna", "gex", "gene expression", "gene_expression", "mrna", "expression")
"""Names of the modality of genes in MuData (https://mudata.readthedocs.io)."""


def detect_hdf5_layout(path: Path) -> Layout:
    """Detect the layout of an HDF5 file from its content.

    Raises
    ------
    InputError
        If the file is damaged, or has an unknown layout.
    """
    import h5py

    probe(path)
    with reading(path, "an HDF5 file"), h5py.File(path) as handle:
        if ("obs" in handle and "var" in handle) or "mod" in handle:
            return Layout.H5AD
        refuse_unread_hdf5(path, handle)
        if "row_attrs" in handle and "matrix" in handle:
            return Layout.LOOM
        if "matrix" in handle and "features" in handle["matrix"]:
            return Layout.TENX_H5_V3
        if _list_genomes(handle):
            return Layout.TENX_H5_V1
        raise InputError(
            f"{path}: this HDF5 file is not h5ad, 10x h5 or loom "
            f"(it holds {', '.join(handle) or 'nothing'}). Give a file of one of these formats."
        )


def _list_genomes(handle: h5py.File) -> list[str]:
    """List the groups of a version 1 file, one per genome."""
    return [
        name
        for name, group in handle.items()
        if hasattr(group, "keys") and {"barcodes", "data", "genes", "indptr"} <= set(group)
    ]


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    """Open a file as h5ad, or a folder as zarr."""
    import h5py
    import zarr

    if path.is_dir():
        yield _find_annotated(path, zarr.open_group(path, mode="r"))
        return
    with h5py.File(path) as handle:
        yield _find_annotated(path, handle)


def _find_annotated(path: Path, handle: Any) -> Any:
    """Return the group that holds cells and genes.

    In MuData, this is the modality of genes; in SpatialData, the only table.

    Raises
    ------
    InputError
        If there is no such group, or several could be meant.
    """
    if "obs" in handle and "mod" not in handle:
        return handle
    place = next((name for name in ("mod", "tables", "table") if name in handle), "")
    found = sorted(name for name in handle[place] if "obs" in handle[place][name]) if place else []
    what = "modality" if place == "mod" else "table"
    chosen = [name for name in found if name.casefold() in _RNA] or found
    if len(chosen) == 1:
        return handle[place][chosen[0]]
    if not found:
        raise InputError(
            f"{path}: this file or store holds no AnnData with cells and genes "
            f"(it holds {', '.join(handle) or 'nothing'}). Give one that does."
        )
    raise InputError(
        f"{path}: no {what} has the name rna, and there are several ({', '.join(found)}). "
        "Write the one with the counts as h5ad."
    )


def read_own_samples(path: Path, key: str = "") -> tuple[str, list[str]]:
    """Find the column about the cells that names their samples, and these names, sorted.

    With ``key``, only this column qualifies. There are no names if no column qualifies.

    Raises
    ------
    InputError
        If only some of the cells have a name in ``obs["sample"]``, or in ``key``.
    ConfigError
        If there is no column ``key``, or it names no samples.
    """
    with reading(path, "h5ad or zarr"), _open(path) as handle:
        obs = handle["obs"]
        if not hasattr(obs, "keys") and not key:
            return LABELS, []
        columns = list(obs) if hasattr(obs, "keys") else []
        return own_labels(path, columns, lambda name: _read_column(obs, name), exact=True, key=key)


def _read_column(obs: Any, name: str) -> Any:
    """Read one column about the cells; before anndata 0.8, its categories are in a group."""
    import pandas as pd
    from anndata.io import read_elem

    values = read_elem(obs[name])
    if "__categories" in obs and name in obs["__categories"]:
        return pd.Categorical.from_codes(values, read_elem(obs["__categories"][name]))
    return values


@READERS.register(
    "zarr",
    summary="Stores of AnnData, MuData and SpatialData.",
    source="https://anndata.readthedocs.io",
    facts={"lazy": True},
)
@READERS.register(
    "h5ad",
    summary="Files of AnnData and MuData.",
    source="https://anndata.readthedocs.io",
    facts={"lazy": True},
)
def read_stored(source: Source, matrix: str, species: str, hold: Hold) -> Iterator[Table]:  # noqa: ARG001 all readers have these arguments
    """Yield the matrices of an h5ad or zarr store that may hold the counts, the likeliest first.

    If ``matrix`` names a matrix, yield only that one; ``hold`` states how much of the values to
    read.

    Raises
    ------
    ConfigError
        If the file has no matrix of the name ``matrix``.
    """
    path = source.files[0]
    with _open(path) as handle:
        refuse_claims(path, handle, ("X", "raw", "layers", "obs", "var"))
        if not hasattr(handle["obs"], "keys"):  # written before anndata 0.7
            yield from _read_legacy(path, matrix)
            return
        yield from read_group(handle, path, matrix, hold)


def read_group(handle: Any, path: Path, matrix: str, hold: Hold) -> Iterator[Table]:
    """Yield the matrices of an open file; last the sum of parts, if these may be the counts.

    Parameters
    ----------
    handle
        Group of HDF5 or zarr, laid out as anndata does.
    path
        Path of the file, for messages.
    matrix, hold
        As for all readers.
    """
    from anndata.io import read_elem

    obs, places = read_elem(handle["obs"]), list_places(handle)
    parts = find_part_layers(places)
    read = {
        part: cache(partial(read_by_cell, handle[places[name]], path, name, hold))
        for part, name in parts.items()
    }
    layers = {part: read[part] for part in KEPT if part in parts}
    may_sum = matrix == "auto" and len(layers) == len(KEPT)
    alone = find_lone_parts(_read_glances(handle, path, places), parts) if may_sum else []
    names, note = _choose_matrices(handle, path, matrix, places, alone)
    for name in names:
        if alone and name in (*alone, "raw"):
            continue
        var = read_genes_of_raw(handle, places[name]) if name == "raw" else read_elem(handle["var"])
        table = build_table(read_values(handle[places[name]], path, name, hold), obs, var, name)
        table = table.noted(note) if note else table
        if name != "raw":
            table = replace(table, layers={part: values() for part, values in layers.items()})
        yield table
    if may_sum or (is_sum(matrix) and parts):
        found, wanted = (
            {part: values() for part, values in read.items()},
            select_parts(matrix, ALL_PARTS),
        )
        name = " + ".join(parts[part] for part in wanted if part in parts)
        table = build_table(sum_parts(found, wanted), obs, read_elem(handle["var"]), name)
        if alone:
            verb = "holds" if len(alone) == 1 else "hold"
            table = table.noted(f"{' and '.join(alone)} {verb} only a part of the counts.")
        yield replace(table, layers={part: found[part] for part in layers})


def _choose_matrices(
    handle: Any, path: Path, matrix: str, places: dict[str, str], alone: list[str]
) -> tuple[list[str], str]:
    """List the matrices to try, with a note for the record.

    ``alone`` are matrices that hold only one part of the counts.
    """
    parts = find_part_layers(places)
    names: list[str] = []
    if not (is_sum(matrix) and parts):
        names = list_matrices(path, "auto" if is_sum(matrix) else matrix, list(places))
    note = ""
    if matrix == "auto" and not alone:
        names, note = order_by_genes(handle, places, names)
    if matrix == "auto" and not alone and names[:1] == ["X"] and "counts" in names:
        both = {name: places[name] for name in ("X", "counts")}
        names, corrected = prefer_layer_counts(_read_glances(handle, path, both), names)
        note = note or corrected
    return names, note or note_unspliced_only(parts, names)


def _read_glances(handle: Any, path: Path, places: dict[str, str]) -> dict[str, Any]:
    """Read some cells of each matrix except raw."""
    return {
        name: read_values(handle[where], path, name, "some")
        for name, where in places.items()
        if name != "raw"
    }


def _read_legacy(path: Path, matrix: str) -> Iterator[Table]:
    """Yield the matrices of a file from before anndata 0.7, whose tables anndata must convert."""
    import anndata

    adata = anndata.read_h5ad(path)
    layers = sorted(
        (str(name) for name in adata.layers if name is not None),
        key=lambda name: (name != "counts", name),
    )
    frames: dict[str, tuple[Any, Any]] = {"X": (adata.X, adata.var)} if adata.X is not None else {}
    frames |= {name: (adata.layers[name], adata.var) for name in layers}
    frames |= {"raw": (adata.raw.X, adata.raw.var)} if adata.raw is not None else {}
    for name in list_matrices(path, matrix, list(frames)):
        yield build_table(frames[name][0], adata.obs, frames[name][1], name)


@READERS.register(
    "10x h5",
    summary="Matrix of Cell Ranger, of both versions.",
    source="https://www.10xgenomics.com/support/software/cell-ranger/latest/analysis/outputs/cr-outputs-h5-matrices",
    facts={"lazy": False},
)
def read_10x_h5(source: Source, matrix: str, species: str, hold: Hold) -> Iterator[Table]:  # noqa: ARG001 all readers have these arguments
    """Yield the one matrix of a 10x h5.

    If a version 1 file holds several genomes, this is the requested one or the one with most
    counts.
    """
    import h5py

    path = source.files[0]
    with h5py.File(path) as handle:
        refuse_claims(path, handle, list(handle))
        if "matrix" in handle and "features" in handle["matrix"]:
            features = handle["matrix/features"]
            kinds, genomes = (
                features[name].asstr()[:] if name in features else None
                for name in ("feature_type", "genome")
            )
            yield _build_10x(
                handle["matrix"],
                hold,
                features["name"],
                features["id"],
                kinds=kinds,
                genomes=genomes,
            )
            return
        totals = {name: float(handle[name]["data"][:].sum()) for name in _list_genomes(handle)}
        chosen, note = pick_genome(totals, species)
        group = handle[chosen]
        table = _build_10x(
            group,
            hold,
            group["gene_names"] if "gene_names" in group else group["genes"],
            group["genes"],
        )
        yield table.noted(note) if len(totals) > 1 else table


def _build_10x(
    group: h5py.Group, hold: Hold, symbols: Any, gene_ids: Any, **features: Any
) -> Table:
    """Build the table of one group of a 10x h5.

    The group holds genes x cells as CSC, which is CSR of cells x genes.
    """
    from scipy import sparse

    n_genes, n_cells = (int(size) for size in group["shape"][:])
    shape = n_cells, n_genes
    if hold == "some":
        values = read_some_rows(group, shape)
    else:
        values = sparse.csr_matrix(read_arrays(group), shape=shape)
    names = fill_names(symbols.asstr()[:], gene_ids.asstr()[:])
    return Table(values, group["barcodes"].asstr()[:], *names, **features)
