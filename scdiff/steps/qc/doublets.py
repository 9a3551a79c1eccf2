"""Doublets as scrublet finds them, one sample at a time, in the order of the names.

The method is scrublet's, on the steps of this package: scanpy's version takes ten times longer and as much memory
(``make bench-passes``; figures in ``tests/benchmarks/README.md``).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from scdiff.compute.arrays import sort_names
from scdiff.compute.blocks import TARGET, LogNormalised, get_counts, is_lazy, measure_cells, read_rows
from scdiff.compute.moments import gene_moments, normalise_dispersion
from scdiff.compute.nearest import nearest
from scdiff.compute.parallel import each, many
from scdiff.compute.pca import Components

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from scipy.sparse import csr_matrix

__all__ = ["Doublets", "find_doublets", "none_sought"]

log = logging.getLogger(__name__)

MIN_CELLS, MIN_GENES = 100, 50
MOST = 0.3  # a threshold that calls more of a sample than this is not believable
N_PCS, N_GENES = 30, 2_000
N_SIMULATED = 1  # doublets per cell; two, as scrublet simulates, find no more and take twice the time
NEIGHBOURS_PER_ROOT = 0.5  # neighbours per square root of the cells
RATE = 0.05  # doublets that are expected; it moves the scores, not their order


@dataclass(frozen=True)
class Doublets:
    """Scores and calls of scrublet.

    Parameters
    ----------
    scores
        Shape (n_cells,), 0-1, NaN where not computable.
    called
        Shape (n_cells,).
    samples
        Sample of every cell, shape (n_cells,).
    thresholds
        Score above which a cell is called, by sample; NaN where no threshold was found.
    notes
        What could not be done, in sentences.
    """

    scores: np.ndarray
    called: np.ndarray
    samples: np.ndarray
    thresholds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def table(self, samples: pd.Index) -> pd.DataFrame:
        """Cells scored and flagged by sample, with the threshold."""
        import pandas as pd

        scored = {name: np.isfinite(self.scores[self.samples == name]).sum() for name in samples}
        flagged = {name: self.called[self.samples == name].sum() for name in samples}
        limit = {name: self.thresholds.get(name, np.nan) for name in samples}
        return pd.DataFrame({"n_scored": scored, "n_flagged": flagged, "threshold": limit}, index=samples)


def none_sought(samples: pd.Series) -> Doublets:
    """Say of no cell that it is a doublet, and that none was sought."""
    names = samples.astype(str).to_numpy()
    return Doublets(np.full(len(names), np.nan), np.zeros(len(names), dtype=bool), names, notes=["Doublets were not sought, as asked."])


def find_doublets(adata: AnnData, samples: pd.Series, whole: np.ndarray, seed: int) -> Doublets:
    """Score the ``whole`` cells of every sample; the others keep NaN and are not called."""
    found = Doublets(np.full(adata.n_obs, np.nan), np.zeros(adata.n_obs, dtype=bool), samples.astype(str).to_numpy())
    names = [str(name) for name in samples.cat.categories]
    groups = [np.flatnonzero((found.samples == name) & whole) for name in names]
    scored = _scored_groups(adata, groups, seed)
    for name, rows, answer in zip(names, groups, scored, strict=True):
        _enter(name, rows, answer, found)
    return found


def _scored_groups(adata: AnnData, groups: list[np.ndarray], seed: int) -> list[tuple[np.ndarray, float] | str]:
    """Score the cells of each sample: in processes, or where dask computes."""
    counts, cells, genes = get_counts(adata), np.asarray(adata.obs_names, dtype=str), sort_names(adata.var_names)
    if not is_lazy(counts):
        return each(lambda rows: _scored(read_rows(counts, rows), cells[rows], genes, seed), groups, worthwhile=many(adata))
    import dask

    parts = [
        counts[rows].rechunk((max(len(rows), 1), -1)).to_delayed().ravel()[0] if len(rows) else counts[:0].compute() for rows in groups
    ]
    return list(dask.compute(*(dask.delayed(_scored)(part, cells[rows], genes, seed) for part, rows in zip(parts, groups, strict=True))))


def _scored(counts: csr_matrix, cells: np.ndarray, genes: np.ndarray, seed: int) -> tuple[np.ndarray, float] | str:
    """Scores and threshold of the cells of one sample, or why there are none."""
    n_cells, n_genes = counts.shape
    if n_cells < MIN_CELLS or n_genes < MIN_GENES:
        return f"{n_cells} cells, {n_genes} genes; at least {MIN_CELLS} and {MIN_GENES} are needed"
    order = sort_names(cells.tolist())
    try:
        scores, threshold = _scrublet(counts[order], genes, seed)
    except (ValueError, IndexError, ZeroDivisionError, np.linalg.LinAlgError) as error:
        return f"scrublet failed: {' '.join(str(error).split())}"
    return scores[np.argsort(order)], threshold


def _enter(sample: str, rows: np.ndarray, answer: tuple[np.ndarray, float] | str, found: Doublets) -> None:
    """Enter scores, calls, threshold or the reason for their absence into ``found``."""
    if isinstance(answer, str):
        found.notes.append(f"Sample {sample}: doublets are not scored ({answer}).")
        return
    scores, threshold = answer
    found.scores[rows] = scores
    called = scores > threshold  # false where the threshold is NaN
    if np.isnan(threshold):
        found.notes.append(f"Sample {sample}: scrublet found no threshold between singlets and doublets; no cell is flagged.")
    elif called.mean() > MOST:
        found.notes.append(f"Sample {sample}: the threshold of scrublet would flag {called.mean():.0%} of the cells; no cell is flagged.")
    else:
        found.thresholds[sample] = threshold
        found.called[rows] = called


def _scrublet(counts: csr_matrix, genes: np.ndarray, seed: int) -> tuple[np.ndarray, float]:
    """Scores of the cells, which are in the order of their names, and the threshold, NaN where none was found."""
    n_cells, values = counts.shape[0], LogNormalised(counts, TARGET)
    components = Components.of(values, _variable_genes(values, genes), N_PCS)
    pairs = np.random.default_rng(seed).integers(n_cells, size=(2, N_SIMULATED * n_cells))
    simulated = replace(components, columns=np.arange(len(components.columns))).coordinates(_simulated(counts, components.columns, pairs))
    points = np.concatenate([components.coordinates(values), simulated])
    n_others = round(NEIGHBOURS_PER_ROOT * np.sqrt(n_cells) * (1 + N_SIMULATED))
    near, _ = nearest(points, n_others)
    scores = _scores((near >= n_cells).sum(axis=1), n_others)
    return scores[:n_cells], _threshold(scores[n_cells:])


def _variable_genes(values: LogNormalised, by_name: np.ndarray) -> np.ndarray:
    """Genes with the highest normalised dispersion that at least three cells can have, in the order of their names."""
    spread = normalise_dispersion(*gene_moments(values, linear=True))[by_name]
    ranked = np.argsort(-spread, kind="stable")[: min(N_GENES, int(np.isfinite(spread).sum()))]
    return np.asarray(by_name[np.sort(ranked)])


def _simulated(counts: csr_matrix, columns: np.ndarray, pairs: np.ndarray) -> csr_matrix:
    """Log-normalised values of some genes in droplets that hold two of the cells each, shape (n_pairs, n_columns)."""
    depth = measure_cells(counts, np.zeros(counts.shape[1], dtype=bool))[:, 0]
    some = counts[:, columns]
    both = some[pairs[0]] + some[pairs[1]]
    factor = TARGET / np.maximum(depth[pairs].sum(axis=0), 1)
    both.data = np.log1p(both.data * np.repeat(factor, np.diff(both.indptr))).astype(np.float32)
    return both


def _scores(n_simulated: np.ndarray, n_others: int) -> np.ndarray:
    """Probability of a doublet by the share of simulated ones among the neighbours, 0-1.

    Source
    ------
    10.1016/j.cels.2018.11.005, eq. 1-3
    """
    share = (n_simulated + 1) / (n_others + 2)
    return np.asarray(share * RATE / N_SIMULATED / (1 - RATE - share * (1 - RATE - RATE / N_SIMULATED)))


def _threshold(simulated: np.ndarray) -> float:
    """Find the score between the two modes of the simulated doublets; NaN where there are not two."""
    from skimage.filters import threshold_minimum

    try:
        return float(threshold_minimum(simulated))
    except RuntimeError:
        return float("nan")
