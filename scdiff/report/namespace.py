"""``adata.scdiff``: the result of an object, as an attribute of the object.

Importing this module registers the name with anndata. :func:`scdiff.accessor.register` imports it
as soon as anndata is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from anndata import AnnData, register_anndata_namespace

from scdiff.report import columns
from scdiff.report import report as write_report
from scdiff.report.card import card_html, card_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ScdiffNamespace"]


class ScdiffNamespace:
    """Results of scdiff for an object; a notebook shows them as a card.

    ``adata.scdiff`` exists once anndata and scdiff are both imported: import scanpy or anndata
    before scdiff, or call any function of scdiff first.

    Parameters
    ----------
    adata
        Cells x genes, prepared or not.

    Examples
    --------
    >>> import scdiff
    >>> adata = scdiff.simulate.simulate(n_cells=60, seed=1)
    >>> scdiff.pp.prepare(adata)
    >>> adata.scdiff
    Ready. Next: scdiff.tl.call(adata)
    """

    def __init__(self, adata: AnnData) -> None:
        self._adata = adata

    def __repr__(self) -> str:
        return card_text(self._adata)

    def _repr_html_(self) -> str:
        return card_html(self._adata)

    def obs_df(self, keys: Sequence[str] = (), *, program: str | None = None) -> pd.DataFrame:
        """Return results as columns; see :func:`scdiff.get.obs_df`."""
        return columns.obs_df(self._adata, keys, program=program)

    def fractions(
        self, *, program: str | None = None, state: str | None = None, sample: str | None = None
    ) -> pd.DataFrame:
        """Return rows of the table of fractions; see :func:`scdiff.get.fractions`."""
        return columns.fractions(self._adata, program=program, state=state, sample=sample)

    def report(
        self, out: Path | str, *, cluster_key: str | None = None, use_rep: str | None = None
    ) -> None:
        """Write the report as one page or as a folder; see ``scdiff.report``."""
        write_report(self._adata, out=Path(out), cluster_key=cluster_key, use_rep=use_rep)


if not hasattr(AnnData, "scdiff"):
    register_anndata_namespace("scdiff")(ScdiffNamespace)
