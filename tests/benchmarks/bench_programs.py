"""Prevalence of programmes against known truth: markers expressed in a known share of real cells, and real chondrocytes.

Treg, Th1 and Th17: into a share of T cells that hold none (CD4 naive, four of one kind summed to today's depth) each marker's
typical level is added, gamma distributed, Poisson counted. Chondrocytes: real ones among the reticular cells, osteoblasts and
cells between these of mouse marrow; its endosteal stem cells carry cartilage transcripts themselves (of a mixture without any
chondrocyte just they are called). Sorted cells: how many of each label every programme calls.

Run: python tests/benchmarks/bench_programs.py [--quick]
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse
from sources import DATA, as_loaded, write

from scdiff.programs import load_program
from scdiff.simulate.titration import titrate
from scdiff.steps.call.step import call
from scdiff.steps.fraction.step import fraction

SHARES, N_CELLS = (0.0, 0.005, 0.02, 0.05, 0.1, 0.2), 3_000
MAIN = "pancreatic_progenitor"
SORTED = {
    "cd14_monocyte": "CD14+ Monocyte",
    "nk_cell": "CD56+ NK",
    "b_cell": "CD19+ B",
    "t_cell": "CD",
    "treg": "CD4+/CD25 T Reg",
}
"""Programmes and how the labels begin that they should call."""


def measured(adata: ad.AnnData, programs: list[str], species: str) -> pd.DataFrame:
    """Rows of the table of fractions of the programmes over all samples."""
    adata.layers["counts"] = sparse.csr_matrix(adata.X)
    adata.obs["sample"] = "one"
    as_loaded(adata, species)
    call(adata, programs=[MAIN, *programs], null_sets=0, absent_as_zero=True)
    fraction(adata)
    table = adata.uns["scdiff"]["fractions"].drop_duplicates(["program", "sample"])
    return table[table["sample"] == "all"].set_index("program")


def expressed(program: str, share: float, seed: int) -> ad.AnnData:
    """T cells without the programme, into a share of which its markers are put."""
    rng = np.random.default_rng([seed, 0])
    cells = ad.read_h5ad(DATA / "pbmc_facs_human.h5ad")
    cells = cells[cells.obs["celltype"] == "CD4+/CD45RA+/CD25- Naive T"]
    parts = rng.integers(0, cells.n_obs, (N_CELLS, 4)).ravel()
    summed = sparse.csr_matrix(
        (np.ones(len(parts)), (np.repeat(np.arange(N_CELLS), 4), parts)),
        shape=(N_CELLS, cells.n_obs),
    )
    counts = (summed @ sparse.csr_matrix(cells.X)).tolil()
    positive = np.arange(N_CELLS) < round(share * N_CELLS)
    depth = np.asarray(counts.sum(axis=1)).ravel()
    for marker in load_program(program).core:
        column = cells.var_names.get_indexer(
            [gene for gene in marker.human if gene in cells.var_names]
        )[0]
        if column >= 0:
            added = (
                rng.poisson(marker.level_cp10k * depth / 1e4 * rng.gamma(3, 1 / 3, N_CELLS))
                * positive
            )
            counts[:, column] = counts[:, [column]].toarray() + added[:, None]
    return ad.AnnData(
        counts.tocsr().astype(np.float32),
        var=pd.DataFrame(index=cells.var_names.copy()),
        obs=names(N_CELLS),
    )


def names(n_cells: int) -> pd.DataFrame:
    """An empty table of cells."""
    return pd.DataFrame(index=[f"cell{number}" for number in range(n_cells)])


def chondrocytes(share: float, seed: int) -> ad.AnnData:
    """Real chondrocytes among other stromal cells."""
    cells = ad.read_h5ad(DATA / "msc_mouse_bone_marrow.h5ad")
    label = cells.obs["cell_type"].astype(str).to_numpy()
    positives, negatives = (
        cells[label == "CH"].copy(),
        cells[~np.isin(label, ["CH", "Stem"])].copy(),
    )
    mixed = titrate(
        positives,
        negatives,
        n_cells=N_CELLS,
        fraction=share,
        depth=5_000,
        contamination=0.05,
        seed=seed,
    )
    return ad.AnnData(mixed.X, var=pd.DataFrame(index=mixed.var_names), obs=names(mixed.n_obs))


def titration(n_seeds: int) -> pd.DataFrame:
    """One row per programme, share and seed."""
    made: list[dict[str, Any]] = []
    for program in ("treg", "th17", "th1", "off_chondro"):
        for share in SHARES:
            for seed in range(n_seeds):
                is_cartilage = program == "off_chondro"
                adata = (
                    chondrocytes(share, seed) if is_cartilage else expressed(program, share, seed)
                )
                row = measured(adata, [program], "mouse" if is_cartilage else "human").loc[program]
                found = {
                    name: float(row[name])
                    for name in ("prevalence", "prevalence_low", "prevalence_high")
                }
                made.append(
                    {
                        "program": program,
                        "truth": share,
                        "seed": seed,
                        **found,
                        "verdict": row["verdict"],
                    }
                )
    return pd.DataFrame(made)


def sorted_cells() -> pd.DataFrame:
    """Sensitivity and specificity of programmes on sorted cells of blood."""
    adata = ad.read_h5ad(DATA / "pbmc_facs_human.h5ad")
    labels = adata.obs["celltype"].astype(str).to_numpy()
    measured(adata, list(SORTED), "human")
    rows = []
    for program, begin in SORTED.items():
        inside = np.char.startswith(labels.astype(str), begin)
        if program == "t_cell":
            inside = np.char.startswith(labels.astype(str), "CD4+") | np.char.startswith(
                labels.astype(str), "CD8+"
            )
        called = adata.obsm["scdiff_positive"][program].to_numpy()
        area = rank_area(adata.obsm["scdiff_probabilities"][program].to_numpy(), inside)
        rows.append(
            {
                "program": program,
                "cells": int(inside.sum()),
                "sensitivity": called[inside].mean(),
                "specificity": 1 - called[~inside].mean(),
                "auroc": area,
            }
        )
    return pd.DataFrame(rows)


def stromal() -> pd.DataFrame:
    """Area under the curve of osteoblast and chondrocyte calls on labelled stromal cells, beside score_genes on the same genes."""
    import scanpy

    adata = ad.read_h5ad(DATA / "msc_mouse_bone_marrow.h5ad")
    labels = adata.obs["cell_type"].astype(str).to_numpy()
    programs = {"off_chondro": "CH", "off_osteo": "OS"}
    measured(adata, list(programs), "mouse")
    lognormal = ad.AnnData(adata.X.copy(), var=adata.var[[]])
    scanpy.pp.normalize_total(lognormal, target_sum=1e4)
    scanpy.pp.log1p(lognormal)
    rows = []
    for program, label in programs.items():
        genes = [
            gene
            for gene in load_program(program).score_genes("mouse")
            if gene in lognormal.var_names
        ]
        scanpy.tl.score_genes(lognormal, genes)
        evidence = adata.obsm["scdiff_evidence"][
            [f"{program}:{marker.name}" for marker in load_program(program).core]
        ].sum(axis=1)
        called, inside = adata.obsm["scdiff_positive"][program].to_numpy(), labels == label
        areas = {
            "auroc": rank_area(evidence.to_numpy(), inside),
            "auroc_score_genes": rank_area(lognormal.obs["score"].to_numpy(), inside),
        }
        rows.append(
            {
                "program": program,
                "sensitivity": called[inside].mean(),
                "specificity": 1 - called[~inside].mean(),
                **areas,
            }
        )
    return pd.DataFrame(rows)


def rank_area(values: np.ndarray, inside: np.ndarray) -> float:
    """Area under the curve."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(inside, values))


def main() -> None:
    """Run all parts and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    n_seeds = 1 if parser.parse_args().quick else 3
    warnings.simplefilter("ignore")
    write(sorted_cells(), "programs_sorted")
    write(stromal(), "programs_stromal")
    write(
        titration(n_seeds),
        "programs_titration",
        notes=[f"{N_CELLS:,} cells each; truth and prevalence 0-1."],
    )


if __name__ == "__main__":
    main()
