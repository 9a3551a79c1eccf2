"""Check options, draw barcodes and record the truth, for simulated batches and titrations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from scdiff.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from scipy import sparse

__all__ = ["assemble", "barcodes", "check", "contaminations", "truth_of"]

DEPTH_SPREAD = 0.4
"""Standard deviation of ln(UMI per cell). Chosen, not tuned."""

_SHAPE = 4.0
"""Shape of the gamma distribution of contamination; its coefficient of variation is 0.5. Chosen,
not tuned."""

_MAX = 0.9
"""Highest contamination of a cell, 0-1. Chosen, not tuned."""

_RANGES: dict[str, tuple[float, float]] = {
    "n_cells": (1, 5_000_000),
    "fraction": (0, 1),
    "depth": (1, 1_000_000),
    "contamination": (0, 0.9),
    "soup_share": (0, 1),
    "seed": (0, 2**63),
    "rate": (0, 1),
    "n_genes": (400, 60_000),
    "soup_islet_share": (0, 1),
    "doublet_rate": (0, 1),
    "donors": (1, 1_000),
    "controls": (0, 1_000),
    "donor_cv": (0, 2),
    "continuum": (0, 100),
    "nuisance": (0, 1),
    "n_empty": (0, 5_000_000),
}
"""Lowest and highest allowed value of each option."""


def check(where: str, options: Mapping[str, float]) -> None:
    """Raise an error for the first option outside its range.

    Raises
    ------
    ConfigError
        If an option is out of range; the message states its value and its range.
    """
    for name, value in options.items():
        low, high = _RANGES[name]
        if not low <= value <= high:
            raise ConfigError(
                f"{where}: option {name!r} is {value}, "
                f"but it must lie between {low:g} and {high:g}."
            )


def contaminations(n_cells: int, mean: float, rng: np.random.Generator) -> np.ndarray:
    """Draw the share of ambient RNA of each cell.

    A gamma distribution around ``mean`` with coefficient of variation 0.5, at most 0.9.
    """
    return np.minimum(rng.gamma(_SHAPE, mean / _SHAPE, n_cells), _MAX)


def barcodes(n_cells: int) -> list[str]:
    """Return ``n_cells`` different barcodes in the style of 10x."""
    numbers = (
        np.arange(n_cells, dtype=np.uint64) * np.uint64(2_654_435_761) + np.uint64(1_013_904_223)
    ) % np.uint64(4**16)
    digits = (numbers[:, None] >> (2 * np.arange(16, dtype=np.uint64))) & np.uint64(3)
    return ["".join(row) + "-1" for row in np.array(list("ACGT"))[digits.astype(int)]]


def truth_of(cells: pd.DataFrame) -> dict[str, object]:
    """Summarise ``truth_positive`` per sample and overall.

    Empty droplets do not count. Control samples have a row, but do not count in the overall
    fraction.
    """
    import pandas as pd

    with_cells = cells[cells["truth_state"] != "empty"]
    groups = with_cells.groupby("sample", observed=True)
    columns = {
        "n_cells": groups.size().astype(int),
        "n_positive": groups["truth_positive"].sum().astype(int),
        "fraction": groups["truth_positive"].mean().astype(float),
        "control": groups["control"].first().astype(bool),
    }
    table = pd.DataFrame(columns)
    table.index = table.index.astype(str).astype(object)
    treated = with_cells[~with_cells["control"]]["truth_positive"]
    n_positive = int(treated.sum())
    return {
        "fraction": n_positive / max(len(treated), 1),
        "n_positive": n_positive,
        "n_cells": len(treated),
        "samples": table,
    }


def assemble(counts: sparse.csr_matrix, genes: np.ndarray, cells: pd.DataFrame) -> AnnData:
    """Return counts, genes and cells as the object of a user, with the truth in ``uns``."""
    import pandas as pd
    from anndata import AnnData

    table = pd.DataFrame({"gene_id": genes}, index=genes).astype(object)
    return AnnData(
        X=counts,
        obs=cells,
        var=table,
        layers={"counts": counts.copy()},
        uns={"truth": truth_of(cells)},
    )
