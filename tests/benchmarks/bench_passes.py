"""What a pass over the counts costs, and doublets: beside what the same question costs with scanpy.

Passes: six programmes with 1,000 matched null sets each, in multiples of one plain pass over the stored values, beside
scanpy's score_genes on the six gene sets without any null, and beside sparse products of blocks of cells with all null sets.
Doublets: AUROC against the simulated truth and CPU seconds, beside scanpy's scrublet.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sources import write

PROGRAMS = ("pancreatic_progenitor", "il10", "vegf", "hgf", "msc_identity", "homing")
N_SETS = 1_000


def main() -> None:
    """Run both parts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument(
        "--cells", type=int, default=100_000, help="cells of the batch of the passes"
    )
    parser.add_argument(
        "--cache", type=Path, help="folder of the input file, kept for the next run"
    )
    parser.add_argument("--batches", type=int, default=6, help="batches of the doublets")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    write(
        doublets(given.batches),
        "doublets",
        notes=[
            "4,000 simulated cells each; cpu_ratio: CPU seconds of scanpy's scrublet to those of this one."
        ],
    )
    write(
        passes(given.cells, given.cache),
        "passes",
        notes=[
            f"{given.cells:,} cells x 25,000 genes; CPU seconds, and multiples of one plain pass."
        ],
    )


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of all cores, the second time that the work is done."""
    work()
    begun = time.process_time()
    found = work()
    return time.process_time() - begun, found


def doublets(n_batches: int) -> pd.DataFrame:
    """Both searches on simulated batches of 4,000 cells that differ in doublets and contamination."""
    import scanpy as sc
    from sklearn.metrics import roc_auc_score

    from scdiff.compute.arrays import sort_names
    from scdiff.simulate import BatchDesign, simulate
    from scdiff.steps.qc.doublets import _scrublet

    rows = []
    for seed in range(n_batches):
        rate, contamination = (0.02, 0.05, 0.1)[seed % 3], (0.0, 0.1)[seed % 2]
        design = BatchDesign(n_genes=10_000, doublet_rate=rate)
        batch = simulate(
            n_cells=4_000, fraction=0.05, contamination=contamination, design=design, seed=seed
        )
        truth = batch.obs["truth_doublet"].to_numpy(dtype=bool)
        genes = sort_names(batch.var_names.tolist())
        ours, (scores, threshold) = timed(
            lambda batch=batch, genes=genes, seed=seed: _scrublet(batch.X.tocsr(), genes, seed)
        )
        theirs, scored = timed(lambda batch=batch: _by_scanpy(sc, batch))
        rows.append({
            "seed": seed, "doublets": rate, "contamination": contamination,
            "auroc": roc_auc_score(truth, scores), "auroc_scanpy": roc_auc_score(truth, scored.obs["doublet_score"]),
            "flagged": float((scores > threshold).mean()), "flagged_scanpy": float(scored.obs["predicted_doublet"].mean()),
            "cpu_ratio": theirs / ours,
        })  # fmt: skip
    return pd.DataFrame(rows)


def _by_scanpy(sc: Any, batch: Any) -> Any:
    """Run scanpy's scrublet on a copy, with exact neighbours."""
    copy = batch.copy()
    sc.pp.scrublet(copy, n_prin_comps=30, use_approx_neighbors=False, random_state=0, verbose=False)
    return copy


def passes(n_cells: int, cache: Path | None) -> pd.DataFrame:
    """Time the passes on one simulated batch."""
    import scanpy as sc
    from isolated import CACHE, batch_file
    from scipy import sparse

    from scdiff import io, pp
    from scdiff.assay.calibration import Batch, tally_null_sets
    from scdiff.assay.matched import draw_sets
    from scdiff.compute.blocks import blocks, measure_cells
    from scdiff.programs import load_programs
    from scdiff.steps.shared.markers import read_markers

    adata = io.load(batch_file(n_cells, cache or CACHE))
    pp.normalise(adata)
    counts, loaded = adata.layers["counts"], load_programs(PROGRAMS)
    plain, _ = timed(lambda: measure_cells(counts, np.zeros(adata.n_vars, dtype=bool)))
    batch = Batch(counts, adata.obs_names, adata.var_names)
    batch.prepare()
    read = read_markers(adata, loaded)
    markers = {
        program.name: read.of(
            [marker for marker in program.core if read.genes([marker])[marker.name]]
        )
        for program in loaded
    }
    drawn = {
        program.name: draw_sets(
            batch.totals,
            batch.squares,
            batch.genes,
            markers[program.name].sum(axis=0),
            n_sets=N_SETS,
        )
        for program in loaded
    }
    null, _ = timed(
        lambda: [
            tally_null_sets(batch, markers[p.name], drawn[p.name], p.min_markers) for p in loaded
        ]
    )
    six, _ = timed(lambda: pp_score(adata))
    wanted = {p.name: [g for g in p.score_genes("human") if g in adata.var_names] for p in loaded}
    peer, _ = timed(lambda: [sc.tl.score_genes(adata, genes) for genes in wanted.values() if genes])
    columns = np.concatenate([sets.genes.ravel() for sets in drawn.values()])
    members = np.concatenate(
        [
            np.repeat(np.arange(N_SETS) + i * N_SETS, sets.genes.shape[1])
            for i, sets in enumerate(drawn.values())
        ]
    )
    indicator = sparse.csr_matrix(
        (np.ones(len(columns), dtype=np.float32), (columns, members)),
        shape=(adata.n_vars, len(drawn) * N_SETS),
    )
    some = next(blocks(adata.X))
    product, _ = timed(lambda: _summed(some, indicator))
    seconds = {
        "one plain pass over the stored counts": plain,
        "six programmes, 1,000 null sets each (20,000 drawn cells)": null,
        "six programmes, two scores each": six,
        "scanpy score_genes, six sets, no null": peer,
        "sparse products with all null sets (first block, scaled up)": product
        * n_cells
        / some.shape[0],
    }
    return pd.DataFrame(
        {
            "what": list(seconds),
            "cpu_s": list(seconds.values()),
            "passes": [value / plain for value in seconds.values()],
        }
    )


def _summed(block: Any, indicator: Any) -> float:
    """Add up the product of a block with the null sets, so that it is computed."""
    return float((block @ indicator).sum())


def pp_score(adata: Any) -> None:
    """Score the six programmes by both methods."""
    from scdiff import tl

    tl.score(adata, programs=PROGRAMS)


if __name__ == "__main__":
    main()
