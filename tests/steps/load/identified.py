"""Six genes with their ids, and what a load said."""

from __future__ import annotations

import anndata

IDS = {
    "INS": "ENSG00000254647",
    "PDX1": "ENSG00000139515",
    "NKX6-1": "ENSG00000163623",
    "ACTB": "ENSG00000075624",
    "VIM": "ENSG00000026025",
    "GAPDH": "ENSG00000111640",
}


def said(adata: anndata.AnnData) -> str:
    """All notes and repairs."""
    record = adata.uns["scdiff"]["input"]
    return " | ".join([*record["notes"], *record["repairs"]])
