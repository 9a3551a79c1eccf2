"""Many read-outs: how often does a batch without any programme show one? Every gene is shuffled among cells of like depth.

A shuffle keeps the counts of each gene and its dependence on depth, and takes away all that genes do together. A read-out that is
detected then is a false find. A family is one batch with all its read-outs by gene sets. Read-outs by markers are left out: a
shuffle takes no expression away from a single gene, and two common genes are expressed together in many cells by chance.

Run: python tests/benchmarks/bench_readouts.py [--shuffles N] [--seed N] [--data NAME ...]
"""

from __future__ import annotations

import argparse
import multiprocessing
import secrets
import sys
import warnings
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse
from sources import DATA, as_loaded, write

from scdiff.programs import load_programs

SETS = ("msc_mouse_bone_marrow", "islet_mouse", "pbmc_facs_human", "endocrinogenesis_mouse_e15_hvg")
MOST_CELLS, CELLS_A_STRATUM = 3_000, 50


def shuffled(counts: Any, generator: np.random.Generator) -> sparse.csr_matrix:
    """Shuffle each gene among cells of like depth."""
    matrix = sparse.csc_matrix(counts, dtype=np.float32)
    order = np.argsort(np.asarray(matrix.sum(axis=1)).ravel(), kind="stable")
    stratum = np.empty(len(order), dtype=int)
    stratum[order] = np.arange(len(order)) // CELLS_A_STRATUM
    columns = []
    for gene in range(matrix.shape[1]):
        values = matrix[:, [gene]].toarray().ravel()
        moved = np.empty_like(values)
        moved[np.lexsort((generator.random(len(values)), stratum))] = values[
            np.lexsort((np.arange(len(values)), stratum))
        ]
        columns.append(sparse.csc_matrix(moved[:, None]))
    return sparse.hstack(columns).tocsr()


def family(task: tuple[str, int]) -> list[dict[str, Any]]:
    """Read all read-outs of one shuffled batch."""
    import scdiff

    name, seed = task
    warnings.simplefilter("ignore")
    generator = np.random.default_rng(seed)
    real = ad.read_h5ad(DATA / f"{name}.h5ad")
    real = real[np.sort(generator.permutation(real.n_obs)[:MOST_CELLS])]
    kept = np.asarray((real.X > 0).sum(axis=0)).ravel() > 0
    names = real.obs_names, real.var_names[kept]
    adata = ad.AnnData(
        shuffled(real.X[:, kept], generator), *(pd.DataFrame(index=index) for index in names)
    )
    adata.layers["counts"] = adata.X
    adata.obs["sample"] = "one"
    as_loaded(adata, "mouse" if "mouse" in name else "human")
    sets = [
        program.name
        for program in load_programs(["all"])
        if program.is_called and not program.markers
    ]
    scdiff.tl.call(adata, programs=["pancreatic_progenitor", *sets])
    scdiff.tl.fraction(adata)
    table = adata.uns["scdiff"]["fractions"]
    rows = table[table["program"].isin(sets) & (table["sample"] == "all")]
    return rows.assign(
        data=name, seed=seed, found=rows["verdict"].isin(["detected", "quantified"])
    ).to_dict("records")


def main() -> None:
    """Shuffle and read all sets, write the table, print the share of families with a find."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--shuffles", type=int, default=20)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--data", nargs="*", default=list(SETS))
    asked = parser.parse_args()
    tasks = [
        (name, asked.seed * 1_000 + number)
        for number in range(asked.shuffles)
        for name in asked.data
    ]
    with multiprocessing.Pool(2) as pool:
        frame = pd.DataFrame(
            [row for rows in pool.imap_unordered(family, tasks, chunksize=1) for row in rows]
        )
    measured = frame[frame["verdict"] != "not measurable"]
    summary = measured.groupby(["data", "program"], as_index=False).agg(
        read_outs=("found", "size"), found=("found", "sum")
    )
    families = measured.groupby(["data", "seed"])["found"].any()
    said = f"Seed {asked.seed}, {asked.shuffles} shuffles; families with any find: {families.mean():.1%} of {len(families)}."
    write(summary, "readouts", notes=[said])
    found = measured[measured["found"]]
    sys.stdout.write(
        found[["data", "seed", "program", "n_called", "n_cells", "lob", "verdict"]].to_string()
        + "\n"
    )


if __name__ == "__main__":
    main()
