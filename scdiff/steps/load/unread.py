"""Formats that are not read, each with the one line that converts it."""

from __future__ import annotations

import re
from pathlib import Path

from scdiff.errors import InputError

__all__ = ["refuse_unread"]

_PACKED = re.compile(r"\.(bz2|xz|zst|lz4|7z|rar|z)$", re.IGNORECASE)

_SUFFIXES = {
    ".h5seurat": ("h5Seurat", 'SeuratDisk::Convert("{name}", dest = "h5ad") in R'),
    ".h5ads": ("h5ads", 'write each of its parts as h5ad, as in adata.write_h5ad("one.h5ad") in Python'),
    ".xlsx": ("a spreadsheet", "save the sheet as csv"),
    ".xls": ("a spreadsheet", "save the sheet as csv"),
    ".parquet": ("parquet", 'pandas.read_parquet("{name}").to_csv("counts.csv.gz") in Python'),
    ".qs": ("qs", 'saveRDS(qs::qread("{name}"), "counts.rds") in R'),
    ".bam": ("a file of reads", "count them first, as with STARsolo or Cell Ranger"),
    ".fastq": ("a file of reads", "count them first, as with STARsolo or Cell Ranger"),
}
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
        name = path.name.casefold().removesuffix(".gz")
        kind, cure = next((about for suffix, about in _SUFFIXES.items() if name.endswith(suffix)), ("", ""))
        if _PACKED.search(path.name):
            raise InputError(f"{path}: scdiff unpacks gz, tar and zip only: unpack this file first, and give what comes out.")
    if kind:
        raise InputError(f"{path}: this is {kind}, which scdiff does not read. Convert it: {cure.format(name=path.name)}.")


def _of_folder(path: Path) -> tuple[str, str]:
    """Kind of a folder and the line that converts it; empty where it is of no such kind."""
    if (path / "storage_order").is_file() and (path / "version").is_file():
        return "a matrix of BPCells", _BPCELLS
    if any((path / name).exists() for name in ("__tiledb_group.tdb", "__group", "__schema")):
        return "a SOMA experiment of TileDB", _SOMA
    return "", ""
