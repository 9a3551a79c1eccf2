"""Write the test data: python test_data/make.py [FOLDER]. The seed fixes the counts."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from scdiff.simulate import BatchDesign, simulate

N_GENES, DEPTH, CONTAMINATION = 1_200, 2_000.0, 0.08
SAMPLES = {  # cells, fraction of positives, doublets, donor, condition, day
    "batch": (600, 0.08, 0.03, "donor1", "differentiated", 21),
    "batch_10x": (300, 0.05, 0.03, "donor2", "differentiated", 21),
    "control": (250, 0.0, 0.03, "donor1", "medium", 21),
}


def batch(seed: int, n_cells: int, fraction: float, doublet_rate: float) -> AnnData:
    """Draw one sample as a user would bring it: counts in X, only the truth in obs."""
    design = BatchDesign(n_genes=N_GENES, doublet_rate=doublet_rate)
    drawn = simulate(
        n_cells=n_cells,
        fraction=fraction,
        depth=DEPTH,
        contamination=CONTAMINATION,
        design=design,
        seed=seed,
    )
    del drawn.layers["counts"], drawn.var["gene_id"], drawn.uns["truth"]
    drawn.obs = drawn.obs[[column for column in drawn.obs if column.startswith("truth_")]]
    return drawn


def write_gz(path: Path, lines: list[str]) -> None:
    """Write lines as gzip without a time stamp."""
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0))


def write_10x(adata: AnnData, folder: Path) -> None:
    """Write the three files of a 10x v3 matrix."""
    folder.mkdir(exist_ok=True)
    counts = adata.X.tocoo()
    entries = [
        f"{gene} {cell} {count}"
        for gene, cell, count in zip(
            counts.col + 1, counts.row + 1, counts.data.astype(int), strict=True
        )
    ]
    header = [
        "%%MatrixMarket matrix coordinate integer general",
        f"{adata.n_vars} {adata.n_obs} {counts.nnz}",
    ]
    write_gz(folder / "matrix.mtx.gz", header + entries)
    features = [
        f"SIMG{number:08d}\t{symbol}\tGene Expression"
        for number, symbol in enumerate(adata.var_names, start=1)
    ]
    write_gz(folder / "features.tsv.gz", features)
    write_gz(folder / "barcodes.tsv.gz", list(adata.obs_names))


def make(folder: Path) -> None:
    """Write all files into ``folder``."""
    sheet, truth = [], []
    for seed, (sample, (n_cells, fraction, doublet_rate, donor, condition, day)) in enumerate(
        SAMPLES.items(), start=11
    ):
        drawn = batch(seed, n_cells, fraction, doublet_rate)
        if sample.endswith("10x"):
            path = sample
            write_10x(drawn, folder / path)
        else:
            path = f"{sample}.h5ad"
            drawn.write_h5ad(folder / path, compression="gzip", compression_opts=9)
        sheet.append((sample, path, donor, condition, day, str(sample == "control").lower()))
        positive = drawn.obs["truth_positive"].to_numpy()
        truth.append((sample, len(positive), int(np.sum(positive)), float(np.mean(positive))))
    columns = ["sample", "path", "donor", "condition", "day", "control"]
    pd.DataFrame(sheet, columns=columns).to_csv(
        folder / "samples.csv", index=False, lineterminator="\n"
    )
    pd.DataFrame(truth, columns=["sample", "n_cells", "n_positive", "fraction"]).to_csv(
        folder / "truth.csv", index=False, lineterminator="\n"
    )


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    target.mkdir(parents=True, exist_ok=True)
    make(target)
    print(f"written to {target}")
