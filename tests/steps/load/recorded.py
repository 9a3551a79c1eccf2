"""An object as ``load`` leaves it, for tests that draw counts themselves; the record is made by the package, never by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from anndata import AnnData

from scdiff.compute.blocks import get_counts
from scdiff.steps.load.join import Part, join_parts
from scdiff.steps.load.source import Layout, Source
from scdiff.steps.load.table import Table


def as_loaded(adata: AnnData, species: Literal["human", "mouse"] = "human") -> AnnData:
    """Give an object the record of its input, as ``load`` writes it, and return it.

    ``scdiff.pp.prepare`` does this for objects of a user; it refuses gene names that no species has, and many tests make theirs up.

    Parameters
    ----------
    adata
        Cells x genes, with ``layers["counts"]``; ``obs["sample"]`` where there is one.
    """
    samples = (
        adata.obs["sample"].astype(str)
        if "sample" in adata.obs
        else np.repeat("sample", adata.n_obs)
    )
    sources = tuple(
        Source(name, Path("test"), Layout.OBJECT, (), name) for name in dict.fromkeys(samples)
    )
    names = np.asarray(adata.var_names, dtype=object)
    table = Table(get_counts(adata), np.asarray(adata.obs_names, dtype=object), names, names)
    part = Part(sources, table, np.asarray(samples, dtype=object))
    made = join_parts([part], species=species, notes=(), hashes=lambda _files: "")
    adata.uns["scdiff"] = {"input": made.uns["scdiff"]["input"]}
    return adata
