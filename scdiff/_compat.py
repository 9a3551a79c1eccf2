"""What differs between the supported versions of anndata and pandas, in one place.

Python 3.11 comes with anndata 0.12 and pandas 2, Python 3.13 with anndata 0.13 and pandas 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["layer_names", "plain_text"]


def layer_names(adata: AnnData) -> list[str]:
    """Names of the layers; anndata 0.13 lists ``None`` (the matrix X) among them."""
    return [name for name in adata.layers if name is not None]


def plain_text(frame: pd.DataFrame) -> pd.DataFrame:
    """Copy of ``frame`` with its index and columns of text as plain Python strings.

    pandas 3 stores text in a nullable type, which older readers of h5ad refuse.

    >>> import pandas as pd
    >>> plain_text(pd.DataFrame({"a": pd.array(["x"], dtype="string")})).dtypes.tolist()
    [dtype('O')]
    """
    import pandas as pd

    result = frame.copy()
    for name in result.columns:
        if pd.api.types.is_string_dtype(result[name].dtype):
            result[name] = pd.Series(result[name].to_numpy(dtype=object), index=result.index, dtype=object)
    if pd.api.types.is_string_dtype(result.index.dtype):
        result.index = pd.Index(result.index.to_numpy(dtype=object), dtype=object, name=result.index.name)
    return result
