"""The checked table of one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from scdiff.steps.load.source import Source
from scdiff.steps.load.table import Table

__all__ = ["Part"]


@dataclass(frozen=True)
class Part:
    """The checked table of one file, and the sources that its cells belong to.

    Parameters
    ----------
    sources
        Samples of the file; one, or one for each label.
    table
        Counts, canonical CSR of exact integers.
    samples
        Name of the sample of each cell, shape (n_cells,).
    soups
        Sample -> counts of its empty droplets for the genes of the table, shape (n_genes,).
    """

    sources: tuple[Source, ...]
    table: Table
    samples: np.ndarray
    soups: Mapping[str, np.ndarray] = field(default_factory=dict)
