"""Doublets found by the scrublet method, one sample at a time, in the order of the cell names.

The method is computed with the functions of this package: scanpy's version takes ten times longer
and as much memory (``make bench-passes``; figures in ``tests/benchmarks/README.md``).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scdiff.compute.arrays import sort_names
from scdiff.compute.blocks import (
    TARGET,
    LogNormalised,
    get_counts,
    is_lazy,
    measure_cells,
    read_rows,
)
from scdiff.compute.moments import gene_moments, normalise_dispersion
from scdiff.compute.nearest import nearest
from scdiff.compute.parallel import each, many
from scdiff.compute.pca import Components

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from scipy.sparse import csr_matrix

__all__ = ["Doublets", "find_doublets", "skip_doublets"]

log = logging.getLogger(__name__)

MIN_CELLS = 100
"""Cells that a sample needs for scores; smaller samples have too few neighbours."""
MIN_GENES = 50
"""Genes that the matrix needs for scores. Chosen, not tuned."""
MOST = 0.3
"""Largest share of a sample that a threshold may flag, 0-1; above it the threshold is wrong."""
N_PCS = 30
"""Number of principal components, as in scrublet."""
N_GENES = 2_000
"""Number of variable genes. Chosen, not tuned."""
N_SIMULATED = 1
"""Simulated doublets per cell.

Two, as in scrublet, find no more and take twice the time (tests/benchmarks/README.md, speed).
"""
NEIGHBOURS_PER_ROOT = 0.5
"""Neighbours per square root of the number of cells, as in scrublet."""
RATE = 0.05
"""Expected share of doublets, 0-1; it moves the scores, but not their order."""


@dataclass(frozen=True)
class Doublets:
    """Scores and calls of scrublet.

    Parameters
    ----------
    scores
        Shape (n_cells,), 0-1, NaN if not computable.
    called
        Shape (n_cells,).
    samples
        Sample of every cell, shape (n_cells,).
    thresholds
        Score above which a cell is called, by sample; a sample without a threshold is missing.
    notes
        Sentences about what could not be computed.
    """

    scores: np.ndarray
    called: np.ndarray
    samples: np.ndarray
    thresholds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def table(self, samples: pd.Index) -> pd.DataFrame:
        """Return the number of scored and flagged cells by sample, with the threshold."""
        import pandas as pd

        scored = {name: np.isfinite(self.scores[self.samples == name]).sum() for name in samples}
        flagged = {name: self.called[self.samples == name].sum() for name in samples}
        limit = {name: self.thresholds.get(name, np.nan) for name in samples}
        return pd.DataFrame(
            {"n_scored": scored, "n_flagged": flagged, "threshold": limit}, index=samples
        )


def skip_doublets(samples: pd.Series) -> Doublets:
    """Return a result without scores and calls, for a skipped search."""
    names = samples.astype(str).to_numpy()
    scores, called = np.full(len(names), np.nan), np.zeros(len(names), dtype=bool)
    return Doublets(
        scores,
        called,
        names,
        notes=["Doublets were not searched for, because doublets is set to skip."],
    )


def find_doublets(adata: AnnData, samples: pd.Series, whole: np.ndarray, seed: int) -> Doublets:
    """Score the ``whole`` cells of every sample; other cells keep NaN and are not called."""
    found = Doublets(
        np.full(adata.n_obs, np.nan),
        np.zeros(adata.n_obs, dtype=bool),
        samples.astype(str).to_numpy(),
    )
    names = [str(name) for name in samples.cat.categories]
    groups = [np.flatnonzero((found.samples == name) & whole) for name in names]
    scored = _score_samples(adata, groups, seed)
    for name, rows, answer in zip(names, groups, scored, strict=True):
        _record_sample(name, rows, answer, found)
    return found


def _score_samples(
    adata: AnnData, groups: list[np.ndarray], seed: int
) -> list[tuple[np.ndarray, float] | str]:
    """Score the cells of each sample: in processes, or by dask if it holds the counts."""
    counts, cells, genes = (
        get_counts(adata),
        np.asarray(adata.obs_names, dtype=str),
        sort_names(adata.var_names),
    )
    if not is_lazy(counts):
        return each(
            lambda rows: _score_sample(read_rows(counts, rows), cells[rows], genes, seed),
            groups,
            worthwhile=many(adata),
        )
    import dask

    def delay(rows: np.ndarray) -> Any:
        if not len(rows):
            return dask.delayed(_score_sample)(counts[:0].compute(), cells[rows], genes, seed)
        part = counts[rows].rechunk((len(rows), -1)).to_delayed().ravel()[0]
        return dask.delayed(_score_sample)(part, cells[rows], genes, seed)

    return list(dask.compute(*(delay(rows) for rows in groups)))


def _score_sample(
    counts: csr_matrix, cells: np.ndarray, genes: np.ndarray, seed: int
) -> tuple[np.ndarray, float] | str:
    """Return scores and threshold of the cells of one sample, or why they are missing."""
    n_cells, n_genes = counts.shape
    if n_cells < MIN_CELLS or n_genes < MIN_GENES:
        return (
            f"{n_cells} cells, {n_genes} genes; "
            f"at least {MIN_CELLS} cells and {MIN_GENES} genes are needed"
        )
    order = sort_names(cells.tolist())
    try:
        scores, threshold = _scrublet(counts[order], genes, seed)
    except (ValueError, IndexError, ZeroDivisionError, np.linalg.LinAlgError) as error:
        return f"scrublet failed: {' '.join(str(error).split())}"
    return scores[np.argsort(order)], threshold


def _record_sample(
    sample: str, rows: np.ndarray, answer: tuple[np.ndarray, float] | str, found: Doublets
) -> None:
    """Write scores, calls and threshold, or the reason for their absence, into ``found``."""
    if isinstance(answer, str):
        found.notes.append(f"Sample {sample}: doublets are not scored ({answer}).")
        return
    scores, threshold = answer
    found.scores[rows] = scores
    called = scores > threshold  # false where the threshold is NaN
    if np.isnan(threshold):
        found.notes.append(
            f"Sample {sample}: scrublet found no threshold between singlets and doublets; "
            "no cell is flagged."
        )
    elif called.mean() > MOST:
        found.notes.append(
            f"Sample {sample}: the threshold of scrublet would flag {called.mean():.0%} "
            "of the cells; no cell is flagged."
        )
    else:
        found.thresholds[sample] = threshold
        found.called[rows] = called


def _scrublet(counts: csr_matrix, genes: np.ndarray, seed: int) -> tuple[np.ndarray, float]:
    """Return scores and threshold of cells in the order of their names; NaN without a threshold."""
    n_cells, values = counts.shape[0], LogNormalised(counts, TARGET)
    components = Components.of(values, _choose_variable_genes(values, genes), N_PCS)
    pairs = np.random.default_rng(seed).integers(n_cells, size=(2, N_SIMULATED * n_cells))
    simulated = replace(components, columns=np.arange(len(components.columns))).coordinates(
        _simulate_doublets(counts, components.columns, pairs)
    )
    points = np.concatenate([components.coordinates(values), simulated])
    n_others = round(NEIGHBOURS_PER_ROOT * np.sqrt(n_cells) * (1 + N_SIMULATED))
    near, _ = nearest(points, n_others)
    scores = _compute_scores((near >= n_cells).sum(axis=1), n_others)
    return scores[:n_cells], _find_threshold(scores[n_cells:])


def _choose_variable_genes(values: LogNormalised, by_name: np.ndarray) -> np.ndarray:
    """Return the genes with the highest normalised dispersion, in the order of their names.

    A gene without a finite dispersion is never chosen.
    """
    spread = normalise_dispersion(*gene_moments(values, linear=True))[by_name]
    ranked = np.argsort(-spread, kind="stable")[: min(N_GENES, int(np.isfinite(spread).sum()))]
    return np.asarray(by_name[np.sort(ranked)])


def _simulate_doublets(counts: csr_matrix, columns: np.ndarray, pairs: np.ndarray) -> csr_matrix:
    """Return log-normalised values of some genes in simulated doublets of two cells each.

    Shape (n_pairs, n_columns).
    """
    depth = measure_cells(counts, np.zeros(counts.shape[1], dtype=bool))[:, 0]
    some = counts[:, columns]
    both = some[pairs[0]] + some[pairs[1]]
    factor = TARGET / np.maximum(depth[pairs].sum(axis=0), 1)
    both.data = np.log1p(both.data * np.repeat(factor, np.diff(both.indptr))).astype(np.float32)
    return both


def _compute_scores(n_simulated: np.ndarray, n_others: int) -> np.ndarray:
    """Return the probability of a doublet from the share of simulated neighbours, 0-1.

    Source
    ------
    10.1016/j.cels.2018.11.005, eq. 1-3
    """
    share = (n_simulated + 1) / (n_others + 2)
    return np.asarray(
        share * RATE / N_SIMULATED / (1 - RATE - share * (1 - RATE - RATE / N_SIMULATED))
    )


def _find_threshold(simulated: np.ndarray) -> float:
    """Find the score between the two modes of the simulated doublets; NaN without two modes."""
    from skimage.filters import threshold_minimum

    try:
        return float(threshold_minimum(simulated))
    except RuntimeError:
        return float("nan")
