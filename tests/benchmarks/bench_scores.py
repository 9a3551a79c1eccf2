"""Which score tells raised cells from the others, by size of the set: ours, score_genes, UCell, AUCell, ULM.

Truth: in a tenth of the cells of a real batch, a set of 1 to 50 of its genes is raised by added counts. Per score: the area under the
curve, and how far the rate of false calls at an overall 5 % differs between quartiles of depth. ``zero`` is the share of
cells that a score above 0 calls where nothing is raised: what a threshold at 0 would say of a blank.

Run: python tests/benchmarks/bench_scores.py [--quick]
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sources import DATA, write

FILES = ("pbmc_facs_human", "msc_mouse_bone_marrow", "islet_mouse")
SIZES, FOLDS, MOST_CELLS, SHARE = (1, 2, 3, 5, 10, 50), (3.0, 10.0), 1_000, 0.1


def drawn(name: str, seed: int) -> np.ndarray:
    """Counts of at most 1,000 cells of a real batch, genes with 10 counts or more."""
    import anndata

    counts = sparse.csr_matrix(anndata.read_h5ad(DATA / f"{name}.h5ad").X)
    rng = np.random.default_rng([seed, 0])
    cells = np.sort(rng.choice(counts.shape[0], min(MOST_CELLS, counts.shape[0]), replace=False))
    dense = counts[cells].toarray().astype(float)
    return dense[:, dense.sum(axis=0) >= 10]


def raised(
    counts: np.ndarray, size: int, fold: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Raise a random set in a tenth of the cells; return counts, genes of the set, and which cells are raised."""
    rng = np.random.default_rng([seed, size])
    depth, detected = counts.sum(axis=1), (counts > 0).mean(axis=0)
    genes = rng.choice(np.flatnonzero((detected > 0.01) & (detected < 0.5)), size, replace=False)
    cells = rng.random(len(counts)) < SHARE
    mean = np.outer(depth, counts[:, genes].sum(axis=0) / depth.sum()) * (fold - 1)
    varied = mean * rng.lognormal(-0.1, 0.45, (len(counts), 1)) * rng.gamma(2, 0.5, mean.shape)
    changed = counts.copy()
    changed[:, genes] += np.where(cells[:, None], rng.poisson(varied), 0)
    return changed, genes, cells


def scores(counts: np.ndarray, genes: np.ndarray, *, peers: bool = True) -> dict[str, np.ndarray]:
    """All scores, each of shape (n_cells,)."""
    import anndata

    from scdiff.assay.calls import marker_evidence
    from scdiff.assay.set_calls import SMALL
    from scdiff.assay.statistic import _prior_centre
    from scdiff.assay.table import MarkerTable
    from scdiff.steps.score import rank_u

    depth = counts.sum(axis=1)
    mean = np.outer(depth, counts[:, genes].sum(axis=0) / depth.sum())
    own = counts[:, genes]
    flat = MarkerTable(own.ravel(), np.maximum(mean.ravel(), 1e-6), np.arange(0))
    found = {
        "roots (ours)": 2 * (np.sqrt(own + SMALL) - np.sqrt(mean + SMALL)).sum(axis=1),
        "evidence": np.clip(
            marker_evidence(_prior_centre(), 0, flat).reshape(own.shape), -10, 10
        ).sum(axis=1),
        "Pearson residuals": np.clip((own - mean) / np.sqrt(mean + mean**2 / 3), -10, 10).sum(
            axis=1
        ),
        "ranks of all genes": rank_u(sparse.csr_matrix(counts), [genes], max_rank=None)[:, 0],
        "UCell": rank_u(sparse.csr_matrix(counts), [genes])[:, 0],
    }
    if peers:
        names = [f"g{number}" for number in range(counts.shape[1])]
        lognormal = anndata.AnnData(
            sparse.csr_matrix(np.log1p(counts / depth[:, None] * 1e4)),
            var=pd.DataFrame(index=names),
        )
        found |= peer_scores(lognormal, [names[gene] for gene in genes])
    return found


def peer_scores(adata: Any, genes: list[str]) -> dict[str, np.ndarray]:
    """Scores of scanpy and decoupler; NaN where a peer refuses so small a set."""
    import decoupler
    import scanpy

    network = pd.DataFrame({"source": "set", "target": genes, "weight": 1.0})
    unknown = np.full(adata.n_obs, np.nan)
    found = {}
    try:
        scanpy.tl.score_genes(adata, genes, random_state=0)
        found["score_genes"] = adata.obs["score"].to_numpy()
    except (ValueError, IndexError):
        found["score_genes"] = unknown
    for name, method in (("ULM", decoupler.mt.ulm), ("AUCell", decoupler.mt.aucell)):
        try:
            method(adata, network, tmin=1)
            found[name] = np.asarray(adata.obsm[f"score_{name.lower()}"])[:, 0]
        except (ValueError, AssertionError):
            found[name] = unknown
    return found


def judged(
    found: dict[str, np.ndarray], cells: np.ndarray, depth: np.ndarray, blank: dict[str, np.ndarray]
) -> list[dict[str, Any]]:
    """Area under the curve, spread over depth, and what a threshold at 0 calls in the blank."""
    from sklearn.metrics import roc_auc_score

    quarter = np.searchsorted(np.quantile(depth[~cells], [0.25, 0.5, 0.75]), depth)
    rows = []
    for name, values in found.items():
        if np.isnan(values).any():
            rows.append({"score": name, "auroc": np.nan, "depth_spread": np.nan, "zero": np.nan})
            continue
        above = values > np.quantile(values[~cells], 0.95)
        rates = [above[~cells & (quarter == number)].mean() for number in range(4)]
        area = roc_auc_score(cells, values)
        rows.append(
            {
                "score": name,
                "auroc": area,
                "depth_spread": max(rates) - min(rates),
                "zero": (blank[name] > 0).mean(),
            }
        )
    return rows


def main() -> None:
    """Run all and write the tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true")
    n_seeds = 1 if arguments.parse_args().quick else 3
    warnings.simplefilter("ignore")
    rows = []
    for name in FILES:
        for seed in range(n_seeds):
            counts = drawn(name, seed)
            for size in SIZES:
                _, genes, _ = raised(counts, size, 1.0, seed)
                blank = scores(counts, genes)
                for fold in FOLDS:
                    changed, genes, cells = raised(counts, size, fold, seed)
                    made = judged(scores(changed, genes), cells, changed.sum(axis=1), blank)
                    rows += [
                        {"batch": name, "seed": seed, "size": size, "fold": fold} | row
                        for row in made
                    ]
        print(f"{name} done", flush=True)
    table = pd.DataFrame(rows)
    summary = table.groupby(["size", "score"])[["auroc", "depth_spread", "zero"]].agg(
        ["mean", "min", "max"]
    )
    columns = {
        "auroc": ("auroc", "mean"),
        "worst": ("auroc", "min"),
        "depth_spread": ("depth_spread", "mean"),
        "zero": ("zero", "mean"),
    }
    shown = pd.DataFrame(
        {title: summary[column] for title, column in columns.items()}
    ).reset_index()
    note = (
        "`auroc`: mean over batches, seeds and folds (3 and 10), and the worst; `depth_spread`: largest less smallest rate of false calls "
        "by quartile of depth, at 5 % overall; `zero`: cells above 0 where nothing is raised."
    )
    write(shown, "scores" if n_seeds > 1 else "scores_quick", notes=(note,))


if __name__ == "__main__":
    main()
