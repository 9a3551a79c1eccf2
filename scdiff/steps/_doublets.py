"""Doublets by scrublet, one sample at a time, in the order of the names."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from scdiff.steps._common import csr, name_order, one_blas_thread

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["Doublets", "find_doublets"]

log = logging.getLogger(__name__)

MIN_CELLS, MIN_GENES = 100, 50
MOST = 0.3  # a threshold that calls more of a sample than this is not believable
EXACT_NEIGHBOURS_UP_TO = 10_000  # below, the approximate search takes longer to compile than the exact one to run
N_PCS = 30


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


def find_doublets(adata: AnnData, samples: pd.Series, whole: np.ndarray, seed: int) -> Doublets:
    """Score the ``whole`` cells of every sample; the others keep NaN and are not called."""
    found = Doublets(np.full(adata.n_obs, np.nan), np.zeros(adata.n_obs, dtype=bool), samples.astype(str).to_numpy())
    for sample in samples.cat.categories:
        rows = np.flatnonzero((samples == sample).to_numpy() & whole)
        rows = rows[name_order(adata.obs_names[rows])]
        _score_sample(adata, str(sample), rows, seed, found)
    return found


def _score_sample(adata: AnnData, sample: str, rows: np.ndarray, seed: int, found: Doublets) -> None:
    """Enter scores, calls, threshold or the reason for their absence into ``found``."""
    if len(rows) < MIN_CELLS or adata.n_vars < MIN_GENES:
        size = f"{len(rows)} cells, {adata.n_vars} genes; at least {MIN_CELLS} and {MIN_GENES} are needed"
        found.notes.append(f"Sample {sample}: doublets are not scored ({size}).")
        return
    try:
        scores, threshold = _scrublet(adata, rows, seed)
    except (ValueError, IndexError, ZeroDivisionError, np.linalg.LinAlgError) as error:
        found.notes.append(f"Sample {sample}: doublets are not scored, scrublet failed ({' '.join(str(error).split())}).")
        return
    found.scores[rows] = scores
    called = scores > threshold  # false where the threshold is NaN
    if np.isnan(threshold):
        found.notes.append(f"Sample {sample}: scrublet found no threshold between singlets and doublets; no cell is flagged.")
    elif called.mean() > MOST:
        found.notes.append(f"Sample {sample}: the threshold of scrublet would flag {called.mean():.0%} of the cells; no cell is flagged.")
    else:
        found.thresholds[sample] = threshold
        found.called[rows] = called


def _scrublet(adata: AnnData, rows: np.ndarray, seed: int) -> tuple[np.ndarray, float]:
    """Scores in the order of ``rows`` and the threshold, NaN where none was found."""
    import scanpy as sc
    from anndata import AnnData

    counts = csr(adata.layers["counts"])[rows][:, name_order(adata.var_names)].astype(np.float32)
    counts.sort_indices()
    sample = AnnData(counts)
    sample.obs_names = [str(row) for row in range(len(rows))]
    with warnings.catch_warnings(), one_blas_thread():
        warnings.simplefilter("ignore")
        exact = None if len(rows) > EXACT_NEIGHBOURS_UP_TO else False
        sc.pp.scrublet(sample, n_prin_comps=N_PCS, use_approx_neighbors=exact, random_state=seed, verbose=False)
    threshold = sample.uns["scrublet"].get("threshold", np.nan)
    return sample.obs["doublet_score"].to_numpy(dtype=float), float(threshold)
