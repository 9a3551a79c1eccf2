"""The door ``adata.scdiff``: registered with anndata as soon as both are there, and never by importing anndata."""

from __future__ import annotations

import sys
from importlib import import_module

__all__ = ["register"]

NAMESPACE = "scdiff.report.namespace"


def register() -> None:
    """Register ``adata.scdiff`` where anndata is imported already; do nothing where it is not.

    Importing anndata takes seconds, which the command must not spend before it is needed. Whoever holds an AnnData has
    imported anndata, so every function of scdiff calls this.
    """
    if NAMESPACE not in sys.modules and hasattr(
        sys.modules.get("anndata"), "register_anndata_namespace"
    ):
        import_module(NAMESPACE)
