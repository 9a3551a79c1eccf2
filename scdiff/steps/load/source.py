"""A source: one sample, the files that hold it, and its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

__all__ = ["DENSE", "HDF5", "Layout", "Source", "name_sample", "strip_program_name", "strip_suffix"]

HDF5 = (".h5ad", ".h5mu", ".h5", ".hdf5", ".loom")
"""Suffixes of HDF5 files."""

DENSE = re.compile(r"\.(csv|tsv|txt|tab)(\.gz)?$", re.IGNORECASE)
"""Suffixes of dense tables."""

_SUFFIXES = re.compile(
    r"(\.(h5ad|h5mu|zarr|h5|hdf5|loom|csv|tsv|txt|tab|tar|tgz|zip|rds|rda|rdata)(\.gz)?"
    r"|\.mtx(\.gz)?)$",
    re.IGNORECASE,
)
_PROGRAM = r"(filtered|raw)_(gene_bc_matri(x|ces)|feature_bc_matrix)(_h5|_mex)?"
_GENERIC = re.compile(
    rf"^({_PROGRAM}|sample_{_PROGRAM}|outs|count|matrix|counts|counts_(un)?filtered|cells_x_genes"
    r"|gene|genefull(_\w+)?|velocyto|gene_counts|filtered|raw"
    r"|dge(_(un)?filtered)?|solo\.out|mex|(hg|mm|grch|grcm)\d+\w*|(af_)?quants?(_mat)?|alevin"
    r"|simpleaf|adata|anndata|cellranger|output|(filtered|raw)_matrix|sensitivity_\d|matrix_10x"
    r"|((rs|db)ec_molspercell)(_unfiltered)?(_mex)?)$",
    re.IGNORECASE,
)
"""Names that programs give to files and folders; the folder above then names the sample."""

_TAIL = re.compile(
    rf"([._\- ]+((sample_)?{_PROGRAM}"
    r"|(filtered|raw|cellbender(_filter(ed)?)?|emptydrops_filter)([._]matrix)?|solo\.out|matrix_10x"
    r"|(rs|db)ec_molspercell(_unfiltered)?(_mex)?))+$|(\.(scrna|dge|counts))+$",
    re.IGNORECASE,
)
"""What programs write after the name of a sample. Words that are too common count only after a
dot."""


class Layout(StrEnum):
    """How a source is laid out on disk; reports and records show the value."""

    H5AD = "h5ad"
    ZARR = "zarr"
    TENX_H5_V1 = "10x h5 (v1)"
    TENX_H5_V3 = "10x h5 (v3)"
    TENX_MTX = "10x mtx"
    LOOM = "loom"
    R_OBJECT = "R object"
    DENSE = "dense table"
    OBJECT = "object in memory"

    @property
    def reader(self) -> str:
        """Return the name of the reader: the layout without its version."""
        return self.partition(" (")[0]

    @property
    def is_folder(self) -> bool:
        """Whether the files of a sample are in a folder that names it."""
        return self is Layout.TENX_MTX


@dataclass(frozen=True)
class Source:
    """One sample to load.

    Parameters
    ----------
    sample
        Name, unique among the sources.
    path
        The file or folder as the user gave it. If one folder holds several samples, the path of
        this one.
    layout
        Its layout, which selects the reader.
    files
        The files to read: one; or matrix, barcodes and features; or the archive that holds them.
    label
        Name of the sample in ``column``; empty if the whole file is the sample.
    column
        What distinguishes the samples of the file: a column about the cells, or the file that lists
        the wells or the cells.
    wells
        GEM wells of the sample, the numbers at the end of its barcodes; empty if a column states
        the samples.
    fields
        Other columns of the sample sheet, as text.
    control
        Whether the sheet or an option declares it a control.
    positive_control
        Whether that control holds only positive cells, instead of none.
    raw
        The unfiltered matrix of the same sample, for its empty droplets; None if there is no such
        matrix.
    members
        Paths within an archive of the files to read, in the order of ``files``; empty for files on
        disk.
    calls
        Table next to the matrix with the sample of each cell; None without one.
    said
        Sentences on what was chosen or skipped.
    held
        An object in memory and its columns about the cells, for a source without a file.
    """

    sample: str
    path: Path
    layout: Layout
    files: tuple[Path, ...]
    label: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    control: bool = False
    positive_control: bool = False
    raw: Source | None = None
    members: tuple[str, ...] = ()
    column: str = "sample"
    wells: tuple[str, ...] = ()
    calls: Path | None = None
    said: tuple[str, ...] = ()
    held: Any = field(default=None, compare=False, repr=False)


def strip_suffix(name: str) -> str:
    """Remove the suffix of a file name.

    >>> strip_suffix("GSM1_day.7.txt.gz"), strip_suffix("GSE1_RAW.tar")
    ('GSM1_day.7', 'GSE1_RAW')
    """
    return _SUFFIXES.sub("", name)


def strip_program_name(name: str) -> str:
    """Remove from a name what programs write; return an empty name if nothing is left.

    >>> strip_program_name("GSM1_a_filtered_feature_bc_matrix.h5")
    'GSM1_a'
    >>> strip_program_name("filtered_feature_bc_matrix")
    ''
    """
    kept = _TAIL.sub("", _TAIL.sub("", strip_suffix(name)))
    return "" if _GENERIC.match(kept) or _GENERIC.match(strip_suffix(name)) else kept


def name_sample(path: Path) -> str:
    """Name a sample by its path, and skip the names that programs give.

    >>> name_sample(Path("donor1/outs/filtered_feature_bc_matrix.h5"))
    'donor1'
    """
    named = (strip_program_name(part.name) for part in (path.absolute(), *path.absolute().parents))
    return next(filter(None, named), "sample")
