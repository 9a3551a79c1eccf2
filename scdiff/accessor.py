"""Registration of ``adata.scdiff`` with anndata, without importing anndata."""

from __future__ import annotations

import sys
from importlib import import_module

__all__ = ["register"]

NAMESPACE = "scdiff.report.namespace"
"""Module that registers ``adata.scdiff`` when it is imported."""


def register() -> None:
    """Register ``adata.scdiff`` if anndata is already imported, else do nothing.

    Importing anndata takes seconds, and the command must start fast. A user who has an AnnData has
    imported anndata, so every front of scdiff calls this function when a name is first used.
    """
    if NAMESPACE not in sys.modules and hasattr(
        sys.modules.get("anndata"), "register_anndata_namespace"
    ):
        import_module(NAMESPACE)
