"""Formats that scdiff does not read, each with the command that converts it."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from scdiff.errors import InputError

__all__ = ["refuse_unread", "refuse_unread_hdf5"]

_NUMPY = (
    'anndata.AnnData(scipy.sparse.load_npz("{name}"), pandas.DataFrame(index=cells), '
    'pandas.DataFrame(index=genes)).write_h5ad("counts.h5ad") in Python'
)
_PACKED = re.compile(r"\.(bz2|xz|zst|lz4|7z|rar|z)$", re.IGNORECASE)
"""Suffixes of packed files that scdiff does not unpack."""


_SUFFIXES = {
    ".h5seurat": ("h5Seurat", 'SeuratDisk::Convert("{name}", dest = "h5ad") in R'),
    ".h5ads": (
        "h5ads",
        'write each of its parts as h5ad, as in adata.write_h5ad("one.h5ad") in Python',
    ),
    ".xlsx": ("a spreadsheet", "save the sheet as csv"),
    ".xls": ("a spreadsheet", "save the sheet as csv"),
    ".parquet": ("parquet", 'pandas.read_parquet("{name}").to_csv("counts.csv.gz") in Python'),
    ".qs": ("qs", 'saveRDS(qs::qread("{name}"), "counts.rds") in R'),
    ".npz": ("an array of numpy", _NUMPY),
    "quants_mat.gz": (
        "a binary matrix of salmon alevin",
        "run salmon alevin with --dumpMtx, and give its folder alevin",
    ),
    ".bam": ("a file of reads", "count them first, as with STARsolo or Cell Ranger"),
    ".fastq": ("a file of reads", "count them first, as with STARsolo or Cell Ranger"),
}
"""Suffix -> name of the format, and how to convert it."""

_OF_MOLECULES = {"barcode_idx", "umi"}
"""Datasets of ``molecule_info.h5`` (https://www.10xgenomics.com/support: Molecule Info)."""

_BPCELLS = 'BPCells::write_matrix_10x_hdf5(BPCells::open_matrix_dir("{name}"), "counts.h5") in R'
_SOMA = (
    'tiledbsoma.io.to_h5ad(tiledbsoma.Experiment.open("{name}"), "counts.h5ad", '
    'measurement_name="RNA", X_layer_name="raw") in Python'
)


def refuse_unread(path: Path) -> None:
    """Raise an error if scdiff knows the format of a file or folder but does not read it.

    Raises
    ------
    InputError
        With the command that converts it.
    """
    if path.is_dir():
        kind, cure = _detect_folder(path)
    else:
        name = path.name.casefold()
        fits = (suffix for suffix in _SUFFIXES if name.endswith((suffix, f"{suffix}.gz")))
        kind, cure = _SUFFIXES.get(next(fits, ""), ("", ""))
        if _PACKED.search(path.name):
            raise InputError(
                f"{path}: scdiff unpacks only gz, tar and zip. Unpack this file, and give "
                "the result."
            )
    if kind:
        raise _build_error(path, kind, cure)


def refuse_unread_hdf5(path: Path, inside: Collection[str]) -> None:
    """Raise an error if scdiff knows the format of an HDF5 file but does not read it.

    The content decides.

    Raises
    ------
    InputError
        With the file to give instead, or the command that converts it.
    """
    if {"assays", "cell.names"} <= set(inside):
        raise _build_error(path, *_SUFFIXES[".h5seurat"])
    if set(inside) >= _OF_MOLECULES:
        raise InputError(
            f"{path}: this is a list of single molecules of Cell Ranger. "
            "Give filtered_feature_bc_matrix.h5 in the same folder."
        )


def _build_error(path: Path, kind: str, cure: str) -> InputError:
    """Build the error for a format that scdiff does not read."""
    return InputError(
        f"{path}: this is {kind}, which scdiff does not read. "
        f"Convert it: {cure.format(name=path.name)}."
    )


def _detect_folder(path: Path) -> tuple[str, str]:
    """Return the format of a folder and how to convert it; empty if the format is unknown."""
    if (path / "storage_order").is_file() and (path / "version").is_file():
        return "a matrix of BPCells", _BPCELLS
    if any((path / name).exists() for name in ("__tiledb_group.tdb", "__group", "__schema")):
        return "a SOMA experiment of TileDB", _SOMA
    if (path / "quants_mat.gz").is_file() and not any(
        (path / f"quants_mat.mtx{end}").is_file() for end in ("", ".gz")
    ):
        return _SUFFIXES["quants_mat.gz"]
    return "", ""
