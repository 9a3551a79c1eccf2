"""normalise: counts to ln(1 + counts per 10,000)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Gt

from scdiff.config import step
from scdiff.steps._common import csr

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["normalise"]


@step
def normalise(adata: AnnData, *, target_sum: Annotated[float, Gt(0)] = 10_000.0) -> None:
    """Scale every cell to the same depth and take the logarithm.

    For clusters, maps and scores. The calls do not use it: they come from the counts and the depth of each cell.

    Parameters
    ----------
    adata
        Cells x genes, with counts.
    target_sum
        Counts per cell after scaling, above 0. The texts of the report assume 10,000.

    Reads
    -----
    layers["counts"]

    Writes
    ------
    X = ln(1 + counts / total * target_sum), CSR, float32; a cell without counts stays zero. uns["log1p"] marks it
    for scanpy.

    Examples
    --------
    >>> import numpy as np
    >>> from anndata import AnnData
    >>> from scipy.sparse import csr_matrix
    >>> adata = AnnData(layers={"counts": csr_matrix([[1, 3], [0, 0]])})
    >>> normalise(adata, target_sum=4)
    >>> np.expm1(adata.X.toarray()).round(5).tolist()
    [[1.0, 3.0], [0.0, 0.0]]
    """
    scaled = csr(adata.layers["counts"]).astype(np.float64, copy=True)
    total = np.asarray(scaled.sum(axis=1)).ravel()
    factor = np.divide(target_sum, total, out=np.zeros_like(total), where=total > 0)
    scaled.data *= np.repeat(factor, np.diff(scaled.indptr))
    np.log1p(scaled.data, out=scaled.data)
    adata.X = scaled.astype(np.float32)
    adata.uns["log1p"] = {}
