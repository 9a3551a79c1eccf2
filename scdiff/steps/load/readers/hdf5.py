"""Readers of HDF5 files: h5ad, 10x h5 of both versions. Nothing in them is unpickled or run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.compute.blocks import is_lazy
from scdiff.errors import InputError
from scdiff.steps.load.checks.called import best_names
from scdiff.steps.load.checks.counts import widen_values
from scdiff.steps.load.checks.features import fill_names, looks_stable, pick_genome
from scdiff.steps.load.checks.parts import ALL_PARTS, KEPT, is_sum, parts_of, sum_parts
from scdiff.steps.load.identity import LABELS, own_labels
from scdiff.steps.load.plan.unread import refuse_unread_hdf5
from scdiff.steps.load.readers.chunks import whole_array
from scdiff.steps.load.readers.lazy import lazy_counts
from scdiff.steps.load.readers.lists import cell_names
from scdiff.steps.load.readers.probe import probe
from scdiff.steps.load.readers.registry import READERS
from scdiff.steps.load.readers.stored import (
    fuller_first,
    genes_of_raw,
    is_unspliced_only,
    list_matrices,
    part_layers,
    parts_alone,
    places_of,
)
from scdiff.steps.load.source import Layout, Source
from scdiff.steps.load.table import Hold, Table, choose_stretches, reading

if TYPE_CHECKING:
    import h5py
    import pandas as pd

__all__ = ["by_cell", "from_frames", "hdf5_layout", "own_samples", "read_10x_h5", "read_group", "read_stored"]

_SYMBOLS = ("gene_symbols", "gene_symbol", "symbol", "symbols", "feature_name", "gene_name", "gene_names", "gene", "hgnc_symbol")
_IDS = ("gene_id", "gene_ids", "ensembl_id", "ensembl_ids", "ensembl", "ensembl_gene_id", "feature_id", "accession")
_KINDS = ("feature_types", "feature_type", "modality", "feature_biotype")
_RNA = ("rna", "gex", "gene expression", "gene_expression", "mrna", "expression")
"""What the modality of genes is called in MuData (https://mudata.readthedocs.io)."""

_MOST_RATIO, _FREE_BYTES = 2_000, 1 << 26
"""Bytes of arrays that one byte of a file can hold (deflate packs at most 1,032 into one), and bytes that any file may claim."""


def hdf5_layout(path: Path) -> Layout:
    """Tell the layout of an HDF5 file from its content.

    Raises
    ------
    InputError
        If the file is damaged, or holds none of the known layouts.
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
        if _genomes(handle):
            return Layout.TENX_H5_V1
        raise InputError(f"{path}: this HDF5 file is neither h5ad, 10x h5 nor loom (it holds {', '.join(handle) or 'nothing'}).")


def _genomes(handle: h5py.File) -> list[str]:
    """List the groups of a version 1 file, one per genome."""
    return [name for name, group in handle.items() if hasattr(group, "keys") and {"barcodes", "data", "genes", "indptr"} <= set(group)]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file as h5ad, a folder as zarr."""
    import h5py
    import zarr

    if path.is_dir():
        yield _annotated(path, zarr.open_group(path, mode="r"))
        return
    with h5py.File(path) as handle:
        yield _annotated(path, handle)


def _annotated(path: Path, handle: Any) -> Any:
    """Return the group that holds cells and genes: of MuData the modality of genes, of SpatialData its one table.

    Raises
    ------
    InputError
        If there is none, or several could be meant.
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
        raise InputError(f"{path}: this file or store holds no AnnData with cells and genes (it holds {', '.join(handle) or 'nothing'}).")
    raise InputError(f"{path}: no {what} is called rna, and there are several ({', '.join(found)}): write the one with the counts as h5ad.")


def own_samples(path: Path, key: str = "") -> tuple[str, list[str]]:
    """Column about the cells that names their samples, ``key`` if given, and these names, sorted; no names where it gives none.

    Raises
    ------
    InputError
        If only some of the cells have a name in ``obs["sample"]``, or in ``key``.
    ConfigError
        If there is no column ``key``, or it names no samples.
    """
    from anndata.io import read_elem

    with reading(path, "h5ad or zarr"), _opened(path) as handle:
        obs = handle["obs"]
        if not hasattr(obs, "keys") and not key:
            return LABELS, []
        columns = list(obs) if hasattr(obs, "keys") else []
        return own_labels(path, columns, lambda name: read_elem(obs[name]), exact=True, key=key)


def _refuse_claims(path: Path, handle: Any, names: Iterable[str]) -> None:
    """Refuse arrays that claim far more than the file can hold, before memory is asked for them; also rows without pointers.

    Raises
    ------
    InputError
        If there are such arrays.
    """
    files = [inner for inner in path.rglob("*") if inner.is_file()] if path.is_dir() else [path]
    most = _FREE_BYTES + _MOST_RATIO * sum(file.stat().st_size for file in files)
    for item in _below([handle[name] for name in names if name in handle]):
        if hasattr(item, "shape") and (claimed := math.prod(item.shape) * item.dtype.itemsize) > most:
            raise InputError(f"{path}: {item.name} claims {claimed:.3g} bytes, more than the file can hold: it is damaged. Get it again.")
        if not hasattr(item, "shape") and "indptr" in item and "shape" in item.attrs:
            rows = item.attrs["shape"][0 if item.attrs.get("encoding-type") != "csc_matrix" else 1]
            if len(item["indptr"].shape) != 1 or item["indptr"].shape[0] != int(rows) + 1:
                raise InputError(f"{path}: {item.name} does not hold the {int(rows):,} rows that it claims: it is damaged. Get it again.")


def _below(items: Iterable[Any]) -> Iterator[Any]:
    """Yield groups and arrays, and all that is in them."""
    for item in items:
        yield item
        if hasattr(item, "keys") and not hasattr(item, "shape"):
            yield from _below(item[name] for name in item)


@READERS.register(
    "zarr", summary="Stores of AnnData, MuData and SpatialData.", source="https://anndata.readthedocs.io", facts={"lazy": True}
)
@READERS.register("h5ad", summary="Files of AnnData and MuData.", source="https://anndata.readthedocs.io", facts={"lazy": True})
def read_stored(source: Source, matrix: str, species: str, hold: Hold) -> Iterator[Table]:  # noqa: ARG001 all readers are called alike
    """Yield the matrices of an h5ad or zarr store that may hold the counts, the likeliest first.

    Only the asked one if ``matrix`` names it; ``hold`` says how much of the values is read.

    Raises
    ------
    ConfigError
        If ``matrix`` names no matrix of the file.
    """
    path = source.files[0]
    with _opened(path) as handle:
        _refuse_claims(path, handle, ("X", "raw", "layers", "obs", "var"))
        if not hasattr(handle["obs"], "keys"):  # written before anndata 0.7
            yield from _legacy(path, matrix)
            return
        yield from read_group(handle, path, matrix, hold)


def read_group(handle: Any, path: Path, matrix: str, hold: Hold) -> Iterator[Table]:
    """Yield the matrices of an open file, last the sum of parts where one of these stands in the place of the counts.

    Parameters
    ----------
    handle
        Group of HDF5 or zarr, laid out as anndata does.
    path
        Where it stands, for what there is to say.
    matrix, hold
        As for all readers.
    """
    from anndata.io import read_elem

    obs, places = read_elem(handle["obs"]), places_of(handle)
    parts = part_layers(places)
    read = {part: cache(partial(_stored_values, handle[places[name]], path, name, hold)) for part, name in parts.items()}
    layers = {part: read[part] for part in KEPT if part in parts}
    alone = parts_alone(_glances(handle, path, places), parts) if matrix == "auto" and len(layers) == len(KEPT) else []
    asked = [] if is_sum(matrix) and parts else list_matrices(path, "auto" if is_sum(matrix) else matrix, list(places))
    asked, cut = fuller_first(handle, places, asked) if matrix == "auto" and not alone else (asked, "")
    cut = cut or is_unspliced_only(parts, asked)
    for name in asked:
        if alone and name in (*alone, "raw"):
            continue
        var = genes_of_raw(handle, places[name]) if name == "raw" else read_elem(handle["var"])
        table = from_frames(_values(handle[places[name]], path, name, hold), obs, var, name)
        table = table.noted(cut) if cut else table
        yield table if name == "raw" else replace(table, layers={part: values() for part, values in layers.items()})
    if (is_sum(matrix) and parts) or (matrix == "auto" and len(layers) == len(KEPT)):
        found, wanted = {part: values() for part, values in read.items()}, parts_of(matrix, ALL_PARTS)
        table = from_frames(
            sum_parts(found, wanted), obs, read_elem(handle["var"]), " + ".join(parts[one] for one in wanted if one in parts)
        )
        table = table.noted(f"{' and '.join(alone)} hold{'s' * (len(alone) == 1)} a part of the counts, not all.") if alone else table
        yield replace(table, layers={part: found[part] for part in layers})


def _glances(handle: Any, path: Path, places: dict[str, str]) -> dict[str, Any]:
    """Read some cells of each matrix but raw."""
    return {name: _values(handle[where], path, name, "some") for name, where in places.items() if name != "raw"}


def _stored_values(stored: Any, path: Path, name: str, hold: Hold) -> Any:
    """Read a stored matrix by cell."""
    values = _values(stored, path, name, hold)
    return values if is_lazy(values) else by_cell(values)


def _values(stored: Any, path: Path, name: str, hold: Hold) -> Any:
    """Read as much of a stored matrix as is asked for."""
    if hold == "disk":
        return lazy_counts(stored, path, name)
    if hold == "memory":
        return _whole(stored)
    if stored.attrs.get("encoding-type") == "csr_matrix":
        n_cells, n_genes = (int(size) for size in stored.attrs["shape"])
        return _some_rows(stored, (n_cells, n_genes))
    return _looked_at(stored if hasattr(stored, "shape") else _whole(stored))


def _whole(stored: Any) -> Any:
    """Read all values of a stored matrix."""
    from anndata.io import read_elem

    matrix = _sparse(stored)
    return read_elem(stored) if matrix is None else matrix


def _sparse(stored: Any) -> Any:
    """Read a sparse matrix of an HDF5 file, or of a store in numbers that anndata does not read; None for any other."""
    import h5py
    from scipy import sparse

    made = {"csr_matrix": sparse.csr_matrix, "csc_matrix": sparse.csc_matrix}.get(stored.attrs.get("encoding-type"))
    if made is None or not (isinstance(stored, h5py.Group) or stored["data"].dtype == np.float16):
        return None
    return made(_arrays(stored), shape=tuple(int(size) for size in stored.attrs["shape"]))


def _arrays(group: Any) -> tuple[np.ndarray, ...]:
    """Values, indices and pointers of a sparse matrix."""
    import h5py

    read = whole_array if isinstance(group, h5py.Group) else np.asarray
    return tuple(widen_values(read(group[name])) for name in ("data", "indices", "indptr"))


def _looked_at(matrix: Any) -> Any:
    """Cells of a matrix that a look at a file reads."""
    from scipy import sparse

    rows = by_cell(matrix) if sparse.issparse(matrix) else matrix
    return sparse.vstack([by_cell(rows[stretch]) for stretch in choose_stretches(matrix.shape[0])], format="csr")


def by_cell(matrix: Any) -> Any:
    """CSR of a sparse or dense matrix."""
    from scipy import sparse

    if sparse.issparse(matrix) and matrix.format != "csr":
        matrix.check_format()  # turned with an index out of range, it would read foreign memory
    return sparse.csr_matrix(matrix if sparse.issparse(matrix) else widen_values(np.asarray(matrix)))


def _some_rows(group: Any, shape: tuple[int, int]) -> Any:
    """Cells of the arrays of a CSR matrix that a look at a file reads."""
    from scipy import sparse

    indptr, parts = group["indptr"][:], []
    for stretch in choose_stretches(shape[0]):
        ends = indptr[stretch.start : stretch.stop + 1]
        inside = slice(int(ends[0]), int(ends[-1]))
        arrays = (widen_values(group["data"][inside]), group["indices"][inside], ends - ends[0])
        parts.append(sparse.csr_matrix(arrays, shape=(len(ends) - 1, shape[1])))
    return sparse.vstack(parts, format="csr")


def _legacy(path: Path, matrix: str) -> Iterator[Table]:
    """Do the same for files whose frames anndata has to translate."""
    import anndata

    adata = anndata.read_h5ad(path)
    layers = sorted((str(name) for name in adata.layers if name is not None), key=lambda name: (name != "counts", name))
    frames: dict[str, tuple[Any, Any]] = {"X": (adata.X, adata.var)} if adata.X is not None else {}
    frames |= {name: (adata.layers[name], adata.var) for name in layers}
    frames |= {"raw": (adata.raw.X, adata.raw.var)} if adata.raw is not None else {}
    for name in list_matrices(path, matrix, list(frames)):
        yield from_frames(frames[name][0], adata.obs, frames[name][1], name)


def from_frames(values: Any, obs: pd.DataFrame, var: pd.DataFrame, name: str) -> Table:
    """Build the table of one matrix and its frames."""
    columns = {str(column).casefold(): var[column] for column in reversed(var.columns)}
    index = np.array([str(gene) for gene in var.index], dtype=object)
    symbols, gene_ids, told = _names(index, columns)
    kinds = _first(_KINDS, columns)
    table = Table(
        entries=values if is_lazy(values) else by_cell(values),
        barcodes=cell_names(obs),
        symbols=symbols,
        gene_ids=gene_ids,
        obs=obs,
        kinds=None if kinds is None else np.asarray(columns[kinds].astype(object)),
        genomes=np.asarray(columns["genome"].astype(str).astype(object)) if "genome" in columns else None,
        matrix=name,
    )
    return table.repaired(told) if told else table


def _names(index: np.ndarray, columns: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, str]:
    """Symbols and identifiers, from the index and the columns (casefolded) beside it, and what there is to say of them."""
    if (found := best_names(index, columns)) is not None:
        return *fill_names(*found[:2]), found[2]
    symbol_column = _first(_SYMBOLS, columns)
    if symbol_column is not None and looks_stable(index):
        return *fill_names(np.asarray(columns[symbol_column], dtype=object), index), ""
    id_column = _first(_IDS, columns)
    return *fill_names(index, index if id_column is None else np.asarray(columns[id_column], dtype=object)), ""


def _first(wanted: Iterable[str], columns: Iterable[str]) -> str | None:
    """Return the first of the wanted names that is a column."""
    present = set(columns)
    return next((name for name in wanted if name in present), None)


@READERS.register(
    "10x h5",
    summary="Matrix of Cell Ranger, of both versions.",
    source="https://www.10xgenomics.com/support/software/cell-ranger/latest/analysis/outputs/cr-outputs-h5-matrices",
    facts={"lazy": False},
)
def read_10x_h5(source: Source, matrix: str, species: str, hold: Hold) -> Iterator[Table]:  # noqa: ARG001 all readers are called alike
    """Yield the one matrix of a 10x h5; of several genomes in a version 1 file, the asked or the fullest one."""
    import h5py

    path = source.files[0]
    with h5py.File(path) as handle:
        _refuse_claims(path, handle, list(handle))
        if "matrix" in handle and "features" in handle["matrix"]:
            features = handle["matrix/features"]
            kinds, genomes = (features[name].asstr()[:] if name in features else None for name in ("feature_type", "genome"))
            yield _from_10x(handle["matrix"], hold, features["name"], features["id"], kinds=kinds, genomes=genomes)
            return
        totals = {name: float(handle[name]["data"][:].sum()) for name in _genomes(handle)}
        chosen, note = pick_genome(totals, species)
        group = handle[chosen]
        table = _from_10x(group, hold, group["gene_names"] if "gene_names" in group else group["genes"], group["genes"])
        yield table.noted(note) if len(totals) > 1 else table


def _from_10x(group: h5py.Group, hold: Hold, symbols: Any, gene_ids: Any, **features: Any) -> Table:
    """Build the table of one genes x cells CSC group, which is CSR the other way round."""
    from scipy import sparse

    n_genes, n_cells = (int(size) for size in group["shape"][:])
    shape = n_cells, n_genes
    values = _some_rows(group, shape) if hold == "some" else sparse.csr_matrix(_arrays(group), shape=shape)
    names = fill_names(symbols.asstr()[:], gene_ids.asstr()[:])
    return Table(values, group["barcodes"].asstr()[:], *names, **features)
