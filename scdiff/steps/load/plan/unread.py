"""Formats that are not read, each with the one line that converts it."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from scdiff.errors import InputError

__all__ = ["refuse_unread", "refuse_unread_hdf5"]

_NUMPY = (
    'anndata.AnnData(scipy.sparse.load_npz("{name}"), pandas.DataFrame(index=cells), pandas.DataFrame(index=genes))'
    '.write_h5ad("counts.h5ad") in Python'
)
_PACKED = re.compile(r"\.(bz2|xz|zst|lz4|7z|rar|z)$", re.IGNORECASE)

_SUFFIXES = {
    ".h5seurat": ("h5Seurat", 'SeuratDisk::Convert("{name}", dest = "h5ad") in R'),
    ".h5ads": ("h5ads", 'write each of its parts as h5ad, as in adata.write_h5ad("one.h5ad") in Python'),
    ".xlsx": ("a spreadsheet", "save the sheet as csv"),
    ".xls": ("a spreadsheet", "save the sheet as csv"),
    ".parquet": ("parquet", 'pandas.read_parquet("{name}").to_csv("counts.csv.gz") in Python'),
    ".qs": ("qs", 'saveRDS(qs::qread("{name}"), "counts.rds") in R'),
    ".npz": ("an array of numpy", _NUMPY),
    "quants_mat.gz": ("a binary matrix of salmon alevin", "run salmon alevin with --dumpMtx, and give its folder alevin"),
    ".bam": ("a file of reads", "count them first, as with STARsolo or Cell Ranger"),
    ".fastq": ("a file of reads", "count them first, as with STARsolo or Cell Ranger"),
}
_OF_MOLECULES = {"barcode_idx", "umi"}
"""Datasets of ``molecule_info.h5`` (https://www.10xgenomics.com/support: Molecule Info)."""

_BPCELLS = 'BPCells::write_matrix_10x_hdf5(BPCells::open_matrix_dir("{name}"), "counts.h5") in R'
_SOMA = 'tiledbsoma.io.to_h5ad(tiledbsoma.Experiment.open("{name}"), "counts.h5ad", measurement_name="RNA", X_layer_name="raw") in Python'


def refuse_unread(path: Path) -> None:
    """Refuse a file or folder of a format that is known but not read.

    Raises
    ------
    InputError
        With the line that converts it.
    """
    if path.is_dir():
        kind, cure = _of_folder(path)
    else:
        name = path.name.casefold()
        kind, cure = next((about for suffix, about in _SUFFIXES.items() if name.endswith((suffix, f"{suffix}.gz"))), ("", ""))
        if _PACKED.search(path.name):
            raise InputError(f"{path}: scdiff unpacks gz, tar and zip only: unpack this file first, and give what comes out.")
    if kind:
        raise _refusal(path, kind, cure)


def refuse_unread_hdf5(path: Path, inside: Collection[str]) -> None:
    """Refuse an HDF5 file of a format that is known but not read, by what it holds.

    Raises
    ------
    InputError
        With the file to give in its place, or the line that converts it.
    """
    if {"assays", "cell.names"} <= set(inside):
        raise _refusal(path, *_SUFFIXES[".h5seurat"])
    if set(inside) >= _OF_MOLECULES:
        raise InputError(
            f"{path}: this lists the molecules of Cell Ranger one by one: give filtered_feature_bc_matrix.h5, which stands beside it."
        )


def _refusal(path: Path, kind: str, cure: str) -> InputError:
    return InputError(f"{path}: this is {kind}, which scdiff does not read. Convert it: {cure.format(name=path.name)}.")


def _of_folder(path: Path) -> tuple[str, str]:
    """Kind of a folder and the line that converts it; empty where it is of no such kind."""
    if (path / "storage_order").is_file() and (path / "version").is_file():
        return "a matrix of BPCells", _BPCELLS
    if any((path / name).exists() for name in ("__tiledb_group.tdb", "__group", "__schema")):
        return "a SOMA experiment of TileDB", _SOMA
    if (path / "quants_mat.gz").is_file() and not any((path / f"quants_mat.mtx{end}").is_file() for end in ("", ".gz")):
        return _SUFFIXES["quants_mat.gz"]
    return "", ""
