"""Titration: real cells of two kinds, mixed at a stated fraction, depth and contamination."""

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

    For benchmarks: real positives (say, beta cells that show two markers at full depth) among real
    mesenchymal cells. Cells are drawn with replacement where there are too few, thinned binomially to a
    depth drawn around ``depth`` (a cell that has less keeps what it has), and a share of their counts is
    replaced by soup. Genes are the union of both sides: a gene without a row on one side counts as zero
    there, so give positives and negatives of one species whose absent rows may honestly mean zero.

    Parameters
    ----------
    positives, negatives
        Cells of either kind, raw counts in ``X``, unique gene symbols, shape (n, n_genes).
    n_cells
        Cells of the mixture.
    fraction
        Share of positives, 0-1, exact to one cell.
    depth
        Median UMI aimed at; the standard deviation of its logarithm is 0.4.
    contamination
        Mean share of a cell's counts that is soup, 0-0.9; its coefficient of variation is 0.5.
    soup_share
        Share of the soup that comes from the positives' pooled profile, 0-1; the rest from the negatives'.
    seed
        Start of the random generator, 0 or more.

    Returns
    -------
    Object of shape (n_cells, genes of both) as :func:`scdiff.simulate.simulate` returns it;
    ``obs["truth_source"]`` names the cell each one was drawn from, truth_pseudotime is NaN.

    Raises
    ------
    ConfigError
        If an option is out of range.
    InputError
        If a side is needed but empty, repeats a gene, or holds anything but counts.
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
    genes, sides = _common_genes({"positives": positives, "negatives": negatives})
    positive = rng.permutation(n_cells) < round(fraction * n_cells)
    source = _sources(positive, (sides[0].shape[0], sides[1].shape[0]), rng)
    cells = sparse.vstack(sides, format="csr")[source]
    target = np.minimum(
        np.rint(rng.lognormal(np.log(depth), DEPTH_SPREAD, n_cells)), _totals(cells)
    ).astype(np.int64)
    rho = contaminations(n_cells, contamination, rng)
    soup = (1 - soup_share) * _pooled(sides[1]) + soup_share * _pooled(sides[0])
    mixed = _thin(cells, target * (1 - rho), rng) + _soup_counts(
        rng.binomial(target, rho), soup, rng
    )
    names = np.concatenate([positives.obs_names, negatives.obs_names])[source]
    return assemble(
        sparse.csr_matrix(mixed, dtype=np.float32), genes, _observations(positive, rho, names)
    )


def _observations(positive: np.ndarray, rho: np.ndarray, source: np.ndarray) -> pd.DataFrame:
    """Truth of every mixed cell."""
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


def _counts(side: str, adata: AnnData) -> sparse.csr_matrix:
    """Raw counts of one side as float64 CSR."""
    counts = sparse.csr_matrix(adata.X, dtype=np.float64)
    rounded = np.rint(counts.data)
    if (
        not np.isfinite(counts.data).all()
        or (counts.data < 0).any()
        or not np.allclose(counts.data, rounded, atol=1e-6)
    ):
        raise InputError(
            f"titrate(): X of the {side} holds values that are no counts; give raw integers from 0 up."
        )
    if not adata.var_names.is_unique:
        raise InputError(
            f"titrate(): the {side} repeat gene {adata.var_names[adata.var_names.duplicated()][0]!r}; make var_names unique first."
        )
    return sparse.csr_matrix((rounded, counts.indices, counts.indptr), shape=counts.shape)


def _common_genes(sides: dict[str, AnnData]) -> tuple[np.ndarray, list[sparse.csr_matrix]]:
    """Union of the genes (in the order of the first side, then the others), and the counts of each side on it."""
    genes = list(dict.fromkeys(gene for adata in sides.values() for gene in adata.var_names))
    place = {gene: index for index, gene in enumerate(genes)}
    spread = []
    for side, adata in sides.items():
        counts = _counts(side, adata)
        columns = np.array([place[gene] for gene in adata.var_names], dtype=np.int64)
        spread.append(
            sparse.csr_matrix(
                (counts.data, columns[counts.indices], counts.indptr),
                shape=(len(counts.indptr) - 1, len(genes)),
            )
        )
    return np.array(genes), spread


def _sources(
    positive: np.ndarray, available: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Row of the stacked sides (positives first) that each cell is drawn from."""
    source = np.empty(len(positive), dtype=np.int64)
    for wanted, side, n_available, offset in (
        (positive, "positives", available[0], 0),
        (~positive, "negatives", available[1], available[0]),
    ):
        n_wanted = int(wanted.sum())
        if n_wanted and not n_available:
            raise InputError(
                f"titrate(): {n_wanted} {side} are wanted, but there are none to draw from."
            )
        source[wanted] = offset + (
            rng.choice(n_available, n_wanted, replace=n_wanted > n_available) if n_wanted else 0
        )
    return source


def _totals(counts: sparse.csr_matrix) -> np.ndarray:
    """Sum the counts per cell, shape (n_cells,)."""
    return np.asarray(counts.sum(axis=1)).ravel()


def _pooled(counts: sparse.csr_matrix) -> np.ndarray:
    """Composition of all cells together, shape (n_genes,), sums to 1 (0 where there are no counts)."""
    summed = np.asarray(counts.sum(axis=0)).ravel()
    return summed / max(summed.sum(), 1)


def _thin(
    counts: sparse.csr_matrix, target: np.ndarray, rng: np.random.Generator
) -> sparse.csr_matrix:
    """Keep each molecule with the chance that brings its cell to ``target`` on average; no count ever rises."""
    keep = np.clip(target / np.maximum(_totals(counts), 1), 0, 1)
    kept = rng.binomial(counts.data.astype(np.int64), np.repeat(keep, np.diff(counts.indptr)))
    thinned = sparse.csr_matrix(
        (kept.astype(np.float64), counts.indices, counts.indptr), shape=counts.shape
    )
    thinned.eliminate_zeros()
    return thinned


def _soup_counts(
    n_molecules: np.ndarray, soup: np.ndarray, rng: np.random.Generator
) -> sparse.csr_matrix:
    """Draw ``n_molecules`` of each cell from the soup, shape (n_cells, n_genes)."""
    total = int(n_molecules.sum()) if soup.any() else 0
    cumulative = np.cumsum(soup)
    genes = np.searchsorted(cumulative, rng.random(total) * cumulative[-1], side="right").clip(
        max=len(soup) - 1
    )
    rows = np.repeat(np.arange(len(n_molecules)), n_molecules)[:total]
    return sparse.csr_matrix((np.ones(total), (rows, genes)), shape=(len(n_molecules), len(soup)))


def pair_cells(adata: AnnData, *, rate: float, seed: int = 0) -> AnnData:
    """Return a copy in which some cells are doublets: another cell's counts are added to theirs.

    A doublet is positive where either cell is, so the truth of the batch is summed up anew;
    ``obs["truth_n_cells"]`` and ``obs["truth_n_positive"]`` count the cells of each droplet, all and positive.

    Parameters
    ----------
    adata
        A titration or a simulated batch, shape (n_cells, n_genes).
    rate
        Share of cells that get a second one, 0-1.
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
    cells = _paired(adata.obs, first, second, _totals(adata.X))
    return assemble(counts, adata.var_names.to_numpy(), cells)


def _paired(
    obs: pd.DataFrame, first: np.ndarray, second: np.ndarray, totals: np.ndarray
) -> pd.DataFrame:
    """Truth of the cells after ``second`` has been added to ``first``."""
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
    """Return a copy with the counts of all ``markers`` but ``keep`` set to zero: cells of a single marker.

    Made from positives and put among the negatives, such cells test that one marker alone is not enough.

    Parameters
    ----------
    adata
        Cells, counts in ``X``, shape (n_cells, n_genes).
    keep
        Symbols that stay.
    markers
        Symbols of the signature.

    Raises
    ------
    InputError
        If a symbol has no row.
    """
    absent = [gene for gene in (*keep, *markers) if gene not in adata.var_names]
    if absent:
        raise InputError(
            f"keep_markers(): {', '.join(absent)} has no row in the object; name genes of var_names."
        )
    copied = adata.copy()
    stays = ~adata.var_names.isin(set(markers) - set(keep))
    counts = sparse.csr_matrix(adata.X).multiply(stays[None, :]).tocsr().astype(np.float32)
    counts.eliminate_zeros()
    copied.X = counts
    return copied
