"""Genes along the way: the course of the genes of the programme, and genes that follow the fate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.compute.arrays import ROUNDING, split_rows
from scdiff.compute.blocks import arrays, read_rows
from scdiff.compute.kernels import moment_sums

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["compute_gene_trends", "find_drivers"]

N_BINS = 10
"""Bins of equal length along the way, before small ones are joined. Chosen, not tuned."""
FEWEST_IN_BIN = 20
"""Cells that a bin, or a donor in a correlation, needs. Chosen, not tuned."""
N_DRIVERS = 50
"""Genes in the list of drivers. Chosen, not tuned."""
DIGITS = 9
"""Decimals of a level: later ones depend on the order of a sum."""


def compute_gene_trends(
    sums: Mapping[str, np.ndarray], depth: np.ndarray, place: np.ndarray
) -> pd.DataFrame:
    """Compute the level of each gene along the way, in ten bins of equal length.

    Neighbouring bins are joined until each holds twenty cells.

    Parameters
    ----------
    sums
        Raw counts of each gene (or marker) in every cell, shape (n_cells,) each.
    depth
        Counts of each cell, shape (n_cells,).
    place
        Position on the way, or pseudotime, NaN if unknown, shape (n_cells,); values outside 0-1
        count as the nearer end.

    Returns
    -------
    One row per gene and bin: gene, place (mean of the bin), n_cells, cp10k (counts per 10,000 of
    all cells of the bin, pooled), low, high: 95 % interval by the spread between the cells (ratio
    estimator), at least 0.
    """
    import pandas as pd

    known = np.flatnonzero(np.isfinite(place))
    inside = np.clip(place[known], 0.0, 1.0)
    bins = _assign_bins(inside)
    rows = []
    for gene, counts in sums.items():
        for number in range(bins.max(initial=-1) + 1):
            cells = known[bins == number]
            middle = round(float(inside[bins == number].mean()), DIGITS)
            rows.append((gene, middle, *_measure_level(counts[cells], depth[cells])))
    return pd.DataFrame(rows, columns=["gene", "place", "n_cells", "cp10k", "low", "high"])


def _measure_level(counts: np.ndarray, depth: np.ndarray) -> tuple[int, float, float, float]:
    """Return number of cells, pooled counts per 10,000, and the interval.

    The error is at least that of one count.
    """
    total = max(float(depth.sum()), 1.0)
    level = counts.sum() / total
    error = max(float(np.sqrt(((counts - level * depth) ** 2).sum())), 1.0) / total
    low, high = (round(max(0.0, level + side * 1.96 * error) * 1e4, DIGITS) for side in (-1, 1))
    return len(counts), round(float(level) * 1e4, DIGITS), low, high


def _assign_bins(place: np.ndarray) -> np.ndarray:
    """Return the number of the bin of each cell, early to late; shape (n_cells,)."""
    number = np.minimum((place * N_BINS).astype(int), N_BINS - 1)
    sizes = np.bincount(number, minlength=N_BINS)
    new, current, held = np.zeros(N_BINS, dtype=int), 0, 0
    for step, size in enumerate(sizes):
        new[step] = current
        held += size
        if held >= FEWEST_IN_BIN and sizes[step + 1 :].sum() >= FEWEST_IN_BIN:
            current, held = current + 1, 0
    return np.asarray(new[number])


def find_drivers(
    values: Any,
    fate: np.ndarray,
    names: Sequence[str],
    allowed: np.ndarray,
    donors: np.ndarray,
    order: np.ndarray,
) -> pd.DataFrame:
    """Find genes whose level follows the fate.

    Genes by which the neighbours were found or the cells called are left out. Cells of a donor are
    not independent evidence; donors are. The p-value is from Student's t-test over the correlations
    of the donors, with three donors or more; with fewer it is NaN, and the list is only a ranking.

    Parameters
    ----------
    values
        Log-normalised levels, cells x genes, as :func:`scdiff.compute.blocks.get_values` returns
        them.
    fate
        Probability of the positive end, NaN if unknown; shape (n_cells,).
    names
        Names of the genes.
    allowed
        Genes that had no part in the path; shape (n_genes,).
    donors
        Donor (or sample) of each cell, shape (n_cells,).
    order
        Cells in the order of their names.

    Returns
    -------
    At most 50 genes, by falling size of the correlation: correlation (mean over donors), n_donors,
    same_sign, p_value, q_value (Benjamini-Hochberg over all allowed genes).
    """
    import pandas as pd
    from scipy.stats import false_discovery_control

    known = order[np.isfinite(fate[order])]
    groups = [known[donors[known] == donor] for donor in np.unique(donors[known])]
    found = [
        _correlate(values, fate, cells)
        for cells in groups
        if len(cells) >= FEWEST_IN_BIN and np.ptp(fate[cells]) > 0
    ]
    columns = ["correlation", "n_donors", "same_sign", "p_value", "q_value"]
    if not found or not allowed.any():
        return pd.DataFrame(columns=columns, index=pd.Index([], dtype=object, name="gene"))
    each = np.array(found)[:, allowed]
    mean = each.mean(axis=0).round(DIGITS)
    genes = np.asarray(names, dtype=object)[allowed]
    best = np.lexsort((genes.astype(str), -np.abs(mean)))[: min(N_DRIVERS, int((mean != 0).sum()))]
    same_sign = (np.sign(each) == np.sign(each[0])).all(axis=0)
    table = pd.DataFrame({"correlation": mean, "n_donors": len(each), "same_sign": same_sign})
    table["p_value"] = _test_correlations(each)
    table["q_value"] = false_discovery_control(table["p_value"]) if len(each) > 2 else np.nan
    return table.set_axis(pd.Index(genes, dtype=object, name="gene")).iloc[best]


def _correlate(values: Any, fate: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Return the correlation of every gene with the rank of the fate; shape (n_genes,).

    0 for a gene that does not vary.
    """
    from scipy.stats import rankdata

    rank = rankdata(fate[cells])
    rank = (rank - rank.mean()) / rank.std()
    sums = np.zeros((3, values.shape[1]))
    for chunk in split_rows(np.arange(len(cells))):
        part = read_rows(values, cells[chunk])
        sums += moment_sums(*arrays(part), rank[chunk], values.shape[1])
    covariance, total, squares = sums
    spread = np.sqrt(np.maximum(squares * len(cells) - total**2, 0.0))
    varies = spread**2 > ROUNDING * squares * len(cells)
    return np.asarray(np.divide(covariance, spread, out=np.zeros_like(covariance), where=varies))


def _test_correlations(each: np.ndarray) -> np.ndarray:
    """Return p-values of Student's t over Fisher-transformed correlations of the donors.

    NaN with fewer than three donors, 1 for a gene that never varies.
    """
    from scipy.stats import ttest_1samp

    if len(each) < 3:
        return np.full(each.shape[1], np.nan)
    with np.errstate(all="ignore"):
        found = ttest_1samp(np.arctanh(np.clip(each, -0.999, 0.999)), 0.0).pvalue
    return np.asarray(np.nan_to_num(found, nan=1.0).round(DIGITS))
