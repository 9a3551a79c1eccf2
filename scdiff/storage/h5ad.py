"""Writing an AnnData that older readers understand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scdiff import keys
from scdiff.compute.blocks import is_lazy
from scdiff.record import read_record
from scdiff.storage.matrices import write_matrices

if TYPE_CHECKING:
    import h5py
    import pandas as pd
    from anndata import AnnData

__all__ = ["plain", "write_h5ad", "write_slot"]


def write_h5ad(adata: AnnData, path: Path, *, compressed: bool = True) -> None:
    """Write ``adata`` with plain strings and without None, leaving the object as it is.

    The counts, and X where it was not stored, are written block by block; a stored X as it stands.

    anndata 0.13 with pandas 3 writes nullable strings, and every anndata writes None in a way that
    older readers refuse.

    Raises
    ------
    OSError
        If ``path`` cannot be written.
    """
    import anndata
    import h5py

    streamed = compressed and _is_blockwise(adata.layers.get("counts"))
    copied = anndata.AnnData(
        X=adata.X,
        obs=plain(adata.obs),
        var=plain(adata.var),
        uns=plain(adata.uns),
        obsm=plain(adata.obsm),
        varm=plain(adata.varm),
        layers={
            name: matrix
            for name, matrix in adata.layers.items()
            if name is not None and not (streamed and name == "counts")
        },
        obsp=dict(adata.obsp),
        varp=dict(adata.varp),
    )
    with anndata.settings.override(allow_write_nullable_strings=False):
        copied.write_h5ad(
            path, **({"compression": "gzip", "compression_opts": 1} if compressed else {})
        )
    if streamed:
        target_sum = (
            None if adata.X is not None else read_record(adata, "normalise").get("target_sum")
        )
        with h5py.File(path, "a") as file:
            if target_sum is not None and "X" in file:
                del file["X"]
            write_matrices(
                file,
                adata.layers[keys.COUNTS.name],
                None if target_sum is None else float(target_sum),
            )


def write_slot(file: h5py.Group, slot: str, value: Any) -> None:
    """Write one element of an AnnData at a path such as ``layers/counts``, whose groups are made.

    anndata 0.13 takes no path for the name of an element.
    """
    import anndata

    group, _, name = slot.rpartition("/")
    anndata.io.write_elem(file.require_group(group or "/"), name, value)


def _is_blockwise(counts: Any) -> bool:
    """Whether a matrix can be written block by block."""
    return counts is not None and (is_lazy(counts) or getattr(counts, "format", "") == "csr")


def plain(value: Any) -> Any:
    """Replace string columns by plain ones that older readers understand, and drop None."""
    import pandas as pd

    if isinstance(value, pd.DataFrame):
        return _plain_frame(value)
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items() if part is not None}
    return value


def _plain_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Copy a frame with columns, index and categories of strings as Python objects."""
    import pandas as pd

    columns = {name: _plain_column(frame[name]) for name in frame.columns}
    copied = pd.DataFrame(columns, index=_plain_index(frame.index))
    return copied.set_axis(pd.Index([str(name) for name in frame.columns], dtype=object), axis=1)


def _plain_index(index: pd.Index) -> pd.Index:
    """Copy an index of strings as Python objects."""
    import pandas as pd

    return pd.Index([str(name) for name in index], dtype=object, name=index.name)


def _plain_column(column: pd.Series) -> Any:
    """Take the values of a column; missing strings become empty ones."""
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        categories = column.cat.categories
        texts = _plain_index(categories) if pd.api.types.is_string_dtype(categories) else categories
        return column.cat.rename_categories(list(texts)).array
    if pd.api.types.is_string_dtype(column) or column.dtype == object:
        return pd.Series(
            ["" if pd.isna(text) else str(text) for text in column], dtype=object
        ).to_numpy()
    return column.array
