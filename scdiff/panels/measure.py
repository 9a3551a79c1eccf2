"""Measure each gene on labelled cells: level, leak into other labels, behaviour in ambient RNA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scipy.stats import nbinom

from scdiff.assay.priors import HIGHEST_LEVEL, LEVEL_MIN, ON_SIZE

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CONTAMINATION",
    "FEWEST_CELLS",
    "FROM_TARGET",
    "PSEUDOCELLS",
    "SHAPE",
    "count_threshold",
    "measure_genes",
    "soup_profile",
]

CONTAMINATION = 0.05
"""Share of ambient RNA in the counts that a panel must withstand. Chosen, not tuned: a usual 10x
batch."""
FROM_TARGET = 0.1
"""Share of the ambient RNA that comes from target cells. Chosen, not tuned; as in ``plan``."""
SHAPE = 4.0
"""Shape of the gamma distribution of the contamination; as in the titration."""
FEWEST_CELLS = 10
"""Fewest cells of a donor, or of a label, that give it a number of its own. Chosen, not tuned."""
PSEUDOCELLS = 20
"""Cells with the mean leak that are added to each label, so that a label of few cells is not the
worst one by chance. Chosen, not tuned."""


def count_threshold(level: Any, depth: Any) -> Any:
    """Compute from how many counts a cell counts as expressing: a tenth of the level, at least 1.

    Parameters
    ----------
    level
        Level in expressing cells, share of the counts.
    depth
        Counts of the cell.
    """
    return np.maximum(1.0, LEVEL_MIN * np.asarray(level) * np.asarray(depth))


def soup_profile(counts: sparse.csr_matrix, depth: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the share of each gene in ambient RNA of which a tenth comes from target cells.

    Parameters
    ----------
    counts
        Shape (n_cells, n_units).
    depth
        Counts of each cell, shape (n_cells,).
    target
        Mask of the target cells.
    """
    profiles = [
        np.asarray(counts[cells].sum(axis=0)).ravel() / max(depth[cells].sum(), 1.0)
        for cells in (target, ~target)
    ]
    return FROM_TARGET * profiles[0] + (1 - FROM_TARGET) * profiles[1]


def measure_genes(
    counts: sparse.csr_matrix,
    depth: np.ndarray,
    labels: np.ndarray,
    donors: np.ndarray,
    *,
    target: str,
    names: list[str],
) -> pd.DataFrame:
    """Return one row per gene.

    Parameters
    ----------
    counts
        Shape (n_cells, n_units).
    depth, labels, donors
        Counts, label and donor of each cell, shape (n_cells,).
    target
        The target label.
    names
        Names of the units.

    Returns
    -------
    ``detected``: share of target cells with a count; ``expressed``: the same, corrected for
    dropout; ``level_cp10k``: level in expressing cells; ``dispersion``: squared CV of the level
    over target cells; ``donor_cv``: CV of the mean over donors, NaN if unknown; ``sensitivity``:
    share of target cells that count as expressing; ``worst_leak``, ``worst_label``, ``mean_leak``:
    share of the cells of other labels that do (20 cells with the mean share are added to each
    label for the worst one); ``ambient``: share of contaminated negative cells
    that do. Shares 0-1.
    """
    import pandas as pd

    inside = labels == target
    table = _measure_levels(counts[inside], depth[inside])
    level = table["level_cp10k"].to_numpy() / 1e4
    shares = _count_expressing(counts, depth, labels, level)
    other = shares.drop(index=target)
    sizes = pd.Series(labels).value_counts().loc[other.index].to_numpy()[:, None]
    worst = (sizes * other + PSEUDOCELLS * other.mean()) / (sizes + PSEUDOCELLS)
    table["donor_cv"] = _compare_donors(counts[inside], depth[inside], donors[inside])
    table["sensitivity"] = shares.loc[target].to_numpy()
    table["worst_leak"], table["mean_leak"] = worst.max().to_numpy(), other.mean().to_numpy()
    table["worst_label"] = worst.index.to_numpy()[worst.to_numpy().argmax(axis=0)]
    typical = float(np.median(depth))
    soup = soup_profile(counts, depth, inside)
    table["background_cp10k"] = 1e4 * (
        CONTAMINATION * soup + _mean_rate(counts, depth, labels, target)
    )
    expected = typical * CONTAMINATION * soup
    limit = np.ceil(count_threshold(level, typical))
    table["ambient"] = nbinom.sf(limit - 1, SHAPE, SHAPE / (SHAPE + expected))
    table.index = pd.Index(names, name="gene")
    return table


def _measure_levels(counts: sparse.csr_matrix, depth: np.ndarray) -> pd.DataFrame:
    """Measure the level of each gene in target cells, with the counting noise removed.

    An expressing cell is assumed to vary as the prior of the assay says: the second moment then
    distinguishes few cells with a high level from many with a low one.
    """
    import pandas as pd

    n_cells = max(counts.shape[0], 1)
    detected = np.asarray((counts > 0).sum(axis=0)).ravel() / n_cells
    squares = counts.multiply(counts)
    mean = np.asarray(counts.sum(axis=0)).ravel() / max(depth.sum(), 1.0)
    second = np.asarray((squares - counts).sum(axis=0)).ravel() / max((depth**2).sum(), 1.0)
    spread = second / np.maximum(mean, 1e-12) ** 2
    level = np.clip(
        second / np.maximum(mean, 1e-12) / (1 + np.exp(-ON_SIZE)),
        mean,
        mean / np.maximum(detected, 1 / n_cells),
    ).clip(1e-7, HIGHEST_LEVEL)
    return pd.DataFrame(
        {
            "detected": detected,
            "expressed": np.minimum(mean / level, 1.0),
            "level_cp10k": level * 1e4,
            "dispersion": np.maximum(spread - 1, 0.0),
        }
    )


def _count_expressing(
    counts: sparse.csr_matrix, depth: np.ndarray, labels: np.ndarray, level: np.ndarray
) -> pd.DataFrame:
    """Return the share of expressing cells by label and gene, shape (n_labels, n_units)."""
    import pandas as pd

    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    expressing = counts.data >= count_threshold(level[counts.indices], depth[rows])
    names, group = np.unique(labels, return_inverse=True)
    place = group[rows[expressing]] * counts.shape[1] + counts.indices[expressing]
    cells = np.bincount(place, minlength=len(names) * counts.shape[1])
    shares = cells.reshape(len(names), -1) / np.bincount(group)[:, None]
    return pd.DataFrame(shares, index=names)


def _mean_rate(
    counts: sparse.csr_matrix, depth: np.ndarray, labels: np.ndarray, target: str
) -> np.ndarray:
    """Compute the mean over the other labels of the share of each gene, shape (n_units,)."""
    rates = [
        np.asarray(counts[labels == name].sum(axis=0)).ravel() / depth[labels == name].sum()
        for name in np.unique(labels)
        if name != target
    ]
    return np.mean(rates, axis=0)


def _compare_donors(
    counts: sparse.csr_matrix, depth: np.ndarray, donors: np.ndarray
) -> np.ndarray | float:
    """Compute the CV of the mean level over donors, shape (n_units,); NaN below two donors."""
    names, sizes = np.unique(donors[donors != ""], return_counts=True)
    used = names[sizes >= FEWEST_CELLS]
    if len(used) < 2:
        return np.nan
    means = np.array(
        [
            np.asarray(counts[donors == name].sum(axis=0)).ravel() / depth[donors == name].sum()
            for name in used
        ]
    )
    return means.std(axis=0, ddof=1) / np.maximum(means.mean(axis=0), 1e-12)
