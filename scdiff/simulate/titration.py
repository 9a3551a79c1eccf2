"""Mix real cells of two kinds at a stated fraction, depth and contamination (titration)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from scdiff.errors import InputError
from scdiff.simulate.truth import DEPTH_SPREAD, assemble, barcodes, check, contaminations

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["keep_markers", "pair_cells", "titrate"]


def titrate(
    positives: AnnData,
    negatives: AnnData,
    *,
    n_cells: int = 3_000,
    fraction: float = 0.05,
    depth: float = 4_000.0,
    contamination: float = 0.0,
    soup_share: float = 0.5,
    seed: int = 0,
) -> AnnData:
    """Mix real cells so that the truth is known.

    Use it for benchmarks: real positive cells (for example, beta cells that express two markers at
    full depth) among real mesenchymal cells. Cells are drawn with replacement if there are too few.
    They are thinned binomially to a depth drawn around ``depth``; a cell with less keeps its depth.
    Ambient RNA replaces a share of their counts. The genes are the union of both sides. A gene
    without a row on one side has count zero there, so use cells of one species, in which a missing
    row really means zero.

    Parameters
    ----------
    positives, negatives
        Cells of both kinds, raw counts in ``X``, unique gene symbols, shape (n, n_genes).
    n_cells
        Number of cells of the mixture.
    fraction
        Share of positive cells, 0-1, exact to one cell.
    depth
        Target of the median UMI per cell; the standard deviation of its logarithm is 0.4.
    contamination
        Mean share of the counts of a cell that is ambient RNA, 0-0.9; its coefficient of variation
        is 0.5.
    soup_share
        Share of the ambient RNA that has the pooled profile of the positives, 0-1; the rest has
        that of the negatives.
    seed
        Start of the random generator, 0 or more.

    Returns
    -------
    Object of shape (n_cells, genes of both) as :func:`scdiff.simulate.simulate` returns it;
    ``obs["truth_source"]`` has the name of the drawn cell, truth_pseudotime is NaN.

    Raises
    ------
    ConfigError
        If an option is out of range.
    InputError
        If a side is needed but empty, has a gene twice, or has values that are not counts.
    """
    options = {
        "n_cells": n_cells,
        "fraction": fraction,
        "depth": depth,
        "contamination": contamination,
        "soup_share": soup_share,
        "seed": seed,
    }
    check("titrate()", options)
    rng = np.random.default_rng(seed)
    genes, sides = _unite_genes({"positives": positives, "negatives": negatives})
    positive = rng.permutation(n_cells) < round(fraction * n_cells)
    source = _draw_sources(positive, (sides[0].shape[0], sides[1].shape[0]), rng)
    cells = sparse.vstack(sides, format="csr")[source]
    target = np.minimum(
        np.rint(rng.lognormal(np.log(depth), DEPTH_SPREAD, n_cells)), _sum_counts(cells)
    ).astype(np.int64)
    rho = contaminations(n_cells, contamination, rng)
    soup = (1 - soup_share) * _pool_profile(sides[1]) + soup_share * _pool_profile(sides[0])
    mixed = _thin(cells, target * (1 - rho), rng) + _draw_soup(rng.binomial(target, rho), soup, rng)
    names = np.concatenate([positives.obs_names, negatives.obs_names])[source]
    return assemble(
        sparse.csr_matrix(mixed, dtype=np.float32), genes, _build_obs(positive, rho, names)
    )


def _build_obs(positive: np.ndarray, rho: np.ndarray, source: np.ndarray) -> pd.DataFrame:
    """Return the truth of every mixed cell."""
    import pandas as pd

    cells = pd.DataFrame(index=barcodes(len(positive)))
    for column, value in (
        ("sample", "titration"),
        ("donor", "titration"),
        ("condition", "treated"),
    ):
        cells[column] = pd.Categorical([value] * len(positive))
    cells["control"] = False
    cells["truth_positive"] = positive
    cells["truth_state"] = pd.Categorical(np.where(positive, "positive", "negative"))
    cells["truth_pseudotime"] = np.nan
    cells["truth_contamination"] = rho
    cells["truth_doublet"] = False
    cells["truth_source"] = source.astype(object)
    return cells


def _check_counts(side: str, adata: AnnData) -> sparse.csr_matrix:
    """Return the raw counts of one side as float64 CSR.

    Raises
    ------
    InputError
        If values are not counts, or a gene occurs twice.
    """
    counts = sparse.csr_matrix(adata.X, dtype=np.float64)
    rounded = np.rint(counts.data)
    if (
        not np.isfinite(counts.data).all()
        or (counts.data < 0).any()
        or not np.allclose(counts.data, rounded, atol=1e-6)
    ):
        raise InputError(
            f"titrate(): X of the {side} has values that are not counts. "
            "Use raw integers, 0 or more."
        )
    if not adata.var_names.is_unique:
        gene = adata.var_names[adata.var_names.duplicated()][0]
        raise InputError(
            f"titrate(): the {side} have gene {gene!r} more than once. Make var_names unique."
        )
    return sparse.csr_matrix((rounded, counts.indices, counts.indptr), shape=counts.shape)


def _unite_genes(sides: dict[str, AnnData]) -> tuple[np.ndarray, list[sparse.csr_matrix]]:
    """Return the union of the genes and the counts of each side on it.

    The genes are in the order of the first side, followed by the other genes of the second.
    """
    genes = list(dict.fromkeys(gene for adata in sides.values() for gene in adata.var_names))
    place = {gene: index for index, gene in enumerate(genes)}
    spread = []
    for side, adata in sides.items():
        counts = _check_counts(side, adata)
        columns = np.array([place[gene] for gene in adata.var_names], dtype=np.int64)
        spread.append(
            sparse.csr_matrix(
                (counts.data, columns[counts.indices], counts.indptr),
                shape=(len(counts.indptr) - 1, len(genes)),
            )
        )
    return np.array(genes), spread


def _draw_sources(
    positive: np.ndarray, available: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Draw the row of the stacked sides (positives first) for each cell.

    Raises
    ------
    InputError
        If cells of a side without cells are needed.
    """
    source = np.empty(len(positive), dtype=np.int64)
    for wanted, side, n_available, offset in (
        (positive, "positives", available[0], 0),
        (~positive, "negatives", available[1], available[0]),
    ):
        n_wanted = int(wanted.sum())
        if n_wanted and not n_available:
            raise InputError(
                f"titrate(): {n_wanted} {side} are needed, but the object has no cells."
            )
        source[wanted] = offset + (
            rng.choice(n_available, n_wanted, replace=n_wanted > n_available) if n_wanted else 0
        )
    return source


def _sum_counts(counts: sparse.csr_matrix) -> np.ndarray:
    """Return the sum of the counts per cell, shape (n_cells,)."""
    return np.asarray(counts.sum(axis=1)).ravel()


def _pool_profile(counts: sparse.csr_matrix) -> np.ndarray:
    """Return the composition of all cells, shape (n_genes,), sum 1; all 0 without counts."""
    summed = np.asarray(counts.sum(axis=0)).ravel()
    return summed / max(summed.sum(), 1)


def _thin(
    counts: sparse.csr_matrix, target: np.ndarray, rng: np.random.Generator
) -> sparse.csr_matrix:
    """Thin the counts binomially so that each cell has ``target`` counts on average.

    No count rises.
    """
    keep = np.clip(target / np.maximum(_sum_counts(counts), 1), 0, 1)
    kept = rng.binomial(counts.data.astype(np.int64), np.repeat(keep, np.diff(counts.indptr)))
    thinned = sparse.csr_matrix(
        (kept.astype(np.float64), counts.indices, counts.indptr), shape=counts.shape
    )
    thinned.eliminate_zeros()
    return thinned


def _draw_soup(
    n_molecules: np.ndarray, soup: np.ndarray, rng: np.random.Generator
) -> sparse.csr_matrix:
    """Draw ``n_molecules`` of each cell from the ambient RNA, shape (n_cells, n_genes)."""
    total = int(n_molecules.sum()) if soup.any() else 0
    cumulative = np.cumsum(soup)
    genes = np.searchsorted(cumulative, rng.random(total) * cumulative[-1], side="right").clip(
        max=len(soup) - 1
    )
    rows = np.repeat(np.arange(len(n_molecules)), n_molecules)[:total]
    return sparse.csr_matrix((np.ones(total), (rows, genes)), shape=(len(n_molecules), len(soup)))


def pair_cells(adata: AnnData, *, rate: float, seed: int = 0) -> AnnData:
    """Return a copy in which some cells are doublets: the counts of another cell are added.

    A doublet is positive if one of its cells is, and the truth of the batch is computed again.
    ``obs["truth_n_cells"]`` and ``obs["truth_n_positive"]`` are the numbers of cells and of
    positive cells of each droplet.

    Parameters
    ----------
    adata
        A titration or a simulated batch, shape (n_cells, n_genes).
    rate
        Share of cells that get a second cell, 0-1.
    seed
        Start of the random generator, 0 or more.

    Raises
    ------
    ConfigError
        If an option is out of range.
    """
    check("pair_cells()", {"rate": rate, "seed": seed})
    rng = np.random.default_rng(seed)
    first = rng.choice(adata.n_obs, round(rate * adata.n_obs), replace=False)
    second = rng.integers(0, adata.n_obs, len(first))
    adder = sparse.csr_matrix(
        (np.ones(len(first), dtype=np.float32), (first, second)), shape=(adata.n_obs, adata.n_obs)
    )
    counts = sparse.csr_matrix(adata.X + adder @ adata.X)
    cells = _pair_obs(adata.obs, first, second, _sum_counts(adata.X))
    return assemble(counts, adata.var_names.to_numpy(), cells)


def _pair_obs(
    obs: pd.DataFrame, first: np.ndarray, second: np.ndarray, totals: np.ndarray
) -> pd.DataFrame:
    """Return the truth of the cells after ``second`` has been added to ``first``."""
    import pandas as pd

    cells = obs.copy()
    positive, state, time, rho = (
        obs[f"truth_{name}"].to_numpy(copy=True)
        for name in ("positive", "state", "pseudotime", "contamination")
    )
    leading = np.where(positive[second] & ~positive[first], second, first)
    weight = totals[first] / np.maximum(totals[first] + totals[second], 1)
    old = rho.copy()
    rho[first] = weight * old[first] + (1 - weight) * old[second]
    state[first], time[first] = state[leading].copy(), time[leading].copy()
    positive[first] = positive[leading].copy()
    cells["truth_positive"], cells["truth_pseudotime"], cells["truth_contamination"] = (
        positive,
        time,
        rho,
    )
    n_cells, n_positive = (
        np.ones(len(obs), dtype=int),
        obs["truth_positive"].to_numpy(dtype=int, copy=True),
    )
    np.add.at(n_cells, first, 1)
    np.add.at(n_positive, first, obs["truth_positive"].to_numpy(dtype=int)[second])
    cells["truth_n_cells"], cells["truth_n_positive"] = n_cells, n_positive
    cells["truth_state"] = pd.Categorical(state)
    cells["truth_doublet"] = obs["truth_doublet"].to_numpy() | np.isin(np.arange(len(obs)), first)
    return cells


def keep_markers(adata: AnnData, *, keep: Sequence[str], markers: Sequence[str]) -> AnnData:
    """Return a copy in which the counts of all ``markers`` except ``keep`` are zero.

    Such cells, made from positive cells and added to the negatives, test that a single marker is
    not enough for a call.

    Parameters
    ----------
    adata
        Cells, counts in ``X``, shape (n_cells, n_genes).
    keep
        Symbols whose counts are kept.
    markers
        Symbols of the signature.

    Raises
    ------
    InputError
        If the object does not have a symbol.
    """
    absent = [gene for gene in (*keep, *markers) if gene not in adata.var_names]
    if absent:
        raise InputError(
            f"keep_markers(): the object has no gene {', '.join(absent)}. Use symbols of var_names."
        )
    copied = adata.copy()
    stays = ~adata.var_names.isin(set(markers) - set(keep))
    counts = sparse.csr_matrix(adata.X).multiply(stays[None, :]).tocsr().astype(np.float32)
    counts.eliminate_zeros()
    copied.X = counts
    return copied
