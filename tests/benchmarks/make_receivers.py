"""Count how many cells of public tissues show each gene of the axes: the numbers in scdiff/programs/receivers.csv.

The data are no part of the project and stay where they are; only the counts of cells are kept. Contamination of droplets is
shared by all cells of a preparation, so no cell type holds less of a gene than the contamination gives: the type with the
least, taken at its upper 95 % Poisson limit, bounds what contamination shows in a receiver. Sorted preparations and wells
have no such neighbours; there the background stays empty.

Run: python tests/benchmarks/make_receivers.py FOLDER [--out FILE]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from scipy.stats import chi2

from scdiff.programs import Species
from scdiff.programs.axes import load_axes, symbol_in
from scdiff.programs.receivers import COLUMNS

OUT = Path(__file__).resolve().parents[2] / "scdiff" / "programs" / "receivers.csv"
FEWEST_CELLS = 100
"""Cell types of fewer cells say nothing about the contamination."""


@dataclass(frozen=True)
class Study:
    """One data set: file, labels, which labels make which receiver, how it was counted, and where it is from."""

    file: str
    species: Species
    labels: str
    receivers: dict[str, tuple[str, ...]]
    counted: str
    source: str
    one_soup: bool = False


STUDIES = (
    Study(
        "islet_mouse.h5ad",
        "mouse",
        "cell_type",
        {
            "islet_beta": ("beta",),
            "islet_alpha": ("alpha",),
            "endothelium": ("endothelial",),
            "macrophage": ("macrophage",),
        },
        "UMI, inDrop, adult islets, GSE84133",
        "10.1016/j.cels.2016.08.011",
        one_soup=True,
    ),
    Study(
        "pbmc_facs_human.h5ad",
        "human",
        "subpop",
        {"t_cell": ("T cell",), "monocyte": ("CD14+",), "nk_cell": ("NK cell",)},
        "UMI, 10x, sorted blood cells",
        "10.1038/ncomms14049",
    ),
    Study(
        "fetal_pancreas_human.h5ad",
        "human",
        "derived_label",
        {"fetal_endothelium": ("endothelial",), "fetal_endocrine": ("endocrine (hormone+)",)},
        "reads, Smart-seq2, fetal pancreas, single cells",
        "github.com/EngeLab/CIMseq",
    ),
)


def counts_of(adata: ad.AnnData, gene: str) -> np.ndarray:
    """Counts of a gene, shape (n_cells,)."""
    return np.asarray(adata[:, gene].X.toarray(), dtype=float).ravel()


def background(adata: ad.AnnData, labels: np.ndarray, inside: np.ndarray, gene: str) -> float:
    """Share of the cells ``inside`` that contamination may show a gene in, at most."""
    counts, depth = counts_of(adata, gene), np.asarray(adata.X.sum(axis=1)).ravel()
    others = [
        labels == name
        for name in np.unique(labels[~inside])
        if (labels == name).sum() >= FEWEST_CELLS
    ]
    rates = [
        chi2.ppf(0.95, 2 * (counts[other].sum() + 1)) / 2 / depth[other].sum() for other in others
    ]
    return round(float(np.mean(1 - np.exp(-min(rates) * depth[inside]))), 5)


def rows(study: Study, folder: Path) -> Iterator[dict[str, Any]]:
    """Rows of one study; genes without a row in its matrix are left out."""
    adata = ad.read_h5ad(folder / study.file)
    labels = adata.obs[study.labels].astype(str).to_numpy()
    wanted = dict.fromkeys(
        symbol_in(gene, study.species) for axis in load_axes() for _, gene in axis.genes()
    )
    genes = [gene for gene in wanted if gene in adata.var_names]
    for name, kinds in study.receivers.items():
        inside = np.isin(labels, kinds)
        for gene in genes:
            seen = {
                "n_cells": int(inside.sum()),
                "n_expressing": int((counts_of(adata, gene)[inside] > 0).sum()),
            }
            limit = background(adata, labels, inside, gene) if study.one_soup else np.nan
            where = {"receiver": name, "species": study.species, "gene": gene}
            yield (
                where
                | seen
                | {"background": limit, "counted": study.counted, "source": study.source}
            )


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    table = pd.DataFrame(
        [row for study in STUDIES for row in rows(study, given.folder)], columns=list(COLUMNS)
    )
    table.to_csv(given.out, index=False)
    print(
        table.groupby("receiver", sort=False).agg(
            cells=("n_cells", "first"), genes=("gene", "size")
        )
    )


if __name__ == "__main__":
    main()
